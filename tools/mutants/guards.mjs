/**
 * The guards of the sources, and how each is taken out.
 *
 * A guard is the statement of one line that ends in `// guard: NAME (pitfall N)`; where the line cannot simply go,
 * `| without: CODE` says what stands in its place. The brackets may name something else than a pitfall, or several: `(atomic)`,
 * `(pitfall 4, 5)`.
 */
import fs from 'node:fs';
import path from 'node:path';

/** Where guards are, and the tests that must fail without them. Paths are relative to the repository. */
export const SUBJECTS = [
  {
    sources: ['packages/iomap-core/src', 'packages/page-cache/src'],
    tests: ['packages/iomap-core/src/pitfalls', 'packages/iomap-core/src'],
  },
];

const GUARD = /^(?<code>.*\S)\s*\/\/ guard: (?<name>[a-z0-9-]+) \((?<reason>[^)]*)\)(?: \| without: (?<without>.*))?$/;

/**
 * @typedef {object} Guard
 * @property {string} name
 * @property {string} reason what the brackets say
 * @property {number[]} pitfalls
 * @property {string} file relative to the repository
 * @property {number} line from 1
 * @property {string} code
 * @property {string} without what takes its place
 */

/** @param {string} folder @returns {string[]} */
function sourceFiles(folder) {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts') && !name.split(path.sep).includes('testing'))
    .map((name) => path.join(folder, name))
    .sort();
}

/**
 * All guards under `root`.
 * @param {string} root the repository
 * @param {readonly string[]} sources folders in it
 * @returns {Guard[]}
 */
export function findGuards(root, sources) {
  /** @type {Guard[]} */
  const guards = [];
  for (const source of sources) {
    for (const file of sourceFiles(path.join(root, source))) {
      const whole = fs.readFileSync(file, 'utf8');
      texts.set(file, whole);
      whole.split('\n').forEach((text, index) => {
        if (!text.includes('// guard:')) return;
        const groups = GUARD.exec(text)?.groups;
        const where = `${path.relative(root, file)}:${index + 1}`;
        if (groups === undefined) throw new Error(`${where}: not a guard as guards.mjs has it: ${text.trim()}`);
        const { code = '', name = '', reason = '', without = '' } = groups;
        const pitfalls = /pitfall/.test(reason) ? [...reason.matchAll(/\d+/g)].map(([number]) => Number(number)) : [];
        guards.push({ name, reason, pitfalls, file: path.relative(root, file), line: index + 1, code: code.trim(), without });
      });
    }
  }
  return guards;
}

/** What the files held when their guards were found: an edit during a run does not move the lines. @type {Map<string, string>} */
const texts = new Map();

/** The text of the guard's file without it. @param {string} root @param {Guard} guard */
export function takeOut(root, guard) {
  const lines = (texts.get(path.join(root, guard.file)) ?? '').split('\n');
  lines[guard.line - 1] = guard.without;
  return lines.join('\n');
}
