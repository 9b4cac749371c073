/**
 * Truncation of the block map: frees all blocks from a file block on, tree blocks that become empty with them.
 *
 * Runs are gathered while the tree is walked and freed one at a time: no work per block beyond reading its pointer. The
 * pointers are zeroed before their blocks are freed, so a corrupt image that stops us half-way leaves blocks that are
 * lost, never blocks that are used twice.
 */
import { corrupt, type Io } from '@iomap/io';
import { freeRun } from './balloc.js';
import type { MapRun } from './extent-cache.js';
import { clearMap, readMap, treeBlocks } from './indirect.js';
import { NDIR_BLOCKS, type Ext2InodeInCore } from './inode.js';
import type { Volume } from './volume.js';

/** Blocks to free that follow one another so far. */
interface Pending {
  block: number;
  count: number;
}

/**
 * Frees the blocks of `inode` from `fileBlock` on. The page cache beyond it is gone already.
 *
 * Locks: the inode, exclusive. Waits on: reads of tree blocks and bitmaps.
 * @throws FsError EUCLEAN for pointers that cannot be
 */
export function* truncateBlocks(vol: Volume, inode: Ext2InodeInCore, fileBlock: number): Io<void> {
  vol.reservations.drop(inode);
  inode.extentsIfAny?.truncate(fileBlock);
  inode.nextFileBlock = -1;
  inode.mapChanged();
  const pending: Pending = { block: 0, count: 0 };
  for (let i = Math.min(fileBlock, NDIR_BLOCKS); i < NDIR_BLOCKS; i++) {
    const block = inode.block[i] ?? 0;
    if (block === 0) continue;
    inode.block[i] = 0;
    if (!extend(pending, block)) yield* free(vol, inode, pending, block);
  }
  let first = NDIR_BLOCKS;
  for (let depth = 1; depth <= 3; depth++) {
    const size = treeBlocks(vol, depth);
    const root = inode.block[NDIR_BLOCKS + depth - 1] ?? 0;
    if (root !== 0 && fileBlock < first + size) {
      const from = Math.max(0, fileBlock - first);
      if (from === 0) inode.block[NDIR_BLOCKS + depth - 1] = 0;
      yield* freeTree(vol, inode, { block: root, depth, from }, pending);
    }
    first += size;
  }
  yield* free(vol, inode, pending, 0);
  inode.mapChanged();
  vol.markInodeDirty(inode);
}

/**
 * Makes a hole of the `count` blocks from `fileBlock` on, and frees them. They are one run, or a part of it, as `allocMap` gave
 * it: inside one leaf. Tree blocks stay. The page cache of the range is gone already.
 *
 * Locks: the inode, exclusive. Waits on: reads of tree blocks and bitmaps.
 * @throws FsError EUCLEAN for pointers that cannot be
 */
export function* unmapRun(vol: Volume, inode: Ext2InodeInCore, fileBlock: number, count: number): Io<void> {
  const run: MapRun = { block: 0, count: 0 };
  yield* readMap(vol, inode, fileBlock, run);
  if (run.block === 0 || run.count < count) throw corrupt('a run of new blocks is not mapped', { ino: inode.ino });
  yield* clearMap(vol, inode, fileBlock, count);
  vol.reservations.drop(inode);
  inode.extentsIfAny?.truncate(fileBlock);
  inode.nextFileBlock = -1;
  inode.blocks = Math.max(0, inode.blocks - count * vol.sectorsPerBlock);
  inode.mapChanged();
  vol.markInodeDirty(inode);
  yield* freeRun(vol, run.block, count);
}

/** Adds a block to the run if it continues it. */
function extend(pending: Pending, block: number): boolean {
  if (pending.count === 0 || pending.block + pending.count !== block) return false;
  pending.count++;
  return true;
}

/** Frees what is pending; the next run starts with `block` (0: none). */
function* free(vol: Volume, inode: Ext2InodeInCore, pending: Pending, block: number): Io<void> {
  const { block: first, count } = pending;
  pending.block = block;
  pending.count = block === 0 ? 0 : 1;
  if (count === 0) return;
  yield* freeRun(vol, first, count);
  inode.blocks = Math.max(0, inode.blocks - count * vol.sectorsPerBlock);
}

/** Frees what a tree maps from its block `from` on; with `from` 0 the tree's root too. */
function* freeTree(
  vol: Volume,
  inode: Ext2InodeInCore,
  tree: { readonly block: number; readonly depth: number; readonly from: number },
  pending: Pending,
): Io<void> {
  const { block, depth, from } = tree;
  if (!vol.groups.isDataRange(block, 1)) {
    throw corrupt('a block pointer leads outside of the data area', { ino: inode.ino, block });
  }
  const buf = (vol.peekBlock(block) ?? (yield* vol.readBlock(block))).hold();
  let isChanged = false;
  try {
    const { view } = buf;
    const perBlock = vol.blockSize / 4;
    const span = treeBlocks(vol, depth - 1);
    for (let i = Math.floor(from / span); i < perBlock; i++) {
      const pointer = view.getUint32(i * 4, true);
      if (pointer === 0) continue;
      const inner = Math.max(0, from - i * span);
      if (inner === 0) {
        view.setUint32(i * 4, 0, true);
        isChanged = true;
      }
      if (depth > 1) yield* freeTree(vol, inode, { block: pointer, depth: depth - 1, from: inner }, pending);
      else if (!extend(pending, pointer)) yield* free(vol, inode, pending, pointer);
    }
  } finally {
    if (isChanged && from > 0) vol.markDirty(buf, inode);
    buf.put();
  }
  if (from > 0) return;
  // The tree block itself, after its children: on disk it lies before them, so it starts a run of its own.
  yield* vol.forgetBlock(block);
  if (!extend(pending, block)) yield* free(vol, inode, pending, block);
}
