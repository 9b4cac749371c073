/**
 * Buffered writes.
 *
 * - `bufferedWrite(inode, ops, pos, bytes, control)`: grows the size; a failure after some bytes gives their count.
 * - `peekBufferedWrite(inode, ops, pos, bytes)`: the plain twin for a write inside one folio; -1 = take `bufferedWrite`.
 *
 * Locks: the caller holds the inode lock, exclusively. Writeback runs without it; see write-folio.ts I1. Faults do, too: where new
 * blocks hold what the device held before (not `ops.newIsUnwritten`), the invalidate lock keeps them out while the file is mapped.
 * Contract with the filesystem: a mapping with IOMAP_F_NEW covers no more than the blocks asked for; where `end` hears that
 * less was written than a NEW mapping has, it takes those blocks back (they hold what the device held before). Past the block
 * that holds the end of the file nothing written is mapped.
 */
import { FsError, roundDown, roundUp, type Io } from '@iomap/io';
import { atomicWrite, checkAtomic } from './atomic.js';
import { bypassWrite } from './bypass.js';
import { PLAIN, wouldWait, type IoControl } from './control.js';
import { writeInline } from './inline.js';
import { exclusive } from './invalidate.js';
import {
  IOMAP_ATOMIC, IOMAP_F_NEW, IOMAP_F_SHARED, IOMAP_NOWAIT, IOMAP_WRITE, newIomap, type IomapInode, type IomapOps,
} from './iomap.js';
import { checkIomap, IomapIter } from './iter.js';
import { commit, prepareEdges, writeFolio, type CopySource, type Source } from './write-folio.js';
import { zeroRange } from './zero.js';

/**
 * Writes `data` at `pos` into the cache (large aligned pieces may go to the device, see bypass.ts).
 * @param data bytes, or a source that may give fewer than it has: the write ends where it gives none
 * @param control `nowait`, `dontcache` (sent without waiting, dropped when written), `atomic`; `dsync` is the caller's (fsync)
 * @returns bytes written: all, or fewer when a failure came after them
 * Waits on: folio locks, edge block reads, `begin`, writeback when much is dirty.
 * @throws FsError ENOSPC and others of `begin`, EIO, EUCLEAN, ENOMEM; EAGAIN (`nowait`, nothing changed), EFAULT (the source gave
 * nothing), EINVAL and EOPNOTSUPP (`atomic`)
 */
export function* bufferedWrite<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, pos: number, data: Uint8Array | CopySource, control: IoControl = PLAIN,
): Io<number> {
  if (data.length === 0) return 0;
  const { mapping } = inode;
  if (control.atomic === true) checkAtomic(inode, ops, pos, data.length);
  const source: Source = data instanceof Uint8Array
    ? { bytes: data, start: pos, control }
    : { bytes: undefined, start: pos, copy: data, control };
  if (mapping.mapCount === 0 || ops.newIsUnwritten === true) return yield* writeRange(inode, ops, source, data.length);
  if (control.nowait === true && (mapping.invalidateLock.writeLocked || mapping.invalidateLock.readers > 0)) throw wouldWait(inode);
  const unlock = yield* exclusive(mapping.invalidateLock); // guard: new-blocks-exclude-faults (pitfall 17) | without: const unlock = () => undefined;
  try {
    return yield* writeRange(inode, ops, source, data.length);
  } finally {
    unlock();
  }
}

function* writeRange<I extends IomapInode>(inode: I, ops: IomapOps<I>, source: Source, length: number): Io<number> {
  const { blockSize } = inode.mapping;
  const { size } = inode;
  const { start: pos, control = PLAIN } = source;
  // The rest of the block at the end of the file becomes part of it: whatever is there now reads as zero.
  if (pos > size && size % blockSize !== 0) {
    if (control.nowait === true) throw wouldWait(inode);
    yield* zeroRange(inode, ops, size, Math.min(pos, roundUp(size, blockSize)) - size); // guard: zero-eof-tail (pitfall 8)
  }
  const flags = IOMAP_WRITE | (control.nowait === true ? IOMAP_NOWAIT : 0);
  if (control.atomic === true) {
    const { bytes } = source;
    if (bytes === undefined) throw new FsError('EINVAL', { why: 'an atomic write needs its bytes at hand', detail: { ino: inode.ino } });
    yield* atomicWrite(inode, ops, { ...source, bytes }, flags | IOMAP_ATOMIC);
    return yield* written(inode, source, length, length);
  }
  const iter = new IomapIter(inode, ops, pos, length, flags);
  try {
    yield* iter.run((it) => writeStep(it, source));
  } catch (error) {
    if (iter.pos === pos || !(error instanceof FsError)) throw error; // guard: partial-success (pitfall 12)
  }
  return yield* written(inode, source, length, iter.pos - pos);
}

/** The end of a write that did `done` bytes. */
function* written(inode: IomapInode, { start: pos, control = PLAIN }: Source, len: number, done: number): Io<number> {
  const { cache } = inode.mapping;
  cache.counters.writeBytes += done;
  cache.trace?.({ type: 'write', ino: inode.ino, pos, len, done });
  // The folios drop when they are written.
  if (control.dontcache === true) yield* startWriteback(inode, pos, done);
  return done;
}

function* startWriteback(inode: IomapInode, pos: number, len: number): Io<void> {
  const { host } = inode.mapping;
  yield* host.startWriteback !== undefined ? host.startWriteback({ pos, len }) : host.writeback({ pos, len });
}

function* writeStep<I extends IomapInode>(iter: IomapIter<I>, source: Source): Io<void> {
  const { inode, iomap } = iter;
  const { mapping } = inode;
  const { cache } = mapping;
  if (iomap.type === 'inline') {
    writeInline(iter, source);
    return;
  }
  if (iomap.type === 'hole') {
    throw new FsError('EUCLEAN', { why: 'a write was mapped to a hole', detail: { ino: inode.ino, pos: iter.pos } });
  }
  const end = iter.mapEnd;
  while (iter.pos + iter.done < end && !iter.stale) {
    const at = iter.pos + iter.done;
    const direct = bypassLength(iter, at, source);
    if (direct > 0 && source.bytes !== undefined) {
      const from = at - source.start;
      yield* bypassWrite(inode, iomap, at, source.bytes.subarray(from, from + direct));
      inode.size = Math.max(inode.size, at + direct);
      iter.done += direct;
      continue;
    }
    if (cache.dirtyBytes > cache.dirtyBackgroundBytes && cache.mustThrottle(mapping)) {
      if ((iter.flags & IOMAP_NOWAIT) !== 0) throw wouldWait(inode);
      yield* cache.throttle(mapping);
    }
    yield* writeFolio(iter, at, end - at, source);
  }
}

/** How many bytes at `pos` may go straight to the device (see bypass.ts); 0 = none. */
function bypassLength<I extends IomapInode>(iter: IomapIter<I>, pos: number, source: Source): number {
  const { iomap, inode, limit } = iter;
  const { mapping } = inode;
  if (limit - iter.pos < mapping.cache.bypassWriteBytes && !iter.bypassing) return 0;
  if (iomap.type !== 'mapped' || (iomap.flags & IOMAP_F_SHARED) !== 0 || iomap.device?.synchronous !== true) return 0;
  if (source.bytes === undefined || (iter.flags & IOMAP_NOWAIT) !== 0 || iter.src.length > 0) return 0;
  // A fault that needs no invalidate lock of ours may bring in what the device holds meanwhile.
  if (mapping.mapCount > 0 && iter.ops.newIsUnwritten === true) return 0;
  if (pos % mapping.blockSize !== 0 || !iter.valid()) return 0;
  const want = iter.mapEnd - pos;
  const next = mapping.nextFolio(pos, pos + want);
  const n = roundDown(next === undefined ? want : Math.max(0, next.pos - pos), mapping.blockSize);
  if (n > 0) iter.bypassing = true;
  return n;
}

/**
 * A write inside one folio that needs no wait: the blocks are dirty already, or `ops.peek` maps them.
 * @returns `bytes.length`, or -1: take `bufferedWrite` (which may then write the same bytes again)
 */
export function peekBufferedWrite<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, pos: number, bytes: Uint8Array,
): number {
  const { mapping } = inode;
  const { cache, blockSize } = mapping;
  const n = bytes.length;
  if (n === 0) return 0;
  if (pos > inode.size || cache.dirtyBytes > cache.dirtyLimitBytes || n >= cache.bypassWriteBytes) return -1;
  let folio = mapping.lookup(pos);
  const source = { bytes, start: pos };
  if (folio !== undefined) {
    const from = pos - folio.pos;
    if (folio.locked || from + n > folio.size || (mapping.stableWrites && folio.writebacks > 0)) return -1;
    // Dirty blocks have their place already (allocated or reserved when they were dirtied).
    if (folio.isDirty(from, from + n)) {
      commit(inode, folio, from, n, source, pos);
      cache.counters.writeBytes += n;
      return n;
    }
  }
  // What is mapped here is used whole, or was there before.
  if (ops.peek === undefined || (ops.end !== undefined && ops.endIfShort !== true) || ops.folioOps?.getFolio !== undefined) return -1;
  if (folio === undefined) {
    const start = roundDown(pos, blockSize);
    folio = mapping.tryAlloc(start, roundUp(pos + n - start, blockSize));
    if (folio === undefined) return -1;
    folio.unlock();
    if (pos + n > folio.end) return -1;
  }
  const iomap = newIomap();
  if (!ops.peek(inode, pos, n, IOMAP_WRITE, iomap, newIomap())) return -1;
  cache.counters.beginPeeks++;
  checkIomap(iomap, inode, pos);
  const mapped = Math.min(n, iomap.offset + iomap.length - pos);
  const isNew = (iomap.flags & IOMAP_F_NEW) !== 0;
  const from = pos - folio.pos;
  const plain = iomap.type === 'mapped' || iomap.type === 'unwritten' || iomap.type === 'delalloc';
  if (!plain || (iomap.flags & IOMAP_F_SHARED) !== 0 || (mapped < n && !isNew)) return -1;
  if (prepareEdges(inode, iomap, folio, from, from + mapped) !== undefined) return -1;
  // A NEW mapping must be used now even where it is short: the next sampling would not say NEW again.
  commit(inode, folio, from, mapped, source, pos);
  if (mapped < n) return -1;
  cache.counters.writeBytes += n;
  return n;
}
