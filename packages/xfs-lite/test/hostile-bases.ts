/**
 * Small images for mutation, made by mkfs.xfs and the kernel: every form of every structure, in as few inodes and blocks as can be,
 * so that thousands of mutants go through mount, walk and check in a moment.
 */
import { oracle, poolBytes, removeScratch, runTool, scratchDir, withLoopMount } from '@iomap/conformance';
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirty } from './dirty.js';
import { mkfsXfs } from './driver.js';

export interface Place {
  readonly pos: number;
  readonly length: number;
  /** Where the checksum is; -1 = none. */
  readonly crc: number;
  readonly kind: string;
}

export interface Base {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Metadata: blocks with a magic number that we know. */
  readonly blocks: readonly Place[];
  /** The log has to be replayed: fsck does not look at such an image as it is. */
  readonly isDirty: boolean;
}

const MAGIC32: ReadonlyMap<number, readonly [kind: string, crc: number]> = new Map([
  [0x5841_4746, ['agf', 216]],
  [0x5841_4749, ['agi', 312]],
  [0x5841_464c, ['agfl', 32]],
  [0x5844_4233, ['dir block', 4]],
  [0x5844_4433, ['dir data', 4]],
  [0x5844_4633, ['dir free', 4]],
  [0x424d_4133, ['bmbt', 64]],
  [0x4142_3342, ['bnobt', 52]],
  [0x4142_3343, ['cntbt', 52]],
  [0x4941_4233, ['inobt', 52]],
  [0x4649_4233, ['finobt', 52]],
  [0x524d_4233, ['rmapbt', 52]],
  [0x5233_4643, ['refcountbt', 52]],
  [0x5841_524d, ['attr remote', 12]],
  [0x5853_4c4d, ['symlink', 12]],
  [0x5844_3242, ['dir block', -1]],
  [0x5844_3244, ['dir data', -1]],
  [0x5844_3246, ['dir free', -1]],
  [0x424d_4150, ['bmbt', -1]],
  [0x4142_5442, ['bnobt', -1]],
  [0x4142_5443, ['cntbt', -1]],
  [0x4941_4254, ['inobt', -1]],
]);
const MAGIC16: ReadonlyMap<number, readonly [kind: string, crc: number]> = new Map([
  [0x3ebe, ['da node', 12]],
  [0x3df1, ['dir leaf1', 12]],
  [0x3dff, ['dir leafn', 12]],
  [0x3bee, ['attr leaf', 12]],
  [0xfebe, ['da node', -1]],
  [0xd2f1, ['dir leaf1', -1]],
  [0xd2ff, ['dir leafn', -1]],
  [0xfbee, ['attr leaf', -1]],
]);

/** Finds metadata by magic number: good enough to aim at. */
export function findBlocks(bytes: Uint8Array): Place[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blockSize = view.getUint32(4);
  const sectorSize = view.getUint16(102);
  const inodeSize = view.getUint16(104);
  const dirBlockSize = blockSize * 2 ** view.getUint8(192);
  const isV5 = (view.getUint16(100) & 0xf) === 5;
  const found: Place[] = [{ pos: 0, length: sectorSize, crc: isV5 ? 224 : -1, kind: 'superblock' }];
  for (let pos = 512; pos < bytes.length; pos += 512) {
    const magic = view.getUint32(pos);
    if (magic === 0 && pos % blockSize !== 0) continue;
    if (magic === 0xfeed_babe) {
      found.push({ pos, length: 512, crc: -1, kind: 'log record' }, { pos: pos + 512, length: 4096, crc: -1, kind: 'log data' });
      continue;
    }
    if (magic === 0x5846_5342) {
      found.push({ pos, length: sectorSize, crc: isV5 ? 224 : -1, kind: 'superblock copy' });
      continue;
    }
    const known = MAGIC32.get(magic);
    if (known !== undefined) {
      const isHeader = known[0].startsWith('ag');
      const length = isHeader ? sectorSize : known[0].startsWith('dir') ? dirBlockSize : blockSize;
      if (isHeader || pos % blockSize === 0) found.push({ pos, length, crc: isHeader && !isV5 ? -1 : known[1], kind: known[0] });
    } else if (magic >>> 16 === 0x494e && pos % inodeSize === 0) {
      // Those in use nine times of ten.
      if (view.getUint16(pos + 2) !== 0) found.push({ pos, length: inodeSize, crc: isV5 ? 100 : -1, kind: 'inode' });
      else if (pos % (16 * inodeSize) === 0) found.push({ pos, length: inodeSize, crc: isV5 ? 100 : -1, kind: 'free inode' });
    } else if (pos % blockSize === 0) {
      const leaf = MAGIC16.get(view.getUint16(pos + 8));
      if (leaf !== undefined) found.push({ pos, length: leaf[0] === 'dir leaf1' || leaf[0] === 'dir leafn' ? dirBlockSize : blockSize, crc: leaf[1], kind: leaf[0] });
    }
  }
  return found;
}

const touch = (path: string): void => closeSync(openSync(path, 'w'));

/** Names of one file, so that a large directory needs no inodes. */
function fillDirectory(dir: string, name: string, count: number, removeEvery: number): void {
  const one = join(dir, name);
  const target = join(dir, 'target');
  mkdirSync(one);
  for (let n = 0; n < count; n++) linkSync(target, join(one, `n${n}-${'x'.repeat((n * 37) % 40)}`));
  for (let n = 1; n < count; n += removeEvery) rmSync(join(one, `n${n}-${'x'.repeat((n * 37) % 40)}`));
}

/** Every form there is, in some sixty inodes. */
function fill(dir: string, { blockSize, reflink }: { readonly blockSize: number; readonly reflink: boolean }): void {
  touch(join(dir, 'target'));
  fillDirectory(dir, 'inline', 4, 3);
  fillDirectory(dir, 'block', blockSize === 1024 ? 18 : 60, 5);
  fillDirectory(dir, 'leaf', blockSize === 1024 ? 90 : 300, 7);
  fillDirectory(dir, 'node', blockSize === 1024 ? 260 : 1100, 9);
  mkdirSync(join(dir, 'inline/deeper'));
  mkdirSync(join(dir, 'inline/deeper/still'));
  touch(join(dir, 'inline/deeper/still/file'));
  const links = join(dir, 'links');
  mkdirSync(links);
  for (const length of [1, 300, 1000, 1023]) symlinkSync('l'.repeat(length), join(links, `${length}`));
  for (const [name, blocks] of [['few', 8], ['tree', 60], ['deep', blockSize === 1024 ? 700 : 300]] as const) {
    const fd = openSync(join(dir, name), 'w');
    for (let n = 0; n < blocks; n++) writeSync(fd, poolBytes(n, 100), 0, 100, n * 2 * blockSize);
    fsyncSync(fd);
    closeSync(fd);
  }
  const io = oracle('xfs-io');
  io.run(['-f', '-c', 'extsize 64k', '-c', 'falloc 0 300k', '-c', 'pwrite -q 64k 20k', '-c', 'fpunch 100k 20k', join(dir, 'prealloc')], { expect: [0] });
  io.run(['-f', '-c', 'falloc -k 0 200k', '-c', 'pwrite -q 0 10k', '-c', 'chattr +dA', '-c', 'chproj 4711', join(dir, 'beyond')], { expect: [0] });
  writeFileSync(join(dir, 'shared'), poolBytes(3, 60_000));
  runTool('sync', [dir], { expect: [0] });
  if (reflink) {
    for (const name of ['shared-1', 'shared-2']) {
      runTool('cp', ['--reflink=always', join(dir, 'shared'), join(dir, name)], { expect: [0] });
      io.run(['-c', `pwrite -q ${name.length}k 4k`, '-c', 'pwrite -q 32k 4k', join(dir, name)], { expect: [0] });
    }
  }
  for (const [name, type] of [['null', 'c'], ['disk', 'b']] as const) runTool('mknod', [join(dir, name), type, '1', '3'], { expect: [0] });
  runTool('mknod', [join(dir, 'fifo'), 'p'], { expect: [0] });
  fillXattrs(dir);
  mkdirSync(join(dir, 'gone'));
  for (let n = 0; n < 80; n++) writeFileSync(join(dir, `gone/${n}`), poolBytes(n, n % 3 === 0 ? 3000 : 0));
  mkdirSync(join(dir, 'gone/directory'));
  symlinkSync('l'.repeat(100), join(dir, 'gone/link'));
  runTool('sync', [dir], { expect: [0] });
  for (const name of ['directory', 'link']) rmSync(join(dir, 'gone', name), { recursive: true });
  for (let n = 0; n < 80; n++) if (n % 11 > 0) rmSync(join(dir, `gone/${n}`));
}

function fillXattrs(dir: string): void {
  const hex = (seed: number, length: number): string => Buffer.from(poolBytes(seed, length)).toString('hex');
  let dump = '';
  for (const name of ['x-few', 'x-mid', 'x-many', 'x-large']) touch(join(dir, name));
  dump += `# file: ${join(dir, 'x-few')}\nuser.a=0x01\ntrusted.b=0x0203\nsecurity.c=0x040506\n\n`;
  dump += `# file: ${join(dir, 'x-mid')}\n`;
  for (let n = 0; n < 9; n++) dump += `trusted.mid-${n}=0x${hex(n, 60 + n)}\n`;
  dump += `\n# file: ${join(dir, 'x-many')}\n`;
  for (let n = 0; n < 70; n++) dump += `user.many-${n}-${'y'.repeat((n * 11) % 70)}=0x${hex(n, (n * 13) % 120)}\n`;
  dump += `\n# file: ${join(dir, 'x-large')}\n`;
  for (const [n, length] of [20_000, 4040, 3000, 0].entries()) dump += `user.large-${n}=0x${hex(n, length)}\n`;
  const set = oracle('setfattr');
  set.run(['--restore=-'], { input: dump, expect: [0] });
  for (const n of [3, 4, 5]) set.run(['-x', `user.many-${n}-${'y'.repeat((n * 11) % 70)}`, join(dir, 'x-many')], { expect: [0] });
  set.run(['-x', 'user.large-1', join(dir, 'x-large')], { expect: [0] });
  oracle('setfacl').run(['-m', 'u:1:rwx,u:70000:r--,g:5:rw-,m::rwx', join(dir, 'x-few'), join(dir, 'links')], { expect: [0] });
  oracle('setfacl').run(['-d', '-m', 'u:9:rwx,g:9:---', join(dir, 'links')], { expect: [0] });
}

interface Recipe {
  readonly name: string;
  readonly args: string;
  readonly sizeMib: number;
  /** Operations of a workload that is cut off; 0 = a clean image. */
  readonly dirtyOps: number;
}

const RECIPES: readonly Recipe[] = [
  { name: '1k', args: '-b size=1024 -m rmapbt=1 -d agcount=2 -l size=6m', sizeMib: 40, dirtyOps: 0 },
  { name: '4k', args: '-d agcount=2 -i nrext64=1 -l size=16m', sizeMib: 64, dirtyOps: 0 },
  { name: 'plain', args: '-b size=1024 -n size=4096 -m reflink=0,rmapbt=0,finobt=0,bigtime=0,inobtcount=0 -i sparse=0 -d agcount=2 -l size=6m', sizeMib: 40, dirtyOps: 0 },
  { name: '4k sectors', args: '-s size=4096 -m rmapbt=1 -d agcount=2 -l size=16m', sizeMib: 64, dirtyOps: 0 },
  { name: 'v4', args: '-b size=1024 -m crc=0 -d agcount=2 -l size=6m', sizeMib: 40, dirtyOps: 0 },
  { name: 'dirty 1k', args: '-b size=1024 -l size=6m', sizeMib: 40, dirtyOps: 28 },
  { name: 'dirty rmapbt', args: '-b size=2048 -m rmapbt=1 -i nrext64=1 -d agcount=2 -l size=10m', sizeMib: 64, dirtyOps: 28 },
];

/** Version 4, which a kernel may not mount: mkfs.xfs fills it from a prototype. */
function makeV4(image: string, sizeMib: number, args: readonly string[]): void {
  const dir = scratchDir('iomap-xfs');
  try {
    writeFileSync(join(dir, 'empty'), '');
    writeFileSync(join(dir, 'content'), poolBytes(1, 50_000));
    const file = (name: string, from: string): string => `${name} ---644 5 6 ${join(dir, from)}`;
    const lines = ['/dev/null', '0 0', 'd--755 0 0', file('large', 'content'), 'link l--777 0 0 some/where', 'null c--666 0 0 1 3', 'pipe p--600 1 2'];
    for (const [name, count] of [['inline', 3], ['block', 15], ['leaf', 30], ['node', 125]] as const) {
      lines.push(`${name} d--755 0 0`);
      for (let n = 0; n < count; n++) lines.push(file(`name-${n}-${'x'.repeat(n % 40)}`, 'empty'));
      lines.push('$');
    }
    writeFileSync(join(dir, 'proto'), [...lines, '$', ''].join('\n'));
    mkfsXfs(image, sizeMib * 2 ** 20, [...args, '-p', join(dir, 'proto')]);
  } finally {
    removeScratch(dir);
  }
}

function makeImage(image: string, { args, sizeMib, dirtyOps }: Recipe): void {
  const all = ['--unsupported', ...args.split(' ')];
  if (dirtyOps > 0) {
    makeDirty(image, { seed: 11, args: all, ops: dirtyOps, sizeBytes: sizeMib * 2 ** 20, flushLog: true });
    return;
  }
  if (args.includes('crc=0')) {
    makeV4(image, sizeMib, all);
    return;
  }
  mkfsXfs(image, sizeMib * 2 ** 20, all);
  const blockSize = args.includes('-b size=1024') ? 1024 : 4096;
  withLoopMount(image, { type: 'xfs' }, (mounted) => fill(mounted, { blockSize, reflink: !args.includes('reflink=0') }));
}

/**
 * The images; as root alone.
 * @param kept a folder that keeps them from one run to the next
 */
export function makeBases(kept?: string): Base[] {
  const scratch = scratchDir('iomap-xfs');
  try {
    return RECIPES.map((recipe) => {
      const known = kept === undefined ? undefined : join(kept, `${recipe.name.replaceAll(' ', '-')}.xfs`);
      const image = known ?? join(scratch, 'image');
      if (known === undefined || !existsSync(known)) {
        const made = kept === undefined ? image : join(kept, `.${recipe.name.replaceAll(' ', '-')}-${process.pid}-${Math.floor(performance.now())}`);
        makeImage(made, recipe);
        // Another worker may have been faster: all take the same.
        if (made !== image && !existsSync(image)) renameSync(made, image);
        else if (made !== image) rmSync(made);
      }
      const bytes = new Uint8Array(readFileSync(image));
      return { name: recipe.name, bytes, blocks: findBlocks(bytes), isDirty: recipe.dirtyOps > 0 };
    });
  } finally {
    removeScratch(scratch);
  }
}
