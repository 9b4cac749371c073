/** What a mount knows of the world: time, random bytes and uuids. Given by the caller; nothing in core is ambient. */

/** The Web APIs used here, as Node and browsers have them; core packages compile without either's globals. */
declare const performance: { readonly timeOrigin: number; now(): number };
declare const crypto: { getRandomValues<T extends Uint8Array>(bytes: T): T };

/** A point in time: whole seconds since the epoch (may be negative) and 0..999,999,999 nanoseconds after them. */
export interface Timespec {
  readonly sec: number;
  readonly nsec: number;
}

export interface Env {
  /** The current time. */
  now(): Timespec;
  /** Fills `bytes` with random bytes. */
  random(bytes: Uint8Array): void;
  /** 16 bytes, RFC 9562 version 4 unless the environment is deterministic. */
  uuid(): Uint8Array;
}

/** The real world, through Web APIs that Node and browsers share. */
export function systemEnv(): Env {
  return {
    now() {
      const ms = performance.timeOrigin + performance.now();
      const sec = Math.floor(ms / 1000);
      return { sec, nsec: Math.min(999_999_999, Math.floor((ms - sec * 1000) * 1_000_000)) };
    },
    random(bytes) {
      // getRandomValues refuses more than 65,536 bytes a call.
      for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    },
    uuid() {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
      bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
      return bytes;
    },
  };
}

/**
 * A world that is the same at every run: the clock starts at `start` and stands still unless `tickNs` is given; random
 * bytes and uuids come from `seed` (xorshift32, not for secrets).
 */
export function fixedEnv(options: { start?: Timespec; tickNs?: number; seed?: number } = {}): Env {
  let { sec, nsec } = options.start ?? { sec: 0, nsec: 0 };
  const tickNs = options.tickNs ?? 0;
  let state = (options.seed ?? 1) >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state & 0xff;
  };
  const random = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = next();
  };
  return {
    now() {
      const time = { sec, nsec };
      nsec += tickNs;
      sec += Math.floor(nsec / 1_000_000_000);
      nsec %= 1_000_000_000;
      return time;
    },
    random,
    uuid() {
      const bytes = new Uint8Array(16);
      random(bytes);
      bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
      bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
      return bytes;
    },
  };
}
