/** One slice of a soak run, in a worker thread: bundled by index.mjs from the packages' sources. */
import { runHostile, type HostileBase } from '@iomap/conformance';
import { parentPort, workerData } from 'node:worker_threads';
import { crashSlice } from '../../packages/ext2/test/crash.js';
import { ext2, hostileBases } from '../../packages/ext2/test/driver.js';
import { randomSlice } from '../../packages/ext2/test/soak.js';

interface Slice {
  readonly kind: 'random' | 'enospc' | 'hostile' | 'crash';
  readonly seed: number;
  readonly count: number;
  readonly index: number;
  readonly until: number;
  readonly judge: number;
  readonly checkEvery: number;
}

const { slice, at } = workerData as { slice: Slice; at: Float64Array };
/** Tells the watcher where this worker is. */
const note = (where: number): void => {
  at[0] = where;
  at[1] = (at[1] ?? 0) + 1;
};
const stop = (): boolean => Date.now() >= slice.until;

function hostileSlice(bases: readonly HostileBase[]): unknown {
  const report = runHostile({ driver: ext2, bases, seed: slice.seed, count: slice.count, judgeEvery: slice.judge, at: note, stop });
  return {
    ...report,
    done: report.mutants,
    tally: report.outcomes,
    failures: report.failures.map((one) => ({
      ...one,
      message: `seed ${one.seed} (${one.base}, ${one.changes.join('; ')}): ${one.stage}: ${one.what}\nrepeat with: npm run soak -- 1 --only hostile --seed ${one.seed} --slice 1 --workers 1`,
    })),
  };
}

function run(): unknown {
  switch (slice.kind) {
    case 'hostile':
      return hostileSlice(hostileBases());
    case 'crash':
      return crashSlice({ seed: slice.seed, count: slice.count, note, stop });
    default:
      return randomSlice({ kind: slice.kind, seed: slice.seed, ops: slice.count, index: slice.index, checkEvery: slice.checkEvery, note, stop });
  }
}

const start = performance.now();
const result = run() as Record<string, unknown>;
parentPort?.postMessage({ ...result, seconds: (performance.now() - start) / 1000 });
