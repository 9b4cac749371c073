/**
 * The inode table as minix has it (what is done with it is `@iomap/block-map`'s `InodeTable`); taking and giving back numbers.
 */
import { clearRange, findNextZero, InodeTable, setRange, testBit, type TablePlace } from '@iomap/block-map';
import { corrupt, FsError, type Io } from '@iomap/io';
import { decodeInode, encodeInode, isSlotInUse, MinixInode } from './inode.js';
import { ROOT_INO } from './ondisk.js';
import type { Geometry } from './super.js';
import type { Volume } from './volume.js';
import { peekBits, readBits } from './zones.js';

/** Where an inode is. @throws FsError ESTALE for a number that no inode has */
export function locateInode(info: Geometry, ino: number): TablePlace {
  if (!Number.isInteger(ino) || ino < 1 || ino > info.inodesCount) throw new FsError('ESTALE', { detail: { ino } });
  const index = ino - 1;
  return {
    block: info.tableBlock + Math.floor(index / info.inodesPerBlock),
    at: (index % info.inodesPerBlock) * info.inodeSize,
  };
}

/** The table of a mount. */
export const inodeTableOf = (vol: Volume): InodeTable<MinixInode> =>
  new InodeTable(vol, {
    locate: (ino) => locateInode(vol.info, ino),
    blocksFrom: (block) => vol.info.tableBlock + vol.info.tableBlocks - block,
    decode(ino, { view }, at) {
      const inode = new MinixInode(ino, vol.info, vol.makeMapping);
      decodeInode(inode, { view, at }, vol.info);
      return inode;
    },
    encode(inode, { view }, at) {
      encodeInode(inode, { view, at }, vol.info);
    },
  });

// Numbers ----------------------------------------------------------------------------------------------------------------

/**
 * Takes the first free inode. Its slot in the table is looked at first: a bitmap that calls an inode in use free must not cost it.
 *
 * Waits on: reads of inode bitmaps, at worst each once; one read of the table block.
 * @throws FsError ENOSPC when there is none; EUCLEAN when the bitmap lies, with nothing changed
 */
export function* allocInode(vol: Volume): Io<number> {
  const { inodes } = vol;
  const { flip } = inodes.map;
  for (;;) {
    const index = Math.floor(inodes.hint / inodes.perBlock);
    if (index >= inodes.blockCount) throw new FsError('ENOSPC', { why: 'no free inodes' });
    const buf = peekBits(inodes.map, index) ?? (yield* readBits(inodes.map, index));
    // Another may have moved the hint while we waited.
    if (Math.floor(inodes.hint / inodes.perBlock) !== index) continue;
    const bit = findNextZero(buf.bytes, inodes.hint % inodes.perBlock, inodes.bitsIn(index), flip);
    if (bit < 0) {
      inodes.hint = (index + 1) * inodes.perBlock;
      continue;
    }
    const ino = index * inodes.perBlock + bit;
    const slot = locateInode(vol.info, ino);
    const table = vol.peekBlock(slot.block);
    if (table === undefined) {
      // Another may take the bit while we wait: look again.
      yield* vol.inodeTable.readBlock(slot.block);
      continue;
    }
    if (isSlotInUse({ view: table.view, at: slot.at }, vol.info)) {
      throw corrupt('the bitmap says that an inode in use is free', { ino, field: 'imap' });
    }
    setRange(buf.bytes, bit, 1, flip);
    vol.markDirty(buf);
    inodes.changed(-1);
    inodes.hint = ino + 1;
    return ino;
  }
}

/**
 * Returns an inode to its bitmap.
 * @throws FsError EUCLEAN when it is free already
 */
export function* freeInode(vol: Volume, ino: number): Io<void> {
  const { inodes } = vol;
  if (ino <= ROOT_INO || ino > vol.info.inodesCount) throw corrupt('freeing an inode that cannot be free', { ino });
  const index = Math.floor(ino / inodes.perBlock);
  const bit = ino % inodes.perBlock;
  const buf = peekBits(inodes.map, index) ?? (yield* readBits(inodes.map, index));
  if (!testBit(buf.bytes, bit, inodes.map.flip)) throw corrupt('freeing an inode that is free', { ino });
  clearRange(buf.bytes, bit, 1, inodes.map.flip);
  vol.markDirty(buf);
  inodes.changed(1);
  if (ino < inodes.hint) inodes.hint = ino;
}
