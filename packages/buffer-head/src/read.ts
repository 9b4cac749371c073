/**
 * Buffered reads in the old way (`filemap_read`): a page at a time, copied to the caller; what is missing is read ahead.
 *
 * - `peekFileRead(inode, pos, bytes)`: cached pages alone; -1 = would wait.
 * - `fileRead(inode, ops, pos, bytes)`: the Io twin. A hole is read into pages of zeroes.
 *
 * Locks: inode, shared.
 */
import { FsError, roundDown, roundUp, type Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import { BH_UPTODATE, buffersOf, PAGE_BYTES } from './buffer-head.js';
import type { BufferInode, BufferOps } from './get-block.js';
import { PageReader } from './read-folio.js';

/** Every block that [from, to) of the page touches is uptodate, though the page may not be (`block_is_partially_uptodate`). */
function isUptodate(folio: Folio, from: number, to: number): boolean {
  if (folio.uptodate) return true;
  const head = buffersOf(folio);
  if (head === undefined) return false;
  let bh = head;
  do {
    if (bh.offset < to && bh.offset + bh.size > from && !bh.has(BH_UPTODATE)) return false;
    bh = bh.next;
  } while (bh !== head);
  return true;
}

/** Copies cached bytes from `pos`, as far as they are there; the answer is how many. */
function copyCached(mapping: AddressSpace, pos: number, bytes: Uint8Array, at: number, want: number): number {
  let done = 0;
  while (done < want) {
    const folio = mapping.lookup(pos + done);
    if (folio === undefined || folio.readaheadMark) break;
    const from = pos + done - folio.pos;
    const n = Math.min(want - done, folio.size - from);
    if (!isUptodate(folio, from, from + n)) break;
    bytes.set(n === folio.size ? folio.data : folio.data.subarray(from, from + n), at + done);
    if (folio.touched < 2) folio.touched++;
    mapping.cache.counters.foliosTouched++;
    done += n;
  }
  return done;
}

/**
 * Copies cached bytes from `pos`; clips at the size. All or nothing.
 * @returns bytes copied (0 at or past the end); -1 when some are not cached
 */
export function peekFileRead<I extends BufferInode>(inode: I, pos: number, bytes: Uint8Array): number {
  const want = Math.min(bytes.length, inode.size - pos);
  if (want <= 0) return 0;
  const mapping = inode.mappingIfAny;
  if (mapping === undefined || copyCached(mapping, pos, bytes, 0, want) < want) return -1;
  mapping.cache.counters.readBytes += want;
  return want;
}

/**
 * Fills `bytes` from `pos`; clips at the size. A failure after some bytes gives their count.
 * @returns bytes read, 0 at or past the end
 * Waits on: page locks, reads of data and of block maps, writeback when memory is short.
 * @throws FsError EIO, EUCLEAN, ENOMEM
 */
export function* fileRead<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number, bytes: Uint8Array): Io<number> {
  const { mapping } = inode;
  const { cache, readahead } = mapping;
  const want = Math.min(bytes.length, inode.size - pos);
  let done = 0;
  let failed: { readonly at: number; readonly error: FsError } | undefined;
  try {
    while (done < want) {
      done += copyCached(mapping, pos + done, bytes, done, want - done);
      if (done === want) break;
      const at = pos + done;
      if (failed !== undefined && failed.at === at) throw failed.error;
      const error = yield* fillAt(inode, ops, at, want - done);
      failed = error === undefined ? undefined : { at, error };
    }
  } catch (error) {
    if (done === 0 || !(error instanceof FsError)) throw error;
  }
  const read = Math.max(0, done);
  readahead.onHit(pos + read);
  cache.counters.readBytes += read;
  cache.trace?.({ type: 'read', ino: inode.ino, pos, len: bytes.length, done: read });
  return read;
}

/** Gets the page of `at` nearer to being read; the answer is why its read failed, if it did. */
function* fillAt<I extends BufferInode>(inode: I, ops: BufferOps<I>, at: number, want: number): Io<FsError | undefined> {
  const { mapping } = inode;
  const { cache, readahead } = mapping;
  const folio = mapping.lookup(at);
  if (folio === undefined) {
    const some = Math.min(want, Math.max(PAGE_BYTES, Math.floor(cache.budgetBytes / 4)));
    const ahead = readahead.onMiss(at, some);
    return yield* readPages(inode, ops, at, { demandEnd: at + some, end: at + some + ahead });
  }
  if (folio.readaheadMark) {
    folio.readaheadMark = false;
    const start = roundUp(readahead.end, PAGE_BYTES);
    const end = Math.min(start + readahead.onMark(), inode.size);
    if (start >= end) return undefined;
    cache.counters.readaheadBytes += end - start;
    readahead.advance(roundUp(end, PAGE_BYTES));
    yield* readPages(inode, ops, start, { demandEnd: start, end });
    return undefined;
  }
  if (folio.locked) {
    yield* folio.waitUnlocked();
    return undefined;
  }
  return yield* readFolio(inode, ops, folio);
}

/**
 * Has one page read that is there and not uptodate (`filemap_read_folio`), and waits.
 * @returns why it could not be read
 */
export function* readFolio<I extends BufferInode>(inode: I, ops: BufferOps<I>, folio: Folio): Io<FsError | undefined> {
  if (!folio.tryLock()) yield* folio.lock();
  if (folio.mapping === undefined || folio.uptodate) {
    folio.unlock();
    return undefined;
  }
  const { pos } = folio;
  const reader = new PageReader(inode, ops);
  folio.handOff();
  try {
    yield* reader.read(folio);
    yield* reader.flush();
  } finally {
    reader.abort();
  }
  yield* folio.waitUnlocked();
  return reader.errorAt(pos);
}

/** Reads the pages of [pos, end) that are not there (`page_cache_ra_unbounded`); waits for that of `pos`, if it is asked for. */
function* readPages<I extends BufferInode>(
  inode: I, ops: BufferOps<I>, pos: number, range: { readonly demandEnd: number; readonly end: number },
): Io<FsError | undefined> {
  const { mapping } = inode;
  const start = roundDown(pos, PAGE_BYTES);
  const end = roundUp(Math.min(range.end, inode.size), PAGE_BYTES);
  const reader = new PageReader(inode, ops);
  let first: Folio | undefined;
  let mark = range.end > range.demandEnd;
  let isFull = false;
  try {
    for (let at = start; at < end; at += PAGE_BYTES) {
      if (mapping.lookup(at) !== undefined) continue;
      const folio = mapping.tryAlloc(at, PAGE_BYTES);
      if (folio === undefined) {
        isFull = at === start;
        break;
      }
      folio.handOff();
      if (at === start) {
        // It may be read long before those ahead of it: the memory for them must not be its own, or the reader never comes further.
        folio.pins++;
        first = folio;
      }
      if (mark && at >= range.demandEnd) {
        folio.readaheadMark = true;
        mark = false;
      }
      yield* reader.read(folio, end - at);
    }
    yield* reader.flush();
    if (first !== undefined && range.demandEnd > start) yield* first.waitUnlocked();
  } finally {
    reader.abort();
    if (first !== undefined) {
      first.pins--;
      mapping.cache.wakeMemory();
    }
  }
  if (isFull) yield* mapping.cache.makeRoom(PAGE_BYTES);
  return first !== undefined && range.demandEnd > start ? reader.errorAt(start) : undefined;
}
