/**
 * Bits and counts by number, for checkers: memory follows what is used, not what an image claims. Pages are made when
 * something in them is first set.
 */
const PAGE = 65_536;

/** A set of numbers ≥ 0. */
export class PagedBits {
  readonly #pages = new Map<number, Uint8Array>();

  has(at: number): boolean {
    const page = this.#pages.get(Math.floor(at / PAGE));
    if (page === undefined) return false;
    const bit = at % PAGE;
    return (((page[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1;
  }

  /** Adds `at`; false when it was there. */
  add(at: number): boolean {
    const index = Math.floor(at / PAGE);
    let page = this.#pages.get(index);
    if (page === undefined) this.#pages.set(index, (page = new Uint8Array(PAGE / 8)));
    const bit = at % PAGE;
    const mask = 1 << (bit & 7);
    const old = page[bit >> 3] ?? 0;
    if ((old & mask) !== 0) return false;
    page[bit >> 3] = old | mask;
    return true;
  }

  delete(at: number): void {
    const page = this.#pages.get(Math.floor(at / PAGE));
    if (page === undefined) return;
    const bit = at % PAGE;
    page[bit >> 3] = (page[bit >> 3] ?? 0) & ~(1 << (bit & 7));
  }
}

/** A count for each number ≥ 0. */
export class PagedCounts {
  readonly #pages = new Map<number, Uint32Array>();

  get(at: number): number {
    return this.#pages.get(Math.floor(at / PAGE))?.[at % PAGE] ?? 0;
  }

  /** Adds to a count; the answer is the new one. */
  add(at: number, by = 1): number {
    const index = Math.floor(at / PAGE);
    let page = this.#pages.get(index);
    if (page === undefined) this.#pages.set(index, (page = new Uint32Array(PAGE)));
    return (page[at % PAGE] = (page[at % PAGE] ?? 0) + by);
  }
}
