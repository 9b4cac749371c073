/**
 * One task under an asynchronous driver: steps a generator, starts its requests, goes on when they end.
 *
 * - A request that ends at once goes on in the same turn, so a cached path costs no microtask. Everything else resumes
 *   from a microtask or the device's own callback: waking a queue never runs the woken task in place.
 * - Cancel: a parked task leaves its queue and its `finally` blocks run at once; a task with bios in flight is let go when
 *   they have ended, since the device still uses its buffers.
 *
 * Invariants:
 * I1  At most one resume is due at any time, so a generator is never entered twice.
 * I2  A cancelled generator does not yield again (`finally` never waits).
 */
import { assert } from './assert.js';
import { FsError } from './error.js';
import { lockOrder } from './lock-order.js';
import { IO_OK, type BioRequest, type Io, type IoRequest, type IoResult, type SpawnRequest } from './request.js';

/** As in Node and browsers; this package compiles without either's globals. */
declare const queueMicrotask: (run: () => void) => void;

type Resume = (result: IoResult) => void;

const failed = (cause: unknown): IoResult => ({
  ok: false,
  error: cause instanceof FsError ? cause : new FsError('EIO', { why: 'the device threw', cause }),
});

function finish(request: BioRequest, result: IoResult): IoResult {
  request.result = result;
  request.end?.(result);
  return result;
}

/** Starts one bio: its result, or undefined and `resume` is called later. */
function startBio(request: BioRequest, resume: Resume): IoResult | undefined {
  const answer = request.target.submit(request.bio);
  if (!(answer instanceof Promise)) return finish(request, answer);
  void answer.then(
    (result) => {
      resume(finish(request, result));
    },
    (cause: unknown) => {
      resume(finish(request, failed(cause)));
    },
  );
  return undefined;
}

const nothing = (): void => undefined;

function startBatch(requests: readonly BioRequest[], detached: boolean, resume: Resume): IoResult | undefined {
  const firstError = (): IoResult => requests.find((one) => one.result?.ok === false)?.result ?? IO_OK;
  let pending = 0;
  const one: Resume = detached
    ? nothing
    : () => {
        pending--;
        if (pending === 0) resume(firstError());
      };
  // Promises answer in later turns, so the count is complete before the first comes back.
  for (const request of requests) if (startBio(request, one) === undefined) pending++;
  if (detached) return IO_OK;
  return pending === 0 ? firstError() : undefined;
}

/** Where a task is. `bio`: requests in flight; `parked`: in a wait queue; `due`: woken, about to run. */
type State = 'running' | 'bio' | 'parked' | 'due' | 'ended';

export class AsyncTask<T> {
  /** Settles when the task has ended: its value, its error, or ECANCELED. */
  readonly finished: Promise<T>;
  readonly #io: Io<T>;
  readonly #spawn: (request: SpawnRequest) => void;
  #state: State = 'due';
  #cancelled = false;
  /** Takes a parked task out of its queue. */
  #leave: () => void = nothing;
  #resolve: (value: T) => void = nothing;
  #reject: (cause: unknown) => void = nothing;
  readonly #resume: Resume = (result) => {
    this.#run(result);
  };

  /** @param spawn starts a child, for a `SpawnRequest` */
  constructor(io: Io<T>, spawn: (request: SpawnRequest) => void) {
    this.#io = io;
    this.#spawn = spawn;
    this.finished = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Runs the task up to its first wait. Called once. */
  start(): void {
    this.#run(undefined);
  }

  /** Ends the task as soon as it may be: `finished` rejects with ECANCELED. Does nothing to a task that has ended. */
  cancel(): void {
    if (this.#state === 'ended' || this.#cancelled) return;
    this.#cancelled = true;
    if (this.#state !== 'parked') return; // when it is next due
    this.#leave();
    this.#run(undefined);
  }

  #run(result: IoResult | undefined): void {
    const order = lockOrder.active;
    const outer = order?.task;
    if (order !== undefined) order.task = this;
    this.#state = 'running';
    try {
      this.#steps(result);
    } catch (cause) {
      this.#state = 'ended';
      this.#reject(cause);
    } finally {
      if (order !== undefined) order.task = outer;
    }
  }

  #steps(first: IoResult | undefined): void {
    let result = first;
    let bug: { readonly cause: unknown } | undefined;
    for (;;) {
      if (this.#cancelled) {
        this.#end();
        return;
      }
      // The very first `next` has no use for its argument.
      const step = bug !== undefined ? this.#io.throw(bug.cause) : this.#io.next(result ?? IO_OK);
      bug = undefined;
      if (step.done === true) {
        this.#state = 'ended';
        this.#resolve(step.value);
        return;
      }
      try {
        result = this.#begin(step.value);
      } catch (cause) {
        // A broken device or completion: the task's own `finally` blocks still run.
        bug = { cause };
        continue;
      }
      if (result === undefined) return;
    }
  }

  #end(): void {
    // The value of a cancelled generator goes nowhere.
    const step = this.#io.return(undefined as T);
    assert(step.done, 'I2: a cancelled task waits in a finally block');
    this.#state = 'ended';
    this.#reject(new FsError('ECANCELED', { why: 'the task was cancelled' }));
  }

  #begin(request: IoRequest): IoResult | undefined {
    switch (request.kind) {
      case 'bio':
        this.#state = 'bio';
        return startBio(request, this.#resume);
      case 'batch':
        this.#state = 'bio';
        return startBatch(request.requests, request.detached, this.#resume);
      case 'wait':
        this.#state = 'parked';
        this.#leave = request.queue.add(() => {
          this.#state = 'due';
          queueMicrotask(() => {
            this.#run(IO_OK);
          });
        });
        return undefined;
      case 'spawn':
        this.#spawn(request);
        return IO_OK;
    }
  }
}
