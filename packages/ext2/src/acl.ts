/**
 * POSIX ACLs: the form that system calls pass (version 2, eight bytes an entry) and the form that ext2 stores (version 1, four
 * bytes for entries that name nobody).
 */
import { corrupt, FsError } from '@iomap/io';

const WIRE_VERSION = 2;
const DISK_VERSION = 1;
const TAG_USER_OBJ = 0x01;
const TAG_USER = 0x02;
const TAG_GROUP_OBJ = 0x04;
const TAG_GROUP = 0x08;
const TAG_MASK = 0x10;
const TAG_OTHER = 0x20;
const NO_ID = 0xffff_ffff;

export interface AclEntry {
  readonly tag: number;
  readonly perm: number;
  /** Of a named user or group, else 0xffffffff. */
  readonly id: number;
}

const isNamed = (tag: number): boolean => tag === TAG_USER || tag === TAG_GROUP;
const isTag = (tag: number): boolean =>
  isNamed(tag) || tag === TAG_USER_OBJ || tag === TAG_GROUP_OBJ || tag === TAG_MASK || tag === TAG_OTHER;
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @throws FsError EUCLEAN */
export function decodeDiskAcl(bytes: Uint8Array): AclEntry[] {
  const view = viewOf(bytes);
  if (bytes.length < 4 || view.getUint32(0, true) !== DISK_VERSION) throw corrupt('ACL: unknown version');
  const entries: AclEntry[] = [];
  for (let at = 4; at < bytes.length; ) {
    if (at + 4 > bytes.length) throw corrupt('ACL: an entry is cut short');
    const tag = view.getUint16(at, true);
    const perm = view.getUint16(at + 2, true);
    if (!isTag(tag)) throw corrupt('ACL: unknown kind of entry');
    const length = isNamed(tag) ? 8 : 4;
    if (at + length > bytes.length) throw corrupt('ACL: an entry is cut short');
    entries.push({ tag, perm, id: isNamed(tag) ? view.getUint32(at + 4, true) : NO_ID });
    at += length;
  }
  return entries;
}

export function encodeDiskAcl(entries: readonly AclEntry[]): Uint8Array {
  const length = entries.reduce((sum, { tag }) => sum + (isNamed(tag) ? 8 : 4), 4);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  view.setUint32(0, DISK_VERSION, true);
  let at = 4;
  for (const { tag, perm, id } of entries) {
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, perm, true);
    if (isNamed(tag)) view.setUint32(at + 4, id, true);
    at += isNamed(tag) ? 8 : 4;
  }
  return bytes;
}

/** @throws FsError EINVAL, EOPNOTSUPP (another version) */
export function decodeWireAcl(bytes: Uint8Array): AclEntry[] {
  const view = viewOf(bytes);
  if (bytes.length < 4 || (bytes.length - 4) % 8 !== 0) throw new FsError('EINVAL', { why: 'ACL of a wrong length' });
  if (view.getUint32(0, true) !== WIRE_VERSION) throw new FsError('EOPNOTSUPP', { why: 'ACL of an unknown version' });
  const entries: AclEntry[] = [];
  for (let at = 4; at < bytes.length; at += 8) {
    const tag = view.getUint16(at, true);
    const perm = view.getUint16(at + 2, true);
    if (!isTag(tag) || perm > 7) throw new FsError('EINVAL', { why: 'bad ACL entry' });
    entries.push({ tag, perm, id: isNamed(tag) ? view.getUint32(at + 4, true) : NO_ID });
  }
  return entries;
}

export function encodeWireAcl(entries: readonly AclEntry[]): Uint8Array {
  const bytes = new Uint8Array(4 + entries.length * 8);
  const view = viewOf(bytes);
  view.setUint32(0, WIRE_VERSION, true);
  entries.forEach(({ tag, perm, id }, i) => {
    view.setUint16(4 + i * 8, tag, true);
    view.setUint16(6 + i * 8, perm, true);
    view.setUint32(8 + i * 8, id, true);
  });
  return bytes;
}

/**
 * The permission bits that an access ACL says, and whether it says no more than they do (then none is stored).
 * @throws FsError EINVAL when an entry that every ACL has is missing
 */
export function modeOfAcl(entries: readonly AclEntry[]): { readonly bits: number; readonly isMinimal: boolean } {
  const perm = (tag: number): number | undefined => entries.find((entry) => entry.tag === tag)?.perm;
  const user = perm(TAG_USER_OBJ);
  const group = perm(TAG_GROUP_OBJ);
  const other = perm(TAG_OTHER);
  if (user === undefined || group === undefined || other === undefined) throw new FsError('EINVAL', { why: 'incomplete ACL' });
  const mask = perm(TAG_MASK);
  if (mask === undefined && entries.some(({ tag }) => isNamed(tag))) throw new FsError('EINVAL', { why: 'ACL without a mask' });
  return { bits: user * 64 + (mask ?? group) * 8 + other, isMinimal: entries.length === 3 };
}

/**
 * What a new inode gets of its directory's default ACL, by the rules of Linux's `posix_acl_create`: no entry grants more than
 * the mode asked for, and the mode then says what the ACL does.
 * @throws FsError EINVAL when an entry that every ACL has is missing
 */
export function createAcl(
  entries: readonly AclEntry[], asked: number,
): { readonly entries: AclEntry[]; readonly mode: number; readonly isMinimal: boolean } {
  const hasMask = entries.some(({ tag }) => tag === TAG_MASK);
  const masked = entries.map((entry) => {
    if (entry.tag === TAG_USER_OBJ) return { ...entry, perm: entry.perm & (asked >> 6) & 7 };
    if (entry.tag === TAG_OTHER) return { ...entry, perm: entry.perm & asked & 7 };
    if (entry.tag === (hasMask ? TAG_MASK : TAG_GROUP_OBJ)) return { ...entry, perm: entry.perm & (asked >> 3) & 7 };
    return entry;
  });
  const { bits, isMinimal } = modeOfAcl(masked);
  return { entries: masked, mode: (asked & ~0o777) | bits, isMinimal };
}

/** The ACL after a chmod: owner, other, and the mask (the group where there is none) take the new bits. */
export function chmodAcl(entries: readonly AclEntry[], mode: number): AclEntry[] {
  const hasMask = entries.some(({ tag }) => tag === TAG_MASK);
  return entries.map((entry) => {
    if (entry.tag === TAG_USER_OBJ) return { ...entry, perm: (mode >> 6) & 7 };
    if (entry.tag === TAG_OTHER) return { ...entry, perm: mode & 7 };
    if (entry.tag === (hasMask ? TAG_MASK : TAG_GROUP_OBJ)) return { ...entry, perm: (mode >> 3) & 7 };
    return entry;
  });
}
