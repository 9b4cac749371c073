/**
 * Bitmaps of one bit per block, as plain functions over `Uint32Array`: the partial states of a folio.
 *
 * Ranges are [from, to) in bits. Whole words are handled at once, so a 2 MiB folio of 512-byte blocks is 128 steps at most.
 */

const popcount = (word: number): number => {
  let n = word - ((word >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  n = (n + (n >>> 4)) & 0x0f0f0f0f;
  return Math.imul(n, 0x01010101) >>> 24;
};

/** The bits [from, to) of word `at`, as a mask; 0 < width. */
const maskOf = (at: number, from: number, to: number): number => {
  const first = Math.max(0, from - at * 32);
  const last = Math.min(32, to - at * 32);
  const width = last - first;
  return width === 32 ? 0xffffffff : (((1 << width) - 1) << first) >>> 0;
};

/** A bitmap of `count` bits, all `value`. */
export function makeBits(count: number, value: boolean): Uint32Array {
  const bits = new Uint32Array((count + 31) >>> 5);
  if (value) setBits(bits, 0, count);
  return bits;
}

/** Sets [from, to); the answer is how many were clear. */
export function setBits(bits: Uint32Array, from: number, to: number): number {
  let changed = 0;
  for (let at = from >>> 5; at * 32 < to; at++) {
    const mask = maskOf(at, from, to);
    const old = bits[at] ?? 0;
    changed += popcount(mask & ~old);
    bits[at] = old | mask;
  }
  return changed;
}

/** Clears [from, to); the answer is how many were set. */
export function clearBits(bits: Uint32Array, from: number, to: number): number {
  let changed = 0;
  for (let at = from >>> 5; at * 32 < to; at++) {
    const mask = maskOf(at, from, to);
    const old = bits[at] ?? 0;
    changed += popcount(mask & old);
    bits[at] = old & ~mask;
  }
  return changed;
}

/** The first bit at or after `from` that is set (`value` true) or clear (false); `to` when there is none before it. */
export function findBit(bits: Uint32Array, from: number, to: number, value: boolean): number {
  for (let at = from >>> 5; at * 32 < to; at++) {
    const word = bits[at] ?? 0;
    const found = ((value ? word : ~word) & maskOf(at, from, to)) >>> 0;
    if (found !== 0) return at * 32 + 31 - Math.clz32(found & -found);
  }
  return to;
}
