/**
 * Buffered atomic writes: the bytes get dirty in one folio in one turn and are known as a unit (`mapping.atomic`), which writeback
 * then sends whole: as one atomic bio of the device, or to new blocks that become the file's when all of it is there.
 *
 * I1: a unit is a power of two, aligned to itself, whole blocks, in one folio. I2: `begin` with IOMAP_ATOMIC throws where writeback
 * will not be able to send it whole; a mapping shorter than the write says that it will, and that the rest is mapped apart. I3: while a unit is in flight its folio is not changed (stable writes), and what cuts a unit writes it first.
 */
import { FsError, isPowerOfTwo, type Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import { wouldWait } from './control.js';
import { touchRange } from './fault.js';
import { IOMAP_NOWAIT, type IomapInode, type IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';
import { commit, type Source } from './write-folio.js';

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

/** Tries of an atomic write that others keep in the way of. */
const TRIES_MAX = 1000;

/**
 * Writes all of `source` in one turn.
 * Locks and waits: as `bufferedWrite`, and writeback of small folios in its place.
 * @throws FsError EBUSY when others keep writing its blocks back under it; `begin`'s
 */
export function* atomicWrite<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, source: Source & { readonly bytes: Uint8Array }, flags: number,
): Io<void> {
  const { bytes, start: pos } = source;
  const whole = { inode, pos, len: bytes.length, nowait: (flags & IOMAP_NOWAIT) !== 0 };
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const iter = new IomapIter(inode, ops, pos, bytes.length, flags);
    try {
      if (!iter.peek()) yield* iter.begin();
      let failure: { error: unknown } | undefined;
      try {
        if (iter.mapEnd === iter.limit) yield* writeWhole(iter, whole, source);
      } catch (error) {
        failure = { error };
      }
      yield* iter.finish(failure);
    } finally {
      iter.cancelled();
    }
    if (iter.pos === iter.limit || (!iter.stale && (yield* writeDirty(inode, ops, whole, source)))) return;
  }
  throw new FsError('EBUSY', { why: 'no turn for an atomic write', detail: { ino: inode.ino, pos } });
}

interface Whole {
  readonly inode: IomapInode;
  readonly pos: number;
  readonly len: number;
  readonly nowait: boolean;
}

/** One mapping covers all of it. */
function* writeWhole<I extends IomapInode>(iter: IomapIter<I>, whole: Whole, source: Source): Io<void> {
  const { inode, iomap, pos } = iter;
  const { mapping } = inode;
  if (iomap.type === 'hole' || iomap.type === 'inline') {
    throw new FsError('EINVAL', { why: 'the filesystem has no blocks for an atomic write', detail: { ino: inode.ino, pos } });
  }
  if (mapping.cache.mustThrottle(mapping)) {
    if (whole.nowait) throw wouldWait(inode);
    yield* mapping.cache.throttle(mapping);
  }
  const folio = yield* wholeFolio(whole);
  try {
    iter.stale = !iter.valid(); // guard: stale-atomic-mapping (pitfall 1)
    if (iter.stale) return;
    commitUnit(whole, folio, source);
    iter.done = whole.len;
  } finally {
    folio.unlock();
  }
}

/**
 * Several mappings: each block gets its place with the content that it has, as by write faults; once all are dirty, the write needs
 * no mapping. @returns false when writeback was faster: try again
 */
function* writeDirty<I extends IomapInode>(inode: I, ops: IomapOps<I>, whole: Whole, source: Source): Io<boolean> {
  if (whole.nowait) throw wouldWait(inode);
  const { pos, len } = whole;
  const first = yield* wholeFolio(whole);
  first.unlock();
  yield* touchRange(inode, ops, pos, len);
  const folio = yield* wholeFolio(whole);
  try {
    if (!folio.isDirty(pos - folio.pos, pos - folio.pos + len)) return false;
    commitUnit(whole, folio, source);
    return true;
  } finally {
    folio.unlock();
  }
}

/** The change: plain, under the folio lock. */
function commitUnit({ inode, pos, len }: Whole, folio: Folio, source: Source): void {
  commit(inode, folio, pos - folio.pos, len, source, pos);
  inode.mapping.addAtomic(pos, len); // guard: atomic-unit (atomic)
}

/** The folio of all of [pos, pos + len), locked, nothing of it in flight (I3). Smaller ones are written and dropped first. */
function* wholeFolio(whole: Whole): Io<Folio> {
  const { inode, pos, len, nowait } = whole;
  const { mapping } = inode;
  for (;;) {
    const other = mapping.nextFolio(pos, pos + len);
    if (other === undefined) {
      const made = mapping.tryAlloc(pos, len);
      if (made !== undefined && made.size >= len) return made;
      made?.unlock();
      if (made !== undefined) mapping.drop(made);
      if (nowait) throw wouldWait(inode);
      yield* mapping.cache.makeRoom(len);
    } else if (other.pos <= pos && other.end >= pos + len) {
      if (nowait && (other.locked || other.writebacks > 0)) throw wouldWait(inode);
      if (!other.tryLock()) yield* other.lock();
      yield* other.waitWriteback();
      if (other.mapping === mapping) return other;
      other.unlock();
    } else {
      if (nowait) throw wouldWait(inode);
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
    if (folio.mapping === mapping && !folio.dirty) mapping.drop(folio);
  } finally {
    folio.unlock();
  }
}

/** I3: before [pos, end) is dropped or given to others in part: the units that it cuts go out whole. */
export function* settleAtomic(mapping: AddressSpace, pos: number, end: number): Io<void> {
  const cut = mapping.atomic?.cutBy(pos, end) ?? [];
  for (const unit of cut) yield* mapping.host.writeback(unit);
}
