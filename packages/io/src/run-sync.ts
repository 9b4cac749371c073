/**
 * The synchronous runner: one task, on devices that answer at once.
 *
 * A wait on a lock can never end here, since no other task can run meanwhile: it is `EAGAIN`.
 */
import { FsError } from './error.js';
import { lockOrder } from './lock-order.js';
import { IO_OK, type BioRequest, type Io, type IoRequest, type IoResult } from './request.js';

function runBio(request: BioRequest): IoResult {
  const { target } = request;
  let result: IoResult;
  if (target.synchronous) {
    const answer = target.submit(request.bio);
    result =
      answer instanceof Promise
        ? { ok: false, error: new FsError('EIO', { why: 'a synchronous device answered with a promise' }) }
        : answer;
  } else {
    result = { ok: false, error: new FsError('ENOTSUP', { why: 'the device can only be used asynchronously' }) };
  }
  request.result = result;
  request.end?.(result);
  return result;
}

function runRequest(request: IoRequest): IoResult {
  switch (request.kind) {
    case 'bio':
      return runBio(request);
    case 'batch': {
      let first: IoResult = IO_OK;
      for (const one of request.requests) {
        const result = runBio(one);
        if (!result.ok && first.ok) first = result;
      }
      return request.detached ? IO_OK : first;
    }
    case 'wait':
      return {
        ok: false,
        error: new FsError('EAGAIN', { why: `held by another task: ${request.queue.name}` }),
      };
    case 'spawn':
      // A background task's failure is its own to report (a writeback error is kept in its address space).
      runSync(request.io);
      return IO_OK;
  }
}

/**
 * Runs `io` to its end without giving up the thread.
 * @throws FsError ENOTSUP on a device that is only asynchronous; EAGAIN on a lock that another task holds; the task's own
 */
export function runSync<T>(io: Io<T>): T {
  const order = lockOrder.active;
  if (order === undefined) return steps(io);
  const outer = order.task;
  order.task = io;
  try {
    return steps(io);
  } finally {
    order.task = outer;
  }
}

function steps<T>(io: Io<T>): T {
  let step = io.next();
  while (step.done !== true) {
    let result: IoResult;
    try {
      result = runRequest(step.value);
    } catch (cause) {
      // A broken device or completion, or a child's own error: the task's `finally` blocks still run.
      step = io.throw(cause);
      continue;
    }
    step = io.next(result);
  }
  return step.value;
}
