/** Feature bits by name: what is refused, what makes a mount read-only, what `info` shows. */
import { unsupported } from '@iomap/io';
import { FEATURES2, INCOMPAT, LOG_INCOMPAT, RO_COMPAT, VERSION } from './ondisk.js';

/** The feature words of a superblock. */
export interface FeatureWords {
  readonly versionnum: number;
  readonly features2: number;
  readonly compat: number;
  readonly roCompat: number;
  readonly incompat: number;
  readonly logIncompat: number;
}

const INCOMPAT_READ =
  INCOMPAT.ftype | INCOMPAT.spinodes | INCOMPAT.meta_uuid | INCOMPAT.bigtime | INCOMPAT.needsrepair | INCOMPAT.nrext64 |
  INCOMPAT.exchrange | INCOMPAT.parent;
const RO_COMPAT_KNOWN = RO_COMPAT.finobt | RO_COMPAT.rmapbt | RO_COMPAT.reflink | RO_COMPAT.inobtcount;
const VERSION_REQUIRED_V4 = VERSION.NLINK | VERSION.DIRV2 | VERSION.EXTFLG;
const VERSION_REQUIRED_V5 = VERSION_REQUIRED_V4 | VERSION.ALIGN | VERSION.LOGV2 | VERSION.MOREBITS;
const FEATURES2_KNOWN =
  FEATURES2.LAZYSBCOUNT | FEATURES2.ATTR2 | FEATURES2.PARENT | FEATURES2.PROJID32 | FEATURES2.CRC | FEATURES2.FTYPE;

/** Names of the bits that are set, those without one as "SET:0x…". */
function names(bits: number, table: Readonly<Record<string, number>>, set: string): string[] {
  const found: string[] = [];
  let rest = bits;
  for (const [name, bit] of Object.entries(table)) {
    if ((bits & bit) === 0) continue;
    found.push(name);
    rest &= ~bit;
  }
  if (rest !== 0) found.push(`${set}:0x${(rest >>> 0).toString(16)}`);
  return found;
}

const isV5 = (words: FeatureWords): boolean => (words.versionnum & 0xf) === 5;

/** Every feature that is on, in mkfs.xfs's words, in a fixed order. */
export function featureNames(words: FeatureWords): string[] {
  const { versionnum, features2 } = words;
  const on: string[] = [isV5(words) ? 'crc' : 'v4'];
  const has = (test: boolean, name: string): void => {
    if (test) on.push(name);
  };
  has((versionnum & VERSION.ATTR) !== 0, 'attr');
  has((versionnum & VERSION.ALIGN) !== 0, 'align');
  has((versionnum & VERSION.DALIGN) !== 0, 'dalign');
  has((versionnum & VERSION.QUOTA) !== 0, 'quota');
  has((versionnum & VERSION.SECTOR) !== 0, 'sector');
  has((versionnum & VERSION.LOGV2) !== 0, 'logv2');
  has((versionnum & VERSION.BORG) !== 0, 'ascii-ci');
  const more = (versionnum & VERSION.MOREBITS) !== 0 ? features2 : 0;
  has((more & FEATURES2.LAZYSBCOUNT) !== 0, 'lazy-count');
  has((more & FEATURES2.ATTR2) !== 0, 'attr2');
  has((more & FEATURES2.PROJID32) !== 0, 'projid32bit');
  has(!isV5(words) && (more & FEATURES2.FTYPE) !== 0, 'ftype');
  if (!isV5(words)) return on;
  on.push(...names(words.roCompat, RO_COMPAT, 'ro_compat'));
  on.push(...names(words.incompat, INCOMPAT, 'incompat'));
  on.push(...names(words.logIncompat, LOG_INCOMPAT, 'log_incompat'));
  if (words.compat !== 0) on.push(...names(words.compat, {}, 'compat'));
  return on;
}

/**
 * Refuses what cannot be read.
 * @throws FsError EOPNOTSUPP that names every such feature
 */
export function checkFeatures(words: FeatureWords): void {
  const version = words.versionnum & 0xf;
  if (version !== 4 && version !== 5) throw unsupported(`XFS version ${version}`, { field: 'sb_versionnum' });
  const required = version === 5 ? VERSION_REQUIRED_V5 : VERSION_REQUIRED_V4;
  if ((words.versionnum & required) !== required) {
    throw unsupported('an XFS older than directories of version 2', { field: 'sb_versionnum' });
  }
  if ((words.versionnum & VERSION.SHARED) !== 0) throw unsupported('shared superblock version', { field: 'sb_versionnum' });
  if ((words.versionnum & VERSION.MOREBITS) !== 0) {
    const rest = words.features2 & ~FEATURES2_KNOWN;
    if (rest !== 0) throw unsupported(`unsupported features: ${names(rest, {}, 'features2').join(', ')}`, { field: 'sb_features2' });
  }
  if (version === 4) return;
  const unknown = names(words.incompat & ~INCOMPAT_READ, INCOMPAT, 'incompat');
  if (unknown.length > 0) throw unsupported(`unsupported features: ${unknown.join(', ')}`, { field: 'sb_features_incompat' });
}

/** Read-only-compatible features that we do not know, by name: they keep a writer away. */
export const readOnlyFeatures = (words: FeatureWords): string[] =>
  isV5(words) ? names(words.roCompat & ~RO_COMPAT_KNOWN, RO_COMPAT, 'ro_compat') : ['v4'];

/** Log formats that we do not know, by name: they keep us from replaying. */
export const unknownLogFeatures = (words: FeatureWords): string[] =>
  isV5(words) ? names(words.logIncompat & ~LOG_INCOMPAT.larp, LOG_INCOMPAT, 'log_incompat') : [];
