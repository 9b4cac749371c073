/** The end of an inode: everything that its block map holds goes back. */
import type { Io } from '@iomap/io';
import { truncatePageCache } from '@iomap/iomap-core';
import { forgetBlocks } from './dir-buffers.js';
import type { BlockMap } from './map.js';
import type { MappedFile } from './map-iomap.js';
import { truncateBlocks } from './map-truncate.js';

export interface ReleasedInode extends MappedFile {
  /** Has it a block map, rather than a device number or a short link in its place? */
  hasBlockMap(): boolean;
}

/**
 * Frees all blocks of an inode that no entry leads to; its size and attributes stay.
 *
 * Locks: nobody else has the inode. Waits on: folios in flight; reads of tree blocks and bitmaps.
 * @throws FsError EUCLEAN
 */
export function* releaseBlocks<I extends ReleasedInode>(
  host: { readonly map: BlockMap<I>; readonly dirtyFiles: Set<I> }, inode: I,
): Io<void> {
  const { map } = host;
  if (inode.mappingIfAny !== undefined) {
    // A directory in the page cache that was made and got no name: what is dirty must not land on blocks that are free.
    yield* truncatePageCache(inode, 0);
    host.dirtyFiles.delete(inode);
  }
  if (!inode.hasBlockMap()) return;
  if (!inode.isFile) yield* forgetBlocks(map, inode, map.shape.treeBytes);
  yield* truncateBlocks(map, inode, 0);
}
