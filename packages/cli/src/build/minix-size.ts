/** How large a minix image has to be for a source: its data, indirect and directory blocks, inodes, and the bitmaps. */
import { divCeil, roundUp } from '@iomap/io';
import type { ImagePlan, PlanRequest } from '../drivers.js';
import { eachInode, isRuns, type SourceInode } from '../source/source.js';
import { indirectBlocks } from './map-size.js';

const DIRECT = 7;
/** For those who edit the image. */
const SPARE_INODES = 16;

/** What the plan must know of a version. */
export interface MinixSizes {
  readonly blockSize: number;
  readonly entryBytes: number;
  readonly pointerBytes: number;
  readonly inodeSize: number;
}

function fileBlocks(inode: SourceInode, sizes: MinixSizes, dense: boolean): number {
  const perBlock = sizes.blockSize / sizes.pointerBytes;
  const whole = divCeil(inode.size, sizes.blockSize);
  const all = indirectBlocks(whole, perBlock, DIRECT);
  if (dense || inode.dataBytes >= inode.size) return whole + all;
  // A piece of data may begin and end inside a block.
  const pieces = isRuns(inode.data) ? inode.data.length : 1;
  const data = Math.min(whole, divCeil(inode.dataBytes, sizes.blockSize) + 2 * pieces);
  return data + Math.min(all, 3 * data);
}

/** Plans an image that holds `request.root`. */
export function planMinix(request: PlanRequest, sizes: MinixSizes): ImagePlan {
  const { blockSize } = sizes;
  let blocks = 0;
  let inodes = SPARE_INODES;
  eachInode(request.root, (inode) => {
    inodes++;
    if (inode.type === 'file') blocks += fileBlocks(inode, sizes, request.generosity > 0);
    else if (inode.type === 'symlink') blocks++;
    else if (inode.type === 'directory') {
      const own = divCeil((inode.entries.length + 2) * sizes.entryBytes, blockSize);
      blocks += own + indirectBlocks(own, blockSize / sizes.pointerBytes, DIRECT);
    }
  });
  if (request.generosity > 0) blocks += 32 + Math.ceil(blocks * 0.05);
  const bits = blockSize * 8;
  const table = divCeil(roundUp(inodes, blockSize / sizes.inodeSize) * sizes.inodeSize, blockSize);
  const head = 2 + divCeil(inodes + 64, bits) + table;
  const total = head + blocks + 16;
  return { sizeBytes: roundUp((total + divCeil(total, bits)) * blockSize, 4096), inodes, blockSize };
}
