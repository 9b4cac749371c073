/**
 * Writeback: dirty blocks of a range become ioends, merged across folios, submitted detached and waited for together.
 *
 * - Runs without the inode lock. The lock of each folio guards its blocks; what maps them is sampled, or checked again, under it
 *   (`WritebackOps.valid`, else the mapping's `validityCookie`), so a truncate cannot hand a block to another file meanwhile.
 * - Nothing stays unsubmitted while it waits for anything: others may wait for those folios.
 * - A `WritebackBatch` gathers the ioends of many files; what lies together on the device, whoever's it is, goes as one bio.
 * - Every block that was tried is clean afterwards, also on failure; the error waits in `mapping.takeError()`.
 * - Only blocks inside the size are written; in the last one the bytes past the size are zeroed first.
 */
import { submitMergedDetached, type BlockDevice } from '@iomap/block-device';
import { corrupt, FsError, roundUp, type BioRequest, type Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import { newIomap, type Iomap, type IomapInode, type WritebackOps } from './iomap.js';
import { Ioend, isTransient } from './ioend.js';
import { checkIomap } from './iter.js';

/** Bytes that are put together before they are sent as one batch. */
const BATCH_BYTES = 16 * 1024 * 1024;
/** Folios that are looked at beyond the one being mapped. */
const FOLIOS_AHEAD = 256;

/** Ioends, of one file or of many, that are put together and sent at once. */
export class WritebackBatch {
  #ready: BioRequest[] = [];
  #bytes = 0;

  /** True when it is time to `flush`. */
  get full(): boolean {
    return this.#bytes >= BATCH_BYTES;
  }

  add(request: BioRequest, bytes: number): void {
    this.#ready.push(request);
    this.#bytes += bytes;
  }

  /** Sends what was put together, neighbours on the device as one; does not wait for it. */
  *flush(): Io<void> {
    const ready = this.#ready;
    if (ready.length === 0) return;
    this.#ready = [];
    this.#bytes = 0;
    yield* submitMergedDetached(ready);
  }

  /** Gives up what was not sent: it is dirty again. Plain, for `finally`. */
  abort(): void {
    const ready = this.#ready;
    this.#ready = [];
    this.#bytes = 0;
    for (const request of ready) request.end?.({ ok: false, error: new FsError('ECANCELED') });
  }
}

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
  const end = range.pos + range.len;
  if (inode.mapping.nextDirty(range.pos, end) !== undefined) yield* new Writeback(inode, ops, batch).run(range.pos, end);
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

class Writeback<I extends IomapInode> {
  readonly #inode: I;
  readonly #ops: WritebackOps<I>;
  readonly #mapping: AddressSpace;
  readonly #iomap: Iomap = newIomap();
  #open: Ioend<I> | undefined;
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
    } finally {
      this.#close();
    }
  }

  /** Puts the dirty blocks of a locked folio into ioends. */
  *#writeFolio(folio: Folio): Io<void> {
    const { cache, blockSize } = this.#mapping;
    cache.counters.foliosTouched++;
    const limit = this.#clip(folio, blockSize);
    for (let from = folio.nextDirty(0, limit); from < limit; from = folio.nextDirty(from, limit)) {
      const end = folio.nextClean(from, limit);
      while (from < end) {
        const pos = folio.pos + from;
        if (!this.#covers(pos) && !(yield* this.#map(folio, from, end))) {
          from = end;
          break;
        }
        from = this.#add(folio, from, Math.min(end, this.#iomap.offset + this.#iomap.length - folio.pos));
      }
      if (from >= limit) break;
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
    return this.#ops.valid?.(this.#inode, iomap) ?? iomap.validityCookie === this.#mapping.validityCookie;
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
      checkIomap(iomap, inode, pos);
      if (iomap.type !== 'mapped' && iomap.type !== 'unwritten') {
        throw corrupt('dirty data over no block', { ino: inode.ino, pos });
      }
      return true;
    } catch (error) {
      iomap.length = 0;
      if (!(error instanceof FsError) || isTransient(error)) throw error;
      this.#mapping.setError(error);
      this.#mapping.cache.counters.writebackErrors++;
      ops.discardRange?.(inode, pos, end - from);
      folio.clearDirty(from, end);
      return false;
    }
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
    this.#batch.add(open.request(), open.bytes);
  }

  *#flush(): Io<void> {
    this.#close();
    yield* this.#batch.flush();
  }
}

const withDevice = (iomap: Iomap, device: BlockDevice): Iomap & { device: BlockDevice } => ({ ...iomap, device });
