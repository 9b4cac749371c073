/**
 * rename(2) and renameat2(2).
 *
 * Locks: the mount's rename lock when two directories are involved (the tree then holds still, so that "is inside" stays
 * true), then the two directories, the outer one first, else by number, then the inodes moved and replaced, directories
 * before others, by number.
 */
import { FsError, type Io } from '@iomap/io';
import type { Caller, VfsCore } from './core.js';
import { stateOf } from './dentry-cache.js';
import type { Inode, Name } from './filesystem.js';
import { isDirectory, RENAME_EXCHANGE, RENAME_NOREPLACE, W_OK, X_OK } from './modes.js';
import { checkName } from './namei.js';
import { checkAccess, checkCreate, checkDelete } from './permission.js';
import { lookupLocked, parentOf } from './walk.js';

/**
 * True when `inner` is `outer` or lies below it. With the rename lock held.
 * @param above a directory above `inner` and not below `outer`: there is nothing to find further up. One that the caller has
 *   locked must be given, since its own parent may have to be read under its lock.
 */
function* isInside(core: VfsCore, inner: Inode, outer: Inode, above?: Inode): Io<boolean> {
  let at = inner;
  at.refs++;
  try {
    // Each step goes up one level; a chain longer than the inode count of the tree would be a loop on the image.
    for (let depth = 0; depth < 65_536; depth++) {
      if (at === outer) return true;
      if (at === above || at.ino === core.fs.rootIno) return false;
      const up = yield* parentOf(core, at);
      core.inodes.put(at);
      at = up;
    }
    throw new FsError('EUCLEAN', { why: 'directories form a loop', detail: { ino: inner.ino } });
  } finally {
    core.inodes.put(at);
  }
}

/** With the directory locked. @throws FsError ENOTEMPTY */
function* checkEmpty(core: VfsCore, dir: Inode): Io<void> {
  let isEmpty = true;
  yield* core.fs.readdir(dir, 0, (name) => {
    if (name !== '.' && name !== '..') isEmpty = false;
    return isEmpty;
  });
  if (!isEmpty) throw new FsError('ENOTEMPTY');
}

/** Takes exclusive locks in the given order, each once. */
function* lockAll(inodes: readonly Inode[], locked: Inode[]): Io<void> {
  for (const inode of inodes) {
    if (locked.includes(inode)) continue;
    if (!inode.lock.tryWrite()) yield* inode.lock.write();
    locked.push(inode);
  }
}

const lockOrderOf = (a: Inode, b: Inode): number =>
  Number(isDirectory(b.mode)) - Number(isDirectory(a.mode)) || a.ino - b.ino;

interface Ends {
  readonly fromDir: Inode;
  readonly from: Name;
  readonly toDir: Inode;
  readonly to: Name;
}

function checkMove(caller: Caller, ends: Ends, source: Inode, target: Inode | undefined, isExchange: boolean): void {
  const { core, cred } = caller;
  const { fromDir, toDir } = ends;
  core.checkWritable();
  checkDelete(cred, fromDir, source);
  if (target === undefined) {
    checkCreate(cred, toDir);
  } else {
    checkDelete(cred, toDir, target);
    if (!isExchange && isDirectory(source.mode) !== isDirectory(target.mode)) {
      throw new FsError(isDirectory(source.mode) ? 'ENOTDIR' : 'EISDIR');
    }
  }
  // A directory that changes parent gets its '..' rewritten.
  if (fromDir !== toDir) {
    if (isDirectory(source.mode)) checkAccess(cred, source, W_OK);
    if (isExchange && target !== undefined && isDirectory(target.mode)) checkAccess(cred, target, W_OK);
    const { linkMax } = core.fs.traits;
    const gains = isDirectory(source.mode) && (target === undefined || !isDirectory(target.mode));
    if (gains && toDir.nlink >= linkMax) throw new FsError('EMLINK');
  }
}

function* move(caller: Caller, ends: Ends, source: Inode, target: Inode | undefined, exchange: boolean): Io<void> {
  const { core } = caller;
  const { fs, dentries } = core;
  const { fromDir, from, toDir, to } = ends;
  const now = core.now();
  if (exchange && target !== undefined) {
    if (fs.exchange === undefined) throw new FsError('EINVAL', { why: 'RENAME_EXCHANGE is not supported' });
    yield* fs.exchange({ dir: fromDir, name: from, inode: source }, { dir: toDir, name: to, inode: target }, now);
    dentries.set(fromDir, from, target.ino);
    if (isDirectory(target.mode)) stateOf(target).parent = fromDir.ino;
  } else {
    yield* fs.rename({ dir: fromDir, name: from, inode: source }, { dir: toDir, name: to, target }, now);
    if (target !== undefined && isDirectory(target.mode)) dentries.drop(target);
    dentries.set(fromDir, from, 0);
  }
  dentries.set(toDir, to, source.ino);
  if (isDirectory(source.mode)) stateOf(source).parent = toDir.ino;
}

function* renameLocked(caller: Caller, ends: Ends, flags: number, locked: Inode[]): Io<void> {
  const { core, cred } = caller;
  const { fromDir, from, toDir, to } = ends;
  const crossing = fromDir !== toDir;
  const toInside = crossing && (yield* isInside(core, toDir, fromDir));
  const fromInside = crossing && !toInside && (yield* isInside(core, fromDir, toDir));
  const toFirst = fromInside || (!toInside && toDir.ino < fromDir.ino);
  yield* lockAll(toFirst ? [toDir, fromDir] : [fromDir, toDir], locked);
  if (!isDirectory(fromDir.mode) || !isDirectory(toDir.mode)) throw new FsError('ENOTDIR');
  checkAccess(cred, fromDir, X_OK);
  checkAccess(cred, toDir, X_OK);
  const source = yield* lookupLocked(core, fromDir, from);
  if (source === undefined) throw new FsError('ENOENT');
  // Linux judges the target's name when it looks it up: a missing source is told first.
  let target: Inode | undefined;
  try {
    checkName(caller, to);
    target = yield* lookupLocked(core, toDir, to);
    const exchange = (flags & RENAME_EXCHANGE) !== 0;
    if (target !== undefined && (flags & RENAME_NOREPLACE) !== 0) throw new FsError('EEXIST');
    if (target === undefined && exchange) throw new FsError('ENOENT');
    if (crossing && isDirectory(source.mode) && toInside && (yield* isInside(core, toDir, source, fromDir))) {
      throw new FsError('EINVAL');
    }
    if (crossing && target !== undefined && fromInside && (yield* isInside(core, fromDir, target, toDir))) {
      // As Linux has it, before any look at types: what is replaced holds the source, so it is not empty.
      throw new FsError(exchange ? 'EINVAL' : 'ENOTEMPTY');
    }
    if (target === source) return;
    checkMove(caller, ends, source, target, exchange);
    const root = core.peekRoot();
    if (source === root || target === root) throw new FsError('EBUSY');
    yield* lockAll(target === undefined ? [source] : [source, target].sort(lockOrderOf), locked);
    if (target !== undefined && !exchange && isDirectory(target.mode)) yield* checkEmpty(core, target);
    yield* move(caller, ends, source, target, exchange);
  } finally {
    core.inodes.put(source);
    if (target !== undefined) core.inodes.put(target);
  }
}

/**
 * Moves `from` in `fromDir` to `to` in `toDir`. `flags`: RENAME_NOREPLACE, RENAME_EXCHANGE.
 * @throws FsError ENOENT, EINVAL (into itself; flags), EISDIR, ENOTDIR, ENOTEMPTY, EEXIST, EACCES, EPERM, EMLINK, EROFS
 */
export function* renameAt(
  caller: Caller,
  fromDir: Inode,
  from: Name,
  toDir: Inode,
  to: Name,
  flags = 0,
): Io<void> {
  const { core } = caller;
  checkName(caller, from);
  if ((flags & ~3) !== 0 || flags === 3) throw new FsError('EINVAL');
  const crossing = fromDir !== toDir;
  const locked: Inode[] = [];
  if (crossing && !core.renameLock.tryLock()) yield* core.renameLock.lock();
  try {
    yield* renameLocked(caller, { fromDir, from, toDir, to }, flags, locked);
  } finally {
    for (const inode of locked.reverse()) inode.lock.unlockWrite();
    if (crossing) core.renameLock.unlock();
  }
  if (core.inodes.pressed) yield* core.inodes.reap();
}
