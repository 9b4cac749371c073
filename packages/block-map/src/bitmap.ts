/**
 * Bitmaps of blocks and inodes: bit n is bit n % 8 of byte n / 8; set = in use.
 *
 * Some machines number the bits inside larger words of their own byte order: there, the byte of bit n is found at (n / 8) XOR
 * `flip` (1 for big-endian words of 16 bits, 3 for 32, 7 for 64). `flip` 0 is the plain order, and the fast one.
 *
 * Plain functions over a block's bytes; all take bit indexes inside the block, which fit 20 bits, so bit operators are safe.
 * Searches skip full bytes at a time.
 */

/** Index of the lowest zero bit of a byte, 8 for 0xff. */
const LOWEST_ZERO = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bit = 0;
  while (bit < 8 && (byte >> bit) & 1) bit++;
  return bit;
});
const POPCOUNT = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

const lowestZero = (byte: number): number => LOWEST_ZERO[byte] ?? 8;

/** Is bit `at` set? */
export const testBit = (bits: Uint8Array, at: number, flip = 0): boolean =>
  (((bits[(at >> 3) ^ flip] ?? 0xff) >> (at & 7)) & 1) === 1;

/** The first zero bit in [from, end), or -1. */
export function findNextZero(bits: Uint8Array, from: number, end: number, flip = 0): number {
  if (from >= end) return -1;
  let at = from >> 3;
  const last = (end + 7) >> 3;
  // Bits below `from` in its byte count as set.
  let byte = (bits[at ^ flip] ?? 0xff) | ((1 << (from & 7)) - 1);
  while (byte === 0xff) {
    at++;
    if (at >= last) return -1;
    byte = bits[at ^ flip] ?? 0xff;
  }
  const found = at * 8 + lowestZero(byte);
  return found < end ? found : -1;
}

/** The first set bit in [from, end), or `end`. */
export function findNextSet(bits: Uint8Array, from: number, end: number, flip = 0): number {
  if (from >= end) return end;
  let at = from >> 3;
  const last = (end + 7) >> 3;
  let byte = (bits[at ^ flip] ?? 0xff) & ~((1 << (from & 7)) - 1) & 0xff;
  while (byte === 0) {
    at++;
    if (at >= last) return end;
    byte = bits[at ^ flip] ?? 0xff;
  }
  const found = at * 8 + lowestZero(~byte & 0xff);
  return found < end ? found : end;
}

/** The first byte-aligned run of eight zero bits in [from, end), or -1: where a new file may start without squeezing in. */
export function findZeroByte(bits: Uint8Array, from: number, end: number, flip = 0): number {
  const last = end >> 3;
  let at = (from + 7) >> 3;
  if (flip === 0) at = bits.indexOf(0, at);
  else while (at < last && bits[at ^ flip] !== 0) at++;
  return at >= 0 && at < last ? at * 8 : -1;
}

/** Sets `count` bits from `from`. */
export function setRange(bits: Uint8Array, from: number, count: number, flip = 0): void {
  changeRange(bits, from, count, true, flip);
}

/** Clears `count` bits from `from`. */
export function clearRange(bits: Uint8Array, from: number, count: number, flip = 0): void {
  changeRange(bits, from, count, false, flip);
}

function changeRange(bits: Uint8Array, from: number, count: number, on: boolean, flip: number): void {
  const end = from + count;
  let at = from;
  while (at < end) {
    const byte = at >> 3;
    const bit = at & 7;
    if (bit === 0 && flip === 0 && end - at >= 8) {
      const whole = (end - at) >> 3;
      bits.fill(on ? 0xff : 0, byte, byte + whole);
      at += whole * 8;
      continue;
    }
    const n = Math.min(8 - bit, end - at);
    const mask = ((1 << n) - 1) << bit;
    const old = bits[byte ^ flip] ?? 0;
    bits[byte ^ flip] = on ? old | mask : old & ~mask;
    at += n;
  }
}

/** How many bits of [from, from + count) are set. */
export function countSet(bits: Uint8Array, from: number, count: number, flip = 0): number {
  let total = 0;
  const end = from + count;
  let at = from;
  while (at < end) {
    const bit = at & 7;
    const n = Math.min(8 - bit, end - at);
    const mask = ((1 << n) - 1) << bit;
    total += POPCOUNT[(bits[(at >> 3) ^ flip] ?? 0) & mask] ?? 0;
    at += n;
  }
  return total;
}
