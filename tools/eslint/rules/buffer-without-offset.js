/**
 * `bytes.buffer` is the whole allocation, not the view: whoever takes it must take `bytes.byteOffset` with it, or reads
 * and writes at the wrong place as soon as the view does not start at 0.
 *
 * Reported: `x.buffer` where x is a typed array or a DataView (by its type; by the shape of the code without types),
 * unless the same call or `new` also names `x.byteOffset` (or a bare `byteOffset`). Fine, since it is about the allocation:
 * `x.buffer.byteLength`, comparisons (`a.buffer === b.buffer`). Fine too: a view that was made whole, `new Uint8Array(n)`,
 * on the spot or by a `const`.
 */
import { typeServices } from './types.js';

const viewNames = /^(Int8|Uint8|Uint8Clamped|Int16|Uint16|Int32|Uint32|Float16|Float32|Float64|BigInt64|BigUint64)Array$|^DataView$|^Buffer$/;

/** @type {import('eslint').Rule.RuleModule} */
export const bufferWithoutOffset = {
  meta: {
    type: 'problem',
    docs: { description: 'forbid `view.buffer` without `view.byteOffset`' },
    schema: [],
    messages: { offset: '`{{name}}.buffer` is the whole allocation: pass `{{name}}.byteOffset` (and a length) with it.' },
  },
  create(context) {
    const services = typeServices(context);
    const text = (/** @type {any} */ node) => context.sourceCode.getText(node);

    /** @param {any} object */
    function isView(object) {
      if (!services) return true;
      const checker = services.program.getTypeChecker();
      const type = services.getTypeAtLocation(object);
      const parts = type.isUnionOrIntersection() ? type.types : [type];
      return parts.some((/** @type {any} */ part) => {
        const named = checker.getBaseConstraintOfType(part) ?? part;
        return viewNames.test(named.symbol?.name ?? '') || viewNames.test(part.symbol?.name ?? '');
      });
    }

    /** Made by `new X(one)`: starts at 0 of its allocation and is as long. @param {any} object @returns {boolean} */
    function isWhole(object) {
      if (object.type === 'Identifier') {
        let scope = context.sourceCode.getScope(object);
        /** @type {any} */
        let variable;
        while (scope && !(variable = scope.set.get(object.name))) scope = /** @type {any} */ (scope.upper);
        const definition = variable?.defs.length === 1 ? variable.defs[0] : undefined;
        if (definition?.type !== 'Variable' || definition.parent.kind !== 'const' || definition.node.id.type !== 'Identifier') return false;
        return definition.node.init !== null && isWhole(definition.node.init);
      }
      return object.type === 'NewExpression' && viewNames.test(text(object.callee)) && object.arguments.length <= 1;
    }

    return {
      'MemberExpression[computed=false][property.name="buffer"]'(/** @type {any} */ node) {
        const { parent } = node;
        if (parent.type === 'MemberExpression' && parent.object === node && parent.property.name === 'byteLength') return;
        if (parent.type === 'BinaryExpression' && /^[!=]==?$/.test(parent.operator)) return;
        if (parent.type === 'AssignmentExpression' && parent.left === node) return;
        if (isWhole(node.object) || !isView(node.object)) return;
        const name = text(node.object);
        let up = parent;
        while (up && /^(TSAsExpression|TSNonNullExpression|TSSatisfiesExpression)$/.test(up.type)) up = up.parent;
        const own = `${name.replaceAll(/\s/g, '')}.byteOffset`;
        // `const { byteOffset } = x` is as good.
        const offset = (/** @type {any} */ arg) =>
          text(arg).replaceAll(/\s/g, '').includes(own) || /(?<![.\w$])byteOffset\b/.test(text(arg));
        if ((up.type === 'NewExpression' || up.type === 'CallExpression') && up.arguments.some(offset)) return;
        context.report({ node, messageId: 'offset', data: { name } });
      },
    };
  },
};
