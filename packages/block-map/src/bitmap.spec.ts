import fc from 'fast-check';
import { clearRange, countSet, findNextSet, findNextZero, findZeroByte, setRange, testBit } from './bitmap.js';

/** The same questions asked of an array of booleans. */
const bitsOf = (bytes: Uint8Array, flip: number): boolean[] => Array.from({ length: bytes.length * 8 }, (_, i) => testBit(bytes, i, flip));
/** Whole words of 64 bits, so that every order fits. */
const bitmap = fc.array(fc.uint8Array({ minLength: 8, maxLength: 8 }), { minLength: 1, maxLength: 3 }).map((words) => Uint8Array.from(words.flatMap((word) => [...word])));
const runSeeded = (property: fc.IProperty<unknown>): void => {
  fc.assert(property as fc.IProperty<[]>, { numRuns: 300 });
};

describe.each([0, 1, 3, 7])('bitmaps, bytes XOR %i', (flip) => {
  it('finds the next zero and set bit as a walk over the bits does', () => {
    runSeeded(
      fc.property(bitmap, fc.nat(191), fc.nat(192), (bytes, from, length) => {
        const bits = bitsOf(bytes, flip);
        const end = Math.min(bits.length, from + length);
        const slice = bits.slice(0, end);
        expect(findNextZero(bytes, from, end, flip)).toBe(slice.indexOf(false, from));
        const set = slice.indexOf(true, from);
        expect(findNextSet(bytes, from, end, flip)).toBe(set < 0 ? end : set);
      }),
    );
  });

  it('sets, counts and clears ranges without touching their neighbours', () => {
    runSeeded(
      fc.property(bitmap, fc.nat(191), fc.nat(192), (bytes, start, length) => {
        const total = bytes.length * 8;
        const from = Math.min(start, total);
        const count = Math.min(length, total - from);
        const before = bitsOf(bytes, flip);
        expect(countSet(bytes, from, count, flip)).toBe(before.slice(from, from + count).filter(Boolean).length);
        const inside = (i: number): boolean => i >= from && i < from + count;
        setRange(bytes, from, count, flip);
        expect(bitsOf(bytes, flip)).toEqual(before.map((bit, i) => bit || inside(i)));
        clearRange(bytes, from, count, flip);
        expect(bitsOf(bytes, flip)).toEqual(before.map((bit, i) => bit && !inside(i)));
      }),
    );
  });

  it('finds a whole free byte', () => {
    runSeeded(
      fc.property(bitmap, fc.nat(191), (bytes, from) => {
        const bits = bitsOf(bytes, flip);
        let wanted = -1;
        for (let at = Math.ceil(from / 8) * 8; wanted < 0 && at + 8 <= bits.length; at += 8) {
          if (!bits.slice(at, at + 8).includes(true)) wanted = at;
        }
        expect(findZeroByte(bytes, from, bits.length, flip)).toBe(wanted);
      }),
    );
  });
});

describe('the orders of bits', () => {
  it('are those of big-endian words', () => {
    const bytes = new Uint8Array(8);
    setRange(bytes, 0, 1, 1);
    expect([...bytes.subarray(0, 2)]).toEqual([0, 1]);
    setRange(bytes, 8, 1, 7);
    expect(bytes[6]).toBe(1);
    expect(testBit(bytes, 40, 3)).toBe(bytes[6] === 1);
  });
});
