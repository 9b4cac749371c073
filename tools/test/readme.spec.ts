/**
 * The README says only what is so: its shell blocks are run in order in an empty folder, its TypeScript is type-checked
 * and run, its links and its table of packages are compared with the tree. Needs the builds (`nx build`).
 *
 * `npm` lines are not run (this is `npm test`): their scripts must exist.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import * as ts from 'typescript';
import { STRICT_USER } from './compiler-options.js';
import { publicPackages, root } from './entries.js';
import { blocksOf, canMount, UNMOUNT_AT_EXIT } from './markdown.js';

const readme = readFileSync(join(root, 'README.md'), 'utf8');

const blocks = blocksOf(readme);
const shell = blocks.filter(({ language }) => language === 'sh');
const typescript = blocks.filter(({ language }) => language === 'ts');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'iomap-readme-'));
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, 'work'));
  // What `npm install -g @iomap/cli` would put on the path.
  const command = join(folder, 'bin/iomap');
  writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'packages/cli/dist/main.js')}" "$@"\n`);
  chmodSync(command, 0o755);
  mkdirSync(join(folder, 'example'));
  writeFileSync(join(folder, 'example/package.json'), '{ "type": "module" }');
  symlinkSync(join(root, 'node_modules'), join(folder, 'example/node_modules'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('README.md', () => {
  it('has only blocks that this test knows', () => {
    expect(blocks.filter(({ language }) => !['sh', 'ts'].includes(language))).toEqual([]);
    expect(shell.length).toBeGreaterThan(0);
    expect(typescript.length).toBeGreaterThan(0);
  });

  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    const named = [...readme.matchAll(/(?:^|`)npm (?:run )?([a-z]+)\b/gm)].map((match) => match[1] ?? '');
    expect(named).toEqual(expect.arrayContaining(['start', 'test']));
    for (const name of named) expect(Object.keys(scripts)).toContain(name);
  });

  // One test, since each block goes on from the one before.
  it('has commands that work', () => {
    for (const { code, line } of shell) {
      const mounts = code.includes('iomap mount');
      if (mounts && !canMount()) continue;
      const commands = (mounts ? `${UNMOUNT_AT_EXIT}\n${code}` : code).split('\n').filter((text) => !/^(npm|git clone)\b/.test(text));
      const { status, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', '-c', commands.join('\n')], {
        cwd: join(folder, 'work'),
        encoding: 'utf8',
        env: { ...process.env, PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}` },
        timeout: 60_000,
      });
      expect({ line, status, output: status === 0 ? '' : stdout + stderr }).toEqual({ line, status: 0, output: '' });
      if (code.includes('iomap cat')) expect(stdout).toContain('hello from an image');
      if (code.includes('iomap tree')) expect(stdout).toContain('second');
    }
  });

  it('has examples that type-check against the packages as published', () => {
    for (const [i, { code, line }] of typescript.entries()) {
      const file = join(folder, 'example', `types-${String(i)}.ts`);
      writeFileSync(file, code);
      const program = ts.createProgram([file], STRICT_USER);
      const messages = ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
      expect({ line, messages }).toEqual({ line, messages: [] });
    }
  });

  it('has examples that run', async () => {
    for (const [i, { code, line }] of typescript.entries()) {
      const name = `run-${String(i)}.mjs`;
      const contents = { contents: code, loader: 'ts' as const, resolveDir: join(folder, 'example') };
      await build({ stdin: contents, outfile: join(folder, 'example', name), format: 'esm', target: 'node20', logLevel: 'silent' });
      const { status, stdout, stderr } = spawnSync(process.execPath, [name], { cwd: join(folder, 'example'), encoding: 'utf8' });
      expect({ line, status, stderr }).toEqual({ line, status: 0, stderr: '' });
      expect(stdout).toContain('hello from an image');
    }
  });

  it('links to what is there', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1] ?? '').filter((link) => !/^https?:/.test(link));
    expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([]);
  });

  it('lists every package', () => {
    const listed = [...readme.matchAll(/^\| \[`(@iomap\/[a-z0-9-]+)`\]\(packages\/([a-z0-9-]+)\)/gm)].map((match) => match[1] ?? '');
    expect(listed.sort()).toEqual(
      publicPackages()
        .map(({ name }) => name)
        .sort(),
    );
  });
});
