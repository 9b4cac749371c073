/**
 * Which parts of a backing file are known to be holes, so that zeroes are not written where zeroes are read anyway.
 *
 * A host without a way to ask (Node has no SEEK_HOLE) can still know it of a file that it made: all of it is a hole until
 * written. Kept per chunk, at most `CHUNKS_MAX` bytes of memory whatever the size of the device.
 */
const CHUNK_BYTES_MIN = 65_536;
const CHUNKS_MAX = 2 ** 20;

/** A whole run of bytes of one kind. */
export interface HoleRun {
  readonly hole: boolean;
  readonly length: number;
}

export class HoleMap {
  readonly #chunkBytes: number;
  /** 1 = something was written to the chunk. */
  #written: Uint8Array;

  /** A map of a file that is one hole of `sizeBytes`. */
  constructor(sizeBytes: number) {
    let chunkBytes = CHUNK_BYTES_MIN;
    while (sizeBytes / chunkBytes > CHUNKS_MAX) chunkBytes *= 2;
    this.#chunkBytes = chunkBytes;
    this.#written = new Uint8Array(Math.ceil(sizeBytes / chunkBytes));
  }

  markWritten(pos: number, length: number): void {
    if (length === 0) return;
    const size = this.#chunkBytes;
    this.#written.fill(1, Math.floor(pos / size), Math.ceil((pos + length) / size));
  }

  /** What lies at `pos`, and how far, up to `length` bytes. */
  runAt(pos: number, length: number): HoleRun {
    const size = this.#chunkBytes;
    const first = Math.floor(pos / size);
    const last = Math.ceil((pos + length) / size);
    const kind = this.#written[first];
    let index = first + 1;
    while (index < last && this.#written[index] === kind) index++;
    return { hole: kind === 0, length: Math.min(length, index * size - pos) };
  }

  /** The file's size changed: what was added is a hole. */
  resize(sizeBytes: number): void {
    const count = Math.min(Math.ceil(sizeBytes / this.#chunkBytes), CHUNKS_MAX * 64);
    const written = new Uint8Array(count);
    written.set(this.#written.subarray(0, count));
    this.#written = written;
  }
}

/** True when all of `bytes` is zero. */
export function isZero(bytes: Uint8Array): boolean {
  const { byteOffset, length } = bytes;
  let at = 0;
  if (byteOffset % 4 === 0) {
    const words = new Uint32Array(bytes.buffer, byteOffset, Math.floor(length / 4));
    for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
    at = words.length * 4;
  }
  for (; at < length; at++) if (bytes[at] !== 0) return false;
  return true;
}
