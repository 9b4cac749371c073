/**
 * A file mapped into memory, as far as a language without page tables has it: every access says where, and faults in what it needs.
 *
 * - `read(pos, bytes)` / `write(pos, bytes)`: Io; `peekRead` / `peekWrite`: their plain twins, -1 = it would fault.
 * - `range(pos, len, forWrite)`: the cached bytes themselves, for as long as nothing waits.
 * - `msync(pos, len)`, `close()`.
 *
 * As in a kernel: a store goes to the page cache and never changes the size; what is stored past the end of the file, in its last
 * block, is never written; a store to a block that writeback has cleaned faults again; accesses take no inode lock and race with
 * reads, writes and truncates, each of which finds every single store whole or not at all.
 */
import { FsError, type Io } from '@iomap/io';
import { checkInside, pageMkwrite, type Store } from './fault.js';
import { exclusive, shared } from './invalidate.js';
import type { IomapInode, IomapOps } from './iomap.js';
import { bufferedRead } from './read.js';

export interface MappedFileOptions {
  /** PROT_WRITE with MAP_SHARED; default true. */
  readonly writable?: boolean;
}

export class MappedFile<I extends IomapInode> {
  readonly inode: I;
  readonly writable: boolean;
  /** Which errors of writeback `msync` has told. */
  errorSeq: number;
  readonly #ops: IomapOps<I>;
  #open = true;

  /** Locks: inode, shared at least: no write is under way that counts on there being no faults. */
  constructor(inode: I, ops: IomapOps<I>, options: MappedFileOptions = {}) {
    this.inode = inode;
    this.writable = options.writable ?? true;
    this.errorSeq = inode.mapping.sampleError();
    this.#ops = ops;
    inode.mapping.mapCount++;
  }

  /** munmap: stores stay in the page cache. A second call does nothing. */
  close(): void {
    if (this.#open) this.inode.mapping.mapCount--;
    this.#open = false;
  }

  // Loads ----------------------------------------------------------------------------------------------------------------

  /** Copies cached bytes; all or nothing. @returns `bytes.length`, or -1: some are not cached (or past the end) */
  peekRead(pos: number, bytes: Uint8Array): number {
    const { mapping, size } = this.inode;
    if (!this.#open || pos < 0 || pos + bytes.length > size) return -1;
    for (let done = 0; done < bytes.length; ) {
      const folio = mapping.lookup(pos + done);
      if (folio === undefined) return -1;
      const from = pos + done - folio.pos;
      const n = Math.min(bytes.length - done, folio.size - from);
      if (!folio.isUptodate(from, from + n)) return -1;
      bytes.set(folio.data.subarray(from, from + n), done);
      if (folio.touched < 2) folio.touched++;
      done += n;
    }
    return bytes.length;
  }

  /**
   * Loads from the mapping.
   * Locks: takes the invalidate lock, shared. Waits on: that, and as `bufferedRead`.
   * @returns `bytes.length`
   * @throws FsError EFAULT past the block that holds the end of the file (SIGBUS); EIO; EBADF after `close`
   */
  *read(pos: number, bytes: Uint8Array): Io<number> {
    this.#check();
    if (bytes.length === 0 || this.peekRead(pos, bytes) >= 0) return bytes.length;
    const { inode } = this;
    const { invalidateLock, cache } = inode.mapping;
    const unlock = yield* shared(invalidateLock); // guard: fault-excludes-punch (pitfall 17) | without: const unlock = () => undefined;
    try {
      checkInside(inode, pos, bytes.length);
      cache.counters.readFaults++;
      cache.trace?.({ type: 'read-fault', ino: inode.ino, pos, len: bytes.length });
      for (let done = 0; done < bytes.length; ) {
        const at = pos + done;
        const n = at < inode.size ? yield* bufferedRead(inode, this.#ops, at, bytes.subarray(done)) : this.#readTail(at, bytes.subarray(done));
        if (n <= 0) throw new FsError('EIO', { why: 'a fault brought nothing', detail: { ino: inode.ino, pos: at } });
        done += n;
      }
    } finally {
      unlock();
    }
    return bytes.length;
  }

  /** The rest of the last block: what was stored there through a mapping, else zeroes. */
  #readTail(pos: number, bytes: Uint8Array): number {
    const folio = this.inode.mapping.lookup(pos);
    const from = folio === undefined ? 0 : pos - folio.pos;
    if (folio?.isUptodate(from, from + bytes.length) === true) bytes.set(folio.data.subarray(from, from + bytes.length));
    else bytes.fill(0);
    return bytes.length;
  }

  // Stores ---------------------------------------------------------------------------------------------------------------

  /** Stores into blocks that are dirty already, in one folio. @returns `bytes.length`, or -1: it would fault */
  peekWrite(pos: number, bytes: Uint8Array): number {
    const { mapping, size } = this.inode;
    if (!this.#open || !this.writable || pos < 0 || pos + bytes.length > size) return -1;
    const folio = mapping.lookup(pos);
    if (folio === undefined || folio.locked || (mapping.stableWrites && folio.writebacks > 0)) return -1;
    const from = pos - folio.pos;
    if (from + bytes.length > folio.size || !folio.isDirty(from, from + bytes.length)) return -1;
    folio.data.set(bytes, from);
    return bytes.length;
  }

  /**
   * Stores into the mapping: whole in each folio, or not.
   * Locks: takes the invalidate lock. Waits on: that, and as `pageMkwrite`.
   * @returns `bytes.length`
   * @throws FsError EFAULT past the block that holds the end of the file; EACCES of a read-only mapping; ENOSPC, EIO; EBADF
   */
  *write(pos: number, bytes: Uint8Array): Io<number> {
    this.#check();
    if (!this.writable) throw new FsError('EACCES', { why: 'the mapping is read-only' });
    if (bytes.length === 0 || this.peekWrite(pos, bytes) >= 0) return bytes.length;
    yield* this.#fault(pos, bytes.length, (folio, from, to) => {
      const at = folio.pos + from - pos;
      folio.data.set(bytes.subarray(at, at + to - from), from);
    });
    return bytes.length;
  }

  /**
   * The cached bytes from `pos`, up to `len` of them and at most to the end of their folio, faulted in (and dirty, `forWrite`).
   * They are the file's until the next wait of the caller: after it, ask again.
   */
  *range(pos: number, len: number, forWrite = false): Io<Uint8Array> {
    this.#check();
    if (forWrite && !this.writable) throw new FsError('EACCES', { why: 'the mapping is read-only' });
    const { mapping } = this.inode;
    for (;;) {
      const folio = mapping.lookup(pos);
      const from = folio === undefined ? 0 : pos - folio.pos;
      const n = folio === undefined ? 0 : Math.min(len, folio.size - from);
      if (folio !== undefined && !folio.locked) {
        const isThere = forWrite ? folio.isDirty(from, from + n) : folio.isUptodate(from, from + n);
        const isStable = !forWrite || !mapping.stableWrites || folio.writebacks === 0;
        if (isThere && isStable) return folio.data.subarray(from, from + n);
      }
      // Not past the first folio: the rest would be dirty for nothing.
      const first = Math.min(len, mapping.blockSize - (pos % mapping.blockSize));
      if (forWrite) yield* this.#fault(pos, Math.max(n, first));
      else yield* this.#faultIn(pos);
    }
  }

  /** Brings the block of `pos` into a folio, also where nothing is stored. */
  *#faultIn(pos: number): Io<void> {
    const { inode } = this;
    const { mapping } = inode;
    yield* this.read(pos, new Uint8Array(1));
    if (mapping.lookup(pos) !== undefined) return;
    // A hole is read without a folio; with one, its blocks are filled with zeroes.
    const made = mapping.tryAlloc(pos - (pos % mapping.blockSize), mapping.blockSize);
    if (made === undefined) yield* mapping.cache.makeRoom(mapping.blockSize);
    else made.unlock();
  }

  *#fault(pos: number, len: number, store?: Store): Io<void> {
    const { inode } = this;
    const ops = this.#ops;
    const { invalidateLock } = inode.mapping;
    const lock = ops.newIsUnwritten === true ? shared : exclusive;
    const unlock = yield* lock(invalidateLock); // guard: store-excludes-punch (pitfall 17) | without: const unlock = () => undefined;
    try {
      yield* pageMkwrite(inode, ops, pos, len, store);
    } finally {
      unlock();
    }
  }

  // The rest -------------------------------------------------------------------------------------------------------------

  /**
   * msync(MS_SYNC) of data: writes the range back and waits. Metadata and the flush of the device are the caller's (fsync).
   * @throws FsError the last error of writeback since this mapping asked before
   */
  *msync(pos: number, len: number): Io<void> {
    this.#check();
    const { mapping } = this.inode;
    yield* mapping.host.writeback({ pos, len });
    yield* mapping.waitInFlight(pos, pos + len);
    const error = mapping.checkErrorSince(this);
    if (error !== undefined) throw error;
  }

  #check(): void {
    if (!this.#open) throw new FsError('EBADF', { why: 'the mapping is closed' });
  }
}
