import { Mutex } from '../lock.js';
import type { Bio, Io } from '../request.js';
import { submitBio, submitDetached } from '../submit.js';
import { concurrently, spawn } from '../task.js';
import { SimDevice, SimulationError, Simulator } from './index.js';

const SECTOR = 512;
const bioOf = (op: 'read' | 'write', sector: number, bytes: Uint8Array): Bio => ({
  op,
  pos: sector * SECTOR,
  segments: [bytes],
  lengthBytes: bytes.length,
});

/** Reads a counter, adds one, writes it back: wrong without the lock. */
function* increment(device: SimDevice, lock?: Mutex): Io<void> {
  if (lock !== undefined) yield* lock.lock();
  try {
    const bytes = new Uint8Array(SECTOR);
    yield* submitBio(device, bioOf('read', 0, bytes));
    bytes[0] = (bytes[0] ?? 0) + 1;
    yield* submitBio(device, bioOf('write', 0, bytes));
  } finally {
    lock?.unlock();
  }
}

function countTo(tasks: number, seed: number, lock?: Mutex): number {
  const device = new SimDevice({ sizeBytes: SECTOR });
  const simulator = new Simulator({ seed });
  for (let i = 0; i < tasks; i++) simulator.spawn(increment(device, lock));
  simulator.run();
  return device.toBytes()[0] ?? -1;
}

const seeds = Array.from({ length: 50 }, (_, i) => i);

describe('Simulator', () => {
  it('finds a lost update without a lock, and none with it', () => {
    expect(seeds.some((seed) => countTo(3, seed) < 3)).toBe(true); // the canary
    expect(seeds.every((seed) => countTo(3, seed, new Mutex('counter')) === 3)).toBe(true);
  });

  it('does the same thing for the same seed, other things for others', () => {
    const trace = (seed: number): string => {
      const device = new SimDevice({ sizeBytes: 8 * SECTOR });
      const log: string[] = [];
      const simulator = new Simulator({ seed, faultProbability: 0.2 });
      const task = function* (name: string): Io<void> {
        for (let i = 0; i < 5; i++) {
          try {
            yield* submitBio(device, bioOf('write', i, new Uint8Array(SECTOR)));
            log.push(`${name}${i}`);
          } catch {
            log.push(`${name}${i} failed`);
          }
          yield* simulator.sleep(1e6);
        }
      };
      for (const name of ['a', 'b', 'c']) simulator.spawn(task(name), name);
      simulator.run();
      return `${log.join()} ${simulator.nowNs}`;
    };
    expect(trace(1)).toBe(trace(1));
    expect(new Set(seeds.map(trace)).size).toBe(seeds.length);
  });

  it('names the locks of a deadlock, and the seed', () => {
    const a = new Mutex('lock a');
    const b = new Mutex('lock b');
    const both = function* (first: Mutex, second: Mutex, simulator: Simulator): Io<void> {
      yield* first.lock();
      yield* simulator.sleep(1);
      yield* second.lock();
      second.unlock();
      first.unlock();
    };
    const simulator = new Simulator({ seed: 3 });
    simulator.spawn(both(a, b, simulator), 'one');
    simulator.spawn(both(b, a, simulator), 'two');
    expect(() => simulator.run()).toThrow(
      /^seed 3, step \d+: deadlock: one waits for lock b, holds lock a; two waits for lock a, holds lock b$/,
    );
  });

  it('checks the lock order', () => {
    const io = function* (): Io<void> {
      yield* new Mutex('folio 0', 'folio').lock();
      yield* new Mutex('inode 2', 'inode').lock();
    };
    expect(() => new Simulator({ seed: 1 }).runOne(io())).toThrow(/seed 1.*inode 2 \(inode\) is taken while folio 0/);
  });

  it('fails chosen bios, and reports a task that failed and was not joined', () => {
    const device = new SimDevice({ sizeBytes: SECTOR });
    const simulator = new Simulator({ seed: 9, fault: (bio) => (bio.op === 'write' ? 'ENOSPC' : undefined) });
    const task = simulator.spawn(increment(device), 'writer');
    expect(() => simulator.run()).toThrow(SimulationError);
    expect(task.error).toMatchObject({ code: 'ENOSPC' });
  });

  it('completes detached bios, joins children, and cancels', () => {
    const device = new SimDevice({ sizeBytes: 4 * SECTOR });
    const simulator = new Simulator({ seed: 4 });
    let ends = 0;
    const io = function* (): Io<string> {
      const requests = [0, 1].map((sector) => ({
        kind: 'bio' as const,
        target: device,
        bio: bioOf('write', sector, new Uint8Array(SECTOR).fill(5)),
        end: () => {
          ends++;
        },
      }));
      yield* submitDetached(requests);
      yield* concurrently([increment(device), increment(device)], 1);
      const sleeper = yield* spawn(simulator.sleep(1e12), 'sleeper');
      sleeper.cancel();
      return sleeper.state;
    };
    const state = simulator.runOne(io());
    expect(['running', 'cancelled']).toContain(state);
    expect(ends).toBe(2);
    expect(device.toBytes()[SECTOR]).toBe(5);
    expect(simulator.nowNs).toBeLessThan(1e12);
  });

  it('counts a run without end as a hang', () => {
    const simulator = new Simulator({ seed: 2, stepsMax: 100 });
    const io = function* (): Io<void> {
      for (;;) yield* simulator.sleep(1);
    };
    expect(() => simulator.runOne(io())).toThrow(/seed 2, step 101: too many steps/);
  });

  it('gives an env of virtual time', () => {
    const simulator = new Simulator({ seed: 2 });
    const env = simulator.env({ sec: 10, nsec: 0 });
    simulator.runOne(simulator.sleep(2.5e9));
    expect(env.now().sec).toBe(12);
    expect(env.uuid()).toEqual(new Simulator({ seed: 2 }).env().uuid());
  });
});
