import { FsError } from '@iomap/io';

import { layout } from './struct.js';

const Little = layout('little', 64, 'le', {
  a8: [0, 'u8'],
  b8: [1, 'i8'],
  a16: [2, 'u16'],
  b16: [4, 'i16'],
  a32: [8, 'u32'],
  b32: [12, 'i32'],
  a64: [16, 'u64'],
  b64: [24, 'b64'],
  name: [32, 'bytes', 8],
  list: [40, 'u32', 3],
  short: [52, 'u16', 2],
});
const Big = layout('big', 12, 'be', { a32: [0, 'u32'], a64: [4, 'u64'] });

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return error instanceof FsError ? error.code : String(error);
  }
  return 'none';
};

describe('layout', () => {
  it('reads and writes every type, on an unaligned view of a larger buffer', () => {
    const bytes = new Uint8Array(200).fill(0xa5).subarray(3);
    const view = Little.at(bytes, 7);
    view.a8 = 255;
    view.b8 = -2;
    view.a16 = 0x1234;
    view.b16 = -300;
    view.a32 = 0xfedcba98;
    view.b32 = -70000;
    view.a64 = 2 ** 53 - 1;
    view.b64 = 0xffffffffffffffffn;
    view.name = new Uint8Array([1, 2, 3]);
    view.list.set(2, 0xdeadbeef);
    view.short.set(0, 0xbeef);
    expect([view.a8, view.b8, view.a16, view.b16, view.a32, view.b32]).toEqual([
      255, -2, 0x1234, -300, 0xfedcba98, -70000,
    ]);
    expect(view.a64).toBe(2 ** 53 - 1);
    expect(view.b64).toBe(0xffffffffffffffffn);
    expect([...view.name]).toEqual([1, 2, 3, 0, 0, 0, 0, 0]);
    expect(view.list.toArray()).toEqual([0xa5a5a5a5, 0xa5a5a5a5, 0xdeadbeef]);
    expect(bytes[7 + 2]).toBe(0x34);
    expect(bytes[6]).toBe(0xa5);
    expect(bytes[7 + 64]).toBe(0xa5);
    expect(Little.dump(view)['name']).toBe('0102030000000000');
  });

  it('keeps big-endian apart', () => {
    const bytes = new Uint8Array(12);
    const view = Big.at(bytes);
    view.a32 = 1;
    view.a64 = 2 ** 32 + 2;
    expect([...bytes]).toEqual([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2]);
    expect(view.a64).toBe(2 ** 32 + 2);
  });

  it('is re-pointed without a new object', () => {
    const bytes = new Uint8Array(128);
    const view = Little.at(bytes);
    view.$set(bytes, 64);
    view.a8 = 9;
    expect(bytes[64]).toBe(9);
    const other = new Uint8Array(64).fill(3);
    view.$set(other);
    expect(view.a8).toBe(3);
  });

  it('refuses what does not fit as a corrupt structure', () => {
    const bytes = new Uint8Array(64);
    expect(codeOf(() => Little.at(bytes, 1))).toBe('EUCLEAN');
    expect(codeOf(() => Little.at(bytes, -1))).toBe('EUCLEAN');
    expect(codeOf(() => Little.at(bytes, Number.NaN))).toBe('EUCLEAN');
    const view = Little.at(bytes);
    expect(codeOf(() => view.$set(bytes, 1))).toBe('EUCLEAN');
  });

  it('refuses a 64-bit count beyond 2^53', () => {
    const view = Little.at(new Uint8Array(64).fill(0xff));
    expect(codeOf(() => view.a64)).toBe('EUCLEAN');
    expect(view.b64).toBe(2n ** 64n - 1n);
  });

  it('throws at declaration on overlap and overrun', () => {
    expect(() => layout('x', 8, 'le', { a: [0, 'u32'], b: [3, 'u8'] })).toThrow('overlap');
    expect(() => layout('x', 8, 'le', { a: [5, 'u32'] })).toThrow('ends within');
    expect(() => layout('x', 8, 'le', { a: [0, 'u32', 3] })).toThrow('ends within');
  });

  it('lists fields for mutators', () => {
    expect(Big.fields).toEqual([
      { name: 'a32', offset: 0, type: 'u32', length: 4, count: 1 },
      { name: 'a64', offset: 4, type: 'u64', length: 8, count: 1 },
    ]);
    expect(Little.offsets.list).toBe(40);
  });
});
