/**
 * What every package promises its consumers, as one suite: the shape of its package.json, its entries, what it depends
 * on, its README and licence. A package's `src/package.spec.ts` is one call of `describePackage(__dirname)`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, relative } from 'node:path';
import * as ts from 'typescript';
import { sourceFiles } from './source-files.js';

/** What differs from package to package. */
export interface PackageExpectations {
  /** Entries of `exports` besides `.` and `./package.json`, in any order (`['./sim']`). */
  readonly entries?: readonly string[];
  /** Runtime dependencies besides `@iomap/*` and zod: only faces and tests have any. Default: none allowed. */
  readonly anyDependencies?: boolean;
  /** The whole package is for Node: its sources may import built-ins. Default: only `src/node/` and `src/memfs/`. */
  readonly node?: boolean;
}

const headings = ['What it is', 'Example', 'Where it sits', 'Supported', 'Limits', 'Differences from Linux'];

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly type?: string;
  readonly private?: boolean;
  readonly engines?: Record<string, string>;
  readonly files?: readonly string[];
  readonly exports: Record<string, string | Record<string, string>>;
  readonly dependencies?: Record<string, string>;
  readonly nx?: { readonly tags?: readonly string[] };
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

/** The module names that a source file imports, exports from, or loads with a literal `import()`. */
function importsOf(path: string): string[] {
  return ts.preProcessFile(readText(path), true, true).importedFiles.map((file) => file.fileName);
}

function headingsOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, '');
  return [...prose.matchAll(/^## +(.+?) *$/gm)].map((match) => match[1] ?? '');
}

/** Statements of an entry file that are not exports from somewhere else. */
function logicOf(path: string): string[] {
  const file = ts.createSourceFile(path, readText(path), ts.ScriptTarget.Latest, true);
  return file.statements
    .filter((statement) => !(ts.isExportDeclaration(statement) && statement.exportClause && statement.moduleSpecifier))
    .map((statement) => statement.getText(file).slice(0, 80));
}

/**
 * Declares the suite for the package that `srcFolder` (its `src`) belongs to.
 * @param srcFolder `__dirname` of the spec
 */
export function describePackage(srcFolder: string, expectations: PackageExpectations = {}): void {
  const root = join(srcFolder, '..');
  const manifest = JSON.parse(readText(join(root, 'package.json'))) as Manifest;
  const folder = root.split(/[\\/]/).at(-1) ?? '';
  const entries = ['.', ...(expectations.entries ?? [])];
  const dependencies = Object.keys(manifest.dependencies ?? {});
  const sources = sourceFiles(srcFolder);
  const shown = (path: string): string => relative(root, path);

  describe(`package ${manifest.name}`, () => {
    it('is named after its folder and says what it is', () => {
      expect(manifest.name).toBe(`@iomap/${folder}`);
      expect(manifest.description).toMatch(/\w/);
      expect(manifest.private).not.toBe(true);
      expect(manifest.nx?.tags).toEqual([expect.stringMatching(/^layer:[a-z-]+$/)]);
    });

    it('is an ES module for Node 20.19 and up, MIT, and ships its build alone', () => {
      expect(manifest.type).toBe('module');
      expect(manifest.engines).toEqual({ node: '>=20.19' });
      expect(manifest.license).toBe('MIT');
      expect(readText(join(root, 'LICENSE'))).toMatch(/^MIT License/);
      expect(manifest.files).toEqual(expect.arrayContaining(['dist', 'README.md', 'LICENSE']));
      expect(manifest.files).not.toContain('src');
    });

    it('exports its entries, each with source, types and build', () => {
      const found = Object.keys(manifest.exports).filter((entry) => entry !== './package.json');
      expect(found.sort()).toEqual([...entries].sort());
      for (const entry of entries) {
        const conditions = manifest.exports[entry];
        if (typeof conditions !== 'object') throw new Error(`exports['${entry}'] has no conditions`);
        const stem = entry === '.' ? 'index' : `${entry.slice(2)}/index`;
        expect(Object.entries(conditions)).toEqual([
          ['@iomap/source', `./src/${stem}.ts`],
          ['types', `./dist/${stem}.d.ts`],
          ['default', `./dist/${stem}.js`],
        ]);
        expect(existsSync(join(srcFolder, `${stem}.ts`))).toBe(true);
      }
    });

    it('has entries that are lists of named exports and nothing else', () => {
      for (const entry of entries) {
        const path = join(srcFolder, entry === '.' ? 'index.ts' : `${entry.slice(2)}/index.ts`);
        expect({ file: shown(path), logic: logicOf(path) }).toEqual({ file: shown(path), logic: [] });
      }
    });

    it('depends on the house and zod alone', () => {
      const foreign = dependencies.filter((name) => !name.startsWith('@iomap/') && name !== 'zod');
      if (expectations.anyDependencies !== true) expect(foreign).toEqual([]);
    });

    it('imports only what it declares, through the entries of other packages', () => {
      const problems: string[] = [];
      for (const path of sources) {
        const isNode = expectations.node === true || /[\\/]src[\\/](node|memfs)[\\/]/.test(path);
        for (const name of importsOf(path)) {
          const at = `${shown(path)}: ${name}`;
          if (name.startsWith('.')) {
            if (!join(path, '..', name).startsWith(srcFolder)) problems.push(`${at} (outside the package)`);
          } else if (isBuiltin(name)) {
            if (!isNode) problems.push(`${at} (Node built-in)`);
          } else {
            const [scope = '', part = '', ...rest] = name.split('/');
            const owner = scope.startsWith('@') ? `${scope}/${part}` : scope;
            if (owner === '@iomap/tools') problems.push(`${at} (tools are for tests)`);
            if (owner.startsWith('@iomap/') && ['src', 'dist'].includes(rest[0] ?? '')) problems.push(`${at} (deep)`);
            const optional = /[\\/]memfs[\\/]/.test(path) && owner === 'memfs';
            if (owner !== manifest.name && !optional && !dependencies.includes(owner)) {
              problems.push(`${at} (not in dependencies)`);
            }
          }
        }
      }
      expect(problems).toEqual([]);
    });

    it('has a README with the fixed headings, in order', () => {
      const readme = readText(join(root, 'README.md'));
      expect(readme).toMatch(new RegExp(`^# ${manifest.name}\\b`));
      expect(headingsOf(readme).filter((heading) => headings.includes(heading))).toEqual(headings);
    });
  });
}
