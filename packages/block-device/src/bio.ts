/**
 * What every device does with a bio before it acts: its length, and whether the device may take it.
 *
 * `checkBio` allocates nothing for a good bio.
 */
import { FsError, fsCodeOf, type Bio, type FsCode, type IoResult } from '@iomap/io';
import type { BlockDevice } from './device.js';

/** The longest bio of the devices in memory and in files: one host call's worth. */
export const MAX_BIO_BYTES = 2 ** 30;

/** A failed result. */
export function failure(code: FsCode, why: string, device: string, pos?: number): IoResult {
  return { ok: false, error: new FsError(code, { why, detail: { device, ...(pos === undefined ? {} : { pos }) } }) };
}

/** The result for what the host threw (`code` as in Node's system errors). */
export function hostFailure(cause: unknown, device: string, pos?: number): IoResult {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  const why = cause instanceof Error ? cause.message : 'the host failed';
  const detail = { device, ...(pos === undefined ? {} : { pos }) };
  return { ok: false, error: new FsError(fsCodeOf(code), { why, detail, cause }) };
}

/** How many bytes a bio covers on the device; 0 for a flush. */
export function bioBytes(bio: Bio): number {
  if (bio.op === 'discard' || bio.op === 'writeZeroes') return bio.lengthBytes;
  const { segments } = bio;
  let total = 0;
  for (let i = 0; i < segments.length; i++) total += segments[i]?.length ?? 0;
  return total;
}

/** Undefined when `device` may carry out `bio`; else the failure to answer: EINVAL or EROFS. */
export function checkBio(device: BlockDevice, bio: Bio): IoResult | undefined {
  const { op, pos } = bio;
  if (op === 'flush') return undefined;
  const length = bioBytes(bio);
  const { sectorSize } = device;
  if (!(Number.isSafeInteger(pos) && pos >= 0 && Number.isSafeInteger(length) && length >= 0)) {
    return failure('EINVAL', `${op} of ${length} bytes at ${pos}`, device.name);
  }
  if (pos % sectorSize !== 0 || length % sectorSize !== 0) {
    return failure('EINVAL', `${op} of ${length} bytes is not in sectors of ${sectorSize}`, device.name, pos);
  }
  if (pos > device.sizeBytes - length) {
    return failure('EINVAL', `${op} of ${length} bytes passes the end, ${device.sizeBytes}`, device.name, pos);
  }
  if (op === 'read') return length > device.limits.maxBioBytes ? tooLong(device, bio, length) : undefined;
  if (device.readOnly) return failure('EROFS', `${op} to a read-only device`, device.name, pos);
  if (op === 'write' && length > device.limits.maxBioBytes) return tooLong(device, bio, length);
  if (bio.atomic === true && length > Math.max(device.limits.atomicWriteBytes, sectorSize)) {
    return failure('EINVAL', `atomic write of ${length} bytes`, device.name, pos);
  }
  return undefined;
}

const tooLong = (device: BlockDevice, bio: Bio, length: number): IoResult =>
  failure('EINVAL', `${bio.op} of ${length} bytes is longer than ${device.limits.maxBioBytes}`, device.name, bio.pos);
