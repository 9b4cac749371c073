/**
 * Which blocks are taken: a bit for each, in pages that exist only where a page is taken in part, so that a large image that is all
 * but empty (or full) costs nothing.
 */

const PAGE_BLOCKS = 32_768;
const PAGE_WORDS = PAGE_BLOCKS / 32;
const EMPTY = 0;
const FULL = 1;
const PARTIAL = 2;

interface Group {
  readonly states: Uint8Array;
  readonly pages: Map<number, Uint32Array>;
}

/** Bits [from, to) of a word, 0 <= from < to <= 32. */
const mask = (from: number, to: number): number => ((to === 32 ? 0 : 1 << to) - (1 << from)) >>> 0;

export class BlockMap {
  readonly #groups = new Map<number, Group>();
  readonly #groupBlocks: number;

  /** @param groupBlocks blocks of a group, at most */
  constructor(groupBlocks: number) {
    this.#groupBlocks = groupBlocks;
  }

  #group(ag: number): Group {
    let group = this.#groups.get(ag);
    if (group === undefined) {
      group = { states: new Uint8Array(Math.ceil(this.#groupBlocks / PAGE_BLOCKS)), pages: new Map() };
      this.#groups.set(ag, group);
    }
    return group;
  }

  /** Takes a run of a group's blocks. Answers the first that was taken before, -1 = none was. */
  claim(ag: number, start: number, count: number): number {
    const { states, pages } = this.#group(ag);
    const end = Math.min(start + count, this.#groupBlocks);
    let taken = -1;
    for (let at = start; at < end; ) {
      const page = Math.floor(at / PAGE_BLOCKS);
      const base = page * PAGE_BLOCKS;
      const stop = Math.min(end, base + PAGE_BLOCKS);
      const state = states[page] ?? EMPTY;
      if (state === FULL) {
        if (taken < 0) taken = at;
      } else if (state === EMPTY && stop - at === PAGE_BLOCKS) {
        states[page] = FULL;
      } else {
        let words = pages.get(page);
        if (words === undefined) {
          words = new Uint32Array(PAGE_WORDS);
          pages.set(page, words);
          states[page] = PARTIAL;
        }
        const first = claimBits(words, at - base, stop - base);
        if (taken < 0 && first >= 0) taken = base + first;
      }
      at = stop;
    }
    return taken;
  }

  /** Calls `visit` for each run of blocks below `length` that nobody took. */
  eachGap(ag: number, length: number, visit: (from: number, end: number) => void): void {
    const { states, pages } = this.#group(ag);
    let from = -1;
    const put = (at: number, isTaken: boolean): void => {
      if (!isTaken && from < 0) from = at;
      if (isTaken && from >= 0) {
        visit(from, at);
        from = -1;
      }
    };
    for (let base = 0; base < length; base += PAGE_BLOCKS) {
      const words = pages.get(base / PAGE_BLOCKS);
      if (words === undefined) {
        put(base, states[base / PAGE_BLOCKS] === FULL);
        continue;
      }
      for (let i = 0; i < PAGE_WORDS && base + i * 32 < length; i++) {
        const word = words[i] ?? 0;
        if (word === 0 || word === 0xffff_ffff) put(base + i * 32, word !== 0);
        else for (let bit = 0; bit < 32 && base + i * 32 + bit < length; bit++) put(base + i * 32 + bit, (word & (1 << bit)) !== 0);
      }
    }
    put(length, true);
  }
}

/** Sets bits [from, to) of a page. Answers the first that was set, -1 = none. */
function claimBits(words: Uint32Array, from: number, to: number): number {
  let taken = -1;
  for (let at = from; at < to; ) {
    const index = at >>> 5;
    const low = at & 31;
    const high = Math.min(32, to - (index << 5));
    const bits = mask(low, high);
    const word = words[index] ?? 0;
    if (taken < 0 && (word & bits) !== 0) {
      const first = (word & bits) >>> 0;
      taken = (index << 5) + 31 - Math.clz32(first & -first);
    }
    words[index] = word | bits;
    at = (index << 5) + high;
  }
  return taken;
}
