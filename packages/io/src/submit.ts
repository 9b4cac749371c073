/** The way down: every wait in the project goes through this file, which holds the only bare `yield`s of the repository. */
import type { Bio, BioRequest, BioTarget, Io, IoRequest, IoResult } from './request.js';

/**
 * Hands one request to the runner and waits for its status.
 * @throws FsError the device's, when the request failed
 */
export function* submit(request: IoRequest): Io<void> {
  const done = yield request;
  if (!done.ok) throw done.error;
}

/**
 * Submits one bio and waits for it.
 * @throws FsError the device's
 */
export function submitBio(target: BioTarget, bio: Bio): Io<void> {
  return submit({ kind: 'bio', target, bio });
}

/**
 * Submits bios that are in flight together and waits for the last. Each request's own status is in its `result`.
 * @throws FsError the first failed request's, in list order, after all have ended
 */
export function submitAll(requests: readonly BioRequest[]): Io<void> {
  return submit({ kind: 'batch', requests, detached: false });
}

/** Submits bios and does not wait: each reports by its `end` alone. Never throws the device's error. */
export function submitDetached(requests: readonly BioRequest[]): Io<void> {
  return submit({ kind: 'batch', requests, detached: true });
}

/** Hands one request to the runner; its status is the answer, and a failure is not thrown. */
export function* ask(request: IoRequest): Io<IoResult> {
  return yield request;
}

/**
 * Runs `io`, whose first request goes to `first` in place of the runner: it answers it, or another that does more, or passes it on
 * (`ask`). Where `io` ends without a request, `first` is not called.
 */
export function* withFirst<T>(io: Io<T>, first: (request: IoRequest) => Io<IoResult>): Io<T> {
  let step = io.next();
  try {
    if (step.done !== true) step = io.next(yield* first(step.value));
    while (step.done !== true) step = io.next(yield step.value);
    return step.value;
  } finally {
    // Cancelled (or `first` failed): `io` is to unlock, too. After its end this does nothing.
    if (step.done !== true) io.return(undefined as never);
  }
}
