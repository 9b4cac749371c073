/** Parts of a bio's segments, as views. */

/** The views that cover `length` bytes from byte `start` of `segments`. */
export function sliceSegments(segments: readonly Uint8Array[], start: number, length: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  let skip = start;
  let left = length;
  for (const segment of segments) {
    if (left === 0) break;
    if (skip >= segment.length) {
      skip -= segment.length;
      continue;
    }
    const take = Math.min(left, segment.length - skip);
    out.push(take === segment.length ? segment : segment.subarray(skip, skip + take));
    skip = 0;
    left -= take;
  }
  return out;
}
