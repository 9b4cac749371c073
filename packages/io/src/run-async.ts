/**
 * The asynchronous runner: many tasks at once, the requests of one batch in flight together.
 *
 * A step whose device answers at once goes on in the same turn, so a cached path costs no microtask.
 */
import { FsError } from './error.js';
import { IO_OK, type BioRequest, type Io, type IoRequest, type IoResult } from './request.js';

const failed = (cause: unknown): IoResult => ({
  ok: false,
  error: cause instanceof FsError ? cause : new FsError('EIO', { why: 'the device threw', cause }),
});

function finish(request: BioRequest, result: IoResult): IoResult {
  request.result = result;
  request.end?.(result);
  return result;
}

function startBio(request: BioRequest): IoResult | Promise<IoResult> {
  const answer = request.target.submit(request.bio);
  if (!(answer instanceof Promise)) return finish(request, answer);
  return answer.then(
    (result) => finish(request, result),
    (cause: unknown) => finish(request, failed(cause)),
  );
}

function startBatch(requests: readonly BioRequest[], detached: boolean): IoResult | Promise<IoResult> {
  const pending: Promise<IoResult>[] = [];
  for (const request of requests) {
    const answer = startBio(request);
    if (answer instanceof Promise) pending.push(answer);
  }
  const firstError = (): IoResult => requests.find((one) => one.result?.ok === false)?.result ?? IO_OK;
  if (detached) return IO_OK;
  return pending.length === 0 ? firstError() : Promise.all(pending).then(firstError);
}

function start(request: IoRequest): IoResult | Promise<IoResult> {
  switch (request.kind) {
    case 'bio':
      return startBio(request);
    case 'batch':
      return startBatch(request.requests, request.detached);
    case 'wait':
      return new Promise((resolve) => {
        request.queue.add(() => {
          resolve(IO_OK);
        });
      });
    case 'spawn':
      // The child reports its own failure; an error that escapes it has nobody to go to but the host.
      void runAsync(request.io);
      return IO_OK;
  }
}

/**
 * Runs `io` to its end; other tasks run while it waits.
 * @throws FsError the task's own (as a rejection)
 */
export async function runAsync<T>(io: Io<T>): Promise<T> {
  let step = io.next();
  while (step.done !== true) {
    const answer = start(step.value);
    step = io.next(answer instanceof Promise ? await answer : answer);
  }
  return step.value;
}
