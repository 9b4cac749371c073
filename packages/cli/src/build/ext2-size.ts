/**
 * How large an ext2 image has to be for a source: its data, indirect and directory blocks, inodes, and what the format
 * itself takes. An estimate from above: a little slack stays free.
 */
import { divCeil, roundUp } from '@iomap/io';
import type { ImagePlan, PlanRequest } from '../drivers.js';
import { eachInode, isRuns, type SourceInode } from '../source/source.js';

const NDIR = 12;
const DEFAULT_BLOCK = 4096;
const DEFAULT_INODE = 256;
/** Inodes that the format keeps, and lost+found's. */
const RESERVED_INODES = 11;
/** What mkfs wants of a last group beyond its metadata. */
const LAST_GROUP_MIN = 64;

/** Indirect blocks of a file of so many blocks without holes. */
export function indirectBlocks(blocks: number, perBlock: number): number {
  let rest = blocks - NDIR;
  if (rest <= 0) return 0;
  let total = 1;
  rest -= perBlock;
  if (rest <= 0) return total;
  const second = Math.min(rest, perBlock * perBlock);
  total += 1 + divCeil(second, perBlock);
  rest -= second;
  if (rest <= 0) return total;
  return total + 1 + divCeil(rest, perBlock * perBlock) + divCeil(rest, perBlock);
}

function fileBlocks(inode: SourceInode, blockBytes: number, dense: boolean): number {
  const perBlock = blockBytes / 4;
  const whole = divCeil(inode.size, blockBytes);
  const all = indirectBlocks(whole, perBlock);
  if (dense || inode.dataBytes >= inode.size) return whole + all;
  // A piece of data may begin and end inside a block.
  const pieces = isRuns(inode.data) ? inode.data.length : 1;
  const data = Math.min(whole, divCeil(inode.dataBytes, blockBytes) + 2 * pieces);
  return data + Math.min(all, 3 * data);
}

function directoryBlocks(inode: SourceInode, blockBytes: number, generosity: number): number {
  let blocks = 1;
  let used = 24;
  for (const { name } of inode.entries) {
    const length = 8 + roundUp(name.length, 4);
    if (used + length > blockBytes) {
      blocks++;
      used = 0;
    }
    used += length;
  }
  // An index splits full blocks in two: they are about two thirds full in the end.
  if (blocks > 1) blocks = Math.ceil(blocks * (1.6 + generosity * 0.6)) + 1;
  return blocks + indirectBlocks(blocks, blockBytes / 4);
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
    else if (inode.type === 'directory') blocks += directoryBlocks(inode, blockBytes, request.generosity);
    else if (inode.target !== undefined && inode.target.length >= 60) blocks++;
  });
  const slack = 32 + Math.ceil(blocks * (request.generosity > 0 ? 0.05 : 0.005));
  return { blocks: blocks + slack, inodes: inodes + 16 + Math.ceil(inodes * 0.01) };
}

const isPowerOf = (n: number, base: number): boolean => {
  let power = base;
  while (power < n) power *= base;
  return power === n;
};
const hasSuper = (group: number): boolean => group <= 1 || isPowerOf(group, 3) || isPowerOf(group, 5) || isPowerOf(group, 7);

/** Blocks of metadata in an image of `total` blocks without reserved descriptor blocks. */
function overhead(total: number, inodes: number, blockBytes: number, inodeBytes: number): number {
  const first = blockBytes === 1024 ? 1 : 0;
  const perGroup = Math.min(8 * blockBytes, 65_528);
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
  let total = blocks + 16;
  for (let round = 0; round < 64; round++) {
    const next = blocks + overhead(total, inodes, blockSize, inodeSize);
    if (next <= total) break;
    total = next;
  }
  return { sizeBytes: roundUp(total * blockSize, 4096), inodes, blockSize };
}
