/** How the bits of a big-endian image's bitmaps are ordered: the machines that write such images differ. */
import { testBit } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { submitBio, type Io } from '@iomap/io';
import { isSlotInUse } from './inode.js';
import { BITMAP_BLOCK } from './ondisk.js';
import { BIT_ORDERS } from './options.js';
import { zoneBits, type SuperInfo } from './super.js';

/** Inodes that are looked at at a time; no more than a bitmap block has. */
const SAMPLE_INODES = 512;

/** How often the bits change between set and clear: files are runs, so the right order has the fewest changes. */
function changes(bits: Uint8Array, count: number, flip: number): number {
  let total = 0;
  let last = testBit(bits, 0, flip);
  for (let at = 1; at < count; at++) {
    const bit = testBit(bits, at, flip);
    if (bit !== last) total++;
    last = bit;
  }
  return total;
}

/**
 * The order under which the inode bitmap agrees best with the inode table; where several do (all inodes are in use), the one
 * under which the zone bitmap has the fewest changes.
 *
 * Waits on: a read of the first block of each bitmap, and of as much of the inode table as it takes.
 */
export function* findBitOrder(device: BlockDevice, info: SuperInfo): Io<number> {
  if (info.littleEndian) return BIT_ORDERS.bytes;
  const { blockSize } = info;
  const read = function* (block: number, blocks: number): Io<Uint8Array> {
    const bytes = new Uint8Array(blocks * blockSize);
    yield* submitBio(device, { op: 'read', pos: block * blockSize, segments: [bytes], lengthBytes: bytes.length });
    return bytes;
  };
  const bits = yield* read(BITMAP_BLOCK, 1);
  const last = Math.min(blockSize * 8 - 1, info.inodesCount);
  let flips: number[] = Object.values(BIT_ORDERS);
  for (let first = 1; first <= last && flips.length > 1; first += SAMPLE_INODES) {
    const count = Math.min(SAMPLE_INODES, last - first + 1);
    const table = yield* read(info.tableBlock + (first - 1) / info.inodesPerBlock, Math.ceil(count / info.inodesPerBlock));
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const wrong = flips.map((flip) => {
      let n = 0;
      for (let i = 0; i < count; i++) {
        if (testBit(bits, first + i, flip) !== isSlotInUse({ view, at: i * info.inodeSize }, info)) n++;
      }
      return n;
    });
    const least = Math.min(...wrong);
    flips = flips.filter((_, i) => wrong[i] === least);
  }
  if (flips.length === 1) return flips[0] ?? 0;
  const zones = yield* read(info.zmapBlock, 1);
  const total = Math.min(blockSize * 8, zoneBits(info));
  const score = flips.map((flip) => changes(zones, total, flip));
  return flips[score.indexOf(Math.min(...score))] ?? 0;
}
