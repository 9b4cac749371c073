/** Repair of images that have lost their superblock wholly: the geometry comes from the image, or the repair refuses and writes nothing. */
import { applyUndo } from '@iomap/block-map';
import { describeFsTree, imageDevice, poolBytes, random, type Tree } from '@iomap/conformance';
import { fixedEnv, FsError, runSync } from '@iomap/io';
import { testSeed } from '@iomap/tools/testing';
import { createVfs, O_CREAT, O_WRONLY } from '@iomap/vfs';
import { check, mkfs, mount, repair, type MkfsOptions } from '../src/index.js';
import { MinixInodeV2 } from '../src/ondisk.js';
import { decodeSuper, type SuperInfo } from '../src/super.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
const seed = testSeed();

type Case = readonly [name: string, options: MkfsOptions, sizeBytes: number];

const MIB = 2 ** 20;

/** Versions, names, orders of bytes and bits, block and zone sizes, numbers of inodes. */
function cases(): Case[] {
  const list: Case[] = [];
  const add = (options: MkfsOptions, sizeBytes = 2 * MIB): void => {
    const name = Object.values(options).join(' ');
    list.push([`${name}, ${sizeBytes / 1024} KiB`, options, sizeBytes]);
  };
  for (const byteOrder of ['le', 'be'] as const) {
    for (const inodes of byteOrder === 'le' ? [64, 3000] : [200]) {
      for (const nameMax of [14, 30] as const) for (const version of [1, 2] as const) add({ version, nameMax, byteOrder, inodes });
      for (const blockSize of [1024, 2048, 4096] as const) add({ version: 3, blockSize, byteOrder, inodes });
    }
  }
  for (const zoneSize of [2048, 8192]) {
    add({ version: 1, nameMax: 14, zoneSize, inodes: 100 });
    add({ version: 3, blockSize: 2048, zoneSize, inodes: 100 });
  }
  add({ version: 2, byteOrder: 'be', bitOrder: 'be64', inodes: 300 });
  add({ version: 2, inodes: 20_000 }, 12 * MIB);
  add({ version: 3, inodes: 9000 }, 40 * MIB);
  return list;
}

/** A tree of a few directories and files, some behind indirect zones. */
function fill(bytes: Uint8Array, files = 24): void {
  const r = random(seed);
  const vfs = createVfs(runSync(mount(imageDevice(bytes), { env })), { env });
  runSync(vfs.mkdir('/d', 0o755));
  runSync(vfs.mkdir('/d/e', 0o700));
  for (let n = 0; n < files; n++) {
    const fd = runSync(vfs.open(`${r.pick(['', '/d', '/d/e'])}/f${n}`, O_WRONLY | O_CREAT, 0o644));
    runSync(vfs.write(fd, poolBytes(n * 1000, n === 7 ? 60_000 : r.between(0, 9000)), 0));
    runSync(vfs.close(fd));
  }
  runSync(vfs.symlink('d/e', '/link'));
  runSync(vfs.unmount());
}

function make(options: MkfsOptions, sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  runSync(mkfs(imageDevice(bytes), options, env));
  fill(bytes);
  return bytes;
}

const treeOf = (bytes: Uint8Array): Tree =>
  runSync(describeFsTree(runSync(mount(imageDevice(bytes, { readOnly: true }), { env, readOnly: true })), { xattrs: false }));

const infoOf = (bytes: Uint8Array): SuperInfo => decodeSuper(bytes.subarray(1024), bytes.length);

const WAYS: readonly ((part: Uint8Array) => unknown)[] = [(part) => part.fill(0), (part) => part.fill(0xff), (part) => random(seed).fill(part)];

/** The files of a tree by content, wherever they are. */
const contents = (tree: Tree): string[] =>
  [...tree.values()]
    .filter((node) => node.type === 'file' || node.type === 'symlink')
    .map((node) => JSON.stringify([node.type, node.size, node.hash, node.target]))
    .sort();

const inodePos = (info: SuperInfo, ino: number): number => info.tableBlock * info.blockSize + (ino - 1) * info.inodeSize;

function refusal(bytes: Uint8Array): string {
  try {
    runSync(repair(imageDevice(bytes), { beforeWrite: () => expect('written').toBe('refused') }));
  } catch (error) {
    if (error instanceof FsError) return `${error.code} ${error.why ?? ''}`;
    throw error;
  }
  return 'repaired';
}

describe('repair without a superblock', () => {
  it.each(cases())('finds the geometry of %s', (_name, options, sizeBytes) => {
    const sound = make(options, sizeBytes);
    const wanted = treeOf(sound);
    for (const wipe of WAYS.slice(0, options.inodes === 64 ? 3 : 2)) {
      const bytes = sound.slice();
      wipe(bytes.subarray(1024, 2048));
      expect(runSync(repair(imageDevice(bytes))).clean).toBe(true);
      expect(infoOf(bytes)).toEqual({ ...infoOf(sound), state: expect.any(Number) as number });
      expect(treeOf(bytes)).toEqual(wanted);
    }
  });

  it.each(cases())('and loses no file of %s with half of the inode bitmap, or the root, lost too', (_name, options, sizeBytes) => {
    const sound = make(options, sizeBytes);
    const info = infoOf(sound);
    const wanted = treeOf(sound);
    const imap = 2 * info.blockSize;
    const ways: readonly ((bytes: Uint8Array) => unknown)[] = [
      (bytes) => bytes.fill(0, imap, imap + info.blockSize / 2),
      (bytes) => bytes.fill(0xff, imap, imap + info.blockSize / 2),
      (bytes) => bytes.fill(0, info.zmapBlock * info.blockSize, (info.zmapBlock + 1) * info.blockSize),
    ];
    for (const also of ways) {
      const bytes = sound.slice();
      bytes.fill(0, 1024, 2048);
      also(bytes);
      expect(runSync(repair(imageDevice(bytes))).clean).toBe(true);
      expect(treeOf(bytes)).toEqual(wanted);
    }
    const bytes = sound.slice();
    bytes.fill(0, 1024, 2048);
    bytes.fill(0, inodePos(info, 1), inodePos(info, 2));
    expect(runSync(repair(imageDevice(bytes))).clean).toBe(true);
    expect(contents(treeOf(bytes))).toEqual(contents(wanted));
  });

  it('finds a filesystem that is smaller than its device', () => {
    const bytes = make({ version: 2, nameMax: 30, inodes: 128, sizeBytes: MIB }, 8 * MIB);
    const info = infoOf(bytes);
    const wanted = treeOf(bytes);
    bytes.fill(0, 1024, 2048);
    expect(runSync(repair(imageDevice(bytes))).clean).toBe(true);
    expect(treeOf(bytes)).toEqual(wanted);
    const { zonesCount } = infoOf(bytes);
    // The end is where the last free zone is: the tail behind it cannot be told from what is behind the end.
    expect([zonesCount <= info.zonesCount, zonesCount > info.zonesCount - 64]).toEqual([true, true]);
  });

  it('is not led astray by an image in a file, nor by what an earlier filesystem left', () => {
    const inner = make({ version: 1, nameMax: 14, inodes: 200 }, MIB / 2);
    const outer = new Uint8Array(4 * MIB);
    runSync(mkfs(imageDevice(outer), { version: 3, blockSize: 2048, inodes: 4000 }, env));
    fill(outer, 60);
    runSync(mkfs(imageDevice(outer), { version: 2, nameMax: 30, inodes: 160 }, env));
    fill(outer);
    const vfs = createVfs(runSync(mount(imageDevice(outer), { env })), { env });
    const fd = runSync(vfs.open('/image', O_WRONLY | O_CREAT, 0o644));
    runSync(vfs.write(fd, inner, 0));
    runSync(vfs.close(fd));
    runSync(vfs.unmount());
    const info = infoOf(outer);
    const wanted = treeOf(outer);
    outer.fill(0, 1024, 2048);
    expect(runSync(repair(imageDevice(outer))).clean).toBe(true);
    expect(infoOf(outer)).toEqual({ ...info, state: expect.any(Number) as number });
    expect(treeOf(outer)).toEqual(wanted);
  });

  it('gives the undo file first, and a dry run writes nothing', () => {
    const bytes = make({ version: 3 }, 2 * MIB);
    bytes.fill(0, 1024, 2048);
    const before = bytes.slice();
    expect(runSync(repair(imageDevice(bytes), { dryRun: true })).clean).toBe(true);
    expect(Buffer.compare(bytes, before)).toBe(0);
    let undo = new Uint8Array(0);
    runSync(repair(imageDevice(bytes), { beforeWrite: (file) => void (undo = file.slice()) }));
    expect(runSync(check(imageDevice(bytes))).clean).toBe(true);
    runSync(applyUndo(imageDevice(bytes), undo));
    expect(Buffer.compare(bytes, before)).toBe(0);
  });

  it('refuses by name, writing nothing, what nothing speaks for', () => {
    for (const wipe of WAYS) {
      const bytes = new Uint8Array(MIB);
      wipe(bytes);
      const before = bytes.slice();
      expect(refusal(bytes)).toBe('EUCLEAN no superblock, and none that would fit');
      expect(Buffer.compare(bytes, before)).toBe(0);
    }
  });

  it('refuses where two geometries fit as well: both bitmaps are lost, and nothing tells the block size', () => {
    const bytes = make({ version: 3, blockSize: 2048, zoneSize: 16_384, inodes: 100 }, 3 * MIB);
    const info = infoOf(bytes);
    bytes.fill(0, 1024, info.tableBlock * info.blockSize);
    const before = bytes.slice();
    expect(refusal(bytes)).toBe('EUCLEAN no superblock, and more than one that would fit');
    expect(Buffer.compare(bytes, before)).toBe(0);
  });

  it('ends soon on a device full of what looks like directories', () => {
    const bytes = new Uint8Array(12 * MIB);
    const layout = MinixInodeV2.le;
    for (let at = 4096; at < bytes.length; at += 64) {
      const inode = layout.at(bytes, at);
      inode.i_mode = 0o040755;
      inode.i_nlinks = 2;
      inode.i_size = 4096;
      for (let i = 0; i < 10; i++) inode.i_zone.set(i, 16 + ((at / 64 + i * 977) % 10_000));
    }
    // And some are directories to each of them.
    const dots = [0, 0, 0x2e, ...new Array<number>(13).fill(0), 1, 0, 0x2e, 0x2e, 0];
    for (let zone = 16; zone < 10_000; zone += 3) {
      bytes.set(dots, zone * 1024);
      bytes.set([zone % 251, zone % 3], zone * 1024);
    }
    const start = performance.now();
    expect(refusal(bytes)).toMatch(/^(EUCLEAN|repaired)/);
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  it('the root has its zone before all other directories', () => {
    const bytes = new Uint8Array(64 * 1024);
    runSync(mkfs(imageDevice(bytes), { version: 1, inodes: 64 }, env));
    const vfs = createVfs(runSync(mount(imageDevice(bytes), { env })), { env });
    for (let n = 0; n < 20; n++) runSync(vfs.mkdir(`/d${n}`, 0o755));
    runSync(vfs.mknod('/fifo', 0o010644));
    runSync(vfs.unmount());
    const info = infoOf(bytes);
    // The device ends behind two zones, and the root and many directories have lost theirs.
    const short = bytes.slice(0, (info.firstDataZone + 2) * 1024);
    short.fill(0xa5, inodePos(info, 1), inodePos(info, 2));
    expect(runSync(repair(imageDevice(short))).clean).toBe(true);
    expect([...treeOf(short).values()].filter((node) => node.type === 'fifo')).toHaveLength(1);
  });
});
