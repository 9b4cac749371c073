/** The log as a ring of basic blocks: reads that may wrap, and the cycle number at the head of each block. */
import type { BlockDevice } from '@iomap/block-device';
import { roundDown, roundUp, submitBio, type Io } from '@iomap/io';
import { BB, REC_MAGIC } from '../ondisk-log.js';
import { fsbToPos, type SuperInfo } from '../super.js';

export class LogRing {
  /** Basic blocks of the log. */
  readonly length: number;
  readonly #device: BlockDevice;
  readonly #start: number;

  constructor(device: BlockDevice, info: SuperInfo) {
    this.#device = device;
    this.#start = fsbToPos(info, info.logStart);
    this.length = (info.logBlocks * info.blockSize) / BB;
  }

  /** A block number brought into the ring. */
  wrap(block: number): number {
    return ((block % this.length) + this.length) % this.length;
  }

  /** Reads `count` (at most the ring's length) blocks from `block` on, around the end. Waits on: one or two reads. */
  *read(block: number, count: number): Io<Uint8Array> {
    const bytes = new Uint8Array(count * BB);
    const first = Math.min(count, this.length - block);
    yield* this.#readInto(block, bytes.subarray(0, first * BB));
    if (first < count) yield* this.#readInto(0, bytes.subarray(first * BB));
    return bytes;
  }

  *#readInto(block: number, bytes: Uint8Array): Io<void> {
    const { sectorSize, limits } = this.#device;
    const pos = this.#start + block * BB;
    const from = roundDown(pos, sectorSize);
    const end = roundUp(pos + bytes.length, sectorSize);
    const whole = from === pos && end === pos + bytes.length ? bytes : new Uint8Array(end - from);
    const step = roundDown(limits.maxBioBytes, sectorSize);
    for (let at = 0; at < whole.length; at += step) {
      const segment = whole.subarray(at, Math.min(at + step, whole.length));
      yield* submitBio(this.#device, { op: 'read', pos: from + at, segments: [segment], lengthBytes: segment.length });
    }
    if (whole !== bytes) bytes.set(whole.subarray(pos - from, pos - from + bytes.length));
  }

  /** The cycle of one block. */
  *cycle(block: number): Io<number> {
    return cycleAt(yield* this.read(block, 1), 0);
  }
}

/** The cycle of the block at byte `at`: its first word, or the second where the first is a record's magic number. */
export function cycleAt(bytes: Uint8Array, at: number): number {
  const first = wordAt(bytes, at);
  return first === REC_MAGIC ? wordAt(bytes, at + 4) : first;
}

/** A big-endian word, without a view for each of thousands of blocks. */
const wordAt = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) * 2 ** 24 + (bytes[at + 1] ?? 0) * 2 ** 16 + (bytes[at + 2] ?? 0) * 2 ** 8 + (bytes[at + 3] ?? 0);
