/**
 * Unsharing: makes a range's blocks the file's own, by reading each shared block and dirtying it. It never changes the size.
 *
 * "Fully overwritten, no read needed" is a write's argument and never holds here: what is written is what is read.
 */
import { roundDown, roundUp, type Io } from '@iomap/io';
import type { Folio } from '@iomap/page-cache';
import { IOMAP_F_SHARED, IOMAP_UNSHARE, IOMAP_WRITE, type IomapInode, type IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';
import { lockFolio, readEdges } from './write-folio.js';

/**
 * Gives the file blocks of its own for what is shared in [pos, pos + len), clipped at the size; writeback then writes them.
 * `begin` (IOMAP_WRITE | IOMAP_UNSHARE) maps new blocks with IOMAP_F_SHARED, and the old ones in `src`.
 * Locks: inode, exclusive. Waits on: as `bufferedWrite`.
 * @returns bytes that were unshared
 * @throws FsError of `begin` or of a read
 */
export function* unshareRange<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, len: number): Io<number> {
  const end = Math.min(pos + len, inode.size); // guard: unshare-stays-inside (pitfall 8)
  if (pos < 0 || pos >= end) return 0;
  const iter = new IomapIter(inode, ops, pos, end - pos, IOMAP_WRITE | IOMAP_UNSHARE);
  let unshared = 0;
  yield* iter.run(function* (it) {
    unshared += yield* unshareStep(it);
  });
  const { counters, trace } = inode.mapping.cache;
  counters.unshareBytes += unshared;
  trace?.({ type: 'unshare', ino: inode.ino, pos, len, done: unshared });
  return unshared;
}

function* unshareStep<I extends IomapInode>(iter: IomapIter<I>): Io<number> {
  const { inode, iomap, readMap } = iter;
  const { mapping } = inode;
  const { cache } = mapping;
  const end = iter.mapEnd;
  // Nothing shared, or nothing stored: there is nothing to copy.
  if ((iomap.flags & IOMAP_F_SHARED) === 0 || readMap.type !== 'mapped') {
    iter.done = end - iter.pos;
    return 0;
  }
  while (iter.pos + iter.done < end && !iter.stale) {
    if (cache.mustThrottle(mapping)) yield* cache.throttle(mapping);
    yield* unshareFolio(iter, iter.pos + iter.done, end);
  }
  return iter.done;
}

function* unshareFolio<I extends IomapInode>(iter: IomapIter<I>, pos: number, end: number): Io<void> {
  const { inode } = iter;
  const { mapping } = inode;
  const { blockSize } = mapping;
  const folio = yield* lockFolio(mapping, pos, end - pos);
  try {
    if (mapping.stableWrites) yield* folio.waitWriteback();
    iter.stale = !iter.valid(); // guard: stale-unshare-mapping (pitfall 1)
    if (iter.stale) return;
    const stop = Math.min(folio.end, end);
    const from = roundDown(pos - folio.pos, blockSize);
    const to = Math.min(folio.size, roundUp(stop - folio.pos, blockSize));
    yield* readEdges(inode, iter.readMap, folio, blocksToRead(folio, from, to, blockSize)); // guard: unshare-reads (pitfall 11)
    // As in a write: their place may have been given up meanwhile.
    iter.stale = !iter.valid(); // guard: stale-unshare-after-read (pitfall 5)
    if (iter.stale) return;
    folio.setUptodate(from, to);
    folio.markDirty(from, to);
    iter.done += stop - pos;
  } finally {
    folio.unlock();
  }
}

/** Offsets of the blocks of [from, to) that are not in memory. */
function blocksToRead(folio: Folio, from: number, to: number, blockSize: number): number[] {
  const offsets: number[] = [];
  for (let at = folio.nextNotUptodate(from, to); at < to; at = folio.nextNotUptodate(at + blockSize, to)) offsets.push(at);
  return offsets;
}
