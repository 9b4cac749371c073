/** The asynchronous runner: many tasks at once, the requests of one batch in flight together. See async-task.ts. */
import { AsyncTask } from './async-task.js';
import { isCode } from './error.js';
import type { Io, SpawnRequest } from './request.js';

function startChild(request: SpawnRequest): void {
  const child = new AsyncTask(request.io, startChild);
  if (request.handle !== undefined) {
    request.handle.cancel = () => {
      child.cancel();
    };
  }
  // The child reports its own failure; an error that escapes it has nobody to go to but the host.
  void child.finished.catch((cause: unknown) => {
    if (!isCode(cause, 'ECANCELED')) throw cause;
  });
  child.start();
}

/**
 * Runs `io` to its end; other tasks run while it waits. Tasks that it spawned may outlive it.
 * @throws FsError the task's own (as a rejection)
 */
export function runAsync<T>(io: Io<T>): Promise<T> {
  const task = new AsyncTask(io, startChild);
  task.start();
  return task.finished;
}
