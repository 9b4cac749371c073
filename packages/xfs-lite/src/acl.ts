/** POSIX ACLs: from the form that XFS stores (big-endian, twelve bytes an entry) to the one that system calls pass. */
import { corrupt } from '@iomap/io';
import type { Name } from '@iomap/vfs';

/** Names in the root namespace, and what Linux presents them as. */
export const ACL_NAMES: ReadonlyMap<Name, Name> = new Map([
  ['SGI_ACL_FILE', 'system.posix_acl_access'],
  ['SGI_ACL_DEFAULT', 'system.posix_acl_default'],
]);

const WIRE_VERSION = 2;
const NO_ID = 0xffff_ffff;
const TAG_USER = 0x02;
const TAG_GROUP = 0x08;
const TAGS = new Set([0x01, TAG_USER, 0x04, TAG_GROUP, 0x10, 0x20]);

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
