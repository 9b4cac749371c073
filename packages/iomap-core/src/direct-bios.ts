/**
 * The bios of one direct call: straight between the caller's buffer and the device, gathered over the mappings, sent together.
 *
 * I1: a bio's bytes and addresses are multiples of the device's sector; padding is zeroes made for it, never the caller's memory.
 * I2: `done` is what was transferred well from the start on, up to the first byte that was not.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, roundDown, submit, submitAll, type Bio, type BioRequest, type Io } from '@iomap/io';
import type { DioOps, Iomap, IomapInode, IomapOps } from './iomap.js';
import { isValid } from './iter.js';

/** Zeroes to pad with; longer padding repeats them. */
const ZEROES = new Uint8Array(64 * 1024);

/** Zeroes to write before and behind the bytes of a call. */
export interface Padding {
  readonly head: number;
  readonly tail: number;
}

export const NO_PADDING: Padding = Object.freeze({ head: 0, tail: 0 });

export class DirectBios<I extends IomapInode> {
  readonly #inode: I;
  readonly #dops: DioOps<I>;
  readonly #op: 'read' | 'write';
  #requests: BioRequest[] = [];
  /** Where in the file each of them begins. */
  readonly #starts: number[] = [];
  /** By which mappings, but the last: made when it is needed. */
  #sampled: Iomap[] | undefined;
  /** The first that failed; -1 = none. */
  #failed = -1;
  /** The last device that was written to. */
  device: BlockDevice | undefined;

  constructor(inode: I, dops: DioOps<I>, op: 'read' | 'write') {
    this.#inode = inode;
    this.#dops = dops;
    this.#op = op;
    this.#sampled = undefined;
    this.device = undefined;
  }

  /**
   * Adds the bios of [from, to) of `buffer`, which is at `pos` of the file, where `iomap` says. The device is there (checked before).
   * @param atomic it is one bio, all or nothing
   */
  add(iomap: Iomap, pos: number, buffer: Uint8Array, from: number, to: number, padding = NO_PADDING, atomic = false): void {
    const { device } = iomap;
    if (device === undefined) return;
    this.device = device;
    const bytes = from === 0 && to === buffer.length ? buffer : buffer.subarray(from, to);
    const { head, tail } = padding;
    const total = head + bytes.length + tail;
    const { maxBioBytes } = device.limits;
    const most = atomic || total <= maxBioBytes ? total : roundDown(maxBioBytes, device.sectorSize);
    const addr = iomap.addr + (pos - head - iomap.offset);
    for (let at = 0; at < total; at += most) {
      const end = Math.min(total, at + most);
      const segments = total === bytes.length && most >= total ? [bytes] : cut(bytes, head, at, end);
      const op = this.#op;
      const bio: Bio = atomic
        ? { op, pos: addr + at, segments, lengthBytes: end - at, atomic }
        : { op, pos: addr + at, segments, lengthBytes: end - at };
      const request: BioRequest = { kind: 'bio', target: device, bio };
      const start = Math.max(pos, pos - head + at);
      this.#requests.push(this.#dops.submitIo?.(this.#inode, request, start) ?? request);
      this.#starts.push(start);
    }
  }

  /**
   * Sends all and waits for all.
   * @param fua each write is durable when it ends
   * @returns why some failed, if any did (then see `failedAt`)
   */
  *submit(fua: boolean): Io<FsError | undefined> {
    if (this.#requests.length === 0) return undefined;
    if (fua) this.#requests = this.#requests.map((one) => ({ ...one, bio: { ...one.bio, fua } }));
    const requests = this.#requests;
    for (const { bio } of requests) this.#count(bio, fua);
    const only = requests.length === 1 ? requests[0] : undefined;
    try {
      yield* only === undefined ? submitAll(requests) : submit(only);
      return undefined;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#failed = only === undefined ? requests.findIndex((one) => one.result?.ok !== true) : 0;
      return error;
    }
  }

  #count({ pos: addr, lengthBytes: len, segments, atomic = false }: Bio, fua: boolean): void {
    const { counters, trace } = this.#inode.mapping.cache;
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

  /** The first byte of the file that was not transferred, at most `end`. */
  failedAt(end: number): number {
    // In the order of the file.
    return this.#failed < 0 ? end : Math.min(end, this.#starts[this.#failed] ?? end);
  }

  /** Another mapping comes next: remembers this one for `stillMapped`. */
  keep(iomap: Iomap): void {
    if (iomap.type === 'mapped') (this.#sampled ??= []).push({ ...iomap });
  }

  /** All that was read lies where it did when its place was looked up. */
  stillMapped(ops: IomapOps<I>): boolean {
    for (const iomap of this.#sampled ?? []) if (!isValid(ops, this.#inode, iomap)) return false;
    return true;
  }
}

/** [from, to) of `bytes` with `head` zeroes before it and zeroes behind, as segments. */
function cut(bytes: Uint8Array, head: number, from: number, to: number): Uint8Array[] {
  const segments: Uint8Array[] = [];
  const dataEnd = head + bytes.length;
  for (let at = from; at < to; ) {
    let end: number;
    if (at >= head && at < dataEnd) {
      end = Math.min(to, dataEnd);
      segments.push(bytes.subarray(at - head, end - head));
    } else {
      end = Math.min(to, at < head ? head : to, at + ZEROES.length);
      segments.push(ZEROES.subarray(0, end - at));
    }
    at = end;
  }
  return segments;
}
