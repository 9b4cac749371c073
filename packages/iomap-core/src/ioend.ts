/**
 * One write of file data to the device and its completion: a bio of many segments that may cover several folios.
 *
 * - It counts as writeback of each folio that it touches until it ends. `end` is exact: not past the size of the file.
 * - A failure is kept in the mapping and its blocks stay clean (the error is reported once, by `takeError`); a failure that says
 *   nothing of the medium (ENOTSUP, EAGAIN, ECANCELED) makes them dirty again.
 * - It is bounded in bytes and segments, so that a completion is short.
 */
import type { BlockDevice } from '@iomap/block-device';
import { isCode, type FsError, type BioRequest, type IoResult } from '@iomap/io';
import type { Folio, InFlight } from '@iomap/page-cache';
import { IOMAP_F_ATOMIC_BIO, IOMAP_F_SHARED, type IoendInfo, type Iomap, type IomapInode, type IomapType, type WritebackOps } from './iomap.js';
import { BIO_SEGMENTS_MAX } from './read-batch.js';

const IOEND_BYTES_MAX = 8 * 1024 * 1024;

/** Failures of the way down, not of the data: the blocks stay dirty. */
export const isTransient = (error: unknown): boolean => isCode(error, 'ENOTSUP', 'EAGAIN', 'ECANCELED');

interface Part {
  readonly folio: Folio;
  readonly from: number;
  readonly to: number;
}

/** The ioends of one atomic write, which end together; the first stands for all. */
export class AtomicGroup<I extends IomapInode> {
  readonly pos: number;
  readonly len: number;
  readonly members: Ioend<I>[] = [];
  /** Members in flight, and one for who puts it together. */
  #pending = 1;
  #error: FsError | undefined;

  constructor(pos: number, len: number) {
    this.pos = pos;
    this.len = len;
    this.#error = undefined;
  }

  add(ioend: Ioend<I>): void {
    ioend.group = this;
    this.members.push(ioend);
    this.#pending++;
  }

  /** A member ended, or (once) all are there. */
  release(error: FsError | undefined): void {
    this.#error ??= error;
    if (--this.#pending > 0) return;
    const first = this.members[0];
    // A truncate may have come to the middle of it: what is empty now says nothing of the end.
    for (const one of this.members) if (first !== undefined && one.end > one.pos) first.end = one.end;
    for (const one of this.members) one.completed(this.#error);
  }
}

export class Ioend<I extends IomapInode> implements InFlight, IoendInfo {
  readonly inode: I;
  readonly ops: WritebackOps<I>;
  readonly device: BlockDevice;
  readonly addr: number;
  readonly type: IomapType;
  readonly flags: number;
  readonly private: unknown;
  /** Why it did not get as far as the device, or did not end well. */
  error: FsError | undefined;
  bytes = 0;
  readonly pos: number;
  end: number;
  done = false;
  group: AtomicGroup<I> | undefined;
  /** Where completion may wait: takes it when its bio has ended well, and calls `complete` in a task of its own. */
  collect: ((ioend: Ioend<I>) => void) | undefined;
  readonly #parts: Part[] = [];
  readonly #segments: Uint8Array[] = [];

  constructor(inode: I, ops: WritebackOps<I>, iomap: Iomap & { device: BlockDevice }, addr: number, pos: number) {
    this.inode = inode;
    this.ops = ops;
    this.device = iomap.device;
    this.type = iomap.type;
    this.flags = iomap.flags;
    this.private = iomap.private;
    this.addr = addr;
    this.pos = pos;
    this.end = pos;
    this.error = undefined;
    this.group = undefined;
    this.collect = undefined;
    inode.mapping.addInFlight(this);
  }

  /** How many bytes at `addr` of the device, from `pos` of the file, may join: what follows on in both. */
  roomFor(iomap: Iomap, addr: number, pos: number): number {
    const follows = this.pos + this.bytes === pos && this.addr + this.bytes === addr;
    const alike = this.device === iomap.device && this.type === iomap.type &&
      (this.flags & IOMAP_F_SHARED) === (iomap.flags & IOMAP_F_SHARED);
    if (!follows || !alike || this.#segments.length >= BIO_SEGMENTS_MAX) return 0;
    const most = Math.min(IOEND_BYTES_MAX, this.device.limits.maxBioBytes); // guard: ioend-bounded (pitfall 18) | without: const most = Infinity;
    return most - this.bytes;
  }

  /** Adds [from, to) of a locked folio; it counts as under writeback from now on. */
  add(folio: Folio, from: number, to: number): void {
    folio.startWriteback();
    this.#parts.push({ folio, from, to });
    this.#segments.push(from === 0 && to === folio.size ? folio.data : folio.data.subarray(from, to));
    this.bytes += to - from;
    this.end = folio.pos + to;
    this.end = Math.max(this.pos, Math.min(this.end, this.inode.size)); // guard: ioend-exact-end (pitfall 9)
  }

  request(): BioRequest {
    const { addr, bytes, device, inode } = this;
    const segments = this.#segments;
    const { counters, trace } = inode.mapping.cache;
    const atomic = this.group !== undefined && (this.flags & IOMAP_F_ATOMIC_BIO) !== 0;
    counters.ioends++;
    counters.writeBios++;
    counters.writeBioBytes += bytes;
    if (atomic) counters.atomicBios++;
    trace?.({ type: 'bio', ino: inode.ino, op: 'write', addr, len: bytes, segments: segments.length, atomic });
    return {
      kind: 'bio',
      target: device,
      bio: { op: 'write', pos: addr, segments, lengthBytes: bytes, ...(atomic ? { atomic } : {}) },
      end: (result) => {
        this.finish(result);
      },
    };
  }

  /** The write ended, or was given up (ECANCELED). Plain. */
  finish(result: IoResult): void {
    const error = result.ok ? undefined : result.error;
    if (this.group === undefined) this.completed(error);
    else this.group.release(error);
  }

  /** Its write, and those that end with it, ended. Plain. */
  completed(error: FsError | undefined): void {
    this.error = error;
    if (this.collect !== undefined) {
      this.collect(this);
      return;
    }
    if (error === undefined && this.tells) this.ops.endIoend?.(this.inode, this);
    this.complete(error);
  }

  /** Of a group only the first tells the filesystem; its `end` is that of all. */
  get tells(): boolean {
    return this.group === undefined || this.group.members[0] === this;
  }

  get atomic(): boolean {
    return this.group !== undefined;
  }

  /** The last of it: its folios are not under writeback any more. Plain. */
  complete(error: FsError | undefined): void {
    const { inode } = this;
    const { mapping } = inode;
    if (error !== undefined) this.#fail(error);
    for (const { folio } of this.#parts) folio.endWriteback();
    this.done = true;
    const result: IoResult = error === undefined ? { ok: true } : { ok: false, error };
    mapping.cache.trace?.({ type: 'ioend', ino: inode.ino, pos: this.pos, len: this.end - this.pos, result });
    mapping.endInFlight(this);
  }

  #fail(error: FsError): void {
    const { inode } = this;
    const { mapping } = inode;
    const again = isTransient(error);
    if (error.code !== 'ECANCELED') mapping.setError(error); // guard: error-kept (pitfall 6)
    mapping.cache.counters.writebackErrors++;
    for (const { folio, from, to } of this.#parts) {
      if (again) folio.markDirty(from, to);
      else this.#discard(folio, from, to);
    }
    if (again && this.group !== undefined) mapping.addAtomic(this.group.pos, this.group.len);
  }

  /** Gives up [from, to), but for what is dirty again: that is still to go to the place that it has. */
  #discard(folio: Folio, from: number, to: number): void {
    const { inode } = this;
    const { cache } = inode.mapping;
    for (let at = from; at < to; ) {
      const first = folio.nextClean(at, to); // guard: discard-spares-dirty (pitfall 5) | without: const first = at;
      const end = Math.max(folio.nextDirty(first, to), Math.min(to, first + inode.blockSize));
      if (first < end) {
        cache.trace?.({ type: 'discard', ino: inode.ino, pos: folio.pos + first, len: end - first });
        this.ops.discardRange?.(inode, folio.pos + first, end - first); // guard: discard-exact (pitfall 4, 5)
      }
      at = end;
    }
  }
}
