/** The inode tables as ext2 has them, one a group. What is done with them is `@iomap/block-map`'s (`InodeTable`). */
import { InodeTable, type TablePlace } from '@iomap/block-map';
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import { decodeInode, encodeInode, Ext2InodeInCore, isSlotInUse } from './inode.js';
import type { Volume } from './volume.js';

/** @throws FsError ESTALE for a number that no inode has */
function locate(vol: Volume, ino: number): TablePlace {
  const { info, groups } = vol;
  if (!Number.isInteger(ino) || ino < 1 || ino > info.inodesCount) throw new FsError('ESTALE', { detail: { ino } });
  const group = Math.floor((ino - 1) / info.inodesPerGroup);
  const index = (ino - 1) % info.inodesPerGroup;
  const block = (groups.inodeTable[group] ?? 0) + Math.floor(index / info.inodesPerBlock);
  return { block, at: (index % info.inodesPerBlock) * info.inodeSize };
}

/** The tables of a mount. */
export const inodeTableOf = (vol: Volume): InodeTable<Ext2InodeInCore> =>
  new InodeTable(vol, {
    locate: (ino) => locate(vol, ino),
    blocksFrom: (block) => (vol.groups.inodeTable[vol.groups.groupOf(block)] ?? 0) + vol.info.inodeTableBlocks - block,
    decode(ino, { bytes, view }, at) {
      const inode = new Ext2InodeInCore(ino, vol.blockSize, vol.makeMapping);
      decodeInode(inode, { bytes, view, at }, vol.info);
      return inode;
    },
    encode(inode, { bytes, view }, at) {
      encodeInode(inode, { bytes, view, at }, vol.info);
      inode.isNew = false;
      inode.ibodyDirty = false;
    },
  });

/**
 * The table block of a number that the bitmap says is free, if it is cached. @throws FsError EUCLEAN when its slot is in use
 */
export function peekFreeSlot(vol: Volume, ino: number): Buf | undefined {
  const { block, at } = locate(vol, ino);
  const buf = vol.peekBlock(block);
  if (buf !== undefined && isSlotInUse(buf.view, at)) {
    throw corrupt('the bitmap says that an inode in use is free', { ino, field: 'bg_inode_bitmap' });
  }
  return buf;
}

/** Reads the table block of a number, which its first write needs anyway. */
export function readSlot(vol: Volume, ino: number): Io<Buf> {
  return vol.inodeTable.readBlock(locate(vol, ino).block);
}
