/** The core's slices of a soak run: seeds one after another, and what failed with the command that repeats it. */
import { runCrash } from './crash.js';
import { runFaults } from './faults.js';
import { runSchedule } from './schedule.js';

export interface CoreSlice {
  readonly kind: 'schedules' | 'schedule-faults' | 'core-crash' | 'core-faults';
  readonly seed: number;
  readonly count: number;
  readonly note?: (done: number) => void;
  readonly stop?: () => boolean;
}

export interface CoreSliceResult {
  readonly done: number;
  readonly tally: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly message: string; readonly seed: number }[];
}

const FAILURES_MAX = 5;

/** What one seed did, in numbers that are added up. */
function runSeed(kind: CoreSlice['kind'], seed: number): Readonly<Record<string, number>> {
  switch (kind) {
    case 'schedules':
    case 'schedule-faults': {
      const { events, calls, stale, pressure, lockWaits, faults } = runSchedule(seed, { faults: kind === 'schedule-faults' });
      const failed = faults > 0 ? { 'with a failure': faults } : {};
      return { ...failed, events, calls, 'stale mappings': stale, 'writebacks by pressure': pressure, 'waits for a folio': lockWaits };
    }
    case 'core-crash': {
      const { images, stops } = runCrash(seed, 12);
      return { 'disks checked': images, 'moments of crash': stops };
    }
    default: {
      const { requests, told, repeated } = runFaults(seed);
      return { 'requests failed': requests, 'told by a call': told, 'done again': repeated };
    }
  }
}

export function coreSlice(slice: CoreSlice): CoreSliceResult {
  // Refusals are a part of the runs, and their traces a tenth of the time.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return runSlice(slice);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function runSlice({ kind, seed, count, note, stop }: CoreSlice): CoreSliceResult {
  const tally: Record<string, number> = {};
  const failures: { message: string; seed: number }[] = [];
  let done = 0;
  for (let one = seed; one < seed + count && failures.length < FAILURES_MAX && stop?.() !== true; one++) {
    note?.(one);
    try {
      for (const [name, n] of Object.entries(runSeed(kind, one))) tally[name] = (tally[name] ?? 0) + n;
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      failures.push({ message: `${what}\nrepeat with: npm run soak -- 1 --only ${kind} --seed ${one} --slice 1 --workers 1`, seed: one });
    }
    done++;
  }
  return { done, tally, failures };
}
