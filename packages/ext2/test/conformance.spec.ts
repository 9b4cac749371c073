import { fileSystemSuite, imageMatrixSuite, readbackSuite, removeScratch, scratchDir } from '@iomap/conformance';
import { testSeed } from '@iomap/tools/testing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crashSlice } from './crash.js';
import { ext2, mke2fs } from './driver.js';
import { randomSlice } from './soak.js';

const seed = testSeed();

fileSystemSuite(ext2, {
  sizeBytes: 12 * 2 ** 20,
  formats: [
    { name: '1k blocks, 128-byte inodes', options: { blockSize: 1024, inodeSize: 128, inodes: 2048 } },
    { name: '4k blocks, 256-byte inodes', options: { blockSize: 4096, inodeSize: 256, inodes: 2048 } },
  ],
});

const matrix = [1024, 2048, 4096].flatMap((blockSize) =>
  [128, 256].flatMap((inodeSize) =>
    [['dir_index', 'sparse_super'], ['^dir_index', '^sparse_super', '^resize_inode']].map((features) => ({ blockSize, inodeSize, features })),
  ),
);

/** An image that mke2fs made, for our driver to edit. */
function byTool(args: readonly string[], features: readonly string[] = []): Uint8Array {
  const dir = scratchDir('iomap-mke2fs');
  try {
    const path = join(dir, 'image');
    mke2fs(path, '24M', ['-N', '2048', ...args], undefined, features);
    return new Uint8Array(readFileSync(path));
  } finally {
    removeScratch(dir);
  }
}

imageMatrixSuite(ext2, {
  seed,
  ops: 400,
  sizeBytes: 24 * 2 ** 20,
  formats: [
    ...matrix.map((options) => ({
      name: `${options.blockSize}, ${options.inodeSize}, ${options.features.join(' ')}`,
      options: { ...options, inodes: 2048 },
    })),
    { name: 'revision 0', options: { blockSize: 1024, features: ['revision0'], inodes: 2048 } },
    { name: 'mke2fs 1k', make: () => byTool(['-b', '1024', '-I', '128']) },
    { name: 'mke2fs 4k', make: () => byTool(['-b', '4096', '-I', '256']) },
    { name: 'mke2fs meta_bg', make: () => byTool(['-b', '1024'], ['meta_bg', '^resize_inode']) },
  ],
});

readbackSuite(ext2, {
  tools: ['mke2fs'],
  formats: [
    {
      name: 'mke2fs 1k',
      make: (path, from) => mke2fs(path, '64M', ['-b', '1024', '-I', '128', '-N', '24000'], from),
      tree: { namesInOneDirectory: 20_000, xattrs: 3 },
      // mke2fs takes a time that grows with the square of the names.
      folder: { namesInOneDirectory: 2000, xattrs: 3 },
    },
    {
      name: 'mke2fs 4k',
      make: (path, from) => mke2fs(path, '64M', ['-b', '4096', '-I', '256', '-N', '4000'], from),
      tree: { namesInOneDirectory: 1500, xattrs: 20 },
    },
  ],
});

describe('a short slice of the soak runs', () => {
  it.each([0, 1, 2, 3])('random operations, slice %i', (index) => {
    expect(randomSlice({ kind: 'random', seed: seed + index, ops: 1500, index, checkEvery: 750 }).failures).toEqual([]);
  });

  it.each([0, 1, 2])('a full filesystem, slice %i', (index) => {
    const result = randomSlice({ kind: 'enospc', seed: seed + index, ops: 1500, index, checkEvery: 750 });
    expect(result.failures).toEqual([]);
  });

  it('crashes lose no file that was fsynced', () => {
    expect(crashSlice({ seed, count: 20 }).failures).toEqual([]);
  });

  it('canary: crashes of a disk that ignores flushes do', () => {
    expect(crashSlice({ seed: 3, count: 30, ignoreFlushes: true }).failures.length).toBeGreaterThan(0);
  });
});
