/**
 * Merging: bios of one batch that are neighbours on the device go down as one bio with more segments.
 *
 * - Bios of a batch have no order among themselves, so they may be sorted; bios of a batch must not overlap.
 * - Reads merge with reads and writes with equally durable writes; flushes, discards, zeroing and atomic writes stay alone.
 * - A merged bio obeys the device's `maxBioBytes` and has at most `SEGMENTS_MAX` segments.
 * - Each request gets its `result` and its `end` as if it had gone alone. When a merged bio fails, all of its requests do,
 *   unless they are detached: then each is tried alone, so that a bad sector costs nobody else's data.
 */
import { isCode, submitAll, submitDetached, type BioRequest, type BioTarget, type Io, type IoResult } from '@iomap/io';
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
