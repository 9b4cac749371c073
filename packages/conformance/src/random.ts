/** Seeded random numbers (xoshiro128**): the same seed gives the same run on every machine. */

export interface Random {
  /** 32 random bits, 0 … 2^32 - 1. */
  u32(): number;
  /** An integer in [0, limit); `limit` is 1 … 2^53. */
  below(limit: number): number;
  /** An integer in [low, high], both included. */
  between(low: number, high: number): number;
  /** True with probability `p` (0 … 1). */
  chance(p: number): boolean;
  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T;
  /** Fills `bytes`. */
  fill(bytes: Uint8Array): void;
}

/** Makes a generator from any number; nearby seeds give unrelated sequences. */
export function random(seed: number): Random {
  let mix = seed >>> 0;
  const next32 = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  mix = (mix ^ Math.imul(Math.floor(seed / 2 ** 32) >>> 0, 0x27d4eb2f)) >>> 0;
  let a = next32();
  let b = next32();
  let c = next32();
  let d = next32() | 1;
  const u32 = (): number => {
    const x = Math.imul(b, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return result >>> 0;
  };
  const below = (limit: number): number =>
    limit <= 0x1_0000_0000
      ? Math.floor((u32() / 0x1_0000_0000) * limit)
      : Math.floor(((u32() * 0x20_0000 + (u32() >>> 11)) / 2 ** 53) * limit);
  return {
    u32,
    below,
    between: (low, high) => low + below(high - low + 1),
    chance: (p) => u32() < p * 0x1_0000_0000,
    pick<T>(list: readonly T[]): T {
      if (list.length === 0) throw new RangeError('pick: the list is empty');
      return list[below(list.length)] as T;
    },
    fill(bytes) {
      for (let i = 0; i < bytes.length; i++) bytes[i] = u32() & 0xff;
    },
  };
}
