/** Which feature bits of the superblock this driver knows, and how it refuses the others. */
import { unsupported } from '@iomap/io';
import { featureNames, INCOMPAT, RO_COMPAT } from './ondisk.js';

export const COMPAT_HAS_JOURNAL = 0x4;
export const COMPAT_EXT_ATTR = 0x8;
export const COMPAT_DIR_INDEX = 0x20;

export const INCOMPAT_FILETYPE = 0x2;
export const INCOMPAT_META_BG = 0x10;

export const RO_COMPAT_SPARSE_SUPER = 0x1;
export const RO_COMPAT_LARGE_FILE = 0x2;
export const RO_COMPAT_BTREE_DIR = 0x4;

const INCOMPAT_KNOWN = INCOMPAT_FILETYPE | INCOMPAT_META_BG;
const RO_COMPAT_KNOWN = RO_COMPAT_SPARSE_SUPER | RO_COMPAT_LARGE_FILE | RO_COMPAT_BTREE_DIR;

/** Names of read-only-compatible features that this driver does not know. */
export const unknownRoCompat = (bits: number): string[] => featureNames((bits & ~RO_COMPAT_KNOWN) >>> 0, RO_COMPAT, 'R');

/**
 * Refuses what cannot even be read.
 * @throws FsError EOPNOTSUPP naming the features
 */
export function checkIncompat(bits: number): void {
  const unknown = featureNames((bits & ~INCOMPAT_KNOWN) >>> 0, INCOMPAT, 'I');
  if (unknown.length === 0) return;
  const recover = unknown.includes('needs_recovery') ? ' (the journal must be replayed first)' : '';
  throw unsupported(`unsupported feature${unknown.length > 1 ? 's' : ''}: ${unknown.join(' ')}${recover}`, {
    field: 's_feature_incompat',
  });
}
