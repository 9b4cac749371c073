/** The superblock beyond what a mount asks of it, and its copies in the other groups. */
import type { Io } from '@iomap/io';
import { sumMatches } from '../crc32c.js';
import { FEATURES2, INCOMPAT, VERSION, XfsSuper } from '../ondisk.js';
import { isXfs, type SuperInfo } from '../super.js';
import type { CheckContext } from './context.js';
import type { Report } from './report.js';

const S = XfsSuper.offsets;
/** What only the first keeps up to date, or what copies need not have. */
const OF_THE_FIRST: ReadonlySet<string> = new Set([
  'sb_rbmino', 'sb_rsumino', 'sb_versionnum', 'sb_fname', 'sb_inprogress', 'sb_icount', 'sb_ifree', 'sb_fdblocks', 'sb_uquotino',
  'sb_gquotino', 'sb_pquotino', 'sb_qflags', 'sb_features2', 'sb_bad_features2', 'sb_features_compat', 'sb_features_ro_compat',
  'sb_features_incompat', 'sb_features_log_incompat', 'sb_crc', 'sb_lsn', 'sb_meta_uuid', 'sb_unit', 'sb_width',
]);
/** Features that a mount may set, in the first alone. */
const SET_LATER = VERSION.ATTR | VERSION.QUOTA | VERSION.DALIGN;
const NULL_HALF = 0xffff_ffff;
/** Where the superblock of each kind ends. */
const V4_BYTES = S.sb_features_compat;
const V5_BYTES = S.sb_meta_uuid;

const isZero = (view: DataView, at: number): boolean => view.getUint32(at) === 0 && view.getUint32(at + 4) === 0;
const isNull = (view: DataView, at: number): boolean => view.getUint32(at) === NULL_HALF && view.getUint32(at + 4) === NULL_HALF;

/** Waits on: a read of a sector in each group. @throws FsError EIO */
export function* checkSupers(context: CheckContext): Io<void> {
  const { info, report } = context;
  const primary = new Uint8Array(info.sectorSize);
  const first = new DataView(primary.buffer, primary.byteOffset, primary.byteLength);
  yield* context.read(0, primary);
  checkFirst(first, info, report);
  checkStripe(first, 0, report);
  checkTail(primary, info, 0, report);
  if (info.v5) context.noteLsn(first, S.sb_lsn);
  const bytes = new Uint8Array(info.sectorSize);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let ag = 1; ag < info.agCount; ag++) {
    yield* context.read(ag * info.agBlocks * info.blockSize, bytes);
    if (!isXfs(bytes)) {
      report.add('superblock', 'copy-magic', 'no copy of the superblock', { group: ag });
      continue;
    }
    if (info.v5 && !sumMatches(view, 0, bytes.length, S.sb_crc)) report.add('superblock', 'checksum', 'checksum of a copy', { group: ag });
    if (info.v5) context.noteLsn(view, S.sb_lsn);
    for (const { name, offset, length } of XfsSuper.fields) {
      if (OF_THE_FIRST.has(name) || (offset >= V4_BYTES && !info.v5)) continue;
      let isSame = true;
      for (let i = offset; i < offset + length; i++) isSame &&= bytes[i] === primary[i];
      // Copies were written before there was a root.
      if (isSame || (name === 'sb_rootino' && isNull(view, offset))) continue;
      report.add('superblock', 'copy-differs', `${name} is another in a copy than in the first`, { group: ag });
    }
    const version = view.getUint16(S.sb_versionnum) ^ first.getUint16(S.sb_versionnum);
    const features = view.getUint32(S.sb_features2) ^ first.getUint32(S.sb_features2);
    if ((version & ~SET_LATER) !== 0 || (features & ~FEATURES2.ATTR2) !== 0) report.add('superblock', 'copy-differs', 'features of a copy are not those of the first', { group: ag });
    checkStripe(view, ag, report);
    checkTail(bytes, info, ag, report);
  }
}

/** Stripes may be set anew at a mount, in the first alone; in each they must fit each other. */
function checkStripe(view: DataView, ag: number, report: Report): void {
  const [unit, width] = [view.getUint32(S.sb_unit), view.getUint32(S.sb_width)];
  if ((unit === 0) !== (width === 0) || (unit > 0 && width % unit !== 0)) report.add('superblock', 'stripe', `a stripe of ${width} in units of ${unit}`, { group: ag });
}

/** Behind the superblock the sector is zeroes. */
function checkTail(bytes: Uint8Array, info: SuperInfo, ag: number, report: Report): void {
  const end = !info.v5 ? V4_BYTES : (info.incompat & INCOMPAT.meta_uuid) !== 0 ? XfsSuper.size : V5_BYTES;
  for (let i = end; i < bytes.length; i++) {
    if (bytes[i] === 0) continue;
    report.add('superblock', 'tail', 'bytes behind the superblock', { group: ag });
    return;
  }
}

function checkFirst(view: DataView, info: SuperInfo, report: Report): void {
  const bad = (field: string, why: string): void => {
    report.add('superblock', 'corrupt', `${field}: ${why}`);
  };
  for (const field of ['sb_rextents', 'sb_frextents'] as const) if (!isZero(view, S[field])) bad(field, 'of a realtime device that is not there');
  if (view.getUint32(S.sb_rbmblocks) !== 0 || view.getUint8(S.sb_rextslog) !== 0) bad('sb_rbmblocks', 'of a realtime device that is not there');
  if ((info.versionnum & VERSION.MOREBITS) !== 0 && view.getUint32(S.sb_features2) !== view.getUint32(S.sb_bad_features2)) bad('sb_bad_features2', 'differs from sb_features2');
  if (view.getUint8(S.sb_imax_pct) > 100) bad('sb_imax_pct', 'more than all');
  if (view.getUint8(S.sb_shared_vn) !== 0) bad('sb_shared_vn', 'a version of sharing');
  if (info.v5 && view.getUint32(S.sb_features_compat) !== 0) bad('sb_features_compat', 'features that nobody knows');
  const hasQuota = (info.versionnum & VERSION.QUOTA) !== 0;
  for (const field of info.v5 ? (['sb_uquotino', 'sb_gquotino', 'sb_pquotino'] as const) : (['sb_uquotino', 'sb_gquotino'] as const)) {
    if (!hasQuota && !isZero(view, S[field]) && !isNull(view, S[field])) bad(field, 'a quota inode without quotas');
  }
  if (!hasQuota && view.getUint16(S.sb_qflags) !== 0) bad('sb_qflags', 'flags without quotas');
}
