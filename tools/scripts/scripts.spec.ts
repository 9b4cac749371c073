import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';

const root = join(__dirname, '../..');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'iomap-scripts-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Evaluates `expression` with the module's exports as `m`, in a plain Node, as the scripts run. */
function evaluate(script: string, expression: string): unknown {
  const url = pathToFileURL(join(__dirname, script)).href;
  const code = `const m = await import(${JSON.stringify(url)}); console.log(JSON.stringify(${expression}) ?? 'null');`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

function writeLocks(locked: object, installed?: object): void {
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...locked } }));
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  if (installed) writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify({ packages: installed }));
}

describe('setup', () => {
  const staleness = (): unknown => evaluate('setup.mjs', `m.staleness(${JSON.stringify(folder)})`);

  it('finds what agrees with the lock file', () => {
    const zod = { 'node_modules/zod': { version: '4.0.0' } };
    writeLocks({ ...zod, 'packages/io': { version: '0.1.0' }, 'node_modules/other-os': { version: '1.0.0', optional: true } }, zod);
    expect(staleness()).toBeNull();
  });

  it('finds nothing installed, a missing package, another version, a missing link', () => {
    writeLocks({ 'node_modules/zod': { version: '4.0.0' } });
    expect(staleness()).toMatch(/nothing is installed/);
    writeLocks({ 'node_modules/zod': { version: '4.0.0' } }, {});
    expect(staleness()).toMatch(/zod is missing/);
    writeLocks({ 'node_modules/zod': { version: '4.0.0' } }, { 'node_modules/zod': { version: '3.0.0' } });
    expect(staleness()).toMatch(/zod is 3\.0\.0, not 4\.0\.0/);
    writeLocks({ 'node_modules/@iomap/io': { link: true } }, {});
    expect(staleness()).toMatch(/@iomap\/io is not linked/);
  });
});

describe('counts', () => {
  it('are summed, and a project without any has failed', () => {
    const write = (name: string, counts: object): string => {
      const path = join(folder, name);
      writeFileSync(path, JSON.stringify(counts));
      return path;
    };
    const files = [
      write('a.json', { passed: 3, failed: 0, skipped: 1 }),
      write('b.json', { passed: 4, failed: 2, skipped: 0 }),
      join(folder, 'missing.json'),
    ];
    expect(evaluate('count.mjs', `m.format(m.sum(${JSON.stringify(files)}))`)).toBe('7 passed, 3 failed, 1 skipped');
  });

  it('come with what failed, by project', () => {
    mkdirSync(join(folder, 'vfs/tmp'), { recursive: true });
    const file = join(folder, 'vfs/tmp/count.json');
    writeFileSync(file, JSON.stringify({ passed: 1, failed: 1, skipped: 0, failures: ['src/a.spec.ts: a b\nwhy'] }));
    const files = [file, join(folder, 'io/tmp/missing.json')];
    expect(evaluate('count.mjs', `m.failures(${JSON.stringify(files)})`)).toEqual(['vfs/src/a.spec.ts: a b\nwhy', 'io: no result']);
  });

  it('are looked for in every package', () => {
    const files = evaluate('count.mjs', `m.countFiles(${JSON.stringify(root)})`) as string[];
    expect(files).toEqual(expect.arrayContaining([join(root, 'packages/io/tmp/test-count.json'), join(root, 'tools/tmp/test-count.json')]));
  });
});

describe('root scripts', () => {
  it('name files that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    for (const name of ['start', 'test', 'bench', 'soak'] as const) {
      const [node, file] = (scripts[name] ?? '').split(' ');
      expect(node).toBe('node');
      expect(readFileSync(join(root, file ?? ''), 'utf8')).toMatch(/^\/\*\*/);
    }
  });
});
