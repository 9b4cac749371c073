/**
 * Changes of names: create, link, unlink, rename. The locks are the vfs's: directories exclusive, and the inode of an unlink.
 *
 * Order within a change: the inode is whole before an entry leads to it, and an entry is gone before its inode's count drops,
 * as far as a filesystem without a journal can say so (what reaches the device first is the buffer cache's business
 * until an fsync or sync).
 *
 * What the format's narrow fields cannot hold is refused (EOVERFLOW), never cut.
 */
import { forgetBlocks, newBlock, truncateBlocks, type Found, type MapRun } from '@iomap/block-map';
import { corrupt, FsError, type Io, type Timespec } from '@iomap/io';
import { truncatePageCache } from '@iomap/iomap-core';
import type { NewInode } from '@iomap/vfs';
import type { Directories } from './dir.js';
import { MinixInode } from './inode.js';
import { allocInode, freeInode, writeInode } from './inode-table.js';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK } from './ondisk.js';
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
  if (inode.mappingIfAny !== undefined) {
    // A directory in the page cache that was made and got no name: what is dirty must not land on blocks that are free.
    yield* truncatePageCache(inode, 0);
    vol.dirtyFiles.delete(inode);
  }
  if (inode.hasBlockMap()) {
    if (!inode.isFile) yield* forgetBlocks(vol.map, inode, vol.blockSize);
    yield* truncateBlocks(vol.map, inode, 0);
  }
  inode.size = 0;
  inode.nlink = 0;
  inode.mode = 0;
  inode.block.fill(0);
  vol.markInodeDirty(inode);
  // In its table before its number is free: whoever gets the number next must not be overwritten by this object.
  yield* writeInode(vol, inode);
  inode.isGone = true;
  yield* freeInode(vol, inode.ino);
}

export class Names {
  readonly #vol: Volume;
  readonly #dirs: Directories;

  constructor(vol: Volume, dirs: Directories) {
    this.#vol = vol;
    this.#dirs = dirs;
  }

  #touch(dir: MinixInode, now: Timespec): void {
    const time = this.#vol.stamp(now);
    dir.mtime = time;
    dir.ctime = time;
    this.#vol.markInodeDirty(dir);
  }

  #setNlink(inode: MinixInode, nlink: number): void {
    inode.nlink = Math.max(0, nlink);
    this.#vol.markInodeDirty(inode);
  }

  #stampChange(inode: MinixInode, now: Timespec): void {
    inode.ctime = this.#vol.stamp(now);
    this.#vol.markInodeDirty(inode);
  }

  /** Finds an entry that must be there and lead to `ino`. */
  *#entry(dir: MinixInode, name: string, ino: number): Io<Found> {
    const found = yield* this.#dirs.find(dir, name);
    if (found.ino !== ino) throw new FsError('ENOENT');
    return found;
  }

  *#dotdot(dir: MinixInode): Io<Found> {
    const found = yield* this.#dirs.find(dir, '..');
    if (found.ino === 0) throw corrupt('a directory without ..', { ino: dir.ino });
    return found;
  }

  #checkParent(dir: MinixInode, addsLink: boolean): void {
    if (dir.nlink === 0) throw new FsError('ENOENT', { why: 'the directory was removed' });
    if (addsLink && dir.nlink >= this.#vol.info.linkMax) throw new FsError('EMLINK');
  }

  /** Enters a new inode, made whole by `fill` first; on a failure nothing of it stays. */
  *#enter(dir: MinixInode, name: string, init: NewInode, fill: (inode: MinixInode) => Io<void>): Io<MinixInode> {
    const vol = this.#vol;
    if (name.length > vol.info.nameMax) throw new FsError('ENAMETOOLONG');
    const inode = yield* newInode(vol, init);
    try {
      yield* fill(inode);
      yield* this.#dirs.add(dir, name, inode.ino);
    } catch (error) {
      if (vol.shutdownError === undefined) yield* destroyInode(vol, inode);
      throw error;
    }
    this.#touch(dir, init.now);
    inode.nameIn(dir);
    return inode;
  }

  *create(dir: MinixInode, name: string, init: NewInode): Io<MinixInode> {
    const isDirectory = (init.mode & TYPE_BITS) === S_IFDIR;
    this.#checkParent(dir, isDirectory);
    const dirs = this.#dirs;
    const inode = yield* this.#enter(dir, name, init, function* (made) {
      if (!isDirectory) return;
      yield* dirs.makeEmpty(made, dir.ino);
      made.nlink = 2;
    });
    if (isDirectory) this.#setNlink(dir, dir.nlink + 1);
    return inode;
  }

  *symlink(dir: MinixInode, name: string, target: Uint8Array, init: NewInode): Io<MinixInode> {
    const vol = this.#vol;
    this.#checkParent(dir, false);
    if (target.length === 0) throw new FsError('ENOENT', { why: 'an empty link' });
    if (target.length >= vol.blockSize) throw new FsError('ENAMETOOLONG');
    const mode = S_IFLNK | (init.mode & 0o7777);
    return yield* this.#enter(dir, name, { ...init, mode }, function* (inode) {
      const run: MapRun = { block: 0, count: 0 };
      inode.size = target.length;
      yield* vol.map.alloc(inode, { fileBlock: 0, want: 1 }, run);
      const buf = yield* newBlock(vol.buffers, run.block * vol.info.zoneSize, vol.blockSize);
      buf.bytes.set(target);
      vol.markDirty(buf, inode);
      vol.markInodeDirty(inode);
    });
  }

  *link(dir: MinixInode, name: string, inode: MinixInode, now: Timespec): Io<void> {
    this.#checkParent(dir, false);
    if (inode.nlink >= this.#vol.info.linkMax) throw new FsError('EMLINK');
    yield* this.#dirs.add(dir, name, inode.ino);
    this.#setNlink(inode, inode.nlink + 1);
    this.#stampChange(inode, now);
    this.#touch(dir, now);
    inode.nameIn(dir);
  }

  *unlink(dir: MinixInode, name: string, inode: MinixInode, now: Timespec): Io<void> {
    const found = yield* this.#entry(dir, name, inode.ino);
    yield* this.#dirs.linear.remove(dir, found);
    this.#touch(dir, now);
    this.#setNlink(inode, inode.nlink - 1);
    this.#stampChange(inode, now);
  }

  *rmdir(dir: MinixInode, name: string, inode: MinixInode, now: Timespec): Io<void> {
    if (!(yield* this.#dirs.linear.isEmpty(inode))) throw new FsError('ENOTEMPTY');
    const found = yield* this.#entry(dir, name, inode.ino);
    yield* this.#dirs.linear.remove(dir, found);
    this.#touch(dir, now);
    this.#setNlink(dir, dir.nlink - 1);
    this.#setNlink(inode, 0);
    this.#stampChange(inode, now);
    this.#dirs.linear.forget(inode);
  }

  *rename(
    from: { dir: MinixInode; name: string; inode: MinixInode },
    to: { dir: MinixInode; name: string; target: MinixInode | undefined },
    now: Timespec,
  ): Io<void> {
    const dirs = this.#dirs;
    const { inode } = from;
    const { target } = to;
    const { isDirectory } = inode;
    const moves = isDirectory && from.dir !== to.dir;
    yield* this.#entry(from.dir, from.name, inode.ino);
    if (target === inode) return;
    this.#checkParent(to.dir, moves && target === undefined);
    const dotdot = moves ? yield* this.#dotdot(inode) : undefined;
    if (target !== undefined) {
      if (isDirectory && !(yield* dirs.linear.isEmpty(target))) throw new FsError('ENOTEMPTY');
      yield* dirs.retarget(to.dir, yield* this.#entry(to.dir, to.name, target.ino), inode.ino);
    } else {
      yield* dirs.add(to.dir, to.name, inode.ino);
    }
    yield* dirs.linear.remove(from.dir, yield* this.#entry(from.dir, from.name, inode.ino));
    if (dotdot !== undefined) yield* dirs.retarget(inode, dotdot, to.dir.ino);
    if (target !== undefined) {
      this.#setNlink(target, isDirectory ? 0 : target.nlink - 1);
      this.#stampChange(target, now);
      if (isDirectory) dirs.linear.forget(target);
    }
    if (isDirectory) this.#countParents(from.dir, to.dir, target !== undefined);
    this.#stampChange(inode, now);
    this.#touch(from.dir, now);
    this.#touch(to.dir, now);
    inode.nameIn(to.dir);
  }

  /** The parents' counts after a directory has moved from one to the other, in place of another directory or not. */
  #countParents(from: MinixInode, to: MinixInode, replaces: boolean): void {
    if (from === to) {
      if (replaces) this.#setNlink(to, to.nlink - 1);
      return;
    }
    this.#setNlink(from, from.nlink - 1);
    if (!replaces) this.#setNlink(to, to.nlink + 1);
  }

  /** Swaps two entries; both directories' '..' follow. */
  *exchange(
    a: { dir: MinixInode; name: string; inode: MinixInode },
    b: { dir: MinixInode; name: string; inode: MinixInode },
    now: Timespec,
  ): Io<void> {
    const atA = yield* this.#entry(a.dir, a.name, a.inode.ino);
    const atB = yield* this.#entry(b.dir, b.name, b.inode.ino);
    const differ = a.dir !== b.dir;
    const moved = differ ? Number(a.inode.isDirectory) - Number(b.inode.isDirectory) : 0;
    if (moved !== 0) this.#checkParent(moved > 0 ? b.dir : a.dir, true);
    const parents: [MinixInode, MinixInode, Found][] = [];
    for (const [inode, parent] of [[a.inode, b.dir], [b.inode, a.dir]] as const) {
      if (differ && inode.isDirectory) parents.push([inode, parent, yield* this.#dotdot(inode)]);
    }
    yield* this.#dirs.retarget(a.dir, atA, b.inode.ino);
    yield* this.#dirs.retarget(b.dir, atB, a.inode.ino);
    for (const [inode, parent, dotdot] of parents) yield* this.#dirs.retarget(inode, dotdot, parent.ino);
    if (moved !== 0) {
      this.#setNlink(a.dir, a.dir.nlink - moved);
      this.#setNlink(b.dir, b.dir.nlink + moved);
    }
    for (const [inode, dir] of [[a.inode, b.dir], [b.inode, a.dir]] as const) {
      this.#stampChange(inode, now);
      this.#touch(dir, now);
      inode.nameIn(dir);
    }
  }
}
