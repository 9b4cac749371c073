/** Which feature bits we have, and how the others are refused: the policy of mount and check alike. */
import { unsupported } from '@iomap/io';
import { COMPAT, featureNames, INCOMPAT, RO_COMPAT } from './ondisk.js';

const INCOMPAT_SUPPORTED = INCOMPAT.filetype | INCOMPAT.meta_bg;
const RO_COMPAT_SUPPORTED = RO_COMPAT.sparse_super | RO_COMPAT.large_file | RO_COMPAT.btree_dir;

/**
 * Refuses what cannot be read at all.
 * @throws FsError EOPNOTSUPP that names every feature we do not have, as dumpe2fs does
 */
export function checkIncompatFeatures(compat: number, incompat: number): void {
  const names = featureNames((incompat & ~INCOMPAT_SUPPORTED) >>> 0, INCOMPAT, 'I');
  if ((compat & COMPAT.sparse_super2) !== 0) names.push('sparse_super2'); // backups elsewhere: the layout differs
  if (names.length === 0) return;
  if (names.length === 1 && names[0] === 'needs_recovery') {
    throw unsupported('the journal needs recovery (needs_recovery): replay it first', { field: 's_feature_incompat' });
  }
  throw unsupported(`unsupported features: ${names.join(', ')}`, { field: 's_feature_incompat' });
}

/**
 * What e2fsck knows, and so checks around: a filesystem with other bits is refused by it. Not the same as what we mount:
 * an unknown compatible feature does not keep anybody from reading and writing.
 */
const COMPAT_CHECKABLE =
  COMPAT.dir_prealloc | COMPAT.imagic_inodes | COMPAT.has_journal | COMPAT.ext_attr | COMPAT.resize_inode |
  COMPAT.dir_index | COMPAT.sparse_super2 | COMPAT.fast_commit | COMPAT.stable_inodes | COMPAT.orphan_file;
const RO_COMPAT_UNCHECKABLE = RO_COMPAT.btree_dir | RO_COMPAT.has_snapshot | RO_COMPAT.replica;
const RO_COMPAT_NAMED = Object.values(RO_COMPAT).reduce((bits, bit) => bits | bit, 0);

/** Features that no checker has, by name. */
export const uncheckableFeatures = (compat: number, roCompat: number): string[] => [
  ...featureNames((compat & ~COMPAT_CHECKABLE) >>> 0, COMPAT, 'C'),
  ...featureNames((roCompat & (~RO_COMPAT_NAMED | RO_COMPAT_UNCHECKABLE)) >>> 0, RO_COMPAT, 'R'),
];

/** The read-only-compatible features that keep us from writing, by name. */
export const readOnlyFeatures = (roCompat: number): string[] =>
  featureNames((roCompat & ~RO_COMPAT_SUPPORTED) >>> 0, RO_COMPAT, 'R');
