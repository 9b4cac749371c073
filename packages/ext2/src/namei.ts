/**
 * What changes of names ask of ext2: making an inode whole, and taking one back. The changes themselves are `@iomap/block-map`'s (`Names`).
 */
import { Names, releaseBlocks, storeTarget } from '@iomap/block-map';
import type { Io, Timespec } from '@iomap/io';
import type { NewInode } from '@iomap/vfs';
import { allocInode, freeInode } from './ialloc.js';
import type { Directories } from './dir.js';
import {
  encodeDev,
  Ext2InodeInCore,
  FAST_SYMLINK_MAX,
  FLAG_INDEX,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
} from './inode.js';
import { LINK_MAX, NAME_LEN_MAX } from './ondisk.js';
import type { Volume } from './volume.js';
import { inheritAcl, releaseXattrBlock } from './xattr.js';

/** Flags that a new inode takes from its directory; what only makes sense for directories is masked for others. */
const FLAGS_INHERITED = 0x1 | 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x200 | 0x400 | 0x4000 | 0x8000 | 0x1_0000;
const FLAGS_NOT_FILE = 0x1_0000 | 0x2_0000;
const FLAGS_OTHER = 0x40 | 0x80;

function inheritedFlags(parent: Ext2InodeInCore, mode: number): number {
  const flags = parent.flags & FLAGS_INHERITED;
  const type = mode & 0o170000;
  if (type === S_IFDIR) return flags;
  return type === S_IFREG ? flags & ~FLAGS_NOT_FILE : flags & FLAGS_OTHER;
}

/**
 * Allocates and fills an inode in core, with the ACL that its directory hands down; nothing leads to it yet.
 * @param nlink 0: nothing ever will
 * @throws FsError ENOSPC, with nothing kept
 */
export function* newInode(vol: Volume, parent: Ext2InodeInCore, init: NewInode, nlink = 1): Io<Ext2InodeInCore> {
  const isDirectory = (init.mode & 0o170000) === S_IFDIR;
  const ino = yield* allocInode(vol, parent, isDirectory);
  const inode = new Ext2InodeInCore(ino, vol.blockSize, vol.makeMapping);
  const { info } = vol;
  const now = vol.stamp(init.now, info);
  inode.mode = init.mode;
  inode.uid = init.uid;
  inode.gid = init.gid;
  inode.nlink = nlink;
  inode.atime = now;
  inode.mtime = now;
  inode.ctime = now;
  inode.generation = vol.nextGeneration;
  vol.nextGeneration = (vol.nextGeneration + 1) % 2 ** 32;
  inode.flags = inheritedFlags(parent, init.mode);
  inode.extraIsize = info.extraIsize;
  if (info.extraIsize >= 24) inode.btime = now;
  const room = info.inodeSize - 128 - info.extraIsize;
  if (info.extraIsize > 0 && room > 4) inode.ibodyRoom = room;
  inode.isNew = true;
  const type = inode.type;
  if (type === S_IFCHR || type === S_IFBLK) {
    inode.rdev = init.rdev;
    encodeDev(inode.block, init.rdev);
  }
  vol.markInodeDirty(inode);
  if (init.asked === undefined || type === S_IFLNK) return inode;
  try {
    yield* inheritAcl(vol, parent, inode, { asked: init.asked, now: init.now });
  } catch (error) {
    if (vol.shutdownError === undefined) yield* destroyInode(vol, inode, init.now);
    throw error;
  }
  return inode;
}

/** Takes back an inode that no entry leads to: a create that failed, or the last link of one that nobody has open. */
export function* destroyInode(vol: Volume, inode: Ext2InodeInCore, now: Timespec): Io<void> {
  const { isDirectory } = inode;
  yield* releaseBlocks(vol, inode);
  yield* releaseXattrBlock(vol, inode);
  inode.size = 0;
  inode.nlink = 0;
  inode.dtime = Math.max(1, now.sec % 2 ** 32);
  vol.markInodeDirty(inode);
  // In its table before its number is free: whoever gets the number next must not be overwritten by this object.
  yield* vol.inodeTable.write(inode);
  inode.isGone = true;
  yield* freeInode(vol, inode.ino, isDirectory);
}

/** Puts a link's target into `i_block` where it fits, else into a block of its own. */
function* storeLink(vol: Volume, inode: Ext2InodeInCore, target: Uint8Array): Io<void> {
  if (target.length > FAST_SYMLINK_MAX) return yield* storeTarget(vol.map, inode, target);
  const bytes = new Uint8Array(60);
  bytes.set(target);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < inode.block.length; i++) inode.block[i] = view.getUint32(i * 4, true);
  inode.size = target.length;
}

/** The changes of a mount's names. */
export const namesOf = (vol: Volume, dirs: Directories): Names<Ext2InodeInCore, NewInode> =>
  new Names({
    dirs,
    linkMax: LINK_MAX,
    nameMax: NAME_LEN_MAX,
    targetMax: vol.blockSize - 1,
    get shutdownError() {
      return vol.shutdownError;
    },
    stamp: (time, inode) => vol.stamp(time, inode),
    markInodeDirty: (inode) => {
      vol.markInodeDirty(inode);
    },
    newInode: (dir, init) => newInode(vol, dir, init),
    destroyInode: (inode, now) => destroyInode(vol, inode, now),
    storeTarget: (inode, target) => storeLink(vol, inode, target),
  });

/** A directory's flags as setattr may leave them: whether it is indexed is not for callers to say. */
export const keepIndexFlag = (old: number, flags: number): number => (flags & ~FLAG_INDEX) | (old & FLAG_INDEX);
