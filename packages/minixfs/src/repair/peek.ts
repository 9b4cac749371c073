/**
 * Looks at a few bytes anywhere on a device, as searches do: pages in a small cache, and a bound on what is read in all.
 *
 * What cannot be read counts as zeroes: a search goes on without it.
 */
import type { BlockDevice } from '@iomap/block-device';
import { isCode, submitBio, type Io } from '@iomap/io';

const PAGE_BYTES = 4096;
const PAGES_MAX = 2048;

export class Peek {
  readonly device: BlockDevice;
  readonly #pages = new Map<number, Uint8Array>();
  #left: number;

  /** @param budgetBytes how much is read from the device at most; behind it everything is zeroes (`isSpent`) */
  constructor(device: BlockDevice, budgetBytes: number) {
    this.device = device;
    this.#left = budgetBytes;
  }

  get isSpent(): boolean {
    return this.#left <= 0;
  }

  /** Bytes at `pos`, to be looked at now: they may be the cache's. Zeroes behind the device's end. */
  *bytes(pos: number, length: number): Io<Uint8Array> {
    const first = Math.floor(pos / PAGE_BYTES);
    const at = pos % PAGE_BYTES;
    if (at + length <= PAGE_BYTES) return (yield* this.#page(first)).subarray(at, at + length);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const index = Math.floor((pos + done) / PAGE_BYTES);
      const from = (pos + done) % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - from, length - done);
      bytes.set((yield* this.#page(index)).subarray(from, from + count), done);
      done += count;
    }
    return bytes;
  }

  *#page(index: number): Io<Uint8Array> {
    const kept = this.#pages.get(index);
    if (kept !== undefined) return kept;
    const oldest = this.#pages.size < PAGES_MAX ? undefined : this.#pages.keys().next().value;
    if (oldest !== undefined) this.#pages.delete(oldest);
    const page = new Uint8Array(PAGE_BYTES);
    yield* this.#read(index * PAGE_BYTES, page);
    this.#pages.set(index, page);
    return page;
  }

  /** Whole sectors of the device only. */
  *#read(pos: number, into: Uint8Array): Io<void> {
    const { sizeBytes, sectorSize } = this.device;
    const end = Math.min(pos + into.length, sizeBytes - (sizeBytes % sectorSize));
    if (end <= pos || this.#left <= 0) return;
    this.#left -= into.length;
    try {
      yield* submitBio(this.device, { op: 'read', pos, segments: [into.subarray(0, end - pos)], lengthBytes: end - pos });
    } catch (error) {
      if (!isCode(error, 'EIO')) throw error;
      into.fill(0);
    }
  }
}
