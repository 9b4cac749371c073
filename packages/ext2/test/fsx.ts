/** The file exerciser over ext2, through the vfs. */
import { FsxFailure, imageDevice, random, runFsx, vfsFsxSubject, type FsxKind } from '@iomap/conformance';
import { fixedEnv, runSync, type Io } from '@iomap/io';
import { emptyImage, ext2 } from './driver.js';
import type { SliceResult } from './soak.js';

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
      const device = imageDevice(emptyImage(6 * MIB, { blockSize, inodeSize: 256, inodes: 64 }));
      return yield* vfsFsxSubject({
        env,
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

/** Runs of `perRun` operations, each a seed of its own. */
export function ext2FsxSlice(options: { seed: number; ops: number; perRun?: number; note?: (done: number) => void; stop?: () => boolean }): SliceResult {
  const perRun = options.perRun ?? 2000;
  const tally: Record<string, number> = {};
  let done = 0;
  for (let seed = options.seed; done < options.ops && options.stop?.() !== true; seed++) {
    const ops = Math.min(perRun, options.ops - done);
    try {
      for (const [kind, n] of runSync(ext2Fsx(seed, ops))) tally[kind] = (tally[kind] ?? 0) + n;
    } catch (error) {
      if (!(error instanceof FsxFailure)) throw error;
      return { done, tally, failures: [{ message: error.message, seed }] };
    }
    done += ops;
    options.note?.(done);
  }
  return { done, tally, failures: [] };
}
