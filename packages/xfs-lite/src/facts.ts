/** Looking at an image without mounting it: the superblock as it stands, and whether the log is clean. */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, type Io } from '@iomap/io';
import { featureNames } from './features.js';
import { findLog, type LogState } from './log/head.js';
import { LogRing } from './log/ring.js';
import { XfsSuper } from './ondisk.js';
import { decodeSuper, isXfs, readSuperBytes } from './super.js';

export interface RawSuper {
  /** Fields by their on-disk names: numbers, and bytes and 64-bit values as hexadecimal text. */
  readonly fields: Readonly<Record<string, number | number[] | string>>;
  readonly version: number;
  /** Every feature that is on, by name. */
  readonly features: readonly string[];
}

/** The superblock unchecked; undefined where there is no XFS. @throws FsError EIO */
export function* rawSuper(device: BlockDevice): Io<RawSuper | undefined> {
  if (device.sizeBytes < Math.max(512, device.sectorSize)) return undefined;
  const bytes = yield* readSuperBytes(device);
  if (!isXfs(bytes)) return undefined;
  const view = XfsSuper.at(bytes);
  const fields: Record<string, number | number[] | string> = {};
  for (const { name, type, offset, length } of XfsSuper.fields) {
    if (type === 'u64') {
      // A damaged count may not be a safe integer: it is shown as what it comes nearest to.
      const data = new DataView(bytes.buffer, bytes.byteOffset + offset, length);
      fields[name] = Number(data.getBigUint64(0));
    } else if (type === 'bytes') {
      fields[name] = Array.from(bytes.subarray(offset, offset + length), (byte) => byte.toString(16).padStart(2, '0')).join('');
    } else {
      const value = (view as unknown as Record<string, number | bigint>)[name];
      fields[name] = typeof value === 'bigint' ? `0x${value.toString(16)}` : (value ?? 0);
    }
  }
  const version = view.sb_versionnum & 0xf;
  const isV5 = version === 5;
  const features = featureNames({
    versionnum: view.sb_versionnum,
    features2: view.sb_features2,
    compat: isV5 ? view.sb_features_compat : 0,
    roCompat: isV5 ? view.sb_features_ro_compat : 0,
    incompat: isV5 ? view.sb_features_incompat : 0,
    logIncompat: isV5 ? view.sb_features_log_incompat : 0,
  });
  return { fields, version, features };
}

/** Head and tail of the log. @throws FsError EUCLEAN, EBADMSG, EOPNOTSUPP, EIO */
export function* readLogState(device: BlockDevice): Io<LogState> {
  const info = decodeSuper(yield* readSuperBytes(device), device.sizeBytes);
  if (info.sectorSize % device.sectorSize !== 0) throw new FsError('EOPNOTSUPP', { why: 'sectors smaller than the device has' });
  return yield* findLog(new LogRing(device, info), info);
}
