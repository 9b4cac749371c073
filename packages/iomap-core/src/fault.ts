/**
 * Write faults: what has to happen before a store through a memory mapping may change a block (page_mkwrite).
 *
 * The block gets its place (allocated or reserved) and is dirty; a store to a dirty block needs nothing, and writeback, which cleans
 * it, so has the next store fault again. Faults take no inode lock: they race with writes, writeback and reclaim. What keeps
 * blocks from being taken from the file meanwhile is the invalidate lock, which the caller holds.
 */
import { FsError, roundDown, roundUp, type Io } from '@iomap/io';
import type { Folio } from '@iomap/page-cache';
import { IOMAP_F_NEW, IOMAP_FAULT, IOMAP_WRITE, type IomapInode, type IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';
import { lockFolio, readEdges } from './write-folio.js';

/** Changes [from, to) of a folio, which is uptodate and dirty there. Plain. */
export type Store = (folio: Folio, from: number, to: number) => void;

/**
 * Makes the blocks of [pos, pos + len) writable, and stores into them in the same turn.
 * @param store called once per folio, in order, with its part of the range
 * Locks: `mapping.invalidateLock`, shared (exclusive where `ops.newIsUnwritten` is not set). The size never grows.
 * Waits on: `begin`, folio locks, reads of the blocks, memory.
 * @throws FsError EFAULT past the block that holds the end of the file (SIGBUS); ENOSPC and others of `begin`; EIO
 */
export function* pageMkwrite<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, pos: number, len: number, store?: Store,
): Io<void> {
  const { mapping } = inode;
  const { blockSize, cache } = mapping;
  checkInside(inode, pos, len); // guard: fault-inside-size (pitfall 8)
  cache.counters.writeFaults++;
  cache.trace?.({ type: 'write-fault', ino: inode.ino, pos, len });
  const start = roundDown(pos, blockSize);
  const iter = new IomapIter(inode, ops, start, roundUp(pos + len, blockSize) - start, IOMAP_WRITE | IOMAP_FAULT);
  yield* iter.run((it) => faultStep(it, { pos, end: pos + len }, store));
}

/**
 * Makes the blocks of [pos, pos + len) dirty with the content that they have; past the end of the file, too.
 * Locks: inode, exclusive. Waits on and throws: as `bufferedWrite`.
 */
export function* touchRange<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, len: number): Io<void> {
  const iter = new IomapIter(inode, ops, pos, len, IOMAP_WRITE);
  yield* iter.run((it) => faultStep(it, { pos, end: pos + len }, undefined));
}

/** @throws FsError EFAULT where [pos, pos + len) goes past the block of the end of the file */
export function checkInside(inode: IomapInode, pos: number, len: number): void {
  if (pos >= 0 && pos + len <= roundUp(inode.size, inode.blockSize)) return;
  throw new FsError('EFAULT', { why: 'past the end of the mapped file', detail: { ino: inode.ino, pos } });
}

function* faultStep<I extends IomapInode>(
  iter: IomapIter<I>, range: { readonly pos: number; readonly end: number }, store: Store | undefined,
): Io<void> {
  const { inode, iomap } = iter;
  const { mapping } = inode;
  const { cache } = mapping;
  if (iomap.type === 'inline' || iomap.type === 'hole') {
    throw new FsError('EIO', { why: 'a write fault was mapped to no block', detail: { ino: inode.ino, pos: iter.pos } });
  }
  const end = iter.mapEnd;
  while (iter.pos + iter.done < end && !iter.stale) {
    if (cache.mustThrottle(mapping)) yield* cache.throttle(mapping);
    yield* faultFolio(iter, iter.pos + iter.done, end, (folio, from, to) => {
      const first = Math.max(range.pos - folio.pos, from);
      const last = Math.min(range.end - folio.pos, to);
      if (store !== undefined && first < last) store(folio, first, last);
    });
  }
}

function* faultFolio<I extends IomapInode>(iter: IomapIter<I>, pos: number, end: number, store: Store): Io<void> {
  const { inode, ops } = iter;
  const { folioOps } = ops;
  const before = iter.done;
  if (folioOps?.getFolio !== undefined) yield* folioOps.getFolio(inode, pos, end - pos);
  try {
    yield* faultLocked(iter, pos, end, store);
  } finally {
    if (folioOps?.getFolio !== undefined) folioOps.putFolio?.(inode, pos, iter.done - before);
  }
}

function* faultLocked<I extends IomapInode>(iter: IomapIter<I>, pos: number, end: number, store: Store): Io<void> {
  const { inode, readMap } = iter;
  const { mapping } = inode;
  const folio = yield* lockFolio(mapping, pos, end - pos);
  try {
    if (mapping.stableWrites) yield* folio.waitWriteback();
    iter.stale = !iter.valid(); // guard: stale-fault-mapping (pitfall 1)
    if (iter.stale) return;
    const from = pos - folio.pos;
    const to = Math.min(folio.end, end) - folio.pos;
    const isBlank = readMap.type !== 'mapped' || (readMap.flags & IOMAP_F_NEW) !== 0;
    const reads: number[] = [];
    for (let at = folio.nextNotUptodate(from, to); at < to; at = folio.nextNotUptodate(at + mapping.blockSize, to)) {
      if (isBlank || folio.pos + at >= inode.size) folio.data.fill(0, at, at + mapping.blockSize);
      else reads.push(at);
    }
    if (reads.length > 0) {
      yield* readEdges(inode, readMap, folio, reads);
      // As in a write: their place may have been given up meanwhile.
      iter.stale = !iter.valid(); // guard: stale-fault-after-read (pitfall 5)
      if (iter.stale) return;
    }
    folio.setUptodate(from, to);
    folio.markDirty(from, to);
    if (folio.touched < 2) folio.touched++;
    store(folio, from, to);
    iter.done += to - from;
  } finally {
    folio.unlock();
  }
}
