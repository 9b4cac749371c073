/** Slices of the long runs: mutated images, and dirty logs against the kernel's own recovery. */
import { assertTreesEqual, describeFsTree, describeHostTree, random, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirty } from './dirty.js';
import { check } from '../src/index.js';
import { withDevice, withMount } from './driver.js';
import { runMutants } from './hostile.js';
import { makeBases, type Base } from './hostile-bases.js';
import { judgeMutants, type Judgement } from './judge.js';

export interface XfsSlice {
  readonly seed: number;
  readonly count: number;
  readonly note?: (at: number) => void;
  readonly stop?: () => boolean;
  /** A folder that keeps the images from which mutants are made. */
  readonly kept?: string;
}

export interface XfsSliceResult {
  readonly done: number;
  readonly tally: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly message: string }[];
}

function basesIn(kept: string | undefined): Base[] {
  if (kept !== undefined) mkdirSync(kept, { recursive: true });
  return makeBases(kept);
}

/** Mutants: each ends in a result or an FsError, in bounded time and memory. */
export function hostileXfsSlice({ seed, count, note, stop, kept }: XfsSlice): XfsSliceResult & { readonly slowestMs: number; readonly peakBytes: number } {
  const { mutants, outcomes, failures, slowestMs, peakBytes } = runMutants(basesIn(kept), seed, count, note, stop);
  return { done: mutants, tally: outcomes, slowestMs, peakBytes, failures: failures.map((message) => ({ message: `${message}\nrepeat with: npm run soak -- 5 --only xfs-hostile --seed (its seed) --slice 1 --workers 1` })) };
}

/** Mutants that `xfs_repair -n` judges too. */
export function judgeXfsSlice({ seed, count, note, stop, kept }: XfsSlice): XfsSliceResult & Judgement {
  const result = judgeMutants(basesIn(kept), seed, count, note, stop);
  return { ...result, done: result.judged + result.toolFailed, tally: {}, failures: [] };
}

/** mkfs.xfs options whose logs differ. */
export const DIRTY_SETS: readonly (readonly [name: string, args: string])[] = [
  ['defaults', ''],
  ['rmapbt, nrext64', '-m rmapbt=1 -i nrext64=1'],
  ['1k blocks, small log', '--unsupported -b size=1024 -l size=4m'],
  ['4k sectors', '-s size=4096'],
  ['log stripe', '-l su=256k'],
  ['16k directories, no reflink', '-n size=16384 -m reflink=0'],
  ['1k inodes, no sparse', '-i size=1024,sparse=0'],
  ['no bigtime, small log', '--unsupported -m bigtime=0,finobt=0 -l size=9m'],
  ['64k blocks', '--unsupported -b size=65536'],
];

/** One image that was cut off in the middle of work: what we read of it, and what the kernel recovers. @throws Error where they differ */
export function compareRecovery(image: string, options: { seed: number; args: string; ops: number; flushLog: boolean }): void {
  makeDirty(image, { ...options, args: options.args === '' ? [] : options.args.split(' ') });
  const ours = withMount(image, (fs) => {
    if (!fs.wasReplayed) throw new Error('the log was clean');
    return runSync(describeFsTree(fs));
  });
  const { findings } = withDevice(image, (device) => runSync(check(device)));
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new Error(`check of a dirty image: ${JSON.stringify(errors.slice(0, 3))}`);
  // The kernel replays when it mounts.
  withLoopMount(image, { type: 'xfs', options: ['noatime'] }, (mounted) => {
    assertTreesEqual(describeHostTree(mounted), ours, { times: ['atime', 'mtime', 'ctime'], symlinkModes: true }, 'what the kernel recovered and ours');
  });
}

/** Dirty logs; as root alone. */
export function dirtyXfsSlice({ seed, count, note, stop }: XfsSlice): XfsSliceResult {
  const failures: { message: string }[] = [];
  const tally: Record<string, number> = {};
  let done = 0;
  for (; done < count && stop?.() !== true; done++) {
    const at = seed + done;
    note?.(at);
    const r = random(at);
    const [name, args] = DIRTY_SETS[at % DIRTY_SETS.length] ?? ['defaults', ''];
    const dir = scratchDir('iomap-xfs');
    try {
      compareRecovery(join(dir, 'image'), { seed: at, args, ops: 20 + r.below(600), flushLog: r.below(3) > 0 });
      tally[name] = (tally[name] ?? 0) + 1;
    } catch (error) {
      failures.push({ message: `seed ${at} (${name}): ${error instanceof Error ? error.message : String(error)}\nrepeat with: npm run soak -- 5 --only xfs-dirty --seed ${at} --slice 1 --workers 1` });
    } finally {
      removeScratch(dir);
    }
  }
  return { done, tally, failures };
}
