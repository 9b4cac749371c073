/** The suites once more with directories in the page cache: both homes of a directory are correct (docs/conversion.md compares them). */
import { fileSystemSuite, findOracle, imageMatrixSuite, PROFILES, runHostile } from '@iomap/conformance';
import { testSeed } from '@iomap/tools/testing';
import { crashSlice } from './crash.js';
import { ext2LegacyPages, ext2Pages, hostileBases } from './driver.js';
import { randomSlice } from './soak.js';

const seed = testSeed();

fileSystemSuite(ext2Pages, {
  sizeBytes: 12 * 2 ** 20,
  formats: [
    { name: '1k blocks, 128-byte inodes', options: { blockSize: 1024, inodeSize: 128, inodes: 2048 } },
    { name: '4k blocks, 256-byte inodes', options: { blockSize: 4096, inodeSize: 256, inodes: 2048 } },
  ],
});
fileSystemSuite(ext2LegacyPages, {
  sizeBytes: 12 * 2 ** 20,
  runners: ['sync'],
  formats: [{ name: '1k blocks', options: { blockSize: 1024, inodeSize: 128, inodes: 2048 } }],
});

imageMatrixSuite(ext2Pages, {
  seed,
  ops: 300,
  sizeBytes: 24 * 2 ** 20,
  formats: [1024, 2048, 4096].flatMap((blockSize) =>
    [['dir_index'], ['^dir_index', '^resize_inode']].map((features) => ({
      name: `${blockSize}, ${features.join(' ')}`,
      options: { blockSize, inodeSize: 256, features, inodes: 2048 },
      profile: PROFILES.names,
    })),
  ),
});

describe('a short slice of the soak runs, directories in the page cache', () => {
  it.each([0, 1, 2, 3])('random operations, slice %i', (index) => {
    expect(randomSlice({ kind: 'random', seed: seed + index, ops: 1000, index, checkEvery: 500, driver: ext2Pages }).failures).toEqual([]);
  });

  it.each([0, 1])('a full filesystem, slice %i', (index) => {
    expect(randomSlice({ kind: 'enospc', seed: seed + index, ops: 1000, index, checkEvery: 500, driver: ext2Pages }).failures).toEqual([]);
  });

  it('crashes lose no file that was fsynced', () => {
    expect(crashSlice({ seed, count: 20, driver: ext2Pages }).failures).toEqual([]);
  });

  it('canary: crashes of a disk that ignores flushes do', () => {
    expect(crashSlice({ seed: 3, count: 30, ignoreFlushes: true, driver: ext2Pages }).failures.length).toBeGreaterThan(0);
  });

  it('hostile images end in a result or an FsError', () => {
    const judgeEvery = findOracle('e2fsck') === undefined ? 0 : 20;
    const report = runHostile({ driver: ext2Pages, bases: hostileBases(), seed, count: 300, judgeEvery });
    expect(report.failures.map((one) => `${one.seed} ${one.stage} ${one.what} ${one.changes.join('; ')}`)).toEqual([]);
  });
});
