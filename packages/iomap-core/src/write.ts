/**
 * Buffered writes.
 *
 * - `bufferedWrite(inode, ops, pos, bytes)`: grows the size; a failure after some bytes gives their count.
 * - `peekBufferedWrite(inode, ops, pos, bytes)`: the plain twin for a write inside one folio; -1 = take `bufferedWrite`.
 *
 * Locks: the caller holds the inode lock, exclusively. Writeback runs without it; see write-folio.ts I1.
 * Contract with the filesystem: a mapping with IOMAP_F_NEW covers no more than the blocks asked for; where `end` hears that
 * less was written than a NEW mapping has, it takes those blocks back (they hold what the device held before). Past the block
 * that holds the end of the file nothing written is mapped.
 */
import { FsError, roundDown, roundUp, type Io } from '@iomap/io';
import { bypassWrite } from './bypass.js';
import { writeInline } from './inline.js';
import { IOMAP_F_NEW, IOMAP_F_SHARED, IOMAP_WRITE, newIomap, type IomapInode, type IomapOps } from './iomap.js';
import { checkIomap, IomapIter } from './iter.js';
import { commit, prepareEdges, writeFolio, type Source } from './write-folio.js';
import { zeroRange } from './zero.js';

/**
 * Writes `bytes` at `pos` into the cache (large aligned pieces may go to the device, see bypass.ts).
 * @returns bytes written: all, or fewer when a failure came after them
 * Waits on: folio locks, edge block reads, `begin`, writeback when much is dirty.
 * @throws FsError ENOSPC and others of `begin`, EIO, EUCLEAN, ENOMEM
 */
export function* bufferedWrite<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, pos: number, bytes: Uint8Array,
): Io<number> {
  if (bytes.length === 0) return 0;
  const { cache, blockSize } = inode.mapping;
  const { size } = inode;
  // The rest of the block at the end of the file becomes part of it: whatever is there now reads as zero.
  if (pos > size && size % blockSize !== 0) {
    yield* zeroRange(inode, ops, size, Math.min(pos, roundUp(size, blockSize)) - size);
  }
  const source = { bytes, start: pos };
  const iter = new IomapIter(inode, ops, pos, bytes.length, IOMAP_WRITE);
  try {
    yield* iter.run((it) => writeStep(it, source));
  } catch (error) {
    if (iter.pos === pos || !(error instanceof FsError)) throw error;
  }
  const done = iter.pos - pos;
  cache.counters.writeBytes += done;
  cache.trace?.({ type: 'write', ino: inode.ino, pos, len: bytes.length, done });
  return done;
}

function* writeStep<I extends IomapInode>(iter: IomapIter<I>, source: Source & { readonly bytes: Uint8Array }): Io<void> {
  const { inode, iomap } = iter;
  const { cache } = inode.mapping;
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
    const direct = bypassLength(iter, at);
    if (direct > 0) {
      const from = at - source.start;
      yield* bypassWrite(inode, iomap, at, source.bytes.subarray(from, from + direct));
      inode.size = Math.max(inode.size, at + direct);
      iter.done += direct;
      continue;
    }
    if (cache.dirtyBytes > cache.dirtyLimitBytes) yield* cache.balanceDirty();
    yield* writeFolio(iter, at, end - at, source);
  }
}

/** How many bytes at `pos` may go straight to the device (see bypass.ts); 0 = none. */
function bypassLength<I extends IomapInode>(iter: IomapIter<I>, pos: number): number {
  const { iomap, inode, limit } = iter;
  const { mapping } = inode;
  if (limit - iter.pos < mapping.cache.bypassWriteBytes && !iter.bypassing) return 0;
  if (iomap.type !== 'mapped' || (iomap.flags & IOMAP_F_SHARED) !== 0 || iomap.device?.synchronous !== true) return 0;
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
    if (folio.locked || from + n > folio.size) return -1;
    // Dirty blocks have their place already (allocated or reserved when they were dirtied).
    if (folio.isDirty(from, from + n)) {
      commit(inode, folio, from, n, source, pos);
      cache.counters.writeBytes += n;
      return n;
    }
  }
  if (ops.peek === undefined || ops.end !== undefined) return -1;
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
