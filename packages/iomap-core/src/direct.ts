/**
 * Direct I/O: reads and writes straight between the caller's buffer and the device, beside the page cache and coherent with it.
 *
 * - `directRead` writes dirty pages of its range back first; holes, unwritten blocks and inline data need no device.
 * - `directWrite` drops its range from the cache before and after, zeroes the rest of new blocks that it writes in part, has the
 *   filesystem convert what it wrote (`DioOps.endIo`), then lets the size grow. What cannot go directly (delalloc, a part of a
 *   shared block, pages that stay dirty) goes through the cache and is written out: the caller sees one call.
 *
 * Locks: the inode's, exclusive for writes (shared with `overwriteOnly`), shared for reads. While the file is mapped into memory a
 * direct write holds the invalidate lock, exclusive: stricter than Linux, and so coherent with stores.
 */
import { FsError, roundDown, roundUp, submitBio, type Io } from '@iomap/io';
import { checkAtomic } from './atomic.js';
import { PLAIN, wouldWait, type IoControl } from './control.js';
import { DirectBios, NO_PADDING } from './direct-bios.js';
import { exclusive, invalidateSlow, writeOut } from './invalidate.js';
import {
  IOMAP_ATOMIC, IOMAP_DIRECT, IOMAP_F_ATOMIC_BIO, IOMAP_F_BUFFERED, IOMAP_F_DIRTY, IOMAP_F_NEW, IOMAP_F_SHARED, IOMAP_NOWAIT,
  IOMAP_OVERWRITE_ONLY, IOMAP_WRITE, type DioEnd, type DioOps, type Iomap, type IomapInode, type IomapOps,
} from './iomap.js';
import { IomapIter } from './iter.js';
import { bufferedRead } from './read.js';
import { writeInline } from './inline.js';
import { bufferedWrite } from './write.js';
import { zeroRange } from './zero.js';

/** The largest sector of any device. */
const SECTOR_BYTES_MAX = 65_536;

const invalid = (why: string, inode: IomapInode, pos: number): FsError => new FsError('EINVAL', { why, detail: { ino: inode.ino, pos } });

const NOTHING: DioEnd['fresh'] = Object.freeze([]);

/** A call under way: what its steps found. */
class DirectCall<I extends IomapInode> {
  readonly bios: DirectBios<I>;
  readonly dops: DioOps<I>;
  fresh: DioEnd['fresh'] = NOTHING;
  unwritten = false;
  shared = false;
  /** Only blocks that were there and written: FUA alone makes it durable. */
  overwrites = true;
  /** The rest goes through the cache. */
  fallback = false;

  constructor(inode: I, dops: DioOps<I>, op: 'read' | 'write') {
    this.dops = dops;
    this.bios = new DirectBios(inode, dops, op);
  }
}

/** The alignment that the device wants of a mapped range. @throws FsError EINVAL */
function checkAligned(iomap: Iomap, inode: IomapInode, pos: number, len: number): asserts iomap is Iomap & { device: object } {
  const sector = iomap.device?.sectorSize ?? 1;
  if (iomap.device === undefined || pos % sector !== 0 || len % sector !== 0) {
    throw invalid('direct I/O is a multiple of the device\'s sectors', inode, pos);
  }
}

// Reads --------------------------------------------------------------------------------------------------------------------

/**
 * Reads into `bytes` from the device; clips at the size. `pos` and the buffer's length are multiples of the device's sector size;
 * what the buffer has behind the end of the file stays as it was.
 *
 * A store into the mapped file may give a shared block another place (copy on write) while the old one is being read, and then the old
 * one may become another file's: where the map changed meanwhile, all is read again, with faults kept out.
 * @returns bytes read; 0 at or past the end
 * Waits on: writeback of the range, `begin`, the reads (together).
 * @throws FsError EINVAL (alignment), EIO (with `partial`: only when nothing before it was read), EAGAIN (`nowait`)
 */
export function* directRead<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, dops: DioOps<I>, pos: number, bytes: Uint8Array, control: IoControl = PLAIN,
): Io<number> {
  const { mapping, size } = inode;
  const want = Math.min(bytes.length, size - pos);
  if (want <= 0) return 0;
  mapping.cache.counters.directReads++;
  const once = yield* readDirect(inode, ops, new DirectCall(inode, dops, 'read'), pos, bytes, control);
  if (once >= 0) return once; // guard: direct-read-checks-map (pitfall 14) | without: return Math.abs(once);
  const { invalidateLock } = mapping;
  if (control.nowait === true && !invalidateLock.tryWrite()) throw wouldWait(inode);
  const unlock = control.nowait === true ? () => { invalidateLock.unlockWrite(); } : yield* exclusive(invalidateLock);
  try {
    return Math.abs(yield* readDirect(inode, ops, new DirectCall(inode, dops, 'read'), pos, bytes, control));
  } finally {
    unlock();
  }
}

/** The answer is negative where the map changed while it was read by. */
function* readDirect<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, call: DirectCall<I>, pos: number, bytes: Uint8Array, control: IoControl,
): Io<number> {
  const { mapping, size } = inode;
  const want = Math.min(bytes.length, size - pos);
  const { counters, trace } = mapping.cache;
  if (mapping.folioCount > 0) {
    if (control.nowait === true && (mapping.nextDirty(pos, pos + want) !== undefined || mapping.isInFlight(pos, pos + want))) {
      throw wouldWait(inode);
    }
    yield* writeOut(inode, pos, pos + want); // guard: direct-read-writes-out (pitfall 14)
  }
  // A copy of what the last sector will overwrite (a Buffer's own `slice` would be a view).
  const behind = bytes.length > want ? new Uint8Array(bytes.subarray(want, want + SECTOR_BYTES_MAX)) : undefined;
  const iter = new IomapIter(inode, ops, pos, want, IOMAP_DIRECT | (control.nowait === true ? IOMAP_NOWAIT : 0));
  let failure: FsError | undefined;
  try {
    // Goes on over all extents, also for `nowait`.
    while (iter.pos < iter.limit) {
      if (iter.pos > pos) call.bios.keep(iter.iomap);
      if (!iter.peek()) yield* iter.begin();
      const failed = needsCache(iter.iomap)
        ? yield* readThroughCache(iter, pos, bytes)
        : attempt(readStep, iter, call, pos, bytes);
      if (failed !== undefined || !iter.peekFinish()) yield* iter.finish(failed);
    }
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    failure = error;
  } finally {
    iter.cancelled();
  }
  const failed = yield* call.bios.submit(false);
  if (behind !== undefined) bytes.set(behind, want);
  const done = call.bios.failedAt(iter.pos) - pos;
  const error = failed ?? failure;
  if (call.dops.endIo !== undefined) yield* endIo(inode, call, { pos, done, write: false, atomic: false, error });
  const isShort = control.partial === true || (error === failure && error?.code === 'EAGAIN');
  if (error !== undefined && (done === 0 || !isShort)) throw error;
  if (!iter.valid() || !call.bios.stillMapped(ops)) return -done;
  counters.directReadBytes += done;
  trace?.({ type: 'direct-read', ino: inode.ino, pos, len: bytes.length, done });
  return done;
}

const needsCache = ({ type, flags }: Iomap): boolean => type === 'delalloc' || (flags & IOMAP_F_BUFFERED) !== 0;

/** A step that direct I/O cannot do; its failure is for `finish`. */
function* readThroughCache<I extends IomapInode>(
  iter: IomapIter<I>, start: number, bytes: Uint8Array,
): Io<{ readonly error: unknown } | undefined> {
  const { inode, pos, mapEnd } = iter;
  inode.mapping.cache.trace?.({ type: 'direct-fallback', ino: inode.ino, pos, len: mapEnd - pos });
  try {
    iter.done = yield* bufferedRead(inode, iter.ops, pos, bytes.subarray(pos - start, mapEnd - start));
    return undefined;
  } catch (error) {
    return { error };
  }
}

function readStep<I extends IomapInode>(iter: IomapIter<I>, call: DirectCall<I>, start: number, bytes: Uint8Array): void {
  const { inode, iomap, pos, mapEnd } = iter;
  if (iomap.type === 'mapped') {
    const { device } = iomap;
    checkAligned(iomap, inode, pos, 0);
    // The end of the file may lie in a sector: the buffer has room for all of it.
    const whole = Math.min(roundUp(mapEnd, device?.sectorSize ?? 1) - start, bytes.length);
    checkAligned(iomap, inode, pos, whole - (pos - start));
    call.bios.add(iomap, pos, bytes, pos - start, whole);
  } else if (iomap.type === 'inline') {
    const data = iomap.inlineData;
    const from = pos - iomap.offset;
    const n = Math.min(mapEnd - pos, (data?.length ?? 0) - from);
    if (data === undefined || n <= 0) throw new FsError('EUCLEAN', { why: 'inline data ends too soon', detail: { ino: inode.ino, pos } });
    bytes.set(data.subarray(from, from + n), pos - start);
    iter.done = n;
    return;
  } else bytes.fill(0, pos - start, mapEnd - start);
  iter.done = mapEnd - pos;
}

// Writes -------------------------------------------------------------------------------------------------------------------

/**
 * Writes `bytes` to the device and grows the size. `pos` and the length are multiples of the device's sector size.
 * @param control `dsync` (FUA where it only overwrites, else `DioOps.sync` after), `nowait`, `overwriteOnly`, `partial`, `atomic`
 * @returns bytes written, those that went through the cache (and were written out) among them
 * Waits on: writeback and folio locks of the range, `begin`, the writes (together), `endIo`, `sync`.
 * @throws FsError EINVAL (alignment; `atomic`), EAGAIN (`nowait`, `overwriteOnly`), EOPNOTSUPP (`atomic`), ENOSPC, EIO
 */
export function* directWrite<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, dops: DioOps<I>, pos: number, bytes: Uint8Array, control: IoControl = PLAIN,
): Io<number> {
  if (bytes.length === 0) return 0;
  const { mapping } = inode;
  if (control.atomic === true) checkAtomic(inode, ops, pos, bytes.length);
  const { counters, trace } = mapping.cache;
  counters.directWrites++;
  const call = new DirectCall(inode, dops, 'write');
  let done: number;
  if (mapping.mapCount === 0) done = yield* writeDirect(inode, ops, call, pos, bytes, control);
  else {
    const unlock = yield* exclusive(mapping.invalidateLock); // guard: direct-excludes-faults (pitfall 14) | without: const unlock = () => undefined;
    try {
      done = yield* writeDirect(inode, ops, call, pos, bytes, control);
    } finally {
      unlock();
    }
  }
  counters.directWriteBytes += done;
  if (call.fallback) done += yield* writeThroughCache(inode, ops, pos + done, bytes.subarray(done), control, done > 0);
  if (control.dsync === true && done > 0 && (call.fallback || !call.overwrites)) yield* makeDurable(inode, call, pos, done);
  trace?.({ type: 'direct-write', ino: inode.ino, pos, len: bytes.length, done });
  return done;
}

/** The direct part: up to where it must go through the cache (`call.fallback`). */
function* writeDirect<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, call: DirectCall<I>, pos: number, bytes: Uint8Array, control: IoControl,
): Io<number> {
  const { mapping } = inode;
  const end = pos + bytes.length;
  const isClear = mapping.folioCount === 0 && pos <= inode.size && control.overwriteOnly !== true;
  if (!isClear && !(yield* clearTheWay(inode, ops, pos, end, control))) {
    if (control.overwriteOnly === true) throw wouldWait(inode);
    call.fallback = true;
    return 0;
  }
  const atomic = control.atomic === true;
  let flags = IOMAP_WRITE | IOMAP_DIRECT;
  if (control.nowait === true) flags |= IOMAP_NOWAIT;
  if (control.overwriteOnly === true) flags |= IOMAP_OVERWRITE_ONLY;
  if (atomic) flags |= IOMAP_ATOMIC;
  const iter = new IomapIter(inode, ops, pos, bytes.length, flags);
  let failure: FsError | undefined;
  try {
    while (iter.pos < iter.limit && !call.fallback) {
      if (!iter.peek()) yield* iter.begin();
      const failed = attempt(writeStep, iter, call, pos, bytes);
      if (failed !== undefined || !iter.peekFinish()) yield* iter.finish(failed);
    }
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    failure = error;
  } finally {
    iter.cancelled();
  }
  // Nothing was sent yet, and nothing counts as done.
  if (failure !== undefined && iter.pos === pos) throw failure;
  if (end > inode.size) call.overwrites = false;
  const failed = yield* call.bios.submit(control.dsync === true && call.overwrites);
  let done = call.bios.failedAt(iter.pos) - pos;
  if (atomic && failed !== undefined) done = 0;
  let error = failed ?? failure;
  try {
    if (call.dops.endIo !== undefined) yield* endIo(inode, call, { pos, done, write: true, atomic, error });
  } catch (caught) {
    if (!(caught instanceof FsError)) throw caught;
    error = caught;
    done = 0;
  }
  if (pos + done > inode.size) inode.size = pos + done;
  // Readers may have brought in what the device held before.
  if (mapping.folioCount > 0) yield* invalidateSlow(inode, pos, end); // guard: direct-invalidates-after (pitfall 14)
  if (error === undefined) return done;
  call.fallback = false;
  const isShort = error === failure || control.partial === true;
  if (done === 0 || !isShort) throw error;
  return done;
}

/** Runs a plain step; its failure is for `finish`. */
function attempt<I extends IomapInode>(
  step: (iter: IomapIter<I>, call: DirectCall<I>, start: number, bytes: Uint8Array) => void,
  iter: IomapIter<I>, call: DirectCall<I>, start: number, bytes: Uint8Array,
): { readonly error: unknown } | undefined {
  try {
    step(iter, call, start, bytes);
    return undefined;
  } catch (error) {
    return { error };
  }
}

/**
 * Before a direct write: what is cached of the range is written and dropped.
 * @returns false when something stays dirty: go through the cache
 */
function* clearTheWay<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, end: number, control: IoControl): Io<boolean> {
  const { mapping, size } = inode;
  const { blockSize } = mapping;
  const extendsTail = pos > size && size % blockSize !== 0;
  if (control.nowait === true) {
    if (extendsTail || mapping.nextFolio(pos, end) !== undefined || mapping.isInFlight(pos, end)) throw wouldWait(inode);
    return true;
  }
  if (control.overwriteOnly === true && end > size) throw wouldWait(inode);
  // What is between the end of the file and the write becomes part of it; it may lie in the first block that is written.
  if (extendsTail) yield* zeroRange(inode, ops, size, Math.min(pos, roundUp(size, blockSize)) - size); // guard: direct-zeroes-eof-tail (pitfall 8)
  const from = extendsTail ? roundDown(size, blockSize) : pos;
  yield* writeOut(inode, from, end);
  return yield* invalidateSlow(inode, pos, end); // guard: direct-invalidates-before (pitfall 14) | without: return true;
}

function writeStep<I extends IomapInode>(iter: IomapIter<I>, call: DirectCall<I>, start: number, bytes: Uint8Array): void {
  const { inode, iomap, pos, mapEnd, flags } = iter;
  const { type, device } = iomap;
  const { blockSize } = inode;
  if (type === 'inline') {
    call.overwrites = false;
    writeInline(iter, { bytes, start });
    return;
  }
  const isNew = type === 'unwritten' || (iomap.flags & IOMAP_F_NEW) !== 0;
  const isShared = (iomap.flags & IOMAP_F_SHARED) !== 0;
  const isPart = pos % blockSize !== 0 || mapEnd % blockSize !== 0;
  // The rest of a shared block would have to be read first.
  if (type === 'delalloc' || (iomap.flags & IOMAP_F_BUFFERED) !== 0 || (isShared && isPart)) {
    if ((flags & (IOMAP_NOWAIT | IOMAP_OVERWRITE_ONLY)) !== 0) throw wouldWait(inode);
    if ((flags & IOMAP_ATOMIC) !== 0) throw invalid('an atomic write cannot go through the cache', inode, pos);
    call.fallback = true;
    return;
  }
  if (type === 'hole' || device === undefined) {
    throw new FsError('EUCLEAN', { why: 'a write was mapped to a hole', detail: { ino: inode.ino, pos } });
  }
  checkAligned(iomap, inode, pos, mapEnd - pos);
  const onlyOverwrites = !isNew && !isShared;
  if ((flags & IOMAP_OVERWRITE_ONLY) !== 0 && !onlyOverwrites) throw wouldWait(inode); // guard: overwrite-only (pitfall 14)
  if (!onlyOverwrites || (iomap.flags & IOMAP_F_DIRTY) !== 0) call.overwrites = false; // guard: fua-only-overwrites (pitfall 14)
  if ((flags & IOMAP_ATOMIC) !== 0) checkAtomicMap(iter);
  if ((iomap.flags & IOMAP_F_NEW) !== 0) call.fresh = [...call.fresh, { pos, end: mapEnd }];
  call.unwritten ||= type === 'unwritten';
  call.shared ||= isShared;
  const headPad = isNew ? pos % blockSize : 0; // guard: direct-pads-head (pitfall 14) | without: const headPad = 0;
  // Past the end of the file a block holds what it held before, new or not.
  const padsTail = isNew || mapEnd >= inode.size;
  const blockEnd = Math.min(roundUp(mapEnd, blockSize), iomap.offset + iomap.length);
  const tailPad = padsTail ? blockEnd - mapEnd : 0; // guard: direct-pads-tail (pitfall 14) | without: const tailPad = 0;
  const atomicBio = (flags & IOMAP_ATOMIC) !== 0 && (iomap.flags & IOMAP_F_ATOMIC_BIO) !== 0;
  const padding = headPad + tailPad > 0 ? { head: headPad, tail: tailPad } : NO_PADDING;
  call.bios.add(iomap, pos, bytes, pos - start, mapEnd - start, padding, atomicBio);
  iter.done = mapEnd - pos;
}

/** @throws FsError EINVAL, EOPNOTSUPP where the mapping does not make an atomic write of all of the call */
function checkAtomicMap<I extends IomapInode>({ inode, iomap, pos, mapEnd, limit }: IomapIter<I>): void {
  if (mapEnd < limit) throw invalid('the filesystem cannot map an atomic write whole', inode, pos);
  const byDevice = (iomap.flags & IOMAP_F_ATOMIC_BIO) !== 0;
  if (!byDevice && (iomap.flags & IOMAP_F_SHARED) === 0) throw new FsError('EOPNOTSUPP', { why: 'no atomic write of these blocks' });
  const most = Math.min(iomap.device?.limits.atomicWriteBytes ?? 0, iomap.device?.limits.maxBioBytes ?? 0);
  if (byDevice && limit - pos > most) throw invalid('longer than the device writes atomically', inode, pos);
}

/** `DioOps.endIo`, also after a failure, whose error goes before its own. */
function* endIo<I extends IomapInode>(
  inode: I, call: DirectCall<I>,
  end: { pos: number; done: number; write: boolean; atomic: boolean; error: FsError | undefined },
): Io<void> {
  const { dops, unwritten, shared, fresh } = call;
  const { pos, done, write, atomic, error } = end;
  try {
    if (dops.endIo !== undefined) yield* dops.endIo(inode, { pos, done, write, unwritten, shared, atomic, fresh, error });
  } catch (caught) {
    if (error === undefined || !(caught instanceof FsError)) throw caught; // guard: end-io-error-precedence (pitfall 15) | without: throw caught;
  }
}

/** What could not go directly: through the cache, written out, and dropped again, just these bytes. */
function* writeThroughCache<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, pos: number, bytes: Uint8Array, control: IoControl, isRest: boolean,
): Io<number> {
  const { mapping } = inode;
  mapping.cache.trace?.({ type: 'direct-fallback', ino: inode.ino, pos, len: bytes.length });
  let done = 0;
  try {
    done = yield* bufferedWrite(inode, ops, pos, bytes, control.atomic === true ? { atomic: true } : PLAIN);
    mapping.cache.counters.directFallbackBytes += done;
    yield* writeOut(inode, pos, pos + done);
  } catch (error) {
    if (!isRest || !(error instanceof FsError)) throw error;
    return done;
  }
  if (done === 0) return 0;
  yield* invalidateSlow(inode, pos, pos + done);
  return done;
}

function* makeDurable<I extends IomapInode>(inode: I, call: DirectCall<I>, pos: number, len: number): Io<void> {
  const { device } = call.bios;
  const { dops } = call;
  if (dops.sync !== undefined) yield* dops.sync(inode, pos, len); // guard: dsync-append-size (pitfall 14)
  if (dops.sync === undefined && device !== undefined) yield* submitBio(device, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 });
}
