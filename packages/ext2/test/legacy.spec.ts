/** The suites once more with file data the old way (`io: 'legacy'`): what the conversion study compares with is correct. */
import { fileSystemSuite, imageDevice, imageMatrixSuite, PROFILES } from '@iomap/conformance';
import { fixedEnv, FsError, runSync } from '@iomap/io';
import { testSeed } from '@iomap/tools/testing';
import { mkfs, mount } from '../src/index.js';
import { ext2Legacy } from './driver.js';

fileSystemSuite(ext2Legacy, {
  sizeBytes: 12 * 2 ** 20,
  runners: ['sync'],
  formats: [
    { name: '1k blocks', options: { blockSize: 1024, inodeSize: 128, inodes: 2048 } },
    { name: '4k blocks', options: { blockSize: 4096, inodeSize: 256, inodes: 2048 } },
  ],
});

const seed = testSeed();

imageMatrixSuite(ext2Legacy, {
  seed,
  ops: 200,
  sizeBytes: 24 * 2 ** 20,
  formats: [1024, 2048, 4096].flatMap((blockSize) =>
    [PROFILES.mixed, PROFILES.data].map((profile) => ({
      name: `${blockSize} ${profile.name}`, options: { blockSize, inodeSize: 256, inodes: 2048 }, profile,
    })),
  ),
});

imageMatrixSuite(ext2Legacy, {
  seed,
  ops: 300,
  sizeBytes: 3 * 2 ** 20,
  formats: [1024, 4096].map((blockSize) => ({
    name: `${blockSize}, full`, options: { blockSize, inodeSize: 256, inodes: 512 }, profile: PROFILES.full,
  })),
});

it('does not mount blocks larger than a page', () => {
  const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
  const image = imageDevice(new Uint8Array(8 * 2 ** 20));
  runSync(mkfs(image, { blockSize: 8192 }, env));
  expect(() => runSync(mount(image, { env, io: 'legacy' }))).toThrow(FsError);
  expect(runSync(mount(image, { env })).traits.blockSize).toBe(8192);
});
