/**
 * A device in memory: sparse, in chunks that are allocated when first written, so that a 1 TiB device costs nothing.
 *
 * - `memoryDevice({ sizeBytes })`: starts as a hole; discard and writeZeroes give chunks back.
 * - `memoryDeviceFrom(bytes)`: over the caller's bytes, which are read and written in place.
 */
import { FsError, IO_OK, type Bio, type IoResult } from '@iomap/io';
import { z } from 'zod';
import { checkBio, MAX_BIO_BYTES } from './bio.js';
import type { BlockDevice, BlockDeviceLimits } from './device.js';
import { checkSize, parseOptions, sectorSizeOption, sizeBytesOption } from './options.js';

/** Small enough that scattered metadata does not blow up the memory, large enough that a MiB is 16 copies. */
const CHUNK_BYTES = 65_536;

export const memoryDeviceOptions = z.strictObject({
  /** Bytes, a multiple of `sectorSize`. */
  sizeBytes: sizeBytesOption,
  sectorSize: sectorSizeOption,
  /** For messages. */
  name: z.string().default('memory'),
});
export type MemoryDeviceOptions = z.input<typeof memoryDeviceOptions>;

export interface MemoryDevice extends BlockDevice {
  /** Bytes of memory behind the device. */
  readonly allocatedBytes: number;
  resize(sizeBytes: number): void;
  /** A copy of the whole content; for tests and small images. */
  toBytes(): Uint8Array;
}

const LIMITS: BlockDeviceLimits = Object.freeze({
  maxBioBytes: MAX_BIO_BYTES,
  atomicWriteBytes: MAX_BIO_BYTES,
  discard: true,
  writeZeroes: true,
});

class ChunkedMemory implements MemoryDevice {
  readonly name: string;
  readonly synchronous = true;
  readonly readOnly = false;
  readonly sectorSize: number;
  readonly limits = LIMITS;
  sizeBytes: number;
  readonly #chunkBytes: number;
  readonly #chunks = new Map<number, Uint8Array>();
  /** The caller's bytes: one chunk that is never given back. */
  readonly #fixed: Uint8Array | undefined;

  constructor(name: string, sizeBytes: number, sectorSize: number, fixed?: Uint8Array) {
    this.name = name;
    this.sizeBytes = sizeBytes;
    this.sectorSize = sectorSize;
    this.#fixed = fixed;
    this.#chunkBytes = fixed === undefined ? CHUNK_BYTES : Math.max(1, fixed.length);
    if (fixed !== undefined) this.#chunks.set(0, fixed);
  }

  get allocatedBytes(): number {
    return this.#chunks.size * this.#chunkBytes;
  }

  submit(bio: Bio): IoResult {
    const bad = checkBio(this, bio);
    if (bad !== undefined) return bad;
    if (bio.op === 'discard' || bio.op === 'writeZeroes') {
      this.#zero(bio.pos, bio.lengthBytes);
      return IO_OK;
    }
    const { segments } = bio;
    let { pos } = bio;
    for (let i = 0; i < segments.length; i++) {
      const segment = segments[i];
      if (segment === undefined) continue;
      if (bio.op === 'read') this.#read(segment, pos);
      else this.#write(segment, pos);
      pos += segment.length;
    }
    return IO_OK;
  }

  readNow(pos: number, bytes: Uint8Array): boolean {
    if (!(pos >= 0) || pos + bytes.length > this.sizeBytes) return false;
    this.#read(bytes, pos);
    return true;
  }

  resize(sizeBytes: number): void {
    checkSize(sizeBytes, this.sectorSize);
    if (this.#fixed !== undefined && sizeBytes > this.#fixed.length) {
      throw new FsError('ENOSPC', { why: 'the device is over bytes of a fixed size', detail: { device: this.name } });
    }
    // What is cut off reads as zeroes if the device grows again.
    if (sizeBytes < this.sizeBytes) this.#zero(sizeBytes, this.sizeBytes - sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.sizeBytes);
    for (const [index, chunk] of this.#chunks) {
      const pos = index * this.#chunkBytes;
      const length = Math.min(chunk.length, this.sizeBytes - pos);
      if (length > 0) bytes.set(chunk.subarray(0, length), pos);
    }
    return bytes;
  }

  close(): void {
    // The garbage collector does it.
  }

  #read(segment: Uint8Array, pos: number): void {
    const size = this.#chunkBytes;
    for (let done = 0; done < segment.length; ) {
      const index = Math.floor((pos + done) / size);
      const at = pos + done - index * size;
      const length = Math.min(size - at, segment.length - done);
      const chunk = this.#chunks.get(index);
      if (chunk === undefined) segment.fill(0, done, done + length);
      else segment.set(length === chunk.length ? chunk : chunk.subarray(at, at + length), done);
      done += length;
    }
  }

  #write(segment: Uint8Array, pos: number): void {
    const size = this.#chunkBytes;
    for (let done = 0; done < segment.length; ) {
      const index = Math.floor((pos + done) / size);
      const at = pos + done - index * size;
      const length = Math.min(size - at, segment.length - done);
      let chunk = this.#chunks.get(index);
      if (chunk === undefined) this.#chunks.set(index, (chunk = new Uint8Array(size)));
      chunk.set(length === segment.length ? segment : segment.subarray(done, done + length), at);
      done += length;
    }
  }

  #zero(pos: number, length: number): void {
    const size = this.#chunkBytes;
    const end = pos + length;
    const first = Math.floor(pos / size);
    const last = Math.ceil(end / size);
    const zeroChunk = (index: number, chunk: Uint8Array): void => {
      const from = Math.max(0, pos - index * size);
      const to = Math.min(size, end - index * size);
      if (from === 0 && to === size && this.#fixed === undefined) this.#chunks.delete(index);
      else chunk.fill(0, from, to);
    };
    // A discard of a whole device must not count its holes.
    if (last - first > this.#chunks.size) {
      for (const [index, chunk] of this.#chunks) if (index >= first && index < last) zeroChunk(index, chunk);
      return;
    }
    for (let index = first; index < last; index++) {
      const chunk = this.#chunks.get(index);
      if (chunk !== undefined) zeroChunk(index, chunk);
    }
  }
}

/**
 * A sparse device in memory that starts as zeroes.
 * @throws FsError EINVAL on bad options
 */
export function memoryDevice(options: MemoryDeviceOptions): MemoryDevice {
  const { name, sizeBytes, sectorSize } = parseOptions(memoryDeviceOptions, options);
  checkSize(sizeBytes, sectorSize);
  return new ChunkedMemory(name, sizeBytes, sectorSize);
}

/**
 * A device over `bytes`, in place; a tail shorter than a sector is left out.
 * @throws FsError EINVAL on bad options
 */
export function memoryDeviceFrom(
  bytes: Uint8Array,
  options: Omit<MemoryDeviceOptions, 'sizeBytes'> = {},
): MemoryDevice {
  const { name, sectorSize } = parseOptions(memoryDeviceOptions, { ...options, sizeBytes: bytes.length });
  return new ChunkedMemory(name, bytes.length - (bytes.length % sectorSize), sectorSize, bytes);
}
