/**
 * The crash explorer: runs an operation once under the simulator and, at every event that changes what a crash could
 * leave, checks the disks that it could leave.
 *
 * A crash is "never resumed", and a crash image is a fork: checking it does not disturb the operation, so one run visits
 * every crash point. Modes, after littlefs:
 * - `none`: no crash; the disk at the end, all writes landed.
 * - `linear`: at every point two disks: none and all of the unsettled writes landed.
 * - `exhaustive`: at every point every subset of the unsettled writes, torn ones too; sampled above `imagesMax`.
 */
import type { Io } from '../request.js';
import { SeededRandom } from '../random.js';
import type { SimDevice } from './sim-device.js';
import { SimulationError, Simulator, type SimulatorOptions } from './simulator.js';

export interface CrashPoint {
  /** What the operation noted before the crash, oldest first: promises that the disk must keep. */
  readonly notes: readonly unknown[];
  /** The simulator's event number. */
  readonly step: number;
  /** True for the disk at the end of the operation, which nothing was taken from. */
  readonly finished: boolean;
  /** Which unsettled writes landed, oldest first: `+` whole, `~` in part, `-` not. */
  readonly landed: string;
}

export interface ExploreOptions extends Omit<SimulatorOptions, 'seed' | 'onStep'> {
  /** Makes the disk that the operation starts from. */
  readonly device: () => SimDevice;
  readonly mode?: 'none' | 'linear' | 'exhaustive';
  /** Default 1. */
  readonly seed?: number;
  /** Disks per crash point. Default 64. */
  readonly imagesMax?: number;
  /** Each crash point is looked at with this probability. Default 1: all. */
  readonly stopProbability?: number;
  /** Whether writes may land in part. Default true. */
  readonly torn?: boolean;
}

export interface ExploreResult {
  readonly seed: number;
  /** Crash points looked at. */
  readonly stops: number;
  /** Disks checked. */
  readonly images: number;
  /** The simulator's events. */
  readonly steps: number;
}

/** What an operation under exploration may use. */
export interface Exploration {
  readonly simulator: Simulator;
  /** Records that something is promised from now on ("a is synced"), for the checks of later crashes. */
  readonly note: (what: unknown) => void;
}

/**
 * Runs `operation` and calls `checkRecovered` with every disk that a crash may leave; it throws when one is not as promised.
 * @throws SimulationError with the seed, the step and what landed; its `cause` is the check's error
 */
export function exploreCrashes(
  operation: (device: SimDevice, exploration: Exploration) => Io<unknown>,
  checkRecovered: (image: SimDevice, crash: CrashPoint) => void,
  options: ExploreOptions,
): ExploreResult {
  const { device: makeDevice, mode = 'exhaustive', seed = 1, imagesMax = 64, stopProbability = 1, torn = true } = options;
  const device = makeDevice();
  const sampler = new SeededRandom(seed);
  const notes: unknown[] = [];
  let stops = 0;
  let images = 0;
  let seenVersion = -1;
  let seenNotes = -1;

  const check = (image: SimDevice, step: number, finished: boolean, landed: string): void => {
    images++;
    try {
      checkRecovered(image, { notes: [...notes], step, finished, landed });
    } catch (cause) {
      const when = finished ? 'at the end' : `after a crash that left [${landed}] of the unsettled writes`;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new SimulationError(seed, step, `${when}: ${why}`, cause);
    }
  };
  const crashHere = (simulator: Simulator): void => {
    if (mode === 'none' || (device.version === seenVersion && notes.length === seenNotes)) return;
    seenVersion = device.version;
    seenNotes = notes.length;
    if (stopProbability < 1 && !sampler.chance(stopProbability)) return;
    stops++;
    const max = mode === 'linear' ? 2 : imagesMax;
    const candidates = device.crashImages({ max, seed: seed + simulator.step, torn: torn && mode === 'exhaustive' });
    for (const image of candidates) check(image, simulator.step, false, candidates.description);
  };

  const simulator = new Simulator({ ...options, seed, onStep: crashHere });
  const note = (what: unknown): void => void notes.push(what);
  simulator.runOne(operation(device, { simulator, note }), 'operation');
  crashHere(simulator);
  check(device.fork(), simulator.step, true, '');
  return { seed, stops, images, steps: simulator.step };
}
