/**
 * Taking folios out of the cache, before blocks are freed or after something else wrote them.
 *
 * Locks: inode, exclusive, and the mapping's invalidate lock, exclusive, until the blocks are freed. What is under writeback is waited for: its blocks may be given to another file next.
 */
import { roundDown, roundUp, type Io } from '@iomap/io';
import type { Folio } from '@iomap/page-cache';
import { settleAtomic } from './atomic.js';
import type { IomapInode } from './iomap.js';

/**
 * Drops what is cached past `newSize`, dirty or not; the rest of the block that `newSize` lies in reads as zero from now on
 * (make that durable with `truncatePage` before).
 * Order in a truncate: `truncatePage`, set the size, this, free the blocks, bump the mapping's `validityCookie`.
 */
export function truncatePageCache(inode: IomapInode, newSize: number): Io<void> {
  return dropRange(inode, newSize, Infinity);
}

/** Drops what is cached of the whole blocks inside [pos, pos + len), dirty or not; zero the edges with `zeroRange`. */
export function punchPageCache(inode: IomapInode, pos: number, len: number): Io<void> {
  return dropRange(inode, pos, pos + len);
}

function* dropRange(inode: IomapInode, pos: number, end: number): Io<void> {
  const { mapping } = inode;
  const { blockSize } = mapping;
  if (mapping.atomic !== undefined) yield* settleAtomic(mapping, pos, end);
  mapping.cache.trace?.({ type: 'drop', ino: inode.ino, pos, len: end - pos });
  const first = roundUp(pos, blockSize);
  const last = end === Infinity ? Infinity : roundDown(end, blockSize);
  for (let at = pos; ; ) {
    const folio = mapping.nextFolio(at, end);
    if (folio === undefined) return;
    if (!folio.tryLock()) yield* folio.lock();
    try {
      while (folio.mapping === mapping && folio.writebacks > 0) yield* folio.waitWriteback(); // guard: drop-waits-for-writes (pitfall 17)
      // Dropped by another while we waited: another may be in its place.
      if (folio.mapping !== mapping) continue;
      if (folio.pos >= first && folio.end <= last) mapping.drop(folio);
      else dropPart(folio, first, last, end === Infinity ? pos : undefined);
      at = folio.end;
    } finally {
      folio.unlock();
    }
  }
}

/** A folio that stays in part. `size`: zero from there to the end of its block. */
function dropPart(folio: Folio, first: number, last: number, size: number | undefined): void {
  const from = Math.max(0, first - folio.pos);
  const to = Math.min(folio.size, last - folio.pos);
  const cutsBlock = size !== undefined && size > folio.pos && size < folio.end;
  if (cutsBlock) folio.data.fill(0, size - folio.pos, from); // guard: drop-zeroes-tail (pitfall 8)
  if (from >= to) return;
  folio.mapping?.atomic?.remove(folio.pos + from, folio.pos + to);
  folio.clearDirty(from, to);
  folio.clearUptodate(from, to);
}

/**
 * Drops clean, unused folios that overlap [pos, pos + len): their next read asks the device.
 * @returns false when something stays: dirty, locked or being written
 */
export function invalidateRange(inode: IomapInode, pos: number, len: number): boolean {
  const { mapping } = inode;
  const end = pos + len;
  let all = true;
  for (let folio = mapping.nextFolio(pos, end); folio !== undefined; folio = mapping.nextFolio(folio.end, end)) {
    if (folio.dirty || folio.locked || folio.pins > 0 || folio.writebacks > 0) all = false;
    else mapping.drop(folio);
  }
  return all;
}
