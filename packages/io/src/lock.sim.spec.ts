/** Locks under the simulator: random tasks, random cancels; exclusion holds, nothing is lost. */
import fc from 'fast-check';
import { Mutex, RwLock } from './lock.js';
import type { Io } from './request.js';
import { Simulator } from './sim/index.js';
import type { Task } from './task.js';

const step = fc.record({
  kind: fc.constantFrom('read', 'write', 'mutex'),
  sleepNs: fc.integer({ min: 0, max: 20_000 }),
  /** After how long the task is cancelled; beyond the run: never. */
  cancelNs: fc.integer({ min: 0, max: 80_000 }),
});

describe('locks under the simulator', () => {
  it('exclude, hand over and survive cancels', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 2, maxLength: 12 }), fc.integer(), (steps, seed) => {
        const simulator = new Simulator({ seed, stepsMax: 10_000 });
        const lock = new RwLock('rw');
        const mutex = new Mutex('m');
        let readers = 0;
        let writers = 0;
        let inMutex = 0;
        const check = (): void => {
          if (writers > 1 || (writers > 0 && readers > 0) || inMutex > 1) throw new Error('not exclusive');
          if (lock.readers !== readers || lock.writeLocked !== writers > 0) {
            // A hand-over makes the lock held before its new holder runs, so it may be ahead of the counts, never behind.
            if (lock.readers < readers || (writers > 0 && !lock.writeLocked)) throw new Error('lock state is behind');
          }
        };
        const body = function* ({ kind, sleepNs }: (typeof steps)[number]): Io<void> {
          if (kind === 'read') {
            if (!lock.tryRead()) yield* lock.read();
            readers++;
          } else if (kind === 'write') {
            if (!lock.tryWrite()) yield* lock.write();
            writers++;
          } else {
            if (!mutex.tryLock()) yield* mutex.lock();
            inMutex++;
          }
          try {
            check();
            yield* simulator.sleep(sleepNs);
            check();
          } finally {
            if (kind === 'read') readers--;
            else if (kind === 'write') writers--;
            else inMutex--;
            if (kind === 'read') lock.unlockRead();
            else if (kind === 'write') lock.unlockWrite();
            else mutex.unlock();
          }
        };
        const canceller = function* (task: Task<void>, cancelNs: number): Io<void> {
          yield* simulator.sleep(cancelNs);
          task.cancel();
        };
        const tasks = steps.map((one) => simulator.spawn(body(one)));
        tasks.forEach((task, i) => simulator.spawn(canceller(task, steps[i]?.cancelNs ?? 0)));
        simulator.run();
        expect(tasks.every((task) => task.state === 'done' || task.state === 'cancelled')).toBe(true);
        expect([lock.readers, lock.writeLocked, lock.waiting, mutex.locked, mutex.waiting]).toEqual([0, false, 0, false, 0]);
      }),
      { numRuns: 500 },
    );
  });
});
