/** The blocks of a new filesystem: superblocks, headers and trees of a group, the first inodes, an empty log. */
import type { Timespec } from '@iomap/io';
import { putSum } from '../crc32c.js';
import { putFreshInode } from '../fresh-inode.js';
import { encodeTime } from '../inode.js';
import {
  AGF_MAGIC,
  AGFL_MAGIC,
  AGI_BUCKETS,
  AGI_MAGIC,
  DIFLAG,
  DIFLAG2,
  DINODE_BYTES,
  FEATURES2,
  FORMAT,
  INCOMPAT,
  NULL_AGBLOCK,
  NULL_AGINO,
  RO_COMPAT,
  SB_MAGIC,
  VERSION,
  XfsAgf,
  XfsAgfl,
  XfsAgi,
  XfsDinode,
  XfsSuper,
} from '../ondisk.js';
import { BB, CLIENT_LOG, HEADER_CYCLE_BYTES, OP, REC_MAGIC, RecHeader } from '../ondisk-log.js';
import { BTREE_MAGIC, BtreeShort, type BtreeKind } from '../ondisk-trees.js';
import type { MkfsPlan } from './plan.js';

export interface MkfsIdentity {
  readonly uuid: Uint8Array;
  readonly now: Timespec;
}

/** A run of blocks in a group. */
export interface Run {
  readonly start: number;
  readonly count: number;
}

export interface RmapRecord extends Run {
  /** One of `OWNER`. */
  readonly owner: bigint;
}

/** Owners of blocks that no inode has. */
export const OWNER = { FS: -3n, LOG: -4n, AG: -5n, INOBT: -6n, INODES: -7n, REFC: -8n } as const;
const NULL64 = 0xffff_ffff_ffff_ffffn;

/** What is where in one group. */
export interface GroupLayout {
  readonly ag: number;
  readonly length: number;
  /** By start. */
  readonly free: readonly Run[];
  readonly freeList: Run;
  readonly hasLog: boolean;
  readonly hasChunk: boolean;
}

/** Takes `count` blocks of the smallest run that has them. */
function takeSmallest(free: Run[], count: number): Run {
  let best = -1;
  free.forEach((run, i) => {
    if (run.count >= count && (best < 0 || run.count < (free[best]?.count ?? 0))) best = i;
  });
  const run = free[best] ?? { start: 0, count: 0 };
  free.splice(best, 1, ...(run.count > count ? [{ start: run.start + count, count: run.count - count }] : []));
  return { start: run.start, count };
}

function takeAt(free: Run[], start: number, count: number): void {
  const at = free.findIndex((run) => run.start <= start && start + count <= run.start + run.count);
  const run = free[at];
  if (run === undefined) return;
  const before = { start: run.start, count: start - run.start };
  const after = { start: start + count, count: run.start + run.count - start - count };
  free.splice(at, 1, ...[before, after].filter((one) => one.count > 0));
}

export function layoutGroup(plan: MkfsPlan, ag: number): GroupLayout {
  const length = ag === plan.agCount - 1 ? plan.dblocks - ag * plan.agBlocks : plan.agBlocks;
  const free: Run[] = [{ start: plan.firstFree, count: length - plan.firstFree }];
  const hasLog = ag === plan.logAg;
  if (hasLog) takeAt(free, plan.logBlock, plan.logBlocks);
  const freeList = takeSmallest(free, plan.freeListBlocks);
  if (ag === 0) takeAt(free, plan.chunkBlock, plan.chunkBlocks);
  return { ag, length, free, freeList, hasLog, hasChunk: ag === 0 };
}

export const freeBlocks = ({ free }: GroupLayout): number => free.reduce((sum, { count }) => sum + count, 0);
/** Inodes of the first allocation. */
export const chunkInodes = (plan: MkfsPlan): number => plan.chunkBlocks * plan.inodesPerBlock;
/** Root, and the two inodes of the realtime device that is not there. */
const INODES_USED = 3;

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

// A group ----------------------------------------------------------------------------------------------------------------------

interface Roots {
  readonly bno: number;
  readonly cnt: number;
  readonly ino: number;
  readonly fino: number;
  readonly rmap: number;
  readonly refc: number;
}

/** Blocks of the roots, one after the other; 0 = no such tree. */
function rootsOf({ headerBlocks, settings }: MkfsPlan): Roots {
  let next = headerBlocks + 3;
  const take = (isThere: boolean): number => (isThere ? next++ : 0);
  const fino = take(settings.finobt);
  const rmap = take(settings.rmapbt);
  const refc = take(settings.reflink);
  return { bno: headerBlocks, cnt: headerBlocks + 1, ino: headerBlocks + 2, fino, rmap, refc };
}

function buildHeaders(plan: MkfsPlan, identity: MkfsIdentity, group: GroupLayout, bytes: Uint8Array): void {
  const { sectorSize, settings } = plan;
  const roots = rootsOf(plan);
  const level = (root: number): number => (root === 0 ? 0 : 1);
  const agf = XfsAgf.at(bytes, sectorSize);
  agf.agf_magicnum = AGF_MAGIC;
  agf.agf_versionnum = 1;
  agf.agf_seqno = group.ag;
  agf.agf_length = group.length;
  agf.agf_bno_root = roots.bno;
  agf.agf_cnt_root = roots.cnt;
  agf.agf_rmap_root = roots.rmap;
  agf.agf_bno_level = 1;
  agf.agf_cnt_level = 1;
  agf.agf_rmap_level = level(roots.rmap);
  agf.agf_flfirst = 1;
  agf.agf_fllast = group.freeList.count;
  agf.agf_flcount = group.freeList.count;
  agf.agf_freeblks = freeBlocks(group);
  agf.agf_longest = Math.max(0, ...group.free.map(({ count }) => count));
  agf.agf_uuid = identity.uuid;
  agf.agf_rmap_blocks = level(roots.rmap);
  agf.agf_refcount_blocks = level(roots.refc);
  agf.agf_refcount_root = roots.refc;
  agf.agf_refcount_level = level(roots.refc);
  putSum(bytes, sectorSize, 2 * sectorSize, XfsAgf.offsets.agf_crc);
  const agi = XfsAgi.at(bytes, 2 * sectorSize);
  const count = group.hasChunk ? chunkInodes(plan) : 0;
  agi.agi_magicnum = AGI_MAGIC;
  agi.agi_versionnum = 1;
  agi.agi_seqno = group.ag;
  agi.agi_length = group.length;
  agi.agi_count = count;
  agi.agi_root = roots.ino;
  agi.agi_level = 1;
  agi.agi_freecount = count === 0 ? 0 : count - INODES_USED;
  agi.agi_newino = group.hasChunk ? plan.chunkBlock * plan.inodesPerBlock : NULL_AGINO;
  agi.agi_dirino = NULL_AGINO;
  for (let i = 0; i < AGI_BUCKETS; i++) agi.agi_unlinked.set(i, NULL_AGINO);
  agi.agi_uuid = identity.uuid;
  agi.agi_free_root = roots.fino;
  agi.agi_free_level = level(roots.fino);
  if (settings.inobtcount && settings.finobt) {
    agi.agi_iblocks = 1;
    agi.agi_fblocks = 1;
  }
  putSum(bytes, 2 * sectorSize, 3 * sectorSize, XfsAgi.offsets.agi_crc);
  const at = 3 * sectorSize;
  const agfl = XfsAgfl.at(bytes, at);
  agfl.agfl_magicnum = AGFL_MAGIC;
  agfl.agfl_seqno = group.ag;
  agfl.agfl_uuid = identity.uuid;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let pos = at + XfsAgfl.size; pos + 4 <= at + sectorSize; pos += 4) view.setUint32(pos, NULL_AGBLOCK);
  for (let i = 0; i < group.freeList.count; i++) view.setUint32(at + XfsAgfl.size + (1 + i) * 4, group.freeList.start + i);
  putSum(bytes, at, at + sectorSize, XfsAgfl.offsets.agfl_crc);
}

/** Blocks and who has them, by start. */
function rmapRecords(plan: MkfsPlan, group: GroupLayout): RmapRecord[] {
  const roots = rootsOf(plan);
  const records: RmapRecord[] = [
    { start: 0, count: plan.headerBlocks, owner: OWNER.FS },
    { start: roots.bno, count: 2, owner: OWNER.AG },
    { start: roots.ino, count: roots.fino === 0 ? 1 : 2, owner: OWNER.INOBT },
    { start: roots.rmap, count: 1, owner: OWNER.AG },
    { ...group.freeList, owner: OWNER.AG },
  ];
  if (roots.refc !== 0) records.push({ start: roots.refc, count: 1, owner: OWNER.REFC });
  if (group.hasLog) records.push({ start: plan.logBlock, count: plan.logBlocks, owner: OWNER.LOG });
  if (group.hasChunk) records.push({ start: plan.chunkBlock, count: plan.chunkBlocks, owner: OWNER.INODES });
  records.sort((a, b) => a.start - b.start);
  // Neighbours of one owner are one record.
  return records.reduce<RmapRecord[]>((merged, record) => {
    const last = merged.at(-1);
    if (last?.owner === record.owner && last.start + last.count === record.start && record.owner === OWNER.AG) {
      merged.splice(-1, 1, { ...last, count: last.count + record.count });
    } else {
      merged.push(record);
    }
    return merged;
  }, []);
}

interface LeafWriter {
  readonly view: DataView;
  /** Where the next record goes. */
  at: number;
  count: number;
}

/** Headers, and the roots of all trees: the first `firstFree` blocks of a group. @param superBytes goes into sector 0 */
export function buildGroup(plan: MkfsPlan, identity: MkfsIdentity, group: GroupLayout, superBytes: Uint8Array): Uint8Array {
  const { blockSize, firstFree, settings } = plan;
  const bytes = new Uint8Array(firstFree * blockSize);
  bytes.set(superBytes);
  buildHeaders(plan, identity, group, bytes);
  const roots = rootsOf(plan);
  const leaf = (kind: Exclude<BtreeKind, 'bmap'>, block: number, fill: (out: LeafWriter) => void): void => {
    if (block === 0) return;
    const at = block * blockSize;
    const head = BtreeShort.at(bytes, at);
    const out: LeafWriter = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: at + BtreeShort.size, count: 0 };
    fill(out);
    head.bb_magic = BTREE_MAGIC[kind][1];
    head.bb_numrecs = out.count;
    head.bb_leftsib = NULL_AGBLOCK;
    head.bb_rightsib = NULL_AGBLOCK;
    head.bb_blkno = ((group.ag * plan.agBlocks + block) * blockSize) / 512;
    head.bb_uuid = identity.uuid;
    head.bb_owner = group.ag;
    putSum(bytes, at, at + blockSize, BtreeShort.offsets.bb_crc);
  };
  const runs = (order: readonly Run[]) => (out: LeafWriter): void => {
    for (const { start, count } of order) {
      out.view.setUint32(out.at, start);
      out.view.setUint32(out.at + 4, count);
      out.at += 8;
      out.count++;
    }
  };
  leaf('bno', roots.bno, runs(group.free));
  leaf('cnt', roots.cnt, runs([...group.free].sort((a, b) => a.count - b.count || a.start - b.start)));
  const inodes = (out: LeafWriter): void => {
    if (group.hasChunk) putChunks(plan, out);
  };
  leaf('ino', roots.ino, inodes);
  leaf('fino', roots.fino, inodes);
  leaf('rmap', roots.rmap, (out) => {
    for (const { start, count, owner } of rmapRecords(plan, group)) {
      out.view.setUint32(out.at, start);
      out.view.setUint32(out.at + 4, count);
      out.view.setBigInt64(out.at + 8, owner);
      out.view.setBigUint64(out.at + 16, 0n);
      out.at += 24;
      out.count++;
    }
  });
  leaf('refc', roots.refc, () => undefined);
  void settings;
  return bytes;
}

/** Records of the first inodes, 64 each: the first three of all are in use. */
function putChunks(plan: MkfsPlan, out: LeafWriter): void {
  const first = plan.chunkBlock * plan.inodesPerBlock;
  for (let done = 0; done < chunkInodes(plan); done += 64) {
    const used = done === 0 ? INODES_USED : 0;
    const { view, at } = out;
    view.setUint32(at, first + done);
    if (plan.settings.sparse) {
      view.setUint16(at + 4, 0);
      view.setUint8(at + 6, 64);
      view.setUint8(at + 7, 64 - used);
    } else {
      view.setUint32(at + 4, 64 - used);
    }
    view.setBigUint64(at + 8, used === 0 ? NULL64 : NULL64 - 7n);
    out.at += 16;
    out.count++;
  }
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
