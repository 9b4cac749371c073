/**
 * The superblock in core: checked, with the geometry that everything else computes with.
 *
 * Addresses. A filesystem block number (`fsb`) is `ag * 2^agblklog + block in the group`, so it is no position on the device;
 * an inode number is `ag * 2^(agblklog + inopblog) + inode in the group`. The functions here are the only way between these.
 */
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, FsError, isPowerOfTwo, submitBio, unsupported, type Io } from '@iomap/io';
import { sumMatches } from './crc32c.js';
import { checkFeatures, type FeatureWords } from './features.js';
import { FEATURES2, INCOMPAT, RO_COMPAT, SB_BYTES, SB_MAGIC, VERSION, XfsSuper } from './ondisk.js';

/** Blocks per group, groups: the kernel's limits, which keep all block numbers below 2^53. */
const DBLOCKS_MAX = 2 ** 52;
const AG_BYTES_MIN = 2 ** 24;
const AG_BLOCKS_MIN = 64;
const INODES_PER_CHUNK = 64;

export interface SuperInfo extends FeatureWords {
  readonly blockSize: number;
  readonly blockLog: number;
  readonly sectorSize: number;
  readonly inodeSize: number;
  readonly inodesPerBlock: number;
  readonly inopblog: number;
  readonly agBlocks: number;
  readonly agBlkLog: number;
  /** Numbers from one group's first block to the next's: `2 ** agBlkLog`. */
  readonly agSpan: number;
  readonly agCount: number;
  readonly dblocks: number;
  /** Blocks of a directory block, and bytes. */
  readonly dirBlockFsbs: number;
  readonly dirBlockSize: number;
  readonly rootIno: number;
  /** Inodes that only the superblock names: realtime and quota. */
  readonly internalInos: readonly number[];
  readonly logStart: number;
  readonly logBlocks: number;
  readonly logSectorSize: number;
  readonly icount: number;
  readonly ifree: number;
  readonly fdblocks: number;
  readonly imaxPct: number;
  readonly inoAlign: number;
  readonly spinoAlign: number;
  /** Blocks that hold inodes and nothing else where one of them does, aligned to their number: what is read at once. */
  readonly inodeCluster: number;
  readonly unit: number;
  readonly width: number;
  readonly uuid: Uint8Array;
  /** What metadata blocks carry: `uuid`, or the one that it was made with. */
  readonly metaUuid: Uint8Array;
  /** Bytes as stored, up to the first NUL. */
  readonly label: string;
  readonly v5: boolean;
  readonly hasFtype: boolean;
  readonly hasFinobt: boolean;
  readonly hasRmapbt: boolean;
  readonly hasReflink: boolean;
  readonly hasBigtime: boolean;
  readonly hasNrext64: boolean;
  readonly hasSparse: boolean;
  readonly hasProjid32: boolean;
  readonly hasLazyCount: boolean;
  readonly asciiCi: boolean;
  readonly inProgress: boolean;
}

const bad = (field: string, why: string): FsError => corrupt(`superblock: ${why}`, { field });

/** The bytes of superblock `0`: one sector at least, 4 KiB where the device has them. @throws FsError EUCLEAN, EIO */
export function* readSuperBytes(device: BlockDevice): Io<Uint8Array> {
  const want = Math.min(4096, Math.floor(device.sizeBytes / device.sectorSize) * device.sectorSize);
  const bytes = new Uint8Array(Math.max(want, device.sectorSize));
  if (device.sizeBytes < bytes.length || bytes.length < 512) throw bad('sb_magicnum', 'the device is too small');
  yield* submitBio(device, { op: 'read', pos: 0, segments: [bytes], lengthBytes: bytes.length });
  return bytes;
}

/** True when the bytes start as an XFS does. */
export const isXfs = (bytes: Uint8Array): boolean =>
  bytes.length >= SB_BYTES && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0) === SB_MAGIC;

type SuperView = ReturnType<typeof XfsSuper.at>;

const words = (view: SuperView): FeatureWords => {
  const v5 = (view.sb_versionnum & 0xf) === 5;
  return {
    versionnum: view.sb_versionnum,
    features2: view.sb_features2,
    compat: v5 ? view.sb_features_compat : 0,
    roCompat: v5 ? view.sb_features_ro_compat : 0,
    incompat: v5 ? view.sb_features_incompat : 0,
    logIncompat: v5 ? view.sb_features_log_incompat : 0,
  };
};

function checkSizes(view: SuperView): void {
  const powers = [
    ['sb_blocksize', view.sb_blocksize, view.sb_blocklog, 512, 65_536],
    ['sb_sectsize', view.sb_sectsize, view.sb_sectlog, 512, 32_768],
    ['sb_inodesize', view.sb_inodesize, view.sb_inodelog, 256, 2048],
  ] as const;
  for (const [field, size, log, min, max] of powers) {
    if (size !== 2 ** log || size < min || size > max) throw bad(field, `a size of ${size}`);
  }
  if (view.sb_sectsize > view.sb_blocksize) throw bad('sb_sectsize', 'sectors larger than blocks');
  if (view.sb_inopblock !== view.sb_blocksize / view.sb_inodesize || view.sb_inopblock !== 2 ** view.sb_inopblog) {
    throw bad('sb_inopblock', 'inodes per block do not fit the sizes');
  }
  if (view.sb_blocklog + view.sb_dirblklog > 16) throw bad('sb_dirblklog', 'directory blocks above 64 KiB');
  const logSector = view.sb_logsectsize;
  if (logSector !== 0 && (!isPowerOfTwo(logSector) || logSector < 512 || logSector > 32_768)) {
    throw bad('sb_logsectsize', `log sectors of ${logSector} bytes`);
  }
}

function checkGroups(view: SuperView, deviceBytes: number): void {
  const { sb_agblocks: agBlocks, sb_agcount: agCount, sb_blocksize: blockSize, sb_agblklog: agLog } = view;
  const dblocks = view.sb_dblocks;
  if (agBlocks < Math.max(AG_BLOCKS_MIN, Math.min(AG_BYTES_MIN / blockSize, dblocks)) && agCount > 1) {
    throw bad('sb_agblocks', `groups of ${agBlocks} blocks`);
  }
  if (agBlocks < AG_BLOCKS_MIN || agBlocks * blockSize > 2 ** 40) throw bad('sb_agblocks', `groups of ${agBlocks} blocks`);
  if (agLog !== Math.max(1, Math.ceil(Math.log2(agBlocks)))) throw bad('sb_agblklog', 'does not fit the size of a group');
  if (agCount < 1 || dblocks > DBLOCKS_MAX || dblocks > agCount * agBlocks || dblocks <= (agCount - 1) * agBlocks) {
    throw bad('sb_dblocks', `${dblocks} blocks in ${agCount} groups of ${agBlocks}`);
  }
  if (dblocks * blockSize > deviceBytes) {
    throw bad('sb_dblocks', `the filesystem has ${dblocks * blockSize} bytes, the device ${deviceBytes}`);
  }
  if (agLog + view.sb_inopblog > 32) throw bad('sb_agblklog', 'inode numbers of a group exceed 32 bits');
  if ((agCount - 1) * 2 ** (agLog + view.sb_inopblog) >= Number.MAX_SAFE_INTEGER) throw bad('sb_agcount', 'inode numbers exceed 53 bits');
}

function checkSum(view: SuperView, bytes: Uint8Array): void {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { offsets } = XfsSuper;
  const sector = view.sb_sectsize;
  if (!isPowerOfTwo(sector) || sector < 512 || sector > bytes.length) throw bad('sb_sectsize', `sectors of ${sector} bytes`);
  if (!sumMatches(data, 0, sector, offsets.sb_crc)) {
    throw new FsError('EBADMSG', { why: 'superblock: checksum', detail: { pos: 0, field: 'sb_crc' } });
  }
}

/**
 * Checks a superblock and takes from it what the driver needs.
 * @param bytes its sector, or more
 * @throws FsError EUCLEAN (`sb_magicnum`: no XFS at all), EBADMSG, EOPNOTSUPP by name
 */
export function decodeSuper(bytes: Uint8Array, deviceBytes: number): SuperInfo {
  if (!isXfs(bytes)) throw bad('sb_magicnum', 'no XFS');
  const view = XfsSuper.at(bytes);
  const features = words(view);
  const v5 = (features.versionnum & 0xf) === 5;
  if (v5) checkSum(view, bytes);
  checkFeatures(features);
  if (view.sb_inprogress !== 0) throw bad('sb_inprogress', 'mkfs was not finished');
  checkSizes(view);
  checkGroups(view, deviceBytes);
  if (view.sb_rblocks !== 0 || view.sb_rextents !== 0) throw unsupported('a realtime device (rtdev)', { field: 'sb_rblocks' });
  if (view.sb_logstart === 0) throw unsupported('an external log (logdev)', { field: 'sb_logstart' });
  const morebits = (features.versionnum & VERSION.MOREBITS) !== 0 ? features.features2 : 0;
  const has = (bit: number, set: number): boolean => v5 && (set & bit) !== 0;
  const info: SuperInfo = {
    ...features,
    ...sizesOf(view),
    uuid: view.sb_uuid.slice(),
    metaUuid: has(INCOMPAT.meta_uuid, features.incompat) ? view.sb_meta_uuid.slice() : view.sb_uuid.slice(),
    label: String.fromCharCode(...view.sb_fname).replace(/\0.*$/s, ''),
    v5,
    hasFtype: has(INCOMPAT.ftype, features.incompat) || (!v5 && (morebits & FEATURES2.FTYPE) !== 0),
    hasFinobt: has(RO_COMPAT.finobt, features.roCompat),
    hasRmapbt: has(RO_COMPAT.rmapbt, features.roCompat),
    hasReflink: has(RO_COMPAT.reflink, features.roCompat),
    hasBigtime: has(INCOMPAT.bigtime, features.incompat),
    hasNrext64: has(INCOMPAT.nrext64, features.incompat),
    hasSparse: has(INCOMPAT.spinodes, features.incompat),
    hasProjid32: v5 || (morebits & FEATURES2.PROJID32) !== 0,
    hasLazyCount: v5 || (morebits & FEATURES2.LAZYSBCOUNT) !== 0,
    asciiCi: (features.versionnum & VERSION.BORG) !== 0,
  };
  checkPlaces(info);
  return info;
}

function sizesOf(view: SuperView): Pick<
  SuperInfo,
  | 'blockSize' | 'blockLog' | 'sectorSize' | 'inodeSize' | 'inodesPerBlock' | 'inopblog' | 'agBlocks' | 'agBlkLog' | 'agSpan' | 'agCount'
  | 'dblocks' | 'internalInos' | 'dirBlockFsbs' | 'dirBlockSize' | 'rootIno' | 'logStart' | 'logBlocks' | 'logSectorSize' | 'icount' | 'ifree'
  | 'fdblocks' | 'imaxPct' | 'inoAlign' | 'spinoAlign' | 'inodeCluster' | 'unit' | 'width' | 'inProgress'
> {
  const dirBlockFsbs = 2 ** view.sb_dirblklog;
  return {
    blockSize: view.sb_blocksize,
    blockLog: view.sb_blocklog,
    sectorSize: view.sb_sectsize,
    inodeSize: view.sb_inodesize,
    inodesPerBlock: view.sb_inopblock,
    inopblog: view.sb_inopblog,
    agBlocks: view.sb_agblocks,
    agBlkLog: view.sb_agblklog,
    agSpan: 2 ** view.sb_agblklog,
    agCount: view.sb_agcount,
    dblocks: view.sb_dblocks,
    dirBlockFsbs,
    dirBlockSize: dirBlockFsbs * view.sb_blocksize,
    rootIno: view.sb_rootino,
    internalInos: [view.sb_rbmino, view.sb_rsumino, view.sb_uquotino, view.sb_gquotino, view.sb_pquotino].map(Number),
    logStart: view.sb_logstart,
    logBlocks: view.sb_logblocks,
    logSectorSize: view.sb_logsectsize === 0 ? 512 : view.sb_logsectsize,
    icount: view.sb_icount,
    ifree: view.sb_ifree,
    fdblocks: view.sb_fdblocks,
    imaxPct: view.sb_imax_pct,
    inoAlign: view.sb_inoalignmt,
    spinoAlign: view.sb_spino_align,
    inodeCluster: clusterOf(view),
    unit: view.sb_unit,
    width: view.sb_width,
    inProgress: view.sb_inprogress !== 0,
  };
}

/** Chunks of 64 inodes are aligned, or, where they may have holes, their parts are. */
function clusterOf(view: SuperView): number {
  const aligned = view.sb_spino_align > 0 ? view.sb_spino_align : view.sb_inoalignmt;
  const count = Math.min(aligned, Math.floor(INODES_PER_CHUNK / view.sb_inopblock));
  return isPowerOfTwo(count) ? count : 1;
}

function checkPlaces(info: SuperInfo): void {
  if (!isFsBlock(info, info.logStart, info.logBlocks) || info.logBlocks === 0) throw bad('sb_logstart', 'the log is not in a group');
  if (inoToBlock(info, info.rootIno) < 0) throw bad('sb_rootino', `a root inode of number ${info.rootIno}`);
}

// Addresses ----------------------------------------------------------------------------------------------------------------

/** Blocks of a group: the last may be short. */
export const agLength = (info: SuperInfo, ag: number): number =>
  ag === info.agCount - 1 ? info.dblocks - ag * info.agBlocks : info.agBlocks;

/** Do `count` blocks from `fsb` lie in one group? */
export const isFsBlock = (info: SuperInfo, fsb: number, count = 1): boolean => fsbPos(info, fsb, count) >= 0;

/** Byte position of `count` blocks from `fsb`, -1 when they do not lie in one group. */
export function fsbPos(info: SuperInfo, fsb: number, count = 1): number {
  const ag = Math.floor(fsb / info.agSpan);
  const block = fsb - ag * info.agSpan;
  if (!(fsb >= 0 && ag < info.agCount && block + count <= agLength(info, ag))) return -1;
  return (ag * info.agBlocks + block) * info.blockSize;
}

/** Byte position of a filesystem block that `isFsBlock`. */
export function fsbToPos(info: SuperInfo, fsb: number): number {
  const ag = Math.floor(fsb / info.agSpan);
  return (ag * info.agBlocks + (fsb - ag * info.agSpan)) * info.blockSize;
}

export const agbToFsb = (info: SuperInfo, ag: number, block: number): number => ag * info.agSpan + block;
export const agbToPos = (info: SuperInfo, ag: number, block: number): number => (ag * info.agBlocks + block) * info.blockSize;
export const fsbToAg = (info: SuperInfo, fsb: number): number => Math.floor(fsb / info.agSpan);
export const fsbToAgb = (info: SuperInfo, fsb: number): number => fsb % info.agSpan;

/** The filesystem block that holds an inode; -1 when there can be none of this number. */
export function inoToBlock(info: SuperInfo, ino: number): number {
  if (!Number.isSafeInteger(ino) || ino <= 0) return -1;
  const fsb = Math.floor(ino / info.inodesPerBlock);
  // Blocks 0 to 3 of sectors hold the headers of the group.
  return isFsBlock(info, fsb) && fsbToAgb(info, fsb) > 0 ? fsb : -1;
}
