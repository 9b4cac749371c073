/**
 * Writeback: dirty blocks of a range become ioends, merged across folios, submitted detached and waited for together.
 *
 * - Runs without the inode lock. The lock of each folio guards its blocks; what maps them is sampled, or checked again, under it
 *   (`WritebackOps.valid`, else the mapping's `validityCookie`), so a truncate cannot hand a block to another file meanwhile.
 * - Nothing stays unsubmitted while it waits for anything: others may wait for those folios.
 * - A `WritebackBatch` gathers the ioends of many files; what lies together on the device, whoever's it is, goes as one bio.
 * - Every block that was tried is clean afterwards, also on failure; the error waits in `mapping.takeError()`.
 * - Only blocks inside the size are written; in the last one the bytes past the size are zeroed first. A wait for a mapping may have
 *   made the size shorter: it is looked at again. (Who truncates sets the size first, then waits for the folios.)
 */
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, FsError, roundUp, type Io, type IoResult } from '@iomap/io';
import type { AddressSpace, Folio, PageCache } from '@iomap/page-cache';
import { IOMAP_ATOMIC, IOMAP_F_ATOMIC_BIO, newIomap, type Iomap, type IomapInode, type WritebackOps } from './iomap.js';
import { AtomicGroup, Ioend, isTransient } from './ioend.js';
import { checkIomap } from './iter.js';
import { WritebackBatch } from './writeback-batch.js';

/** Folios that are looked at beyond the one being mapped. */
const FOLIOS_AHEAD = 256;

/**
 * Puts the dirty blocks of the folios in the range into `batch`, and does not wait for their writes: the caller flushes the
 * batch (it is also flushed on the way, before any wait and when it is full), aborts it in `finally`, and asks
 * `mapping.waitInFlight` for the end.
 * Locks and waits: as `writeback`, but for the completions.
 * @throws FsError as `writeback`
 */
export function* writebackInto<I extends IomapInode>(
  inode: I, ops: WritebackOps<I>, range: { readonly pos: number; readonly len: number }, batch: WritebackBatch,
): Io<void> {
  const { mapping } = inode;
  const end = range.pos + range.len;
  if (mapping.nextDirty(range.pos, end) === undefined) return;
  mapping.cache.trace?.({ type: 'writeback', ino: inode.ino, pos: range.pos, len: range.len });
  yield* new Writeback(inode, ops, batch).run(range.pos, end);
}

/**
 * Writes the dirty blocks of the folios in the range, and waits for these and for earlier writes of it in flight.
 * Failures of the device and of `mapBlocks` are kept in `inode.mapping` (`takeError`); EAGAIN, ENOTSUP leave the data dirty.
 * Locks: none of the inode's. Waits on: folio locks, `mapBlocks`, one completion per ioend.
 * @throws FsError EAGAIN, ENOTSUP of `mapBlocks`, EAGAIN under `runSync` when another task holds a folio
 */
export function* writeback<I extends IomapInode>(
  inode: I, ops: WritebackOps<I>, range: { readonly pos: number; readonly len: number },
): Io<void> {
  const { mapping } = inode;
  const end = range.pos + range.len;
  const batch = new WritebackBatch();
  try {
    yield* writebackInto(inode, ops, range, batch);
    yield* batch.flush();
  } finally {
    batch.abort();
  }
  yield* mapping.waitInFlight(range.pos, end);
}

/** What `syncFileRange` does, in this order; sync_file_range(2). */
export interface SyncFileRange {
  /** Waits for the writes of the range that are in flight. */
  readonly waitBefore?: boolean;
  /** Sends its dirty blocks. */
  readonly write?: boolean;
  /** Waits for the writes of the range. */
  readonly waitAfter?: boolean;
}

/**
 * Writes a range back in steps of the caller's choice. It makes nothing durable (no metadata, no flush) and tells no error.
 * Locks and waits: as `writeback`.
 */
export function* syncFileRange<I extends IomapInode>(
  inode: I, ops: WritebackOps<I>, range: { readonly pos: number; readonly len: number }, how: SyncFileRange,
): Io<void> {
  const end = range.pos + range.len;
  if (how.waitBefore === true) yield* inode.mapping.waitInFlight(range.pos, end);
  if (how.write === true) yield* startWriteback(inode, ops, range);
  if (how.waitAfter === true) yield* inode.mapping.waitInFlight(range.pos, end);
}

/** `writeback` that does not wait for the writes to end (`AddressSpaceHost.startWriteback`). */
export function* startWriteback<I extends IomapInode>(
  inode: I, ops: WritebackOps<I>, range: { readonly pos: number; readonly len: number },
): Io<void> {
  const batch = new WritebackBatch();
  try {
    yield* writebackInto(inode, ops, range, batch);
    yield* batch.flush();
  } finally {
    batch.abort();
  }
}

/**
 * Periodic writeback: has the files written that have been dirty since `nowMs - ageMs` or longer. Call it every few seconds.
 * @param nowMs any clock that does not go back; the cache stamps what gets dirty with the last one given
 * @returns how many files were written back
 */
export function* writebackOlder(cache: PageCache, nowMs: number, ageMs: number): Io<number> {
  // What got dirty before anybody told the time counts as old.
  const old = cache.dirtySince(cache.nowMs < 0 ? nowMs : nowMs - ageMs);
  cache.nowMs = nowMs;
  for (const mapping of old) yield* mapping.host.writeback({ pos: 0, len: Infinity });
  return old.length;
}

class Writeback<I extends IomapInode> {
  readonly #inode: I;
  readonly #ops: WritebackOps<I>;
  readonly #mapping: AddressSpace;
  readonly #iomap: Iomap = newIomap();
  #open: Ioend<I> | undefined;
  /** Closed, and not in the batch yet: their `submitIoend` is still to come. */
  #closed: Ioend<I>[] = [];
  readonly #batch: WritebackBatch;

  constructor(inode: I, ops: WritebackOps<I>, batch: WritebackBatch) {
    this.#batch = batch;
    this.#inode = inode;
    this.#ops = ops;
    this.#mapping = inode.mapping;
  }

  *run(pos: number, end: number): Io<void> {
    const mapping = this.#mapping;
    try {
      for (let at = pos; ; ) {
        const folio = mapping.nextDirty(at, end);
        if (folio === undefined) break;
        if (!folio.tryLock()) {
          yield* this.#flush();
          yield* folio.lock();
        }
        try {
          if (folio.mapping === mapping && folio.writebacks > 0) {
            yield* this.#flush();
            yield* folio.waitWriteback();
          }
          if (folio.mapping === mapping && folio.dirty) yield* this.#writeFolio(folio);
        } finally {
          folio.unlock();
        }
        at = folio.end;
        if (this.#batch.full) yield* this.#flush();
      }
      this.#close();
      if (this.#closed.length > 0) yield* this.#flush();
    } finally {
      this.#giveUp();
    }
  }

  /** Puts the dirty blocks of a locked folio into ioends. */
  *#writeFolio(folio: Folio): Io<void> {
    const { cache, blockSize } = this.#mapping;
    cache.counters.foliosTouched++;
    let limit = this.#clip(folio, blockSize); // guard: writeback-inside-size (pitfall 8) | without: let limit = folio.size;
    for (let from = folio.nextDirty(0, limit); from < limit; from = folio.nextDirty(from, limit)) {
      const unit = this.#mapping.atomic === undefined ? -1 : this.#mapping.atomic.startAt(folio.pos + from);
      if (unit >= 0) {
        from = yield* this.#writeAtomic(folio, unit);
        limit = Math.min(limit, this.#clip(folio, blockSize));
        continue;
      }
      let end = this.#plainEnd(folio, from, limit);
      while (from < end) {
        if (!this.#covers(folio.pos + from)) {
          const isMapped = yield* this.#map(folio, from, end);
          // The size may have become shorter meanwhile: who does that waits for the folio only after it.
          limit = Math.min(limit, this.#clip(folio, blockSize)); // guard: size-again-after-map (pitfall 8)
          end = Math.min(end, limit);
          if (!isMapped) from = end;
          if (from >= end) break;
        }
        from = this.#add(folio, from, Math.min(end, this.#iomap.offset + this.#iomap.length - folio.pos));
      }
      if (from >= limit) break;
    }
  }

  /** Where the dirty run at `from` ends, or the next atomic write begins. */
  #plainEnd(folio: Folio, from: number, limit: number): number {
    const end = folio.nextClean(from, limit);
    const { atomic, blockSize } = this.#mapping;
    if (atomic === undefined || atomic.count === 0) return end;
    return atomic.nextStart(folio.pos + from, folio.pos + end, blockSize) - folio.pos;
  }

  /** An atomic write, all of it in the locked folio: on its own, in one bio or to new blocks. The answer is its end in the folio. */
  *#writeAtomic(folio: Folio, unit: number): Io<number> {
    const { atomic } = this.#mapping;
    const len = atomic?.lengthAt(unit) ?? 0;
    const first = unit - folio.pos;
    const end = first + len;
    const runs = yield* this.#mapAtomic(folio, first, end);
    if (runs === undefined) return end;
    this.#clip(folio, this.#mapping.blockSize);
    if (this.#inode.size <= unit) {
      // A truncate came first, and is about to drop the folio.
      atomic?.remove(unit, unit + len); // guard: atomic-size-again-after-map (pitfall 8)
      return end;
    }
    // No wait from here on: all of it goes, or none.
    const group = new AtomicGroup<I>(unit, len);
    folio.clearDirty(first, end);
    for (const run of runs) this.#addRun(group, folio, run, end);
    atomic?.remove(unit, unit + len);
    for (const one of group.members) this.#closed.push(one);
    group.release(undefined);
    this.#handOver();
    return end;
  }

  /** The runs of an atomic write; undefined = that failed, and all of it was given up. */
  *#mapAtomic(folio: Folio, first: number, end: number): Io<Iomap[] | undefined> {
    const inode = this.#inode;
    const runs: Iomap[] = [];
    try {
      for (let from = first; from < end; ) {
        const iomap = newIomap();
        const pos = folio.pos + from;
        yield* this.#flush();
        this.#mapping.cache.counters.mapBlocks++;
        yield* this.#ops.mapBlocks(inode, pos, end - from, iomap, IOMAP_ATOMIC);
        this.#checkMap(iomap, pos, end - from);
        const inOneBio = (iomap.flags & IOMAP_F_ATOMIC_BIO) !== 0;
        const stop = iomap.offset + iomap.length - folio.pos;
        const most = iomap.device?.limits.atomicWriteBytes ?? 0;
        if (inOneBio && (from !== first || stop < end || end - first > most)) {
          throw corrupt('the device cannot write this whole', { ino: inode.ino, pos });
        }
        runs.push(iomap);
        from = Math.min(end, stop);
      }
      return runs;
    } catch (error) {
      if (!(error instanceof FsError) || isTransient(error)) throw error;
      this.#discard(folio, first, end, error);
      this.#mapping.atomic?.remove(folio.pos + first, folio.pos + end);
      return undefined;
    } finally {
      // What follows is not mapped so.
      this.#iomap.length = 0;
    }
  }

  #addRun(group: AtomicGroup<I>, folio: Folio, run: Iomap, end: number): void {
    const { device } = run;
    if (device === undefined) return;
    const stop = Math.min(end, run.offset + run.length - folio.pos);
    let from = Math.max(run.offset, group.pos) - folio.pos;
    for (const one of group.members) from = Math.max(from, one.pos + one.bytes - folio.pos);
    while (from < stop) {
      const pos = folio.pos + from;
      const ioend = new Ioend(this.#inode, this.#ops, withDevice(run, device), run.addr + (pos - run.offset), pos);
      const n = Math.min(stop - from, device.limits.maxBioBytes);
      ioend.add(folio, from, from + n);
      group.add(ioend);
      from += n;
    }
  }

  /** Cleans what lies past the block of the file's end, zeroes past the end in it; the answer is how far to write. */
  #clip(folio: Folio, blockSize: number): number {
    const { size } = this.#inode;
    const limit = Math.max(0, Math.min(folio.size, roundUp(size, blockSize) - folio.pos));
    if (limit < folio.size) folio.clearDirty(limit, folio.size);
    const inside = size - folio.pos;
    if (inside > 0 && inside < limit && folio.isDirty(inside, limit)) folio.data.fill(0, inside, limit);
    return limit;
  }

  /** True when the mapping at hand covers `pos` and is still true. */
  #covers(pos: number): boolean {
    const iomap = this.#iomap;
    if (pos < iomap.offset || pos >= iomap.offset + iomap.length) return false;
    const valid = this.#ops.valid?.(this.#inode, iomap) ?? iomap.validityCookie === this.#mapping.validityCookie;
    if (!valid) return false; // guard: stale-writeback-mapping (pitfall 2)
    return true;
  }

  /** Maps `from` of a locked folio; false = it failed, and the blocks up to `end` were given up. */
  *#map(folio: Folio, from: number, end: number): Io<boolean> {
    const inode = this.#inode;
    const ops = this.#ops;
    const iomap = this.#iomap;
    const pos = folio.pos + from;
    this.#mapping.cache.counters.mapBlocks++;
    iomap.length = 0;
    iomap.flags = 0;
    iomap.validityCookie = 0;
    const length = end < folio.size ? end - from : this.#dirtyLength(folio, from);
    try {
      if (ops.peekBlocks?.(inode, pos, length, iomap) !== true) {
        yield* this.#flush();
        yield* ops.mapBlocks(inode, pos, length, iomap);
      }
      this.#checkMap(iomap, pos, length);
      return true;
    } catch (error) {
      iomap.length = 0;
      if (!(error instanceof FsError) || isTransient(error)) throw error;
      this.#discard(folio, from, end, error);
      return false;
    }
  }

  #checkMap(iomap: Iomap, pos: number, length: number): void {
    const inode = this.#inode;
    inode.mapping.cache.trace?.({
      type: 'map', ino: inode.ino, pos, len: length, mapType: iomap.type, mapOffset: iomap.offset, mapLength: iomap.length,
      addr: iomap.addr,
    });
    checkIomap(iomap, inode, pos);
    if (iomap.type !== 'mapped' && iomap.type !== 'unwritten') throw corrupt('dirty data over no block', { ino: inode.ino, pos });
  }

  /** Gives up exactly [from, end) of a locked folio: no dirty clot is left behind, and the error is kept for fsync. */
  #discard(folio: Folio, from: number, end: number, error: FsError): void {
    const { cache } = this.#mapping;
    const pos = folio.pos + from;
    this.#mapping.setError(error); // guard: map-error-kept (pitfall 6)
    cache.counters.writebackErrors++;
    cache.trace?.({ type: 'discard', ino: this.#inode.ino, pos, len: end - from });
    this.#ops.discardRange?.(this.#inode, pos, end - from); // guard: map-discard-exact (pitfall 4, 5)
    folio.clearDirty(from, end); // guard: no-dirty-clot (pitfall 6)
  }

  /** How far the dirty data from `from`, which goes to the folio's end, goes on in the next folios: one mapping for many. */
  #dirtyLength(folio: Folio, from: number): number {
    const sizeEnd = roundUp(this.#inode.size, this.#mapping.blockSize);
    let end = folio.end;
    for (let n = 0; n < FOLIOS_AHEAD; n++) {
      const next = this.#mapping.lookup(end);
      const run = next === undefined ? 0 : next.nextClean(0, next.size);
      end += run;
      if (next === undefined || run < next.size) break;
    }
    return Math.min(end, sizeEnd) - (folio.pos + from);
  }

  /** Adds [from, end) of the folio, all of it mapped, to ioends; the answer is `end`. */
  #add(folio: Folio, from: number, end: number): number {
    const iomap = this.#iomap;
    const { device } = iomap;
    if (device === undefined) return end;
    folio.clearDirty(from, end);
    while (from < end) {
      const pos = folio.pos + from;
      const addr = iomap.addr + (pos - iomap.offset);
      let room = this.#open?.roomFor(iomap, addr, pos) ?? 0;
      if (this.#open === undefined || room <= 0) {
        this.#close();
        this.#open = new Ioend(this.#inode, this.#ops, withDevice(iomap, device), addr, pos);
        room = this.#open.roomFor(iomap, addr, pos);
      }
      const n = Math.min(end - from, room);
      this.#open.add(folio, from, from + n);
      from += n;
    }
    return end;
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    this.#closed.push(open);
    this.#handOver();
  }

  /** What is closed goes into the batch, unless the filesystem wants to see each before. */
  #handOver(): void {
    if (this.#ops.submitIoend !== undefined) return;
    const closed = this.#closed;
    this.#closed = [];
    for (const one of closed) this.#batch.add(one);
  }

  *#flush(): Io<void> {
    this.#close();
    yield* this.#batch.flush();
    const ops = this.#ops;
    if (ops.submitIoend === undefined) return;
    for (let one = this.#closed.shift(); one !== undefined; one = this.#closed.shift()) {
      let result: IoResult | undefined;
      let over = false;
      try {
        yield* ops.submitIoend(this.#inode, one);
        over = true;
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        result = { ok: false, error };
        over = true;
      } finally {
        if (!over) one.finish({ ok: false, error: new FsError('ECANCELED') });
      }
      if (result === undefined) this.#batch.add(one);
      else one.finish(result);
    }
    yield* this.#batch.flush();
  }

  /** What is not in the batch is dirty again (a failure, a cancel). Plain, for `finally`. */
  #giveUp(): void {
    this.#close();
    const closed = this.#closed;
    this.#closed = [];
    for (const one of closed) one.finish({ ok: false, error: new FsError('ECANCELED') });
  }
}

const withDevice = (iomap: Iomap, device: BlockDevice): Iomap & { device: BlockDevice } => ({ ...iomap, device });
