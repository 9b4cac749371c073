/**
 * The cached data of one inode: its folios by position, its dirty state, its pending error. Cheap while nothing is cached.
 *
 * - `lookup(pos)`, `nextFolio(pos, end)`, `nextDirty(pos, end)`: plain, no I/O.
 * - `tryAlloc(pos, want)`: a new folio, locked, of the largest size that fits; undefined = no memory without a wait.
 * - `drop(folio)`: takes a folio out. `setError` / `takeError`: the error of writeback, reported once.
 * - `validityCookie`: a filesystem bumps it when it changes what maps a range that a mapping may have been sampled for.
 */
import { assert, isPowerOfTwo, WaitQueue, submit, type FsError, type Io } from '@iomap/io';
import { FolioIndex } from './folio-index.js';
import { Folio } from './folio.js';
import type { PageCache } from './page-cache.js';
import { type Readahead } from './readahead.js';

/** What the owner of a mapping does for the cache. */
export interface AddressSpaceHost {
  /**
   * Writes the dirty folios of the range back (under memory pressure). Takes no inode lock: the task that needs memory may
   * hold it. Reports failures through `setError`.
   */
  writeback(range: { readonly pos: number; readonly len: number }): Io<void>;
}

export interface AddressSpaceOptions {
  /** For messages. */
  readonly name: string;
  /** Bytes: a power of two from 512 to the cache's largest folio. */
  readonly blockSize: number;
  readonly host: AddressSpaceHost;
}

/** A write in flight, for those who wait for it. Positions are bytes of the file, [pos, end). */
export interface InFlight {
  readonly pos: number;
  readonly end: number;
  readonly done: boolean;
}

export class AddressSpace {
  readonly cache: PageCache;
  readonly name: string;
  readonly blockSize: number;
  readonly blockShift: number;
  readonly host: AddressSpaceHost;
  validityCookie = 0;
  /** Bytes of dirty blocks. */
  dirtyBytes = 0;
  readonly #index = new FolioIndex();
  #error: FsError | undefined;
  #readahead: Readahead | undefined;
  #inFlight: Set<InFlight> | undefined;
  #inFlightQueue: WaitQueue | undefined;

  constructor(cache: PageCache, options: AddressSpaceOptions) {
    const { blockSize } = options;
    assert(isPowerOfTwo(blockSize) && blockSize >= 512 && blockSize <= cache.folioMaxBytes, 'a block size the cache can hold');
    this.cache = cache;
    this.name = options.name;
    this.blockSize = blockSize;
    this.blockShift = 31 - Math.clz32(blockSize);
    this.host = options.host;
    this.#error = undefined;
    this.#readahead = undefined;
    this.#inFlight = undefined;
    this.#inFlightQueue = undefined;
  }

  get folioCount(): number {
    return this.#index.folioCount;
  }

  /** The folio that holds byte `pos`. */
  lookup(pos: number): Folio | undefined {
    return this.#index.lookup(pos);
  }

  /** The first folio that overlaps [pos, end); `end` may be Infinity. */
  nextFolio(pos: number, end: number): Folio | undefined {
    return this.#index.next(pos, end);
  }

  /** The first dirty folio that overlaps [pos, end); clean ones are not gone through. */
  nextDirty(pos: number, end: number): Folio | undefined {
    return this.#index.nextDirty(pos, end);
  }

  /** The window of readers that have none of their own. */
  get readahead(): Readahead {
    return (this.#readahead ??= this.cache.newReadahead());
  }

  /**
   * A new folio at `pos` (block-aligned), locked, nothing uptodate: the largest power of two that is aligned there, not
   * above `want` (but at least a block), and overlaps no other. Reclaims clean folios if it must.
   * @returns undefined when there is no memory without a wait, or when a folio is there already
   */
  tryAlloc(pos: number, want: number): Folio | undefined {
    const { blockSize, cache } = this;
    assert(want > 0 && pos % blockSize === 0, 'a folio has a size and begins at a block');
    let size = Math.max(blockSize, 2 ** Math.floor(Math.log2(Math.min(want, cache.folioMaxBytes))));
    while (size > blockSize && pos % size !== 0) size /= 2;
    const other = this.#index.next(pos, pos + size);
    if (other !== undefined) {
      while (size > blockSize && other.pos < pos + size) size /= 2;
      if (other.pos < pos + size) return undefined;
    }
    const unit = cache.allocUnit(size, blockSize);
    if (unit < 0) return undefined;
    size = cache.allocatedSize;
    const folio = new Folio(this, pos, cache.pool.view(unit, size), unit);
    folio.locked = true;
    this.#index.insert(folio);
    cache.addFolio(folio);
    return folio;
  }

  /** Takes a folio out and frees its memory; dirty data in it is lost. It must not be under writeback or pinned by a read. */
  drop(folio: Folio): void {
    assert(folio.mapping === this && folio.writebacks === 0 && folio.reads === 0, 'I3');
    folio.clearDirty(0, folio.size);
    this.#index.remove(folio);
    this.cache.removeFolio(folio);
    folio.mapping = undefined;
  }

  /** Drops every folio at once, dirty or not, without a wait: the inode is gone. Nothing may be in flight. */
  dropAll(): void {
    for (let folio = this.nextFolio(0, Infinity); folio !== undefined; folio = this.nextFolio(folio.end, Infinity)) {
      this.drop(folio);
    }
    this.#readahead = undefined;
  }

  /** Called by the folio alone: its dirty count changed from `before`. */
  accountDirty(folio: Folio, before: number): void {
    const bytes = (folio.dirtyCount - before) * this.blockSize;
    this.dirtyBytes += bytes;
    this.cache.dirtyBytes += bytes;
    if (before === 0) {
      this.#index.countDirty(folio, 1);
      this.cache.moveToDirty(folio);
    } else if (folio.dirtyCount === 0) {
      this.#index.countDirty(folio, -1);
      this.cache.moveToClean(folio);
    }
  }

  /** Keeps the first error of writeback until someone takes it. */
  setError(error: FsError): void {
    this.#error ??= error;
  }

  /** The error of writeback since the last call, once. */
  takeError(): FsError | undefined {
    const error = this.#error;
    this.#error = undefined;
    return error;
  }

  get hasError(): boolean {
    return this.#error !== undefined;
  }

  // Writes in flight -------------------------------------------------------------------------------------------------------

  addInFlight(write: InFlight): void {
    (this.#inFlight ??= new Set()).add(write);
  }

  /** `write.done` is true from now on. */
  endInFlight(write: InFlight): void {
    this.#inFlight?.delete(write);
    this.#inFlightQueue?.wakeAll();
  }

  /** True when a write that overlaps [pos, end) has not ended. */
  isInFlight(pos: number, end: number): boolean {
    for (const write of this.#inFlight ?? []) if (write.pos < end && write.end > pos) return true;
    return false;
  }

  /** Waits for the writes that overlap [pos, end) and are in flight now; later ones are not waited for. */
  *waitInFlight(pos: number, end: number): Io<void> {
    const inFlight = this.#inFlight;
    if (inFlight === undefined || inFlight.size === 0) return;
    const queue = (this.#inFlightQueue ??= new WaitQueue('writeback'));
    for (const write of [...inFlight]) {
      while (write.pos < end && write.end > pos && !write.done) yield* submit({ kind: 'wait', queue });
    }
  }
}
