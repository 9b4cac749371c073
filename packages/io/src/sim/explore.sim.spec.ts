/**
 * The explorer on a two-copy record: the commit block may only count once the data is durable. Its canaries must fail:
 * a missing flush, and a promise made too early, have to be found.
 */
import type { Io } from '../request.js';
import { submitAll, submitBio } from '../submit.js';
import { exploreCrashes, SimDevice, SimulationError, type CrashPoint, type Exploration } from './index.js';

const SECTOR = 512;
const DATA_SECTORS = 4;
const filled = (sectors: number, fill: number): Uint8Array => new Uint8Array(sectors * SECTOR).fill(fill);

interface Plan {
  readonly flushBeforeCommit: boolean;
  readonly flushBeforeNote: boolean;
}

/** Writes data, then a commit sector that says that the data is there. */
function record(plan: Plan) {
  return function* (device: SimDevice, { note }: Exploration): Io<void> {
    const write = (pos: number, bytes: Uint8Array) =>
      ({ op: 'write', pos, segments: [bytes], lengthBytes: bytes.length }) as const;
    const flush = { op: 'flush', pos: 0, segments: [], lengthBytes: 0 } as const;
    const halves = [0, 2].map((sector) => write((1 + sector) * SECTOR, filled(2, 7)));
    yield* submitAll(halves.map((bio) => ({ kind: 'bio' as const, target: device, bio })));
    if (plan.flushBeforeCommit) yield* submitBio(device, flush);
    yield* submitBio(device, write(0, filled(1, 1)));
    if (plan.flushBeforeNote) yield* submitBio(device, flush);
    note('committed');
  };
}

function check(image: SimDevice, crash: CrashPoint): void {
  const bytes = image.toBytes();
  if (crash.notes.includes('committed') && bytes[0] !== 1) throw new Error('the commit was lost');
  if (bytes[0] !== 1) return;
  for (let i = SECTOR; i < (1 + DATA_SECTORS) * SECTOR; i++) if (bytes[i] !== 7) throw new Error('commit without data');
}

const options = { device: () => new SimDevice({ sizeBytes: (1 + DATA_SECTORS) * SECTOR }) };
const good: Plan = { flushBeforeCommit: true, flushBeforeNote: true };

describe('exploreCrashes', () => {
  it('passes the right order under every seed', () => {
    for (let seed = 0; seed < 20; seed++) {
      const result = exploreCrashes(record(good), check, { ...options, seed });
      expect(result.stops).toBeGreaterThan(5);
      expect(result.images).toBeGreaterThan(50);
    }
  });

  it('canary: finds the missing flush before the commit, and says how to replay it', () => {
    const run = () => exploreCrashes(record({ ...good, flushBeforeCommit: false }), check, { ...options, seed: 11 });
    expect(run).toThrow(SimulationError);
    expect(run).toThrow(/^seed 11, step \d+: after a crash that left \[[-+~]+\] .*: commit without data$/);
  });

  it('canary: finds the promise that was made before its flush', () => {
    const run = () => exploreCrashes(record({ ...good, flushBeforeNote: false }), check, { ...options, seed: 11 });
    expect(run).toThrow(/the commit was lost/);
  });

  it('canary: finds a write that is only wrong when it is torn', () => {
    const operation = function* (device: SimDevice): Io<void> {
      const bytes = filled(1 + DATA_SECTORS, 7).fill(1, 0, SECTOR); // commit and data in one write
      yield* submitBio(device, { op: 'write', pos: 0, segments: [bytes], lengthBytes: bytes.length });
    };
    expect(() => exploreCrashes(operation, check, options)).toThrow(/\[~\].*commit without data/);
    expect(() => exploreCrashes(operation, check, { ...options, torn: false })).not.toThrow();
  });

  it('looks at fewer disks in the lesser modes', () => {
    const none = exploreCrashes(record(good), check, { ...options, mode: 'none' });
    const linear = exploreCrashes(record(good), check, { ...options, mode: 'linear' });
    const exhaustive = exploreCrashes(record(good), check, { ...options, mode: 'exhaustive' });
    expect(none.images).toBe(1);
    expect(linear.images).toBeGreaterThan(none.images);
    expect(exhaustive.images).toBeGreaterThan(linear.images);
    expect(exploreCrashes(record(good), check, options)).toEqual(exhaustive);
  });
});
