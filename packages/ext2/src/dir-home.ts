/**
 * Where ext2's directories live is `@iomap/block-map`'s business (`DirHome`: the buffer cache or the page cache, as the mount says);
 * here, that a size is whole blocks, and that a new block is one unused entry.
 */
import { dirHome, type DirHome as SharedHome, type DirHomeKind } from '@iomap/block-map';
import { corrupt } from '@iomap/io';
import { emptyBlock } from './dir-block.js';
import type { Ext2InodeInCore } from './inode.js';
import type { Volume } from './volume.js';

export type DirHome = SharedHome<Ext2InodeInCore>;

export function ext2DirHome(vol: Volume, kind: DirHomeKind): DirHome {
  const { blockSize } = vol;
  const fresh = new Uint8Array(blockSize);
  emptyBlock({ bytes: fresh, view: new DataView(fresh.buffer, fresh.byteOffset) }, blockSize);
  const home = dirHome<Ext2InodeInCore>(kind, {
    map: vol.map,
    buffers: vol.buffers,
    device: vol.device,
    writebackOps: vol.writebackOps,
    dirtyFiles: vol.dirtyFiles,
    dirBytes: blockSize,
    blockCount(dir) {
      if (dir.size % blockSize !== 0) throw corrupt('the size of a directory is not whole blocks', { ino: dir.ino, field: 'i_size' });
      return dir.size / blockSize;
    },
    blocksMax: 2 ** 32 / blockSize - 1,
    hole: 'corrupt',
    fresh,
    markDirty: (buf, dir) => {
      vol.markDirty(buf, dir);
    },
    shutdown: (error) => {
      vol.shutdown(error);
    },
  });
  return {
    ...home,
    *append(dir) {
      const block = yield* home.append(dir);
      vol.markInodeDirty(dir);
      return block;
    },
    *shrink(dir, count) {
      vol.markInodeDirty(dir);
      yield* home.shrink(dir, count);
    },
  };
}
