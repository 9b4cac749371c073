/**
 * The numbers of a new filesystem: from options and a size to a `Geometry`, by mke2fs's rules.
 *
 * - The inode count is rounded up to whole table blocks and multiples of 8 per group.
 * - A last group that could not hold its own metadata and 50 blocks is left out (I1).
 * - With `resize_inode`, descriptor blocks are reserved for growth to 1024 times the size.
 */
import { divCeil, FsError, roundDown, roundUp } from '@iomap/io';

import { groupBlocks, groupHead, makeGeometry, type Geometry, type GeometryInit } from './geometry.js';
import type { MkfsSettings } from './mkfs-options.js';
import { BLOCK_SIZE_MIN, COMPAT, DESC_BYTES, GOOD_OLD_FIRST_INO, INCOMPAT, NDIR_BLOCKS, RO_COMPAT } from './ondisk.js';

const SMALL_BYTES = 512 * 2 ** 20;
const BLOCKS_MAX = 2 ** 32 - 1;
/** `bg_free_blocks_count` and `bg_free_inodes_count` have 16 bits. */
const GROUP_COUNT_MAX = 65536;
/** Blocks that a last group must have beyond its metadata. */
const LAST_GROUP_MIN_BLOCKS = 50;
/** All reserved inodes and lost+found are to be in group 0. */
const INODES_PER_GROUP_MIN = 16;
/** How often the size may be cut; each cut takes a whole group away, so a second is rare and a third is a bug. */
const TRIMS_MAX = 8;
const LOST_FOUND_BYTES = 16384;

export interface MkfsPlan {
  readonly geometry: Geometry;
  readonly reservedBlocks: number;
  /** Blocks of lost+found; 0 = none. */
  readonly lostFoundBlocks: number;
  readonly resizeInode: boolean;
}

const invalid = (why: string, field: string): FsError => new FsError('EINVAL', { why, detail: { field } });

interface Features {
  readonly compat: number;
  readonly incompat: number;
  readonly roCompat: number;
}

function chooseFeatures(settings: MkfsSettings): Features {
  const asked = settings.features;
  if (settings.revision === 0) {
    const on = Object.entries(asked).find(([, value]) => value);
    if (on !== undefined) throw invalid(`revision 0 has no features (${on[0]})`, 'features');
    return { compat: 0, incompat: 0, roCompat: 0 };
  }
  const metaBg = asked.meta_bg ?? false;
  const sparse = asked.sparse_super ?? true;
  if (asked.resize_inode === true && metaBg) throw invalid('resize_inode and meta_bg exclude each other', 'features');
  if (asked.resize_inode === true && !sparse) throw invalid('resize_inode needs sparse_super', 'features');
  const resize = asked.resize_inode ?? (!metaBg && sparse);
  return {
    compat:
      ((asked.ext_attr ?? true) ? COMPAT.ext_attr : 0) |
      ((asked.dir_index ?? true) ? COMPAT.dir_index : 0) |
      (resize ? COMPAT.resize_inode : 0),
    incompat: ((asked.filetype ?? true) ? INCOMPAT.filetype : 0) | (metaBg ? INCOMPAT.meta_bg : 0),
    roCompat: (sparse ? RO_COMPAT.sparse_super : 0) | ((asked.large_file ?? true) ? RO_COMPAT.large_file : 0),
  };
}

/** Bytes that the resize inode's size says: all that its double-indirect tree could map. */
export const resizeInodeBytes = (geometry: Geometry): number => {
  const n = geometry.addrPerBlock;
  return (n * n + n + NDIR_BLOCKS) * geometry.blockSize;
};

function reservedGdt(init: GeometryInit): number {
  const descPerBlock = init.blockSize / DESC_BYTES;
  const firstDataBlock = init.blockSize === BLOCK_SIZE_MIN ? 1 : 0;
  const groups = divCeil(init.blocksCount - firstDataBlock, init.blocksPerGroup);
  const blocksMax = Math.min(BLOCKS_MAX, init.blocksCount * 1024);
  const groupsMax = divCeil(blocksMax - firstDataBlock, init.blocksPerGroup);
  const blocks = divCeil(groupsMax, descPerBlock) - divCeil(groups, descPerBlock);
  return Math.min(Math.max(0, blocks), init.blockSize / 4);
}

function inodesPerGroup(settings: MkfsSettings, init: GeometryInit): number {
  const firstDataBlock = init.blockSize === BLOCK_SIZE_MIN ? 1 : 0;
  const groups = divCeil(init.blocksCount - firstDataBlock, init.blocksPerGroup);
  const bytes = init.blocksCount * init.blockSize;
  const ratio = settings.bytesPerInode ?? (bytes < SMALL_BYTES ? 4096 : 16384);
  // Never fewer bytes than a block for an inode: more inodes than blocks can never be used.
  const wanted = settings.inodes ?? Math.floor(bytes / Math.max(ratio, init.blockSize));
  const perBlock = init.blockSize / init.inodeSize;
  const unit = Math.max(8, perBlock);
  const most = roundDown(Math.min(8 * init.blockSize, GROUP_COUNT_MAX - unit), unit);
  const perGroup = roundUp(Math.max(divCeil(wanted, groups), INODES_PER_GROUP_MIN), unit);
  if (perGroup > most) {
    if (settings.inodes !== undefined) throw invalid(`at most ${most * groups} inodes fit`, 'inodes');
    return most;
  }
  return perGroup;
}

function chooseInit(settings: MkfsSettings, sizeBytes: number): GeometryInit {
  const blockSize = settings.blockSize ?? (sizeBytes < SMALL_BYTES ? 1024 : 4096);
  const inodeSize = settings.inodeSize ?? (settings.revision === 0 ? 128 : 256);
  if (inodeSize > blockSize) throw invalid('an inode is larger than a block', 'inodeSize');
  if (settings.revision === 0 && inodeSize !== 128) throw invalid('revision 0 has inodes of 128 bytes', 'inodeSize');
  const blocksCount = Math.floor(sizeBytes / blockSize);
  if (blocksCount > BLOCKS_MAX) throw new FsError('EFBIG', { why: `more than ${BLOCKS_MAX} blocks of ${blockSize}` });
  const most = Math.min(8 * blockSize, GROUP_COUNT_MAX - 8);
  const blocksPerGroup = settings.blocksPerGroup ?? most;
  if (blocksPerGroup > most) throw invalid(`at most ${most}`, 'blocksPerGroup');
  return {
    ...chooseFeatures(settings),
    blockSize,
    blocksCount,
    blocksPerGroup,
    inodesPerGroup: 0,
    inodeSize,
    firstIno: GOOD_OLD_FIRST_INO,
    revision: settings.revision,
    reservedGdtBlocks: 0,
    firstMetaBg: 0,
  };
}

const tooSmall = (geometry: Geometry): FsError =>
  new FsError('ENOSPC', { why: `${geometry.blocksCount} blocks of ${geometry.blockSize} cannot hold a filesystem` });

/** Blocks of a group's own metadata. */
const groupOverhead = (geometry: Geometry, group: number): number =>
  groupHead(geometry, group).headBlocks + 2 + geometry.inodeTableBlocks;

function fitGeometry(settings: MkfsSettings, start: GeometryInit): Geometry {
  let init = start;
  for (let trims = 0; trims < TRIMS_MAX; trims++) {
    if (init.blocksCount < 16) break;
    const resize = (init.compat & COMPAT.resize_inode) !== 0;
    const sized = { ...init, inodesPerGroup: inodesPerGroup(settings, init) };
    const geometry = makeGeometry({ ...sized, reservedGdtBlocks: resize ? reservedGdt(init) : 0 });
    const last = geometry.groupCount - 1;
    const lastBlocks = groupBlocks(geometry, last);
    if (
      last > 0 &&
      lastBlocks < groupOverhead(geometry, last) + LAST_GROUP_MIN_BLOCKS &&
      lastBlocks < init.blocksPerGroup
    ) {
      init = { ...init, blocksCount: init.blocksCount - lastBlocks };
      continue;
    }
    const first = groupOverhead(geometry, 0);
    if (last > 0 && first + 4 > init.blocksPerGroup) {
      throw invalid('the metadata does not fit the groups: fewer inodes, larger blocks or meta_bg', 'blocksPerGroup');
    }
    return geometry;
  }
  throw tooSmall(makeGeometry({ ...start, inodesPerGroup: INODES_PER_GROUP_MIN }));
}

/**
 * Plans a filesystem.
 * @param sizeBytes room for it
 * @throws FsError EINVAL options that contradict each other or do not fit; ENOSPC too small; EFBIG too large
 */
export function planFilesystem(settings: MkfsSettings, sizeBytes: number): MkfsPlan {
  let geometry = fitGeometry(settings, chooseInit(settings, sizeBytes));
  const resizeInode = (geometry.compat & COMPAT.resize_inode) !== 0;
  if (resizeInode && resizeInodeBytes(geometry) >= 2 ** 31) {
    // The resize inode itself is a large file, whatever was asked for.
    geometry = { ...geometry, roCompat: geometry.roCompat | RO_COMPAT.large_file };
  }
  const room = groupBlocks(geometry, 0) - groupOverhead(geometry, 0) - 1 - (resizeInode ? 1 : 0);
  const wanted = Math.min(NDIR_BLOCKS, Math.max(2, divCeil(LOST_FOUND_BYTES, geometry.blockSize)));
  const lostFoundBlocks = settings.lostFound ? Math.min(wanted, Math.max(1, Math.floor(room / 2))) : 0;
  if (room < lostFoundBlocks + 1) throw tooSmall(geometry);
  const reservedBlocks = Math.floor((geometry.blocksCount * settings.reservedPercent) / 100);
  return { geometry, reservedBlocks, lostFoundBlocks, resizeInode };
}
