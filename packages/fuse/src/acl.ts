/**
 * POSIX ACLs where the kernel checks permissions: it asks for them (GETXATTR) and obeys them. What is left to the server is
 * that new files inherit the default ACL of their directory, in place of the umask.
 */
import type { Io } from '@iomap/io';
import { isDirectory, isSymlink, S_IFMT, type Inode } from '@iomap/vfs';
import type { Session } from './session.js';

export const ACL_ACCESS = 'system.posix_acl_access';
export const ACL_DEFAULT = 'system.posix_acl_default';

const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const TAG_USER_OBJ = 0x01;
const TAG_GROUP_OBJ = 0x04;
const TAG_MASK = 0x10;
const TAG_OTHER = 0x20;

/** What a new file gets from its directory's default ACL. */
export interface InheritedAcl {
  /** Permission bits, from the ACL and the mode that was asked for. */
  readonly bits: number;
  /** undefined = the bits say it all. */
  readonly access: Uint8Array | undefined;
  /** A new directory's own default ACL. */
  readonly defaults: Uint8Array | undefined;
}

/**
 * Applies a default ACL (as getxattr(2) gives it) to a new file's mode: entries and mode bits are cut by each other
 * (posix_acl_create(9)).
 */
export function createAcl(value: Uint8Array, mode: number): InheritedAcl {
  const acl = value.slice();
  const view = new DataView(acl.buffer, acl.byteOffset, acl.byteLength);
  let user = 7;
  let other = 7;
  let isExtended = false;
  let groupAt = -1;
  let maskAt = -1;
  for (let at = HEADER_BYTES; at + ENTRY_BYTES <= acl.length; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    const perm = view.getUint16(at + 2, true);
    if (tag === TAG_USER_OBJ) {
      user = perm & (mode >> 6);
      view.setUint16(at + 2, user, true);
    } else if (tag === TAG_OTHER) {
      other = perm & mode;
      view.setUint16(at + 2, other, true);
    } else if (tag === TAG_GROUP_OBJ) {
      groupAt = at;
    } else {
      isExtended = true;
      if (tag === TAG_MASK) maskAt = at;
    }
  }
  let group = (mode >> 3) & 7;
  const groupClassAt = maskAt >= 0 ? maskAt : groupAt;
  if (groupClassAt >= 0) {
    group &= view.getUint16(groupClassAt + 2, true);
    view.setUint16(groupClassAt + 2, group, true);
  }
  return {
    bits: (user & 7) * 64 + group * 8 + (other & 7),
    access: isExtended ? acl : undefined,
    defaults: isDirectory(mode) ? value : undefined,
  };
}

/** What a file of `mode` inherits in `dir`; undefined = nothing: the umask counts. */
export function* inheritAcl(session: Session, dir: Inode, mode: number): Io<InheritedAcl | undefined> {
  if (!session.wishes.acl || isSymlink(mode) || !isDirectory(dir.mode)) return undefined;
  const names = yield* session.vfs.listxattrAt(dir);
  if (!names.includes(ACL_DEFAULT)) return undefined;
  return createAcl(yield* session.vfs.getxattrAt(dir, ACL_DEFAULT), mode);
}

/** The mode of a new file. */
export const modeInDirectory = (acl: InheritedAcl | undefined, mode: number, umask: number): number =>
  acl === undefined ? mode & ~(umask & 0o777) : (mode & (S_IFMT | 0o7000)) | acl.bits;

/** Gives a new file what it inherits. */
export function* storeAcl(session: Session, inode: Inode, acl: InheritedAcl): Io<void> {
  if (acl.access !== undefined) yield* session.vfs.setxattrAt(inode, ACL_ACCESS, acl.access);
  if (acl.defaults !== undefined) yield* session.vfs.setxattrAt(inode, ACL_DEFAULT, acl.defaults);
}
