/**
 * The bios of one direct call: straight between the caller's buffer and the device, gathered over the mappings, sent together.
 *
 * I1: a bio's bytes and addresses are multiples of the device's sector; padding is zeroes made for it, never the caller's memory.
 * I2: `done` is what was transferred well from the start on, up to the first byte that was not.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, roundDown, submitAll, type BioRequest, type Io } from '@iomap/io';
import type { DioOps, Iomap, IomapInode } from './iomap.js';

/** Zeroes to pad with; longer padding repeats them. */
const ZEROES = new Uint8Array(64 * 1024);

/** Bytes of the call that one bio carries: [pos, end) of the file. */
interface Piece {
  readonly request: BioRequest;
  readonly pos: number;
  readonly end: number;
}

/** A stretch of the file that goes to one stretch of the device. */
export interface Stretch {
  readonly iomap: Iomap & { readonly device: BlockDevice };
  /** Of the file. */
  readonly pos: number;
  readonly bytes: Uint8Array;
  /** Zeroes to write before and behind `bytes`. */
  readonly headPad: number;
  readonly tailPad: number;
}

export class DirectBios<I extends IomapInode> {
  readonly #inode: I;
  readonly #dops: DioOps<I>;
  readonly #op: 'read' | 'write';
  readonly #pieces: Piece[] = [];
  /** The first piece that failed; -1 = none. */
  #failed = -1;
  /** The last device that was written to. */
  device: BlockDevice | undefined;

  constructor(inode: I, dops: DioOps<I>, op: 'read' | 'write') {
    this.#inode = inode;
    this.#dops = dops;
    this.#op = op;
    this.device = undefined;
  }

  get count(): number {
    return this.#pieces.length;
  }

  /** Adds the bios of a stretch. `atomic`: it is one bio, all or nothing. */
  add(stretch: Stretch, atomic = false): void {
    const { iomap, pos, bytes, headPad, tailPad } = stretch;
    const { device } = iomap;
    this.device = device;
    const total = headPad + bytes.length + tailPad;
    const most = atomic ? total : roundDown(device.limits.maxBioBytes, device.sectorSize);
    const addr = iomap.addr + (pos - headPad - iomap.offset);
    for (let at = 0; at < total; at += most) {
      const end = Math.min(total, at + most);
      const segments = cut(stretch, at, end);
      const request: BioRequest = {
        kind: 'bio',
        target: device,
        bio: { op: this.#op, pos: addr + at, segments, lengthBytes: end - at, ...(atomic ? { atomic } : {}) },
      };
      const from = Math.max(pos, pos - headPad + at);
      const sent = this.#dops.submitIo?.(this.#inode, request, from) ?? request;
      this.#pieces.push({ request: sent, pos: from, end: Math.min(pos + bytes.length, pos - headPad + end) });
    }
  }

  /**
   * Sends all and waits for all.
   * @param fua each write is durable when it ends
   * @returns why some failed, if any did (then see `failedAt`)
   */
  *submit(fua: boolean): Io<FsError | undefined> {
    if (this.#pieces.length === 0) return undefined;
    const { cache } = this.#inode.mapping;
    const { counters, trace } = cache;
    const requests = this.#pieces.map(({ request }) => (fua ? { ...request, bio: { ...request.bio, fua } } : request));
    for (const { bio } of requests) {
      const { pos: addr, lengthBytes: len, segments, atomic = false } = bio;
      if (this.#op === 'read') {
        counters.readBios++;
        counters.readBioBytes += len;
      } else {
        counters.writeBios++;
        counters.writeBioBytes += len;
        if (fua) counters.fuaBios++;
        if (atomic) counters.atomicBios++;
      }
      trace?.({ type: 'bio', ino: this.#inode.ino, op: this.#op, addr, len, segments: segments.length, fua, atomic });
    }
    try {
      yield* submitAll(requests);
      return undefined;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#failed = requests.findIndex((one) => one.result?.ok !== true);
      return error;
    }
  }

  /** The first byte of the file that was not transferred, at most `end`. */
  failedAt(end: number): number {
    // Pieces are in the order of the file.
    return this.#failed < 0 ? end : Math.min(end, this.#pieces[this.#failed]?.pos ?? end);
  }
}

/** The segments of [from, to) of a stretch with its padding. */
function cut({ bytes, headPad }: Stretch, from: number, to: number): Uint8Array[] {
  const segments: Uint8Array[] = [];
  const dataEnd = headPad + bytes.length;
  for (let at = from; at < to; ) {
    let end: number;
    if (at >= headPad && at < dataEnd) {
      end = Math.min(to, dataEnd);
      segments.push(bytes.subarray(at - headPad, end - headPad));
    } else {
      end = Math.min(to, at < headPad ? headPad : to, at + ZEROES.length);
      segments.push(ZEROES.subarray(0, end - at));
    }
    at = end;
  }
  return segments;
}
