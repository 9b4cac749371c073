/**
 * Truncation of a block map: frees all blocks from a file block on, tree blocks that become empty with them.
 *
 * Runs are gathered while the tree is walked and freed one at a time: no work per block beyond reading its pointer. The
 * pointers are zeroed before their blocks are freed, so a corrupt image that stops us half-way leaves blocks that are
 * lost, never blocks that are used twice.
 */
import { corrupt, type Io } from '@iomap/io';
import type { MapRun } from './extent-cache.js';
import { forgetBlock, type BlockMap, type MappedInode } from './map.js';

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
export function* truncateBlocks<I extends MappedInode>(map: BlockMap<I>, inode: I, fileBlock: number): Io<void> {
  const { direct, levels } = map.shape;
  map.host.dropReservation(inode);
  inode.extentsIfAny?.truncate(fileBlock);
  inode.nextFileBlock = -1;
  inode.mapChanged();
  const pending: Pending = { block: 0, count: 0 };
  for (let i = Math.min(fileBlock, direct); i < direct; i++) {
    const block = inode.block[i] ?? 0;
    if (block === 0) continue;
    inode.block[i] = 0;
    if (!extend(pending, block)) yield* free(map, inode, pending, block);
  }
  let first = direct;
  for (let depth = 1; depth <= levels; depth++) {
    const size = map.span(depth);
    const root = inode.block[direct + depth - 1] ?? 0;
    if (root !== 0 && fileBlock < first + size) {
      const from = Math.max(0, fileBlock - first);
      if (from === 0) inode.block[direct + depth - 1] = 0;
      yield* freeTree(map, inode, { block: root, depth, from }, pending);
    }
    first += size;
  }
  yield* free(map, inode, pending, 0);
  inode.mapChanged();
  map.host.blocksChanged(inode, 0);
}

/**
 * Makes a hole of the `count` blocks from `fileBlock` on, and frees them. They are one run, or a part of it, as `alloc` gave
 * it: inside one leaf. Tree blocks stay. The page cache of the range is gone already.
 *
 * Locks: the inode, exclusive. Waits on: reads of tree blocks and bitmaps.
 * @throws FsError EUCLEAN for pointers that cannot be
 */
export function* unmapRun<I extends MappedInode>(map: BlockMap<I>, inode: I, fileBlock: number, count: number): Io<void> {
  const run: MapRun = { block: 0, count: 0 };
  yield* map.read(inode, fileBlock, run);
  if (run.block === 0 || run.count < count) throw corrupt('a run of new blocks is not mapped', { ino: inode.ino });
  yield* map.clear(inode, fileBlock, count);
  map.host.dropReservation(inode);
  inode.extentsIfAny?.truncate(fileBlock);
  inode.nextFileBlock = -1;
  inode.mapChanged();
  map.host.blocksChanged(inode, -count);
  yield* map.host.freeRun(run.block, count);
}

/** Adds a block to the run if it continues it. */
function extend(pending: Pending, block: number): boolean {
  if (pending.count === 0 || pending.block + pending.count !== block) return false;
  pending.count++;
  return true;
}

/** Frees what is pending; the next run starts with `block` (0: none). */
function* free<I extends MappedInode>(map: BlockMap<I>, inode: I, pending: Pending, block: number): Io<void> {
  const { block: first, count } = pending;
  pending.block = block;
  pending.count = block === 0 ? 0 : 1;
  if (count === 0) return;
  yield* map.host.freeRun(first, count);
  map.host.blocksChanged(inode, -count);
}

/** Frees what a tree maps from its block `from` on; with `from` 0 the tree's root too. */
function* freeTree<I extends MappedInode>(
  map: BlockMap<I>,
  inode: I,
  tree: { readonly block: number; readonly depth: number; readonly from: number },
  pending: Pending,
): Io<void> {
  const { block, depth, from } = tree;
  map.checkPointer(inode, block, 1);
  const buf = (map.peekTree(block) ?? (yield* map.readTree(block))).hold();
  let isChanged = false;
  try {
    const { view } = buf;
    const { perBlock } = map;
    const span = map.span(depth - 1);
    for (let i = Math.floor(from / span); i < perBlock; i++) {
      const pointer = map.get(view, i);
      if (pointer === 0) continue;
      const inner = Math.max(0, from - i * span);
      if (inner === 0) {
        map.set(view, i, 0);
        isChanged = true;
      }
      if (depth > 1) yield* freeTree(map, inode, { block: pointer, depth: depth - 1, from: inner }, pending);
      else if (!extend(pending, pointer)) yield* free(map, inode, pending, pointer);
    }
  } finally {
    if (isChanged && from > 0) map.host.markDirty(buf, inode);
    buf.put();
  }
  if (from > 0) return;
  // The tree block itself, after its children: on disk it lies before them, so it starts a run of its own.
  yield* forgetBlock(map.host.buffers, block * map.shape.blockSize);
  if (!extend(pending, block)) yield* free(map, inode, pending, block);
}
