/**
 * Zeroing a range through the cache. It never changes the size.
 *
 * "Already zero" on the device (hole, unwritten) is not yet zero in the cache: dirty folios over an unwritten mapping are looked
 * at, and nothing is flushed for it.
 */
import type { Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import { writeInline } from './inline.js';
import { IOMAP_ZERO, type IomapInode, type IomapOps } from './iomap.js';
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
    iter.done = end - iter.pos;
    return 0;
  }
  let zeroed = 0;
  while (iter.pos + iter.done < end && !iter.stale) {
    let at = iter.pos + iter.done;
    let stop = end;
    if (iomap.type === 'unwritten') {
      // Writeback may have made it "mapped" and clean while we waited for an earlier folio.
      if (!iter.valid()) {
        iter.stale = true;
        break;
      }
      const cached = nextWritten(mapping, at, end);
      if (cached === undefined) {
        iter.done = end - iter.pos;
        break;
      }
      at = Math.max(at, cached.pos);
      stop = Math.min(end, cached.end);
      iter.done = at - iter.pos;
    }
    if (cache.dirtyBytes > cache.dirtyLimitBytes) yield* cache.balanceDirty();
    const before = iter.done;
    yield* writeFolio(iter, at, stop - at, ZEROES);
    zeroed += iter.done - before;
  }
  return zeroed;
}

/** The first folio with data that the map does not show yet: dirty, or being written. */
function nextWritten(mapping: AddressSpace, pos: number, end: number): Folio | undefined {
  let folio = mapping.nextFolio(pos, end);
  while (folio !== undefined && !folio.dirty && folio.writebacks === 0) folio = mapping.nextFolio(folio.end, end);
  return folio;
}

/**
 * Zeroes from `pos` to the end of its block: what a truncate to `pos`, or an extension from `pos`, needs.
 * Locks: inode, exclusive.
 * @returns true when anything was zeroed
 */
export function* truncatePage<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number): Io<boolean> {
  const { blockSize } = inode.mapping;
  const inside = pos % blockSize;
  return inside === 0 ? false : yield* zeroRange(inode, ops, pos, blockSize - inside);
}
