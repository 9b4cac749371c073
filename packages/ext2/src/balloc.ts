/**
 * Blocks: the groups' bitmaps as the space that runs are allocated from (`@iomap/block-map`).
 *
 * A bitmap is checked when it is first used: it must claim the group's own metadata, else the image is corrupt.
 */
import { allocRun as allocFrom, countSet, freeRun as freeTo, testBit, type AllocRequest, type BitmapSpace, type BlockRun } from '@iomap/block-map';
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, type Io } from '@iomap/io';
import { groupBlocks, groupFirstBlock } from './geometry.js';
import type { Volume } from './volume.js';

/** Free blocks that may be given out. */
function availableBlocks(vol: Volume): number {
  const reserved = vol.useReserved ? 0 : vol.info.reservedBlocks;
  return Math.max(0, vol.groups.freeBlocksTotal - reserved);
}

/** The block bitmaps of a mount. */
export function blockSpace(vol: Volume): BitmapSpace {
  const { groups, info } = vol;
  return {
    groupCount: groups.count,
    blocksPerGroup: info.blocksPerGroup,
    firstBlock: info.firstDataBlock,
    flip: 0,
    reservations: vol.reservations,
    hints: groups.blockHint,
    bitsIn: (group) => groupBlocks(info, group),
    mayHaveFree: (group) => (groups.freeBlocks[group] ?? 0) > 0,
    available: () => availableBlocks(vol),
    peekBitmap: (group) => vol.peekBlock(groups.blockBitmap[group] ?? 0),
    readBitmap: (group): Io<Buf> => vol.readBlock(groups.blockBitmap[group] ?? 0),
    checkBitmap(group, bits) {
      if (groups.bitmapChecked[group] === 0) checkBitmap(vol, group, bits);
    },
    overlapsMetadata: (group, from, end) => groups.overlapsMetadata(group, from, end),
    isDataRange: (block, count) => groups.isDataRange(block, count),
    markDirty: (buf) => vol.markDirty(buf),
    changed: (group, by) => groups.changeFreeBlocks(group, by),
  };
}

/** A bitmap that does not claim its group's metadata would hand it out: refuse it. */
function checkBitmap(vol: Volume, group: number, bits: Uint8Array): void {
  const { groups, info } = vol;
  const first = groupFirstBlock(info, group);
  const table = (groups.inodeTable[group] ?? 0) - first;
  const isClaimed =
    testBit(bits, (groups.blockBitmap[group] ?? 0) - first) &&
    testBit(bits, (groups.inodeBitmap[group] ?? 0) - first) &&
    countSet(bits, table, info.inodeTableBlocks) === info.inodeTableBlocks;
  if (!isClaimed) {
    throw corrupt(`group ${group}: the block bitmap does not claim the group's own metadata`, {
      block: groups.blockBitmap[group] ?? 0,
      field: 'bg_block_bitmap',
    });
  }
  groups.bitmapChecked[group] = 1;
}

/** Allocates between one and `want` blocks that follow one another. @throws FsError ENOSPC; EUCLEAN when a bitmap is corrupt */
export const allocRun = (vol: Volume, request: AllocRequest): Io<BlockRun> => allocFrom(vol.space, request);

/**
 * Returns blocks. Metadata buffers of them must have been forgotten before.
 * @throws FsError EUCLEAN when a block is not a data block of this filesystem or is free already
 */
export const freeRun = (vol: Volume, block: number, count: number): Io<void> => freeTo(vol.space, block, count);
