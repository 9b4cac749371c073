/**
 * Operations on names in a directory that the caller has a reference to (create, link, unlink, …). Paths are `path.ts`'s.
 *
 * Locks: the directory exclusive, then the inode that loses or gains a link exclusive. Every inode handed out is
 * referenced; whoever gets it gives it back with `iput`. What loses its last link and reference is freed on the way out.
 */
import { FsError, type Io } from '@iomap/io';
import type { Caller } from './core.js';
import { stateOf } from './dentry-cache.js';
import type { Inode, Name, NewInode } from './filesystem.js';
import { FS_APPEND_FL, FS_IMMUTABLE_FL, isDirectory, S_IFDIR, S_IFLNK, X_OK } from './modes.js';
import { bytesOfLatin1 } from './names.js';
import { checkAccess, checkCreate, checkDelete, isRoot, ownershipIn } from './permission.js';
import { lookupChild, lookupLocked } from './walk.js';
import { S_IFMT } from './filesystem.js';

/** @throws FsError ENOENT (empty), ENAMETOOLONG, EINVAL ('/' or NUL inside, '.' and '..') */
export function checkName(caller: Caller, name: Name): void {
  if (name === '') throw new FsError('ENOENT');
  if (name.length > caller.core.fs.traits.nameMaxBytes) throw new FsError('ENAMETOOLONG');
  if (name === '.' || name === '..' || name.includes('/') || name.includes('\0')) throw new FsError('EINVAL');
}

const checkIsDirectory = (dir: Inode): void => {
  if (!isDirectory(dir.mode)) throw new FsError('ENOTDIR');
};

/**
 * FUSE's LOOKUP: the inode under `name`, referenced; undefined when there is none.
 * @throws FsError ENOTDIR, EACCES, ENAMETOOLONG
 */
export function* childAt(caller: Caller, dir: Inode, name: Name): Io<Inode | undefined> {
  checkIsDirectory(dir);
  checkAccess(caller.cred, dir, X_OK);
  if (name.length > caller.core.fs.traits.nameMaxBytes) throw new FsError('ENAMETOOLONG');
  return yield* lookupChild(caller.core, dir, name);
}

/**
 * `childAt` for what must be there.
 * @throws FsError ENOENT, ENOTDIR, EACCES
 */
export function* lookupAt(caller: Caller, dir: Inode, name: Name): Io<Inode> {
  const inode = yield* childAt(caller, dir, name);
  if (inode === undefined) throw new FsError('ENOENT');
  return inode;
}

function newInode(caller: Caller, dir: Inode, mode: number, rdev: number, asked?: number): NewInode {
  const owner = ownershipIn(caller.cred, dir, mode);
  const now = caller.core.now();
  // Named one by one: a spread object is put together by the runtime, with every file made.
  const { uid, gid } = owner;
  return asked === undefined
    ? { uid, gid, mode: owner.mode, rdev, now }
    : { uid, gid, mode: owner.mode, rdev, now, asked };
}

/** With the directory locked: makes `name`, which must not exist. The umask, or a default ACL in its place, applies to `asked`. */
export function* createLocked(caller: Caller, dir: Inode, name: Name, asked: number, rdev: number): Io<Inode> {
  const { core } = caller;
  const mode = asked & ~caller.umask;
  core.checkWritable();
  checkCreate(caller.cred, dir);
  if (isDirectory(mode) && dir.nlink >= core.fs.traits.linkMax) throw new FsError('EMLINK');
  const inode = yield* core.fs.create(dir, name, newInode(caller, dir, mode, rdev, asked));
  core.inodes.add(inode);
  if (isDirectory(mode)) {
    const state = stateOf(inode);
    state.parent = dir.ino;
    state.complete = true;
  }
  core.dentries.set(dir, name, inode.ino);
  return inode;
}

/** Under the directory's exclusive lock: throws EEXIST when `name` is there. */
function* checkAbsent(caller: Caller, dir: Inode, name: Name): Io<void> {
  checkIsDirectory(dir);
  checkAccess(caller.cred, dir, X_OK);
  // The number is enough here: no inode need be read.
  const { core } = caller;
  let number = core.dentries.get(dir, name);
  if (number === undefined) {
    number = core.fs.peekLookup?.(dir, name) ?? (yield* core.fs.lookup(dir, name));
    core.dentries.set(dir, name, number);
  }
  if (number !== 0) throw new FsError('EEXIST');
}

/**
 * Makes a file, fifo, socket or device node (`rdev`), or a directory, by the type bits of `mode` (none: a regular file).
 * The umask applies. The answer is referenced.
 * @throws FsError EEXIST, EACCES, EPERM (a device node, unless root), EROFS, ENOSPC, EMLINK, ENAMETOOLONG
 */
export function* createAt(caller: Caller, dir: Inode, name: Name, mode: number, rdev = 0): Io<Inode> {
  checkName(caller, name);
  const type = (mode & S_IFMT) === 0 ? 0o100000 : mode & S_IFMT;
  if (type === S_IFLNK) throw new FsError('EINVAL');
  const isDevice = type === 0o020000 || type === 0o060000;
  if (!dir.lock.tryWrite()) yield* dir.lock.write();
  let inode: Inode;
  try {
    yield* checkAbsent(caller, dir, name);
    // The character device 0:0 leads to no device: overlays mark removed names with it.
    const isWhiteout = type === 0o020000 && rdev === 0;
    if (isDevice && !isWhiteout && !isRoot(caller.cred)) throw new FsError('EPERM');
    const bits = mode & (type === S_IFDIR ? 0o1777 : 0o7777);
    inode = yield* createLocked(caller, dir, name, type | bits, isDevice ? rdev : 0);
  } finally {
    dir.lock.unlockWrite();
  }
  if (caller.core.inodes.pressed) yield* caller.core.inodes.reap();
  return inode;
}

/** Makes a directory. As `createAt`. */
export function mkdirAt(caller: Caller, dir: Inode, name: Name, mode: number): Io<Inode> {
  return createAt(caller, dir, name, S_IFDIR | (mode & 0o7777));
}

/**
 * Makes a symbolic link; `target` is a byte string.
 * @throws FsError as `createAt`; ENOENT for an empty target, ENAMETOOLONG
 */
export function* symlinkAt(caller: Caller, dir: Inode, name: Name, target: string): Io<Inode> {
  const { core } = caller;
  checkName(caller, name);
  if (target === '') throw new FsError('ENOENT');
  if (target.includes('\0')) throw new FsError('EINVAL');
  if (target.length > Math.min(4095, core.fs.traits.symlinkMaxBytes)) throw new FsError('ENAMETOOLONG');
  if (!dir.lock.tryWrite()) yield* dir.lock.write();
  let inode: Inode;
  try {
    yield* checkAbsent(caller, dir, name);
    core.checkWritable();
    checkCreate(caller.cred, dir);
    const init = newInode(caller, dir, S_IFLNK | 0o777, 0);
    inode = yield* core.fs.symlink(dir, name, bytesOfLatin1(target), init);
    core.inodes.add(inode);
    stateOf(inode).link = target;
    core.dentries.set(dir, name, inode.ino);
  } finally {
    dir.lock.unlockWrite();
  }
  if (core.inodes.pressed) yield* core.inodes.reap();
  return inode;
}

/**
 * Gives `inode` one more name.
 * @throws FsError EPERM (a directory, immutable, append-only), EMLINK, EEXIST, EACCES, EROFS, ENOENT (no link left)
 */
export function* linkAt(caller: Caller, inode: Inode, dir: Inode, name: Name): Io<void> {
  const { core } = caller;
  checkName(caller, name);
  if (!dir.lock.tryWrite()) yield* dir.lock.write();
  try {
    yield* checkAbsent(caller, dir, name);
    core.checkWritable();
    checkCreate(caller.cred, dir);
    if (isDirectory(inode.mode)) throw new FsError('EPERM');
    if ((inode.flags & (FS_APPEND_FL | FS_IMMUTABLE_FL)) !== 0) throw new FsError('EPERM');
    if (!inode.lock.tryWrite()) yield* inode.lock.write();
    try {
      if (inode.nlink === 0 && !core.tmpfiles.has(inode)) throw new FsError('ENOENT');
      if (inode.nlink >= core.fs.traits.linkMax) throw new FsError('EMLINK');
      yield* core.fs.link(dir, name, inode, core.now());
      core.tmpfiles.delete(inode);
      core.dentries.set(dir, name, inode.ino);
    } finally {
      inode.lock.unlockWrite();
    }
  } finally {
    dir.lock.unlockWrite();
  }
}

/**
 * Removes a name that is not a directory's. The file lives on while it is open.
 * @throws FsError ENOENT, EISDIR, EACCES, EPERM, EROFS
 */
export function unlinkAt(caller: Caller, dir: Inode, name: Name): Io<void> {
  return removeAt(caller, dir, name, false);
}

/**
 * Removes an empty directory.
 * @throws FsError ENOENT, ENOTDIR, ENOTEMPTY, EINVAL ('.'), EACCES, EPERM, EROFS, EBUSY
 */
export function rmdirAt(caller: Caller, dir: Inode, name: Name): Io<void> {
  return removeAt(caller, dir, name, true);
}

function* removeAt(caller: Caller, dir: Inode, name: Name, isDir: boolean): Io<void> {
  const { core } = caller;
  checkName(caller, name);
  let child: Inode | undefined;
  if (!dir.lock.tryWrite()) yield* dir.lock.write();
  try {
    checkIsDirectory(dir);
    checkAccess(caller.cred, dir, X_OK);
    child = yield* lookupLocked(core, dir, name);
    if (child === undefined) throw new FsError('ENOENT');
    core.checkWritable();
    checkDelete(caller.cred, dir, child);
    if (isDirectory(child.mode) !== isDir) throw new FsError(isDir ? 'ENOTDIR' : 'EISDIR');
    if (child === core.peekRoot()) throw new FsError('EBUSY');
    if (!child.lock.tryWrite()) yield* child.lock.write();
    try {
      if (isDir) {
        yield* core.fs.rmdir(dir, name, child, core.now());
        core.dentries.drop(child);
      } else {
        yield* core.fs.unlink(dir, name, child, core.now());
      }
      core.dentries.set(dir, name, 0);
    } finally {
      child.lock.unlockWrite();
    }
  } finally {
    dir.lock.unlockWrite();
    if (child !== undefined) core.inodes.put(child);
  }
  if (core.inodes.pressed) yield* core.inodes.reap();
}
