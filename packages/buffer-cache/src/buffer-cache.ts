/**
 * The buffer cache: metadata blocks of one device, apart from the page cache, with a budget of its own.
 *
 * - `peek` is the hit, a plain call; `read` waits; `get` is for a block that is about to be overwritten whole.
 * - One block is one buffer: tasks that read the same block at once share one device read (I6).
 * - A buffer of one position keeps one length while it is cached; blocks do not overlap (I7, the driver's to keep; a `read` of
 *   another length is EUCLEAN, since a corrupt image may ask for it).
 * - Dirty buffers go out sorted by position, neighbours in one bio. A buffer dirtied again while its write is in
 *   flight stays dirty.
 * - A failed write leaves the buffer dirty with its error; the first failure is `cache.error` (I8). Nothing here
 *   retries by itself.
 * - Clean idle buffers are evicted, second chance (clock), when the budget is exceeded. Dirty ones never are:
 *   `balance` writes them.
 */
import type { BlockDevice } from '@iomap/block-device';
import {
  assert,
  corrupt,
  FsError,
  IO_OK,
  submit,
  submitBio,
  submitDetached,
  WaitQueue,
  type BioRequest,
  type Io,
  type IoResult,
} from '@iomap/io';

import { Buf, type BufHost, type BufOps, type Fault } from './buf.js';
import { DelwriList } from './delwri.js';
import { planWrites } from './write-plan.js';

export interface BufferCacheOptions {
  /** Bytes of buffers kept; exceeded only by buffers that cannot be evicted. 0 keeps nothing that is idle. */
  readonly budgetBytes: number;
  /** Share of the budget that may be dirty before `overDirty`; default 0.5. */
  readonly dirtyShare?: number;
  /** Called once for each buffer whose write failed. Must not throw. */
  readonly onWriteError?: (error: FsError, buf: Buf) => void;
}

export interface BufferCacheCounters {
  hits: number;
  misses: number;
  /** Bios and bytes that went to the device. */
  readBios: number;
  readBytes: number;
  writeBios: number;
  writeBytes: number;
  evictions: number;
}

/** Buffers that one insert looks at to make room. */
const EVICT_STEPS_MAX = 256;

export class BufferCache implements BufHost {
  readonly device: BlockDevice;
  readonly budgetBytes: number;
  readonly counters: BufferCacheCounters = {
    hits: 0,
    misses: 0,
    readBios: 0,
    readBytes: 0,
    writeBios: 0,
    writeBytes: 0,
    evictions: 0,
  };
  /** The first write that failed. A mount looks at it and shuts down. */
  error: FsError | undefined;

  readonly #bufs = new Map<number, Buf>();
  readonly #dirty = new Set<Buf>();
  /** Writes in flight: clean unless changed since, so `sync` would not find them among the dirty. */
  readonly #writing = new Set<Buf>();
  readonly #owned = new Map<object, Set<Buf>>();
  readonly #dirtyLimit: number;
  readonly #onWriteError: ((error: FsError, buf: Buf) => void) | undefined;
  /** The clock: a ring through all buffers; undefined when there is none. */
  #hand: Buf | undefined;
  #bytes = 0;
  #dirtyBytes = 0;

  constructor(device: BlockDevice, options: BufferCacheOptions) {
    assert(options.budgetBytes >= 0, 'a budget is not negative');
    this.device = device;
    this.budgetBytes = options.budgetBytes;
    this.#dirtyLimit = options.budgetBytes * (options.dirtyShare ?? 0.5);
    this.#onWriteError = options.onWriteError;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get dirtyBytes(): number {
    return this.#dirtyBytes;
  }

  get count(): number {
    return this.#bufs.size;
  }

  /** True when a caller that dirties buffers should `yield* balance()`. Plain, for hot paths. */
  get overDirty(): boolean {
    return this.#dirtyBytes > this.#dirtyLimit;
  }

  /**
   * The buffer at `pos` if it is here and uptodate.
   * @param ops when given, only if it was verified as this type
   */
  peek(pos: number, ops?: BufOps): Buf | undefined {
    const buf = this.#bufs.get(pos);
    if (buf === undefined || !buf.uptodate || buf.doomed) return undefined;
    if (ops !== undefined && buf.ops !== ops) return undefined;
    buf.touched = true;
    this.counters.hits++;
    return buf;
  }

  /**
   * `peek`, or read within the call where the device can (`BlockDevice.readNow`); undefined = take `read`, which also says what is
   * wrong. For a single block, where nothing is gained by reading ahead.
   */
  readNow(pos: number, bytes: number, ops?: BufOps): Buf | undefined {
    const { device } = this;
    const cached = this.peek(pos, ops);
    if (cached !== undefined || device.readNow === undefined || this.#bufs.has(pos)) return cached;
    if (!(pos >= 0 && pos + bytes <= device.sizeBytes) || pos % device.sectorSize !== 0) return undefined;
    const data = new Uint8Array(bytes);
    if (!device.readNow(pos, data)) return undefined;
    const buf = this.#insert(pos, data);
    this.counters.misses++;
    this.counters.readBios++;
    this.counters.readBytes += bytes;
    this.#endRead(buf, ops, IO_OK);
    return buf.gone ? undefined : buf;
  }

  /**
   * A buffer for a block that is going to be overwritten whole: no read. The caller fills it, then says
   * `initialise()` or `zero()`.
   * One that is cached keeps its content and state, unless it is still being read: then a new one takes its place.
   * @throws FsError EUCLEAN when the range is not on the device
   */
  get(pos: number, bytes: number): Buf {
    const cached = this.#bufs.get(pos);
    if (cached !== undefined && !cached.reading) {
      assert(cached.bytes.length === bytes, 'I7: one length per position');
      cached.touched = true;
      cached.doomed = false;
      return cached;
    }
    this.#checkRange(pos, bytes);
    // A read in flight would land over what the caller is going to fill in: it keeps the old buffer to itself.
    if (cached !== undefined) this.#drop(cached);
    return this.#insert(pos, new Uint8Array(bytes));
  }

  /**
   * The buffer at `pos`, read and verified.
   *
   * Waits on: one read, its own or another task's.
   * @throws FsError EIO, EUCLEAN or EBADMSG (the verifier's, or a range off the device)
   */
  *read(pos: number, bytes: number, ops?: BufOps): Io<Buf> {
    for (;;) {
      let buf = this.#bufs.get(pos);
      if (buf?.reading === true) {
        yield* this.#wait(buf);
        if (buf.error !== undefined) throw buf.error;
        continue; // it may have been evicted meanwhile
      }
      if (buf !== undefined && buf.uptodate) {
        // An image may point at one place as two types of block of different lengths.
        if (buf.bytes.length !== bytes) throw corrupt('a metadata block of two sizes', { device: this.device.name, pos });
        this.counters.hits++;
        if (ops !== undefined && buf.ops !== ops) this.#verifyRead(buf, ops);
        buf.touched = true;
        buf.doomed = false;
        return buf;
      }
      this.#checkRange(pos, bytes);
      buf ??= this.#insert(pos, new Uint8Array(bytes));
      yield* this.#fetch(buf, ops);
      if (!buf.gone) return buf; // else its block was freed while it was read
    }
  }

  *#fetch(buf: Buf, ops: BufOps | undefined): Io<void> {
    this.counters.misses++;
    buf.holds++; // or other tasks' reads could evict it before this one is resumed
    try {
      yield* submit(this.#readRequest([buf], ops));
    } finally {
      buf.holds--;
    }
    if (buf.error !== undefined) throw buf.error; // the verifier's: the read itself succeeded
  }

  /**
   * Starts reading `count` adjacent buffers of `bytes` each and does not wait. Those cached are skipped; a range off
   * the device
   * and every failure are silent: the `read` that follows reports.
   */
  *readahead(pos: number, bytes: number, ops?: BufOps, count = 1): Io<void> {
    const requests: BioRequest[] = [];
    let run: Buf[] = [];
    const runMax = Math.max(1, Math.floor(this.device.limits.maxBioBytes / bytes));
    const end = Math.min(pos + bytes * count, this.device.sizeBytes);
    for (let at = pos; at >= 0 && at + bytes <= end; at += bytes) {
      if (this.#bufs.has(at)) {
        if (run.length > 0) requests.push(this.#readRequest(run, ops));
        run = [];
        continue;
      }
      run.push(this.#insert(at, new Uint8Array(bytes)));
      if (run.length === runMax) {
        requests.push(this.#readRequest(run, ops));
        run = [];
      }
    }
    if (run.length > 0) requests.push(this.#readRequest(run, ops));
    if (requests.length > 0) yield* submitDetached(requests);
  }

  #readRequest(run: readonly Buf[], ops: BufOps | undefined): BioRequest {
    const segments: Uint8Array[] = [];
    let lengthBytes = 0;
    for (const buf of run) {
      buf.reading = true;
      buf.error = undefined;
      segments.push(buf.bytes);
      lengthBytes += buf.bytes.length;
    }
    this.counters.readBios++;
    this.counters.readBytes += lengthBytes;
    const end = (result: IoResult): void => {
      for (const buf of run) this.#endRead(buf, ops, result);
    };
    const pos = run[0]?.pos ?? 0;
    return { kind: 'bio', target: this.device, bio: { op: 'read', pos, segments, lengthBytes }, end };
  }

  #endRead(buf: Buf, ops: BufOps | undefined, result: IoResult): void {
    buf.reading = false;
    if (!result.ok) {
      buf.error = result.error;
    } else {
      try {
        if (ops !== undefined) this.#verifyRead(buf, ops);
        buf.uptodate = !buf.gone;
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        buf.error = error;
      }
    }
    if (buf.error !== undefined || buf.doomed) this.#drop(buf);
    buf.waiters?.wakeAll();
  }

  #verifyRead(buf: Buf, ops: BufOps): void {
    const fault = ops.verifyRead?.(buf.view, buf);
    if (fault !== undefined) throw this.#faultError(buf, ops, fault);
    buf.ops = ops;
  }

  #faultError(buf: Buf, ops: BufOps, fault: Fault): FsError {
    const detail = { device: this.device.name, pos: buf.pos, field: fault.field };
    const why = `${ops.name}: ${fault.why}`;
    return fault.checksum === true ? new FsError('EBADMSG', { why, detail }) : corrupt(why, detail);
  }

  #checkRange(pos: number, bytes: number): void {
    const { sectorSize, sizeBytes, name } = this.device;
    if (!(pos >= 0 && bytes > 0 && pos + bytes <= sizeBytes) || pos % sectorSize !== 0 || bytes % sectorSize !== 0) {
      throw corrupt('a metadata block is not on the device', { device: name, pos });
    }
  }

  /**
   * Writes every dirty buffer that is not pinned, and waits for these and for the writes of others in flight. Does not
   * flush the device.
   * @throws FsError the first failure
   */
  *sync(): Io<void> {
    yield* this.writeBufs([...this.#dirty, ...this.#writing]);
  }

  /** As `sync`, for the buffers that were dirtied for `owner` (the fsync list). */
  *syncOwner(owner: object): Io<void> {
    const owned = this.#owned.get(owner);
    if (owned !== undefined) yield* this.writeBufs([...owned]);
  }

  /** Forgets an owner that is no more (an evicted inode); its buffers stay dirty. */
  disown(owner: object): void {
    for (const buf of this.#owned.get(owner) ?? []) buf.owners?.delete(owner);
    this.#owned.delete(owner);
  }

  /** Writes dirty buffers when they have passed their share of the budget. */
  *balance(): Io<void> {
    if (this.overDirty) yield* this.sync();
  }

  /** A new delayed-write list over this cache. */
  delwri(): DelwriList {
    return new DelwriList(this);
  }

  /**
   * Writes those of `bufs` that are dirty and not pinned: sorted, adjacent ones in one vectored bio, all in flight
   * together. When it returns, what they held at the call is on the device, whoever wrote it: a write of one of them that
   * another task has in flight is waited for, and done again if it failed.
   * @throws FsError the first failure, after all have ended; the failed stay dirty
   */
  *writeBufs(bufs: Buf[]): Io<void> {
    let failure: FsError | undefined;
    let left = new Set(bufs);
    while (left.size > 0) {
      const busy = new Set<Buf>();
      const ready: Buf[] = [];
      for (const buf of left) {
        if (buf.writing) {
          busy.add(buf);
          continue;
        }
        if (!buf.dirtyNow || buf.pins > 0 || buf.gone) continue;
        const fault = buf.ops?.verifyWrite?.(buf.view, buf);
        if (fault === undefined || buf.ops === undefined) {
          ready.push(buf);
          continue;
        }
        const error = this.#faultError(buf, buf.ops, fault);
        failure ??= error;
        this.#writeFailed(buf, error);
      }
      const requests = planWrites(ready, this.device.limits.maxBioBytes).map((run) => this.#writeRequest(run));
      if (requests.length > 0) {
        try {
          yield* submit({ kind: 'batch', requests, detached: false });
        } catch (error) {
          if (!(error instanceof FsError)) throw error;
          failure ??= error;
        }
      }
      // What was in flight for another task holds our bytes, or older ones and is dirty again: one more round tells.
      for (const buf of busy) if (buf.writing) yield* this.#wait(buf);
      left = busy;
    }
    if (this.#bytes > this.budgetBytes) this.#evict(undefined);
    if (failure !== undefined) throw failure;
  }

  #writeRequest(run: readonly Buf[]): BioRequest {
    let lengthBytes = 0;
    for (const buf of run) {
      buf.writing = true;
      this.#writing.add(buf);
      this.#clean(buf); // from here on a change marks it dirty again
      lengthBytes += buf.bytes.length;
    }
    this.counters.writeBios++;
    this.counters.writeBytes += lengthBytes;
    const pos = run[0]?.pos ?? 0;
    const end = (result: IoResult): void => {
      for (const buf of run) this.#endWrite(buf, result);
    };
    const bio = { op: 'write', pos, segments: run.map((buf) => buf.bytes), lengthBytes } as const;
    return { kind: 'bio', target: this.device, bio, end };
  }

  #endWrite(buf: Buf, result: IoResult): void {
    buf.writing = false;
    this.#writing.delete(buf);
    if (buf.doomed) {
      this.#disownAll(buf);
      this.#drop(buf);
    } else if (!result.ok) {
      if (!buf.dirtyNow) this.#setDirty(buf);
      this.#writeFailed(buf, result.error);
    } else {
      buf.error = undefined;
      if (!buf.dirtyNow) this.#disownAll(buf);
    }
    buf.waiters?.wakeAll();
  }

  #writeFailed(buf: Buf, error: FsError): void {
    buf.error = error;
    this.error ??= error;
    this.#onWriteError?.(error, buf);
  }

  /**
   * The block was freed: drops its buffer, dirty or not, without writing.
   * @returns false when a write of it is in flight; the block may not be reused for file data before `settle(pos)`
   */
  forget(pos: number): boolean {
    const buf = this.#bufs.get(pos);
    if (buf === undefined) return true;
    assert(buf.pins === 0, 'I4: a pinned buffer is not forgotten');
    if (buf.dirtyNow) this.#clean(buf);
    if (buf.writing || buf.reading) {
      buf.cutShort();
      buf.doomed = true;
      return !buf.writing;
    }
    this.#disownAll(buf);
    this.#drop(buf);
    return true;
  }

  /** Waits until no I/O of the buffer at `pos` is in flight. */
  *settle(pos: number): Io<void> {
    for (;;) {
      const buf = this.#bufs.get(pos);
      if (buf === undefined || !(buf.writing || buf.reading)) return;
      yield* this.#wait(buf);
    }
  }

  /** Drops everything, dirty or not: a mount that has shut down lets go of its memory. */
  discardAll(): void {
    for (const buf of [...this.#bufs.values()]) {
      if (buf.dirtyNow) this.#clean(buf);
      buf.cutShort();
      if (!buf.writing && !buf.reading) this.#drop(buf);
      else buf.doomed = true;
    }
    this.#owned.clear();
  }

  /** Flushes the device: what was written before is durable. */
  *flush(): Io<void> {
    yield* submitBio(this.device, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 });
  }

  *#wait(buf: Buf): Io<void> {
    buf.waiters ??= new WaitQueue(`metadata block at byte ${buf.pos}`);
    yield* submit({ kind: 'wait', queue: buf.waiters });
  }

  // Dirty state and owners ------------------------------------------------------------------------------------------

  /** @internal */
  bufDirtied(buf: Buf, owner: object | undefined): void {
    buf.doomed = false;
    if (!buf.dirtyNow) this.#setDirty(buf);
    if (owner === undefined || buf.owners?.has(owner) === true) return;
    (buf.owners ??= new Set()).add(owner);
    const owned = this.#owned.get(owner);
    if (owned === undefined) this.#owned.set(owner, new Set([buf]));
    else owned.add(buf);
  }

  #setDirty(buf: Buf): void {
    buf.dirtyNow = true;
    this.#dirty.add(buf);
    this.#dirtyBytes += buf.bytes.length;
  }

  #clean(buf: Buf): void {
    buf.dirtyNow = false;
    if (this.#dirty.delete(buf)) this.#dirtyBytes -= buf.bytes.length;
  }

  #disownAll(buf: Buf): void {
    for (const owner of buf.owners ?? []) {
      const owned = this.#owned.get(owner);
      owned?.delete(buf);
      if (owned?.size === 0) this.#owned.delete(owner);
    }
    buf.owners = undefined;
  }

  // Memory ----------------------------------------------------------------------------------------------------------

  /** @internal */
  bufReleased(buf: Buf): void {
    if (this.#bytes > this.budgetBytes && !buf.busy) this.#evict(undefined);
  }

  #insert(pos: number, bytes: Uint8Array): Buf {
    const buf = new Buf(this, pos, bytes);
    this.#bufs.set(pos, buf);
    this.#bytes += bytes.length;
    const hand = this.#hand;
    if (hand === undefined) {
      this.#hand = buf;
    } else {
      // Just behind the hand: the last place it will come to.
      buf.next = hand;
      buf.prev = hand.prev;
      hand.prev.next = buf;
      hand.prev = buf;
    }
    if (this.#bytes > this.budgetBytes) this.#evict(buf);
    return buf;
  }

  /** Second chance, at most two rounds; `spare` is the buffer that the caller is about to use. */
  #evict(spare: Buf | undefined): void {
    // A bounded walk: when nearly all is dirty or held, an insert must not pay for the whole ring each time.
    let steps = Math.min(2 * this.#bufs.size, EVICT_STEPS_MAX);
    while (this.#bytes > this.budgetBytes && steps-- > 0) {
      const buf: Buf | undefined = this.#hand;
      if (buf === undefined) return;
      this.#hand = buf.next;
      if (buf === spare || buf.busy) continue;
      if (buf.touched) {
        buf.touched = false;
        buf.cutShort();
        continue;
      }
      this.counters.evictions++;
      this.#drop(buf);
    }
  }

  #drop(buf: Buf): void {
    if (buf.gone) return;
    buf.gone = true;
    buf.uptodate = false;
    buf.cutShort();
    this.#bufs.delete(buf.pos);
    this.#bytes -= buf.bytes.length;
    if (buf.next === buf) {
      this.#hand = undefined;
    } else {
      if (this.#hand === buf) this.#hand = buf.next;
      buf.prev.next = buf.next;
      buf.next.prev = buf.prev;
    }
    buf.next = buf;
    buf.prev = buf;
  }
}
