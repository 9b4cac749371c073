/**
 * Changes of names: create, link, unlink, rename. The locks are the vfs's: directories exclusive, and the inode of an unlink.
 *
 * Order within a change: the inode is whole before an entry leads to it, and an entry is gone before its inode's count drops,
 * as far as a filesystem without a journal can say so (what reaches the device first is the buffer cache's business
 * until an fsync or sync).
 */
import { forgetBlocks, newFound, truncateBlocks, type Found, type MapRun } from '@iomap/block-map';
import { FsError, type Io, type Timespec } from '@iomap/io';
import { truncatePageCache } from '@iomap/iomap-core';
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
import { writeInode } from './inode-table.js';
import { LINK_MAX } from './ondisk.js';
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

/** Allocates and fills an inode in core; nothing leads to it yet. @throws FsError ENOSPC */
export function* newInode(vol: Volume, parent: Ext2InodeInCore, init: NewInode): Io<Ext2InodeInCore> {
  const isDirectory = (init.mode & 0o170000) === S_IFDIR;
  const ino = yield* allocInode(vol, parent, isDirectory);
  const inode = new Ext2InodeInCore(ino, vol.blockSize, vol.makeMapping);
  const { info } = vol;
  const now = vol.stamp(init.now, info);
  inode.mode = init.mode;
  inode.uid = init.uid;
  inode.gid = init.gid;
  inode.nlink = 1;
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
  return inode;
}

/** Takes back an inode that no entry leads to: a create that failed, or the last link of one that nobody has open. */
export function* destroyInode(vol: Volume, inode: Ext2InodeInCore, now: Timespec): Io<void> {
  const { isDirectory } = inode;
  if (inode.mappingIfAny !== undefined) {
    // A directory in the page cache that was made and got no name: what is dirty must not land on blocks that are free.
    yield* truncatePageCache(inode, 0);
    vol.dirtyFiles.delete(inode);
  }
  if (inode.hasBlockMap()) {
    if (!inode.isFile) yield* forgetBlocks(vol.map, inode, vol.blockSize);
    yield* truncateBlocks(vol.map, inode, 0);
  }
  yield* releaseXattrBlock(vol, inode);
  inode.size = 0;
  inode.nlink = 0;
  inode.dtime = Math.max(1, now.sec % 2 ** 32);
  vol.markInodeDirty(inode);
  // In its table before its number is free: whoever gets the number next must not be overwritten by this object.
  yield* writeInode(vol, inode);
  inode.isGone = true;
  yield* freeInode(vol, inode.ino, isDirectory);
}

function touchDir(vol: Volume, dir: Ext2InodeInCore, now: Timespec): void {
  const time = vol.stamp(now, dir);
  dir.mtime = time;
  dir.ctime = time;
  vol.markInodeDirty(dir);
}

function setNlink(vol: Volume, inode: Ext2InodeInCore, nlink: number): void {
  inode.nlink = Math.max(0, nlink);
  vol.markInodeDirty(inode);
}

export class Names {
  readonly #vol: Volume;
  readonly #dirs: Directories;

  constructor(vol: Volume, dirs: Directories) {
    this.#vol = vol;
    this.#dirs = dirs;
  }

  /** Finds an entry that must be there and lead to `ino`. */
  *#entry(dir: Ext2InodeInCore, name: string, ino: number): Io<Found> {
    const found = newFound();
    yield* this.#dirs.find(dir, name, found);
    if (found.ino !== ino) throw new FsError('ENOENT');
    return found;
  }

  *create(dir: Ext2InodeInCore, name: string, init: NewInode): Io<Ext2InodeInCore> {
    const vol = this.#vol;
    const isDirectory = (init.mode & 0o170000) === S_IFDIR;
    this.#checkParent(dir, isDirectory);
    const inode = yield* newInode(vol, dir, init);
    try {
      if (init.asked !== undefined) yield* inheritAcl(vol, dir, inode, { asked: init.asked, now: init.now });
      if (isDirectory) {
        yield* this.#dirs.makeEmpty(inode, dir.ino);
        inode.nlink = 2;
      }
      yield* this.#dirs.add(dir, name, inode.ino, inode.mode);
    } catch (error) {
      yield* this.#undo(inode, init.now);
      throw error;
    }
    if (isDirectory) setNlink(vol, dir, dir.nlink + 1);
    touchDir(vol, dir, init.now);
    inode.nameIn(dir);
    return inode;
  }

  #checkParent(dir: Ext2InodeInCore, addsLink: boolean): void {
    if (dir.nlink === 0) throw new FsError('ENOENT', { why: 'the directory was removed' });
    if (addsLink && dir.nlink >= LINK_MAX) throw new FsError('EMLINK');
  }

  *#undo(inode: Ext2InodeInCore, now: Timespec): Io<void> {
    if (this.#vol.shutdownError !== undefined) return;
    yield* destroyInode(this.#vol, inode, now);
  }

  *symlink(dir: Ext2InodeInCore, name: string, target: Uint8Array, init: NewInode): Io<Ext2InodeInCore> {
    const vol = this.#vol;
    this.#checkParent(dir, false);
    if (target.length === 0) throw new FsError('ENOENT', { why: 'an empty link' });
    if (target.length >= vol.blockSize) throw new FsError('ENAMETOOLONG');
    const mode = S_IFLNK | (init.mode & 0o7777);
    const inode = yield* newInode(vol, dir, { ...init, mode });
    try {
      if (target.length <= FAST_SYMLINK_MAX) {
        const bytes = new Uint8Array(60);
        bytes.set(target);
        const view = new DataView(bytes.buffer);
        for (let i = 0; i < inode.block.length; i++) inode.block[i] = view.getUint32(i * 4, true);
      } else {
        const run: MapRun = { block: 0, count: 0 };
        // The size first: a link without blocks would be a fast one.
        inode.size = target.length;
        yield* vol.map.alloc(inode, { fileBlock: 0, want: 1 }, run);
        const buf = yield* vol.newBlock(run.block);
        buf.bytes.set(target);
        vol.markDirty(buf, inode);
      }
      inode.size = target.length;
      vol.markInodeDirty(inode);
      yield* this.#dirs.add(dir, name, inode.ino, mode);
    } catch (error) {
      yield* this.#undo(inode, init.now);
      throw error;
    }
    touchDir(vol, dir, init.now);
    inode.nameIn(dir);
    return inode;
  }

  *link(dir: Ext2InodeInCore, name: string, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    this.#checkParent(dir, false);
    if (inode.nlink >= LINK_MAX) throw new FsError('EMLINK');
    yield* this.#dirs.add(dir, name, inode.ino, inode.mode);
    inode.ctime = this.#vol.stamp(now, inode);
    setNlink(this.#vol, inode, inode.nlink + 1);
    touchDir(this.#vol, dir, now);
    inode.nameIn(dir);
  }

  *unlink(dir: Ext2InodeInCore, name: string, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    const found = yield* this.#entry(dir, name, inode.ino);
    yield* this.#dirs.remove(dir, found);
    touchDir(this.#vol, dir, now);
    inode.ctime = this.#vol.stamp(now, inode);
    setNlink(this.#vol, inode, inode.nlink - 1);
  }

  *rmdir(dir: Ext2InodeInCore, name: string, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    if (!(yield* this.#dirs.isEmpty(inode))) throw new FsError('ENOTEMPTY');
    const found = yield* this.#entry(dir, name, inode.ino);
    yield* this.#dirs.remove(dir, found);
    touchDir(this.#vol, dir, now);
    setNlink(this.#vol, dir, dir.nlink - 1);
    inode.ctime = this.#vol.stamp(now, inode);
    setNlink(this.#vol, inode, 0);
    this.#dirs.forget(inode);
  }

  *rename(
    from: { dir: Ext2InodeInCore; name: string; inode: Ext2InodeInCore },
    to: { dir: Ext2InodeInCore; name: string; target: Ext2InodeInCore | undefined },
    now: Timespec,
  ): Io<void> {
    const vol = this.#vol;
    const { inode } = from;
    const { target } = to;
    const isDirectory = inode.isDirectory;
    const moves = isDirectory && from.dir !== to.dir;
    yield* this.#entry(from.dir, from.name, inode.ino);
    if (target === inode) return;
    if (to.dir.nlink === 0) throw new FsError('ENOENT', { why: 'the directory was removed' });
    const dotdot = newFound();
    if (moves) {
      yield* this.#dirs.find(inode, '..', dotdot);
      if (dotdot.ino === 0) throw new FsError('EUCLEAN', { why: 'a directory without ..', detail: { ino: inode.ino } });
    }
    if (target !== undefined) {
      if (isDirectory && !(yield* this.#dirs.isEmpty(target))) throw new FsError('ENOTEMPTY');
      const there = yield* this.#entry(to.dir, to.name, target.ino);
      yield* this.#dirs.retarget(to.dir, there, inode.ino, inode.mode);
    } else {
      if (moves && to.dir.nlink >= LINK_MAX) throw new FsError('EMLINK');
      yield* this.#dirs.add(to.dir, to.name, inode.ino, inode.mode);
    }
    // The insert may have moved the old entry: look again.
    yield* this.#dirs.remove(from.dir, yield* this.#entry(from.dir, from.name, inode.ino));
    if (moves) {
      yield* this.#dirs.retarget(inode, dotdot, to.dir.ino, S_IFDIR);
      vol.markInodeDirty(inode);
    }
    this.#countRename(from.dir, to.dir, { target, isDirectory, moves });
    if (target !== undefined) {
      target.ctime = vol.stamp(now, target);
      if (isDirectory) this.#dirs.forget(target);
    }
    inode.ctime = vol.stamp(now, inode);
    vol.markInodeDirty(inode);
    touchDir(vol, from.dir, now);
    touchDir(vol, to.dir, now);
    inode.nameIn(to.dir);
  }

  /** Link counts after a rename: the replaced inode's, and those of directories whose '..' moved. */
  #countRename(
    fromDir: Ext2InodeInCore,
    toDir: Ext2InodeInCore,
    what: { target: Ext2InodeInCore | undefined; isDirectory: boolean; moves: boolean },
  ): void {
    const { target, isDirectory, moves } = what;
    if (target !== undefined) setNlink(this.#vol, target, isDirectory ? 0 : target.nlink - 1);
    if (!isDirectory) return;
    if (moves) {
      setNlink(this.#vol, fromDir, fromDir.nlink - 1);
      if (target === undefined) setNlink(this.#vol, toDir, toDir.nlink + 1);
    } else if (target !== undefined) {
      setNlink(this.#vol, toDir, toDir.nlink - 1);
    }
  }

  /** Swaps two entries; both directories' '..' follow. */
  *exchange(
    a: { dir: Ext2InodeInCore; name: string; inode: Ext2InodeInCore },
    b: { dir: Ext2InodeInCore; name: string; inode: Ext2InodeInCore },
    now: Timespec,
  ): Io<void> {
    const vol = this.#vol;
    const atA = yield* this.#entry(a.dir, a.name, a.inode.ino);
    const atB = yield* this.#entry(b.dir, b.name, b.inode.ino);
    const differ = a.dir !== b.dir;
    const parents: [Ext2InodeInCore, Ext2InodeInCore, Found][] = [];
    for (const [inode, parent] of [[a.inode, b.dir], [b.inode, a.dir]] as const) {
      if (!differ || !inode.isDirectory) continue;
      const dotdot = newFound();
      yield* this.#dirs.find(inode, '..', dotdot);
      if (dotdot.ino === 0) throw new FsError('EUCLEAN', { why: 'a directory without ..', detail: { ino: inode.ino } });
      parents.push([inode, parent, dotdot]);
    }
    yield* this.#dirs.retarget(a.dir, atA, b.inode.ino, b.inode.mode);
    yield* this.#dirs.retarget(b.dir, atB, a.inode.ino, a.inode.mode);
    for (const [inode, parent, dotdot] of parents) yield* this.#dirs.retarget(inode, dotdot, parent.ino, S_IFDIR);
    const moved = Number(a.inode.isDirectory) - Number(b.inode.isDirectory);
    if (differ && moved !== 0) {
      setNlink(vol, a.dir, a.dir.nlink - moved);
      setNlink(vol, b.dir, b.dir.nlink + moved);
    }
    for (const inode of [a.inode, b.inode]) {
      inode.ctime = vol.stamp(now, inode);
      vol.markInodeDirty(inode);
    }
    touchDir(vol, a.dir, now);
    touchDir(vol, b.dir, now);
    a.inode.nameIn(b.dir);
    b.inode.nameIn(a.dir);
  }
}

/** A directory's flags as setattr may leave them: whether it is indexed is not for callers to say. */
export const keepIndexFlag = (old: number, flags: number): number => (flags & ~FLAG_INDEX) | (old & FLAG_INDEX);
