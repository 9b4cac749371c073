/**
 * The folio: a power-of-two piece of a file in memory, naturally aligned, with two bits per block (uptodate, dirty).
 *
 * - `isUptodate`, `setUptodate`, `markDirty`, `clearDirty` and the `next…` searches take byte offsets inside the folio.
 * - `tryLock` / `lock` / `unlock`; `waitWriteback`. The lock guards the mapping of its blocks and their two bits.
 * - A bitmap exists only while a state is partial: a count of 0 or of all blocks says it all (a one-block folio has none).
 *
 * I1: `dirtyCount > 0` exactly when the folio is on the cache's dirty list. I2: a dirty block is uptodate.
 * I3: only an unlocked, unpinned, clean folio without writeback is reclaimed. I4: `data` dies when `mapping` becomes
 * undefined: whoever waited without a pin looks the folio up again.
 */
import { assert, lockOrder, submit, WaitQueue, type Io, type LockRank } from '@iomap/io';
import type { AddressSpace } from './address-space.js';
import { clearBits, findBit, makeBits, setBits } from './block-bits.js';

export class Folio {
  /** The file it belongs to; undefined once it was dropped. */
  mapping: AddressSpace | undefined;
  /** Byte position in the file, a multiple of `size`. */
  readonly pos: number;
  readonly size: number;
  readonly data: Uint8Array;
  readonly blockShift: number;
  readonly blockCount: number;
  /** Its memory in the pool. */
  readonly unit: number;
  locked = false;
  /** Held in memory by a task that waits for it. */
  pins = 0;
  /** Writes of it in flight (or about to be). */
  writebacks = 0;
  /** Reads of it in flight, and one for who sets them up; the last unlocks (see iomap-core). */
  reads = 0;
  /** Recency: reclaim passes over a folio that was hit since it last looked. */
  touched = 0;
  /** A reader that comes here asks for the next readahead window. */
  readaheadMark = false;
  /** Brought in by a don't-cache call, and used by nobody else so far: it goes once it is clean. */
  dropBehind = false;
  /** What the owner of the file hangs on it (a ring of buffer heads); it goes with the folio. */
  private: unknown = undefined;
  uptodateCount = 0;
  dirtyCount = 0;
  #uptodateBits: Uint32Array | undefined;
  #dirtyBits: Uint32Array | undefined;
  #waiters: WaitQueue | undefined;
  /** Links of the cache's lists. */
  lruPrev: Folio | undefined;
  lruNext: Folio | undefined;

  constructor(mapping: AddressSpace, pos: number, data: Uint8Array, unit: number) {
    this.mapping = mapping;
    this.pos = pos;
    this.size = data.length;
    this.data = data;
    this.unit = unit;
    this.blockShift = mapping.blockShift;
    this.blockCount = data.length >>> mapping.blockShift;
    this.lruPrev = undefined;
    this.lruNext = undefined;
  }

  /** First byte of the file after it. */
  get end(): number {
    return this.pos + this.size;
  }

  get uptodate(): boolean {
    return this.uptodateCount === this.blockCount;
  }

  get dirty(): boolean {
    return this.dirtyCount > 0;
  }

  // Uptodate ------------------------------------------------------------------------------------------------------------

  /** True when every block that [from, to) touches holds the file's content. */
  isUptodate(from: number, to: number): boolean {
    if (this.uptodateCount === this.blockCount) return true;
    const bits = this.#uptodateBits;
    if (bits === undefined) return false;
    const last = ((to - 1) >>> this.blockShift) + 1;
    return findBit(bits, from >>> this.blockShift, last, false) === last;
  }

  /** Marks the whole blocks inside [from, to): a block that it covers in part stays as it is. */
  setUptodate(from: number, to: number): void {
    const count = this.blockCount;
    if (this.uptodateCount === count) return;
    const first = (from + (1 << this.blockShift) - 1) >>> this.blockShift; // guard: whole-blocks-uptodate (pitfall 10) | without: const first = from >>> this.blockShift;
    const last = to >>> this.blockShift;
    if (first >= last) return;
    if (first === 0 && last === count) {
      this.uptodateCount = count;
      this.#uptodateBits = undefined;
      return;
    }
    const bits = (this.#uptodateBits ??= makeBits(count, false));
    this.uptodateCount += setBits(bits, first, last);
    if (this.uptodateCount === count) this.#uptodateBits = undefined;
  }

  /** Forgets the content of the whole blocks inside [from, to). They must be clean (I2). */
  clearUptodate(from: number, to: number): void {
    const first = (from + (1 << this.blockShift) - 1) >>> this.blockShift;
    const last = to >>> this.blockShift;
    if (first >= last || this.uptodateCount === 0) return;
    const bits = (this.#uptodateBits ??= makeBits(this.blockCount, true));
    this.uptodateCount -= clearBits(bits, first, last);
    if (this.uptodateCount === 0) this.#uptodateBits = undefined;
  }

  /** Offset of the first block at or after `from` that is not uptodate, `to` when there is none. Block-aligned. */
  nextNotUptodate(from: number, to: number): number {
    if (this.uptodateCount === this.blockCount) return to;
    const bits = this.#uptodateBits;
    if (bits === undefined) return from;
    const at = findBit(bits, from >>> this.blockShift, to >>> this.blockShift, false);
    return Math.max(from, at << this.blockShift);
  }

  /** Offset of the first uptodate block at or after `from`, `to` when there is none. Block-aligned. */
  nextUptodate(from: number, to: number): number {
    if (this.uptodateCount === this.blockCount) return from;
    const bits = this.#uptodateBits;
    if (bits === undefined) return to;
    const at = findBit(bits, from >>> this.blockShift, to >>> this.blockShift, true);
    return Math.max(from, at << this.blockShift);
  }

  // Dirty ---------------------------------------------------------------------------------------------------------------

  /** Marks every block that [from, to) touches. They must be uptodate (I2). */
  markDirty(from: number, to: number): void {
    const count = this.blockCount;
    const before = this.dirtyCount;
    if (before === count || from >= to) return;
    const first = from >>> this.blockShift;
    const last = ((to - 1) >>> this.blockShift) + 1;
    if (first === 0 && last === count) {
      this.dirtyCount = count;
      this.#dirtyBits = undefined;
    } else {
      const bits = (this.#dirtyBits ??= makeBits(count, false));
      this.dirtyCount += setBits(bits, first, last);
      if (this.dirtyCount === count) this.#dirtyBits = undefined;
    }
    const { mapping } = this;
    assert(mapping !== undefined, 'I4: a dropped folio is not dirtied');
    if (this.dirtyCount !== before) mapping.accountDirty(this, before);
  }

  /** Cleans the whole blocks inside [from, to). */
  clearDirty(from: number, to: number): void {
    const before = this.dirtyCount;
    const first = (from + (1 << this.blockShift) - 1) >>> this.blockShift;
    const last = to >>> this.blockShift;
    if (before === 0 || first >= last) return;
    if (first === 0 && last === this.blockCount) {
      this.dirtyCount = 0;
      this.#dirtyBits = undefined;
    } else {
      const bits = (this.#dirtyBits ??= makeBits(this.blockCount, true));
      this.dirtyCount -= clearBits(bits, first, last);
      if (this.dirtyCount === 0) this.#dirtyBits = undefined;
    }
    if (this.dirtyCount !== before) this.mapping?.accountDirty(this, before);
  }

  isDirty(from: number, to: number): boolean {
    if (this.dirtyCount === this.blockCount) return true;
    const bits = this.#dirtyBits;
    if (bits === undefined) return false;
    const last = ((to - 1) >>> this.blockShift) + 1;
    return findBit(bits, from >>> this.blockShift, last, false) === last;
  }

  /** Offset of the first dirty block at or after `from`, `to` when there is none before it. Block-aligned arguments. */
  nextDirty(from: number, to: number): number {
    if (this.dirtyCount === this.blockCount) return from;
    const bits = this.#dirtyBits;
    if (bits === undefined) return to;
    return findBit(bits, from >>> this.blockShift, to >>> this.blockShift, true) << this.blockShift;
  }

  /** Offset of the first clean block at or after `from`, `to` when there is none before it. Block-aligned arguments. */
  nextClean(from: number, to: number): number {
    if (this.dirtyCount === this.blockCount) return to;
    const bits = this.#dirtyBits;
    if (bits === undefined) return from;
    return findBit(bits, from >>> this.blockShift, to >>> this.blockShift, false) << this.blockShift;
  }

  // Lock and writeback ----------------------------------------------------------------------------------------------------

  /** For the lock-order check and its messages. */
  get name(): string {
    return `folio at ${this.pos} of ${this.mapping?.name ?? 'nothing'}`;
  }

  get rank(): LockRank {
    return 'folio';
  }

  /**
   * Takes the lock if that needs no wait.
   * @param anyOrder the caller gives up on false and so cannot deadlock: the lock order is not checked
   */
  tryLock(anyOrder = false): boolean {
    if (lockOrder.active !== undefined && !anyOrder) lockOrder.active.check(this);
    if (this.locked) return false;
    this.locked = true;
    lockOrder.active?.acquired(this);
    return true;
  }

  /**
   * Waits for the lock and takes it. The folio may have been dropped meanwhile (I4): check `mapping` after it.
   * Waits on: the holder. Holds nothing else that a holder may want.
   */
  *lock(): Io<void> {
    lockOrder.active?.check(this); // guard: folio-lock-rank (pitfall 19)
    while (this.locked) yield* this.#wait();
    this.locked = true;
    lockOrder.active?.acquired(this);
  }

  /** The lock passes from this task to I/O in flight, whose end unlocks. */
  handOff(): void {
    lockOrder.active?.released(this);
  }

  unlock(): void {
    assert(this.locked, 'unlock of a locked folio');
    lockOrder.active?.released(this);
    this.locked = false;
    this.#wake();
  }

  /** Waits until nobody has it locked, and does not take the lock. */
  *waitUnlocked(): Io<void> {
    while (this.locked) yield* this.#wait();
  }

  /** Drops a folio that a don't-cache call is done with, unless it is in use. */
  tryDropBehind(): void {
    const { mapping } = this;
    if (!this.dropBehind || mapping === undefined) return;
    if (this.locked || this.pins > 0 || this.reads > 0 || this.writebacks > 0 || this.dirtyCount > 0) return;
    mapping.drop(this);
  }

  startWriteback(): void {
    this.writebacks++;
  }

  endWriteback(): void {
    assert(this.writebacks > 0, 'writeback ends once');
    this.writebacks--;
    if (this.writebacks > 0) return;
    this.#wake();
    if (this.dropBehind) this.tryDropBehind();
  }

  /** Waits until no write of it is in flight. */
  *waitWriteback(): Io<void> {
    while (this.writebacks > 0) yield* this.#wait();
  }

  *#wait(): Io<void> {
    const queue = (this.#waiters ??= new WaitQueue('folio'));
    const { mapping } = this;
    if (mapping !== undefined) mapping.cache.counters.folioLockWaits++;
    this.pins++;
    try {
      yield* submit({ kind: 'wait', queue });
    } finally {
      this.pins--;
      this.mapping?.cache.wakeMemory();
    }
  }

  #wake(): void {
    const waiters = this.#waiters;
    if (waiters !== undefined && waiters.length > 0) waiters.wakeAll();
    this.mapping?.cache.wakeMemory();
  }
}
