/**
 * A device over a file of some host (`node:fs`, a memfs volume), synchronously.
 *
 * - One segment goes down as one read or write on the segment itself; more go down vectored, `IOV_MAX` at a time.
 * - Short transfers are continued; a read that meets the end of the file inside the device is `EIO`.
 * - `discard` is accepted and does nothing: the host's interface cannot punch holes.
 * - `writeZeroes` writes nothing into what is known to be a hole (a file made by this device), and in a sparse file reads
 *   first and writes only where something else than zeroes is, so that an image stays as sparse as it was.
 * - `flush` is `fdatasync`; `fua` is a write and an `fdatasync`.
 * - No lock is taken on the file: the host has no call for it. Two writers of one image are the caller's to prevent.
 */
import { FsError, IO_OK, type Bio, type IoResult } from '@iomap/io';
import { checkBio, failure, hostFailure, MAX_BIO_BYTES } from './bio.js';
import type { BlockDevice, BlockDeviceLimits } from './device.js';
import { HoleMap, isZero } from './hole-map.js';
import { checkSize } from './options.js';

/** The calls that a host must have, as `node:fs` has them. */
export interface FileHost {
  readSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  writeSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  readvSync(fd: number, buffers: Uint8Array[], position: number): number;
  writevSync(fd: number, buffers: Uint8Array[], position: number): number;
  ftruncateSync(fd: number, length: number): void;
  fdatasyncSync(fd: number): void;
  closeSync(fd: number): void;
}

/** What is known of the file's holes when it is opened. */
export type Sparseness =
  /** One hole: it was just made. */
  | 'hole'
  /** Some holes, who knows where. */
  | 'mixed'
  /** None, or no way to know (a block device). */
  | 'dense';

export interface HostFile {
  readonly name: string;
  readonly fd: number;
  /** Bytes, a multiple of `sectorSize`. */
  readonly sizeBytes: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly sparseness: Sparseness;
  /** False for a block device, whose size is what it is. */
  readonly resizable: boolean;
}

/** POSIX: how many segments one vectored call may take. */
export const IOV_MAX = 1024;
/** How much `writeZeroes` looks at or writes at a time. */
export const ZERO_STEP_BYTES = 262_144;

export const FILE_LIMITS: BlockDeviceLimits = Object.freeze({
  maxBioBytes: MAX_BIO_BYTES,
  atomicWriteBytes: 0,
  discard: false,
  writeZeroes: true,
});

/** The segments that are left once `done` bytes are transferred, at most `IOV_MAX`. */
export function restOf(segments: readonly Uint8Array[], done: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = done;
  for (const segment of segments) {
    if (skip >= segment.length) {
      skip -= segment.length;
      continue;
    }
    rest.push(skip === 0 ? segment : segment.subarray(skip));
    skip = 0;
    if (rest.length === IOV_MAX) break;
  }
  return rest;
}

/** The device over an open file. `openFileDevice` and `openMemfsDevice` make these. */
export class HostFileDevice implements BlockDevice {
  readonly name: string;
  readonly synchronous = true;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly limits = FILE_LIMITS;
  sizeBytes: number;
  readonly #host: FileHost;
  readonly #resizable: boolean;
  #fd: number;
  readonly #holes: HoleMap | undefined;
  readonly #dense: boolean;
  /** For `writeZeroes`: made when first needed. */
  #scratch: Uint8Array | undefined = undefined;
  #zeroes: Uint8Array | undefined = undefined;

  constructor(host: FileHost, file: HostFile) {
    this.#host = host;
    this.name = file.name;
    this.#fd = file.fd;
    this.sizeBytes = file.sizeBytes;
    this.sectorSize = file.sectorSize;
    this.readOnly = file.readOnly;
    this.#resizable = file.resizable;
    this.#dense = file.sparseness === 'dense';
    this.#holes = file.sparseness === 'hole' && !file.readOnly ? new HoleMap(file.sizeBytes) : undefined;
  }

  submit(bio: Bio): IoResult {
    const bad = checkBio(this, bio);
    if (bad !== undefined) return bad;
    if (this.#fd < 0) return failure('EBADF', 'the device is closed', this.name);
    try {
      switch (bio.op) {
        case 'read':
          return this.#transfer(bio, false);
        case 'write': {
          const result = this.#transfer(bio, true);
          if (bio.fua === true && result.ok) this.#host.fdatasyncSync(this.#fd);
          return result;
        }
        case 'flush':
          if (!this.readOnly) this.#host.fdatasyncSync(this.#fd);
          return IO_OK;
        case 'discard':
          return IO_OK;
        case 'writeZeroes':
          return this.#writeZeroes(bio.pos, bio.lengthBytes);
      }
    } catch (cause) {
      return hostFailure(cause, this.name, bio.pos);
    }
  }

  readNow(pos: number, bytes: Uint8Array): boolean {
    const { length } = bytes;
    if (this.#fd < 0 || !(pos >= 0) || pos + length > this.sizeBytes) return false;
    try {
      return this.#host.readSync(this.#fd, bytes, 0, length, pos) === length;
    } catch {
      // `submit` meets it again, and says so.
      return false;
    }
  }

  resize(sizeBytes: number): void {
    checkSize(sizeBytes, this.sectorSize);
    const detail = { device: this.name };
    if (this.readOnly) throw new FsError('EROFS', { why: 'a read-only device cannot be resized', detail });
    if (!this.#resizable) throw new FsError('ENOTSUP', { why: 'a block device has the size it has', detail });
    try {
      this.#host.ftruncateSync(this.#fd, sizeBytes);
    } catch (cause) {
      const failed = hostFailure(cause, this.name);
      if (!failed.ok) throw failed.error;
    }
    this.#holes?.resize(sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    try {
      this.#host.closeSync(fd);
    } catch (cause) {
      const failed = hostFailure(cause, this.name);
      if (!failed.ok) throw failed.error;
    }
  }

  #transfer(bio: Bio, write: boolean): IoResult {
    const { segments, pos } = bio;
    const only = segments[0];
    if (segments.length === 1 && only !== undefined) return this.#one(only, pos, write);
    let total = 0;
    for (let i = 0; i < segments.length; i++) total += segments[i]?.length ?? 0;
    if (write) this.#holes?.markWritten(pos, total);
    let done = 0;
    while (done < total) {
      const rest = done === 0 && segments.length <= IOV_MAX ? (segments as Uint8Array[]) : restOf(segments, done);
      const moved = write
        ? this.#host.writevSync(this.#fd, rest, pos + done)
        : this.#host.readvSync(this.#fd, rest, pos + done);
      if (moved === 0) return this.#stuck(write, pos + done);
      done += moved;
    }
    return IO_OK;
  }

  #one(segment: Uint8Array, pos: number, write: boolean): IoResult {
    const { length } = segment;
    if (write) this.#holes?.markWritten(pos, length);
    let done = 0;
    while (done < length) {
      const moved = write
        ? this.#host.writeSync(this.#fd, segment, done, length - done, pos + done)
        : this.#host.readSync(this.#fd, segment, done, length - done, pos + done);
      if (moved === 0) return this.#stuck(write, pos + done);
      done += moved;
    }
    return IO_OK;
  }

  #stuck(write: boolean, pos: number): IoResult {
    return failure('EIO', write ? 'the host wrote nothing' : 'the backing file ends here', this.name, pos);
  }

  #writeZeroes(pos: number, length: number): IoResult {
    const end = pos + length;
    while (pos < end) {
      const run = this.#holes?.runAt(pos, end - pos);
      if (run?.hole === true) {
        pos += run.length;
        continue;
      }
      const step = Math.min(ZERO_STEP_BYTES, run?.length ?? end - pos);
      const result = this.#zeroStep(pos, step);
      if (!result.ok) return result;
      pos += step;
    }
    return IO_OK;
  }

  #zeroStep(pos: number, step: number): IoResult {
    if (!this.#dense) {
      this.#scratch ??= new Uint8Array(ZERO_STEP_BYTES);
      const bytes = this.#scratch.subarray(0, step);
      const read = this.#one(bytes, pos, false);
      if (!read.ok || isZero(bytes)) return read;
    }
    this.#zeroes ??= new Uint8Array(ZERO_STEP_BYTES);
    return this.#one(this.#zeroes.subarray(0, step), pos, true);
  }
}
