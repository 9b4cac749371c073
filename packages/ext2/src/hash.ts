/**
 * Hashes of names for indexed directories (htree): legacy, half-MD4 and TEA, each over signed or unsigned characters, as
 * the superblock's `s_flags` says which `char` the machine that made the filesystem had.
 *
 * Plain 32-bit arithmetic; a name is a byte string. The answer's lowest bit is always 0 (it marks a hash that goes on in
 * the next block) and never the reserved end-of-directory value.
 */
export const DX_HASH_LEGACY = 0;
export const DX_HASH_HALF_MD4 = 1;
export const DX_HASH_TEA = 2;
/** Added to a version where the hash is over unsigned characters. */
export const DX_HASH_UNSIGNED = 3;

const HTREE_EOF_32 = 0x7fff_ffff;
const DELTA = 0x9e37_79b9;

/** Sign-extends one byte. */
const signed = (byte: number): number => (byte << 24) >> 24;

function legacyHash(name: string, isUnsigned: boolean): number {
  let hash0 = 0x12a3_fe2d;
  let hash1 = 0x37ab_e8f9;
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i);
    let hash = (hash1 + (hash0 ^ Math.imul(isUnsigned ? byte : signed(byte), 7_152_373))) >>> 0;
    if (hash & 0x8000_0000) hash = (hash - 0x7fff_ffff) >>> 0;
    hash1 = hash0;
    hash0 = hash;
  }
  return (hash0 << 1) >>> 0;
}

/** Packs up to `words` words of the name from `at` into `out`, padded with the rest's length (str2hashbuf). */
function packName(name: string, at: number, out: Int32Array, isUnsigned: boolean): void {
  const rest = name.length - at;
  let pad = rest | (rest << 8);
  pad |= pad << 16;
  const length = Math.min(rest, out.length * 4);
  let value = pad;
  let word = 0;
  for (let i = 0; i < length; i++) {
    const byte = name.charCodeAt(at + i);
    value = ((isUnsigned ? byte : signed(byte)) + (value << 8)) | 0;
    if (i % 4 === 3) {
      out[word++] = value;
      value = pad;
    }
  }
  if (word < out.length) out[word++] = value;
  while (word < out.length) out[word++] = pad;
}

const rotl = (x: number, s: number): number => (x << s) | (x >>> (32 - s));

/** One half-MD4 transform of eight words into the four of `state`. */
function halfMd4(state: Int32Array, words: Int32Array): void {
  let a = state[0] ?? 0;
  let b = state[1] ?? 0;
  let c = state[2] ?? 0;
  let d = state[3] ?? 0;
  const w = (i: number): number => words[i] ?? 0;
  const f = (x: number, y: number, z: number): number => z ^ (x & (y ^ z));
  const g = (x: number, y: number, z: number): number => (x & y) + ((x ^ y) & z);
  const h = (x: number, y: number, z: number): number => x ^ y ^ z;
  for (const i of [0, 4]) {
    a = rotl((a + f(b, c, d) + w(i)) | 0, 3);
    d = rotl((d + f(a, b, c) + w(i + 1)) | 0, 7);
    c = rotl((c + f(d, a, b) + w(i + 2)) | 0, 11);
    b = rotl((b + f(c, d, a) + w(i + 3)) | 0, 19);
  }
  const k2 = 0x5a82_7999;
  for (const i of [1, 0]) {
    a = rotl((a + g(b, c, d) + w(i) + k2) | 0, 3);
    d = rotl((d + g(a, b, c) + w(i + 2) + k2) | 0, 5);
    c = rotl((c + g(d, a, b) + w(i + 4) + k2) | 0, 9);
    b = rotl((b + g(c, d, a) + w(i + 6) + k2) | 0, 13);
  }
  const k3 = 0x6ed9_eba1;
  for (const i of [3, 1]) {
    a = rotl((a + h(b, c, d) + w(i) + k3) | 0, 3);
    d = rotl((d + h(a, b, c) + w(i + 4) + k3) | 0, 9);
    c = rotl((c + h(d, a, b) + w(i - 1) + k3) | 0, 11);
    b = rotl((b + h(c, d, a) + w(i + 3) + k3) | 0, 15);
  }
  state[0] = ((state[0] ?? 0) + a) | 0;
  state[1] = ((state[1] ?? 0) + b) | 0;
  state[2] = ((state[2] ?? 0) + c) | 0;
  state[3] = ((state[3] ?? 0) + d) | 0;
}

/** Sixteen rounds of TEA with four words of the name as the key. */
function tea(state: Int32Array, words: Int32Array): void {
  let b0 = state[0] ?? 0;
  let b1 = state[1] ?? 0;
  const [k0 = 0, k1 = 0, k2 = 0, k3 = 0] = words;
  let sum = 0;
  for (let round = 0; round < 16; round++) {
    sum = (sum + DELTA) | 0;
    b0 = (b0 + (((b1 << 4) + k0) ^ (b1 + sum) ^ ((b1 >>> 5) + k1))) | 0;
    b1 = (b1 + (((b0 << 4) + k2) ^ (b0 + sum) ^ ((b0 >>> 5) + k3))) | 0;
  }
  state[0] = ((state[0] ?? 0) + b0) | 0;
  state[1] = ((state[1] ?? 0) + b1) | 0;
}

const md4Words = new Int32Array(8);
const teaWords = new Int32Array(4);
const dxState = new Int32Array(4);

export interface DxHash {
  /** Where the name belongs in the index: 32 bits, lowest bit 0. */
  readonly hash: number;
  readonly minor: number;
}

/**
 * Hashes a name.
 * @param version `DX_HASH_*`, plus 3 for unsigned characters (0..5)
 * @param seed the superblock's `s_hash_seed`: four words; all zero means the built-in seed
 * @returns undefined for an unknown version
 */
export function dxHash(name: string, version: number, seed: readonly number[]): DxHash | undefined {
  if (version < 0 || version > 5) return undefined;
  const isUnsigned = version >= DX_HASH_UNSIGNED;
  const kind = version % DX_HASH_UNSIGNED;
  let hash: number;
  let minor = 0;
  if (kind === DX_HASH_LEGACY) {
    hash = legacyHash(name, isUnsigned);
  } else {
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = seed;
    const isSeeded = s0 !== 0 || s1 !== 0 || s2 !== 0 || s3 !== 0;
    const state = dxState;
    state[0] = isSeeded ? s0 : 0x6745_2301;
    state[1] = isSeeded ? s1 : 0xefcd_ab89;
    state[2] = isSeeded ? s2 : 0x98ba_dcfe;
    state[3] = isSeeded ? s3 : 0x1032_5476;
    const words = kind === DX_HASH_HALF_MD4 ? md4Words : teaWords;
    const step = words.length * 4;
    // An empty name is hashed in no round at all, as in Linux.
    for (let at = 0; at < name.length; at += step) {
      packName(name, at, words, isUnsigned);
      if (kind === DX_HASH_HALF_MD4) halfMd4(state, words);
      else tea(state, words);
    }
    hash = (kind === DX_HASH_HALF_MD4 ? (state[1] ?? 0) : (state[0] ?? 0)) >>> 0;
    minor = (kind === DX_HASH_HALF_MD4 ? (state[2] ?? 0) : (state[1] ?? 0)) >>> 0;
  }
  hash = (hash & ~1) >>> 0;
  if (hash === ((HTREE_EOF_32 << 1) >>> 0)) hash = ((HTREE_EOF_32 - 1) << 1) >>> 0;
  return { hash, minor };
}
