/**
 * Indexed directories (htree), the format of Linux `fs/ext4/namei.c`: block 0 is the root, behind entries for '.' and '..'; it may
 * point to one level of index blocks; those point to leaves, ordinary blocks of entries, by ranges of the name's hash.
 *
 * - To code that does not know of it, index blocks look like empty directory blocks.
 * - `probe` is plain: it answers from cached blocks, or says which block is missing, or that the index is not sound; then
 *   the caller treats the directory as linear.
 * - `addIndexed` splits leaves and index blocks as Linux does. It appends all blocks it needs before it changes any.
 */
import type { DirBlock } from '@iomap/block-map';
import { corrupt, FsError, type Io } from '@iomap/io';
import {
  eachEntry,
  emptyBlock,
  inodeAt,
  insertEntry,
  nameAt,
  nameLenAt,
  recLenAt,
  setRecLen,
  writeEntry,
  type NewEntry,
} from './dir-block.js';
import type { DirHome } from './dir-home.js';
import { dxHash } from './hash.js';
import { FLAG_INDEX, type Ext2InodeInCore } from './inode.js';
import { dirRecLen, Ext2DxNode, Ext2DxRoot } from './ondisk.js';
import type { Volume } from './volume.js';

const ROOT_ENTRIES = Ext2DxRoot.offsets.limit;
const NODE_ENTRIES = Ext2DxNode.offsets.limit;
const ENTRY = 8;
const LEVELS_MAX = 1;
const INFO_LENGTH = 8;

/** One index block on the way down. Positions count entries; entry 0 has no hash (it is -∞). */
export interface Frame {
  readonly buf: DirBlock;
  /** Byte offset of its entries. */
  readonly base: number;
  readonly count: number;
  readonly limit: number;
  /** The entry that was taken. */
  at: number;
}

export interface Probe {
  readonly frames: readonly Frame[];
  /** Directory block of the leaf. */
  readonly leaf: number;
  readonly hash: number;
  readonly version: number;
}

export type ProbeResult = Probe | { readonly missing: number } | 'bad';

const entryHash = (frame: Frame, n: number): number => frame.buf.view.getUint32(frame.base + n * ENTRY, true);
/** The high bits of a block number are reserved. */
const entryBlock = (frame: Frame, n: number): number =>
  frame.buf.view.getUint32(frame.base + n * ENTRY + 4, true) % 0x1000_0000;

/** Finds the leaf for `name` from cached blocks. */
export function probe(vol: Volume, home: DirHome, dir: Ext2InodeInCore, name: string): ProbeResult {
  return probeHash(vol, home, dir, (version) => dxHash(name, version, vol.info.hashSeed)?.hash);
}

/** Finds the leaf for a hash, which `hashOf` says once the index's kind of hash is known. */
export function probeHash(
  vol: Volume, home: DirHome, dir: Ext2InodeInCore, hashOf: (version: number) => number | undefined,
): ProbeResult {
  const total = home.count(dir);
  const root = home.peek(dir, 0);
  if (root === undefined) return { missing: 0 };
  const head = Ext2DxRoot.at(root.bytes);
  const stored = head.hash_version;
  if (head.reserved_zero !== 0 || head.info_length !== INFO_LENGTH || (head.unused_flags & 1) !== 0) return 'bad';
  const levels = head.indirect_levels;
  if (stored > 2 || levels > LEVELS_MAX) return 'bad';
  const version = stored + (vol.info.hashUnsigned ? 3 : 0);
  const hash = hashOf(version);
  if (hash === undefined) return 'bad';
  const frames: Frame[] = [];
  let buf = root;
  let base = ROOT_ENTRIES;
  for (let level = 0; ; level++) {
    const frame = openFrame(buf, base, vol.blockSize, hash);
    if (frame === undefined) return 'bad';
    frames.push(frame);
    const block = entryBlock(frame, frame.at);
    if (block === 0 || block >= total) return 'bad';
    if (level === levels) return { frames, leaf: block, hash, version };
    const next = home.peek(dir, block);
    if (next === undefined) return { missing: block };
    buf = next;
    base = NODE_ENTRIES;
  }
}

/** Checks an index block and finds the entry for `hash`: the last whose hash is not greater. */
function openFrame(buf: DirBlock, base: number, blockSize: number, hash: number): Frame | undefined {
  const limit = buf.view.getUint16(base, true);
  const count = buf.view.getUint16(base + 2, true);
  if (limit !== (blockSize - base) / ENTRY || count === 0 || count > limit) return undefined;
  const frame: Frame = { buf, base, count, limit, at: 0 };
  let low = 1;
  let high = count;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if (entryHash(frame, mid) > hash) high = mid;
    else low = mid + 1;
  }
  frame.at = low - 1;
  return frame;
}

/**
 * The leaf after the one that `found` names, when names of the same hash go on there.
 * @returns a directory block; -1: there is none; -2: an index block must be read first
 */
export function nextLeaf(home: DirHome, dir: Ext2InodeInCore, found: Probe): number {
  let level = found.frames.length - 1;
  let frame = found.frames[level];
  while (frame !== undefined && frame.at + 1 >= frame.count) {
    level--;
    frame = found.frames[level];
  }
  if (frame === undefined) return -1;
  frame.at++;
  const hash = entryHash(frame, frame.at);
  // The lowest bit says that the leaf goes on with the hash of the one before it.
  if (hash % 2 !== 1 || hash - 1 !== found.hash) return -1;
  let block = entryBlock(frame, frame.at);
  if (level < found.frames.length - 1) {
    const node = home.peek(dir, block);
    if (node === undefined) return -2;
    block = node.view.getUint32(NODE_ENTRIES + 4, true) % 0x1000_0000;
  }
  return block > 0 && block < home.count(dir) ? block : -1;
}

/** A place on the way through all leaves. */
export interface LeafCursor {
  /** Changed as the cursor moves on. */
  readonly frames: Frame[];
  /** Directory block of the leaf. */
  leaf: number;
  /** Where the leaf's hashes begin, as stored: odd when it goes on with the hash of the leaf before. */
  from: number;
}

/** A cursor at the leaf that `found` names. */
export function cursorAt(found: Probe): LeafCursor {
  const frames = found.frames.map((frame) => ({ ...frame }));
  let from = 0;
  for (const frame of frames) if (frame.at > 0) from = entryHash(frame, frame.at);
  return { frames, leaf: found.leaf, from };
}

/** Where the hashes of the leaf after the cursor's begin, as stored; undefined: it is the last. */
export function nextHash({ frames }: LeafCursor): number | undefined {
  for (let level = frames.length - 1; level >= 0; level--) {
    const frame = frames[level];
    if (frame !== undefined && frame.at + 1 < frame.count) return entryHash(frame, frame.at + 1);
  }
  return undefined;
}

/**
 * Moves the cursor to the next leaf in the order of the index. Waits on: reads of index blocks; their buffers go to `held`.
 * @returns false when there is none
 * @throws FsError EUCLEAN for an index that leads nowhere
 */
export function* moveOn(
  vol: Volume, home: DirHome, where: { readonly dir: Ext2InodeInCore; readonly cursor: LeafCursor }, held: DirBlock[],
): Io<boolean> {
  const { dir, cursor } = where;
  const { frames } = cursor;
  const bad = (): FsError => corrupt('a directory index that is not sound', { ino: dir.ino });
  const levels = frames.length;
  let frame = frames.pop();
  while (frame !== undefined && frame.at + 1 >= frame.count) frame = frames.pop();
  if (frame === undefined) return false;
  frame.at++;
  cursor.from = entryHash(frame, frame.at);
  frames.push(frame);
  const total = home.count(dir);
  for (;;) {
    const block = entryBlock(frame, frame.at);
    if (block === 0 || block >= total) throw bad();
    if (frames.length === levels) {
      cursor.leaf = block;
      return true;
    }
    const buf = home.peek(dir, block) ?? (yield* home.read(dir, block));
    held.push(buf.hold());
    frame = openFrame(buf, NODE_ENTRIES, vol.blockSize, 0);
    if (frame === undefined) throw bad();
    frame.at = 0;
    frames.push(frame);
  }
}

/** Reads what a probe needs; the buffers are held. `undefined`: the index is not sound. */
export function* loadProbe(
  vol: Volume,
  home: DirHome,
  where: { readonly dir: Ext2InodeInCore; readonly hashOf: (version: number) => number | undefined },
  held: DirBlock[],
): Io<Probe | undefined> {
  for (;;) {
    const result = probeHash(vol, home, where.dir, where.hashOf);
    if (result === 'bad') return undefined;
    if (!('missing' in result)) {
      for (const frame of result.frames) held.push(frame.buf.hold());
      return result;
    }
    held.push((yield* home.read(where.dir, result.missing)).hold());
  }
}

/**
 * Enters a name through the index.
 * @returns false when the index is not sound (nothing was changed)
 * @throws FsError ENOSPC, also when the index has no room for more leaves
 */
export function* addIndexed(vol: Volume, home: DirHome, dir: Ext2InodeInCore, entry: NewEntry): Io<boolean> {
  const held: DirBlock[] = [];
  try {
    const hashOf = (version: number): number | undefined => dxHash(entry.name, version, vol.info.hashSeed)?.hash;
    const found = yield* loadProbe(vol, home, { dir, hashOf }, held);
    if (found === undefined) return false;
    const leaf = (home.peek(dir, found.leaf) ?? (yield* home.read(dir, found.leaf))).hold();
    held.push(leaf);
    if (insertEntry(leaf, vol.blockSize, entry) === -1) {
      home.markDirty(leaf, dir);
      return true;
    }
    const top = found.frames[found.frames.length - 1];
    const root = found.frames[0];
    if (top === undefined || root === undefined) return false;
    const isFull = top.count >= top.limit;
    if (isFull && found.frames.length > LEVELS_MAX && root.count >= root.limit) {
      throw new FsError('ENOSPC', { why: 'the directory index is full' });
    }
    const before = home.count(dir);
    try {
      const nodeIndex = before;
      const node = isFull ? (yield* home.append(dir)).hold() : undefined;
      if (node !== undefined) held.push(node);
      const leafIndex = home.count(dir);
      const fresh = (yield* home.append(dir)).hold();
      held.push(fresh);
      // From here on nothing waits.
      const frame = node === undefined ? top : splitIndex(vol, home, dir, { found, buf: node, index: nodeIndex });
      splitLeaf(vol, home, dir, { found, frame, leaf, fresh, leafIndex, entry });
    } catch (error) {
      if (error instanceof FsError && error.code === 'ENOSPC' && home.count(dir) > before) yield* home.shrink(dir, before);
      throw error;
    }
    return true;
  } finally {
    for (const buf of held) buf.put();
  }
}

/** Makes room in a full index block with a new one; answers the frame that the leaf's new entry goes to. */
function splitIndex(
  vol: Volume, home: DirHome, dir: Ext2InodeInCore, node: { readonly found: Probe; readonly buf: DirBlock; readonly index: number },
): Frame {
  const { blockSize } = vol;
  const { buf, found } = node;
  const top = found.frames[found.frames.length - 1];
  const root = found.frames[0];
  if (top === undefined || root === undefined) throw new FsError('EUCLEAN', { why: 'an index without a root' });
  emptyBlock(buf, blockSize);
  const nodeLimit = (blockSize - NODE_ENTRIES) / ENTRY;
  const from = top === root ? 0 : Math.floor(top.count / 2);
  const moved = top.count - from;
  const start = top.base + from * ENTRY;
  const splitHash = from === 0 ? 0 : entryHash(top, from);
  buf.bytes.set(top.buf.bytes.subarray(start, start + moved * ENTRY), NODE_ENTRIES);
  setCount(buf, NODE_ENTRIES, moved, nodeLimit);
  if (top === root) {
    // A second level: the root keeps one entry, for the node that has all of its own now.
    setCount(root.buf, root.base, 1, root.limit);
    root.buf.view.setUint32(root.base + 4, node.index, true);
    Ext2DxRoot.at(root.buf.bytes).indirect_levels = 1;
    home.markDirty(root.buf, dir);
    home.markDirty(buf, dir);
    return { buf, base: NODE_ENTRIES, count: moved, limit: nodeLimit, at: top.at };
  }
  setCount(top.buf, top.base, from, top.limit);
  insertIndex(root, splitHash, node.index);
  for (const one of [root.buf, top.buf, buf]) home.markDirty(one, dir);
  if (top.at >= from) return { buf, base: NODE_ENTRIES, count: moved, limit: nodeLimit, at: top.at - from };
  return { buf: top.buf, base: top.base, count: from, limit: top.limit, at: top.at };
}

function setCount(buf: DirBlock, base: number, count: number, limit: number): void {
  buf.view.setUint16(base, limit, true);
  buf.view.setUint16(base + 2, count, true);
}

/** Puts (hash, block) behind the frame's current entry. */
function insertIndex(frame: Frame, hash: number, block: number): void {
  const { buf, base } = frame;
  const at = base + (frame.at + 1) * ENTRY;
  buf.bytes.copyWithin(at + ENTRY, at, base + frame.count * ENTRY);
  buf.view.setUint32(at, hash, true);
  buf.view.setUint32(at + 4, block, true);
  setCount(buf, base, frame.count + 1, frame.limit);
}

interface LeafSplit {
  readonly found: Probe;
  readonly frame: Frame;
  readonly leaf: DirBlock;
  readonly fresh: DirBlock;
  /** Directory block of `fresh`. */
  readonly leafIndex: number;
  readonly entry: NewEntry;
}

/** Moves the upper half, by hash, of a full leaf into a new one, and enters the name in the right one. */
function splitLeaf(vol: Volume, home: DirHome, dir: Ext2InodeInCore, split: LeafSplit): void {
  const { blockSize, info } = vol;
  const { found, frame, leaf, fresh, leafIndex, entry } = split;
  const map: { hash: number; offset: number; size: number }[] = [];
  eachEntry(leaf, blockSize, 0, (offset) => {
    const hash = dxHash(nameAt(leaf, offset), found.version, info.hashSeed)?.hash ?? 0;
    map.push({ hash, offset, size: dirRecLen(nameLenAt(leaf, offset)) });
    return true;
  });
  map.sort((a, b) => a.hash - b.hash || a.offset - b.offset);
  let size = 0;
  let cut = map.length;
  while (cut > 1 && size + (map[cut - 1]?.size ?? 0) / 2 <= blockSize / 2) {
    cut--;
    size += map[cut]?.size ?? 0;
  }
  if (cut <= 0 || cut >= map.length) cut = Math.max(1, Math.floor(map.length / 2));
  const splitHash = map[cut]?.hash ?? 0;
  const isContinued = splitHash === map[cut - 1]?.hash;
  const source = leaf.bytes.slice();
  pack(leaf, blockSize, source, map.slice(0, cut));
  pack(fresh, blockSize, source, map.slice(cut));
  insertIndex(frame, splitHash + (isContinued ? 1 : 0), leafIndex);
  const target = found.hash >= splitHash ? fresh : leaf;
  const gap = insertEntry(target, blockSize, entry);
  for (const buf of [leaf, fresh, frame.buf]) home.markDirty(buf, dir);
  if (gap !== -1) throw corrupt('a directory block that is full of nothing', { ino: dir.ino });
}

/** Writes the listed entries of `source` one behind another. */
function pack(buf: DirBlock, blockSize: number, source: Uint8Array, list: readonly { offset: number; size: number }[]): void {
  emptyBlock(buf, blockSize);
  let at = 0;
  list.forEach(({ offset, size }, i) => {
    buf.bytes.set(source.subarray(offset, Math.min(blockSize, offset + size)), at);
    setRecLen(buf, at, i === list.length - 1 ? blockSize - at : size);
    at += size;
  });
}

/**
 * Turns a linear directory of one full block into an indexed one with one leaf.
 * @returns false when its first entries are not '.' and '..' as an index needs them
 */
export function* makeIndexed(vol: Volume, home: DirHome, dir: Ext2InodeInCore): Io<boolean> {
  const { blockSize, info } = vol;
  const root = (home.peek(dir, 0) ?? (yield* home.read(dir, 0))).hold();
  try {
    const dotdot = recLenAt(root, blockSize, 0);
    if (dotdot !== 12 || nameAt(root, 0) !== '.' || nameAt(root, dotdot) !== '..') return false;
    const rest = dotdot + recLenAt(root, blockSize, dotdot);
    if (rest >= blockSize) return false;
    const parent = inodeAt(root, dotdot);
    const parentType = root.view.getUint8(dotdot + 7);
    const leaf = yield* home.append(dir);
    leaf.bytes.set(root.bytes.subarray(rest));
    let last = 0;
    for (let at = rest; at < blockSize; at += recLenAt(root, blockSize, at)) last = at;
    setRecLen(leaf, last - rest, blockSize - (last - rest));
    root.bytes.fill(0, 12);
    writeEntry(root, 12, blockSize - 12, { name: '..', ino: parent, fileType: parentType });
    const head = Ext2DxRoot.at(root.bytes);
    head.hash_version = info.hashVersion % 3;
    head.info_length = INFO_LENGTH;
    setCount(root, ROOT_ENTRIES, 1, (blockSize - ROOT_ENTRIES) / ENTRY);
    head.block = 1;
    dir.flags |= FLAG_INDEX;
    home.markDirty(root, dir);
    home.markDirty(leaf, dir);
    vol.markInodeDirty(dir);
    return true;
  } finally {
    root.put();
  }
}
