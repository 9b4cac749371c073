/**
 * The block map: twelve direct blocks, then trees of one, two and three levels.
 *
 * - `peekMap` / `readMap`: the run that starts at a file block: contiguous blocks, or a hole. The tree is walked once per
 *   run and the answer kept in the inode's extent cache.
 * - `allocMap`: maps a hole: the blocks for the whole run and the tree blocks above them in one allocation where possible,
 *   in the order tree blocks, data, as Linux lays them out.
 *
 * The map changes under the exclusive inode lock only. Writeback reads it without: after each wait it compares
 * `inode.cookie` and starts again when the map changed.
 *
 * Every pointer is checked before use: inside the filesystem and not in a group's metadata.
 */
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import { allocRun, freeRun, type BlockRun } from './balloc.js';
import type { MapRun } from './extent-cache.js';
import { groupFirstBlock } from './geometry.js';
import { groupOfIno } from './ialloc.js';
import { NDIR_BLOCKS, type Ext2InodeInCore } from './inode.js';
import type { Volume } from './volume.js';

/** Blocks that a tree of `depth` levels maps. */
export const treeBlocks = (vol: Volume, depth: number): number => (vol.blockSize / 4) ** depth;

/** One past the last file block that the map can hold. */
export function mapBlocksMax(vol: Volume): number {
  return NDIR_BLOCKS + treeBlocks(vol, 1) + treeBlocks(vol, 2) + treeBlocks(vol, 3);
}

/** Which tree holds a file block (1, 2, 3; 0 = direct) and the block's number inside it. */
function place(vol: Volume, fileBlock: number): { depth: number; index: number } {
  if (fileBlock < NDIR_BLOCKS) return { depth: 0, index: fileBlock };
  let index = fileBlock - NDIR_BLOCKS;
  for (let depth = 1; depth <= 3; depth++) {
    const size = treeBlocks(vol, depth);
    if (index < size) return { depth, index };
    index -= size;
  }
  throw new FsError('EFBIG');
}

function checkPointer(vol: Volume, inode: Ext2InodeInCore, block: number, count: number): void {
  if (!vol.groups.isDataRange(block, count)) {
    throw corrupt('a block pointer leads outside of the data area', { ino: inode.ino, block, field: 'i_block' });
  }
}

/** The run at `fileBlock` < 12, from the inode itself. */
function directRun(vol: Volume, inode: Ext2InodeInCore, fileBlock: number, out: MapRun): void {
  const { block } = inode;
  const first = block[fileBlock] ?? 0;
  let end = fileBlock + 1;
  if (first === 0) while (end < NDIR_BLOCKS && block[end] === 0) end++;
  else while (end < NDIR_BLOCKS && block[end] === first + (end - fileBlock)) end++;
  if (first !== 0) checkPointer(vol, inode, first, end - fileBlock);
  out.block = first;
  out.count = end - fileBlock;
}

/** Entries of a tree block that continue the one at `index`: contiguous blocks, or zeroes. */
function entriesFrom(view: DataView, index: number, limit: number, isLeaf: boolean): number {
  const first = view.getUint32(index * 4, true);
  let end = index + 1;
  if (first === 0) while (end < limit && view.getUint32(end * 4, true) === 0) end++;
  else if (isLeaf) while (end < limit && view.getUint32(end * 4, true) === first + (end - index)) end++;
  return end - index;
}

/**
 * The run at `fileBlock` from what is in memory.
 * @returns false when a tree block must be read first: `out.block` is that block then
 * @throws FsError EUCLEAN, EFBIG
 */
export function peekMap(vol: Volume, inode: Ext2InodeInCore, fileBlock: number, out: MapRun, now = false): boolean {
  if (fileBlock < NDIR_BLOCKS) {
    directRun(vol, inode, fileBlock, out);
    return true;
  }
  if (inode.extentsIfAny?.find(fileBlock, out) === true) return true;
  const { depth, index } = place(vol, fileBlock);
  const perBlock = vol.blockSize / 4;
  let pointer = inode.block[NDIR_BLOCKS + depth - 1] ?? 0;
  let rest = index;
  let span = treeBlocks(vol, depth);
  for (let level = depth; level > 0; level--) {
    if (pointer === 0) {
      // The whole subtree from here on is a hole.
      return remember(inode, fileBlock, 0, span - rest, out);
    }
    checkPointer(vol, inode, pointer, 1);
    const buf = now ? vol.buffers.readNow(pointer * vol.blockSize, vol.blockSize) : vol.peekBlock(pointer);
    if (buf === undefined) {
      out.block = pointer;
      return false;
    }
    span /= perBlock;
    const entry = Math.floor(rest / span);
    rest -= entry * span;
    pointer = buf.view.getUint32(entry * 4, true);
    if (level === 1 || pointer === 0) {
      const n = entriesFrom(buf.view, entry, perBlock, level === 1);
      if (pointer !== 0) checkPointer(vol, inode, pointer, n);
      return remember(inode, fileBlock, pointer, n * span - rest, out);
    }
  }
  return false;
}

function remember(inode: Ext2InodeInCore, fileBlock: number, block: number, count: number, out: MapRun): boolean {
  inode.extents.set(fileBlock, block, count);
  out.block = block;
  out.count = count;
  return true;
}

/**
 * The run at `fileBlock`.
 *
 * Waits on: reads of up to three tree blocks (again from the start when the map changes meanwhile).
 * @throws FsError EUCLEAN, EFBIG, EIO
 */
export function* readMap(vol: Volume, inode: Ext2InodeInCore, fileBlock: number, out: MapRun): Io<void> {
  while (!peekMap(vol, inode, fileBlock, out)) {
    const { cookie } = inode;
    const buf = (yield* vol.readBlock(out.block)).hold();
    try {
      // The buffer is here now; the plain walk goes one level further, unless the map moved under us.
      if (cookie === inode.cookie && peekMap(vol, inode, fileBlock, out)) return;
    } finally {
      buf.put();
    }
  }
}

// Allocation -------------------------------------------------------------------------------------------------------------

/** The path to a leaf entry as far as it exists. */
interface Path {
  /** The block that holds the first missing pointer (or the leaf entry), held; undefined: it is in the inode. */
  readonly buf: Buf | undefined;
  /** Index of that pointer: in `buf`, or in `i_block`. */
  readonly index: number;
  /** Tree blocks missing below it. */
  readonly missing: number;
  /** Index of the data block's entry in the leaf (or in `i_block`). */
  readonly leafIndex: number;
  /** Entries of the leaf (or direct blocks). */
  readonly leafLimit: number;
}

function* walk(vol: Volume, inode: Ext2InodeInCore, fileBlock: number): Io<Path> {
  const { depth, index } = place(vol, fileBlock);
  if (depth === 0) return { buf: undefined, index, missing: 0, leafIndex: index, leafLimit: NDIR_BLOCKS };
  const perBlock = vol.blockSize / 4;
  const leafIndex = index % perBlock;
  let buf: Buf | undefined;
  let slot = NDIR_BLOCKS + depth - 1;
  let pointer = inode.block[slot] ?? 0;
  let span = treeBlocks(vol, depth);
  let rest = index;
  let isDone = false;
  try {
    for (let level = depth; level > 0; level--) {
      if (pointer === 0) {
        isDone = true;
        return { buf, index: slot, missing: level, leafIndex, leafLimit: perBlock };
      }
      checkPointer(vol, inode, pointer, 1);
      const next = vol.peekBlock(pointer) ?? (yield* vol.readBlock(pointer));
      next.hold();
      buf?.put();
      buf = next;
      span /= perBlock;
      slot = Math.floor(rest / span);
      rest -= slot * span;
      pointer = buf.view.getUint32(slot * 4, true);
    }
    isDone = true;
    return { buf, index: slot, missing: 0, leafIndex, leafLimit: perBlock };
  } finally {
    if (!isDone) buf?.put();
  }
}

/** Free entries of the leaf from the wanted one on, at most `want`. */
function roomInLeaf(inode: Ext2InodeInCore, path: Path, want: number): number {
  const limit = Math.min(path.leafLimit, path.leafIndex + want);
  if (path.missing > 0) return limit - path.leafIndex;
  let end = path.leafIndex;
  if (path.buf === undefined) while (end < limit && inode.block[end] === 0) end++;
  else while (end < limit && path.buf.view.getUint32(end * 4, true) === 0) end++;
  return end - path.leafIndex;
}

function findGoal(vol: Volume, inode: Ext2InodeInCore, fileBlock: number, path: Path): number {
  if (inode.nextFileBlock === fileBlock && inode.nextBlock !== 0) return inode.nextBlock;
  // The nearest mapped block before it in the same leaf, else the leaf's own place.
  if (path.missing === 0) {
    for (let at = path.leafIndex - 1; at >= 0 && at > path.leafIndex - 64; at--) {
      const block = path.buf === undefined ? (inode.block[at] ?? 0) : path.buf.view.getUint32(at * 4, true);
      if (block !== 0) return block + (path.leafIndex - at);
    }
  }
  if (path.buf !== undefined) return path.buf.pos / vol.blockSize + 1;
  if (path.missing > 0) {
    const before = inode.block[NDIR_BLOCKS - 1] ?? 0;
    if (before !== 0) return before + 1;
  }
  return groupFirstBlock(vol.info, groupOfIno(vol, inode.ino));
}

/**
 * Maps `fileBlock` and up to `want` blocks from it on; what is mapped already stays. The new blocks' content is undefined.
 *
 * Locks: the inode, exclusive. Waits on: reads of tree blocks and bitmaps.
 * @returns true when the blocks are new
 * @throws FsError ENOSPC with nothing changed; EFBIG; EUCLEAN
 */
export function* allocMap(vol: Volume, inode: Ext2InodeInCore, request: { fileBlock: number; want: number }, out: MapRun): Io<boolean> {
  const { fileBlock } = request;
  const path = yield* walk(vol, inode, fileBlock);
  try {
    const count = roomInLeaf(inode, path, request.want);
    if (count === 0) {
      yield* readMap(vol, inode, fileBlock, out);
      return false;
    }
    const goal = findGoal(vol, inode, fileBlock, path);
    const sequential = inode.isFile && inode.nextFileBlock === fileBlock;
    const { tree, data } = yield* allocParts(vol, inode, { goal, count, missing: path.missing, sequential });
    yield* link(vol, inode, { path, fileBlock, tree, data });
    out.block = data.block;
    out.count = data.count;
    return true;
  } finally {
    path.buf?.put();
  }
}

/** Zeroes the `count` pointers of mapped blocks from `fileBlock` on; all of them are in one leaf. */
export function* clearMap(vol: Volume, inode: Ext2InodeInCore, fileBlock: number, count: number): Io<void> {
  const path = yield* walk(vol, inode, fileBlock);
  try {
    if (path.missing > 0 || path.leafIndex + count > path.leafLimit) {
      throw corrupt('a run of new blocks is not mapped', { ino: inode.ino });
    }
    for (let at = path.leafIndex; at < path.leafIndex + count; at++) {
      if (path.buf === undefined) inode.block[at] = 0;
      else path.buf.view.setUint32(at * 4, 0, true);
    }
    if (path.buf !== undefined) vol.markDirty(path.buf, inode);
  } finally {
    path.buf?.put();
  }
}

interface Parts {
  readonly tree: readonly number[];
  readonly data: BlockRun;
}

/** Blocks for the missing tree and a run of data behind them; gives everything back when it cannot have both. */
function* allocParts(
  vol: Volume,
  inode: Ext2InodeInCore,
  need: { goal: number; count: number; missing: number; sequential: boolean },
): Io<Parts> {
  const tree: number[] = [];
  let { goal } = need;
  const { sequential } = need;
  const holder = inode.isFile ? inode : undefined;
  try {
    for (;;) {
      const run = yield* allocRun(vol, { goal, want: need.missing - tree.length + need.count, holder, sequential });
      let at = run.block;
      const end = run.block + run.count;
      while (tree.length < need.missing && at < end) tree.push(at++);
      if (at < end) return { tree, data: { block: at, count: end - at } };
      goal = end;
    }
  } catch (error) {
    for (const block of tree) yield* freeRun(vol, block, 1);
    throw error;
  }
}

/** Fills the tree blocks from the leaf up and hangs them in; the pointer that makes all of it visible is set last. */
function* link(
  vol: Volume,
  inode: Ext2InodeInCore,
  what: { path: Path; fileBlock: number; tree: readonly number[]; data: BlockRun },
): Io<void> {
  const { path, tree, data } = what;
  const setRun = (view: DataView, at: number): void => {
    for (let i = 0; i < data.count; i++) view.setUint32((at + i) * 4, data.block + i, true);
  };
  for (let level = tree.length - 1; level >= 0; level--) {
    const buf = yield* vol.newBlock(tree[level] ?? 0);
    if (level === tree.length - 1) setRun(buf.view, path.leafIndex);
    else buf.view.setUint32(innerIndex(vol, what.fileBlock, tree.length - level - 1) * 4, tree[level + 1] ?? 0, true);
    vol.markDirty(buf, inode);
  }
  if (path.buf === undefined) {
    if (tree.length > 0) inode.block[path.index] = tree[0] ?? 0;
    else for (let i = 0; i < data.count; i++) inode.block[path.index + i] = data.block + i;
  } else {
    if (tree.length > 0) path.buf.view.setUint32(path.index * 4, tree[0] ?? 0, true);
    else setRun(path.buf.view, path.leafIndex);
    vol.markDirty(path.buf, inode);
  }
  inode.blocks += (tree.length + data.count) * vol.sectorsPerBlock;
  if (what.fileBlock >= NDIR_BLOCKS) inode.extents.set(what.fileBlock, data.block, data.count);
  inode.nextFileBlock = what.fileBlock + data.count;
  inode.nextBlock = data.block + data.count;
  inode.mapChanged();
  vol.markInodeDirty(inode);
}

/** Index, in the tree block `levels` above the leaf, of the pointer on the way to a file block. */
function innerIndex(vol: Volume, fileBlock: number, levels: number): number {
  const perBlock = vol.blockSize / 4;
  return Math.floor(place(vol, fileBlock).index / perBlock ** levels) % perBlock;
}
