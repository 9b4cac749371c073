/**
 * A block device over one array in memory, made for tests: synchronous or by promises, with a counter of bios and an
 * optional bound on them, so that a driver that loops on a hostile image is stopped by its next request.
 */
import { FsError, IO_OK, type Bio, type IoResult } from '@iomap/io';
import type { BlockDevice } from '@iomap/block-device';

export interface ImageDeviceOptions {
  /** True: `submit` answers by a promise, as a remote device does. Default false. */
  readonly async?: boolean;
  readonly readOnly?: boolean;
  /** Bytes, a power of two; default 512. */
  readonly sectorSize?: number;
  /** After so many bios each further one fails with EIO; default no bound. */
  readonly biosMax?: number;
  readonly name?: string;
}

export interface ImageDevice extends BlockDevice {
  /** The image itself; changes show at once. */
  readonly bytes: Uint8Array;
  readonly counts: { bios: number; readBytes: number; writtenBytes: number; flushes: number };
}

const fault = (code: 'EINVAL' | 'EROFS' | 'EIO', why: string): IoResult => ({
  ok: false,
  error: new FsError(code, { why }),
});

/** Makes a device over `bytes`, which it uses in place. */
export function imageDevice(bytes: Uint8Array, options: ImageDeviceOptions = {}): ImageDevice {
  const sectorSize = options.sectorSize ?? 512;
  const sizeBytes = bytes.length - (bytes.length % sectorSize);
  const biosMax = options.biosMax ?? Infinity;
  const readOnly = options.readOnly ?? false;
  const counts = { bios: 0, readBytes: 0, writtenBytes: 0, flushes: 0 };

  const transfer = (bio: Bio): IoResult => {
    if (++counts.bios > biosMax) return fault('EIO', 'the test device has answered its bound of requests');
    if (bio.op === 'flush') {
      counts.flushes++;
      return IO_OK;
    }
    let length = bio.lengthBytes;
    if (bio.op === 'read' || bio.op === 'write') {
      length = 0;
      for (const segment of bio.segments) length += segment.length;
    }
    if (bio.pos % sectorSize !== 0 || length % sectorSize !== 0) return fault('EINVAL', 'misaligned bio');
    if (!(bio.pos >= 0) || bio.pos + length > sizeBytes) return fault('EINVAL', 'bio beyond the device');
    if (bio.op !== 'read' && readOnly) return fault('EROFS', 'the device is read-only');
    if (bio.op === 'discard') return IO_OK;
    if (bio.op === 'writeZeroes') {
      bytes.fill(0, bio.pos, bio.pos + length);
      return IO_OK;
    }
    let pos = bio.pos;
    for (const segment of bio.segments) {
      if (bio.op === 'read') segment.set(bytes.subarray(pos, pos + segment.length));
      else bytes.set(segment, pos);
      pos += segment.length;
    }
    if (bio.op === 'read') counts.readBytes += length;
    else counts.writtenBytes += length;
    return IO_OK;
  };

  return {
    bytes,
    counts,
    name: options.name ?? 'image',
    sizeBytes,
    sectorSize,
    readOnly,
    synchronous: options.async !== true,
    limits: { maxBioBytes: 4 * 1024 * 1024, atomicWriteBytes: 0, discard: false, writeZeroes: true },
    submit: options.async === true ? async (bio) => Promise.resolve().then(() => transfer(bio)) : transfer,
    close() {},
  };
}
