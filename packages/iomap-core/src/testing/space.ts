/**
 * The blocks of the device: how many files use each, which are promised, which the last commit still names. Plain.
 *
 * I1: `reserved` never exceeds `freeBlocks`: who has a reservation finds a block. I2: a block that the metadata on the device
 * names is not given out again before a commit without it is durable, so that a crash finds what it names.
 */
import { FsError } from '@iomap/io';

export interface Run {
  readonly block: number;
  readonly count: number;
}

export class Space {
  freeBlocks: number;
  /** Blocks promised to delayed allocations. */
  reserved = 0;
  readonly #first: number;
  /** How many files use it. */
  readonly #users: Uint16Array;
  /** How many snapshots (the durable one, one being written) name it. */
  readonly #named: Uint8Array;
  readonly #runMax: () => number;
  #cursor: number;

  /** @param runMax asked for each run that is given out: how long it may be (a fragmented disk) */
  constructor(first: number, blocks: number, runMax: () => number) {
    this.#first = first;
    this.#cursor = first;
    this.#users = new Uint16Array(blocks);
    this.#named = new Uint8Array(blocks);
    this.#runMax = runMax;
    this.freeBlocks = blocks - first;
  }

  isShared(block: number): boolean {
    return (this.#users[block] ?? 0) > 1;
  }

  /** Promises up to `count` blocks; the answer is how many. @throws FsError ENOSPC when there is none */
  reserve(count: number): number {
    const got = Math.min(count, this.freeBlocks - this.reserved);
    if (got <= 0) throw new FsError('ENOSPC');
    this.reserved += got;
    return got;
  }

  unreserve(count: number): void {
    this.reserved -= count;
  }

  /**
   * Takes a run of up to `count` blocks, out of a reservation or beside them.
   * @returns undefined when what is free is still named by the metadata on the device: commit, then ask again
   * @throws FsError ENOSPC
   */
  take(count: number, reserved: boolean): Run | undefined {
    const room = reserved ? this.freeBlocks : this.freeBlocks - this.reserved;
    if (room <= 0) throw new FsError('ENOSPC');
    const { length } = this.#users;
    const most = Math.min(count, room, Math.max(1, this.#runMax()));
    for (let tries = length - this.#first; tries > 0; tries--) {
      if (this.#cursor >= length) this.#cursor = this.#first;
      const block = this.#cursor++;
      if (!this.#usable(block)) continue;
      let n = 1;
      while (n < most && block + n < length && this.#usable(block + n)) n++;
      this.#cursor = block + n;
      this.use({ block, count: n });
      if (reserved) this.reserved -= n;
      return { block, count: n };
    }
    return undefined;
  }

  /** One more file uses the run. */
  use({ block, count }: Run): void {
    for (let i = block; i < block + count; i++) {
      if (this.#users[i] === 0) this.freeBlocks--;
      this.#users[i] = (this.#users[i] ?? 0) + 1;
    }
  }

  /** One file less uses the run. */
  release({ block, count }: Run): void {
    for (let i = block; i < block + count; i++) {
      const users = (this.#users[i] ?? 0) - 1;
      if (users < 0) throw new FsError('EUCLEAN', { why: 'a block is freed twice', detail: { block: i } });
      this.#users[i] = users;
      if (users === 0) this.freeBlocks++;
      // The next to be given out: a stale mapping of the old owner would write into the new one's block.
      if (users === 0 && this.#named[i] === 0) this.#cursor = Math.min(this.#cursor, i);
    }
  }

  /** A snapshot names the run from now on (`by` 1) or no more (-1). */
  name({ block, count }: Run, by: 1 | -1): void {
    for (let i = block; i < block + count; i++) this.#named[i] = (this.#named[i] ?? 0) + by;
  }

  #usable(block: number): boolean {
    return this.#users[block] === 0 && this.#named[block] === 0;
  }
}
