/**
 * Many tasks under the asynchronous driver, for those who are outside of any task (a server, a facade): start them, wait
 * for all, cancel all.
 */
import { AsyncTask } from './async-task.js';
import { isCode } from './error.js';
import type { Io, SpawnRequest } from './request.js';
import { runAsync } from './run-async.js';
import { concurrently, Task } from './task.js';

export class Scheduler {
  readonly #live = new Set<AsyncTask<unknown>>();
  readonly #escaped: unknown[] = [];

  /** How many tasks have not ended. */
  get running(): number {
    return this.#live.size;
  }

  /** Starts a task. From outside, join it with `runAsync(task.join())`. */
  spawn<T>(io: Io<T>, name = 'task'): Task<T> {
    const task = new Task<T>(name);
    this.#start(task.request(io));
    return task;
  }

  /**
   * Settles when no task is left, those included that tasks spawned meanwhile.
   * @throws the first error that escaped a task which nobody can join (as a rejection)
   */
  async idle(): Promise<void> {
    while (this.#live.size > 0) await Promise.allSettled([...this.#live].map((task) => task.finished));
    if (this.#escaped.length > 0) throw this.#escaped.splice(0)[0];
  }

  /** Cancels every task; `idle` says when they have ended. */
  cancelAll(): void {
    for (const task of this.#live) task.cancel();
  }

  #start(request: SpawnRequest): void {
    const task = new AsyncTask(request.io, (child) => {
      this.#start(child);
    });
    if (request.handle !== undefined) {
      request.handle.cancel = () => {
        task.cancel();
      };
    }
    this.#live.add(task);
    const ended = (): void => void this.#live.delete(task);
    task.finished.then(ended, (cause: unknown) => {
      ended();
      if (!isCode(cause, 'ECANCELED')) this.#escaped.push(cause);
    });
    task.start();
  }
}

/**
 * Runs `ios` at once under the asynchronous driver.
 * @returns their values, in order
 * @throws the first error in the order of `ios`, after all have ended (as a rejection)
 */
export function runTasks<T>(ios: readonly Io<T>[], maxTasks?: number): Promise<T[]> {
  return runAsync(concurrently(ios, maxTasks));
}
