/** What every operation of the facade is given. */
import type { Vfs } from '../index.js';

export interface Context {
  readonly vfs: Vfs;
  /** `Stats.dev`. */
  readonly dev: number;
  /** `Stats.blksize`. */
  readonly blockSize: number;
}

/** A plain twin's answer: it would have to wait (or the arguments are unusual); take the Io operation. */
export const MISS: unique symbol = Symbol('miss');
export type Miss = typeof MISS;
