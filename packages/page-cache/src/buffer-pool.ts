/**
 * The memory of folios: a buddy allocator over slabs that are made once and never given back, so that streaming through a
 * full cache allocates nothing and the budget is a hard bound.
 *
 * - `alloc(size)` answers a unit number or -1; `view(unit, size)` is its memory; `free(unit, size)` returns it.
 * - Sizes are powers of two from 512 bytes to `slabBytes`; memory is not cleared.
 * - I1: slabs × slabBytes never exceeds the budget. I2: a free block is in exactly one list, that of its order.
 *   I3: a free block's buddy of the same order is not free (they are merged).
 * - Free lists are last-in first-out, so that memory just used, still in the processor's caches, is used next.
 */
import { assert, isPowerOfTwo } from '@iomap/io';

const UNIT_BYTES = 512;
const SLAB_BYTES_MAX = 2 * 1024 * 1024;

const log2 = (n: number): number => 31 - Math.clz32(n);

export class BufferPool {
  readonly budgetBytes: number;
  /** The largest buffer there is. */
  readonly slabBytes: number;
  usedBytes = 0;
  readonly #slabs: ArrayBuffer[] = [];
  readonly #slabsMax: number;
  readonly #unitsPerSlab: number;
  readonly #orderMax: number;
  /** Per order, the first free unit; -1 = none. */
  readonly #heads: Int32Array;
  /** Per unit: links of the free list, and order + 1 where a free block starts (else 0). */
  #next = new Int32Array(0);
  #prev = new Int32Array(0);
  #freeOrder = new Uint8Array(0);

  constructor(budgetBytes: number) {
    assert(Number.isSafeInteger(budgetBytes) && budgetBytes >= 4 * UNIT_BYTES, 'a budget of at least 2048 bytes');
    this.budgetBytes = budgetBytes;
    this.slabBytes = Math.min(SLAB_BYTES_MAX, 2 ** Math.floor(Math.log2(budgetBytes / 4)));
    this.#slabsMax = Math.floor(budgetBytes / this.slabBytes);
    this.#unitsPerSlab = this.slabBytes / UNIT_BYTES;
    this.#orderMax = log2(this.#unitsPerSlab);
    this.#heads = new Int32Array(this.#orderMax + 1).fill(-1);
  }

  /** Memory held from the host, used or free. */
  get heldBytes(): number {
    return this.#slabs.length * this.slabBytes;
  }

  /** A block of `size` bytes (a power of two); -1 when no free block is large enough. */
  alloc(size: number): number {
    if (size > this.slabBytes) return -1;
    const order = log2(size / UNIT_BYTES);
    let from = order;
    while (from <= this.#orderMax && (this.#heads[from] ?? -1) < 0) from++;
    let unit: number;
    if (from <= this.#orderMax) {
      unit = this.#heads[from] ?? -1;
      this.#unlink(unit, from);
    } else {
      if (this.#slabs.length >= this.#slabsMax) return -1;
      unit = this.#addSlab();
      from = this.#orderMax;
    }
    // The upper halves go back to the lists.
    while (from > order) {
      from--;
      this.#link(unit + 2 ** from, from);
    }
    this.usedBytes += size;
    return unit;
  }

  free(unit: number, size: number): void {
    assert(isPowerOfTwo(size) && (this.#freeOrder[unit] ?? 1) === 0, 'I2');
    let order = log2(size / UNIT_BYTES);
    let start = unit;
    while (order < this.#orderMax) {
      const span = 2 ** order;
      // Buddies never cross a slab: units of a slab start at a multiple of the largest order.
      const buddy = start % (2 * span) === 0 ? start + span : start - span;
      if (this.#freeOrder[buddy] !== order + 1) break;
      this.#unlink(buddy, order);
      start = Math.min(start, buddy);
      order++;
    }
    this.#link(start, order);
    this.usedBytes -= size;
  }

  view(unit: number, size: number): Uint8Array {
    const slab = this.#slabs[Math.floor(unit / this.#unitsPerSlab)];
    assert(slab !== undefined, 'a unit of this pool');
    return new Uint8Array(slab, (unit % this.#unitsPerSlab) * UNIT_BYTES, size);
  }

  #addSlab(): number {
    const units = this.#unitsPerSlab;
    const first = this.#slabs.length * units;
    this.#slabs.push(new ArrayBuffer(this.slabBytes));
    if (first + units > this.#next.length) {
      const length = Math.min(this.#slabsMax, Math.max(4, this.#slabs.length * 2)) * units;
      const grow = <A extends Int32Array | Uint8Array>(old: A, made: A): A => (made.set(old), made);
      this.#next = grow(this.#next, new Int32Array(length));
      this.#prev = grow(this.#prev, new Int32Array(length));
      this.#freeOrder = grow(this.#freeOrder, new Uint8Array(length));
    }
    return first;
  }

  #link(unit: number, order: number): void {
    const head = this.#heads[order] ?? -1;
    this.#next[unit] = head;
    this.#prev[unit] = -1;
    if (head >= 0) this.#prev[head] = unit;
    this.#heads[order] = unit;
    this.#freeOrder[unit] = order + 1;
  }

  #unlink(unit: number, order: number): void {
    const next = this.#next[unit] ?? -1;
    const prev = this.#prev[unit] ?? -1;
    if (prev >= 0) this.#next[prev] = next;
    else this.#heads[order] = next;
    if (next >= 0) this.#prev[next] = prev;
    this.#freeOrder[unit] = 0;
  }
}
