import { crc32c, crc32cUpdate, CRC32C_SEED, putSum, sumMatches } from './crc32c.js';

/** The definition, a bit at a time. */
function slow(bytes: Uint8Array): number {
  let sum = 0xffff_ffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ ((sum & 1) === 0 ? 0 : 0x82f6_3b78);
  }
  return ~sum >>> 0;
}

describe('CRC32C', () => {
  it('is that of RFC 3720', () => {
    const text = (s: string): Uint8Array => new TextEncoder().encode(s);
    expect(crc32c(text('123456789'))).toBe(0xe306_9283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a91_36aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8_ab43);
  });

  it('equals the definition at every length and alignment', () => {
    const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * 197 + (i >> 3)) & 0xff);
    for (let from = 0; from < 9; from++) {
      for (let to = from; to < 300; to += to < 90 ? 1 : 13) expect(crc32c(bytes, from, to)).toBe(slow(bytes.subarray(from, to)));
    }
  });

  it('goes on where it stopped', () => {
    const bytes = Uint8Array.from({ length: 200 }, (_, i) => i);
    expect(~crc32cUpdate(crc32cUpdate(CRC32C_SEED, bytes, 0, 77), bytes, 77) >>> 0).toBe(crc32c(bytes));
  });

  it('finds a changed bit anywhere in a structure', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    putSum(bytes, 64, 192, 12);
    expect(sumMatches(view, 64, 192, 12)).toBe(true);
    for (const at of [64, 75, 76, 79, 80, 191]) {
      bytes[at] = (bytes[at] ?? 0) ^ 4;
      expect(sumMatches(view, 64, 192, 12)).toBe(false);
      bytes[at] = (bytes[at] ?? 0) ^ 4;
    }
    bytes[192] = 1;
    expect(sumMatches(view, 64, 192, 12)).toBe(true);
  });
});
