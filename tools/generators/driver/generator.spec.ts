import { stripVTControlCharacters } from 'node:util';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import type { Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import * as ts from 'typescript';

const root = join(__dirname, '../../..');

/** The tree after the generator ran, in a plain Node process as Nx runs it is slower: see the last test for that. */
async function generated(name: string): Promise<Tree> {
  const { driverGenerator } = await import('./generator.js');
  const tree = createTreeWithEmptyWorkspace();
  for (const path of ['LICENSE', 'packages/io/package.json', 'packages/ext2/package.json']) {
    tree.write(path, readFileSync(join(root, path)));
  }
  await driverGenerator(tree, { name });
  return tree;
}

function text(tree: Tree, path: string): string {
  return tree.read(path, 'utf8') ?? '';
}

describe('the driver generator', () => {
  it('writes a whole package', async () => {
    const tree = await generated('romfs-lite');
    const files = tree
      .listChanges()
      .map((change) => change.path)
      .filter((path) => path.startsWith('packages/romfs-lite/'))
      .map((path) => path.slice('packages/romfs-lite/'.length))
      .sort();
    expect(files).toEqual([
      'LICENSE',
      'README.md',
      'eslint.config.js',
      'jest.config.js',
      'package.json',
      'src/conformance.spec.ts',
      'src/index.ts',
      'src/ondisk.spec.ts',
      'src/ondisk.ts',
      'src/package.spec.ts',
      'tsconfig.json',
      'tsconfig.lib.json',
      'tsconfig.spec.json',
    ]);
    for (const path of files) expect(text(tree, `packages/romfs-lite/${path}`)).not.toContain('<%');
    for (const path of files.filter((file) => file.endsWith('.json'))) JSON.parse(text(tree, `packages/romfs-lite/${path}`));
    expect(text(tree, 'packages/romfs-lite/src/ondisk.ts')).toContain('export const RomfsLiteSuper');
    expect(text(tree, 'packages/romfs-lite/src/ondisk.ts')).toContain('export const ROMFS_LITE_MAGIC');
  });

  it('sets a driver up as the drivers here are', async () => {
    const tree = await generated('romfs');
    const made = JSON.parse(text(tree, 'packages/romfs/package.json')) as Record<string, unknown>;
    const ext2 = JSON.parse(readFileSync(join(root, 'packages/ext2/package.json'), 'utf8')) as Record<string, unknown>;
    for (const key of ['version', 'license', 'type', 'engines', 'files', 'exports', 'nx', 'sideEffects']) {
      expect([key, made[key]]).toEqual([key, ext2[key]]);
    }
    interface Config {
      references?: { path: string }[];
    }
    for (const name of ['tsconfig.json', 'tsconfig.lib.json', 'tsconfig.spec.json']) {
      const like = JSON.parse(readFileSync(join(root, 'packages/ext2', name), 'utf8')) as Config;
      // What only drivers with block maps stand on, and the old way beside them.
      const references = like.references?.filter(({ path }) => !/block-map|buffer-head/.test(path));
      expect([name, JSON.parse(text(tree, `packages/romfs/${name}`))]).toEqual([name, { ...like, references }]);
    }
  });

  it('refuses a name that no package can have, and one that is taken', async () => {
    const { driverGenerator } = await import('./generator.js');
    const tree = createTreeWithEmptyWorkspace();
    for (const name of ['', 'Ext3', '../ext3', 'a/b', 'a b', '-a', 'a--b']) {
      await expect(driverGenerator(tree, { name })).rejects.toThrow(/cannot be a package's name/);
    }
    tree.write('packages/ext3/package.json', '{}');
    await expect(driverGenerator(tree, { name: 'ext3' })).rejects.toThrow(/is there already/);
  });

  describe('on the disk', () => {
    // Beside the packages' own tmp folders, so that node_modules is found above it.
    let folder: string;
    beforeAll(async () => {
      mkdirSync(join(root, 'tools/tmp'), { recursive: true });
      folder = mkdtempSync(join(root, 'tools/tmp/driver-'));
      const tree = await generated('romfs');
      for (const change of tree.listChanges()) {
        if (!change.path.startsWith('packages/romfs/')) continue;
        mkdirSync(dirname(join(folder, change.path)), { recursive: true });
        writeFileSync(join(folder, change.path), change.content ?? '');
      }
      // The rest of the workspace, as its neighbours.
      for (const name of ['tsconfig.base.json', 'jest.preset.js', 'tools']) symlinkSync(join(root, name), join(folder, name));
      for (const name of readdirSync(join(root, 'packages'))) {
        symlinkSync(join(root, 'packages', name), join(folder, 'packages', name));
      }
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it('type-checks', () => {
      const config = join(folder, 'packages/romfs/tsconfig.spec.json');
      const { options } = ts.parseJsonConfigFileContent(
        ts.readConfigFile(config, (path) => readFileSync(path, 'utf8')).config,
        ts.sys,
        dirname(config),
      );
      const sources = readdirSync(join(folder, 'packages/romfs/src')).map((name) => join(folder, 'packages/romfs/src', name));
      const program = ts.createProgram(sources, { ...options, composite: false, noEmit: true, emitDeclarationOnly: false });
      const found = ts
        .getPreEmitDiagnostics(program)
        .filter(({ file }) => file?.fileName.includes('/packages/romfs/'))
        .map(({ file, messageText }) => `${file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
      expect(found).toEqual([]);
    });

    it('passes its own tests', () => {
      const jest = join(root, 'node_modules/jest/bin/jest.js');
      const { status, stderr } = spawnSync(process.execPath, [jest, '--testPathIgnorePatterns', '/none/'], {
        cwd: join(folder, 'packages/romfs'),
        encoding: 'utf8',
        env: { ...process.env, IOMAP_TEST_COUNT: '' },
      });
      expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    });
  });

  it('is found by Nx under its name', () => {
    const nx = join(root, 'node_modules/.bin/nx');
    const { status, stdout, stderr } = spawnSync(nx, ['g', '@iomap/tools:driver', 'romfs', '--dry-run'], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false', NX_INTERACTIVE: 'false' },
    });
    expect({ status, output: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, output: '' });
    // Nx colours its lines when the caller's environment asks for it.
    expect(stripVTControlCharacters(stdout)).toContain('CREATE packages/romfs/src/ondisk.ts');
    expect(existsSync(join(root, 'packages/romfs'))).toBe(false);
  });
});
