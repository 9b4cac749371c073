/**
 * Fills folios from the device: bios that cover several folios, submitted detached; a folio is unlocked when its last read ends.
 *
 * I1: a folio in the batch is locked, and `folio.reads` counts its reads in flight plus one while the batch sets it up.
 * I2: the batch never waits for a folio lock, so two batches cannot deadlock. I3: before its user waits for anything, it calls
 * `submit`, or waits under `plug` (what is mapped goes out before the read that maps the rest, or with it); and it calls `release`
 * before a wait for memory.
 */
import { plugged, type BlockDevice } from '@iomap/block-device';
import { FsError, submitDetached, type BioRequest, type Io, type IoResult } from '@iomap/io';
import type { Folio, PageCache } from '@iomap/page-cache';
import type { IomapInode } from './iomap.js';

/** Segments of one bio, at most (IOV_MAX of Linux). */
export const BIO_SEGMENTS_MAX = 1024;

interface Part {
  readonly folio: Folio;
  readonly from: number;
  readonly to: number;
}

interface OpenBio {
  readonly device: BlockDevice;
  readonly addr: number;
  readonly parts: Part[];
  readonly segments: Uint8Array[];
  bytes: number;
}

export class ReadBatch {
  readonly #inode: IomapInode;
  readonly #cache: PageCache;
  #open: OpenBio | undefined;
  #requests: BioRequest[] = [];
  #failed: { readonly pos: number; readonly end: number; readonly error: FsError }[] | undefined;
  /** The folio being set up. */
  current: Folio | undefined;

  constructor(inode: IomapInode) {
    this.#inode = inode;
    this.#cache = inode.mapping.cache;
  }

  /** Why byte `pos` could not be read by this batch, if it could not. */
  errorAt(pos: number): FsError | undefined {
    return this.#failed?.find((part) => pos >= part.pos && pos < part.end)?.error;
  }

  /** Takes a folio that the caller has locked. */
  take(folio: Folio): void {
    folio.reads = 1;
    folio.handOff();
    this.current = folio;
  }

  /** The current folio is set up: it unlocks with its last read, now if it has none. */
  release(): void {
    const folio = this.current;
    this.current = undefined;
    if (folio !== undefined) endPart(folio);
  }

  /** Reads [from, to) of the current folio from `addr` of the device. */
  add(device: BlockDevice, addr: number, from: number, to: number): void {
    const folio = this.current;
    if (folio === undefined) return;
    const bytesMax = device.limits.maxBioBytes;
    while (from < to) {
      let open = this.#open;
      const joins = open !== undefined && open.device === device && open.addr + open.bytes === addr &&
        open.bytes < bytesMax && open.segments.length < BIO_SEGMENTS_MAX;
      if (open === undefined || !joins) {
        this.#close();
        open = { device, addr, parts: [], segments: [], bytes: 0 };
        this.#open = open;
      }
      const len = Math.min(to - from, bytesMax - open.bytes);
      folio.reads++;
      open.parts.push({ folio, from, to: from + len });
      open.segments.push(from === 0 && len === folio.size ? folio.data : folio.data.subarray(from, from + len));
      open.bytes += len;
      from += len;
      addr += len;
    }
  }

  /** What comes next goes into another bio. */
  cut(): void {
    this.#close();
  }

  /** Sends what was added so far; does not wait for it. */
  *submit(): Io<void> {
    this.#close();
    const requests = this.#requests;
    if (requests.length === 0) return;
    this.#requests = [];
    yield* submitDetached(requests);
  }

  /** Runs `io`; what was added so far goes down when it first waits, together with what it waits for. */
  plug<T>(io: Io<T>): Io<T> {
    this.#close();
    if (this.#requests.length === 0) return io;
    return plugged(() => {
      const requests = this.#requests;
      this.#requests = [];
      return requests;
    }, io);
  }

  /** Gives up what was not submitted: its folios unlock and stay not uptodate. Plain, for `finally`. */
  abort(): void {
    this.release();
    const open = this.#open;
    this.#open = undefined;
    for (const part of open?.parts ?? []) endPart(part.folio);
    const requests = this.#requests;
    this.#requests = [];
    for (const request of requests) {
      request.end?.({ ok: false, error: new FsError('ECANCELED') });
    }
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const { device, addr, parts, segments, bytes } = open;
    const { counters, trace } = this.#cache;
    counters.readBios++;
    counters.readBioBytes += bytes;
    trace?.({ type: 'bio', ino: this.#inode.ino, op: 'read', addr, len: bytes, segments: segments.length });
    this.#requests.push({
      kind: 'bio',
      target: device,
      bio: { op: 'read', pos: addr, segments, lengthBytes: bytes },
      end: (result) => {
        this.#endRead(parts, result);
      },
    });
  }

  #endRead(parts: readonly Part[], result: IoResult): void {
    for (const { folio, from, to } of parts) {
      if (result.ok) folio.setUptodate(from, to);
      else (this.#failed ??= []).push({ pos: folio.pos + from, end: folio.pos + to, error: result.error });
      endPart(folio);
    }
  }
}

function endPart(folio: Folio): void {
  if (--folio.reads === 0) folio.unlock();
}
