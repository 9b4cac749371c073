/**
 * POSIX ACLs: between the kernel's xattr form (`system.posix_acl_access`, version 2, little-endian) and the text that
 * tar archives carry (`SCHILY.acl.access`).
 */
const TAGS = { user_obj: 0x01, user: 0x02, group_obj: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
const NO_ID = 0xffffffff;

export const ACL_XATTRS = {
  'system.posix_acl_access': 'SCHILY.acl.access',
  'system.posix_acl_default': 'SCHILY.acl.default',
} as const;

interface AclEntry {
  readonly tag: number;
  readonly perm: number;
  readonly id: number;
}

/** The xattr's value as text, with numeric ids; undefined when it is no ACL of version 2. */
export function aclToText(value: Uint8Array): string | undefined {
  if (value.length < 4 || (value.length - 4) % 8 !== 0) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (view.getUint32(0, true) !== 2) return undefined;
  const words: string[] = [];
  for (let at = 4; at < value.length; at += 8) {
    const tag = view.getUint16(at, true);
    const perm = view.getUint16(at + 2, true);
    const id = view.getUint32(at + 4, true);
    const bits = `${(perm & 4) !== 0 ? 'r' : '-'}${(perm & 2) !== 0 ? 'w' : '-'}${(perm & 1) !== 0 ? 'x' : '-'}`;
    if (tag === TAGS.user_obj) words.push(`user::${bits}`);
    else if (tag === TAGS.user) words.push(`user:${id}:${bits}`);
    else if (tag === TAGS.group_obj) words.push(`group::${bits}`);
    else if (tag === TAGS.group) words.push(`group:${id}:${bits}`);
    else if (tag === TAGS.mask) words.push(`mask::${bits}`);
    else if (tag === TAGS.other) words.push(`other::${bits}`);
    else return undefined;
  }
  return words.join(',');
}

function parseEntry(word: string): AclEntry | undefined {
  const fields = word.split(':').map((field) => field.trim());
  const kind = fields[0] ?? '';
  const name = fields[1] ?? '';
  const bits = fields[2] ?? '';
  if (!/^[rwx-]{1,3}$/.test(bits)) return undefined;
  const perm = (bits.includes('r') ? 4 : 0) | (bits.includes('w') ? 2 : 0) | (bits.includes('x') ? 1 : 0);
  // star's fourth field is the number, for a name that is one only where the archive was made.
  const id = /^[0-9]+$/.test(fields[3] ?? '') ? Number(fields[3]) : /^[0-9]+$/.test(name) ? Number(name) : undefined;
  switch (kind) {
    case 'user':
    case 'u':
      if (name === '') return { tag: TAGS.user_obj, perm, id: NO_ID };
      return id === undefined ? undefined : { tag: TAGS.user, perm, id };
    case 'group':
    case 'g':
      if (name === '') return { tag: TAGS.group_obj, perm, id: NO_ID };
      return id === undefined ? undefined : { tag: TAGS.group, perm, id };
    case 'mask':
    case 'm':
      return { tag: TAGS.mask, perm, id: NO_ID };
    case 'other':
    case 'o':
      return { tag: TAGS.other, perm, id: NO_ID };
    default:
      return undefined;
  }
}

/** The text as the xattr's value; undefined when it cannot be read (a user's name without a number, say). */
export function aclFromText(text: string): Uint8Array | undefined {
  const words = text
    .split(/[,\n]/)
    .map((word) => word.replace(/#.*/, '').trim())
    .filter((word) => word !== '');
  const entries: AclEntry[] = [];
  for (const word of words) {
    const entry = parseEntry(word);
    if (entry === undefined) return undefined;
    entries.push(entry);
  }
  if (entries.length === 0) return undefined;
  // The kernel wants them in the order of their tags, then of their ids.
  entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
  const value = new Uint8Array(4 + entries.length * 8);
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  view.setUint32(0, 2, true);
  entries.forEach((entry, i) => {
    view.setUint16(4 + i * 8, entry.tag, true);
    view.setUint16(6 + i * 8, entry.perm, true);
    view.setUint32(8 + i * 8, entry.id, true);
  });
  return value;
}
