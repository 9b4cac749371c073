/**
 * A bare `yield` hands a request to the runner and must look at the answer; only `submit` does. All other code says
 * `yield*`, so that a failed request always throws.
 */

/** @type {import('eslint').Rule.RuleModule} */
export const bareYield = {
  meta: {
    type: 'problem',
    docs: { description: 'allow a bare `yield` only in io/src/submit.ts' },
    schema: [
      {
        type: 'object',
        properties: { allow: { type: 'array', items: { type: 'string' } } },
        additionalProperties: false,
      },
    ],
    defaultOptions: [{ allow: ['packages/io/src/submit.ts'] }],
    messages: { bare: 'A bare `yield` belongs in `submit` alone; say `yield*`.' },
  },
  create(context) {
    const file = context.filename.replaceAll('\\', '/');
    const allow = /** @type {string[]} */ (context.options[0].allow);
    if (allow.some((suffix) => file.endsWith(suffix))) return {};
    return {
      YieldExpression(node) {
        if (!node.delegate) context.report({ node, messageId: 'bare' });
      },
    };
  },
};
