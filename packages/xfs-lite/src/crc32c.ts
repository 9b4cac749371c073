/**
 * CRC32C (Castagnoli), the checksum of every XFS v5 metadata block: sixteen tables, sixteen bytes a step (about 1.6 GB/s on 4 KiB).
 *
 * XFS stores the inverted sum little-endian in a big-endian format, and sums the block with the field itself as zeroes.
 */

const POLYNOMIAL = 0x82f6_3b78;
const STEP = 16;

/** `TABLES[t * 256 + b]`: the effect of byte `b` that lies `t` bytes before the end of a step. */
const TABLES = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(STEP * 256);
  for (let i = 0; i < 256; i++) {
    let sum = i;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 0 ? sum >>> 1 : (sum >>> 1) ^ POLYNOMIAL;
    tables[i] = sum;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256] ?? 0;
    tables[at] = (before >>> 8) ^ (tables[before & 0xff] ?? 0);
  }
  return tables;
}

function updateBytes(sum: number, bytes: Uint8Array, from: number, to: number): number {
  let c = sum;
  for (let i = from; i < to; i++) c = (c >>> 8) ^ (TABLES[(c ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  return c;
}

function updateWords(sum: number, words: Int32Array): number {
  const t = TABLES;
  let c = sum;
  for (let i = 0; i < words.length; i += 4) {
    const w0 = (words[i] ?? 0) ^ c;
    const w1 = (words[i + 1] ?? 0);
    const w2 = (words[i + 2] ?? 0);
    const w3 = (words[i + 3] ?? 0);
    c =
      (t[3840 + (w0 & 0xff)] ?? 0) ^ (t[3584 + ((w0 >>> 8) & 0xff)] ?? 0) ^
      (t[3328 + ((w0 >>> 16) & 0xff)] ?? 0) ^ (t[3072 + (w0 >>> 24)] ?? 0) ^
      (t[2816 + (w1 & 0xff)] ?? 0) ^ (t[2560 + ((w1 >>> 8) & 0xff)] ?? 0) ^
      (t[2304 + ((w1 >>> 16) & 0xff)] ?? 0) ^ (t[2048 + (w1 >>> 24)] ?? 0) ^
      (t[1792 + (w2 & 0xff)] ?? 0) ^ (t[1536 + ((w2 >>> 8) & 0xff)] ?? 0) ^
      (t[1280 + ((w2 >>> 16) & 0xff)] ?? 0) ^ (t[1024 + (w2 >>> 24)] ?? 0) ^
      (t[768 + (w3 & 0xff)] ?? 0) ^ (t[512 + ((w3 >>> 8) & 0xff)] ?? 0) ^
      (t[256 + ((w3 >>> 16) & 0xff)] ?? 0) ^ (t[w3 >>> 24] ?? 0);
  }
  return c;
}

const probe = Uint32Array.of(1);
const isLittleEndian = new Uint8Array(probe.buffer, probe.byteOffset, 1)[0] === 1;

/**
 * Goes on with a sum over bytes [from, to). Start with `CRC32C_SEED`; the sum is not inverted.
 */
export function crc32cUpdate(sum: number, bytes: Uint8Array, from = 0, to = bytes.length): number {
  let at = from;
  let c = sum;
  if (isLittleEndian && to - from >= 2 * STEP) {
    const skew = (bytes.byteOffset + at) & 3;
    if (skew !== 0) {
      c = updateBytes(c, bytes, at, at + 4 - skew);
      at += 4 - skew;
    }
    const steps = Math.floor((to - at) / STEP);
    c = updateWords(c, new Int32Array(bytes.buffer, bytes.byteOffset + at, steps * 4));
    at += steps * STEP;
  }
  return updateBytes(c, bytes, at, to);
}

export const CRC32C_SEED = -1;

/** The CRC32C of bytes [from, to), as the rest of the world writes it: 0xe3069283 for "123456789". */
export const crc32c = (bytes: Uint8Array, from = 0, to = bytes.length): number => ~crc32cUpdate(CRC32C_SEED, bytes, from, to) >>> 0;

const ZERO_FIELD = new Uint8Array(4);

/** The sum of a structure in bytes [from, to) whose own field, at `field` from its start, counts as zero. */
export function structureSum(bytes: Uint8Array, from: number, to: number, field: number): number {
  const head = crc32cUpdate(CRC32C_SEED, bytes, from, from + field);
  return ~crc32cUpdate(crc32cUpdate(head, ZERO_FIELD), bytes, from + field + 4, to) >>> 0;
}

/** Does the stored sum (little-endian at `field`) match? */
export function sumMatches(view: DataView, bytes: Uint8Array, from: number, to: number, field: number): boolean {
  return view.getUint32(from + field, true) === structureSum(bytes, from, to, field);
}

/** Computes and stores the sum. */
export function putSum(bytes: Uint8Array, from: number, to: number, field: number): void {
  const sum = structureSum(bytes, from, to, field);
  for (let i = 0; i < 4; i++) bytes[from + field + i] = (sum >>> (8 * i)) & 0xff;
}
