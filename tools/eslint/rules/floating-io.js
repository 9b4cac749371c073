/**
 * An Io function that is called and not run does nothing, without a word: neither the compiler nor the runtime sees it.
 *
 * Reported: an expression of type `Io<T>` whose value is dropped: an expression statement (also behind `void`, `await`,
 * `&&`, `||`, `??`, `?:`, the comma), and a variable or assignment that nothing reads is left to `no-unused-vars`.
 * Fine: `yield*`, `return`, an argument, a property, an element: somebody else runs it.
 */
import { isIo, typeServices } from './types.js';

/** @type {import('eslint').Rule.RuleModule} */
export const floatingIo = {
  meta: {
    type: 'problem',
    docs: { description: 'forbid calling an Io function without running it' },
    schema: [],
    messages: { floating: 'This Io is never run: say `yield*`, return it, or give it to a runner.' },
  },
  create(context) {
    const services = typeServices(context);
    if (!services) return {};
    const checker = services.program.getTypeChecker();

    /** @param {any} node */
    function check(node) {
      switch (node.type) {
        case 'UnaryExpression':
          if (node.operator === 'void') check(node.argument);
          return;
        case 'AwaitExpression':
        case 'ChainExpression':
        case 'TSNonNullExpression':
        case 'TSAsExpression':
        case 'TSSatisfiesExpression':
          check(node.type === 'AwaitExpression' ? node.argument : node.expression);
          return;
        case 'LogicalExpression':
          check(node.right);
          return;
        case 'ConditionalExpression':
          check(node.consequent);
          check(node.alternate);
          return;
        case 'SequenceExpression':
          node.expressions.forEach(check);
          return;
        case 'YieldExpression':
        case 'AssignmentExpression':
          return;
        case 'ArrowFunctionExpression':
        case 'FunctionExpression':
          return;
        default:
          if (isIo(checker, services.getTypeAtLocation(node))) context.report({ node, messageId: 'floating' });
      }
    }

    return {
      ExpressionStatement(node) {
        check(node.expression);
      },
      // `forEach(() => readIo())`: the callee expects nothing back and drops the Io.
      ArrowFunctionExpression(/** @type {any} */ node) {
        if (node.body.type === 'BlockStatement') return;
        const expected = checker.getContextualType(services.esTreeNodeToTSNodeMap.get(node));
        const returns = expected?.getCallSignatures().map((/** @type {any} */ s) => checker.typeToString(s.getReturnType()));
        if (returns?.length && returns.every((/** @type {string} */ name) => name === 'void')) check(node.body);
      },
      // The comma's left sides are dropped wherever it stands.
      'VariableDeclarator > SequenceExpression'(/** @type {any} */ node) {
        node.expressions.slice(0, -1).forEach(check);
      },
    };
  },
};
