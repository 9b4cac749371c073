/**
 * The packages' READMEs say only what is so: their TypeScript is type-checked against the packages as published and run, their shell
 * blocks are run, in a folder that has what they name. Needs the builds (`nx build`).
 *
 * What mounts runs as root with /dev/fuse alone (with CI=true always), in a mount namespace of its own: what it adds to /sbin and to
 * /etc/fstab is gone with it.
 */
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { transformSync } from 'esbuild';
import * as ts from 'typescript';
import { STRICT_USER } from './compiler-options.js';
import { publicPackages, root } from './entries.js';
import { blocksOf, canMount, UNMOUNT_AT_EXIT, type Block } from './markdown.js';

/** What an example leaves to its reader, where it is a piece of a driver: it is type-checked with this before it, and not run. */
const GIVEN: Readonly<Record<string, string>> = {
  conformance: `
    import type { HostileOptions } from '@iomap/conformance';
    declare const mkfs: DriverUnderTest['mkfs'];
    declare const mount: DriverUnderTest['mount'];
    declare const check: DriverUnderTest['check'];
    declare const structures: Exclude<DriverUnderTest['structures'], undefined>;
    declare const bases: HostileOptions['bases'];`,
  'iomap-core': `
    import type { IomapInode, WritebackOps } from '@iomap/iomap-core';
    import type { Io } from '@iomap/io';
    interface MyInode extends IomapInode { mapping: AddressSpace }
    declare const inode: MyInode;
    declare const wbOps: WritebackOps<MyInode>;
    declare const pos: number;
    declare const bytes: Uint8Array;`,
};

/** What the examples that run print. */
const PRINTS: Readonly<Record<string, RegExp>> = {
  'block-device': /bytes: 1024/,
  'block-map': /^17$/m,
  'buffer-head': /^function function$/m,
  io: /^(SimulationError: )?seed 1, step 1: after a crash that left \[-\] of the unsettled writes: the record was lost$|^$/m,
  minixfs: /^true$/m,
  'page-cache': /^65536$/m,
  vfs: /^hello$/m,
  'xfs-lite': /motd/,
};

const packages = publicPackages().map(({ folder }) => basename(folder));
const blocks = new Map(packages.map((name) => [name, blocksOf(readFileSync(join(root, 'packages', name, 'README.md'), 'utf8'))]));
const blocksIn = (language: string): [name: string, block: Block][] =>
  [...blocks].flatMap(([name, all]) => all.filter((block) => block.language === language).map((block): [string, Block] => [name, block]));
const typescript = blocksIn('ts');
const shell = blocksIn('sh');

// Left out where nobody can mount: without /dev/fuse, or not as root. CI has both.
const itMounted = canMount() ? it : it.skip;

let folder: string;
let example: string;
const inFolder = (name: string): string => join(folder, name);

function run(command: string, args: readonly string[], cwd: string): SpawnSyncReturns<string> {
  // What a user's shell has: nothing that a runner of tests has set (Nx sets FORCE_COLOR).
  const { FORCE_COLOR: _, ...rest } = process.env;
  const env = { ...rest, PATH: `${inFolder('bin')}:${process.env['PATH'] ?? ''}` };
  return spawnSync(command, args, { cwd, encoding: 'utf8', env, timeout: 60_000 });
}

/** Runs a script that has to succeed. */
function sh(script: string, cwd: string): string {
  const { status, stdout, stderr } = run('bash', ['-euo', 'pipefail', '-c', script], cwd);
  expect({ script, status, output: status === 0 ? '' : stdout + stderr }).toEqual({ script, status: 0, output: '' });
  return stdout;
}

/** An image as the second partition of a disk. */
function partitioned(image: Buffer): Buffer {
  const start = 2048;
  const disk = Buffer.alloc(start * 512 + image.length);
  for (const [slot, first, count] of [[0, 64, 64], [1, start, image.length / 512]] as const) {
    const entry = 446 + slot * 16;
    disk[entry + 4] = 0x83;
    disk.writeUInt32LE(first, entry + 8);
    disk.writeUInt32LE(count, entry + 12);
  }
  disk.writeUInt16LE(0xaa55, 510);
  image.copy(disk, start * 512);
  return disk;
}

/** A folder with what the READMEs name: a tree, and images of it. */
function prepare(name: string): string {
  const cwd = inFolder(name);
  mkdirSync(cwd);
  sh('mkdir -p rootfs/etc rootfs/var/log site mnt; echo hello > rootfs/etc/motd; cp rootfs/etc/motd rootfs/var/log/syslog; cp rootfs/etc/motd site', cwd);
  for (const image of ['disk.img', 'whole.img']) copyFileSync(inFolder(image), join(cwd, image));
  return cwd;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'iomap-readmes-'));
  mkdirSync(inFolder('bin'));
  const commands = { iomap: 'cli/dist/main.js', 'mount.fuse.iomap': 'fuse/dist/mount-helper.js', 'umount.fuse.iomap': 'fuse/dist/umount-helper.js' };
  for (const [name, file] of Object.entries(commands)) {
    const command = inFolder(join('bin', name));
    writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'packages', file)}" "$@"\n`);
    chmodSync(command, 0o755);
  }
  mkdirSync(inFolder('tree/etc'), { recursive: true });
  writeFileSync(inFolder('tree/etc/motd'), 'hello\n');
  sh('iomap build -t ext2 --size 4M tree disk.img && iomap build -t xfs tree/etc xfs.img', folder);
  writeFileSync(inFolder('whole.img'), partitioned(readFileSync(inFolder('disk.img'))));
  example = inFolder('example');
  mkdirSync(example);
  writeFileSync(join(example, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(root, 'node_modules'), join(example, 'node_modules'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('every package has an example, and no block of a language that nobody checks', () => {
  expect([...new Set([...blocks.values()].flat().map(({ language }) => language))].filter((language) => !['', 'sh', 'ts'].includes(language))).toEqual([]);
  expect(packages.filter((name) => !typescript.some(([other]) => other === name))).toEqual([]);
});

it('the examples type-check against the packages as published', () => {
  const files = typescript.map(([name, { code }], i) => {
    const given = GIVEN[name];
    const file = join(example, `types-${String(i)}.ts`);
    const imports = code.match(/^import .*$/gm) ?? [];
    const body = code.replaceAll(/^import .*$/gm, '');
    // A piece of a driver may wait: it stands in an Io function.
    writeFileSync(file, given === undefined ? code : `${imports.join('\n')}${given}\nfunction* example() {${body}}\nexport { example };\n`);
    return file;
  });
  const program = ts.createProgram(files, STRICT_USER);
  const messages = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
    const name = typescript[files.indexOf(file?.fileName ?? '')]?.[0] ?? '';
    return `${name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
  expect(messages).toEqual([]);
});

describe('the examples run', () => {
  const runnable = typescript.filter(([name]) => GIVEN[name] === undefined);
  it.each(runnable.filter(([name]) => name !== 'fuse'))('%s', (name, { code }) => {
    const cwd = inFolder(`run-${name}`);
    if (!existsSync(cwd)) {
      mkdirSync(cwd);
      symlinkSync(join(root, 'node_modules'), join(cwd, 'node_modules'));
    }
    copyFileSync(inFolder(name === 'xfs-lite' ? 'xfs.img' : 'disk.img'), join(cwd, 'disk.img'));
    writeFileSync(join(cwd, 'example.mjs'), transformSync(code, { loader: 'ts', format: 'esm', target: 'node20' }).code);
    const { status, stdout, stderr } = run(process.execPath, ['example.mjs'], cwd);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(PRINTS[name] ?? /^$/);
  });

  itMounted('fuse', () => {
    const cwd = prepare('fuse-example');
    symlinkSync(join(root, 'node_modules'), join(cwd, 'node_modules'));
    const code = typescript.find(([name]) => name === 'fuse')?.[1].code ?? '';
    writeFileSync(join(cwd, 'example.mjs'), `${transformSync(code, { loader: 'ts', format: 'esm', target: 'node20' }).code}console.log('ended');\n`);
    expect(sh(`unshare --mount --propagation private "${process.execPath}" example.mjs`, cwd)).toBe('ended\n');
  });
});

describe('the commands run', () => {
  it.each(shell.filter(([name]) => name !== 'fuse'))('%s', (name, { code }) => {
    const lines = code.split('\n').filter((line) => !/^npm /.test(line));
    sh(lines.join('\n'), prepare(`sh-${name}`));
  });

  itMounted('fuse', () => {
    const cwd = prepare('sh-fuse');
    const own = [
      'mkdir own; mount -t tmpfs tmpfs own',
      'for dir in /etc "$(readlink -f /sbin)"; do',
      '  over="$PWD/own/$(basename "$dir")"; mkdir -p "$over/upper" "$over/work"',
      '  mount -t overlay overlay -o "lowerdir=$dir,upperdir=$over/upper,workdir=$over/work" "$dir"',
      'done',
    ];
    const commands = shell.filter(([name]) => name === 'fuse').map(([, { code }]) => code);
    expect(commands).toHaveLength(2);
    const script = join(cwd, 'script');
    writeFileSync(script, ['set -euo pipefail', UNMOUNT_AT_EXIT, ...own, ...commands].join('\n'));
    sh('unshare --mount --propagation private bash script', cwd);
    expect(existsSync('/sbin/mount.fuse.iomap')).toBe(false);
  });
});
