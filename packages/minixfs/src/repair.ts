/**
 * Repairs a minix filesystem, as fsck.minix does and further: superblock, pointers out of range, zones used twice, directories, lost
 * files, link counts, bitmaps.
 *
 * - Nothing is written before all is decided; with `dryRun` nothing at all. `beforeWrite` gets an undo file first.
 * - What is whole stays: a zone that two files own is copied, a file without a name goes to /lost+found.
 * - A repair ends with a check of what it made.
 */
import { encodeUndo, PagedBits, setRange, testBit } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { FsError, isCode, type Io } from '@iomap/io';
import { findBitOrder } from './bit-order.js';
import { CheckedImage, hasType, hasZones, isDirectory, typeOf } from './check/image.js';
import { checkImage, type CheckReport } from './check.js';
import { BITMAP_BLOCK, MinixSuper, ROOT_INO, S_IFDIR, S_IFLNK, S_IFREG, STATE_ERROR, STATE_VALID, SUPER_POS } from './ondisk.js';
import { DirUnderRepair } from './repair/dir.js';
import { findSuper } from './repair/super.js';
import { TreePass } from './repair/tree.js';
import { Work, type Fix } from './repair/work.js';
import { ZonePass } from './repair/zones.js';
import { zoneBits } from './super.js';

export interface RepairOptions {
  /** Finds out what would be done and writes nothing. Default false. */
  readonly dryRun?: boolean;
  /** Called with an undo file (`applyUndo`) when all is decided and before anything is written. Not called when nothing is. */
  readonly beforeWrite?: (undo: Uint8Array) => void;
}

export interface RepairReport {
  /** What was mended (with `dryRun`: what would be), in order. */
  readonly fixes: readonly Fix[];
  /** Fixes beyond those kept. */
  readonly omitted: number;
  /** True: the image was sound, or is now (with `dryRun`: would be). */
  readonly clean: boolean;
  /** What a check says of the result. */
  readonly after: CheckReport;
  /** Bytes that were (would be) written. */
  readonly changedBytes: number;
}

/**
 * Repairs the filesystem on `device`.
 *
 * Waits on: reads as for `check`, the writes of what changed, a flush.
 * @throws FsError EUCLEAN no superblock fits; EROFS; EOPNOTSUPP; the device's own (then nothing, or a part, is written)
 */
export function* repair(device: BlockDevice, options: RepairOptions = {}): Io<RepairReport> {
  const dryRun = options.dryRun ?? false;
  if (device.readOnly && !dryRun) throw new FsError('EROFS', { detail: { device: device.name } });
  const found = yield* findSuper(device);
  const image = new CheckedImage(device, found.info, yield* findBitOrder(device, found.info));
  const work = new Work(image);
  if (found.bytes !== undefined) yield* putSuper(work, found.bytes);
  const doubtful = yield* gatherInodes(work);
  yield* mendRoot(work);
  yield* new ZonePass(work).run(doubtful);
  yield* dropBroken(work);
  yield* new TreePass(work).run();
  yield* mendLinks(work);
  yield* mendBitmaps(work);
  yield* mendState(work);
  const after = yield* checkImage(image);
  let changedBytes = 0;
  for (const bytes of work.old.values()) changedBytes += bytes.length;
  if (!dryRun && work.old.size > 0) {
    options.beforeWrite?.(encodeUndo(work.old));
    yield* image.buffers.sync();
    yield* image.buffers.flush();
  }
  image.buffers.discardAll();
  return { fixes: work.fixes, omitted: work.omitted, clean: after.clean, after, changedBytes };
}

function* putSuper(work: Work, bytes: Uint8Array): Io<void> {
  const { blockSize } = work.image.info;
  const buf = yield* work.image.block(Math.floor(SUPER_POS / blockSize));
  work.fix('superblock', 'the superblock was damaged');
  work.change(buf);
  buf.bytes.set(bytes.subarray(0, 32), SUPER_POS % blockSize);
}

/**
 * All inodes that are in use: those with a type and links or a bit in the bitmap, and those that have lost their type but own data.
 * @returns those that may be mere remains
 */
function* gatherInodes(work: Work): Io<Set<number>> {
  const { image, inodes } = work;
  const doubtful = new Set<number>();
  const { info } = image;
  let named: PagedBits | undefined;
  for (let ino = 1; ino <= info.inodesCount; ino++) {
    const { block, at } = image.inodePlace(ino);
    const buf = yield* image.block(block);
    if (at === 0 && buf.bytes.every((byte) => byte === 0)) {
      ino += info.inodesPerBlock - 1;
      continue;
    }
    const inode = image.decode(ino, buf, at);
    if (inode.mode === 0 && ino !== ROOT_INO) continue;
    const isMarked = yield* image.inodeBit(ino);
    if (!hasType(inode) && ino !== ROOT_INO) {
      const ownsData = inode.nlink > 0 && isMarked && image.inRange(inode.zones[0] ?? 0);
      if (!ownsData) continue;
      work.fix('mode', `mode ${inode.mode.toString(8)}: taken for a regular file`, ino);
      inode.mode = S_IFREG | (inode.mode & 0o777);
      yield* work.put(inode);
    }
    // Unlinked, and still open when the machine stopped: nothing to keep.
    if (inode.nlink === 0 && ino !== ROOT_INO && !(named ??= yield* namedInodes(work)).has(ino)) continue;
    if (!isMarked) doubtful.add(ino);
    inodes.set(ino, inode);
  }
  if (doubtful.size === 0) return doubtful;
  // What has a name is in use, whatever the bitmap says; and a bitmap that is wrong once says nothing of the others.
  named ??= yield* namedInodes(work);
  for (const ino of doubtful) if (named.has(ino)) return new Set();
  return doubtful;
}

/** Inodes that an entry of some directory leads to. */
function* namedInodes(work: Work): Io<PagedBits> {
  const { image } = work;
  const { info } = image;
  const named = new PagedBits();
  const perZone = info.zoneSize / info.blockSize;
  for (let ino = 1; ino <= info.inodesCount; ino++) {
    const { block, at } = image.inodePlace(ino);
    const buf = yield* image.block(block);
    if (at === 0 && buf.bytes.every((byte) => byte === 0)) {
      ino += info.inodesPerBlock - 1;
      continue;
    }
    const dir = image.decode(ino, buf, at);
    if (!isDirectory(dir)) continue;
    const blocks = Math.min(dir.size, info.zonesCount * info.zoneSize) / info.blockSize;
    for (let index = 0; index < blocks; index++) {
      const zone = yield* image.mapZone(dir, Math.floor(index / perZone));
      if (zone === 0) continue;
      const entries = yield* image.zoneBlock(zone, index % perZone);
      const limit = image.entries.bytesIn(dir, index);
      for (let offset = 0; offset < limit; offset += info.entryBytes) {
        const to = image.entries.rawIno(entries, offset);
        if (to !== ino) named.add(to);
      }
    }
  }
  return named;
}

/** The root must be a directory, whatever else is lost. */
function* mendRoot(work: Work): Io<void> {
  const { image, inodes } = work;
  const root = inodes.get(ROOT_INO) ?? (yield* image.inode(ROOT_INO));
  inodes.set(ROOT_INO, root);
  if (isDirectory(root)) return;
  work.fix('root', 'the root was no directory', ROOT_INO);
  root.mode = S_IFDIR | 0o755;
  const first = root.zones[0] ?? 0;
  let isOurs = false;
  if (image.inRange(first)) {
    const buf = yield* image.zoneBlock(first);
    isOurs = image.entries.rawIno(buf, 0) === ROOT_INO && image.entries.nameAt(buf, 0) === '.';
  }
  if (!isOurs) {
    root.zones.fill(0);
    root.size = 0;
  }
  yield* work.put(root);
}

/** Links without a target are no files: they go. So do directories without a first block for which there is no room. */
function* dropBroken(work: Work): Io<void> {
  const { image, inodes } = work;
  const root = inodes.get(ROOT_INO);
  // The root before all others: without it nothing has a name.
  if (root !== undefined) yield* new DirUnderRepair(work, root).ensure(0);
  for (const inode of [...inodes.values()]) {
    if (isDirectory(inode)) {
      if (inode.ino === ROOT_INO || (yield* new DirUnderRepair(work, inode).ensure(0))) continue;
      work.fix('dir-lost', 'a directory without a first block, and no room for one: removed', inode.ino);
    } else {
      if (typeOf(inode) !== S_IFLNK) continue;
      if (inode.size > 0 && inode.size <= image.info.blockSize && image.inRange(inode.zones[0] ?? 0)) continue;
      work.fix('symlink', 'a symbolic link without a target: removed', inode.ino);
    }
    inodes.delete(inode.ino);
    const { block, at } = image.inodePlace(inode.ino);
    const buf = yield* image.block(block);
    work.change(buf);
    buf.bytes.fill(0, at, at + image.info.inodeSize);
  }
}

function* mendLinks(work: Work): Io<void> {
  for (const inode of work.inodes.values()) {
    const found = work.links.get(inode.ino);
    if (found === 0 || inode.nlink === found) continue;
    work.fix('link-count', `${inode.nlink} links, found ${found}`, inode.ino);
    inode.nlink = Math.min(found, work.image.info.version === 1 ? 0xff : 0xffff);
    yield* work.put(inode);
  }
}

/** Both bitmaps, made anew from what was found. */
function* mendBitmaps(work: Work): Io<void> {
  const { image } = work;
  const { info } = image;
  const inodeBits = new Set<number>([0]);
  const zones: number[] = [];
  for (const inode of work.inodes.values()) {
    if (work.links.get(inode.ino) === 0) continue;
    inodeBits.add(inode.ino);
    if (hasZones(inode)) for (let i = 0; i < inode.zones.length; i++) yield* collect(work, inode.zones[i] ?? 0, Math.max(0, i - 6), zones);
  }
  yield* mendBitmap(work, { firstBlock: BITMAP_BLOCK, blocks: info.imapBlocks, used: info.inodesCount + 1 }, inodeBits, 'inode-bitmap');
  const zoneSet = new Set<number>([0, ...zones.map((zone) => zone - info.firstDataZone + 1)]);
  yield* mendBitmap(work, { firstBlock: info.zmapBlock, blocks: info.zmapBlocks, used: zoneBits(info) }, zoneSet, 'zone-bitmap');
}

/** The zones of a tree that is sound by now. */
function* collect(work: Work, zone: number, depth: number, into: number[]): Io<void> {
  if (zone === 0) return;
  into.push(zone);
  if (depth === 0) return;
  const { image } = work;
  const buf = yield* image.zoneBlock(zone);
  const pointers = Array.from({ length: image.perBlock }, (_, i) => image.pointer(buf, i));
  for (const pointer of pointers) yield* collect(work, pointer, depth - 1, into);
}

function* mendBitmap(
  work: Work,
  at: { readonly firstBlock: number; readonly blocks: number; readonly used: number },
  set: ReadonlySet<number>,
  code: 'inode-bitmap' | 'zone-bitmap',
): Io<void> {
  const { image } = work;
  const per = image.info.blockSize * 8;
  let wrong = 0;
  for (let index = 0; index < at.blocks; index++) {
    const buf = yield* image.block(at.firstBlock + index);
    const wanted = new Uint8Array(image.info.blockSize);
    for (let bit = 0; bit < per; bit++) {
      const number = index * per + bit;
      let on = number >= at.used || set.has(number);
      if (!on && code === 'zone-bitmap' && testBit(buf.bytes, bit, image.flip)) on = yield* isUnreadable(work, number);
      if (on) setRange(wanted, bit, 1, image.flip);
      if (number < at.used && on !== testBit(buf.bytes, bit, image.flip)) wrong++;
    }
    if (wanted.every((byte, i) => byte === buf.bytes[i])) continue;
    work.change(buf);
    buf.bytes.set(wanted);
  }
  if (wrong > 0) work.fix(code, `${wrong} bits were wrong`);
}

/** A zone that cannot be read stays out of use. */
function* isUnreadable(work: Work, bit: number): Io<boolean> {
  try {
    yield* work.image.zoneBlock(bit + work.image.info.firstDataZone - 1);
    return false;
  } catch (error) {
    if (isCode(error, 'EIO')) return true;
    throw error;
  }
}

/** Versions 1 and 2 say whether they are sound. */
function* mendState(work: Work): Io<void> {
  const { info } = work.image;
  if (info.version === 3) return;
  const buf = yield* work.image.block(Math.floor(SUPER_POS / info.blockSize));
  const view = MinixSuper.in(info.littleEndian).at(buf.bytes, SUPER_POS % info.blockSize);
  const state = (view.s_state | STATE_VALID) & ~STATE_ERROR;
  if (view.s_state === state) return;
  work.fix('state', 'the image was marked as not clean');
  work.change(buf);
  MinixSuper.in(info.littleEndian).at(buf.bytes, SUPER_POS % info.blockSize).s_state = state;
}
