/** Extended attributes: a list of entries and their values, in a block or in an inode. Plain functions over bytes. */
import { XATTR_MAGIC } from '../ondisk.js';

/** What is wrong with a list, or undefined. */
type Fault = string | undefined;

/**
 * The hash that an entry in a block must carry: over its name (as signed or unsigned characters) and its value's words.
 */
function entryHash(
  bytes: Uint8Array,
  data: DataView,
  at: number,
  value: { offset: number; size: number },
  signed: boolean,
): number {
  const nameLength = bytes[at] ?? 0;
  let hash = 0;
  for (let i = 0; i < nameLength; i++) {
    const byte = bytes[at + 16 + i] ?? 0;
    const char = signed && byte > 127 ? byte - 256 : byte;
    hash = ((hash << 5) ^ (hash >>> 27) ^ char) >>> 0;
  }
  const words = Math.ceil(value.size / 4);
  for (let i = 0; i < words; i++) {
    hash = ((hash << 16) ^ (hash >>> 16) ^ data.getUint32(value.offset + i * 4, true)) >>> 0;
  }
  return hash;
}

/**
 * Checks the entries from `from` to a zero word; values lie in `bytes` at `valueBase` + `e_value_offs`.
 * @param area entries and values end at `area.end`
 * @param inInode a hash of zero is right there, and a name of no kind (e2fsck has it so)
 */
export function checkXattrEntries(
  bytes: Uint8Array,
  area: { from: number; valueBase: number; end: number; inInode: boolean },
): Fault {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const taken: [number, number][] = [];
  let at = area.from;
  for (;;) {
    if (at + 4 > area.end) return 'the list of attributes has no end';
    if (data.getUint32(at, true) === 0) break;
    if (at + 16 > area.end) return 'an attribute does not fit';
    const nameLength = bytes[at] ?? 0;
    const next = at + ((16 + nameLength + 3) & ~3);
    if (next + 4 > area.end) return 'a name does not fit';
    if (bytes.subarray(at + 16, at + 16 + nameLength).includes(0)) return 'a name holds a NUL';
    if ((nameLength === 0 || !area.inInode) && (bytes[at + 1] ?? 0) === 0) return 'an attribute without a name or a kind';
    if (data.getUint32(at + 4, true) !== 0) return 'a value in another block or inode';
    const size = data.getUint32(at + 8, true);
    const offset = area.valueBase + data.getUint16(at + 2, true);
    if (size > area.end - offset) return 'a value does not fit';
    if (size > 0) {
      if (offset % 4 !== area.valueBase % 4) return 'a value is not aligned';
      const padded = (size + 3) & ~3;
      if (offset + padded > area.end) return 'a value does not fit';
      taken.push([offset, offset + padded]);
    }
    const stored = data.getUint32(at + 12, true);
    if (!(area.inInode && stored === 0)) {
      const value = { offset, size };
      const right =
        entryHash(bytes, data, at, value, false) === stored || entryHash(bytes, data, at, value, true) === stored;
      if (!right) return 'an attribute hash does not match';
    }
    at = next;
  }
  taken.push([area.from, at + 4]);
  taken.sort((a, b) => a[0] - b[0]);
  for (let i = 1; i < taken.length; i++) {
    if ((taken[i]?.[0] ?? 0) < (taken[i - 1]?.[1] ?? 0)) return 'values overlap';
  }
  return undefined;
}

/** Checks an xattr block. */
export function checkXattrBlock(bytes: Uint8Array): Fault {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (data.getUint32(0, true) !== XATTR_MAGIC) return 'no xattr magic';
  if (data.getUint32(8, true) !== 1) return `h_blocks is ${data.getUint32(8, true)}`;
  return checkXattrEntries(bytes, { from: 32, valueBase: 0, end: bytes.length, inInode: false });
}

/** Checks the attributes in an inode, `bytes` being what follows its `i_extra_isize`. */
export function checkXattrInode(bytes: Uint8Array): Fault {
  if (bytes.length < 4) return undefined;
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (data.getUint32(0, true) !== XATTR_MAGIC) return undefined; // nothing there
  return checkXattrEntries(bytes, { from: 4, valueBase: 4, end: bytes.length, inInode: true });
}
