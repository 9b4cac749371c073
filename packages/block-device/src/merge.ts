/**
 * Merging: bios of one batch that are neighbours on the device go down as one bio with more segments.
 *
 * - Bios of a batch have no order among themselves, so they may be sorted; bios of a batch must not overlap.
 * - Reads merge with reads and writes with equally durable writes; flushes, discards, zeroing and atomic writes stay alone.
 * - A merged bio obeys the device's `maxBioBytes` and has at most `SEGMENTS_MAX` segments.
 * - Each request gets its `result` and its `end` as if it had gone alone. When a merged bio fails, all of its requests do,
 *   unless they are detached: then each is tried alone, so that a bad sector costs nobody else's data.
 */
import {
  ask, FsError, IO_OK, isCode, submitAll, submitDetached, WaitQueue, withFirst, type BioRequest, type BioTarget, type Io,
  type IoRequest, type IoResult,
} from '@iomap/io';
import { bioBytes, MAX_BIO_BYTES } from './bio.js';
import type { BlockDevice } from './device.js';

/** As many as one vectored call of the host takes. */
const SEGMENTS_MAX = 1024;

const maxBytesOf = (target: BioTarget): number =>
  (target as Partial<Pick<BlockDevice, 'limits'>>).limits?.maxBioBytes ?? MAX_BIO_BYTES;

const mergeable = ({ bio }: BioRequest): boolean => (bio.op === 'read' || bio.op === 'write') && bio.atomic !== true;

/** Whether `next` may follow `last` in one bio, where `last` ends at `endPos`. */
const continues = (last: BioRequest, next: BioRequest, endPos: number): boolean =>
  next.bio.pos === endPos &&
  next.target === last.target &&
  next.bio.op === last.bio.op &&
  (next.bio.fua === true) === (last.bio.fua === true) &&
  mergeable(next);

/** True when the list needs no sorting: positions never go down. */
function isSorted(requests: readonly BioRequest[]): boolean {
  let pos = -1;
  for (const { bio } of requests) {
    if (bio.pos < pos) return false;
    pos = bio.pos;
  }
  return true;
}

const CANCELLED: IoResult = Object.freeze({ ok: false, error: new FsError('ECANCELED') });

function finish(one: BioRequest, result: IoResult): void {
  one.result = result;
  one.end?.(result);
}

/** Each on its own; nobody waits, and the device's answers are results, never rejections. */
function tryAlone(group: readonly BioRequest[]): void {
  for (const one of group) {
    const answer = one.target.submit(one.bio);
    if (answer instanceof Promise) void answer.then((result) => finish(one, result));
    else finish(one, answer);
  }
}

/** A failure of the medium, not of the way down: another try with less may do better. */
const isOfMedium = (result: IoResult): boolean => !result.ok && !isCode(result.error, 'ENOTSUP', 'EAGAIN', 'ECANCELED');

function joined(group: readonly BioRequest[], detached: boolean): BioRequest {
  const first = group[0];
  if (first === undefined || group.length === 1) return first as BioRequest;
  const segments: Uint8Array[] = [];
  let lengthBytes = 0;
  for (const { bio } of group) {
    for (const segment of bio.segments) segments.push(segment);
    lengthBytes += bioBytes(bio);
  }
  return {
    kind: 'bio',
    target: first.target,
    bio: { ...first.bio, segments, lengthBytes },
    end(result) {
      if (detached && isOfMedium(result)) tryAlone(group);
      else for (const one of group) finish(one, result);
    },
  };
}

/** The same work in fewer bios; `requests` itself when nothing merges. `detached`: see the head. */
export function mergeBios(requests: readonly BioRequest[], detached = false): readonly BioRequest[] {
  if (requests.length < 2) return requests;
  const sorted = isSorted(requests) ? requests : requests.toSorted((a, b) => a.bio.pos - b.bio.pos);
  const merged: BioRequest[] = [];
  let group: BioRequest[] = [];
  let endPos = 0;
  let bytes = 0;
  let segments = 0;
  for (const request of sorted) {
    const length = bioBytes(request.bio);
    const last = group.at(-1);
    if (
      last !== undefined &&
      mergeable(last) &&
      continues(last, request, endPos) &&
      bytes + length <= maxBytesOf(request.target) &&
      segments + request.bio.segments.length <= SEGMENTS_MAX
    ) {
      group.push(request);
    } else {
      if (group.length > 0) merged.push(joined(group, detached));
      group = [request];
      bytes = 0;
      segments = 0;
    }
    bytes += length;
    segments += request.bio.segments.length;
    endPos = request.bio.pos + length;
  }
  merged.push(joined(group, detached));
  return merged.length === requests.length ? requests : merged;
}

/**
 * `submitAll` with merging. Each request's own status is in its `result`.
 * @throws FsError the first failed bio's, by position, after all have ended
 */
export function submitMerged(requests: readonly BioRequest[]): Io<void> {
  return submitAll(mergeBios(requests));
}

/** `submitDetached` with merging: each request reports by its `end` alone. */
export function submitMergedDetached(requests: readonly BioRequest[]): Io<void> {
  return submitDetached(mergeBios(requests, true));
}

/**
 * Runs `io` under a plug: when it first waits, the bios of `take` go down with what it waits for, before it or (where it reads what
 * lies next to them on the device) in one bio with it. Each of them reports by its `end` alone, as by `submitMergedDetached`.
 * @param take called once, at the first wait; never, where `io` does not wait
 */
export function plugged<T>(take: () => readonly BioRequest[], io: Io<T>): Io<T> {
  return withFirst(io, (request) => withReady(take(), request));
}

function* withReady(ready: readonly BioRequest[], request: IoRequest): Io<IoResult> {
  const group = request.kind === 'bio' && ready.length > 0 ? neighbours(ready, request) : [];
  if (request.kind === 'wait' && ready.length > 0) return yield* waitAfter(ready, request.queue);
  if (request.kind !== 'bio' || group.length === 0) {
    if (ready.length > 0) yield* submitMergedDetached(ready);
    return yield* ask(request);
  }
  const mates = group.filter((one) => one !== request);
  const others = ready.filter((one) => !mates.includes(one));
  const { target, bio, end } = joined(group, false);
  const together: BioRequest = {
    kind: 'bio',
    target,
    bio,
    end(result) {
      // A bad sector costs nobody else's data: what is waited for is asked for again, below.
      if (isOfMedium(result)) tryAlone(mates);
      else end?.(result);
    },
  };
  let sent = others.length === 0;
  try {
    if (!sent) yield* submitMergedDetached(others);
    sent = true;
  } finally {
    if (!sent) for (const one of mates) finish(one, CANCELLED);
  }
  const result = yield* ask(together);
  return isOfMedium(result) ? yield* ask(request) : result;
}

/** Sends `ready`, then waits for `queue`; in that from the start, since whoever was about to wait has made sure of nothing else. */
function* waitAfter(ready: readonly BioRequest[], queue: WaitQueue): Io<IoResult> {
  const own = new WaitQueue(queue.name);
  let woken = false;
  const leave = queue.add(() => {
    woken = true;
    own.wakeAll();
  });
  const isWoken = (): boolean => woken;
  try {
    yield* submitMergedDetached(ready);
    return isWoken() ? IO_OK : yield* ask({ kind: 'wait', queue: own });
  } finally {
    if (!isWoken()) leave();
  }
}

/** Those of `ready` that lie next to `request` on the device and fit into one bio with it, and it; none = it stays alone. */
function neighbours(ready: readonly BioRequest[], request: BioRequest): BioRequest[] {
  if (!mergeable(request)) return [];
  const group = [request];
  let { pos: from } = request.bio;
  let to = from + bioBytes(request.bio);
  let segments = request.bio.segments.length;
  const fits = (one: BioRequest): boolean =>
    mergeable(one) && to - from + bioBytes(one.bio) <= maxBytesOf(one.target) && segments + one.bio.segments.length <= SEGMENTS_MAX;
  const alike = ready.filter(({ target }) => target === request.target);
  const byEnd = new Map(alike.map((one) => [one.bio.pos + bioBytes(one.bio), one]));
  for (let one = byEnd.get(from); one !== undefined && fits(one) && continues(one, request, request.bio.pos); one = byEnd.get(from)) {
    group.unshift(one);
    from = one.bio.pos;
    segments += one.bio.segments.length;
  }
  const byPos = new Map(alike.map((one) => [one.bio.pos, one]));
  for (let one = byPos.get(to); one !== undefined && fits(one) && continues(request, one, to); one = byPos.get(to)) {
    group.push(one);
    to += bioBytes(one.bio);
    segments += one.bio.segments.length;
  }
  return group.length > 1 ? group : [];
}
