/**
 * The map of a file: which of its blocks lie where, as a sorted list of extents. Plain; all numbers are blocks.
 *
 * I1: extents do not overlap, none is empty, and they are in the order of the file. I2: neighbours that could be one extent are
 * one. I3: every change counts in `changes`.
 */

/** `delalloc`: space is promised, not chosen. `unwritten`: chosen, and reads as zero until it is written. */
export type ExtentState = 'delalloc' | 'unwritten' | 'mapped';

export interface Extent {
  readonly start: number;
  readonly count: number;
  readonly state: ExtentState;
  /** First block on the device; -1 where none is chosen. */
  readonly block: number;
}

export class ExtentMap {
  /** In order. */
  readonly extents: Extent[] = [];
  changes = 0;

  /** The extent that holds `at`. */
  find(at: number): Extent | undefined {
    const extent = this.extents[this.#index(at)];
    return extent !== undefined && extent.start <= at ? extent : undefined;
  }

  /** Where the first extent after `at` starts; Infinity when there is none. */
  nextStart(at: number): number {
    const index = this.#index(at);
    const extent = this.extents[index];
    if (extent === undefined) return Infinity;
    return extent.start > at ? extent.start : (this.extents[index + 1]?.start ?? Infinity);
  }

  /** The parts of extents inside [start, end). */
  within(start: number, end: number): Extent[] {
    const found: Extent[] = [];
    for (let i = this.#index(start); i < this.extents.length; i++) {
      const extent = this.extents[i];
      if (extent === undefined || extent.start >= end) break;
      found.push(cut(extent, Math.max(start, extent.start), Math.min(end, extent.start + extent.count)));
    }
    return found;
  }

  /** Makes [start, end) a hole; the parts that were there. */
  remove(start: number, end: number): Extent[] {
    const removed = this.within(start, end);
    const first = removed[0];
    const last = removed.at(-1);
    if (first === undefined || last === undefined) return removed;
    this.changes++;
    const index = this.#index(first.start);
    const before = this.extents[index];
    const after = this.extents[index + removed.length - 1];
    const keep: Extent[] = [];
    if (before !== undefined && before.start < first.start) keep.push(cut(before, before.start, first.start));
    const lastEnd = last.start + last.count;
    if (after !== undefined && after.start + after.count > lastEnd) keep.push(cut(after, lastEnd, after.start + after.count));
    this.extents.splice(index, removed.length, ...keep);
    return removed;
  }

  /** Puts an extent in; what was there is answered, as by `remove`. */
  set(extent: Extent): Extent[] {
    const removed = this.remove(extent.start, extent.start + extent.count);
    this.changes++;
    let index = this.#index(extent.start);
    let merged = extent;
    const before = this.extents[index - 1];
    if (before !== undefined && follows(before, merged)) {
      merged = { ...before, count: before.count + merged.count };
      this.extents.splice(--index, 1);
    }
    const after = this.extents[index];
    if (after !== undefined && follows(merged, after)) {
      merged = { ...merged, count: merged.count + after.count };
      this.extents.splice(index, 1);
    }
    this.extents.splice(index, 0, merged);
    return removed;
  }

  /** Index of the first extent that ends after `at`. */
  #index(at: number): number {
    let low = 0;
    let high = this.extents.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const extent = this.extents[middle];
      if (extent !== undefined && extent.start + extent.count <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The part [start, end) of an extent. */
function cut(extent: Extent, start: number, end: number): Extent {
  if (start === extent.start && end === extent.start + extent.count) return extent;
  const block = extent.block < 0 ? -1 : extent.block + (start - extent.start);
  return { start, count: end - start, state: extent.state, block };
}

function follows(a: Extent, b: Extent): boolean {
  if (a.start + a.count !== b.start || a.state !== b.state) return false;
  return a.block < 0 || a.block + a.count === b.block;
}
