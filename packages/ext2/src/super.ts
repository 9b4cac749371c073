/**
 * The superblock in core: what a mount needs of it, checked.
 *
 * `decodeSuper` is the only reader of the on-disk superblock in the driver, and `encodeSuper` the only writer. A value that
 * is here is in range; counts that change (free blocks, free inodes) live in `Groups`.
 */
import { corrupt, isPowerOfTwo, unsupported } from '@iomap/io';
import { checkIncompat, INCOMPAT_META_BG, RO_COMPAT_SPARSE_SUPER, unknownRoCompat } from './features.js';
import { Ext2Super } from './ondisk.js';

/** A Web API that Node and browsers share; core packages compile without either's globals. */
declare const TextDecoder: new () => { decode(bytes: Uint8Array): string };

export const EXT2_SUPER_MAGIC = 0xef53;
export const EXT2_ROOT_INO = 2;
/** `s_state`: unmounted cleanly. */
export const EXT2_VALID_FS = 1;
export const EXT2_ERROR_FS = 2;
/** `s_flags`: the hash is over unsigned characters. */
const FLAGS_UNSIGNED_HASH = 2;
const DESC_BYTES = 32;
/** Twice what the smallest usual groups (8 MiB) of the largest filesystem (2^32 blocks of 1 KiB) come to. */
const GROUPS_MAX = 2 ** 20;

export interface SuperInfo {
  readonly blockSize: number;
  readonly blocksCount: number;
  readonly inodesCount: number;
  readonly reservedBlocks: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  readonly groupCount: number;
  readonly inodeSize: number;
  readonly inodesPerBlock: number;
  /** Blocks of a group's inode table. */
  readonly tableBlocks: number;
  /** First inode that is not reserved. */
  readonly firstIno: number;
  revision: number;
  compat: number;
  incompat: number;
  roCompat: number;
  /** Group descriptors in a block, and blocks that hold them all. */
  readonly descPerBlock: number;
  readonly descBlocks: number;
  readonly firstMetaBg: number;
  readonly reservedGdtBlocks: number;
  readonly uuid: Uint8Array;
  readonly label: string;
  readonly hashSeed: readonly number[];
  /** The default hash for new indexes, with 3 added for unsigned characters. */
  readonly hashVersion: number;
  readonly hashUnsigned: boolean;
  /** Bytes of large inode fields in new inodes (0 in 128-byte inodes). */
  readonly extraIsize: number;
  readonly state: number;
  /** Names of features that allow reading only. */
  readonly readOnlyFor: readonly string[];
}

function bad(field: string, why: string): never {
  throw corrupt(why, { field });
}

/** Does group `group` carry a copy of the superblock and the descriptors? */
export function groupHasSuper(info: SuperInfo, group: number): boolean {
  if (group <= 1 || (info.roCompat & RO_COMPAT_SPARSE_SUPER) === 0) return true;
  if (group % 2 === 0) return false;
  for (const base of [3, 5, 7]) {
    let power = base;
    while (power < group) power *= base;
    if (power === group) return true;
  }
  return false;
}

/** First block of a group. */
export const groupFirstBlock = (info: SuperInfo, group: number): number => info.firstDataBlock + group * info.blocksPerGroup;
/** Blocks in a group; the last may be short. */
export const groupBlocks = (info: SuperInfo, group: number): number =>
  Math.min(info.blocksPerGroup, info.blocksCount - groupFirstBlock(info, group));

/** The block that holds descriptor block `nr`. */
export function descBlockLocation(info: SuperInfo, nr: number): number {
  if ((info.incompat & INCOMPAT_META_BG) === 0 || nr < info.firstMetaBg) return info.firstDataBlock + 1 + nr;
  const group = info.descPerBlock * nr;
  return groupFirstBlock(info, group) + (groupHasSuper(info, group) ? 1 : 0);
}

/** Blocks at a group's start that hold the superblock's copy and descriptors (0 where there are none). */
export function groupHeadBlocks(info: SuperInfo, group: number): number {
  const hasSuper = groupHasSuper(info, group) ? 1 : 0;
  const isMeta = (info.incompat & INCOMPAT_META_BG) !== 0;
  if (isMeta && group >= info.firstMetaBg * info.descPerBlock) {
    const place = group % info.descPerBlock;
    return hasSuper + (place === 0 || place === 1 || place === info.descPerBlock - 1 ? 1 : 0);
  }
  if (hasSuper === 0) return 0;
  return 1 + (isMeta ? info.firstMetaBg : info.descBlocks) + info.reservedGdtBlocks;
}

/**
 * Reads and checks a superblock.
 * @param bytes at least 1024 bytes, the superblock at `offset`
 * @param deviceBytes size of the device
 * @throws FsError EUCLEAN for values that cannot be; EOPNOTSUPP naming features that are not supported; EINVAL no ext2 at all
 */
export function decodeSuper(bytes: Uint8Array, offset: number, deviceBytes: number): SuperInfo {
  const s = Ext2Super.at(bytes, offset);
  if (s.s_magic !== EXT2_SUPER_MAGIC) bad('s_magic', 'not an ext2 filesystem: bad magic number');
  const revision = s.s_rev_level;
  if (revision > 1) throw unsupported(`revision ${revision} is not supported`, { field: 's_rev_level' });
  const dynamic = revision === 1;
  const incompat = dynamic ? s.s_feature_incompat : 0;
  checkIncompat(incompat);
  if (s.s_log_block_size > 6) bad('s_log_block_size', 'block size out of range');
  const blockSize = 1024 * 2 ** s.s_log_block_size;
  const blocksCount = s.s_blocks_count;
  const firstDataBlock = s.s_first_data_block;
  if (firstDataBlock !== (blockSize === 1024 ? 1 : 0)) bad('s_first_data_block', 'first data block does not fit the block size');
  if (blocksCount <= firstDataBlock + 1) bad('s_blocks_count', 'too few blocks');
  if (blocksCount * blockSize > deviceBytes) bad('s_blocks_count', 'the filesystem is larger than its device');
  const inodeSize = dynamic ? s.s_inode_size : 128;
  if (!isPowerOfTwo(inodeSize) || inodeSize < 128 || inodeSize > blockSize) bad('s_inode_size', 'bad inode size');
  const inodesPerBlock = blockSize / inodeSize;
  const blocksPerGroup = s.s_blocks_per_group;
  const inodesPerGroup = s.s_inodes_per_group;
  if (blocksPerGroup < 8 || blocksPerGroup > blockSize * 8) bad('s_blocks_per_group', 'blocks per group out of range');
  if (inodesPerGroup < inodesPerBlock || inodesPerGroup > blockSize * 8) {
    bad('s_inodes_per_group', 'inodes per group out of range');
  }
  const tableBlocks = Math.ceil(inodesPerGroup / inodesPerBlock);
  if (blocksPerGroup <= tableBlocks + 2) bad('s_blocks_per_group', 'a group has no room for its inode table');
  const groupCount = Math.ceil((blocksCount - firstDataBlock) / blocksPerGroup);
  if (groupCount > GROUPS_MAX) bad('s_blocks_per_group', 'too many groups');
  if (s.s_inodes_count !== groupCount * inodesPerGroup) bad('s_inodes_count', 'inode count does not fit the groups');
  const firstIno = dynamic ? s.s_first_ino : 11;
  if (firstIno < 11 || firstIno > s.s_inodes_count) bad('s_first_ino', 'first inode out of range');
  if (s.s_r_blocks_count > blocksCount) bad('s_r_blocks_count', 'more blocks reserved than there are');
  const descPerBlock = blockSize / DESC_BYTES;
  const descBlocks = Math.ceil(groupCount / descPerBlock);
  const isUnsigned = (s.s_flags & FLAGS_UNSIGNED_HASH) !== 0;
  const hashVersion = s.s_def_hash_version;
  const wantExtra = s.s_want_extra_isize;
  const room = inodeSize - 128;
  return {
    blockSize,
    blocksCount,
    inodesCount: s.s_inodes_count,
    reservedBlocks: s.s_r_blocks_count,
    firstDataBlock,
    blocksPerGroup,
    inodesPerGroup,
    groupCount,
    inodeSize,
    inodesPerBlock,
    tableBlocks,
    firstIno,
    revision,
    compat: dynamic ? s.s_feature_compat : 0,
    incompat,
    roCompat: dynamic ? s.s_feature_ro_compat : 0,
    descPerBlock,
    descBlocks,
    firstMetaBg: Math.min(s.s_first_meta_bg, descBlocks),
    reservedGdtBlocks: s.s_reserved_gdt_blocks,
    uuid: s.s_uuid.slice(),
    label: labelOf(s.s_volume_name),
    hashSeed: readSeed(s.$bytes, s.$offset),
    hashVersion: (hashVersion <= 2 ? hashVersion : 1) + (isUnsigned ? 3 : 0),
    hashUnsigned: isUnsigned,
    extraIsize: room < 32 ? 0 : wantExtra >= 32 && wantExtra <= room && wantExtra % 4 === 0 ? wantExtra : 32,
    state: s.s_state,
    readOnlyFor: unknownRoCompat(dynamic ? s.s_feature_ro_compat : 0),
  };
}

function labelOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function readSeed(bytes: Uint8Array, offset: number): number[] {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [0, 1, 2, 3].map((word) => data.getUint32(offset + Ext2Super.offsets.s_hash_seed + word * 4, true));
}

/** What a mount writes into the superblock. Absent: left as it is. */
export interface SuperChange {
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly state?: number;
  readonly wtimeSec: number;
  /** Counts this mount: the mount count goes up and the mount time is set. */
  readonly countMount?: boolean;
}

/** Writes the counts, the state and the features into a superblock's bytes. Backups are not touched. */
export function encodeSuper(info: SuperInfo, bytes: Uint8Array, offset: number, change: SuperChange): void {
  const s = Ext2Super.at(bytes, offset);
  s.s_free_blocks_count = change.freeBlocks;
  s.s_free_inodes_count = change.freeInodes;
  s.s_wtime = change.wtimeSec;
  if (change.state !== undefined) s.s_state = change.state;
  if (change.countMount === true) {
    s.s_mnt_count = (s.s_mnt_count + 1) % 0x1_0000;
    s.s_mtime = change.wtimeSec;
  }
  if (info.revision >= 1) {
    if (s.s_rev_level === 0) {
      // As Linux does when a feature is first needed: the fields of revision 1 get revision 0's values.
      s.s_rev_level = 1;
      s.s_first_ino = 11;
      s.s_inode_size = 128;
    }
    s.s_feature_compat = info.compat;
    s.s_feature_ro_compat = info.roCompat;
  }
}
