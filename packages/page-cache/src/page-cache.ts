/**
 * The page cache of one mount: the memory budget, the order of recency, and what happens when the budget is full.
 *
 * An allocation first takes free memory, then drops clean folios that were not used lately, then (only where the caller can
 * wait: `makeRoom`) has a host write dirty folios back, then waits for someone to unlock or finish one.
 *
 * - `counters`: what happened. `trace`: a listener, or undefined (then events are not even made).
 * - `makeRoom()`: Io; call it with no folio locked, then look up and allocate again.
 * - `balanceDirty()`: Io; keeps dirty data under half of the budget.
 *
 * I1: memory held never exceeds `budgetBytes` (buffer-pool.ts I1). I2: a folio is on exactly one of two lists, clean or
 * dirty. I3: reclaim never waits and never drops a folio that is dirty, locked, pinned or under writeback.
 */
import { assert, FsError, isPowerOfTwo, submit, WaitQueue, type Io } from '@iomap/io';
import { BufferPool } from './buffer-pool.js';
import { IomapCounters, type IomapEvent } from './counters.js';
import type { AddressSpace } from './address-space.js';
import type { Folio } from './folio.js';
import { FolioList } from './folio-list.js';
import { Readahead } from './readahead.js';

export interface PageCacheOptions {
  /** Bytes of memory for file data, folios and free buffers together. At least 4 blocks; a few MiB to be of use. */
  readonly budgetBytes: number;
  /** Largest folio: a power of two, at most 2 MiB (the default), and at most a quarter of the budget. */
  readonly folioMaxBytes?: number;
  /** Largest readahead window, in bytes; default 1 MiB, at most a sixteenth of the budget. 0 = no readahead. */
  readonly readaheadMaxBytes?: number;
  /**
   * Uncached reads of at least this many bytes go from a synchronous device straight into the caller's buffer; default
   * 256 KiB, Infinity = never. See iomap-core's bypass.ts.
   */
  readonly bypassReadBytes?: number;
  /** The same for block-aligned writes; default 512 KiB, Infinity = never. */
  readonly bypassWriteBytes?: number;
  readonly trace?: (event: IomapEvent) => void;
}

/** Writeback calls that clean nothing, in a row, before an allocation gives up. */
const STUCK_MAX = 1000;

export class PageCache {
  readonly counters = new IomapCounters();
  readonly pool: BufferPool;
  readonly folioMaxBytes: number;
  readonly readaheadMaxBytes: number;
  readonly bypassReadBytes: number;
  readonly bypassWriteBytes: number;
  /** Dirty data beyond this has writers write back and wait. */
  readonly dirtyLimitBytes: number;
  /** Dirty data beyond this has writers send it without a wait, where the device takes time. */
  readonly dirtyBackgroundBytes: number;
  /** What one file may have dirty, while others write too, before its writers wait. */
  readonly dirtyShareBytes: number;
  trace: ((event: IomapEvent) => void) | undefined;
  dirtyBytes = 0;
  /** What time it is, told by whoever writes back by age (`writebackOlder`); -1 = nobody tells. */
  nowMs = -1;
  /** Out-parameter of `allocUnit`: the size that it could get. */
  allocatedSize = 0;
  readonly #clean = new FolioList();
  readonly #dirty = new FolioList();
  readonly #memory = new WaitQueue('page cache memory');
  #stuck = 0;

  constructor(options: PageCacheOptions) {
    this.pool = new BufferPool(options.budgetBytes);
    const folioMax = options.folioMaxBytes ?? this.pool.slabBytes;
    assert(isPowerOfTwo(folioMax) && folioMax >= 512 && folioMax <= 2 * 1024 * 1024, 'folioMaxBytes: 512 to 2 MiB');
    this.folioMaxBytes = Math.min(folioMax, this.pool.slabBytes);
    this.readaheadMaxBytes = Math.min(options.readaheadMaxBytes ?? 1024 * 1024, Math.floor(options.budgetBytes / 16));
    this.bypassReadBytes = options.bypassReadBytes ?? 256 * 1024;
    this.bypassWriteBytes = options.bypassWriteBytes ?? 512 * 1024;
    this.dirtyLimitBytes = Math.floor(options.budgetBytes / 2);
    this.dirtyBackgroundBytes = Math.floor(options.budgetBytes / 4);
    this.dirtyShareBytes = Math.floor(options.budgetBytes / 4);
    this.trace = options.trace;
  }

  get budgetBytes(): number {
    return this.pool.budgetBytes;
  }

  /** Bytes of folios. */
  get usedBytes(): number {
    return this.pool.usedBytes;
  }

  get folioCount(): number {
    return this.#clean.count + this.#dirty.count;
  }

  get dirtyFolioCount(): number {
    return this.#dirty.count;
  }

  /** A readahead window for one open file. */
  newReadahead(): Readahead {
    return new Readahead(this.readaheadMaxBytes);
  }

  // Allocation --------------------------------------------------------------------------------------------------------------

  /**
   * Memory for a folio of `size` bytes, or of a smaller power of two down to `sizeMin` (see `allocatedSize`), after
   * reclaiming clean folios if needed; -1 when there is none.
   */
  allocUnit(size: number, sizeMin: number): number {
    let unit = this.pool.alloc(size);
    if (unit < 0) {
      this.reclaim(size);
      unit = this.pool.alloc(size);
    }
    // Enough was freed but in pieces: take what there is rather than empty the cache for one large folio.
    while (unit < 0 && size > sizeMin) {
      size /= 2;
      unit = this.pool.alloc(size);
    }
    while (unit < 0 && this.reclaim(size) > 0) unit = this.pool.alloc(size);
    if (unit >= 0) {
      this.allocatedSize = size;
      this.counters.folioAllocs++;
      this.counters.folioAllocBytes += size;
    }
    return unit;
  }

  /** Drops clean folios, least recently used first, until `bytes` are free; the answer is how many were freed. */
  reclaim(bytes: number): number {
    let freed = 0;
    // Two rounds at most: the first may only take marks of recency away.
    for (let left = 2 * this.#clean.count; left > 0 && freed < bytes; left--) {
      const folio = this.#clean.first;
      if (folio === undefined) break;
      if (folio.locked || folio.pins > 0 || folio.writebacks > 0) {
        this.#clean.moveToEnd(folio);
      } else if (folio.touched > 1) {
        folio.touched = 0;
        this.#clean.moveToEnd(folio);
      } else {
        freed += folio.size;
        this.counters.folioReclaims++;
        folio.mapping?.drop(folio);
      }
    }
    if (freed > 0) {
      this.counters.folioReclaimBytes += freed;
      this.trace?.({ type: 'reclaim', bytes: freed });
    }
    return freed;
  }

  /**
   * Makes memory free by a wait: has the oldest dirty folio's host write back, or waits for a folio in use. Returns at once
   * when `size` bytes can be had meanwhile (a wake-up for them is past: waiting for it would be for ever). The caller holds no folio lock, and looks everything up again afterwards.
   * Waits on: writeback of one host, or one wake-up.
   * @throws FsError ENOMEM when writeback cleans nothing; EAGAIN under `runSync` when other tasks hold all memory
   */
  *makeRoom(size: number): Io<void> {
    const unit = this.allocUnit(size, size);
    if (unit >= 0) {
      this.pool.free(unit, size);
      return;
    }
    if (this.#dirty.first !== undefined) {
      yield* this.#writeOldest();
      return;
    }
    this.counters.memoryWaits++;
    yield* submit({ kind: 'wait', queue: this.#memory });
  }

  /** Must a writer of `mapping` call `throttle` first? All is over the limit, or this file over its share while others write too. */
  mustThrottle(mapping: AddressSpace): boolean {
    const { dirtyBytes, dirtyBackgroundBytes } = this;
    if (dirtyBytes <= dirtyBackgroundBytes) return false;
    if (dirtyBytes > this.dirtyLimitBytes) return true;
    const own = mapping.dirtyBytes;
    if (own > this.dirtyShareBytes && dirtyBytes - own > this.dirtyShareBytes / 4) return true;
    return mapping.host.startWriteback !== undefined && own > this.dirtyShareBytes / 2;
  }

  /**
   * Slows a writer of `mapping` down to the device's pace: its own data goes out where that is too much, else the oldest there is;
   * between the background threshold and the limit it is only sent, where the host can. The caller holds no folio lock.
   */
  *throttle(mapping: AddressSpace): Io<void> {
    if (this.dirtyBytes <= this.dirtyLimitBytes && mapping.host.startWriteback !== undefined) {
      if (!mapping.isInFlight(0, Infinity)) yield* mapping.host.startWriteback({ pos: 0, len: Infinity });
      return;
    }
    this.counters.throttles++;
    this.trace?.({ type: 'throttle', name: mapping.name, dirtyBytes: this.dirtyBytes });
    if (this.dirtyBytes <= this.dirtyLimitBytes) yield* mapping.host.writeback({ pos: 0, len: Infinity });
    else yield* this.balanceDirty();
  }

  /** Has hosts write back until dirty data is under the limit. The caller holds no folio lock. */
  *balanceDirty(): Io<void> {
    while (this.dirtyBytes > this.dirtyLimitBytes && this.#dirty.first !== undefined) yield* this.#writeOldest();
  }

  /** Mappings with dirty data that became dirty at or before `ms` by `nowMs`, in the order of their oldest folios. */
  dirtySince(ms: number): AddressSpace[] {
    const found = new Set<AddressSpace>();
    for (let folio = this.#dirty.first; folio !== undefined; folio = folio.lruNext) {
      const { mapping } = folio;
      if (mapping !== undefined && mapping.dirtiedAtMs <= ms) found.add(mapping);
    }
    return [...found];
  }

  *#writeOldest(): Io<void> {
    const folio = this.#dirty.first;
    const mapping = folio?.mapping;
    if (folio === undefined || mapping === undefined) return;
    const before = this.dirtyBytes;
    // A large piece of the file at once: neighbours go out in the same bios.
    const len = Math.max(this.folioMaxBytes, Math.floor(this.budgetBytes / 8));
    const range = { pos: folio.pos, len };
    this.counters.pressureWritebacks++;
    this.trace?.({ type: 'pressure', name: mapping.name, ...range });
    // Others that look for memory meanwhile begin with another folio.
    this.#dirty.moveToEnd(folio);
    yield* mapping.host.writeback(range);
    if (this.dirtyBytes < before) this.#stuck = 0;
    else if (++this.#stuck > STUCK_MAX) {
      this.#stuck = 0;
      throw new FsError('ENOMEM', { why: 'writeback frees no memory of the page cache' });
    }
  }

  // Kept by folios and address spaces alone -----------------------------------------------------------------------------------

  addFolio(folio: Folio): void {
    this.#clean.append(folio);
  }

  removeFolio(folio: Folio): void {
    this.#clean.remove(folio);
    this.pool.free(folio.unit, folio.size);
    this.wakeMemory();
  }

  moveToDirty(folio: Folio): void {
    this.#clean.remove(folio);
    this.#dirty.append(folio);
  }

  moveToClean(folio: Folio): void {
    this.#dirty.remove(folio);
    this.#clean.append(folio);
  }

  /** A folio was freed, unlocked or written: those who wait for memory look again. */
  wakeMemory(): void {
    if (this.#memory.length > 0) this.#memory.wakeAll();
  }
}
