import { FsError } from './error.js';
import type { Bio, BioTarget, Io, IoResult } from './request.js';
import { IO_OK } from './request.js';
import { runAsync } from './run-async.js';
import { runSync } from './run-sync.js';
import { runTasks, Scheduler } from './scheduler.js';
import { Simulator } from './sim/index.js';
import { submit, submitAll, submitBio, submitDetached } from './submit.js';
import { concurrently, spawn } from './task.js';
import { WaitQueue } from './wait-queue.js';

/** Matches an error by its code. */
const withCode = (code: string): Error => expect.objectContaining({ code }) as Error;

/** A target that answers when it is told to. */
class Manual implements BioTarget {
  readonly synchronous = false;
  readonly waiting: ((result: IoResult) => void)[] = [];
  submit(): Promise<IoResult> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}
const sync: BioTarget = { synchronous: true, submit: () => IO_OK };
const bio: Bio = { op: 'flush', pos: 0, segments: [], lengthBytes: 0 };
const eio: IoResult = { ok: false, error: new FsError('EIO') };

function* valueOf(n: number): Io<number> {
  yield* submitBio(sync, bio);
  return n;
}
function* failing(code: 'ENOENT' | 'EIO'): Io<number> {
  yield* submitBio(sync, bio);
  throw new FsError(code);
}

const runners: Record<string, <T>(io: Io<T>) => Promise<T>> = {
  runSync: (io) => new Promise((resolve) => resolve(runSync(io))),
  runAsync,
  Simulator: (io) => new Promise((resolve) => resolve(new Simulator({ seed: 5 }).runOne(io))),
};

describe.each(Object.entries(runners))('tasks under %s', (name, run) => {
  it('join gives the value', async () => {
    const parent = function* (): Io<number> {
      const task = yield* spawn(valueOf(7));
      return yield* task.join();
    };
    await expect(run(parent())).resolves.toBe(7);
  });

  it('join throws the error of the task, to every joiner', async () => {
    const parent = function* (): Io<string> {
      const task = yield* spawn(failing('ENOENT'));
      const codes: string[] = [];
      for (let i = 0; i < 2; i++) {
        try {
          yield* task.join();
        } catch (error) {
          codes.push((error as FsError).code);
        }
      }
      return codes.join();
    };
    await expect(run(parent())).resolves.toBe('ENOENT,ENOENT');
  });

  it('concurrently gives values in order, and the first error in order after all have ended', async () => {
    await expect(run(concurrently([1, 2, 3].map(valueOf)))).resolves.toEqual([1, 2, 3]);
    await expect(run(concurrently([]))).resolves.toEqual([]);
    let ended = 0;
    const counted = function* (io: Io<number>): Io<number> {
      try {
        return yield* io;
      } finally {
        ended++;
      }
    };
    const ios = [valueOf(1), failing('ENOENT'), failing('EIO'), valueOf(4)].map(counted);
    const expected = name === 'Simulator' ? { cause: { code: 'ENOENT' } } : { code: 'ENOENT' };
    await expect(run(concurrently(ios, 2))).rejects.toMatchObject(expected);
    expect(ended).toBe(4);
  });
});

describe('runAsync', () => {
  it('has the bios of a batch in flight together and gives the first error in list order', async () => {
    const target = new Manual();
    const ended: number[] = [];
    const requests = [0, 1, 2].map((n) => ({ kind: 'bio' as const, target, bio, end: () => void ended.push(n) }));
    const all = runAsync(submitAll(requests));
    expect(target.waiting.length).toBe(3);
    const other: IoResult = { ok: false, error: new FsError('ENOSPC') };
    target.waiting[2]?.(other);
    target.waiting[1]?.(eio);
    target.waiting[0]?.(IO_OK);
    await expect(all).rejects.toMatchObject({ code: 'EIO' });
    expect(ended).toEqual([2, 1, 0]);
    expect((requests[2] as { result?: IoResult }).result).toBe(other);
  });

  it('goes on at once after a detached batch, whose bios report by end', async () => {
    const target = new Manual();
    let ended: IoResult | undefined;
    await runAsync(submitDetached([{ kind: 'bio', target, bio, end: (result) => (ended = result) }]));
    expect(ended).toBeUndefined();
    target.waiting[0]?.(eio);
    await Promise.resolve();
    expect(ended).toBe(eio);
  });

  it('makes a rejecting device a failed bio, and runs finally when a device throws', async () => {
    const rejecting: BioTarget = { synchronous: false, submit: () => Promise.reject(new Error('no')) };
    await expect(runAsync(submitBio(rejecting, bio))).rejects.toMatchObject({ code: 'EIO' });
    const throwing: BioTarget = {
      synchronous: true,
      submit: () => {
        throw new Error('bug');
      },
    };
    for (const run of [runAsync, runners['runSync']]) {
      let cleaned = false;
      const io = function* (): Io<void> {
        try {
          yield* submitBio(throwing, bio);
        } finally {
          cleaned = true;
        }
      };
      await expect(run?.(io())).rejects.toThrow('bug');
      expect(cleaned).toBe(true);
    }
  });
});

describe('runSync', () => {
  it('refuses an asynchronous device with ENOTSUP', () => {
    expect(() => runSync(submitBio(new Manual(), bio))).toThrow(withCode('ENOTSUP'));
  });
});

describe('Scheduler', () => {
  it('cancels a task with a bio in flight only when the bio has ended', async () => {
    const target = new Manual();
    const log: string[] = [];
    const io = function* (): Io<void> {
      try {
        yield* submitBio(target, bio);
        log.push('went on');
      } finally {
        log.push('let go');
      }
    };
    const scheduler = new Scheduler();
    const task = scheduler.spawn(io());
    task.cancel();
    expect(log).toEqual([]);
    target.waiting[0]?.(IO_OK);
    await scheduler.idle();
    expect(log).toEqual(['let go']);
    expect(task.state).toBe('cancelled');
    await expect(runAsync(task.join())).rejects.toMatchObject({ code: 'ECANCELED' });
  });

  it('takes a cancelled waiter out of its queue at once', async () => {
    const queue = new WaitQueue('q');
    const scheduler = new Scheduler();
    const task = scheduler.spawn(submit({ kind: 'wait', queue }));
    expect(queue.length).toBe(1);
    task.cancel();
    expect(queue.length).toBe(0);
    await scheduler.idle();
    expect(scheduler.running).toBe(0);
  });

  it('never runs a woken task in place', async () => {
    const queue = new WaitQueue('q');
    let ran = false;
    const io = function* (): Io<void> {
      yield* submit({ kind: 'wait', queue });
      ran = true;
    };
    const done = runAsync(io());
    queue.wakeAll();
    expect(ran).toBe(false);
    await done;
    expect(ran).toBe(true);
  });

  it('cancels the children of a cancelled concurrently', async () => {
    const queue = new WaitQueue('q');
    const scheduler = new Scheduler();
    const waiters = [1, 2, 3].map(() => submit({ kind: 'wait', queue }));
    const task = scheduler.spawn(concurrently(waiters));
    expect(queue.length).toBe(3);
    task.cancel();
    await scheduler.idle();
    expect(queue.length).toBe(0);
  });

  it('idle reports an error that escaped a task which nobody can join', async () => {
    const scheduler = new Scheduler();
    scheduler.spawn(submit({ kind: 'spawn', io: failing('EIO') }));
    await expect(scheduler.idle()).rejects.toMatchObject({ code: 'EIO' });
    await expect(runTasks([valueOf(1), valueOf(2)])).resolves.toEqual([1, 2]);
  });
});
