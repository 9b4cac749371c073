/**
 * What is known of one inode's block map: runs of file blocks that are contiguous on the device, and holes.
 *
 * A cache, never the truth: dropping all of it is always right. Sorted, without overlap, bounded; sequential I/O finds its
 * run by the place of the last answer.
 */

/** Runs kept per inode; beyond it the cache starts again (a file this fragmented is walked more often). */
const RUNS_MAX = 512;

export interface MapRun {
  /** First block of the run, 0 for a hole. */
  block: number;
  /** Blocks from the block asked for to the run's end. */
  count: number;
}

export class ExtentCache {
  #file: number[] = [];
  #block: number[] = [];
  #count: number[] = [];
  #last = 0;

  get size(): number {
    return this.#file.length;
  }

  /** Fills `out` with what is known from `fileBlock` on; false when nothing is. */
  find(fileBlock: number, out: MapRun): boolean {
    const at = this.#locate(fileBlock);
    if (at < 0) return false;
    const skip = fileBlock - (this.#file[at] ?? 0);
    const count = (this.#count[at] ?? 0) - skip;
    if (count <= 0) return false;
    const block = this.#block[at] ?? 0;
    out.block = block === 0 ? 0 : block + skip;
    out.count = count;
    this.#last = at;
    return true;
  }

  /** Index of the last run that starts at or before `fileBlock`, or -1. */
  #locate(fileBlock: number): number {
    const file = this.#file;
    const hint = this.#last;
    if ((file[hint] ?? Infinity) <= fileBlock && (file[hint + 1] ?? Infinity) > fileBlock) return hint;
    let low = 0;
    let high = file.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((file[mid] ?? 0) <= fileBlock) low = mid + 1;
      else high = mid;
    }
    return low - 1;
  }

  /** Records a run (`block` 0: a hole), over whatever was known there. */
  set(fileBlock: number, block: number, count: number): void {
    if (this.#file.length >= RUNS_MAX) this.clear();
    this.#cut(fileBlock, fileBlock + count);
    let at = this.#locate(fileBlock) + 1;
    const before = at - 1;
    if (before >= 0 && this.#joins(before, fileBlock, block)) {
      this.#count[before] = (this.#count[before] ?? 0) + count;
      at = before;
    } else {
      this.#file.splice(at, 0, fileBlock);
      this.#block.splice(at, 0, block);
      this.#count.splice(at, 0, count);
    }
    const next = at + 1;
    if (next < this.#file.length && this.#joins(at, this.#file[next] ?? 0, this.#block[next] ?? 0)) {
      this.#count[at] = (this.#count[at] ?? 0) + (this.#count[next] ?? 0);
      this.#remove(next, 1);
    }
    this.#last = at;
  }

  /** Does a run that starts at (fileBlock, block) continue run `at`? */
  #joins(at: number, fileBlock: number, block: number): boolean {
    const count = this.#count[at] ?? 0;
    if ((this.#file[at] ?? 0) + count !== fileBlock) return false;
    const mine = this.#block[at] ?? 0;
    return mine === 0 ? block === 0 : block === mine + count;
  }

  /** Forgets everything from `fileBlock` on (truncate). */
  truncate(fileBlock: number): void {
    this.#cut(fileBlock, Infinity);
  }

  clear(): void {
    this.#file = [];
    this.#block = [];
    this.#count = [];
    this.#last = 0;
  }

  #remove(at: number, n: number): void {
    this.#file.splice(at, n);
    this.#block.splice(at, n);
    this.#count.splice(at, n);
  }

  /** Forgets [from, end). */
  #cut(from: number, end: number): void {
    let at = Math.max(0, this.#locate(from));
    while (at < this.#file.length) {
      const start = this.#file[at] ?? 0;
      const stop = start + (this.#count[at] ?? 0);
      if (start >= end) return;
      if (stop <= from) {
        at++;
      } else if (start < from) {
        const block = this.#block[at] ?? 0;
        this.#count[at] = from - start;
        at++;
        if (stop > end) {
          this.#file.splice(at, 0, end);
          this.#block.splice(at, 0, block === 0 ? 0 : block + (end - start));
          this.#count.splice(at, 0, stop - end);
          return;
        }
      } else if (stop <= end) {
        this.#remove(at, 1);
      } else {
        const block = this.#block[at] ?? 0;
        this.#file[at] = end;
        this.#block[at] = block === 0 ? 0 : block + (end - start);
        this.#count[at] = stop - end;
        return;
      }
    }
  }
}
