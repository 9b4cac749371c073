/**
 * The file exerciser over ext2, through the vfs. It draws no punches, zeroings and preallocations: ext2 has no fallocate, here as in
 * Linux (EOPNOTSUPP, which fsx.spec.ts checks), and programs that want zeroes write them.
 */
import { fsxSlice, imageDevice, random, runFsx, vfsFsxSubject, type FsxKind, type FsxSliceOptions, type FsxSliceResult } from '@iomap/conformance';
import { fixedEnv, type Io } from '@iomap/io';
import { emptyImage, ext2 } from './driver.js';

const MIB = 2 ** 20;
const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });

/** One run: block size and cache from the seed. */
function ext2Fsx(seed: number, ops: number): Io<ReadonlyMap<FsxKind, number>> {
  const rng = random(seed);
  const blockSize = [1024, 2048, 4096][seed % 3] ?? 1024;
  const cacheBytes = rng.chance(0.7) ? MIB : 4 * MIB;
  // Some files do not fit into the cache, and need a double indirect block.
  const maxBytes = rng.chance(0.25) ? 1536 * 1024 : 256 * 1024;
  return runFsx({
    name: `ext2, ${blockSize}-byte blocks, cache of ${cacheBytes}`,
    *make() {
      const image = imageDevice(emptyImage(6 * MIB, { blockSize, inodeSize: 256, inodes: 64 }));
      const device = { ...image, limits: { ...image.limits, atomicWriteBytes: 16 * 4096 } };
      return yield* vfsFsxSubject({
        env,
        atomic: { min: blockSize, max: 8 * blockSize },
        mount: () => ext2.mount(device, { env, cacheBytes, bufferBytes: MIB }),
        *check() {
          return (yield* ext2.check(device)).findings;
        },
      });
    },
    seed,
    ops,
    maxBytes,
    opMaxBytes: 96 * 1024,
    replay: `npm run soak -- 5 --only fsx-ext2 --seed ${seed} --slice ${ops} --workers 1`,
  });
}

/** Runs with seeds of their own. */
export const ext2FsxSlice = (options: FsxSliceOptions): FsxSliceResult => fsxSlice(options, ext2Fsx);
