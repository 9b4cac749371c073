/**
 * A fork of an inode: where its blocks are. Inline extents are decoded once; a btree is walked from its root in the inode to the
 * record of the block asked for, in the cached blocks themselves, so memory does not grow with the number of extents.
 */
import { corrupt } from '@iomap/io';
import { checkExtent, ExtentList, FILE_BLOCKS_MAX, unpackExtent, type MapRun } from './extents.js';
import { BMBT_REC_BYTES, FORMAT } from './ondisk.js';
import { BTREE_LONG_V4_BYTES, BtreeLong } from './ondisk-trees.js';
import type { SuperInfo } from './super.js';
import { checkOwner } from './verify.js';
import type { Volume } from './volume.js';

/** Levels of an extent tree: 2^47 extents need fewer at the smallest block. */
const LEVELS_MAX = 16;

const NO_BYTES = new Uint8Array(0);

export class Fork {
  readonly format: number;
  /** How many extents the inode says it has. */
  readonly extentCount: number;
  /** A copy of inline content, or of the root of a tree with the room that it has; empty in the other formats. */
  readonly bytes: Uint8Array;
  /** Inline extents, or what `replace` put in the place of others. */
  #list: ExtentList | undefined;
  #isChecked = false;
  #view: DataView | undefined = undefined;

  constructor(format: number, extentCount: number, bytes = NO_BYTES, list?: ExtentList) {
    this.format = format;
    this.extentCount = extentCount;
    this.bytes = bytes;
    this.#list = list;
  }

  /**
   * Takes a fork from [start, start + room) of an inode. Extents are unpacked; what they say is checked when they are first used.
   * @param used bytes of inline content
   */
  static decode(format: number, extentCount: number, slot: ForkSlot, used: number): Fork {
    const { bytes, view, start, room } = slot;
    switch (format) {
      case FORMAT.EXTENTS:
        // With more than there is room for it has no list, which is told at first use.
        return extentCount * BMBT_REC_BYTES > room
          ? new Fork(format, extentCount)
          : new Fork(format, extentCount, NO_BYTES, ExtentList.unpack(view, start, extentCount));
      case FORMAT.LOCAL:
        return new Fork(format, extentCount, bytes.slice(start, start + Math.min(used, room)));
      case FORMAT.BTREE:
        return new Fork(format, extentCount, bytes.slice(start, start + room));
      default:
        return new Fork(format, extentCount);
    }
  }

  get view(): DataView {
    const { bytes } = this;
    return (this.#view ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  /** Gives the fork other extents than it was read with. */
  replace(list: ExtentList): void {
    this.#list = list;
    this.#isChecked = true;
  }

  /** Its extents where it has a list of them, checked. @throws FsError EUCLEAN */
  list(info: SuperInfo, ino: number): ExtentList | undefined {
    if (this.#isChecked) return this.#list;
    if (this.format === FORMAT.EXTENTS) {
      if (this.#list === undefined) throw corrupt('more extents than the inode has room for', { ino, field: 'di_nextents' });
      this.#list.check(info, ino);
      this.#isChecked = true;
    }
    return this.#list;
  }
}

/** Where a fork is: a part of a block of inodes. */
export interface ForkSlot {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly start: number;
  readonly room: number;
}

/** Data forks by inode number that replace those on the device: what unfinished mappings of the log made of them. */
export interface ForkOverride {
  readonly list: ExtentList;
  /** Bytes, where the size changes too. */
  readonly size: number | undefined;
}
export type ForkOverrides = ReadonlyMap<number, ForkOverride>;

/**
 * Fills `out` with what is at `fileBlock` of a fork. False: a block is missing (`Volume.reading`).
 * @throws FsError EUCLEAN
 */
export function mapFork(vol: Volume, ino: number, fork: Fork, fileBlock: number, out: MapRun): boolean {
  const list = fork.list(vol.info, ino);
  if (list === undefined) {
    if (fork.format === FORMAT.BTREE) return walk(vol, ino, fork, fileBlock, out);
    throw corrupt('a fork without a block map', { ino, field: 'di_format' });
  }
  list.find(fileBlock, FILE_BLOCKS_MAX, out);
  return true;
}

/** A 64-bit key or pointer. */
const u64 = (view: DataView, at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);

/** One block of the tree, the root included: where its keys and pointers are. */
interface Node {
  readonly view: DataView;
  readonly level: number;
  readonly count: number;
  readonly keys: number;
  readonly pointers: number;
}

function rootNode(ino: number, fork: Fork): Node {
  const { view, bytes } = fork;
  const max = Math.floor((bytes.length - 4) / 16);
  const level = bytes.length < 4 ? 0 : view.getUint16(0);
  const count = bytes.length < 4 ? 0 : view.getUint16(2);
  if (level < 1 || level > LEVELS_MAX || count < 1 || count > max) {
    throw corrupt(`root of an extent tree with level ${level} and ${count} records`, { ino, field: 'bb_level' });
  }
  return { view, level, count, keys: 4, pointers: 4 + max * 8 };
}

function childNode(vol: Volume, ino: number, fsb: number, level: number): Node | undefined {
  const { info } = vol;
  const buf = vol.needFsb(fsb, vol.ops.bmap);
  if (buf === undefined) return undefined;
  const { view } = buf;
  const head = info.v5 ? BtreeLong.size : BTREE_LONG_V4_BYTES;
  const max = Math.floor((info.blockSize - head) / 16);
  const count = view.getUint16(6);
  if (view.getUint16(4) !== level || count < 1 || count > max) {
    throw corrupt(`block of an extent tree with level ${view.getUint16(4)} and ${count} records`, { ino, block: fsb, field: 'bb_level' });
  }
  if (info.v5) checkOwner(u64(view, BtreeLong.offsets.bb_owner), ino, buf.pos, 'extent btree block');
  return { view, level, count, keys: head, pointers: head + max * 8 };
}

/** Index of the last key that is at most `fileBlock`, or -1. */
function search(node: Node, fileBlock: number): number {
  let low = 0;
  let high = node.count;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if (u64(node.view, node.keys + mid * 8) <= fileBlock) low = mid + 1;
    else high = mid;
  }
  return low - 1;
}

function hole(out: MapRun, count: number): true {
  out.block = -1;
  out.count = count;
  out.unwritten = false;
  return true;
}

/** Walks the tree. False: a block is missing. */
function walk(vol: Volume, ino: number, fork: Fork, fileBlock: number, out: MapRun): boolean {
  let node = rootNode(ino, fork);
  let from = 0;
  let end = FILE_BLOCKS_MAX;
  while (node.level > 0) {
    const at = search(node, fileBlock);
    if (at < 0) {
      const key = u64(node.view, node.keys);
      // Below the root the first key is the parent's, which is at most the block asked for.
      if (node.level !== fork.view.getUint16(0)) throw corrupt('keys of an extent tree are out of order', { ino });
      return hole(out, Math.min(key, FILE_BLOCKS_MAX) - fileBlock);
    }
    from = Math.max(from, u64(node.view, node.keys + at * 8));
    if (at + 1 < node.count) end = Math.min(end, u64(node.view, node.keys + (at + 1) * 8));
    if (end <= fileBlock) throw corrupt('keys of an extent tree are out of order', { ino });
    const child = childNode(vol, ino, u64(node.view, node.pointers + at * 8), node.level - 1);
    if (child === undefined) return false;
    node = child;
  }
  return findInLeaf(vol, ino, node, fileBlock, { from, end }, out);
}

/** File block of record `i`: the record's second word has its low 23 bits. */
const offsetOf = (view: DataView, at: number): number => (view.getUint32(at) & 0x7fff_ffff) * 2 ** 23 + (view.getUint32(at + 4) >>> 9);

function findInLeaf(vol: Volume, ino: number, leaf: Node, fileBlock: number, keys: { from: number; end: number }, out: MapRun): true {
  const { view, keys: records, count } = leaf;
  let low = 0;
  let high = count;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if (offsetOf(view, records + mid * BMBT_REC_BYTES) <= fileBlock) low = mid + 1;
    else high = mid;
  }
  const next = low < count ? Math.min(offsetOf(view, records + low * BMBT_REC_BYTES), keys.end) : keys.end;
  if (low === 0) throw corrupt('a leaf of an extent tree is outside its keys', { ino, field: 'br_startoff' });
  const extent = unpackExtent(view, records + (low - 1) * BMBT_REC_BYTES);
  checkExtent(extent, vol.info, ino);
  if (extent.off < keys.from || extent.off + extent.count > next || next <= fileBlock) {
    throw corrupt('extents of a tree overlap', { ino, field: 'br_startoff' });
  }
  const skip = fileBlock - extent.off;
  if (skip >= extent.count) return hole(out, next - fileBlock);
  out.block = extent.block + skip;
  out.count = extent.count - skip;
  out.unwritten = extent.unwritten;
  return true;
}
