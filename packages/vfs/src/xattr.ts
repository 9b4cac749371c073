/**
 * Extended attributes with the rules of Linux's namespaces (xattr(7)).
 *
 * `user.*` on regular files and directories only, by mode bits; `trusted.*` root's alone and hidden from others;
 * `security.*` readable by all, set by root; `system.posix_acl_*` set by the owner. Others are EOPNOTSUPP.
 */
import { FsError, type Io } from '@iomap/io';
import type { Caller } from './core.js';
import type { Inode, Name } from './filesystem.js';
import { isDirectory, isRegular, R_OK, S_ISGID, S_ISVTX, W_OK } from './modes.js';
import { checkAccess, checkChangeable, checkOwner, inGroup, isRoot } from './permission.js';

const NAME_MAX = 255;
const VALUE_MAX = 65_536;

const ACL_ACCESS = 'system.posix_acl_access';
const isAcl = (name: Name): boolean => name === ACL_ACCESS || name === 'system.posix_acl_default';

function checkName(caller: Caller, name: Name): void {
  if (name === '' || name.length > NAME_MAX) throw new FsError('ERANGE');
  if (!caller.core.fs.traits.xattrs) throw new FsError('EOPNOTSUPP');
  if (/^(user|trusted|security)\.$/.test(name)) throw new FsError('EINVAL');
  const isKnown = /^(user|trusted|security)\../s.test(name) || isAcl(name);
  if (!isKnown || name.includes('\0')) throw new FsError('EOPNOTSUPP');
}

function checkRead(caller: Caller, inode: Inode, name: Name): void {
  const { cred } = caller;
  if (name.startsWith('trusted.') && !isRoot(cred)) throw new FsError('ENODATA');
  if (!name.startsWith('user.')) return;
  if (!isRegular(inode.mode) && !isDirectory(inode.mode)) throw new FsError('ENODATA');
  checkAccess(cred, inode, R_OK);
}

function checkWrite(caller: Caller, inode: Inode, name: Name): void {
  const { cred, core } = caller;
  core.checkWritable();
  checkChangeable(inode);
  if (name.startsWith('system.')) {
    checkOwner(cred, inode);
  } else if (name.startsWith('user.')) {
    if (!isRegular(inode.mode) && !isDirectory(inode.mode)) throw new FsError('EPERM');
    if (isDirectory(inode.mode) && (inode.mode & S_ISVTX) !== 0) checkOwner(cred, inode);
    checkAccess(cred, inode, W_OK);
  } else if (!isRoot(cred)) {
    throw new FsError('EPERM');
  }
}

/**
 * The value of an attribute. `sizeMax`: the caller's room in bytes.
 * @throws FsError ENODATA, EOPNOTSUPP, ERANGE (name too long, value above `sizeMax`), EACCES
 */
export function* getxattrAt(caller: Caller, inode: Inode, name: Name, sizeMax = VALUE_MAX): Io<Uint8Array> {
  checkName(caller, name);
  checkRead(caller, inode, name);
  if (!inode.lock.tryRead()) yield* inode.lock.read();
  try {
    const value = yield* caller.core.fs.getxattr(inode, name);
    if (value.length > sizeMax) throw new FsError('ERANGE');
    return value;
  } finally {
    inode.lock.unlockRead();
  }
}

/**
 * Sets an attribute. `create`: EEXIST when it is there; `replace`: ENODATA when it is not.
 * @throws FsError EOPNOTSUPP, ERANGE (name), E2BIG (value), ENOSPC, EPERM, EACCES, EROFS
 */
export function* setxattrAt(
  caller: Caller,
  inode: Inode,
  name: Name,
  value: Uint8Array,
  mode: 'any' | 'create' | 'replace' = 'any',
): Io<void> {
  checkName(caller, name);
  if (value.length > VALUE_MAX) throw new FsError('E2BIG');
  checkWrite(caller, inode, name);
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  try {
    yield* caller.core.fs.setxattr(inode, name, value, mode, caller.core.now());
    // As chmod(2): who is not of the group cannot keep its setgid through a change of the mode.
    const dropsGroup = name === ACL_ACCESS && (inode.mode & S_ISGID) !== 0 && !isRoot(caller.cred) && !inGroup(caller.cred, inode.gid);
    if (dropsGroup) yield* caller.core.fs.setattr(inode, { mode: inode.mode & ~S_ISGID });
  } finally {
    // An ACL is a right too.
    if (isDirectory(inode.mode)) caller.core.dentries.changed();
    inode.lock.unlockWrite();
  }
}

/** Removes an attribute. @throws FsError ENODATA, EOPNOTSUPP, EPERM, EACCES, EROFS */
export function* removexattrAt(caller: Caller, inode: Inode, name: Name): Io<void> {
  checkName(caller, name);
  checkWrite(caller, inode, name);
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  try {
    // An ACL that is not there is no failure.
    if (isAcl(name) && !(yield* caller.core.fs.listxattr(inode)).includes(name)) return;
    yield* caller.core.fs.removexattr(inode, name, caller.core.now());
  } finally {
    // An ACL is a right too.
    if (isDirectory(inode.mode)) caller.core.dentries.changed();
    inode.lock.unlockWrite();
  }
}

/** The attributes' names; `trusted.*` for root alone. None where the format has no attributes. */
export function* listxattrAt(caller: Caller, inode: Inode): Io<Name[]> {
  if (!caller.core.fs.traits.xattrs) return [];
  if (!inode.lock.tryRead()) yield* inode.lock.read();
  try {
    const names = yield* caller.core.fs.listxattr(inode);
    return isRoot(caller.cred) ? names : names.filter((name) => !name.startsWith('trusted.'));
  } finally {
    inode.lock.unlockRead();
  }
}
