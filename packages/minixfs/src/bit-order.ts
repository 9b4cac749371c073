/** How the bits of a big-endian image's bitmaps are ordered. */
import { testBit } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { submitBio, type Io } from '@iomap/io';
import { isSlotInUse } from './inode.js';
import { BITMAP_BLOCK } from './ondisk.js';
import { BIT_ORDERS } from './options.js';
import type { SuperInfo } from './super.js';

/** Inodes that are looked at to find the order of the bits. */
const SAMPLE_INODES = 512;

/**
 * The order of the bits in a big-endian image's bitmaps: the machines that write such images differ. The one under which the
 * inode bitmap agrees best with the inode table.
 *
 * Waits on: a read of the first block of the inode bitmap and of a few of the table.
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
  const count = Math.min(SAMPLE_INODES, info.inodesCount);
  const table = yield* read(info.tableBlock, Math.ceil(count / info.inodesPerBlock));
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  let best = 0;
  let least = Infinity;
  for (const flip of Object.values(BIT_ORDERS)) {
    let wrong = 0;
    for (let ino = 1; ino <= count; ino++) {
      if (testBit(bits, ino, flip) !== isSlotInUse({ view, at: (ino - 1) * info.inodeSize }, info)) wrong++;
    }
    if (wrong < least) {
      least = wrong;
      best = flip;
    }
  }
  return best;
}

