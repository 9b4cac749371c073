/** What the type-aware rules share: the checker behind a node, and what a type is. */

/**
 * The parser's type services, or undefined where the file was parsed without types.
 * @param {import('eslint').Rule.RuleContext} context
 */
export function typeServices(context) {
  const services = /** @type {any} */ (context.sourceCode.parserServices);
  return services?.program ? services : undefined;
}

/**
 * True for `Io<T>`: a Generator whose first type argument is (or holds) `IoRequest`.
 * @param {import('typescript').TypeChecker} checker
 * @param {import('typescript').Type} type
 * @returns {boolean}
 */
export function isIo(checker, type) {
  if (type.isUnion()) return type.types.some((part) => isIo(checker, part));
  if (type.symbol?.name !== 'Generator') return false;
  const yielded = checker.getTypeArguments(/** @type {import('typescript').TypeReference} */ (type))[0];
  if (!yielded) return false;
  if (yielded.aliasSymbol?.name === 'IoRequest') return true;
  const parts = yielded.isUnion() ? yielded.types : [yielded];
  return parts.length > 0 && parts.every((part) => /^(Bio|Batch|Wait|Spawn|Io)Request$/.test(part.symbol?.name ?? ''));
}

/**
 * The names that a type goes by: its alias, its symbol, and the literal tags of a branded number (`Unit<number, 'Ino'>`).
 * @param {import('typescript').TypeChecker} checker
 * @param {import('typescript').Type} type
 * @returns {string[]}
 */
export function namesOf(checker, type) {
  const names = [type.aliasSymbol?.name, type.symbol?.name].filter((name) => name !== undefined);
  for (const arg of type.aliasTypeArguments ?? []) if (arg.isStringLiteral()) names.push(arg.value);
  if (type.isUnionOrIntersection()) {
    for (const part of type.types) {
      for (const property of checker.getPropertiesOfType(part)) {
        if (!property.escapedName.toString().startsWith('__@unit')) continue;
        const tag = checker.getTypeOfSymbol(property);
        if (tag.isStringLiteral()) names.push(tag.value);
      }
    }
  }
  return names;
}
