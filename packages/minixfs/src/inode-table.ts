/**
 * The inode table: reading an inode, and putting dirty ones back, a block of them at a time; taking and giving back numbers.
 *
 * A dirty inode is encoded into its table's buffer when the mount syncs, when the vfs evicts it, or when too many are
 * dirty; the buffer goes to the device with the other metadata.
 */
import { clearRange, findNextZero, setRange, testBit } from '@iomap/block-map';
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, withContext, type Io } from '@iomap/io';
import { decodeInode, encodeInode, isSlotInUse, MinixInode } from './inode.js';
import { ROOT_INO } from './ondisk.js';
import type { Geometry } from './super.js';
import type { Volume } from './volume.js';
import { peekBits, readBits } from './zones.js';

/** Table blocks read ahead when inodes are read one after another. */
const READAHEAD_BLOCKS = 8;

interface Slot {
  readonly block: number;
  readonly at: number;
}

/** Where an inode is. @throws FsError ESTALE for a number that no inode has */
export function locateInode(info: Geometry, ino: number): Slot {
  if (!Number.isInteger(ino) || ino < 1 || ino > info.inodesCount) throw new FsError('ESTALE', { detail: { ino } });
  const index = ino - 1;
  return {
    block: info.tableBlock + Math.floor(index / info.inodesPerBlock),
    at: (index % info.inodesPerBlock) * info.inodeSize,
  };
}

function* readTableBlock(vol: Volume, block: number): Io<Buf> {
  const { info } = vol;
  const count = Math.min(READAHEAD_BLOCKS, info.tableBlock + info.tableBlocks - block);
  if (count > 1) yield* vol.buffers.readahead(block * vol.blockSize, vol.blockSize, undefined, count);
  return yield* vol.readBlock(block);
}

/**
 * Reads an inode.
 *
 * Waits on: one read of its table block.
 * @throws FsError ESTALE when it is free; EUCLEAN
 */
export function* readInode(vol: Volume, ino: number): Io<MinixInode> {
  const { block, at } = locateInode(vol.info, ino);
  return decodeSlot(vol, ino, vol.peekBlock(block) ?? (yield* readTableBlock(vol, block)), at);
}

/**
 * `readInode` when its table block is cached or can be read within the call; undefined = take `readInode`, which also says what
 * is wrong. The caller holds no buffer.
 */
export function peekInode(vol: Volume, ino: number): MinixInode | undefined {
  try {
    const { block, at } = locateInode(vol.info, ino);
    const buf = vol.buffers.readNow(block * vol.blockSize, vol.blockSize);
    return buf === undefined ? undefined : decodeSlot(vol, ino, buf, at);
  } catch (error) {
    if (error instanceof FsError) return undefined;
    throw error;
  }
}

function decodeSlot(vol: Volume, ino: number, buf: Buf, at: number): MinixInode {
  const inode = new MinixInode(ino, vol.info, vol.makeMapping);
  try {
    decodeInode(inode, { view: buf.view, at }, vol.info);
  } catch (error) {
    throw error instanceof FsError ? withContext(error, { detail: { ino } }) : error;
  }
  // On disk, an inode without links is nobody's, whatever a corrupt entry says.
  if (inode.nlink === 0 || inode.mode === 0) {
    throw new FsError('ESTALE', { why: 'the inode is free', detail: { ino } });
  }
  return inode;
}

function put(vol: Volume, inode: MinixInode, buf: Buf, at: number, owner: object | undefined): void {
  encodeInode(inode, { view: buf.view, at }, vol.info);
  inode.isDirty = false;
  vol.dirtyInodes.delete(inode);
  vol.markDirty(buf, owner);
}

/**
 * Encodes one dirty inode into its table; `owner`: whose fsync must write that block.
 *
 * Waits on: one read of the table block; for an owner, a write of it that another task has in flight.
 */
export function* writeInode(vol: Volume, inode: MinixInode, owner?: object): Io<void> {
  const { block, at } = locateInode(vol.info, inode.ino);
  for (;;) {
    const buf = vol.peekBlock(block) ?? (yield* vol.readBlock(block));
    // It may be clean with its block still dirty: encoded earlier, for nobody's fsync.
    if (inode.isDirty || (owner !== undefined && buf.dirty)) {
      put(vol, inode, buf, at, owner);
      return;
    }
    // Or on its way to the device, where the owner's flush must not overtake it. A write that fails leaves the block dirty.
    if (owner === undefined || !buf.writing) return;
    yield* vol.buffers.settle(buf.pos);
  }
}

/** Encodes all dirty inodes, in the order of the table. */
export function* writeInodes(vol: Volume): Io<void> {
  if (vol.dirtyInodes.size === 0) return;
  for (const inode of [...vol.dirtyInodes].sort((a, b) => a.ino - b.ino)) {
    if (!inode.isDirty) continue;
    const { block, at } = locateInode(vol.info, inode.ino);
    const buf = vol.peekBlock(block) ?? (yield* readTableBlock(vol, block));
    if (inode.isDirty) put(vol, inode, buf, at, undefined);
    if (vol.buffers.overDirty) yield* vol.buffers.balance();
  }
}

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
      yield* readTableBlock(vol, slot.block);
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
