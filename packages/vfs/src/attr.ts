/**
 * Changing attributes of an inode that the caller has a reference to: mode, owner, times, size, flags.
 *
 * Lock: the inode, exclusive. ctime moves with every change.
 */
import { FsError, type Io, type Timespec } from '@iomap/io';
import type { Caller } from './core.js';
import { S_IFMT, type Inode, type SetAttr } from './filesystem.js';
import { FS_APPEND_FL, FS_IMMUTABLE_FL, isDirectory, isRegular, S_ISGID, W_OK } from './modes.js';
import { checkAccess, checkChangeable, checkOwner, inGroup, isRoot, withoutPrivileges } from './permission.js';

/** What `setattrAt` may be asked for (FUSE's SETATTR). 'now' is the current time, which needs only write permission. */
export interface AttrChange {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly size?: number | undefined;
  readonly atime?: Timespec | 'now' | undefined;
  readonly mtime?: Timespec | 'now' | undefined;
  readonly flags?: number | undefined;
  /** The size change is through a file open for writing: permission was checked when it was opened. */
  readonly opened?: boolean;
}

type Draft = { -readonly [K in keyof SetAttr]: SetAttr[K] };

function draftOwner(caller: Caller, inode: Inode, change: AttrChange, draft: Draft): void {
  const { uid, gid } = change;
  const { cred } = caller;
  if (uid === undefined && gid === undefined) return;
  checkChangeable(inode);
  if (uid !== undefined && !isRoot(cred) && (cred.uid !== inode.uid || uid !== inode.uid)) throw new FsError('EPERM');
  if (gid !== undefined && !isRoot(cred) && (cred.uid !== inode.uid || (gid !== inode.gid && !inGroup(cred, gid)))) {
    throw new FsError('EPERM');
  }
  if (uid !== undefined) draft.uid = uid;
  if (gid !== undefined) draft.gid = gid;
  const mode = withoutPrivileges(cred, inode);
  if (mode !== inode.mode) draft.mode = mode;
}

function draftMode(caller: Caller, inode: Inode, change: AttrChange, draft: Draft): void {
  if (change.mode === undefined) return;
  checkChangeable(inode);
  checkOwner(caller.cred, inode);
  let bits = change.mode & 0o7777;
  const gid = draft.gid ?? inode.gid;
  if (!isRoot(caller.cred) && !inGroup(caller.cred, gid)) bits &= ~S_ISGID;
  draft.mode = (inode.mode & S_IFMT) | bits;
}

function draftTimes(caller: Caller, inode: Inode, change: AttrChange, draft: Draft, now: Timespec): void {
  const { atime, mtime } = change;
  if (atime === undefined && mtime === undefined) return;
  const { cred, core } = caller;
  // One of them alone, though it be to now, is the owner's to change (utimensat(2)).
  const isNow = atime === 'now' && mtime === 'now';
  if ((inode.flags & FS_IMMUTABLE_FL) !== 0) throw new FsError('EPERM');
  if (isNow) {
    if (!isRoot(cred) && cred.uid !== inode.uid) checkAccess(cred, inode, W_OK);
  } else {
    if ((inode.flags & FS_APPEND_FL) !== 0) throw new FsError('EPERM');
    checkOwner(cred, inode);
  }
  if (atime !== undefined) draft.atime = atime === 'now' ? now : core.fit(atime);
  if (mtime !== undefined) draft.mtime = mtime === 'now' ? now : core.fit(mtime);
}

/** @throws FsError EISDIR, EINVAL (no regular file, negative), EFBIG, EPERM, EACCES */
export function checkTruncate(caller: Caller, inode: Inode, size: number, opened: boolean): void {
  if (isDirectory(inode.mode)) throw new FsError('EISDIR');
  if (!isRegular(inode.mode) || !Number.isSafeInteger(size) || size < 0) throw new FsError('EINVAL');
  if (!opened) checkAccess(caller.cred, inode, W_OK);
  if ((inode.flags & (FS_APPEND_FL | FS_IMMUTABLE_FL)) !== 0) throw new FsError('EPERM');
  if (size > caller.core.fs.traits.fileSizeMax) throw new FsError('EFBIG');
}

/**
 * FUSE's SETATTR: changes what is given, all or nothing.
 * @throws FsError EPERM, EACCES, EROFS, EINVAL, EISDIR, EFBIG, ENOSPC
 */
export function* setattrAt(caller: Caller, inode: Inode, change: AttrChange): Io<void> {
  const { core, cred } = caller;
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  try {
    const now = core.now();
    const draft: Draft = { ctime: now };
    core.checkWritable();
    draftOwner(caller, inode, change, draft);
    draftMode(caller, inode, change, draft);
    draftTimes(caller, inode, change, draft, now);
    if (change.flags !== undefined) {
      checkOwner(cred, inode);
      if (((change.flags ^ inode.flags) & (FS_IMMUTABLE_FL | FS_APPEND_FL)) !== 0 && !isRoot(cred)) {
        throw new FsError('EPERM');
      }
      draft.flags = change.flags;
    }
    if (change.size !== undefined) {
      checkTruncate(caller, inode, change.size, change.opened === true);
      draft.size = change.size;
      draft.mtime ??= now;
      if (!isRoot(cred)) {
        const mode = withoutPrivileges(cred, inode, draft.mode ?? inode.mode);
        if (mode !== inode.mode) draft.mode = mode;
      }
    }
    yield* core.fs.setattr(inode, draft);
  } finally {
    if (isDirectory(inode.mode)) core.dentries.changed();
    inode.lock.unlockWrite();
  }
}
