/**
 * The adaptive readahead window of one reader: an open file, or a whole mapping where nobody says which file it is.
 *
 * - A read that begins where the last one ended, or at the end of what was read ahead, is sequential: the window doubles
 *   up to the most. Any other read is random: the window closes and only what was asked is read.
 * - The first folio of the window carries a mark: the reader that comes to it asks for the next window, so that an
 *   asynchronous device is busy while the reader works.
 */
export class Readahead {
  readonly windowMaxBytes: number;
  /** Where a sequential reader goes on. */
  next = 0;
  /** End of what was read (ahead) last. */
  end = 0;
  windowBytes = 0;

  constructor(windowMaxBytes: number) {
    this.windowMaxBytes = windowMaxBytes;
  }

  /** A read of [pos, pos + len) found nothing cached at `pos`: how many bytes to read beyond `len`. */
  onMiss(pos: number, len: number): number {
    const sequential = pos === this.next || pos === this.end;
    this.windowBytes = sequential ? this.#grown(len) : 0;
    this.next = pos + len;
    this.end = pos + len + this.windowBytes;
    return this.windowBytes;
  }

  /** A reader came to the mark: how many bytes to read from `end`. The caller then calls `advance`. */
  onMark(): number {
    this.windowBytes = this.#grown(0);
    return this.windowBytes;
  }

  /** What was read ahead ends at `end` now. */
  advance(end: number): void {
    this.end = end;
  }

  /** A read of cached data ended at `pos`. */
  onHit(pos: number): void {
    this.next = pos;
  }

  #grown(len: number): number {
    return Math.min(this.windowMaxBytes, Math.max(64 * 1024, 2 * this.windowBytes, 2 ** Math.ceil(Math.log2(len + 1))));
  }
}
