import { FsError, type Io } from '@iomap/io';
import type { FileSystem, Inode } from '@iomap/vfs';
import { ImageTree } from './tree.js';

/** A filesystem of 100 KiB whose one file has data in its second block only, whatever its inode says. */
const fs = {
  *statfs(): Io<unknown> {
    yield* [];
    return { blocks: 100, blockSize: 1024 };
  },
  *seek(_inode: Inode, pos: number, whence: string): Io<number> {
    yield* [];
    if (whence === 'hole') return 2048;
    if (pos >= 2048) throw new FsError('ENXIO');
    return Math.max(pos, 1024);
  },
} as unknown as FileSystem;

const inode = (size: number, bytes: number): Inode => ({ ino: 12, size, blocks: bytes / 512 }) as Inode;

describe('ImageTree.data', () => {
  it('takes a file that has blocks for all of its size as a whole', () => {
    expect(new ImageTree(fs).data(inode(50_000, 51_200))).toEqual([{ pos: 0, length: 50_000 }]);
  });

  it('asks for the holes where the count of blocks is more than the filesystem has', () => {
    expect(new ImageTree(fs).data(inode(2 ** 40, 2 ** 40))).toEqual([{ pos: 1024, length: 1024 }]);
  });
});
