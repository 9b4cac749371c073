/** The blocks of a new filesystem: superblocks, the first inodes, an empty log. Groups are in group.ts. */
import type { Timespec } from '@iomap/io';
import { putSum } from '../crc32c.js';
import { putFreshInode } from '../fresh-inode.js';
import { encodeTime } from '../inode.js';
import {
  DIFLAG,
  DIFLAG2,
  DINODE_BYTES,
  FEATURES2,
  FORMAT,
  INCOMPAT,
  RO_COMPAT,
  SB_MAGIC,
  VERSION,
  XfsDinode,
  XfsSuper,
} from '../ondisk.js';
import { BB, CLIENT_LOG, HEADER_CYCLE_BYTES, OP, REC_MAGIC, RecHeader } from '../ondisk-log.js';
import { chunkInodes, INODES_USED } from './group.js';
import type { MkfsPlan } from './plan.js';

export interface MkfsIdentity {
  readonly uuid: Uint8Array;
  readonly now: Timespec;
}

const NULL64 = 0xffff_ffff_ffff_ffffn;

// Superblock -----------------------------------------------------------------------------------------------------------------

export interface SuperCounts {
  readonly icount: number;
  readonly ifree: number;
  readonly fdblocks: number;
}

/**
 * The superblock of a group. Copies are as they were when the groups were first laid out, and say so (`sb_inprogress`); the last one and
 * one in the middle know the root as well.
 * @param counts of the primary; undefined for a copy
 */
export function buildSuper(plan: MkfsPlan, identity: MkfsIdentity, ag: number, counts?: SuperCounts): Uint8Array {
  const { settings, sectorSize } = plan;
  const bytes = new Uint8Array(sectorSize);
  const sb = XfsSuper.at(bytes);
  const rootIno = plan.chunkBlock * plan.inodesPerBlock;
  const hasSector = sectorSize > 512;
  sb.sb_magicnum = SB_MAGIC;
  sb.sb_blocksize = plan.blockSize;
  sb.sb_dblocks = plan.dblocks;
  sb.sb_uuid = identity.uuid;
  sb.sb_logstart = plan.logAg * 2 ** plan.agBlkLog + plan.logBlock;
  const knowsRoot = ag === 0 || ag === plan.agCount - 1 || ag === Math.floor((plan.agCount - 1) / 2);
  sb.sb_rootino = rootIno;
  if (!knowsRoot) bytes.fill(0xff, XfsSuper.offsets.sb_rootino, XfsSuper.offsets.sb_rootino + 8);
  sb.sb_rbmino = counts === undefined ? NULL64 : BigInt(rootIno + 1);
  sb.sb_rsumino = counts === undefined ? NULL64 : BigInt(rootIno + 2);
  sb.sb_rextsize = Math.max(1, 4096 / plan.blockSize);
  sb.sb_agblocks = plan.agBlocks;
  sb.sb_agcount = plan.agCount;
  sb.sb_logblocks = plan.logBlocks;
  sb.sb_versionnum =
    5 | VERSION.NLINK | VERSION.ALIGN | VERSION.LOGV2 | VERSION.EXTFLG | VERSION.DIRV2 | VERSION.MOREBITS |
    (plan.unit > 0 ? VERSION.DALIGN : 0) | (hasSector ? VERSION.SECTOR : 0);
  sb.sb_sectsize = sectorSize;
  sb.sb_inodesize = settings.inodeSize;
  sb.sb_inopblock = plan.inodesPerBlock;
  sb.sb_fname = settings.label;
  sb.sb_blocklog = plan.blockLog;
  sb.sb_sectlog = Math.log2(sectorSize);
  sb.sb_inodelog = Math.log2(settings.inodeSize);
  sb.sb_inopblog = Math.log2(plan.inodesPerBlock);
  sb.sb_agblklog = plan.agBlkLog;
  sb.sb_inprogress = counts === undefined ? 1 : 0;
  sb.sb_imax_pct = plan.imaxPct;
  sb.sb_icount = counts?.icount ?? 0;
  sb.sb_ifree = counts?.ifree ?? 0;
  sb.sb_fdblocks = counts?.fdblocks ?? plan.dblocks - plan.agCount * plan.firstFree - plan.logBlocks;
  sb.sb_inoalignmt = plan.inoAlign;
  sb.sb_unit = plan.unit;
  sb.sb_width = plan.width;
  sb.sb_dirblklog = Math.log2(plan.dirBlockSize / plan.blockSize);
  sb.sb_logsectlog = hasSector ? Math.log2(sectorSize) : 0;
  sb.sb_logsectsize = hasSector ? sectorSize : 0;
  sb.sb_logsunit = Math.max(1, plan.logUnit);
  sb.sb_features2 = FEATURES2.LAZYSBCOUNT | FEATURES2.ATTR2 | FEATURES2.PROJID32 | FEATURES2.CRC;
  sb.sb_bad_features2 = sb.sb_features2;
  sb.sb_features_ro_compat =
    (settings.finobt ? RO_COMPAT.finobt : 0) | (settings.rmapbt ? RO_COMPAT.rmapbt : 0) |
    (settings.reflink ? RO_COMPAT.reflink : 0) | (settings.inobtcount && settings.finobt ? RO_COMPAT.inobtcount : 0);
  sb.sb_features_incompat =
    INCOMPAT.ftype | (settings.sparse ? INCOMPAT.spinodes : 0) | (settings.bigtime ? INCOMPAT.bigtime : 0) |
    (settings.nrext64 ? INCOMPAT.nrext64 : 0);
  sb.sb_spino_align = plan.spinoAlign;
  putSum(bytes, 0, sectorSize, XfsSuper.offsets.sb_crc);
  return bytes;
}

// Inodes -----------------------------------------------------------------------------------------------------------------------

/** The first inodes: an empty root directory, the two realtime inodes, the rest free. */
export function buildInodes(plan: MkfsPlan, identity: MkfsIdentity): Uint8Array {
  const { inodeSize, bigtime, nrext64 } = plan.settings;
  const bytes = new Uint8Array(plan.chunkBlocks * plan.blockSize);
  const first = plan.chunkBlock * plan.inodesPerBlock;
  const shape = { v5: true, inodeSize, metaUuid: identity.uuid };
  for (let i = 0; i < chunkInodes(plan); i++) putFreshInode(shape, bytes, i * inodeSize, first + i, 0);
  const view = new DataView(bytes.buffer);
  const o = XfsDinode.offsets;
  for (let i = 0; i < INODES_USED; i++) {
    const at = i * inodeSize;
    const isRoot = i === 0;
    view.setUint16(at + o.di_mode, isRoot ? 0o040755 : 0o100000);
    view.setUint8(at + o.di_format, isRoot ? FORMAT.LOCAL : FORMAT.EXTENTS);
    view.setUint8(at + o.di_aformat, FORMAT.EXTENTS);
    view.setUint32(at + o.di_nlink, isRoot ? 2 : 1);
    if (i === 1) view.setUint16(at + o.di_flags, DIFLAG.NEWRTBM);
    view.setBigUint64(at + o.di_changecount, 2n);
    view.setUint32(at + o.di_flags2 + 4, (bigtime ? DIFLAG2.BIGTIME : 0) | (nrext64 ? DIFLAG2.NREXT64 : 0));
    encodeTime(view, at + o.di_atime, { sec: 0, nsec: 0 }, bigtime);
    for (const field of [o.di_mtime, o.di_ctime, o.di_crtime]) encodeTime(view, at + field, identity.now, bigtime);
    if (isRoot) {
      view.setBigUint64(at + o.di_size, 6n);
      // No entries, and the parent: itself.
      view.setUint32(at + DINODE_BYTES + 2, first);
    }
    putSum(bytes, at, at + inodeSize, o.di_crc);
  }
  return bytes;
}

// Log --------------------------------------------------------------------------------------------------------------------------

const UNMOUNT_MAGIC = 0x556e;

/** The log's only record: unmounted. The rest of the log is zeroes. */
export function buildLog(plan: MkfsPlan, identity: MkfsIdentity): Uint8Array {
  const size = Math.max(HEADER_CYCLE_BYTES, plan.logUnit);
  const headers = Math.ceil(size / HEADER_CYCLE_BYTES);
  const blocks = Math.max(headers + 1, plan.logUnit / BB);
  const bytes = new Uint8Array(Math.max(plan.blockSize, blocks * BB));
  const record = RecHeader.at(bytes);
  record.h_magicno = REC_MAGIC;
  record.h_cycle = 1;
  record.h_version = 2;
  record.h_len = (blocks - headers) * BB;
  record.h_lsn = 2n ** 32n;
  record.h_tail_lsn = 2n ** 32n;
  record.h_prev_block = 0xffff_ffff;
  record.h_num_logops = 1;
  record.h_cycle_data.set(0, 0xb0c0_d0d0);
  record.h_fmt = 1;
  record.h_fs_uuid = identity.uuid;
  record.h_size = size;
  const view = new DataView(bytes.buffer);
  for (let i = 1; i < blocks; i++) view.setUint32(i * BB, 1);
  const op = headers * BB;
  view.setUint32(op + 4, 8);
  view.setUint8(op + 8, CLIENT_LOG);
  view.setUint8(op + 9, OP.UNMOUNT);
  view.setUint16(op + 12, UNMOUNT_MAGIC, true);
  return bytes;
}
