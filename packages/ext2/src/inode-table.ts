/**
 * The inode tables: reading an inode, and putting dirty ones back, a block of them at a time.
 *
 * A dirty inode is encoded into its table's buffer when the mount syncs, when the vfs evicts it, or when too many are
 * dirty; the buffer goes to the device with the other metadata.
 */
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, withContext, type Io } from '@iomap/io';
import { decodeInode, encodeInode, Ext2InodeInCore, isSlotInUse } from './inode.js';
import type { Volume } from './volume.js';

/** Table blocks read ahead when inodes are read one after another. */
const READAHEAD_BLOCKS = 8;

interface Slot {
  readonly block: number;
  readonly offset: number;
}

/** @throws FsError ESTALE for a number that no inode has */
function locate(vol: Volume, ino: number): Slot {
  const { info, groups } = vol;
  if (!Number.isInteger(ino) || ino < 1 || ino > info.inodesCount) throw new FsError('ESTALE', { detail: { ino } });
  const group = Math.floor((ino - 1) / info.inodesPerGroup);
  const index = (ino - 1) % info.inodesPerGroup;
  const block = (groups.inodeTable[group] ?? 0) + Math.floor(index / info.inodesPerBlock);
  return { block, offset: (index % info.inodesPerBlock) * info.inodeSize };
}

/** Table blocks that follow `block` in its group, itself included. */
function blocksLeft(vol: Volume, block: number): number {
  const group = vol.groups.groupOf(block);
  return (vol.groups.inodeTable[group] ?? 0) + vol.info.inodeTableBlocks - block;
}

function* readTableBlock(vol: Volume, block: number): Io<Buf> {
  const count = Math.min(READAHEAD_BLOCKS, blocksLeft(vol, block));
  if (count > 1) yield* vol.buffers.readahead(block * vol.blockSize, vol.blockSize, undefined, count);
  return yield* vol.readBlock(block);
}

/**
 * Reads an inode.
 *
 * Waits on: one read of its table block.
 * @throws FsError ESTALE when it is free; EUCLEAN
 */
export function* readInode(vol: Volume, ino: number): Io<Ext2InodeInCore> {
  const { block, offset } = locate(vol, ino);
  return decodeSlot(vol, ino, vol.peekBlock(block) ?? (yield* readTableBlock(vol, block)), offset);
}

/**
 * `readInode` when its table block is cached or can be read within the call; undefined = take `readInode`, which also says what
 * is wrong. The caller holds no buffer.
 */
export function peekInode(vol: Volume, ino: number): Ext2InodeInCore | undefined {
  try {
    const { block, offset } = locate(vol, ino);
    const buf = vol.buffers.readNow(block * vol.blockSize, vol.blockSize);
    return buf === undefined ? undefined : decodeSlot(vol, ino, buf, offset);
  } catch (error) {
    if (error instanceof FsError) return undefined;
    throw error;
  }
}

/**
 * The table block of a number that the bitmap says is free, if it is cached. @throws FsError EUCLEAN when its slot is in use
 */
export function peekFreeSlot(vol: Volume, ino: number): Buf | undefined {
  const { block, offset } = locate(vol, ino);
  const buf = vol.peekBlock(block);
  if (buf !== undefined && isSlotInUse(buf.view, offset)) {
    throw corrupt('the bitmap says that an inode in use is free', { ino, field: 'bg_inode_bitmap' });
  }
  return buf;
}

/** Reads the table block of a number, which its first write needs anyway. */
export function readSlot(vol: Volume, ino: number): Io<Buf> {
  return readTableBlock(vol, locate(vol, ino).block);
}

function decodeSlot(vol: Volume, ino: number, buf: Buf, offset: number): Ext2InodeInCore {
  const inode = new Ext2InodeInCore(ino, vol.blockSize, vol.makeMapping);
  try {
    decodeInode(inode, { bytes: buf.bytes, view: buf.view, at: offset }, vol.info);
  } catch (error) {
    throw error instanceof FsError ? withContext(error, { detail: { ino } }) : error;
  }
  // One that was unlinked while open stays in core until it is freed; on disk, an inode without links is nobody's, whatever a
  // corrupt entry says. (Linux would take it, and delete its data when the last user goes.)
  if (inode.nlink === 0 || inode.mode === 0) {
    throw new FsError('ESTALE', { why: 'the inode is free', detail: { ino } });
  }
  return inode;
}

function put(vol: Volume, inode: Ext2InodeInCore, buf: Buf, offset: number, owner: object | undefined): void {
  encodeInode(inode, { bytes: buf.bytes, view: buf.view, at: offset }, vol.info);
  inode.isDirty = false;
  inode.isNew = false;
  inode.ibodyDirty = false;
  vol.dirtyInodes.delete(inode);
  vol.markDirty(buf, owner);
}

/**
 * Encodes one dirty inode into its table; `owner`: whose fsync must write that block.
 *
 * Waits on: one read of the table block; for an owner, a write of it that another task has in flight.
 */
export function* writeInode(vol: Volume, inode: Ext2InodeInCore, owner?: object): Io<void> {
  const { block, offset } = locate(vol, inode.ino);
  for (;;) {
    const buf = vol.peekBlock(block) ?? (yield* vol.readBlock(block));
    // It may be clean with its block still dirty: encoded earlier, for nobody's fsync.
    if (inode.isDirty || (owner !== undefined && buf.dirty)) {
      put(vol, inode, buf, offset, owner);
      return;
    }
    // Or on its way to the device, where the owner's flush must not overtake it. A write that fails leaves the block dirty.
    if (owner === undefined || !buf.writing) return;
    yield* vol.buffers.settle(buf.pos);
  }
}

/** Encodes all dirty inodes, in the order of the tables. */
export function* writeInodes(vol: Volume): Io<void> {
  if (vol.dirtyInodes.size === 0) return;
  const list = [...vol.dirtyInodes].sort((a, b) => a.ino - b.ino);
  for (const inode of list) {
    if (!inode.isDirty) continue;
    const { block, offset } = locate(vol, inode.ino);
    const buf = vol.peekBlock(block) ?? (yield* readTableBlock(vol, block));
    if (inode.isDirty) put(vol, inode, buf, offset, undefined);
    if (vol.buffers.overDirty) yield* vol.buffers.balance();
  }
}
