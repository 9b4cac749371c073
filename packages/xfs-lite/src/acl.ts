/** POSIX ACLs: from the form that XFS stores (big-endian, twelve bytes an entry) to the one that system calls pass. */
import { corrupt, FsError } from '@iomap/io';
import type { Name } from '@iomap/vfs';

/** Names in the root namespace, and what Linux presents them as. */
export const ACL_NAMES: ReadonlyMap<Name, Name> = new Map([
  ['SGI_ACL_FILE', 'system.posix_acl_access'],
  ['SGI_ACL_DEFAULT', 'system.posix_acl_default'],
]);

const WIRE_VERSION = 2;
const NO_ID = 0xffff_ffff;
const TAG_USER_OBJ = 0x01;
const TAG_USER = 0x02;
const TAG_GROUP_OBJ = 0x04;
const TAG_GROUP = 0x08;
const TAG_MASK = 0x10;
const TAG_OTHER = 0x20;
const TAGS = new Set([TAG_USER_OBJ, TAG_USER, TAG_GROUP_OBJ, TAG_GROUP, TAG_MASK, TAG_OTHER]);

/** @throws FsError EUCLEAN */
export function wireAcl(stored: Uint8Array): Uint8Array {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const count = stored.length < 4 ? -1 : view.getUint32(0);
  if (count < 0 || stored.length !== 4 + count * 12) throw corrupt('an ACL whose length does not fit its count', { field: 'acl_cnt' });
  const wire = new Uint8Array(4 + count * 8);
  const out = new DataView(wire.buffer);
  out.setUint32(0, WIRE_VERSION, true);
  for (let i = 0; i < count; i++) {
    const at = 4 + i * 12;
    const tag = view.getUint32(at);
    if (!TAGS.has(tag)) throw corrupt('an ACL entry of no known kind', { field: 'ae_tag' });
    out.setUint16(4 + i * 8, tag, true);
    out.setUint16(6 + i * 8, view.getUint16(at + 8), true);
    out.setUint32(8 + i * 8, tag === TAG_USER || tag === TAG_GROUP ? view.getUint32(at + 4) : NO_ID, true);
  }
  return wire;
}

interface WireEntry {
  readonly tag: number;
  readonly perm: number;
  readonly id: number;
}

/** @throws FsError EINVAL, EOPNOTSUPP (another version) */
function wireEntries(wire: Uint8Array): WireEntry[] {
  const view = new DataView(wire.buffer, wire.byteOffset, wire.byteLength);
  if (wire.length < 4 || (wire.length - 4) % 8 !== 0) throw new FsError('EINVAL', { why: 'ACL of a wrong length' });
  if (view.getUint32(0, true) !== WIRE_VERSION) throw new FsError('EOPNOTSUPP', { why: 'ACL of an unknown version' });
  return Array.from({ length: (wire.length - 4) / 8 }, (_, i) => {
    const at = 4 + i * 8;
    const entry = { tag: view.getUint16(at, true), perm: view.getUint16(at + 2, true), id: view.getUint32(at + 4, true) };
    if (!TAGS.has(entry.tag) || entry.perm > 7) throw new FsError('EINVAL', { why: 'bad ACL entry' });
    return entry;
  });
}

/** The form that XFS stores. @throws FsError EINVAL, EOPNOTSUPP (another version) */
export function storedAcl(wire: Uint8Array): Uint8Array {
  const entries = wireEntries(wire);
  const stored = new Uint8Array(4 + entries.length * 12);
  const out = new DataView(stored.buffer);
  out.setUint32(0, entries.length);
  entries.forEach(({ tag, perm, id }, i) => {
    const at = 4 + i * 12;
    out.setUint32(at, tag);
    out.setUint32(at + 4, tag === TAG_USER || tag === TAG_GROUP ? id : NO_ID);
    out.setUint16(at + 8, perm);
  });
  return stored;
}

/**
 * The permission bits that an access ACL says, and whether it says no more than they do (then none is stored).
 * @throws FsError EINVAL when an entry that every ACL has is missing
 */
export function modeOfAcl(wire: Uint8Array): { readonly bits: number; readonly isMinimal: boolean } {
  const entries = wireEntries(wire);
  const perm = (tag: number): number | undefined => entries.find((entry) => entry.tag === tag)?.perm;
  const user = perm(TAG_USER_OBJ);
  const group = perm(TAG_GROUP_OBJ);
  const other = perm(TAG_OTHER);
  if (user === undefined || group === undefined || other === undefined) throw new FsError('EINVAL', { why: 'incomplete ACL' });
  const mask = perm(TAG_MASK);
  if (mask === undefined && entries.length > 3) throw new FsError('EINVAL', { why: 'ACL without a mask' });
  return { bits: user * 64 + (mask ?? group) * 8 + other, isMinimal: entries.length === 3 };
}
