/**
 * Buffered atomic writes: the bytes get dirty in one folio in one turn and are known as a unit (`mapping.atomic`), which writeback
 * then sends whole: as one atomic bio of the device, or to new blocks that become the file's when all of it is there.
 *
 * I1: a unit is a power of two, aligned to itself, whole blocks, in one folio. I2: `begin` with IOMAP_ATOMIC maps all of it or
 * throws. I3: while a unit is in flight its folio is not changed (stable writes), and what cuts a unit writes it first.
 */
import { FsError, isPowerOfTwo, type Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import { wouldWait } from './control.js';
import { IOMAP_NOWAIT, type IomapInode, type IomapOps } from './iomap.js';
import type { IomapIter } from './iter.js';
import { commit, lockFolio, type Source } from './write-folio.js';

/** The longest atomic write through the cache, in bytes; 0 = none. */
export function bufferedAtomicMax<I extends IomapInode>(inode: I, ops: IomapOps<I>): number {
  const max = Math.min(ops.atomicWriteMax?.(inode) ?? 0, inode.mapping.cache.folioMaxBytes);
  return max < inode.blockSize ? 0 : 2 ** Math.floor(Math.log2(max));
}

/** @throws FsError EOPNOTSUPP where the file has no atomic writes; EINVAL for a length or position that cannot be one */
export function checkAtomic<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, len: number): void {
  const max = bufferedAtomicMax(inode, ops);
  if (max === 0) throw new FsError('EOPNOTSUPP', { why: 'no atomic writes here', detail: { ino: inode.ino } });
  if (!isPowerOfTwo(len) || len > max || len < inode.blockSize || pos % len !== 0) {
    throw new FsError('EINVAL', { why: 'an atomic write is a power of two, aligned, not too long', detail: { ino: inode.ino, pos } });
  }
}

/** One step of a buffered atomic write: all of it. Locks and waits as `writeFolio`, and writeback of small folios in its place. */
export function* atomicStep<I extends IomapInode>(iter: IomapIter<I>, source: Source): Io<void> {
  const { inode, iomap, pos, limit } = iter;
  const { mapping } = inode;
  const len = limit - pos;
  const { bytes } = source;
  if (bytes === undefined) throw new FsError('EINVAL', { why: 'an atomic write needs its bytes at hand' });
  if (iomap.type === 'hole' || iomap.type === 'inline' || iter.mapEnd < limit) {
    throw new FsError('EINVAL', { why: 'the filesystem cannot map an atomic write whole', detail: { ino: inode.ino, pos } });
  }
  if (mapping.cache.mustThrottle(mapping)) {
    if ((iter.flags & IOMAP_NOWAIT) !== 0) throw wouldWait(inode);
    yield* mapping.cache.throttle(mapping);
  }
  const folio = yield* wholeFolio(iter, pos, len);
  try {
    if ((iter.flags & IOMAP_NOWAIT) !== 0 && folio.writebacks > 0) throw wouldWait(inode);
    yield* folio.waitWriteback();
    iter.stale = !iter.valid(); // guard: stale-write-mapping (pitfall 1)
    if (iter.stale) return;
    commit(inode, folio, pos - folio.pos, len, source, pos);
    mapping.addAtomic(pos, len); // guard: atomic-unit (atomic)
    iter.done = len;
  } finally {
    folio.unlock();
  }
}

/** The folio of all of [pos, pos + len), locked. Smaller ones are written and dropped to make place for it. */
function* wholeFolio<I extends IomapInode>(iter: IomapIter<I>, pos: number, len: number): Io<Folio> {
  const { mapping } = iter.inode;
  const { cache } = mapping;
  for (;;) {
    if ((iter.flags & IOMAP_NOWAIT) !== 0 && mapping.lookup(pos)?.locked === true) throw wouldWait(iter.inode);
    const other = mapping.nextFolio(pos, pos + len);
    if (other === undefined) {
      const made = mapping.tryAlloc(pos, len);
      if (made !== undefined && made.size >= len) return made;
      made?.unlock();
      if (made !== undefined) mapping.drop(made);
      if ((iter.flags & IOMAP_NOWAIT) !== 0) throw wouldWait(iter.inode);
      yield* cache.makeRoom(len);
    } else if (other.pos <= pos && other.end >= pos + len) {
      const folio = yield* lockFolio(mapping, pos, len);
      if (folio.pos <= pos && folio.end >= pos + len) return folio;
      folio.unlock();
    } else {
      if ((iter.flags & IOMAP_NOWAIT) !== 0) throw wouldWait(iter.inode);
      yield* evict(mapping, other);
    }
  }
}

/** Writes a folio that is in the way and drops it. */
function* evict(mapping: AddressSpace, folio: Folio): Io<void> {
  if (folio.dirty) yield* mapping.host.writeback({ pos: folio.pos, len: folio.size });
  if (folio.mapping !== mapping) return;
  if (!folio.tryLock()) yield* folio.lock();
  try {
    while (folio.writebacks > 0) yield* folio.waitWriteback();
    if (folio.mapping === mapping && !folio.dirty && folio.pins === 0) mapping.drop(folio);
  } finally {
    folio.unlock();
  }
}

/** I3: before [pos, end) is dropped or given to others in part: the units that it cuts go out whole. */
export function* settleAtomic(mapping: AddressSpace, pos: number, end: number): Io<void> {
  const cut = mapping.atomic?.cutBy(pos, end) ?? [];
  for (const unit of cut) yield* mapping.host.writeback(unit);
}
