/**
 * What changes of names ask of minix: making an inode whole, and taking one back. The changes themselves are `@iomap/block-map`'s (`Names`).
 *
 * What the format's narrow fields cannot hold is refused (EOVERFLOW), never cut.
 */
import { Names, releaseBlocks, storeTarget } from '@iomap/block-map';
import { FsError, type Io } from '@iomap/io';
import type { NewInode } from '@iomap/vfs';
import type { Directories } from './dir.js';
import { MinixInode } from './inode.js';
import { allocInode, freeInode } from './inode-table.js';
import { S_IFBLK, S_IFCHR } from './ondisk.js';
import type { Volume } from './volume.js';

const TYPE_BITS = 0o170000;

/** @throws FsError EOVERFLOW for an owner that the inode has no room for */
export function checkOwner(vol: Volume, uid: number | undefined, gid: number | undefined): void {
  const { gidMax } = vol.info;
  if (uid !== undefined && uid > 0xffff) throw new FsError('EOVERFLOW', { why: `user ${uid}: the format holds 16 bits` });
  if (gid !== undefined && gid > gidMax) {
    throw new FsError('EOVERFLOW', { why: `group ${gid}: the format holds ${gidMax === 0xff ? 8 : 16} bits` });
  }
}

/** A device number as the format has it: 8 bits of major, 8 of minor. @throws FsError EOVERFLOW */
function encodeDev(rdev: number): number {
  if (rdev > 0xffff) throw new FsError('EOVERFLOW', { why: 'a device number of more than 8 and 8 bits' });
  return rdev;
}

/** Allocates and fills an inode in core; nothing leads to it yet. @throws FsError ENOSPC, EOVERFLOW */
export function* newInode(vol: Volume, init: NewInode): Io<MinixInode> {
  const type = init.mode & TYPE_BITS;
  const rdev = type === S_IFCHR || type === S_IFBLK ? encodeDev(init.rdev) : 0;
  checkOwner(vol, init.uid, init.gid);
  const ino = yield* allocInode(vol);
  const inode = new MinixInode(ino, vol.info, vol.makeMapping);
  const now = vol.stamp(init.now);
  inode.mode = init.mode;
  inode.uid = init.uid;
  inode.gid = init.gid;
  inode.nlink = 1;
  inode.atime = now;
  inode.mtime = now;
  inode.ctime = now;
  inode.rdev = rdev;
  inode.block[0] = rdev;
  vol.markInodeDirty(inode);
  return inode;
}

/** Takes back an inode that no entry leads to: a create that failed, or the last link of one that nobody has open. */
export function* destroyInode(vol: Volume, inode: MinixInode): Io<void> {
  yield* releaseBlocks(vol, inode);
  inode.size = 0;
  inode.nlink = 0;
  inode.mode = 0;
  inode.block.fill(0);
  vol.markInodeDirty(inode);
  // In its table before its number is free: whoever gets the number next must not be overwritten by this object.
  yield* vol.inodeTable.write(inode);
  inode.isGone = true;
  yield* freeInode(vol, inode.ino);
}

/** The changes of a mount's names. */
export const namesOf = (vol: Volume, dirs: Directories): Names<MinixInode, NewInode> =>
  new Names({
    dirs,
    linkMax: vol.info.linkMax,
    nameMax: vol.info.nameMax,
    targetMax: vol.blockSize - 1,
    get shutdownError() {
      return vol.shutdownError;
    },
    stamp: (time) => vol.stamp(time),
    markInodeDirty: (inode) => {
      vol.markInodeDirty(inode);
    },
    newInode: (_dir, init) => newInode(vol, init),
    destroyInode: (inode) => destroyInode(vol, inode),
    storeTarget: (inode, target) => storeTarget(vol.map, inode, target),
  });
