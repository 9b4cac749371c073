/**
 * How large an ext2 image has to be for a source: its data, indirect and directory blocks, inodes, and what the format
 * itself takes.
 */
import { linearBlocks } from '@iomap/ext2';
import { divCeil, roundUp } from '@iomap/io';
import type { ImagePlan, PlanRequest } from '../drivers.js';
import { eachInode, isRuns, type SourceInode } from '../source/source.js';
import { indirectBlocks } from './map-size.js';

const NDIR = 12;
const DEFAULT_BLOCK = 4096;
const DEFAULT_INODE = 256;
/** Inodes that the format keeps, and lost+found's. */
const RESERVED_INODES = 11;
/** For those who edit the image: inode tables are whole blocks anyway. */
const SPARE_INODES = 16;
/** What mkfs wants of a last group beyond its metadata. */
const LAST_GROUP_MIN = 64;

function fileBlocks(inode: SourceInode, blockBytes: number, dense: boolean): number {
  const perBlock = blockBytes / 4;
  const whole = divCeil(inode.size, blockBytes);
  const all = indirectBlocks(whole, perBlock, NDIR);
  if (dense || inode.dataBytes >= inode.size) return whole + all;
  // A piece of data may begin and end inside a block.
  const pieces = isRuns(inode.data) ? inode.data.length : 1;
  const data = Math.min(whole, divCeil(inode.dataBytes, blockBytes) + 2 * pieces);
  return data + Math.min(all, 3 * data);
}

/** What an entry of the longest name takes: a block that is filled in the order of the hash may leave so much free. */
const ENTRY_MAX = 264;

function directoryBlocks(inode: SourceInode, blockBytes: number): number {
  let bytes = 0;
  const lengths: number[] = [];
  for (const { name } of inode.entries) {
    bytes += 8 + roundUp(name.length, 4);
    lengths.push(name.length);
  }
  if (24 + bytes <= blockBytes) return 1;
  const plain = linearBlocks(lengths, blockBytes);
  // With an index: a root, leaves, and index blocks when the root is full.
  const leaves = Math.max(plain, divCeil(bytes, blockBytes - ENTRY_MAX));
  const blocks = 1 + leaves + divCeil(leaves, blockBytes / 8 - 1);
  return blocks + indirectBlocks(blocks, blockBytes / 4, NDIR);
}

function xattrBlocks(inode: SourceInode, inodeBytes: number): number {
  if (inode.xattrs === undefined) return 0;
  let bytes = 4;
  for (const [name, value] of inode.xattrs) bytes += 16 + roundUp(name.length, 4) + roundUp(value.length, 4);
  return bytes > inodeBytes - 128 - 32 ? 1 : 0;
}

interface Needs {
  readonly blocks: number;
  readonly inodes: number;
}

function needsOf(request: PlanRequest, blockBytes: number, inodeBytes: number): Needs {
  // lost+found.
  let blocks = Math.max(2, divCeil(16_384, blockBytes)) + 1;
  let inodes = RESERVED_INODES;
  eachInode(request.root, (inode) => {
    inodes++;
    blocks += xattrBlocks(inode, inodeBytes);
    if (inode.type === 'file') blocks += fileBlocks(inode, blockBytes, request.generosity > 0);
    else if (inode.type === 'directory') blocks += directoryBlocks(inode, blockBytes);
    else if (inode.target !== undefined && inode.target.length >= 60) blocks++;
  });
  // A first try is exact but for files with holes and large directories, which are counted from above.
  if (request.generosity === 0) return { blocks, inodes: inodes + SPARE_INODES };
  return { blocks: blocks + 32 + Math.ceil(blocks * 0.05), inodes: inodes + SPARE_INODES + Math.ceil(inodes * 0.01) };
}

const isPowerOf = (n: number, base: number): boolean => {
  let power = base;
  while (power < n) power *= base;
  return power === n;
};
const hasSuper = (group: number): boolean => group <= 1 || isPowerOf(group, 3) || isPowerOf(group, 5) || isPowerOf(group, 7);

/** Blocks of as many groups as hold `inodes`, the last of them large enough to stand: an image is never smaller. */
function leastBlocks(inodes: number, blockBytes: number, inodeBytes: number): number {
  const unit = Math.max(8, blockBytes / inodeBytes);
  const most = Math.floor(Math.min(8 * blockBytes, 65_536 - unit) / unit) * unit;
  const groups = divCeil(inodes, most);
  if (groups === 1) return 0;
  const tableBlocks = (most * inodeBytes) / blockBytes;
  return (groups - 1) * groupBlocksOf(blockBytes) + 4 + tableBlocks + divCeil(groups * 32, blockBytes) + LAST_GROUP_MIN;
}

const groupBlocksOf = (blockBytes: number): number => Math.min(8 * blockBytes, 65_528);

/** Blocks of metadata in an image of `total` blocks without reserved descriptor blocks. */
function overhead(total: number, inodes: number, blockBytes: number, inodeBytes: number): number {
  const first = blockBytes === 1024 ? 1 : 0;
  const perGroup = groupBlocksOf(blockBytes);
  const groups = Math.max(1, divCeil(total - first, perGroup));
  const unit = Math.max(8, blockBytes / inodeBytes);
  const tableBlocks = (roundUp(Math.max(16, divCeil(inodes, groups)), unit) * inodeBytes) / blockBytes;
  const descriptors = divCeil(groups * 32, blockBytes);
  let blocks = first;
  for (let group = 0; group < groups; group++) blocks += 2 + tableBlocks + (hasSuper(group) ? 1 + descriptors : 0);
  const last = total - first - (groups - 1) * perGroup;
  const short = 2 + tableBlocks + 1 + descriptors + LAST_GROUP_MIN;
  // A last group too small to stand is not made: what would be in it needs room.
  return groups > 1 && last < short ? blocks + short - last : blocks;
}

/** Plans an image that holds `request.root`. */
export function planExt2(request: PlanRequest): ImagePlan {
  const blockSize = request.blockSize ?? DEFAULT_BLOCK;
  const inodeSize = request.inodeSize ?? DEFAULT_INODE;
  const { blocks, inodes } = needsOf(request, blockSize, inodeSize);
  let total = Math.max(blocks + 16, leastBlocks(inodes, blockSize, inodeSize));
  for (let round = 0; round < 64; round++) {
    const next = blocks + overhead(total, inodes, blockSize, inodeSize);
    if (next <= total) break;
    total = next;
  }
  return { sizeBytes: roundUp(total * blockSize, 4096), inodes, blockSize };
}
