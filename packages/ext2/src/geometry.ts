/**
 * Where everything is: the numbers of a superblock that never change under a mount, checked, and the placement rules
 * that
 * follow from them (superblock backups, group descriptors with and without `meta_bg`, reserved descriptor blocks,
 * tables).
 *
 * - `decodeSuper` validates: what a `Geometry` says is in range, consistent and fits the device (I1).
 * - Placement functions are pure; blocks are absolute block numbers, groups count from 0.
 * - `mkfs` builds a `Geometry` by `makeGeometry` and lays out by the same functions that `check` and a mount read with.
 */
import { corrupt, divCeil, isPowerOfTwo, unsupported } from '@iomap/io';

import {
  BLOCK_SIZE_MIN,
  COMPAT,
  DESC_BYTES,
  DYNAMIC_REV,
  EXT2_MAGIC,
  Ext2Super,
  featureNames,
  GOOD_OLD_FIRST_INO,
  GOOD_OLD_INODE_SIZE,
  GOOD_OLD_REV,
  INCOMPAT,
  RO_COMPAT,
  type Ext2SuperView,
} from './ondisk.js';

/** The numbers that a `Geometry` is derived from. */
export interface GeometryInit {
  readonly blockSize: number;
  readonly blocksCount: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: number;
  /** First inode that is not reserved. */
  readonly firstIno: number;
  readonly revision: number;
  readonly compat: number;
  readonly incompat: number;
  readonly roCompat: number;
  readonly reservedGdtBlocks: number;
  readonly firstMetaBg: number;
}

export interface Geometry extends GeometryInit {
  readonly firstDataBlock: number;
  readonly groupCount: number;
  readonly inodesCount: number;
  readonly inodesPerBlock: number;
  /** Blocks of one group's inode table. */
  readonly inodeTableBlocks: number;
  readonly descPerBlock: number;
  /** Blocks of one whole copy of the group descriptors. */
  readonly gdtBlocks: number;
  readonly sparseSuper: boolean;
  readonly metaBg: boolean;
  readonly filetype: boolean;
  /** Block pointers in an indirect block. */
  readonly addrPerBlock: number;
}

export function makeGeometry(init: GeometryInit): Geometry {
  const firstDataBlock = init.blockSize === BLOCK_SIZE_MIN ? 1 : 0;
  const groupCount = divCeil(init.blocksCount - firstDataBlock, init.blocksPerGroup);
  const descPerBlock = init.blockSize / DESC_BYTES;
  return {
    ...init,
    firstDataBlock,
    groupCount,
    inodesCount: groupCount * init.inodesPerGroup,
    inodesPerBlock: init.blockSize / init.inodeSize,
    inodeTableBlocks: divCeil(init.inodesPerGroup * init.inodeSize, init.blockSize),
    descPerBlock,
    gdtBlocks: divCeil(groupCount, descPerBlock),
    sparseSuper: (init.roCompat & RO_COMPAT.sparse_super) !== 0,
    metaBg: (init.incompat & INCOMPAT.meta_bg) !== 0,
    filetype: (init.incompat & INCOMPAT.filetype) !== 0,
    addrPerBlock: init.blockSize / 4,
  };
}

// Features ------------------------------------------------------------------------------------------------------------

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

/** The read-only-compatible features that keep us from writing, by name. */
export const readOnlyFeatures = (roCompat: number): string[] =>
  featureNames((roCompat & ~RO_COMPAT_SUPPORTED) >>> 0, RO_COMPAT, 'R');

// Decoding ------------------------------------------------------------------------------------------------------------

const need = (condition: boolean, field: string, why: string): void => {
  if (!condition) throw corrupt(why, { field });
};

function decodeSizes(view: Ext2SuperView): { blockSize: number; inodeSize: number; firstIno: number } {
  need(view.s_log_block_size <= 6, 's_log_block_size', `log block size ${view.s_log_block_size} is beyond 6`);
  need(view.s_log_frag_size === view.s_log_block_size, 's_log_frag_size', 'fragments differ from blocks');
  const blockSize = BLOCK_SIZE_MIN * 2 ** view.s_log_block_size;
  if (view.s_rev_level === GOOD_OLD_REV) {
    return { blockSize, inodeSize: GOOD_OLD_INODE_SIZE, firstIno: GOOD_OLD_FIRST_INO };
  }
  const inodeSize = view.s_inode_size;
  const sane = isPowerOfTwo(inodeSize) && inodeSize >= GOOD_OLD_INODE_SIZE && inodeSize <= blockSize;
  need(sane, 's_inode_size', `inode size ${inodeSize}`);
  return { blockSize, inodeSize, firstIno: view.s_first_ino };
}

function checkGroups(view: Ext2SuperView, geometry: Geometry): void {
  const { blockSize, blocksCount, blocksPerGroup, inodesPerGroup, groupCount } = geometry;
  const bits = 8 * blockSize;
  need(
    view.s_frags_per_group === blocksPerGroup,
    's_frags_per_group',
    'fragments per group differ from blocks per group',
  );
  need(inodesPerGroup > 0 && inodesPerGroup <= bits, 's_inodes_per_group', `${inodesPerGroup} inodes per group`);
  need(
    inodesPerGroup >= geometry.inodesPerBlock && geometry.inodeTableBlocks + 2 < blocksPerGroup,
    's_inodes_per_group',
    `an inode table of ${geometry.inodeTableBlocks} blocks in groups of ${blocksPerGroup}`,
  );
  need(
    view.s_inodes_count === geometry.inodesCount,
    's_inodes_count',
    `${view.s_inodes_count} inodes, not ${groupCount} groups of ${inodesPerGroup}`,
  );
  need(
    geometry.firstIno >= GOOD_OLD_FIRST_INO && geometry.firstIno <= geometry.inodesCount,
    's_first_ino',
    `first inode ${geometry.firstIno}`,
  );
  need(
    geometry.reservedGdtBlocks <= geometry.addrPerBlock,
    's_reserved_gdt_blocks',
    'too many reserved descriptor blocks',
  );
  // A descriptor table longer than its group cannot be where the rules say; with meta_bg only the old part counts.
  need(
    !geometry.metaBg || geometry.firstMetaBg <= geometry.gdtBlocks,
    's_first_meta_bg',
    `first meta block group ${geometry.firstMetaBg} of ${geometry.gdtBlocks}`,
  );
  need(
    oldGdtBlocks(geometry) < blocksPerGroup && oldGdtBlocks(geometry) < blocksCount,
    's_blocks_per_group',
    'the group descriptors do not fit their group',
  );
}

/**
 * Reads and validates a superblock.
 * @param bytes 1024 bytes
 * @param deviceBytes size of the device; a filesystem that is longer is corrupt. Absent: not looked at
 * @throws FsError EINVAL no ext2 magic; EOPNOTSUPP incompatible features, by name; EUCLEAN anything inconsistent
 */
export function decodeSuper(bytes: Uint8Array, deviceBytes?: number): Geometry {
  const view = Ext2Super.at(bytes);
  need(view.s_magic === EXT2_MAGIC, 's_magic', 'no ext2 magic');
  if (view.s_rev_level > DYNAMIC_REV) throw unsupported(`revision ${view.s_rev_level}`, { field: 's_rev_level' });
  const dynamic = view.s_rev_level === DYNAMIC_REV;
  const compat = dynamic ? view.s_feature_compat : 0;
  const incompat = dynamic ? view.s_feature_incompat : 0;
  checkIncompatFeatures(compat, incompat);
  const { blockSize, inodeSize, firstIno } = decodeSizes(view);
  const firstDataBlock = blockSize === BLOCK_SIZE_MIN ? 1 : 0;
  const { s_blocks_count: blocksCount, s_blocks_per_group: blocksPerGroup } = view;
  need(view.s_first_data_block === firstDataBlock, 's_first_data_block', `first data block ${view.s_first_data_block}`);
  need(
    blocksPerGroup >= 8 && blocksPerGroup <= 8 * blockSize,
    's_blocks_per_group',
    `${blocksPerGroup} blocks per group`,
  );
  need(blocksCount > firstDataBlock + 3, 's_blocks_count', `${blocksCount} blocks`);
  if (deviceBytes !== undefined) {
    need(
      blocksCount * blockSize <= deviceBytes,
      's_blocks_count',
      `${blocksCount} blocks on a device of ${deviceBytes} bytes`,
    );
  }
  const geometry = makeGeometry({
    blockSize,
    blocksCount,
    blocksPerGroup,
    inodesPerGroup: view.s_inodes_per_group,
    inodeSize,
    firstIno,
    revision: view.s_rev_level,
    compat,
    incompat,
    roCompat: dynamic ? view.s_feature_ro_compat : 0,
    reservedGdtBlocks: (compat & COMPAT.resize_inode) !== 0 ? view.s_reserved_gdt_blocks : 0,
    firstMetaBg: view.s_first_meta_bg,
  });
  checkGroups(view, geometry);
  need(view.s_r_blocks_count <= blocksCount, 's_r_blocks_count', `${view.s_r_blocks_count} reserved blocks`);
  return geometry;
}

// Placement -----------------------------------------------------------------------------------------------------------

/** Byte position of a block. */
export const blockPos = (geometry: Geometry, block: number): number => block * geometry.blockSize;
export const groupFirstBlock = (geometry: Geometry, group: number): number =>
  geometry.firstDataBlock + group * geometry.blocksPerGroup;
/** Blocks of a group; the last may be short. */
export const groupBlocks = (geometry: Geometry, group: number): number =>
  Math.min(geometry.blocksPerGroup, geometry.blocksCount - groupFirstBlock(geometry, group));
/** The group of a block (≥ the first data block). */
export const groupOfBlock = (geometry: Geometry, block: number): number =>
  Math.floor((block - geometry.firstDataBlock) / geometry.blocksPerGroup);
/** The group of an inode (≥ 1). */
export const groupOfInode = (geometry: Geometry, ino: number): number =>
  Math.floor((ino - 1) / geometry.inodesPerGroup);

const isPowerOf = (n: number, base: number): boolean => {
  let power = base;
  while (power < n) power *= base;
  return power === n;
};

/** True when the group starts with a superblock: all, or with `sparse_super` 0, 1 and the powers of 3, 5 and 7. */
export function groupHasSuper(geometry: Geometry, group: number): boolean {
  if (!geometry.sparseSuper || group <= 1) return true;
  return group % 2 === 1 && (isPowerOf(group, 3) || isPowerOf(group, 5) || isPowerOf(group, 7));
}

/** Blocks of the old-style descriptor table in each group that has one, reserved blocks included. */
export const oldGdtBlocks = (geometry: Geometry): number =>
  geometry.metaBg ? geometry.firstMetaBg : geometry.gdtBlocks + geometry.reservedGdtBlocks;

/** What stands at the start of a group. */
export interface GroupHead {
  /**
   * Block of the superblock copy; 0 = none (in a 1 KiB filesystem block 0 is the boot block, else `hasSuper` tells).
   */
  readonly hasSuper: boolean;
  /** First block of the old-style descriptor table; 0 = none. */
  readonly oldGdt: number;
  readonly oldGdtCount: number;
  /** The meta_bg descriptor block; 0 = none. */
  readonly newGdt: number;
  /** Blocks of all these. */
  readonly headBlocks: number;
}

/** The superblock and descriptor blocks of a group. */
export function groupHead(geometry: Geometry, group: number): GroupHead {
  const first = groupFirstBlock(geometry, group);
  const hasSuper = groupHasSuper(geometry, group);
  const superBlocks = hasSuper ? 1 : 0;
  const metaGroup = Math.floor(group / geometry.descPerBlock);
  if (!geometry.metaBg || metaGroup < geometry.firstMetaBg) {
    const count = hasSuper ? oldGdtBlocks(geometry) : 0;
    return {
      hasSuper,
      oldGdt: count > 0 ? first + 1 : 0,
      oldGdtCount: count,
      newGdt: 0,
      headBlocks: superBlocks + count,
    };
  }
  const place = group % geometry.descPerBlock;
  const hasNew = place === 0 || place === 1 || place === geometry.descPerBlock - 1;
  const newGdt = hasNew ? first + superBlocks : 0;
  return { hasSuper, oldGdt: 0, oldGdtCount: 0, newGdt, headBlocks: superBlocks + (hasNew ? 1 : 0) };
}

/** Where block `index` of the primary descriptor table is. */
export function gdtBlock(geometry: Geometry, index: number): number {
  if (!geometry.metaBg || index < geometry.firstMetaBg) return geometry.firstDataBlock + 1 + index;
  const group = index * geometry.descPerBlock;
  return groupFirstBlock(geometry, group) + (groupHasSuper(geometry, group) ? 1 : 0);
}

/** Byte position of the superblock copy in a group that has one. */
export const superPos = (geometry: Geometry, group: number): number =>
  group === 0 ? 1024 : blockPos(geometry, groupFirstBlock(geometry, group));

/** The largest size of a file that `i_blocks` and the indirect tree can hold, in bytes. */
export function maxFileBytes(geometry: Geometry): number {
  const n = geometry.addrPerBlock;
  const tree = (12 + n + n * n + n * n * n) * geometry.blockSize;
  // i_blocks counts 512-byte units in 32 bits, indirect blocks included.
  const sectors = (2 ** 32 - 1) * 512;
  return Math.min(tree, sectors);
}
