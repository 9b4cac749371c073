/**
 * Cancel is `return()`, which runs `finally` and drops whatever it yields: a wait there never ends, and the lock after it
 * is never released. `finally` may call plain functions only.
 */

/** @type {import('eslint').Rule.RuleModule} */
export const noYieldInFinally = {
  meta: {
    type: 'problem',
    docs: { description: 'forbid waiting in `finally`' },
    schema: [],
    messages: { waits: '`finally` runs on cancel too, where nothing can wait: unlock and put, never `yield`.' },
  },
  create(context) {
    return {
      YieldExpression(node) {
        /** @type {any} */
        let child = node;
        for (let up = child.parent; up; child = up, up = up.parent) {
          if (/Function/.test(up.type)) return;
          if (up.type === 'TryStatement' && up.finalizer === child) {
            context.report({ node, messageId: 'waits' });
            return;
          }
        }
      },
    };
  },
};
