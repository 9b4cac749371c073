/**
 * The asynchronous file device: the same files by Node's thread pool, several bios in flight.
 *
 * Bios that overlap and are in flight together may land in any order, as on any disk. `close` while bios are in flight
 * waits for them before it gives the descriptor back. Holes: as the synchronous device (host-file.ts).
 */
import fs from 'node:fs';
import { FsError, IO_OK, type Bio, type IoResult } from '@iomap/io';
import { checkBio, failure, hostFailure } from '../bio.js';
import type { FileDeviceOptions } from '../file-options.js';
import { HoleMap, isZero } from '../hole-map.js';
import { FILE_LIMITS, restOf, ZERO_STEP_BYTES, type HostFile } from '../host-file.js';
import { checkSize } from '../options.js';
import type { FileDevice } from './file.js';
import { openHostFile } from './open.js';

type Done = (result: IoResult) => void;

class AsyncFileDevice implements FileDevice {
  readonly name: string;
  readonly synchronous = false;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly limits = FILE_LIMITS;
  sizeBytes: number;
  readonly #fd: number;
  readonly #dense: boolean;
  readonly #holes: HoleMap | undefined;
  readonly #resizable: boolean;
  #closed = false;
  #inFlight = 0;

  constructor(file: HostFile) {
    this.name = file.name;
    this.#fd = file.fd;
    this.sizeBytes = file.sizeBytes;
    this.sectorSize = file.sectorSize;
    this.readOnly = file.readOnly;
    this.#dense = file.sparseness === 'dense';
    this.#holes = file.sparseness === 'hole' && !file.readOnly ? new HoleMap(file.sizeBytes) : undefined;
    this.#resizable = file.resizable;
  }

  submit(bio: Bio): IoResult | Promise<IoResult> {
    const bad = checkBio(this, bio);
    if (bad !== undefined) return bad;
    if (this.#closed) return failure('EBADF', 'the device is closed', this.name);
    if (bio.op === 'discard' || (bio.op === 'flush' && this.readOnly)) return IO_OK;
    this.#inFlight++;
    return new Promise((resolve) => {
      const done: Done = (result) => {
        this.#inFlight--;
        const closed = this.#closed && this.#inFlight === 0 ? this.#release() : IO_OK;
        resolve(result.ok ? closed : result);
      };
      this.#start(bio, done);
    });
  }

  resize(sizeBytes: number): void {
    checkSize(sizeBytes, this.sectorSize);
    const detail = { device: this.name };
    if (this.readOnly) throw new FsError('EROFS', { why: 'a read-only device cannot be resized', detail });
    if (!this.#resizable) throw new FsError('ENOTSUP', { why: 'a block device has the size it has', detail });
    try {
      fs.ftruncateSync(this.#fd, sizeBytes);
    } catch (cause) {
      const failed = hostFailure(cause, this.name);
      if (!failed.ok) throw failed.error;
    }
    this.#holes?.resize(sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#inFlight > 0) return;
    const result = this.#release();
    if (!result.ok) throw result.error;
  }

  /** Gives the descriptor back. A failure is the last bio's, where one is waited for, else that of `close`. */
  #release(): IoResult {
    try {
      fs.closeSync(this.#fd);
      return IO_OK;
    } catch (cause) {
      return hostFailure(cause, this.name);
    }
  }

  #start(bio: Bio, done: Done): void {
    switch (bio.op) {
      case 'read':
        this.#transfer(bio.segments, bio.pos, false, done);
        return;
      case 'write':
        this.#transfer(bio.segments, bio.pos, true, (result) => {
          if (bio.fua === true && result.ok) this.#sync(done);
          else done(result);
        });
        return;
      case 'writeZeroes':
        this.#writeZeroes(bio.pos, bio.pos + bio.lengthBytes, new Uint8Array(ZERO_STEP_BYTES), done);
        return;
      default:
        this.#sync(done);
    }
  }

  #sync(done: Done): void {
    fs.fdatasync(this.#fd, (error) => {
      done(error === null ? IO_OK : hostFailure(error, this.name));
    });
  }

  #transfer(segments: readonly Uint8Array[], pos: number, write: boolean, done: Done): void {
    let total = 0;
    for (const segment of segments) total += segment.length;
    // Marked when it starts: a zeroing that is in flight beside it must not take its range for a hole.
    if (write) this.#holes?.markWritten(pos, total);
    let moved = 0;
    const next = (): void => {
      if (moved === total) {
        done(IO_OK);
        return;
      }
      const rest = restOf(segments, moved);
      const only = rest[0];
      if (rest.length === 1 && only !== undefined) {
        if (write) fs.write(this.#fd, only, 0, only.length, pos + moved, step);
        else fs.read(this.#fd, only, 0, only.length, pos + moved, step);
      } else if (write) fs.writev(this.#fd, rest, pos + moved, step);
      else fs.readv(this.#fd, rest, pos + moved, step);
    };
    const step = (error: unknown, count: number): void => {
      if (error !== null && error !== undefined) {
        done(hostFailure(error, this.name, pos + moved));
      } else if (count === 0) {
        const why = write ? 'the host wrote nothing' : 'the backing file ends here';
        done(failure('EIO', why, this.name, pos + moved));
      } else {
        moved += count;
        next();
      }
    };
    next();
  }

  #writeZeroes(from: number, end: number, scratch: Uint8Array, done: Done): void {
    let pos = from;
    let run = this.#holes?.runAt(pos, end - pos);
    while (pos < end && run?.hole === true) {
      pos += run.length;
      run = pos < end ? this.#holes?.runAt(pos, end - pos) : undefined;
    }
    if (pos === end) {
      done(IO_OK);
      return;
    }
    const bytes = scratch.subarray(0, Math.min(scratch.length, run?.length ?? end - pos));
    const next: Done = (result) => {
      if (result.ok) this.#writeZeroes(pos + bytes.length, end, scratch, done);
      else done(result);
    };
    const write = (): void => {
      bytes.fill(0);
      this.#transfer([bytes], pos, true, next);
    };
    if (this.#dense) {
      write();
      return;
    }
    this.#transfer([bytes], pos, false, (read) => {
      if (!read.ok || isZero(bytes)) next(read);
      else write();
    });
  }
}

/**
 * Opens an image file or a block device whose bios are carried out by the thread pool. The opening itself is synchronous.
 * `runSync` refuses such a device (`ENOTSUP`).
 * @throws FsError ENOENT, EACCES, EISDIR, EEXIST, …; EINVAL on bad options
 */
export function openAsyncFileDevice(path: string, options: FileDeviceOptions = {}): FileDevice {
  return new AsyncFileDevice(openHostFile(path, options));
}
