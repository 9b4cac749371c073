/**
 * What a consumer gets: every package packed, installed from its tarball in an empty folder, and each entry used from ESM,
 * from `require`, and from TypeScript under the module resolutions that people have. Needs the builds (`nx build`).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ts from 'typescript';
import { publicPackages, root } from './entries.js';

interface Packed {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

const packages = publicPackages();
const entries = packages.flatMap((info) => info.entries);
/** Peers that entries take from their consumer, and the types of Node's own modules. */
const companions = ['memfs', '@types/node'];

/** npm as a fresh shell would run it, not as the npm that runs this test set it up. */
function npm(cwd: string, ...args: string[]): string {
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^npm_(?!config_(registry|cache|userconfig))/i.test(key)));
  return execFileSync('npm', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 * 1024 * 1024 });
}

/** `npm pack --json` answers a list (npm 10) or an object by name (npm 11 and up, in some versions). */
function parsePacked(json: string): Packed[] {
  const answer = JSON.parse(json) as Packed[] | Record<string, Packed>;
  return Array.isArray(answer) ? answer : Object.values(answer);
}

let folder: string;
let packed: Packed[];

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'iomap-pack-')));
  const tarballs = join(folder, 'tarballs');
  mkdirSync(tarballs);
  const workspaces = packages.flatMap(({ folder: path }) => ['-w', path]);
  packed = parsePacked(npm(root, 'pack', '--json', '--ignore-scripts', '--pack-destination', tarballs, ...workspaces));
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  const dependencies: Record<string, string> = {};
  for (const { name, filename } of packed) dependencies[name] = `file:tarballs/${filename}`;
  for (const name of companions) dependencies[name] = devDependencies[name] ?? '*';
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, dependencies }));
  npm(folder, 'install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock');
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a file of the consumer and reads the JSON that it prints. */
function run(name: string, code: string): unknown {
  writeFileSync(join(folder, name), code);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--no-warnings', name], { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name} ended with ${String(status)}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Messages about the consumer's file and about our declarations. */
function typeErrors(name: string, options: ts.CompilerOptions): string[] {
  const lines = entries.map((entry, i) => `import * as e${String(i)} from '${entry}';`);
  lines.push(`export const names: string[][] = [${entries.map((_, i) => `Object.keys(e${String(i)})`).join(', ')}];`);
  const file = join(folder, name);
  writeFileSync(file, lines.join('\n'));
  const program = ts.createProgram([file], {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts'],
    types: ['node'],
    typeRoots: [join(folder, 'node_modules/@types')],
    ...options,
  });
  return ts
    .getPreEmitDiagnostics(program)
    .filter(({ file: at }) => !at || at.fileName === file || at.fileName.includes('/node_modules/@iomap/'))
    .map(({ file: at, messageText }) => `${at?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
}

describe('packed and installed', () => {
  it('holds builds, licences and nothing of the workshop', () => {
    expect(packed.map(({ name }) => name).sort()).toEqual(packages.map(({ name }) => name).sort());
    for (const { name, files } of packed) {
      const paths = files.map(({ path }) => path);
      const wanted = ['package.json', 'LICENSE', 'README.md', 'dist/index.js', 'dist/index.d.ts'];
      expect([name, wanted.filter((path) => !paths.includes(path))]).toEqual([name, []]);
      const odd = paths.filter((path) => !/^(package\.json|LICENSE|README\.md|dist\/.*\.(js|d\.ts)(\.map)?)$/.test(path));
      expect([name, odd]).toEqual([name, []]);
      expect([name, paths.filter((path) => /\.spec\.|\.tsbuildinfo$/.test(path))]).toEqual([name, []]);
    }
  });

  it('is our tarballs and not something else by the name', () => {
    for (const { name, version } of packages) {
      const path = join(folder, 'node_modules', name);
      expect(realpathSync(path)).toBe(path);
      const manifest = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as { version: string };
      expect(manifest.version).toBe(version);
    }
  });

  it('works from ESM and from require, with the same exports', () => {
    const list = JSON.stringify(entries);
    const imported = run(
      'use.mjs',
      `const all = {}; for (const e of ${list}) all[e] = Object.keys(await import(e)).sort(); console.log(JSON.stringify(all));`,
    ) as Record<string, string[]>;
    const required = run(
      'use.cjs',
      `const all = {}; for (const e of ${list}) all[e] = Object.keys(require(e)).sort(); console.log(JSON.stringify(all));`,
    ) as Record<string, string[]>;
    for (const entry of entries) {
      expect([entry, imported[entry]]).not.toEqual([entry, []]);
      const plain = (names: string[] | undefined): string[] => (names ?? []).filter((name) => name !== '__esModule' && name !== 'default');
      expect([entry, plain(required[entry])]).toEqual([entry, plain(imported[entry])]);
    }
  });

  it.each([
    ['node16', 'use16.mts', { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 }],
    ['nodenext through require', 'use.cts', { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext }],
    ['bundler', 'use.ts', { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }],
  ])('has types under %s', (_, name, options) => {
    expect(typeErrors(name, options)).toEqual([]);
  });

  it('finds a missing entry (the test can fail)', () => {
    expect(() => run('missing.mjs', "await import('@iomap/io/src/index.js')")).toThrow(/ERR_PACKAGE_PATH_NOT_EXPORTED/);
  });

  it('has the command', () => {
    const { status, stdout, stderr } = spawnSync(join(folder, 'node_modules/.bin/iomap'), ['--help'], { cwd: folder, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/mkfs/);
  });
});
