/**
 * Extended attributes of a new inode: how they are named and kept, inline, in one leaf, or in leaves under a hash tree, with large values
 * in blocks of their own.
 */
import { divCeil, FsError, roundUp } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import { ACL_NAMES, modeOfAcl, storedAcl } from '../acl.js';
import { splitName } from '../attr.js';
import { daHash } from '../da-tree.js';
import { ATTR, ATTR_LEAF, ATTR_VALUE_MAX, AttrRemote, Da3BlkInfo, DA_MAGIC } from '../ondisk-trees.js';
import { growTree, viewOf, type NewBlock, type NewLeaf } from './hash-tree.js';

const NAME_MAX = 255;
/** Longer names or values are in leaves. */
const INLINE_LENGTH_MAX = 255;
const INLINE_HEAD_BYTES = 4;
const LEAF_HEAD_BYTES = ATTR_LEAF.entries[1];
const ACCESS_ACL = 'SGI_ACL_FILE';

export interface AttrItem {
  /** Its namespace, one of `ATTR`. */
  readonly flags: number;
  readonly raw: Name;
  readonly value: Uint8Array;
  readonly hash: number;
}

/** An inode's attributes as they are stored, by name. */
export interface StoredAttributes {
  readonly items: readonly AttrItem[];
  /** The mode; an access ACL sets it. */
  readonly mode: number;
}

/**
 * Translates attributes from Linux's view.
 * @param failed called for one that the format cannot hold; may throw
 */
export function storeAttributes(
  inode: { readonly mode: number; readonly isDirectory: boolean },
  xattrs: ReadonlyMap<Name, Uint8Array>,
  failed: (name: Name, error: FsError) => void,
): StoredAttributes {
  const items = new Map<string, AttrItem>();
  let { mode } = inode;
  for (const [name, value] of [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    try {
      const acl = [...ACL_NAMES].find(([, shown]) => shown === name)?.[0];
      if (acl !== undefined) {
        if (acl !== ACCESS_ACL && !inode.isDirectory) throw new FsError('EACCES', { why: 'a default ACL of what is no directory' });
        const stored = storedAcl(value);
        if (acl === ACCESS_ACL) {
          const { bits, isMinimal } = modeOfAcl(value);
          mode = mode - (mode % 0o1000) + bits;
          if (isMinimal) continue;
        }
        items.set(`${ATTR.ROOT}${acl}`, { flags: ATTR.ROOT, raw: acl, value: stored, hash: daHash(acl) });
        continue;
      }
      const found = splitName(name);
      if (found === undefined) throw new FsError('EOPNOTSUPP', { why: 'no such class of attributes' });
      if (found.raw === '') throw new FsError('EINVAL', { why: 'an attribute without a name' });
      if (found.raw.length > NAME_MAX) throw new FsError('ERANGE', { why: 'attribute name too long' });
      if (value.length > ATTR_VALUE_MAX) throw new FsError('E2BIG', { why: `a value of ${value.length} bytes` });
      // Another XFS shows its ACLs under these names too, in its own form.
      if (found.flags === ATTR.ROOT && ACL_NAMES.has(found.raw) && xattrs.has(ACL_NAMES.get(found.raw) ?? '')) continue;
      items.set(`${found.flags}${found.raw}`, { ...found, value, hash: daHash(found.raw) });
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      failed(name, error);
    }
  }
  return { items: [...items.values()], mode };
}

// Inline -------------------------------------------------------------------------------------------------------------------

/** Bytes that attributes take inside an inode; -1 when they cannot be there. */
export function inlineAttrBytes(items: readonly AttrItem[]): number {
  let bytes = INLINE_HEAD_BYTES;
  if (items.length > 255) return -1;
  for (const { raw, value } of items) {
    if (value.length > INLINE_LENGTH_MAX) return -1;
    bytes += 3 + raw.length + value.length;
  }
  return bytes;
}

function putName(bytes: Uint8Array, at: number, raw: Name): void {
  for (let i = 0; i < raw.length; i++) bytes[at + i] = raw.charCodeAt(i);
}

export function putInlineAttrs(bytes: Uint8Array, at: number, items: readonly AttrItem[]): void {
  const total = inlineAttrBytes(items);
  const view = viewOf(bytes);
  view.setUint16(at, total);
  view.setUint8(at + 2, items.length);
  let to = at + INLINE_HEAD_BYTES;
  for (const { raw, value, flags } of items) {
    view.setUint8(to, raw.length);
    view.setUint8(to + 1, value.length);
    view.setUint8(to + 2, flags);
    putName(bytes, to + 3, raw);
    bytes.set(value, to + 3 + raw.length);
    to += 3 + raw.length + value.length;
  }
}

// In blocks ----------------------------------------------------------------------------------------------------------------

/** A value in blocks of its own, from file block `first` of the fork. */
export interface RemoteValue {
  readonly first: number;
  readonly value: Uint8Array;
}

export interface NewAttributes {
  readonly blocks: readonly NewBlock[];
  /** By their place in the fork, behind all `blocks`. */
  readonly values: readonly RemoteValue[];
}

/** Blocks of a value. */
export const valueBlocks = (length: number, blockSize: number): number => divCeil(length, blockSize - AttrRemote.size);

interface Sized {
  readonly item: AttrItem;
  readonly isLocal: boolean;
  readonly bytes: number;
}

/** What an attribute takes in a leaf beside its entry: name and value, or name and where the value is. */
function sized(item: AttrItem, blockSize: number): Sized {
  const local = roundUp(3 + item.raw.length + item.value.length, 4);
  const isLocal = local < blockSize * 0.75;
  return { item, isLocal, bytes: isLocal ? local : roundUp(11 + item.raw.length, 4) };
}

/** Fills leaves in the order of the hashes: each as full as it gets. */
function splitLeaves(items: readonly Sized[], blockSize: number): Sized[][] {
  const leaves: Sized[][] = [];
  let leaf: Sized[] = [];
  let used = LEAF_HEAD_BYTES;
  for (const one of items) {
    if (used + 8 + one.bytes > blockSize) {
      leaves.push(leaf);
      leaf = [];
      used = LEAF_HEAD_BYTES;
    }
    leaf.push(one);
    used += 8 + one.bytes;
  }
  leaves.push(leaf);
  return leaves;
}

/** How many blocks attributes take that are not inline. */
export function attrBlocks(items: readonly AttrItem[], blockSize: number): number {
  const all = items.map((item) => sized(item, blockSize));
  let blocks = splitLeaves(all, blockSize).length;
  for (let level = blocks; level > 1; blocks += level) level = divCeil(level, Math.floor((blockSize - 64) / 8));
  for (const { item, isLocal } of all) if (!isLocal) blocks += valueBlocks(item.value.length, blockSize);
  // Leaves are filled in another order, which may take some more.
  return blocks + (blocks > 1 ? 1 + Math.floor(blocks / 8) : 0);
}

/** Makes leaves and what is above them; where remote values go is known by then. */
export function makeAttributes(items: readonly AttrItem[], blockSize: number): NewAttributes {
  const sorted = items.map((item) => sized(item, blockSize)).sort((a, b) => a.item.hash - b.item.hash);
  const leaves = splitLeaves(sorted, blockSize);
  // Nodes take places between the leaves and the values.
  let next = leaves.length;
  for (let level = leaves.length; level > 1; next += level) level = divCeil(level, Math.floor((blockSize - 64) / 8));
  const values: RemoteValue[] = [];
  const made = leaves.map((leaf): NewLeaf => {
    const bytes = new Uint8Array(blockSize);
    const placed = leaf.map((one) => {
      if (one.isLocal) return { ...one, first: -1 };
      const first = next;
      values.push({ first, value: one.item.value });
      next += valueBlocks(one.item.value.length, blockSize);
      return { ...one, first };
    });
    putLeaf(bytes, placed);
    return { bytes, hash: leaf.at(-1)?.item.hash ?? 0 };
  });
  return { blocks: growTree(made, 0, 1), values };
}

function putLeaf(bytes: Uint8Array, leaf: readonly (Sized & { readonly first: number })[]): void {
  const view = viewOf(bytes);
  let used = bytes.length;
  leaf.forEach(({ item, isLocal, bytes: length, first }, i) => {
    used -= length;
    const entry = LEAF_HEAD_BYTES + i * 8;
    view.setUint32(entry, item.hash);
    view.setUint16(entry + 4, used);
    view.setUint8(entry + 6, item.flags + (isLocal ? ATTR.LOCAL : 0));
    const head = isLocal ? 3 : 9;
    if (isLocal) {
      view.setUint16(used, item.value.length);
      bytes.set(item.value, used + head + item.raw.length);
    } else {
      view.setUint32(used, first);
      view.setUint32(used + 4, item.value.length);
    }
    view.setUint8(used + head - 1, item.raw.length);
    putName(bytes, used + head, item.raw);
  });
  const free = LEAF_HEAD_BYTES + leaf.length * 8;
  view.setUint16(Da3BlkInfo.offsets.magic, DA_MAGIC.attr[1]);
  view.setUint16(ATTR_LEAF.count[1], leaf.length);
  view.setUint16(ATTR_LEAF.usedbytes[1], bytes.length - used);
  view.setUint16(ATTR_LEAF.firstused[1], used);
  view.setUint16(ATTR_LEAF.freemap[1], free);
  view.setUint16(ATTR_LEAF.freemap[1] + 2, used - free);
}
