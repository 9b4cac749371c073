/** One slice of a soak run, in a worker thread: bundled by index.mjs from the packages' sources. */
import { runHostile, type DriverUnderTest, type HostileBase } from '@iomap/conformance';
import { parentPort, workerData } from 'node:worker_threads';
import { crashSlice } from '../../packages/ext2/test/crash.js';
import { ext2, hostileBases } from '../../packages/ext2/test/driver.js';
import { ext2FsxSlice } from '../../packages/ext2/test/fsx.js';
import { randomSlice } from '../../packages/ext2/test/soak.js';
import { extentFsxSlice } from '../../packages/iomap-core/test/fsx-subject.js';
import { coreSlice } from '../../packages/iomap-core/test/soak.js';
import { minixCrashSlice } from '../../packages/minixfs/test/crash.js';
import { damageSlice } from '../../packages/minixfs/test/damage.js';
import { BLOCK_FORMATS, minix, ODD_FORMATS, PLAIN_FORMATS, smallBases } from '../../packages/minixfs/test/driver.js';
import { minixSlice } from '../../packages/minixfs/test/soak.js';
import { dirtyXfsSlice, hostileXfsSlice, judgeXfsSlice } from '../../packages/xfs-lite/test/soak.js';

interface Slice {
  readonly kind: 'schedules' | 'schedule-faults' | 'core-crash' | 'core-faults' | 'fsx' | 'fsx-ext2' | 'random' | 'enospc' | 'hostile' | 'crash' | 'minix' | 'minix-hostile' | 'minix-repair' | 'minix-crash' | 'xfs-hostile' | 'xfs-judge' | 'xfs-dirty';
  readonly seed: number;
  readonly count: number;
  readonly index: number;
  readonly until: number;
  readonly judge: number;
  readonly checkEvery: number;
  /** A folder for images that are made once. */
  readonly kept: string;
}

const { slice, at } = workerData as { slice: Slice; at: Float64Array };
/** Tells the watcher where this worker is. */
const note = (where: number): void => {
  at[0] = where;
  at[1] = (at[1] ?? 0) + 1;
};
const stop = (): boolean => Date.now() >= slice.until;

function hostileSlice(driver: DriverUnderTest, bases: readonly HostileBase[]): unknown {
  const report = runHostile({ driver, bases, seed: slice.seed, count: slice.count, judgeEvery: driver.fsck === undefined ? 0 : slice.judge, at: note, stop });
  return {
    ...report,
    done: report.mutants,
    tally: report.outcomes,
    failures: report.failures.map((one) => ({
      ...one,
      message: `seed ${one.seed} (${one.base}, ${one.changes.join('; ')}): ${one.stage}: ${one.what}\nrepeat with: npm run soak -- 1 --only ${slice.kind} --seed ${one.seed} --slice 1 --workers 1`,
    })),
  };
}

function withoutTool(driver: DriverUnderTest): DriverUnderTest {
  const { fsck, ...rest } = driver;
  return fsck === undefined ? driver : rest;
}

function repairSlice(): unknown {
  const isOdd = slice.index % 3 === 2;
  const bases = isOdd ? smallBases([...BLOCK_FORMATS, ...ODD_FORMATS]) : smallBases(PLAIN_FORMATS);
  const isJudged = (): boolean => !isOdd;
  const { judged, clean, whole, lost, failures, tally, done } = damageSlice({ seed: slice.seed, count: slice.count, bases, isJudged, note, stop });
  // What cannot be repaired is counted; what is lost, or is no FsError, is a failure.
  const bad = failures.filter((one) => lost > 0 || /Error: (?!E[A-Z]+)/.test(one.message));
  const counts = { 'judged by fsck.minix': judged, 'clean to fsck.minix': clean, 'whole files': whole, 'whole files lost': lost, 'not repaired': failures.length };
  return { done, tally: { ...tally, ...counts }, failures: bad };
}

function run(): unknown {
  switch (slice.kind) {
    case 'schedules':
    case 'schedule-faults':
    case 'core-crash':
    case 'core-faults':
      return coreSlice({ kind: slice.kind, seed: slice.seed, count: slice.count, note, stop });
    case 'fsx':
      return extentFsxSlice({ seed: slice.seed, ops: slice.count, note, stop });
    case 'fsx-ext2':
      return ext2FsxSlice({ seed: slice.seed, ops: slice.count, note, stop });
    case 'hostile':
      return hostileSlice(ext2, hostileBases());
    case 'minix-hostile':
      // Every third slice has the formats that fsck.minix does not read, which nobody judges.
      return slice.index % 3 === 2 ? hostileSlice(withoutTool(minix), smallBases()) : hostileSlice(minix, smallBases(PLAIN_FORMATS));
    case 'minix-repair':
      return repairSlice();
    case 'minix-crash':
      return minixCrashSlice({ seed: slice.seed, count: slice.count, note, stop });
    case 'minix':
      return minixSlice({ seed: slice.seed, ops: slice.count, index: slice.index, checkEvery: slice.checkEvery, note, stop });
    case 'xfs-hostile':
      return hostileXfsSlice({ seed: slice.seed, count: slice.count, kept: slice.kept, note, stop });
    case 'xfs-judge':
      return judgeXfsSlice({ seed: slice.seed, count: slice.count, kept: slice.kept, note, stop });
    case 'xfs-dirty':
      return dirtyXfsSlice({ seed: slice.seed, count: slice.count, note, stop });
    case 'crash':
      return crashSlice({ seed: slice.seed, count: slice.count, note, stop });
    default:
      return randomSlice({ kind: slice.kind, seed: slice.seed, ops: slice.count, index: slice.index, checkEvery: slice.checkEvery, note, stop });
  }
}

const start = performance.now();
const result = run() as Record<string, unknown>;
parentPort?.postMessage({ ...result, seconds: (performance.now() - start) / 1000 });
