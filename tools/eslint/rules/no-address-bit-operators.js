/**
 * `<< >> >>> | & ^ ~` work on 32 bits: on a byte position, a size or a block number they cut it off at 4 GiB (or 2^32
 * blocks) without a word. Use `* 2 ** n`, `Math.floor`, `%` and the helpers of `@iomap/io`.
 *
 * Reported: an operand that is
 * - of a branded unit (`FsBlock`, `FileBlock`, `AgBlock`, `Ino`, `Sector`, `Bytes`), or
 * - a variable, property or call whose name ends in an address word: `pos`, `addr`, `offset`, `block`, `ino`, `size`,
 *   `bytes` as the last word of a camelCase or snake_case name (`diskPos`, `i_size`; not `blockSizeLog`, `oppose`).
 *
 * The shift count (right of a shift) may have any name: it is small or meaningless. Typed arrays (`bytes[i] & 1`) are
 * indexed values, not addresses. bigint has no such limit. What is small by construction (an offset inside a block, say)
 * takes `// eslint-disable-next-line iomap/no-address-bit-operators -- why it is small`.
 */
import ts from 'typescript';
import { namesOf, typeServices } from './types.js';

const addressWord = /(?:^|_)(?:pos|addr|offset|block|ino|size|bytes)$|[a-z0-9](?:Pos|Addr|Offset|Block|Ino|Size|Bytes)$/;
const units = new Set(['FsBlock', 'FileBlock', 'AgBlock', 'Ino', 'Sector', 'Bytes']);
const bitOperators = new Set(['<<', '>>', '>>>', '|', '&', '^']);
const bitAssignments = new Set(['<<=', '>>=', '>>>=', '|=', '&=', '^=']);

/** The name that an expression goes by, if it has one. @param {any} node @returns {string | undefined} */
function nameOf(node) {
  switch (node.type) {
    case 'Identifier':
    case 'PrivateIdentifier':
      return node.name;
    case 'MemberExpression':
      return node.computed ? undefined : nameOf(node.property);
    case 'CallExpression':
      return nameOf(node.callee);
    case 'TSNonNullExpression':
    case 'TSAsExpression':
      return nameOf(node.expression);
    default:
      return undefined;
  }
}

/** @type {import('eslint').Rule.RuleModule} */
export const noAddressBitOperators = {
  meta: {
    type: 'problem',
    docs: { description: 'forbid 32-bit operators on addresses and sizes' },
    schema: [],
    messages: { truncates: '`{{operator}}` cuts {{name}} to 32 bits: use `* 2 ** n`, Math.floor, % or a helper of @iomap/io.' },
  },
  create(context) {
    const services = typeServices(context);

    /** @param {any} node @param {any} at @param {string} operator */
    function check(node, at, operator) {
      const type = services?.getTypeAtLocation(node);
      if (type && type.flags & ts.TypeFlags.BigIntLike) return;
      const unit = type && namesOf(services.program.getTypeChecker(), type).find((name) => units.has(name));
      const name = nameOf(node);
      if (!unit && !(name && addressWord.test(name))) return;
      context.report({ node: at, messageId: 'truncates', data: { operator, name: name ? `\`${name}\`` : `this ${unit}` } });
    }

    return {
      BinaryExpression(node) {
        if (!bitOperators.has(node.operator)) return;
        check(node.left, node, node.operator);
        if (!node.operator.includes('<') && !node.operator.includes('>')) check(node.right, node, node.operator);
      },
      AssignmentExpression(node) {
        if (bitAssignments.has(node.operator)) check(node.left, node, node.operator);
      },
      UnaryExpression(node) {
        if (node.operator === '~') check(node.argument, node, '~');
      },
    };
  },
};
