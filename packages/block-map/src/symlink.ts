/** Symbolic links whose target is a block of their own: all of minix's, ext2's long ones. */
import { corrupt, type Io } from '@iomap/io';
import type { MapRun } from './extent-cache.js';
import { newBlock, type BlockMap, type MappedInode } from './map.js';

type Link = MappedInode & { size: number };

/**
 * Puts the target into the link's first block, and its length into the inode, which the caller marks dirty.
 * @param target at most a tree block's bytes
 * @throws FsError ENOSPC, EUCLEAN
 */
export function* storeTarget<I extends Link>(map: BlockMap<I>, inode: I, target: Uint8Array): Io<void> {
  const run: MapRun = { block: 0, count: 0 };
  // The size first: a link without blocks may be one of another kind.
  inode.size = target.length;
  yield* map.alloc(inode, { fileBlock: 0, want: 1 }, run);
  const buf = yield* newBlock(map.host.buffers, run.block * map.shape.blockSize, map.shape.treeBytes);
  buf.bytes.set(target);
  map.host.markDirty(buf, inode);
}

/** The target. Waits on: a read of its block and of the tree above. @throws FsError EUCLEAN where size or block cannot be */
export function* readTarget<I extends Link>(map: BlockMap<I>, inode: I): Io<Uint8Array> {
  const { size, ino } = inode;
  if (size === 0 || size > map.shape.treeBytes) throw corrupt('a symbolic link larger than a block', { ino, field: 'i_size' });
  const run: MapRun = { block: 0, count: 0 };
  yield* map.read(inode, 0, run);
  if (run.block === 0) throw corrupt('a symbolic link without a block', { ino, field: 'i_size' });
  const buf = map.peekTree(run.block) ?? (yield* map.readTree(run.block));
  return buf.bytes.slice(0, size);
}
