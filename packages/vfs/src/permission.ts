/**
 * Who may do what: Linux's rules over mode bits, owners and inode flags. POSIX ACLs are stored and not enforced.
 *
 * Root (uid 0) passes all but: executing a file nobody may execute, and changing what is immutable or append-only.
 * The functions are plain; each throws `FsError` EACCES or EPERM, or answers a boolean where its name says so.
 */
import { FsError } from '@iomap/io';
import type { Inode } from './filesystem.js';
import { FS_APPEND_FL, FS_IMMUTABLE_FL, isDirectory, S_ISGID, S_ISUID, S_ISVTX, S_IXGRP, W_OK, X_OK } from './modes.js';

/** On whose behalf. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** All is allowed, as to root, though `uid` and `gid` own what is made: somebody else has checked (FUSE: the kernel). */
  readonly privileged?: boolean | undefined;
}

export const isRoot = (cred: Credentials): boolean => cred.uid === 0 || cred.privileged === true;

export const inGroup = (cred: Credentials, gid: number): boolean => cred.gid === gid || cred.groups.includes(gid);

/** True when `cred` has all of `mask` (R_OK | W_OK | X_OK) on the inode. */
export function mayAccess(cred: Credentials, inode: Inode, mask: number): boolean {
  const { mode } = inode;
  if (isRoot(cred)) return (mask & X_OK) === 0 || isDirectory(mode) || (mode & 0o111) !== 0;
  const shift = cred.uid === inode.uid ? 6 : inGroup(cred, inode.gid) ? 3 : 0;
  return (((mode >> shift) & 7) & mask) === mask;
}

/** @throws FsError EACCES; EPERM for writing to what is immutable */
export function checkAccess(cred: Credentials, inode: Inode, mask: number): void {
  if ((mask & W_OK) !== 0 && (inode.flags & FS_IMMUTABLE_FL) !== 0) throw new FsError('EPERM');
  if (!mayAccess(cred, inode, mask)) throw new FsError('EACCES');
}

/** @throws FsError ENOENT when the directory itself is gone; EACCES, EPERM */
export function checkCreate(cred: Credentials, dir: Inode): void {
  if (dir.nlink === 0) throw new FsError('ENOENT');
  checkAccess(cred, dir, W_OK | X_OK);
}

/** @throws FsError EACCES, EPERM (sticky directory of others, immutable, append-only) */
export function checkDelete(cred: Credentials, dir: Inode, child: Inode): void {
  checkAccess(cred, dir, W_OK | X_OK);
  if ((dir.flags & FS_APPEND_FL) !== 0 || (child.flags & (FS_APPEND_FL | FS_IMMUTABLE_FL)) !== 0) {
    throw new FsError('EPERM');
  }
  if ((dir.mode & S_ISVTX) !== 0 && !isRoot(cred) && cred.uid !== child.uid && cred.uid !== dir.uid) {
    throw new FsError('EPERM');
  }
}

/** @throws FsError EPERM unless owner or root */
export function checkOwner(cred: Credentials, inode: Inode): void {
  if (!isRoot(cred) && cred.uid !== inode.uid) throw new FsError('EPERM');
}

/** @throws FsError EPERM when immutable or append-only: no attribute may change */
export function checkChangeable(inode: Inode): void {
  if ((inode.flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) !== 0) throw new FsError('EPERM');
}

/**
 * The mode after a write, truncate or chown by `cred`: setuid is cleared, and setgid unless the group may not execute and
 * `cred` is root or of that group.
 */
export function withoutPrivileges(cred: Credentials, inode: Inode, mode: number = inode.mode): number {
  if ((mode & (S_ISUID | S_ISGID)) === 0 || isDirectory(mode)) return mode;
  const keepsGroup = (mode & S_IXGRP) === 0 && (isRoot(cred) || inGroup(cred, inode.gid));
  return mode & ~S_ISUID & ~(keepsGroup ? 0 : S_ISGID);
}

/** Owner, group and mode of what `cred` makes in `dir` (setgid directories hand their group on). */
export function ownershipIn(
  cred: Credentials,
  dir: Inode,
  mode: number,
): { readonly uid: number; readonly gid: number; readonly mode: number } {
  if ((dir.mode & S_ISGID) === 0) return { uid: cred.uid, gid: cred.gid, mode };
  const { gid } = dir;
  if (isDirectory(mode)) return { uid: cred.uid, gid, mode: mode | S_ISGID };
  const strip = (mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP) && !isRoot(cred) && !inGroup(cred, gid);
  return { uid: cred.uid, gid, mode: strip ? mode & ~S_ISGID : mode };
}
