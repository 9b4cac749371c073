/**
 * The guides say only what is so. The TypeScript of each is one program: its blocks, in order, are type-checked against the sources
 * and run. The reference names every export of the core, and every member of its types.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import * as ts from 'typescript';
import { STRICT_USER } from './compiler-options.js';
import { root } from './entries.js';

const docs = join(root, 'docs');
const guides = ['iomap.md', 'porting.md'];

const options: ts.CompilerOptions = {
  ...STRICT_USER,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  customConditions: ['@iomap/source'],
};

/** The TypeScript of a page as one file whose lines are those of the page. */
function programOf(markdown: string): string {
  let inside = false;
  const lines = markdown.split('\n').map((line) => {
    if (line.startsWith('```')) {
      inside = line === '```ts';
      return '';
    }
    return inside ? line : '';
  });
  return lines.join('\n');
}

let folder: string;
/** The guides' programs and the entries that the reference is of, as one: the sources are gone through once. */
let program: ts.Program;
const entries = { 'iomap-core': join(root, 'packages/iomap-core/src/index.ts'), 'page-cache': join(root, 'packages/page-cache/src/index.ts') };

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'iomap-docs-'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const files = guides.map((name) => join(folder, name.replace('.md', '.ts')));
  for (const [i, name] of guides.entries()) writeFileSync(files[i] ?? '', programOf(readFileSync(join(docs, name), 'utf8')));
  program = ts.createProgram([...files, ...Object.values(entries)], options);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe.each(guides)('docs/%s', (name) => {
  const markdown = readFileSync(join(docs, name), 'utf8');
  const code = programOf(markdown);

  it('has TypeScript, and no block of a language that nobody checks', () => {
    const languages = [...markdown.matchAll(/^```(\w+)$/gm)].map((match) => match[1]);
    expect(new Set(languages)).toEqual(new Set(['ts']));
    expect(code).toContain('assert(');
  });

  it('type-checks', () => {
    const source = program.getSourceFile(join(folder, name.replace('.md', '.ts')));
    expect(source?.text).toBe(code);
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(({ start, messageText }) => {
      const line = source === undefined || start === undefined ? 0 : source.getLineAndCharacterOfPosition(start).line + 1;
      return `docs/${name}:${String(line)} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
    expect(found).toEqual([]);
  });

  it('runs', async () => {
    const outfile = join(folder, name.replace('.md', '.mjs'));
    const stdin = { contents: code, loader: 'ts' as const, resolveDir: folder };
    await build({ stdin, bundle: true, platform: 'node', format: 'esm', conditions: ['@iomap/source'], outfile, logLevel: 'silent' });
    const { status, stderr } = spawnSync(process.execPath, [outfile], { encoding: 'utf8', timeout: 60_000 });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('links to what is there', () => {
    const links = [...markdown.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1] ?? '').filter((link) => !/^https?:/.test(link));
    expect(links.filter((link) => !existsSync(join(docs, link)))).toEqual([]);
  });
});

/** The exports of an entry, and the public members of those that are interfaces or classes. */
function exportsOf(entry: string): Map<string, string[]> {
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(entry);
  const symbol = source === undefined ? undefined : checker.getSymbolAtLocation(source);
  const found = new Map<string, string[]>();
  for (const one of symbol === undefined ? [] : checker.getExportsOfModule(symbol)) {
    const target = one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one;
    const isShape = (target.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.Class)) !== 0;
    const members = isShape ? checker.getDeclaredTypeOfSymbol(target).getProperties() : [];
    found.set(one.name, members.map((member) => member.name).filter((member) => !member.includes('#')));
  }
  expect(found.size).toBeGreaterThan(5);
  return found;
}

describe('docs/iomap.md, the reference', () => {
  const markdown = readFileSync(join(docs, 'iomap.md'), 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '');
  /** What is set in code type, in pieces: `a.b(c)` names a, b and c. */
  const named = (text: string): Set<string> =>
    new Set([...text.matchAll(/`([^`\n]+)`/g)].flatMap((match) => (match[1] ?? '').split(/[^A-Za-z0-9_]+/)));
  /** By headline, what is below it. */
  const sections = new Map(markdown.split(/^#{2,4} /m).map((text) => [text.split('\n')[0] ?? '', text]));
  const sectionOf = (name: string): string =>
    [...sections].filter(([title]) => named(title).has(name)).map(([, text]) => text).join('\n');

  it.each(Object.entries(entries))('names every export of %s', (_, entry) => {
    const all = named(markdown);
    const missing = [...exportsOf(entry).keys()].filter((name) => !all.has(name));
    expect(missing).toEqual([]);
  });

  it.each(Object.entries(entries))('has every member of the types of %s, in a section of their own', (_, entry) => {
    const missing = [...exportsOf(entry)].flatMap(([name, members]) => {
      const section = named(sectionOf(name));
      return members.filter((member) => !section.has(member)).map((member) => `${name}.${member}`);
    });
    expect(missing).toEqual([]);
  });
});
