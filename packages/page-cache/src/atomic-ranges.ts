/**
 * The dirty atomic writes of one file: ranges that writeback sends whole or not at all.
 *
 * I1: a range is a power of two long, aligned to itself, and lies in one folio; so two ranges nest or are apart, and the larger
 * of two that nest stands for both. I2: all blocks of a range here are dirty.
 */
export class AtomicRanges {
  /** Length by start. */
  readonly #lengths = new Map<number, number>();
  /** The lengths in use, largest first; a few at most. */
  #sizes: number[] = [];

  get count(): number {
    return this.#lengths.size;
  }

  /** Adds [pos, pos + len); what it contains is replaced, what contains it stays. */
  add(pos: number, len: number): void {
    if (this.lengthAt(pos - (pos % len)) >= len) return;
    for (const size of this.#sizes) {
      if (size >= len) continue;
      for (let at = pos; at < pos + len; at += size) if (this.#lengths.get(at) === size) this.#lengths.delete(at);
    }
    this.#lengths.set(pos, len);
    if (!this.#sizes.includes(len)) this.#sizes = [...this.#sizes, len].sort((a, b) => b - a);
  }

  /** The start of the range that holds `pos`; -1 when none does. */
  startAt(pos: number): number {
    for (const size of this.#sizes) {
      const start = pos - (pos % size);
      const len = this.#lengths.get(start);
      if (len !== undefined && pos < start + len) return start;
    }
    return -1;
  }

  /** The length of the range that starts at `start`; 0 when none does. */
  lengthAt(start: number): number {
    return this.#lengths.get(start) ?? 0;
  }

  /** The first start of a range in [pos, end), looked for at multiples of `blockSize`; `end` when there is none. */
  nextStart(pos: number, end: number, blockSize: number): number {
    for (let at = pos; at < end; at += blockSize) if (this.#lengths.has(at)) return at;
    return end;
  }

  /** Forgets the ranges that touch [pos, end): they were written or dropped. */
  remove(pos: number, end: number): void {
    // All of them: a range may have another in it.
    for (const [start, len] of this.#lengths) if (start < end && start + len > pos) this.#lengths.delete(start);
    if (this.#lengths.size === 0) this.#sizes = [];
  }

  /** The ranges that [pos, end) cuts: they reach into it and out of it. */
  cutBy(pos: number, end: number): { readonly pos: number; readonly len: number }[] {
    const cut: { pos: number; len: number }[] = [];
    for (const [start, len] of this.#lengths) {
      const last = start + len;
      if (start < end && last > pos && (start < pos || last > end)) cut.push({ pos: start, len });
    }
    return cut;
  }
}
