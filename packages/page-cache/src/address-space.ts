/**
 * The cached data of one inode: its folios by position, its dirty state, its pending error. Cheap while nothing is cached.
 *
 * - `lookup(pos)`, `nextFolio(pos, end)`, `nextDirty(pos, end)`: plain, no I/O.
 * - `tryAlloc(pos, want)`: a new folio, locked, of the largest size that fits; undefined = no memory without a wait.
 * - `drop(folio)`: takes a folio out.
 * - `setError`: an error of writeback. `takeError` tells it once; `sampleError` and `checkErrorSince` once per open file.
 * - `invalidateLock`: exclusive while blocks are taken from the file, shared by faults (rank: between inode and folio).
 * - `validityCookie`: a filesystem bumps it when it changes what maps a range that a mapping may have been sampled for.
 */
import { assert, isPowerOfTwo, RwLock, WaitQueue, submit, type FsError, type Io } from '@iomap/io';
import { AtomicRanges } from './atomic-ranges.js';
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
  /** The same without waiting for the writes to end: a writer made much dirty, but not too much yet. Absent: nothing happens then. */
  startWriteback?(range: { readonly pos: number; readonly len: number }): Io<void>;
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
  /** Memory mappings of the file: faults may come at any time, without the inode lock. Changed under the inode lock alone. */
  mapCount = 0;
  /** What is being written must not change meanwhile (checksums, atomic writes): writers wait for writeback. Once set it stays. */
  stableWrites = false;
  /** Dirty atomic writes; undefined while there was none. */
  atomic: AtomicRanges | undefined = undefined;
  /** When it became dirty, by `cache.nowMs`; -1 = it is clean, or nobody tells the time. */
  dirtiedAtMs = -1;
  readonly #index = new FolioIndex();
  #error: FsError | undefined;
  #readahead: Readahead | undefined;
  #inFlight: Set<InFlight> | undefined;
  #inFlightQueue: WaitQueue | undefined;
  #invalidateLock: RwLock | undefined;
  /** Errors so far, the last of them, and whether any open file was told of it. */
  #errorSeq = 0;
  #lastError: FsError | undefined;
  #lastSeen = true;

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
    this.#invalidateLock = undefined;
    this.#lastError = undefined;
  }

  /** See the head; made when it is first needed. */
  get invalidateLock(): RwLock {
    return (this.#invalidateLock ??= new RwLock({ toString: () => `pages of ${this.name}` }, 'invalidate'));
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
    folio.tryLock(true);
    this.#index.insert(folio);
    cache.addFolio(folio);
    return folio;
  }

  /** Takes a folio out and frees its memory; dirty data in it is lost. It must not be under writeback or pinned by a read. */
  drop(folio: Folio): void {
    assert(folio.mapping === this && folio.writebacks === 0 && folio.reads === 0, 'I3');
    folio.clearDirty(0, folio.size);
    this.atomic?.remove(folio.pos, folio.end);
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
    if (this.dirtyBytes === 0) this.dirtiedAtMs = this.cache.nowMs;
    this.dirtyBytes += bytes;
    if (this.dirtyBytes === 0) this.dirtiedAtMs = -1;
    this.cache.dirtyBytes += bytes;
    if (before === 0) {
      this.#index.countDirty(folio, 1);
      this.cache.moveToDirty(folio);
    } else if (folio.dirtyCount === 0) {
      this.#index.countDirty(folio, -1);
      this.cache.moveToClean(folio);
    }
  }

  /** An error of writeback: kept for `takeError` (the first) and for each open file (the last). */
  setError(error: FsError): void {
    this.#error ??= error;
    this.#errorSeq++;
    this.#lastError = error;
    this.#lastSeen = false;
  }

  /** The error of writeback since the last call, once. */
  takeError(): FsError | undefined {
    const error = this.#error;
    this.#error = undefined;
    return error;
  }

  /** Where a file that is opened now starts: errors that no one was told of yet are its, too. */
  sampleError(): number {
    return this.#lastSeen ? this.#errorSeq : this.#errorSeq - 1;
  }

  /** How many errors of writeback there were. */
  get errorSeq(): number {
    return this.#errorSeq;
  }

  /** The last error if there was any after `errorSeq` was as given; tells nobody. */
  peekErrorSince(errorSeq: number): FsError | undefined {
    return errorSeq === this.#errorSeq ? undefined : this.#lastError;
  }

  /** The last error of writeback since this open file asked before; each file is told once. Keeps the file's place. */
  checkErrorSince(file: { errorSeq: number }): FsError | undefined {
    if (file.errorSeq === this.#errorSeq) return undefined;
    file.errorSeq = this.#errorSeq;
    this.#lastSeen = true;
    return this.#lastError;
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

  /** Registers an atomic write of [pos, pos + len), all of it dirty in one folio: writeback sends it whole. */
  addAtomic(pos: number, len: number): void {
    (this.atomic ??= new AtomicRanges()).add(pos, len);
    this.stableWrites = true;
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
