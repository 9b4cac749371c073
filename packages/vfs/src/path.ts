/**
 * Operations on paths: each walks, then calls the operation of the same name on a directory or an inode.
 *
 * Paths are byte strings (`encodeName` makes one); relative ones start at the root.
 */
import { FsError, type Io } from '@iomap/io';
import { setattrAt, type AttrChange } from './attr.js';
import type { Caller } from './core.js';
import { attrOf, type Attr } from './stat.js';
import { tmpfileAt } from './tmpfile.js';
import { fiemapAt, openInode, releaseFile } from './file.js';
import type { FiemapExtent, Inode, Name } from './filesystem.js';
import { isDirectory, isSymlink, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_TMPFILE, S_IFREG } from './modes.js';
import { createAt, createLocked, linkAt, mkdirAt, rmdirAt, symlinkAt, unlinkAt } from './namei.js';
import type { OpenFile } from './open-file.js';
import { checkAccess } from './permission.js';
import { renameAt } from './rename.js';
import { lookupChild, lookupLocked, readLink, walkParent, walkTo, type Place } from './walk.js';
import { getxattrAt, listxattrAt, removexattrAt, setxattrAt } from './xattr.js';

/** Runs `body` on the inode at `path`, held for as long. */
export function* withInode<T>(
  caller: Caller,
  path: string,
  follow: boolean,
  body: (inode: Inode) => Io<T>,
): Io<T> {
  const inode = yield* walkTo(caller, path, follow);
  try {
    return yield* body(inode);
  } finally {
    caller.core.inodes.put(inode);
  }
}

/** Runs `body` on the directory that holds the last component of `path`. */
export function* withPlace<T>(caller: Caller, path: string, body: (place: Place) => Io<T>): Io<T> {
  const place = yield* walkParent(caller, path);
  try {
    return yield* body(place);
  } finally {
    caller.core.inodes.put(place.dir);
  }
}

/** A place for something new that is no directory. @throws FsError EEXIST, ENOENT (trailing slash) */
function* withNewPlace<T>(caller: Caller, path: string, body: (place: Place) => Io<T>): Io<T> {
  return yield* withPlace(caller, path, function* (place) {
    if (place.last !== 'name') throw new FsError('EEXIST');
    if (!place.trailingSlash) return yield* body(place);
    const there = yield* lookupChild(caller.core, place.dir, place.name);
    if (there === undefined) throw new FsError('ENOENT');
    caller.core.inodes.put(there);
    throw new FsError('EEXIST');
  });
}

/** Opens, and with O_CREAT makes, the file at `path`. The answer is to be released. */
export function* openPath(caller: Caller, path: string, flags: number, mode: number): Io<OpenFile> {
  const { core } = caller;
  if ((flags & O_TMPFILE) === O_TMPFILE) {
    return yield* withInode(caller, path, true, (dir) => openTmpfile(caller, dir, flags, mode));
  }
  if ((flags & O_CREAT) === 0 || (flags & O_PATH) !== 0) {
    const follow = (flags & O_NOFOLLOW) === 0;
    return yield* withInode(caller, path, follow, (inode) => openInode(caller, inode, flags));
  }
  let place = yield* walkParent(caller, path);
  try {
    for (let links = 0; ; links++) {
      const { dir, name } = place;
      if (place.last !== 'name' && (flags & O_EXCL) !== 0) throw new FsError('EEXIST');
      if (place.last !== 'name' || place.trailingSlash || (flags & O_DIRECTORY) !== 0) throw new FsError('EISDIR');
      const found = yield* lookupChild(core, dir, name);
      if (found === undefined) {
        const file = yield* createAndOpen(caller, dir, name, flags, mode);
        if (file !== undefined) return file;
        continue;
      }
      try {
        if ((flags & O_EXCL) !== 0) throw new FsError('EEXIST');
        if (!isSymlink(found.mode) || (flags & O_NOFOLLOW) !== 0) return yield* openInode(caller, found, flags);
        if (links >= core.settings.symlinksMax) throw new FsError('ELOOP');
        const target = yield* readLink(core, found);
        const next = yield* walkParent(caller, target, dir);
        core.inodes.put(dir);
        place = next;
      } finally {
        core.inodes.put(found);
      }
    }
  } finally {
    core.inodes.put(place.dir);
  }
}

/** undefined: somebody else made it meanwhile. */
function* createAndOpen(
  caller: Caller,
  dir: Inode,
  name: Name,
  flags: number,
  mode: number,
): Io<OpenFile | undefined> {
  const { core } = caller;
  let inode: Inode | undefined;
  if (!dir.lock.tryWrite()) yield* dir.lock.write();
  try {
    inode = yield* lookupLocked(core, dir, name);
    if (inode !== undefined) {
      core.inodes.put(inode);
      return undefined;
    }
    inode = yield* createLocked(caller, dir, name, S_IFREG | (mode & 0o7777), 0);
  } finally {
    dir.lock.unlockWrite();
  }
  try {
    return yield* openInode(caller, inode, flags, true);
  } finally {
    core.inodes.put(inode);
  }
}

function* openTmpfile(caller: Caller, dir: Inode, flags: number, mode: number): Io<OpenFile> {
  const { core } = caller;
  if (!isDirectory(dir.mode)) throw new FsError('ENOTDIR');
  if ((flags & 3) === 0) throw new FsError('EINVAL');
  const inode = yield* tmpfileAt(caller, dir, mode, (flags & O_EXCL) === 0);
  try {
    return yield* openInode(caller, inode, flags & ~O_TMPFILE, true);
  } finally {
    core.inodes.put(inode);
  }
}

export function* stat(caller: Caller, path: string): Io<Attr> {
  return yield* withInode(caller, path, true, attrIo);
}

export function* lstat(caller: Caller, path: string): Io<Attr> {
  return yield* withInode(caller, path, false, attrIo);
}

 
function* attrIo(inode: Inode): Io<Attr> {
  return attrOf(inode);
}

export function* mkdir(caller: Caller, path: string, mode = 0o777): Io<void> {
  yield* withPlace(caller, path, function* (place) {
    if (place.last !== 'name') throw new FsError('EEXIST');
    caller.core.inodes.put(yield* mkdirAt(caller, place.dir, place.name, mode));
  });
}

/** Makes a regular file, fifo, socket or device node, by the type in `mode`. */
export function* mknod(caller: Caller, path: string, mode: number, rdev = 0): Io<void> {
  yield* withNewPlace(caller, path, function* (place) {
    if (isDirectory(mode)) throw new FsError('EPERM');
    caller.core.inodes.put(yield* createAt(caller, place.dir, place.name, mode, rdev));
  });
}

export function* symlink(caller: Caller, target: string, path: string): Io<void> {
  yield* withNewPlace(caller, path, function* (place) {
    caller.core.inodes.put(yield* symlinkAt(caller, place.dir, place.name, target));
  });
}

/** Links what `path` names; a symbolic link in the last place is linked itself. */
export function* link(caller: Caller, path: string, newPath: string): Io<void> {
  yield* withInode(caller, path, false, (inode) =>
    withNewPlace(caller, newPath, (place) => linkAt(caller, inode, place.dir, place.name)),
  );
}

export function* unlink(caller: Caller, path: string): Io<void> {
  yield* withPlace(caller, path, function* (place) {
    if (place.last !== 'name') throw new FsError('EISDIR');
    if (place.trailingSlash) {
      const there = yield* lookupChild(caller.core, place.dir, place.name);
      if (there === undefined) throw new FsError('ENOENT');
      caller.core.inodes.put(there);
      throw new FsError(isDirectory(there.mode) ? 'EISDIR' : 'ENOTDIR');
    }
    yield* unlinkAt(caller, place.dir, place.name);
  });
}

export function* rmdir(caller: Caller, path: string): Io<void> {
  yield* withPlace(caller, path, function* (place) {
    if (place.last === 'root') throw new FsError('EBUSY');
    if (place.last === 'dot') throw new FsError('EINVAL');
    if (place.last === 'dotdot') throw new FsError('ENOTEMPTY');
    yield* rmdirAt(caller, place.dir, place.name);
  });
}

/** `flags`: RENAME_NOREPLACE, RENAME_EXCHANGE. */
export function* rename(caller: Caller, path: string, newPath: string, flags = 0): Io<void> {
  yield* withPlace(caller, path, (from) =>
    withPlace(caller, newPath, function* (to) {
      if (from.last !== 'name' || to.last !== 'name') throw new FsError('EBUSY');
      if (from.trailingSlash || to.trailingSlash) {
        const source = yield* lookupChild(caller.core, from.dir, from.name);
        if (source === undefined) throw new FsError('ENOENT');
        caller.core.inodes.put(source);
        if (!isDirectory(source.mode)) throw new FsError('ENOTDIR');
      }
      yield* renameAt(caller, from.dir, from.name, to.dir, to.name, flags);
    }),
  );
}

/** A link's target, as a byte string. @throws FsError EINVAL when it is no symbolic link */
export function* readlink(caller: Caller, path: string): Io<string> {
  return yield* withInode(caller, path, false, (inode) => readlinkAt(caller, inode));
}

export function* readlinkAt(caller: Caller, inode: Inode): Io<string> {
  if (!isSymlink(inode.mode)) throw new FsError('EINVAL');
  const target = yield* readLink(caller.core, inode);
  caller.core.accessed(inode);
  return target;
}

/** The path without links, '.', '..' and doubled slashes, as a byte string. */
export function* realpath(caller: Caller, path: string): Io<string> {
  if (path === '') throw new FsError('ENOENT');
  const { core } = caller;
  const names: string[] = [];
  let rest = path.split('/');
  for (let links = 0; rest.length > 0; ) {
    const name = rest.shift() ?? '';
    const at = `/${names.join('/')}`;
    if (name === '' || name === '.') {
      const isDir = yield* withInode(caller, at, false, attrIo);
      if (!isDirectory(isDir.mode)) throw new FsError('ENOTDIR');
      continue;
    }
    if (name === '..') {
      names.pop();
      continue;
    }
    const next = names.length === 0 ? `/${name}` : `${at}/${name}`;
    const target = yield* withInode(caller, next, false, function* (inode) {
      return isSymlink(inode.mode) ? yield* readLink(core, inode) : undefined;
    });
    if (target === undefined) {
      names.push(name);
      continue;
    }
    if (++links > core.settings.symlinksMax) throw new FsError('ELOOP');
    if (target.startsWith('/')) names.length = 0;
    rest = [...target.split('/'), ...rest];
  }
  return `/${names.join('/')}`;
}

/** Changes attributes of what `path` names; `follow` = through a symbolic link in the last place. */
export function* setattr(caller: Caller, path: string, change: AttrChange, follow = true): Io<void> {
  yield* withInode(caller, path, follow, (inode) => setattrAt(caller, inode, change));
}

/** access(2) with the mount's credentials. `mode`: R_OK | W_OK | X_OK, 0 = exists. */
export function* access(caller: Caller, path: string, mode = 0): Io<void> {
   
  yield* withInode(caller, path, true, function* (inode) {
    if ((mode & ~7) !== 0) throw new FsError('EINVAL');
    if ((mode & 2) !== 0 && caller.core.fs.readOnly && !isSpecial(inode)) throw new FsError('EROFS');
    if (mode !== 0) checkAccess(caller.cred, inode, mode);
  });
}

const isSpecial = (inode: Inode): boolean => ![0o100000, 0o040000, 0o120000].includes(inode.mode & 0o170000);

export function* truncate(caller: Caller, path: string, size = 0): Io<void> {
  yield* setattr(caller, path, { size });
}

export function* getxattr(caller: Caller, path: string, name: Name, follow = true): Io<Uint8Array> {
  return yield* withInode(caller, path, follow, (inode) => getxattrAt(caller, inode, name));
}

export function* setxattr(
  caller: Caller,
  path: string,
  name: Name,
  value: Uint8Array,
  mode: 'any' | 'create' | 'replace' = 'any',
  follow = true,
): Io<void> {
  yield* withInode(caller, path, follow, (inode) => setxattrAt(caller, inode, name, value, mode));
}

export function* removexattr(caller: Caller, path: string, name: Name, follow = true): Io<void> {
  yield* withInode(caller, path, follow, (inode) => removexattrAt(caller, inode, name));
}

export function* listxattr(caller: Caller, path: string, follow = true): Io<Name[]> {
  return yield* withInode(caller, path, follow, (inode) => listxattrAt(caller, inode));
}

/** The extents of the file at `path`. */
export function* fiemap(caller: Caller, path: string, pos = 0, len: number = Number.MAX_SAFE_INTEGER): Io<FiemapExtent[]> {
  return yield* withInode(caller, path, true, (inode) => fiemapAt(caller.core, inode, pos, len));
}

/** Opens `path` for the time of `body`. */
export function* withFile<T>(
  caller: Caller,
  path: string,
  flags: number,
  mode: number,
  body: (file: OpenFile) => Io<T>,
): Io<T> {
  const file = yield* openPath(caller, path, flags, mode);
  let result: T;
  try {
    result = yield* body(file);
  } catch (error) {
    yield* releaseFile(caller.core, file);
    throw error;
  }
  yield* releaseFile(caller.core, file);
  return result;
}
