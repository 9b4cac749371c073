/** Runs of blocks with their owners, in typed arrays: what the reverse map says, what files have, what is shared. */
import { Numbers, Words } from './tables.js';

/** rmap's owners, negative; inodes are positive. */
export const OWNERS = { FS: -3, LOG: -4, AG: -5, INOBT: -6, INODES: -7, REFC: -8, COW: -9 } as const;

/** Bits as in a record of the reverse map. */
export const RUN_FLAGS = { UNWRITTEN: 1, TREE: 2, ATTR: 4 } as const;

export interface OwnedRun {
  readonly start: number;
  readonly count: number;
  readonly owner: number;
  /** File block; 0 for owners that are no files and for blocks of trees. */
  readonly offset: number;
  readonly flags: number;
}

/** Runs of one group. */
export class OwnedRuns {
  readonly #start = new Words();
  readonly #count = new Words();
  readonly #owner = new Numbers();
  readonly #offset = new Numbers();
  readonly #flags = new Words();

  get length(): number {
    return this.#start.length;
  }

  add(start: number, count: number, owner: number, offset: number, flags: number): void {
    this.#start.push(start);
    this.#count.push(count);
    this.#owner.push(owner);
    this.#offset.push(offset);
    this.#flags.push(flags);
  }

  get(i: number): OwnedRun {
    return { start: this.#start.at(i), count: this.#count.at(i), owner: this.#owner.at(i), offset: this.#offset.at(i), flags: this.#flags.at(i) };
  }

  /** What answers one run after another: by owner, kind, then place; neighbours that go on in the file too are one. */
  joined(): () => OwnedRun | undefined {
    const n = this.length;
    const [start, count, owner, offset, flags] = [this.#start.data, this.#count.data, this.#owner.data, this.#offset.data, this.#flags.data];
    /** Where the file's block 0 would be: the same for pieces that go on. */
    const base = (i: number): number => ((owner[i] ?? 0) > 0 && ((flags[i] ?? 0) & RUN_FLAGS.TREE) === 0 ? (offset[i] ?? 0) - (start[i] ?? 0) : 0);
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) order[i] = i;
    order.sort((a, b) =>
      (owner[a] ?? 0) - (owner[b] ?? 0) || (flags[a] ?? 0) - (flags[b] ?? 0) || base(a) - base(b) || (start[a] ?? 0) - (start[b] ?? 0));
    let at = 0;
    return () => {
      if (at >= n) return undefined;
      const i = order[at] ?? 0;
      let end = (start[i] ?? 0) + (count[i] ?? 0);
      const from = base(i);
      for (at++; at < n; at++) {
        const j = order[at] ?? 0;
        if (start[j] !== end || owner[j] !== owner[i] || flags[j] !== flags[i] || base(j) !== from) break;
        end += count[j] ?? 0;
      }
      return { start: start[i] ?? 0, count: end - (start[i] ?? 0), owner: owner[i] ?? 0, offset: offset[i] ?? 0, flags: flags[i] ?? 0 };
    };
  }
}

const compare = (a: OwnedRun, b: OwnedRun): number => {
  const base = ({ owner, flags, offset, start }: OwnedRun): number => (owner > 0 && (flags & RUN_FLAGS.TREE) === 0 ? offset - start : 0);
  return a.owner - b.owner || a.flags - b.flags || base(a) - base(b) || a.start - b.start || a.count - b.count;
};

/** The first run that is in one list alone; undefined = they say the same. */
export function firstDifference(wanted: OwnedRuns, found: OwnedRuns): { readonly missing?: OwnedRun; readonly extra?: OwnedRun } | undefined {
  const [a, b] = [wanted.joined(), found.joined()];
  for (;;) {
    const [x, y] = [a(), b()];
    if (x === undefined && y === undefined) return undefined;
    if (x === undefined) return y === undefined ? undefined : { extra: y };
    if (y === undefined) return { missing: x };
    const order = compare(x, y);
    if (order !== 0) return order < 0 ? { missing: x } : { extra: y };
  }
}

/** Runs of a group that may overlap: the data of files that may share. */
export class SharedRuns {
  readonly #starts = new Words();
  readonly #ends = new Words();

  add(start: number, count: number): void {
    this.#starts.push(start);
    this.#ends.push(start + count);
  }

  /** Calls `visit` for each piece with the same number of owners (at least one), in order. */
  sweep(visit: (start: number, end: number, owners: number) => void): void {
    const starts = this.#starts.view().sort();
    const ends = this.#ends.view().sort();
    let owners = 0;
    let from = 0;
    for (let s = 0, e = 0; e < ends.length; ) {
      const at = Math.min(starts[s] ?? Infinity, ends[e] ?? Infinity);
      const before = owners;
      for (; starts[s] === at; s++) owners++;
      for (; ends[e] === at; e++) owners--;
      if (owners === before) continue;
      if (before > 0) visit(from, at, before);
      from = at;
    }
  }
}

/** Records of a refcount tree. */
export class RefRuns {
  readonly start = new Words();
  readonly count = new Words();
  readonly owners = new Words();

  add(start: number, count: number, owners: number): void {
    const last = this.start.length - 1;
    // Records may be split where counts are equal.
    if (last >= 0 && this.owners.at(last) === owners && this.start.at(last) + this.count.at(last) === start) {
      this.count.data[last] = this.count.at(last) + count;
      return;
    }
    this.start.push(start);
    this.count.push(count);
    this.owners.push(owners);
  }

  /** Index of the first record that differs, -1 = none. */
  difference(other: RefRuns): number {
    const n = Math.max(this.start.length, other.start.length);
    for (let i = 0; i < n; i++) {
      if (i >= this.start.length || i >= other.start.length) return i;
      if (this.start.at(i) !== other.start.at(i) || this.count.at(i) !== other.count.at(i) || this.owners.at(i) !== other.owners.at(i)) return i;
    }
    return -1;
  }
}
