/**
 * Where everything is: the numbers that never change under a mount, and the placement rules that follow from them
 * (superblock backups, group descriptors with and without `meta_bg`, reserved descriptor blocks, tables).
 *
 * - Placement functions are pure; blocks are absolute block numbers, groups count from 0.
 * - `mkfs` makes a `Geometry` by `makeGeometry`, super.ts decodes and checks one; `mkfs`, `check` and a mount place by
 *   the same functions.
 */
import { divCeil } from '@iomap/io';

import { BLOCK_SIZE_MIN, DESC_BYTES, INCOMPAT, RO_COMPAT } from './ondisk.js';

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

/** As `groupHead().headBlocks`, without the blocks that are only reserved for growth (the resize inode owns those). */
export function groupHeadCore(geometry: Geometry, group: number): number {
  const { headBlocks, oldGdtCount } = groupHead(geometry, group);
  return oldGdtCount > 0 && !geometry.metaBg ? headBlocks - geometry.reservedGdtBlocks : headBlocks;
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
