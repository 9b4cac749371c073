/**
 * Tasks that can be joined and cancelled, under every runner.
 *
 * - `spawn(io)` starts a task; `task.join()` waits for its value or throws its error; `task.cancel()` ends it early.
 * - `concurrently(ios)` runs several at once and gives their values in order.
 * - Under `runSync` a child runs to its end before `spawn` returns, so children run one after another, and a child that
 *   waits for its parent is `EAGAIN`.
 */
import { FsError } from './error.js';
import type { Io, SpawnRequest, TaskHandle } from './request.js';
import { submit } from './submit.js';
import { WaitQueue } from './wait-queue.js';

export type TaskState = 'running' | 'done' | 'failed' | 'cancelled';

/** One spawned task. */
export class Task<T> {
  readonly name: string;
  readonly #handle: TaskHandle;
  #state: TaskState = 'running';
  #started = false;
  #joined = false;
  #value: T | undefined = undefined;
  #error: unknown = undefined;
  /** The joiners; made when the first one waits. */
  #joiners: WaitQueue | undefined = undefined;

  constructor(name: string) {
    this.name = name;
    this.#handle = { name };
  }

  get state(): TaskState {
    return this.#state;
  }

  /** What a failed task threw. */
  get error(): unknown {
    return this.#error;
  }

  /** Whether anybody asked how it ended. */
  get joined(): boolean {
    return this.#joined;
  }

  /** The request that starts the task. Made once, by `spawn` and the schedulers. */
  request(io: Io<T>): SpawnRequest {
    return { kind: 'spawn', io: this.#body(io), handle: this.#handle };
  }

  /**
   * Waits for the task's end.
   * @returns its value
   * @throws the task's own error; FsError ECANCELED when it was cancelled
   */
  *join(): Io<T> {
    this.#joined = true;
    while (this.#state === 'running') {
      this.#joiners ??= new WaitQueue(`end of ${this.name}`);
      yield* submit({ kind: 'wait', queue: this.#joiners });
    }
    if (this.#state === 'failed') throw this.#error;
    if (this.#state === 'cancelled') throw new FsError('ECANCELED', { why: this.name });
    return this.#value as T;
  }

  /** Ends the task early: its `finally` blocks run. Does nothing to one that has ended. Its children go on. */
  cancel(): void {
    if (this.#state !== 'running') return;
    this.#handle.cancel?.();
    // A generator that never ran has no `finally` that could say so.
    if (!this.#started) this.#settle('cancelled');
  }

  *#body(io: Io<T>): Io<void> {
    this.#started = true;
    let state: TaskState = 'cancelled';
    try {
      this.#value = yield* io;
      state = 'done';
    } catch (cause) {
      this.#error = cause;
      state = 'failed';
    } finally {
      this.#settle(state);
    }
  }

  #settle(state: TaskState): void {
    this.#state = state;
    this.#joiners?.wakeAll();
  }
}

/** Starts `io` as a task of its own; the caller goes on. A failure is kept for whoever joins. */
export function* spawn<T>(io: Io<T>, name = 'task'): Io<Task<T>> {
  const task = new Task<T>(name);
  yield* submit(task.request(io));
  return task;
}

/**
 * Runs `ios` at once, at most `maxTasks` at a time, and waits for all.
 * @param maxTasks at least 1; default: all of them
 * @returns their values, in the order of `ios`
 * @throws the first error in the order of `ios`, after all have ended
 */
export function* concurrently<T>(ios: readonly Io<T>[], maxTasks = ios.length): Io<T[]> {
  const values: T[] = [];
  const errors = new Map<number, unknown>();
  let next = 0;
  const worker = function* (): Io<void> {
    for (let i = next++; i < ios.length; i = next++) {
      const io = ios[i];
      if (io === undefined) continue;
      try {
        values[i] = yield* io;
      } catch (cause) {
        errors.set(i, cause);
      }
    }
  };
  const tasks: Task<void>[] = [];
  try {
    const count = Math.min(ios.length, Math.max(1, maxTasks));
    while (tasks.length < count) tasks.push(yield* spawn(worker(), `one of ${ios.length}`));
    for (const task of tasks) yield* task.join();
  } finally {
    // Only when this task is cancelled is any of them still running.
    for (const task of tasks) task.cancel();
  }
  for (let i = 0; errors.size > 0; i++) if (errors.has(i)) throw errors.get(i);
  return values;
}
