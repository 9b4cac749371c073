/**
 * The blocks of ext2's directories: where they live is `@iomap/block-map`'s business (the buffer cache); here, that a size is whole
 * blocks, and that a new block is one unused entry.
 */
import { bufferDirBlocks as sharedBlocks, type DirBlocks as SharedBlocks } from '@iomap/block-map';
import { corrupt } from '@iomap/io';
import { emptyBlock } from './dir-block.js';
import type { Ext2InodeInCore } from './inode.js';
import type { Volume } from './volume.js';

export type DirBlocks = SharedBlocks<Ext2InodeInCore>;

export function bufferDirBlocks(vol: Volume): DirBlocks {
  const { blockSize } = vol;
  const blockCount = (dir: Ext2InodeInCore): number => {
    if (dir.size % blockSize !== 0) throw corrupt('the size of a directory is not whole blocks', { ino: dir.ino, field: 'i_size' });
    return dir.size / blockSize;
  };
  const blocks = sharedBlocks<Ext2InodeInCore>({
    map: vol.map,
    buffers: vol.buffers,
    dirBytes: blockSize,
    blockCount,
    blocksMax: 2 ** 32 / blockSize - 1,
    hole: 'corrupt',
  });
  return {
    ...blocks,
    *append(dir) {
      const buf = yield* blocks.append(dir);
      emptyBlock(buf, blockSize);
      vol.markDirty(buf, dir);
      dir.size += blockSize;
      vol.markInodeDirty(dir);
      return buf;
    },
    *shrink(dir, count, before) {
      dir.size = count * blockSize;
      yield* blocks.shrink(dir, count, before);
    },
  };
}
