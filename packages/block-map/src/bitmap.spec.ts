import fc from 'fast-check';
import { clearRange, countSet, findNextSet, findNextZero, findZeroByte, setRange, testBit } from './bitmap.js';

/** The same questions asked of an array of booleans. */
const bitsOf = (bytes: Uint8Array): boolean[] => Array.from({ length: bytes.length * 8 }, (_, i) => testBit(bytes, i));
const bitmap = fc.uint8Array({ minLength: 1, maxLength: 12 });
const runSeeded = (property: fc.IProperty<unknown>): void => {
  fc.assert(property as fc.IProperty<[]>, { numRuns: 300 });
};

describe('bitmaps', () => {
  it('finds the next zero and set bit as a walk over the bits does', () => {
    runSeeded(
      fc.property(bitmap, fc.nat(95), fc.nat(96), (bytes, from, length) => {
        const bits = bitsOf(bytes);
        const end = Math.min(bits.length, from + length);
        const slice = bits.slice(0, end);
        expect(findNextZero(bytes, from, end)).toBe(slice.indexOf(false, from));
        const set = slice.indexOf(true, from);
        expect(findNextSet(bytes, from, end)).toBe(set < 0 ? end : set);
      }),
    );
  });

  it('sets, counts and clears ranges without touching their neighbours', () => {
    runSeeded(
      fc.property(bitmap, fc.nat(95), fc.nat(96), (bytes, start, length) => {
        const total = bytes.length * 8;
        const from = Math.min(start, total);
        const count = Math.min(length, total - from);
        const before = bitsOf(bytes);
        expect(countSet(bytes, from, count)).toBe(before.slice(from, from + count).filter(Boolean).length);
        const inside = (i: number): boolean => i >= from && i < from + count;
        setRange(bytes, from, count);
        expect(bitsOf(bytes)).toEqual(before.map((bit, i) => bit || inside(i)));
        clearRange(bytes, from, count);
        expect(bitsOf(bytes)).toEqual(before.map((bit, i) => bit && !inside(i)));
      }),
    );
  });

  it('finds a whole free byte', () => {
    expect(findZeroByte(Uint8Array.of(0xff, 1, 0, 0xff, 0), 0, 40)).toBe(16);
    expect(findZeroByte(Uint8Array.of(0xff, 1, 0, 0xff, 0), 17, 40)).toBe(32);
    expect(findZeroByte(Uint8Array.of(0xff, 1, 0), 0, 20)).toBe(-1);
  });
});
