import fc from 'fast-check';
import { decodePax, encodeRecord, formatTime, parseTime } from './pax.js';

describe('PAX records', () => {
  it('counts its own digits in the length', () => {
    expect(encodeRecord('path', 'x').toString('latin1')).toBe('9 path=x\n');
    for (let n = 0; n < 300; n++) {
      const bytes = encodeRecord('k', 'v'.repeat(n));
      expect(parseInt(bytes.toString('latin1'), 10)).toBe(bytes.length);
    }
  });

  it('carries any bytes', () => {
    const byteString = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
    fc.assert(
      fc.property(fc.array(fc.record({ key: fc.stringMatching(/^[a-zA-Z.]{1,40}$/), value: byteString }), { maxLength: 8 }), (records) => {
        const bytes = Buffer.concat(records.map(({ key, value }) => encodeRecord(key, value)));
        expect(decodePax(bytes)).toEqual(records);
      }),
    );
  });

  it('refuses damage without hanging', () => {
    for (const text of ['x', '10 path=x', '99 path=x\n', '0 a=b\n', '6 abcd\n', '-1 a=b\n', '5 =b\r', '3 =\n']) {
      expect(decodePax(Buffer.from(text, 'latin1'))).toBeUndefined();
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const records = decodePax(Buffer.from(bytes));
        return records === undefined || records.length <= bytes.length;
      }),
    );
  });

  it('writes times that it reads back', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), fc.integer({ min: 0, max: 999_999_999 }), (sec, nsec) => {
        expect(parseTime(formatTime({ sec, nsec }))).toEqual({ sec, nsec });
      }),
    );
    expect(formatTime({ sec: -1, nsec: 500_000_000 })).toBe('-0.5');
    expect(parseTime('1.9999999999')).toEqual({ sec: 1, nsec: 999_999_999 });
    expect(parseTime('soon')).toBeUndefined();
  });
});
