/**
 * Changes of names: create, link, unlink, rename, over the directories and inodes of a driver (`NamesHost`). The locks are the vfs's:
 * directories exclusive, and the inode of an unlink.
 *
 * - Order within a change: the inode is whole before an entry leads to it, and an entry is gone before its inode's count drops, as far
 *   as a filesystem without a journal can say so (what reaches the device first is the buffer cache's business until an fsync or sync).
 * - A change that fails before its entry is in leaves nothing: the new inode is taken back.
 * - Who gets a name remembers the directory (`namedIn`), for its fsync.
 */
import { corrupt, FsError, type Io, type Timespec } from '@iomap/io';
import { newFound, type Found } from './linear-dir.js';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

/** What changes of names need of an inode in core. */
export interface NamedInode<I> {
  readonly ino: number;
  readonly isDirectory: boolean;
  nlink: number;
  mtime: Timespec;
  ctime: Timespec;
  /** The directory that took its newest name, until an fsync has made that durable. */
  namedIn: I | undefined;
  /** Counts the names it was given: an fsync makes durable the one that it began with. */
  nameCount: number;
}

/** What a new inode starts with, as far as names go. */
export interface NewName {
  readonly mode: number;
  readonly now: Timespec;
}

/** An entry of a directory and what it leads to. */
export interface NamedEntry<I> {
  readonly dir: I;
  readonly name: string;
  readonly inode: I;
}

/** Directories as a format has them. Errors: EUCLEAN, EIO; ENOSPC where one grows. */
export interface NameDirs<I> {
  /** Finds a name; `out.ino` is 0 where there is none. */
  find(dir: I, name: string, out: Found): Io<void>;
  /** Enters a name that is not there. @throws FsError ENOSPC with nothing changed, ENAMETOOLONG */
  add(dir: I, name: string, inode: I): Io<void>;
  /** Removes the entry at `found`, which was found under the same lock. */
  remove(dir: I, found: Found): Io<void>;
  /** Points the entry at `found` to another inode. */
  retarget(dir: I, found: Found, inode: I): Io<void>;
  /** Has it entries beside '.' and '..'? */
  isEmpty(dir: I): Io<boolean>;
  /** The first entries of a new directory. */
  makeEmpty(dir: I, parentIno: number): Io<void>;
  /** Drops what is kept in core about a directory. */
  forget(dir: I): void;
}

/** What changes of names need of a mount. `N`: what the driver's new inodes start with. */
export interface NamesHost<I extends NamedInode<I>, N extends NewName> {
  readonly dirs: NameDirs<I>;
  /** Most links of an inode, those of a directory's subdirectories included. */
  readonly linkMax: number;
  /** Bytes of the longest name, and of the longest target of a symbolic link. */
  readonly nameMax: number;
  readonly targetMax: number;
  readonly shutdownError: FsError | undefined;
  /** A time as the inode can keep it. */
  stamp(time: Timespec, inode: I): Timespec;
  markInodeDirty(inode: I): void;
  /** Allocates and fills an inode in core with one link; nothing leads to it yet. @throws FsError ENOSPC, EOVERFLOW */
  newInode(dir: I, init: N): Io<I>;
  /** Takes back an inode that no entry leads to. */
  destroyInode(inode: I, now: Timespec): Io<void>;
  /** Puts the target of a new symbolic link where `readlink` finds it, and its length into the inode. */
  storeTarget(inode: I, target: Uint8Array): Io<void>;
}

export class Names<I extends NamedInode<I>, N extends NewName> {
  readonly #host: NamesHost<I, N>;
  readonly #dirs: NameDirs<I>;

  constructor(host: NamesHost<I, N>) {
    this.#host = host;
    this.#dirs = host.dirs;
  }

  #touch(dir: I, now: Timespec): void {
    const time = this.#host.stamp(now, dir);
    dir.mtime = time;
    dir.ctime = time;
    this.#host.markInodeDirty(dir);
  }

  #setNlink(inode: I, nlink: number): void {
    inode.nlink = Math.max(0, nlink);
    this.#host.markInodeDirty(inode);
  }

  #stampChange(inode: I, now: Timespec): void {
    inode.ctime = this.#host.stamp(now, inode);
    this.#host.markInodeDirty(inode);
  }

  /** Finds an entry that must be there and lead to `ino`. */
  *#entry(dir: I, name: string, ino: number): Io<Found> {
    const found = newFound();
    yield* this.#dirs.find(dir, name, found);
    if (found.ino !== ino) throw new FsError('ENOENT');
    return found;
  }

  *#dotdot(dir: I): Io<Found> {
    const found = newFound();
    yield* this.#dirs.find(dir, '..', found);
    if (found.ino === 0) throw corrupt('a directory without ..', { ino: dir.ino });
    return found;
  }

  #checkParent(dir: I, addsLink: boolean): void {
    if (dir.nlink === 0) throw new FsError('ENOENT', { why: 'the directory was removed' });
    if (addsLink && dir.nlink >= this.#host.linkMax) throw new FsError('EMLINK');
  }

  /** Enters a new inode, made whole by `fill` first; on a failure nothing of it stays. */
  *#enter(dir: I, name: string, init: N, fill: ((inode: I) => Io<void>) | undefined): Io<I> {
    const host = this.#host;
    if (name.length > host.nameMax) throw new FsError('ENAMETOOLONG');
    const inode = yield* host.newInode(dir, init);
    try {
      if (fill !== undefined) {
        yield* fill(inode);
        host.markInodeDirty(inode);
      }
      yield* this.#dirs.add(dir, name, inode);
    } catch (error) {
      if (host.shutdownError === undefined) yield* host.destroyInode(inode, init.now);
      throw error;
    }
    this.#touch(dir, init.now);
    nameIn(inode, dir);
    return inode;
  }

  /** Makes a file, directory or node, by `init.mode`. @throws FsError ENOSPC, EMLINK, ENAMETOOLONG; ENOENT in a removed directory */
  *create(dir: I, name: string, init: N): Io<I> {
    const isDirectory = (init.mode & S_IFMT) === S_IFDIR;
    this.#checkParent(dir, isDirectory);
    const inode = yield* this.#enter(dir, name, init, isDirectory ? (made) => this.#makeDirectory(made, dir) : undefined);
    if (isDirectory) this.#setNlink(dir, dir.nlink + 1);
    return inode;
  }

  *#makeDirectory(inode: I, parent: I): Io<void> {
    yield* this.#dirs.makeEmpty(inode, parent.ino);
    inode.nlink = 2;
  }

  /** @throws FsError as `create`; ENAMETOOLONG for the target too, ENOENT for an empty one */
  *symlink(dir: I, name: string, target: Uint8Array, init: N): Io<I> {
    this.#checkParent(dir, false);
    if (target.length === 0) throw new FsError('ENOENT', { why: 'an empty link' });
    if (target.length > this.#host.targetMax) throw new FsError('ENAMETOOLONG');
    const mode = S_IFLNK | (init.mode & 0o7777);
    return yield* this.#enter(dir, name, { ...init, mode }, (inode) => this.#host.storeTarget(inode, target));
  }

  /** @throws FsError EMLINK, ENOSPC, ENAMETOOLONG; ENOENT in a removed directory */
  *link(dir: I, name: string, inode: I, now: Timespec): Io<void> {
    this.#checkParent(dir, false);
    if (inode.nlink >= this.#host.linkMax) throw new FsError('EMLINK');
    yield* this.#dirs.add(dir, name, inode);
    this.#setNlink(inode, inode.nlink + 1);
    this.#stampChange(inode, now);
    this.#touch(dir, now);
    nameIn(inode, dir);
  }

  *unlink(dir: I, name: string, inode: I, now: Timespec): Io<void> {
    const found = yield* this.#entry(dir, name, inode.ino);
    yield* this.#dirs.remove(dir, found);
    this.#touch(dir, now);
    this.#setNlink(inode, inode.nlink - 1);
    this.#stampChange(inode, now);
  }

  /** @throws FsError ENOTEMPTY */
  *rmdir(dir: I, name: string, inode: I, now: Timespec): Io<void> {
    if (!(yield* this.#dirs.isEmpty(inode))) throw new FsError('ENOTEMPTY');
    const found = yield* this.#entry(dir, name, inode.ino);
    yield* this.#dirs.remove(dir, found);
    this.#touch(dir, now);
    this.#setNlink(dir, dir.nlink - 1);
    this.#setNlink(inode, 0);
    this.#stampChange(inode, now);
    this.#dirs.forget(inode);
  }

  /** @throws FsError ENOTEMPTY, EMLINK, ENOSPC; ENOENT in a removed directory */
  *rename(from: NamedEntry<I>, to: { readonly dir: I; readonly name: string; readonly target: I | undefined }, now: Timespec): Io<void> {
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
      if (isDirectory && !(yield* dirs.isEmpty(target))) throw new FsError('ENOTEMPTY');
      yield* dirs.retarget(to.dir, yield* this.#entry(to.dir, to.name, target.ino), inode);
    } else {
      yield* dirs.add(to.dir, to.name, inode);
    }
    // The insert may have moved the old entry: look again.
    yield* dirs.remove(from.dir, yield* this.#entry(from.dir, from.name, inode.ino));
    if (dotdot !== undefined) yield* dirs.retarget(inode, dotdot, to.dir);
    if (target !== undefined) {
      this.#setNlink(target, isDirectory ? 0 : target.nlink - 1);
      this.#stampChange(target, now);
      if (isDirectory) dirs.forget(target);
    }
    if (isDirectory) this.#countParents(from.dir, to.dir, target !== undefined);
    this.#stampChange(inode, now);
    this.#touch(from.dir, now);
    this.#touch(to.dir, now);
    nameIn(inode, to.dir);
  }

  /** The parents' counts after a directory has moved from one to the other, in place of another directory or not. */
  #countParents(from: I, to: I, replaces: boolean): void {
    if (from === to) {
      if (replaces) this.#setNlink(to, to.nlink - 1);
      return;
    }
    this.#setNlink(from, from.nlink - 1);
    if (!replaces) this.#setNlink(to, to.nlink + 1);
  }

  /** Swaps two entries; both directories' '..' follow. @throws FsError EMLINK */
  *exchange(a: NamedEntry<I>, b: NamedEntry<I>, now: Timespec): Io<void> {
    const dirs = this.#dirs;
    const atA = yield* this.#entry(a.dir, a.name, a.inode.ino);
    const atB = yield* this.#entry(b.dir, b.name, b.inode.ino);
    const differ = a.dir !== b.dir;
    const moved = differ ? Number(a.inode.isDirectory) - Number(b.inode.isDirectory) : 0;
    if (moved !== 0) this.#checkParent(moved > 0 ? b.dir : a.dir, true);
    const parents: [I, I, Found][] = [];
    for (const [inode, parent] of [[a.inode, b.dir], [b.inode, a.dir]] as const) {
      if (differ && inode.isDirectory) parents.push([inode, parent, yield* this.#dotdot(inode)]);
    }
    yield* dirs.retarget(a.dir, atA, b.inode);
    yield* dirs.retarget(b.dir, atB, a.inode);
    for (const [inode, parent, dotdot] of parents) yield* dirs.retarget(inode, dotdot, parent);
    if (moved !== 0) {
      this.#setNlink(a.dir, a.dir.nlink - moved);
      this.#setNlink(b.dir, b.dir.nlink + moved);
    }
    for (const [inode, dir] of [[a.inode, b.dir], [b.inode, a.dir]] as const) {
      this.#stampChange(inode, now);
      this.#touch(dir, now);
      nameIn(inode, dir);
    }
  }
}

/** `dir` has got a new name for `inode`. */
function nameIn<I extends NamedInode<I>>(inode: I, dir: I): void {
  inode.namedIn = dir;
  inode.nameCount++;
}
