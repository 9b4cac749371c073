/**
 * Zeroing a range through the cache. It never changes the size.
 *
 * "Already zero" on the device (unwritten, delalloc) is not yet zero in the cache: dirty blocks over such a mapping are looked at,
 * and nothing is flushed for it.
 */
import { roundDown, roundUp, type Io } from '@iomap/io';
import type { AddressSpace } from '@iomap/page-cache';
import { settleAtomic } from './atomic.js';
import { writeInline } from './inline.js';
import { IOMAP_ZERO, type Iomap, type IomapInode, type IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';
import { writeFolio, type Source } from './write-folio.js';

const ZEROES: Source = { bytes: undefined, start: 0 };

/**
 * Makes [pos, pos + len) read as zero.
 * Locks: inode, exclusive. Waits on: as `bufferedWrite`.
 * @returns true when anything was zeroed (and is dirty)
 * @throws FsError of `begin` or of a read of an edge block
 */
export function* zeroRange<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, len: number): Io<boolean> {
  if (len <= 0) return false;
  let zeroed = 0;
  const iter = new IomapIter(inode, ops, pos, len, IOMAP_ZERO);
  yield* iter.run(function* (it) {
    zeroed += yield* zeroStep(it);
  });
  const { counters, trace } = inode.mapping.cache;
  counters.zeroBytes += zeroed;
  trace?.({ type: 'zero', ino: inode.ino, pos, len, done: zeroed });
  return zeroed > 0;
}

function* zeroStep<I extends IomapInode>(iter: IomapIter<I>): Io<number> {
  const { iomap, inode } = iter;
  const { mapping } = inode;
  const { cache } = mapping;
  const end = iter.mapEnd;
  if (iomap.type === 'inline') {
    writeInline(iter, ZEROES);
    return iter.done;
  }
  if (iomap.type === 'hole') {
    zeroCached(mapping, iter.pos, end);
    iter.done = end - iter.pos;
    return 0;
  }
  let zeroed = 0;
  while (iter.pos + iter.done < end && !iter.stale) {
    let at = iter.pos + iter.done;
    let stop = end;
    if (readsAsZero(iter.readMap)) {
      // Writeback may have made it "mapped" and clean while we waited for an earlier folio.
      iter.stale = !iter.valid(); // guard: stale-zero-mapping (pitfall 1, 7)
      if (iter.stale) break;
      const cached = nextWritten(mapping, at, end); // guard: zero-looks-at-cache (pitfall 7) | without: const cached = undefined;
      zeroCached(mapping, at, cached?.pos ?? end);
      if (cached === undefined) {
        iter.done = end - iter.pos;
        break;
      }
      at = Math.max(at, cached.pos);
      stop = Math.min(end, cached.end);
      iter.done = at - iter.pos;
    }
    if (cache.mustThrottle(mapping)) yield* cache.throttle(mapping);
    const before = iter.done;
    yield* writeFolio(iter, at, stop - at, ZEROES);
    zeroed += iter.done - before;
  }
  return zeroed;
}

/** Nothing was stored there yet: what reads as anything else is in the cache, dirty or on its way. */
const readsAsZero = (iomap: Iomap): boolean => iomap.type === 'unwritten' || iomap.type === 'delalloc';

/** What is cached and clean where nothing is stored is zero, or the content of a write that was lost: it is zero from now on. */
function zeroCached(mapping: AddressSpace, pos: number, end: number): void {
  for (let folio = mapping.nextFolio(pos, end); folio !== undefined; folio = mapping.nextFolio(folio.end, end)) {
    folio.data.fill(0, Math.max(0, pos - folio.pos), Math.min(folio.size, end - folio.pos)); // guard: zero-of-lost-writes (pitfall 5, 7)
  }
}

/** The first run of blocks with data that the map does not show yet: dirty, or in a folio that is being written. */
function nextWritten(mapping: AddressSpace, pos: number, end: number): { pos: number; end: number } | undefined {
  for (let folio = mapping.nextFolio(pos, end); folio !== undefined; folio = mapping.nextFolio(folio.end, end)) {
    if (folio.writebacks > 0) return folio;
    const first = Math.max(0, pos - folio.pos);
    const from = folio.nextDirty(roundDown(first, mapping.blockSize), folio.size);
    if (from < folio.size) return { pos: folio.pos + from, end: folio.pos + folio.nextClean(from, folio.size) };
  }
  return undefined;
}

/**
 * Zeroes from `pos` to the end of its block: what a truncate to `pos`, or an extension from `pos`, needs.
 * @param unitBytes the allocation unit, where a file is given more than a block at a time (a multiple of the block size)
 * Locks: inode, exclusive.
 * @returns true when anything was zeroed
 */
export function* truncatePage<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, pos: number, unitBytes = inode.mapping.blockSize,
): Io<boolean> {
  const { mapping } = inode;
  if (mapping.atomic !== undefined) yield* settleAtomic(mapping, pos, Infinity);
  const inside = pos % unitBytes;
  if (inside === 0) return false;
  const zeroed = yield* zeroRange(inode, ops, pos, unitBytes - inside);
  // What lies behind the block of the new end is dropped from the cache next, but stays the file's.
  if (zeroed && unitBytes > mapping.blockSize) {
    const first = roundUp(pos, mapping.blockSize);
    yield* mapping.host.writeback({ pos: first, len: roundUp(pos, unitBytes) - first });
  }
  return zeroed;
}
