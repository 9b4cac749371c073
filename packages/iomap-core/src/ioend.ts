/**
 * One write of file data to the device and its completion: a bio of many segments that may cover several folios.
 *
 * - It counts as writeback of each folio that it touches until it ends. `end` is exact: not past the size of the file.
 * - A failure is kept in the mapping and its blocks stay clean (the error is reported once, by `takeError`); a failure that says
 *   nothing of the medium (ENOTSUP, EAGAIN, ECANCELED) makes them dirty again.
 * - It is bounded in bytes and segments, so that a completion is short.
 */
import type { BlockDevice } from '@iomap/block-device';
import { type FsError, isCode, type BioRequest, type IoResult } from '@iomap/io';
import type { Folio, InFlight } from '@iomap/page-cache';
import type { IoendInfo, Iomap, IomapInode, IomapType, WritebackOps } from './iomap.js';
import { BIO_SEGMENTS_MAX } from './read-batch.js';

const IOEND_BYTES_MAX = 8 * 1024 * 1024;

/** Failures of the way down, not of the data: the blocks stay dirty. */
export const isTransient = (error: unknown): boolean => isCode(error, 'ENOTSUP', 'EAGAIN', 'ECANCELED');

interface Part {
  readonly folio: Folio;
  readonly from: number;
  readonly to: number;
}

export class Ioend<I extends IomapInode> implements InFlight, IoendInfo {
  readonly inode: I;
  readonly device: BlockDevice;
  readonly addr: number;
  readonly type: IomapType;
  readonly flags: number;
  readonly private: unknown;
  atomic = false;
  bytes = 0;
  readonly pos: number;
  end: number;
  done = false;
  readonly #ops: WritebackOps<I>;
  readonly #parts: Part[] = [];
  readonly #segments: Uint8Array[] = [];

  constructor(inode: I, ops: WritebackOps<I>, iomap: Iomap & { device: BlockDevice }, addr: number, pos: number) {
    this.inode = inode;
    this.device = iomap.device;
    this.type = iomap.type;
    this.flags = iomap.flags;
    this.private = iomap.private;
    this.addr = addr;
    this.pos = pos;
    this.end = pos;
    this.#ops = ops;
    inode.mapping.addInFlight(this);
  }

  /** How many bytes at `addr` of the device, from `pos` of the file, may join: what follows on in both. */
  roomFor(iomap: Iomap, addr: number, pos: number): number {
    if (this.pos + this.bytes !== pos || this.device !== iomap.device || this.type !== iomap.type || this.addr + this.bytes !== addr) return 0;
    if (this.#segments.length >= BIO_SEGMENTS_MAX) return 0;
    return Math.min(IOEND_BYTES_MAX, this.device.limits.maxBioBytes) - this.bytes;
  }

  /** Adds [from, to) of a locked folio; it counts as under writeback from now on. */
  add(folio: Folio, from: number, to: number): void {
    folio.startWriteback();
    this.#parts.push({ folio, from, to });
    this.#segments.push(from === 0 && to === folio.size ? folio.data : folio.data.subarray(from, to));
    this.bytes += to - from;
    this.end = Math.min(folio.pos + to, this.inode.size);
  }

  request(): BioRequest {
    const { addr, bytes, device, inode } = this;
    const segments = this.#segments;
    const { counters, trace } = inode.mapping.cache;
    counters.ioends++;
    counters.writeBios++;
    counters.writeBioBytes += bytes;
    trace?.({ type: 'bio', ino: inode.ino, op: 'write', addr, len: bytes, segments: segments.length });
    return {
      kind: 'bio',
      target: device,
      bio: { op: 'write', pos: addr, segments, lengthBytes: bytes },
      end: (result) => {
        this.finish(result);
      },
    };
  }

  /** The write ended, or was given up (ECANCELED). Plain. */
  finish(result: IoResult): void {
    const { inode } = this;
    const { mapping } = inode;
    if (result.ok) this.#ops.endIoend?.(inode, this);
    else this.#fail(result.error);
    for (const { folio } of this.#parts) folio.endWriteback();
    this.done = true;
    mapping.cache.trace?.({ type: 'ioend', ino: inode.ino, pos: this.pos, len: this.end - this.pos, result });
    mapping.endInFlight(this);
  }

  #fail(error: FsError): void {
    const { inode } = this;
    const again = isTransient(error);
    if (error.code !== 'ECANCELED') inode.mapping.setError(error);
    inode.mapping.cache.counters.writebackErrors++;
    for (const { folio, from, to } of this.#parts) {
      if (again) folio.markDirty(from, to);
      else this.#ops.discardRange?.(inode, folio.pos + from, to - from);
    }
  }
}
