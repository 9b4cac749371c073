/**
 * Which disks a crash may leave, given the unsettled writes: each write is lost, lands, or lands in part (some of its
 * sectors). All of these where they are few, a seeded sample where they are many.
 *
 * In this order: nothing landed, everything landed; then, when 2**writes fits `max`, every subset of whole writes, else
 * each write alone, all but each, each prefix; then seeded mixes with torn writes up to `max`.
 */
import type { SeededRandom } from '../random.js';

export interface CrashImageOptions {
  /** How many images at most. Default 64. With 2, nothing landed and everything landed. */
  readonly max?: number;
  /** Picks the sample. Default 1. */
  readonly seed?: number;
  /** Whether writes may land in part. Default true. */
  readonly torn?: boolean;
}

/** What becomes of one write: all of it, nothing, or the sectors of it that land. */
export type Kept = boolean | readonly number[];

/** A longer write (a large range of zeroes, say) goes whole: listing its sectors would cost more than it finds. */
const TORN_SECTORS_MAX = 8192;

/** What is needed of the writes. */
export interface CrashCandidates {
  readonly writes: readonly { readonly length: number; readonly atomic: boolean; readonly durable: boolean }[];
  readonly sectorSize: number;
}

/** An iterable of images, each made when it is asked for; `description` says which writes the last one kept. */
export class CrashImages<D> implements Iterable<D> {
  /** Of the last image handed out: one character a write, `-` lost, `+` landed, `~` torn. */
  description = '';
  readonly #candidates: CrashCandidates;
  readonly #random: SeededRandom;
  readonly #max: number;
  readonly #torn: boolean;
  readonly #make: (kept: readonly Kept[]) => D;

  constructor(
    candidates: CrashCandidates,
    random: SeededRandom,
    options: CrashImageOptions,
    make: (kept: readonly Kept[]) => D,
  ) {
    this.#candidates = candidates;
    this.#random = random;
    this.#max = options.max ?? 64;
    this.#torn = options.torn ?? true;
    this.#make = make;
  }

  [Symbol.iterator](): Iterator<D> {
    const plan = this.#plan();
    let at = 0;
    return {
      next: () => {
        const kept = plan[at++];
        if (kept === undefined) return { done: true, value: undefined };
        this.description = kept.map((one) => (one === true ? '+' : one === false ? '-' : '~')).join('');
        return { done: false, value: this.#make(kept) };
      },
    };
  }

  #plan(): Kept[][] {
    const { writes } = this.#candidates;
    const free = writes.flatMap((write, i) => (write.durable ? [] : [i]));
    const plan: Kept[][] = [];
    const seen = new Set<string>();
    /** Adds the image that keeps what `keep` says of the n-th free write. */
    const add = (keep: (n: number) => Kept): void => {
      if (plan.length >= this.#max) return;
      const kept: Kept[] = writes.map(() => true);
      free.forEach((i, n) => (kept[i] = keep(n)));
      const key = JSON.stringify(kept);
      if (seen.has(key)) return;
      seen.add(key);
      plan.push(kept);
    };
    add(() => false);
    add(() => true);
    if (free.length < 31 && 2 ** free.length <= this.#max) {
      for (let mask = 0; mask < 2 ** free.length; mask++) add((n) => Math.floor(mask / 2 ** n) % 2 === 1);
    } else {
      for (let one = 0; one < free.length && plan.length < this.#max; one++) {
        add((n) => n === one);
        add((n) => n !== one);
        add((n) => n <= one);
      }
    }
    // What is left of the budget goes to torn writes and, where subsets were too many, random ones.
    for (let tries = 0; free.length > 0 && tries < this.#max && plan.length < this.#max; tries++) {
      add((n) => this.#randomly(free[n] ?? 0));
    }
    return plan;
  }

  #randomly(write: number): Kept {
    const one = this.#candidates.writes[write];
    const sectors = one === undefined ? 0 : one.length / this.#candidates.sectorSize;
    const whole = this.#random.chance(0.5);
    const tearable = this.#torn && one?.atomic !== true && sectors >= 2 && sectors <= TORN_SECTORS_MAX;
    if (!tearable || this.#random.chance(0.5)) return whole;
    // As disks do it: mostly a prefix, now and then anything.
    const prefix = this.#random.chance(0.7) ? 1 + this.#random.below(sectors - 1) : undefined;
    const kept: number[] = [];
    for (let i = 0; i < sectors; i++) if (prefix === undefined ? this.#random.chance(0.5) : i < prefix) kept.push(i);
    return kept;
  }
}
