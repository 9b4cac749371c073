/**
 * The invalidate lock of a file's mapping (rank: between inode and folio), and what takes folios out so that the device's content
 * counts again.
 *
 * Exclusive: whoever takes blocks from the file (truncate, punch, collapse), from setting the size or dropping the folios until the
 * blocks are freed and the map says so; and writers, where faults must not see their new blocks (see write.ts).
 * Shared: faults. Reads hold the inode lock instead, which those who take blocks hold, too.
 */
import { FsError, roundDown, type Io, type RwLock } from '@iomap/io';
import type { Folio } from '@iomap/page-cache';
import type { IomapInode } from './iomap.js';

/** Takes the lock shared; the answer lets go of it. */
export function* shared(lock: RwLock): Io<() => void> {
  if (!lock.tryRead()) yield* lock.read();
  return () => {
    lock.unlockRead();
  };
}

/** Takes the lock exclusively; the answer lets go of it. */
export function* exclusive(lock: RwLock): Io<() => void> {
  if (!lock.tryWrite()) yield* lock.write();
  return () => {
    lock.unlockWrite();
  };
}

/**
 * Runs `work` while nobody can fault: a truncate or punch, from the dropping of folios until the map says that the blocks are gone.
 * Locks: inode, exclusive, so that nobody maps the file meanwhile.
 */
export function* withoutFaults<T>(inode: IomapInode, work: Io<T>): Io<T> {
  const mapping = inode.mappingIfAny;
  if (mapping === undefined || mapping.mapCount === 0) return yield* work;
  const unlock = yield* exclusive(mapping.invalidateLock);
  try {
    return yield* work;
  } finally {
    unlock();
  }
}

/**
 * Drops what is cached of [pos, end), waiting for who uses it: the device's content counts. Blocks that are dirty stay.
 * @returns false when some were dirty
 * Locks: takes each folio's. Waits on: them, writeback in flight.
 */
export function* invalidateSlow(inode: IomapInode, pos: number, end: number): Io<boolean> {
  const { mapping } = inode;
  if (mapping.folioCount === 0) return true;
  mapping.cache.trace?.({ type: 'drop', ino: inode.ino, pos, len: end - pos });
  let all = true;
  for (let at = pos; ; ) {
    const folio = mapping.nextFolio(at, end);
    if (folio === undefined) return all;
    if (!folio.tryLock()) yield* folio.lock();
    try {
      while (folio.mapping === mapping && folio.writebacks > 0) yield* folio.waitWriteback();
      if (folio.mapping !== mapping) continue;
      if (!folio.dirty) mapping.drop(folio);
      else if (!forgetClean(folio, Math.max(0, pos - folio.pos), Math.min(folio.size, end - folio.pos))) all = false;
      at = folio.end;
    } finally {
      folio.unlock();
    }
  }
}

/** The clean blocks of [from, to) are not uptodate any more; false when some are dirty. */
function forgetClean(folio: Folio, from: number, to: number): boolean {
  const blockSize = 2 ** folio.blockShift;
  const last = Math.ceil(to / blockSize) * blockSize;
  let all = true;
  for (let at = roundDown(from, blockSize); at < last; ) {
    const dirtyFrom = folio.nextDirty(at, last);
    if (dirtyFrom > at) folio.clearUptodate(at, dirtyFrom);
    if (dirtyFrom < last) all = false;
    at = dirtyFrom < last ? folio.nextClean(dirtyFrom, last) : last;
  }
  return all;
}

/** Writes back [pos, end) and waits for it. @throws FsError a failure of just this writeback (which fsync tells, too) */
export function* writeOut(inode: IomapInode, pos: number, end: number): Io<void> {
  const { mapping } = inode;
  const asker = { errorSeq: mapping.errorSeq };
  if (mapping.nextDirty(pos, end) !== undefined) yield* mapping.host.writeback({ pos, len: end - pos });
  yield* mapping.waitInFlight(pos, end);
  const error = mapping.peekErrorSince(asker.errorSeq);
  if (error instanceof FsError) throw error;
}

/**
 * Before the blocks from `pos` on move inside the file (insert, collapse range): everything from the folio of `pos` on is written
 * and dropped, also the dirty blocks before `pos` in that folio, which nobody may write by the old map.
 * Locks: inode, exclusive, and the invalidate lock, exclusive.
 * @throws FsError of the writeback; EAGAIN when somebody dirtied it meanwhile
 */
export function* shiftPrepare(inode: IomapInode, pos: number): Io<void> {
  const { mapping } = inode;
  const start = mapping.lookup(pos)?.pos ?? roundDown(pos, mapping.blockSize); // guard: shift-from-folio-start (pitfall 17) | without: const start = mapping.lookup(pos)?.end ?? pos;
  yield* writeOut(inode, start, Infinity);
  if (!(yield* invalidateSlow(inode, start, Infinity))) throw new FsError('EAGAIN', { why: 'dirtied meanwhile' });
}
