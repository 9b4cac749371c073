/**
 * Where a directory's blocks live: here, the buffer cache. Directory code asks this interface only, so that another home
 * (the page cache, through iomap) can be put under it and measured.
 *
 * - `peek` is the hit, a plain call; `read` waits; `append` grows the directory by one block without entries.
 */
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import { emptyBlock } from './dir-block.js';
import type { MapRun } from './extent-cache.js';
import { allocMap, peekMap, readMap } from './indirect.js';
import type { Ext2InodeInCore } from './inode.js';
import { truncateBlocks } from './truncate.js';
import type { Volume } from './volume.js';

/** Blocks of a directory read ahead at once. */
const READAHEAD_BLOCKS = 32;

export interface DirBlocks {
  /** @throws FsError EUCLEAN when the size is not a whole number of blocks */
  count(dir: Ext2InodeInCore): number;
  peek(dir: Ext2InodeInCore, index: number): Buf | undefined;
  /** The block of a directory that has one, read within the call where that can be; the caller holds no other buffer. */
  only(dir: Ext2InodeInCore): Buf | undefined;
  read(dir: Ext2InodeInCore, index: number): Io<Buf>;
  /** @throws FsError ENOSPC, EFBIG */
  append(dir: Ext2InodeInCore): Io<Buf>;
  /** Takes back the blocks from `count` on. */
  shrink(dir: Ext2InodeInCore, count: number): Io<void>;
}

export function bufferDirBlocks(vol: Volume): DirBlocks {
  const { blockSize } = vol;
  const scratch: MapRun = { block: 0, count: 0 };
  const hole = (dir: Ext2InodeInCore, index: number): FsError =>
    corrupt('a hole in a directory', { ino: dir.ino, pos: index * blockSize });
  return {
    count(dir) {
      if (dir.size % blockSize !== 0) throw corrupt('the size of a directory is not whole blocks', { ino: dir.ino, field: 'i_size' });
      return dir.size / blockSize;
    },
    peek(dir, index) {
      if (!peekMap(vol, dir, index, scratch)) return undefined;
      if (scratch.block === 0) throw hole(dir, index);
      return vol.buffers.peek(scratch.block * blockSize);
    },
    only(dir) {
      if (!peekMap(vol, dir, 0, scratch)) return undefined;
      if (scratch.block === 0) throw hole(dir, 0);
      return vol.buffers.readNow(scratch.block * blockSize, blockSize);
    },
    *read(dir, index) {
      const run: MapRun = { block: 0, count: 0 };
      yield* readMap(vol, dir, index, run);
      if (run.block === 0) throw hole(dir, index);
      const pos = run.block * blockSize;
      const ahead = Math.min(run.count, READAHEAD_BLOCKS, dir.size / blockSize - index);
      if (ahead > 1 && vol.buffers.peek(pos) === undefined) yield* vol.buffers.readahead(pos, blockSize, undefined, ahead);
      return yield* vol.buffers.read(pos, blockSize);
    },
    *append(dir) {
      const index = dir.size / blockSize;
      if ((index + 1) * blockSize >= 2 ** 32) throw new FsError('EFBIG');
      const run: MapRun = { block: 0, count: 0 };
      yield* allocMap(vol, dir, { fileBlock: index, want: 1 }, run);
      const buf = yield* vol.newBlock(run.block);
      emptyBlock(buf, blockSize);
      vol.markDirty(buf, dir);
      dir.size += blockSize;
      vol.markInodeDirty(dir);
      return buf;
    },
    *shrink(dir, count) {
      const run: MapRun = { block: 0, count: 0 };
      for (let index = count; index * blockSize < dir.size; index++) {
        yield* readMap(vol, dir, index, run);
        if (run.block !== 0) yield* vol.forgetBlock(run.block);
      }
      dir.size = count * blockSize;
      yield* truncateBlocks(vol, dir, count);
    },
  };
}
