/** The way down: every wait in the project goes through `submit`, which holds the only bare `yield` of the repository. */
import type { Bio, BioRequest, BioTarget, Io, IoRequest } from './request.js';

/**
 * Hands one request to the runner and waits for its status.
 * @throws FsError the device's, when the request failed
 */
export function* submit(request: IoRequest): Io<void> {
  const done = yield request; // the only bare `yield`
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
