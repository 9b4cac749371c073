/**
 * What stands at the head of each group of a new image, once it is known what is in use: bitmaps, descriptors, superblock
 * and their copies.
 */
import { setRange } from '@iomap/block-map';
import { groupBlocks, groupFirstBlock, groupOfBlock, groupOfInode, type Geometry } from '../geometry.js';
import { groupTables } from '../mkfs-image.js';
import type { MkfsPlan } from '../mkfs-plan.js';
import { Ext2GroupDesc } from '../ondisk.js';

/** What is in use: runs from the start, of blocks in each group and of inodes in all. */
export interface Usage {
  /** The first block that was not given out. */
  readonly nextBlock: number;
  /** The first inode that was not given out. */
  readonly nextIno: number;
  /** Directories by group. */
  readonly directories: Uint32Array;
}

export interface GroupUsage {
  readonly blocks: number;
  readonly inodes: number;
}

/** What a group has in use: a run from its start each. */
export function groupUsage(plan: MkfsPlan, usage: Usage, group: number): GroupUsage {
  const { geometry } = plan;
  const tables = groupTables(plan, group);
  const cursor = groupOfBlock(geometry, usage.nextBlock - 1);
  const blocks = group < cursor ? groupBlocks(geometry, group) : group === cursor ? usage.nextBlock - groupFirstBlock(geometry, group) : tables.usedBlocks;
  const last = groupOfInode(geometry, usage.nextIno - 1);
  const before = group * geometry.inodesPerGroup;
  const inodes = group < last ? geometry.inodesPerGroup : group === last ? usage.nextIno - 1 - before : 0;
  return { blocks, inodes };
}

/** Puts the counts into the descriptors that mkfs built. @returns the sums for the superblock */
export function countGroups(plan: MkfsPlan, usage: Usage, descs: Uint8Array): { freeBlocks: number; freeInodes: number } {
  const { geometry } = plan;
  const desc = Ext2GroupDesc.at(descs);
  let freeBlocks = 0;
  let freeInodes = 0;
  for (let group = 0; group < geometry.groupCount; group++) {
    const used = groupUsage(plan, usage, group);
    desc.$set(descs, group * Ext2GroupDesc.size);
    desc.bg_free_blocks_count = groupBlocks(geometry, group) - used.blocks;
    desc.bg_free_inodes_count = geometry.inodesPerGroup - used.inodes;
    desc.bg_used_dirs_count = usage.directories[group] ?? 0;
    freeBlocks += desc.bg_free_blocks_count;
    freeInodes += desc.bg_free_inodes_count;
  }
  return { freeBlocks, freeInodes };
}

/** Both bitmaps of a group, as they stand on disk: blocks, then inodes; what is beyond the group is in use. */
export function groupBitmaps(geometry: Geometry, group: number, used: GroupUsage): Uint8Array {
  const { blockSize, inodesPerGroup } = geometry;
  const bytes = new Uint8Array(2 * blockSize);
  const blocks = bytes.subarray(0, blockSize);
  setRange(blocks, 0, used.blocks);
  const inGroup = groupBlocks(geometry, group);
  setRange(blocks, inGroup, 8 * blockSize - inGroup);
  const inodes = bytes.subarray(blockSize);
  setRange(inodes, 0, used.inodes);
  setRange(inodes, inodesPerGroup, 8 * blockSize - inodesPerGroup);
  return bytes;
}
