/**
 * Extended attributes: inline, in one leaf, in leaves under a hash tree; values beside the name or in blocks of their own.
 *
 * Linux's view: a flag is the namespace (none = `user.`, ROOT = `trusted.`, SECURE = `security.`); parent pointers are not
 * shown; the two ACLs are `trusted.` attributes that also appear as `system.posix_acl_*`.
 */
import { corrupt, FsError, type Io } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import { ACL_NAMES, wireAcl } from './acl.js';
import { daHash, daLookup, daNext, lowerBound, type DaLeaf } from './da-tree.js';
import { isHole, needTree, type DirBlock } from './dir-blocks.js';
import type { MapRun } from './extents.js';
import { mapFork, type Fork } from './fork.js';
import type { XfsInode } from './inode.js';
import { FORMAT } from './ondisk.js';
import { ATTR, ATTR_LEAF, ATTR_VALUE_MAX, AttrRemote, DA_MAGIC } from './ondisk-trees.js';
import { checkOwner } from './verify.js';
import type { Volume } from './volume.js';

/** Where a value is. */
interface Found {
  /** A copy of the value, when it lies beside its name. */
  readonly value: Uint8Array | undefined;
  /** Else its first block in the fork, and its length. */
  readonly block: number;
  readonly length: number;
}

const NAMESPACE_BITS = ATTR.ROOT | ATTR.SECURE | ATTR.PARENT;
const HOPS_MAX = 4096;
/** Leaves of one inode's attributes: what a 32-bit fork can address is far more than anybody makes. */
const LEAVES_MAX = 1_000_000;

const bad = (inode: XfsInode, why: string, field: string): FsError => corrupt(why, { ino: inode.ino, field });

const latin1 = (bytes: Uint8Array, from: number, length: number): Name => {
  let name = '';
  for (let i = from; i < from + length; i++) name += String.fromCharCode(bytes[i] ?? 0);
  return name;
};

/** `user.a` into the flag and "a"; undefined = a namespace that XFS does not have. */
export function splitName(name: Name): { readonly flags: number; readonly raw: Name } | undefined {
  const dot = name.indexOf('.');
  const raw = name.slice(dot + 1);
  switch (name.slice(0, dot)) {
    case 'user':
      return { flags: 0, raw };
    case 'trusted':
      return { flags: ATTR.ROOT, raw };
    case 'security':
      return { flags: ATTR.SECURE, raw };
    default:
      return undefined;
  }
}

/** The names that Linux lists for one attribute. */
function namesOf(flags: number, raw: Name): Name[] {
  if ((flags & (ATTR.PARENT | ATTR.INCOMPLETE)) !== 0) return [];
  if ((flags & ATTR.ROOT) !== 0) {
    const acl = ACL_NAMES.get(raw);
    return acl === undefined ? [`trusted.${raw}`] : [acl, `trusted.${raw}`];
  }
  return [(flags & ATTR.SECURE) !== 0 ? `security.${raw}` : `user.${raw}`];
}

// Inline ---------------------------------------------------------------------------------------------------------------------

function eachInline(inode: XfsInode, fork: Fork, visit: (raw: Name, flags: number, from: number, length: number) => boolean): void {
  const { view, bytes } = fork;
  if (bytes.length < 4) throw bad(inode, 'inline attributes without a head', 'totsize');
  const total = view.getUint16(0);
  const count = view.getUint8(2);
  if (total < 4 || total > bytes.length) throw bad(inode, `inline attributes of ${total} bytes`, 'totsize');
  let at = 4;
  for (let i = 0; i < count; i++) {
    const nameLength = at + 3 <= total ? view.getUint8(at) : 0;
    const valueLength = nameLength === 0 ? 0 : view.getUint8(at + 1);
    const end = at + 3 + nameLength + valueLength;
    if (nameLength === 0 || end > total) throw bad(inode, 'an inline attribute is cut short', 'namelen');
    if (!visit(latin1(bytes, at + 3, nameLength), view.getUint8(at + 2), at + 3 + nameLength, valueLength)) return;
    at = end;
  }
}

// Leaves ---------------------------------------------------------------------------------------------------------------------

interface Leaf {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly entries: number;
  readonly count: number;
}

function leafOf(vol: Volume, inode: XfsInode, block: DirBlock): Leaf {
  const v = vol.info.v5 ? 1 : 0;
  const { view, bytes } = block;
  if (view.getUint16(8) !== DA_MAGIC.attr[v]) throw bad(inode, 'no attribute leaf where one should be', 'magic');
  const entries = ATTR_LEAF.entries[v];
  const count = view.getUint16(ATTR_LEAF.count[v]);
  if (entries + count * 8 > bytes.length) throw bad(inode, `${count} attributes in a leaf`, 'count');
  return { view, bytes, entries, count };
}

interface LeafAttr {
  readonly flags: number;
  readonly nameAt: number;
  readonly nameLength: number;
  readonly valueAt: number;
  readonly valueLength: number;
  readonly valueBlock: number;
}

function leafAttr(inode: XfsInode, { view, bytes, entries, count }: Leaf, index: number): LeafAttr {
  const at = view.getUint16(entries + index * 8 + 4);
  const flags = view.getUint8(entries + index * 8 + 6);
  const isLocal = (flags & ATTR.LOCAL) !== 0;
  const head = isLocal ? 3 : 9;
  if (at < entries + count * 8 || at + head > bytes.length) throw bad(inode, 'an attribute lies outside its leaf', 'nameidx');
  const nameLength = view.getUint8(at + head - 1);
  const valueLength = isLocal ? view.getUint16(at) : view.getUint32(at + 4);
  const nameAt = at + head;
  const end = nameAt + nameLength + (isLocal ? valueLength : 0);
  if (nameLength === 0 || end > bytes.length) throw bad(inode, 'an attribute is cut short', 'namelen');
  return { flags, nameAt, nameLength, valueAt: nameAt + nameLength, valueLength, valueBlock: isLocal ? -1 : view.getUint32(at) };
}

/** Looks through one leaf: found, 0 = not here, -1 = maybe in the next. */
function searchLeaf(inode: XfsInode, leaf: Leaf, hash: number, wanted: { flags: number; raw: Name }): Found | 0 | -1 {
  const { view, bytes, entries, count } = leaf;
  for (let i = lowerBound(bytes, entries, count, hash); i < count; i++) {
    if (view.getUint32(entries + i * 8) !== hash) return 0;
    const attr = leafAttr(inode, leaf, i);
    if ((attr.flags & NAMESPACE_BITS) !== wanted.flags || (attr.flags & ATTR.INCOMPLETE) !== 0) continue;
    if (latin1(bytes, attr.nameAt, attr.nameLength) !== wanted.raw) continue;
    const value = attr.valueBlock < 0 ? bytes.slice(attr.valueAt, attr.valueAt + attr.valueLength) : undefined;
    return { value, block: attr.valueBlock, length: attr.valueLength };
  }
  return -1;
}

/** The attribute: 0 = none, undefined = a block is missing. */
function find(vol: Volume, inode: XfsInode, wanted: { flags: number; raw: Name }): Found | 0 | undefined {
  const fork = inode.attr;
  if (fork === undefined) return 0;
  if (fork.format === FORMAT.LOCAL) {
    let found: Found | 0 = 0;
    eachInline(inode, fork, (raw, flags, from, length) => {
      if (raw !== wanted.raw || (flags & NAMESPACE_BITS) !== wanted.flags) return true;
      found = { value: fork.bytes.slice(from, from + length), block: -1, length };
      return false;
    });
    return found;
  }
  if (fork.format === FORMAT.EXTENTS && fork.extentCount === 0) return 0;
  const hash = daHash(wanted.raw);
  let leaf = daLookup(vol, inode, fork, 0, hash);
  for (let hops = 0; leaf !== undefined && hops < HOPS_MAX; hops++) {
    const found = searchLeaf(inode, leafOf(vol, inode, leaf.block), hash, wanted);
    if (found !== -1) return found;
    const next = daNext(vol, inode, fork, leaf);
    if (next === 0) return 0;
    leaf = next;
  }
  if (leaf === undefined) return undefined;
  throw bad(inode, 'a hash goes on through too many leaves', 'forw');
}

// Remote values ----------------------------------------------------------------------------------------------------------------

/** Waits on: reads of the value's blocks. @throws FsError EUCLEAN, EBADMSG, EIO */
function* remoteValue(vol: Volume, inode: XfsInode, fork: Fork, found: Found): Io<Uint8Array> {
  const { blockSize, v5 } = vol.info;
  if (found.length > ATTR_VALUE_MAX) throw bad(inode, `an attribute of ${found.length} bytes`, 'valuelen');
  const value = new Uint8Array(found.length);
  const head = v5 ? AttrRemote.size : 0;
  const run: MapRun = { block: -1, count: 0, unwritten: false };
  let done = 0;
  for (let i = 0; done < value.length; i++) {
    const part = Math.min(blockSize - head, value.length - done);
    const buf = yield* vol.reading(() => {
      if (!mapFork(vol, inode.ino, fork, found.block + i, run)) return undefined;
      if (run.block < 0) throw bad(inode, 'a remote value in a hole', 'valueblk');
      return vol.needFsb(run.block, vol.ops.attrRemote);
    });
    if (v5) {
      const at = AttrRemote.offsets;
      checkOwner(buf.view.getUint32(at.rm_owner) * 2 ** 32 + buf.view.getUint32(at.rm_owner + 4), inode.ino, buf.pos, 'remote attribute block');
      if (buf.view.getUint32(at.rm_offset) !== done || buf.view.getUint32(at.rm_bytes) !== part) {
        throw bad(inode, 'a block of another part of a value', 'rm_offset');
      }
    }
    value.set(buf.bytes.subarray(head, head + part), done);
    done += part;
  }
  return value;
}

// What the driver offers ---------------------------------------------------------------------------------------------------------

/** @throws FsError ENODATA, EOPNOTSUPP (namespace), EUCLEAN, EBADMSG */
export function* getXattr(vol: Volume, inode: XfsInode, name: Name): Io<Uint8Array> {
  for (const [raw, shown] of ACL_NAMES) {
    if (name === shown) return wireAcl(yield* getRaw(vol, inode, { flags: ATTR.ROOT, raw }));
  }
  const wanted = splitName(name);
  if (wanted === undefined) throw new FsError('EOPNOTSUPP');
  return yield* getRaw(vol, inode, wanted);
}

function* getRaw(vol: Volume, inode: XfsInode, wanted: { flags: number; raw: Name }): Io<Uint8Array> {
  const found = yield* vol.reading(() => find(vol, inode, wanted));
  if (found === 0) throw new FsError('ENODATA');
  if (found.value !== undefined) return found.value;
  return inode.attr === undefined ? new Uint8Array(0) : yield* remoteValue(vol, inode, inode.attr, found);
}

/** All names, in the order of the format. @throws FsError EUCLEAN, EBADMSG, EIO */
export function* listXattr(vol: Volume, inode: XfsInode): Io<Name[]> {
  const names: Name[] = [];
  const fork = inode.attr;
  if (fork === undefined) return names;
  if (fork.format === FORMAT.LOCAL) {
    eachInline(inode, fork, (raw, flags) => {
      names.push(...namesOf(flags, raw));
      return true;
    });
    return names;
  }
  if (fork.format === FORMAT.EXTENTS && fork.extentCount === 0) return names;
  const seen = new Set<number>();
  let leaf: DaLeaf | 0 = yield* vol.reading(() => daLookup(vol, inode, fork, 0, 0));
  while (leaf !== 0) {
    if (seen.has(leaf.fileBlock) || seen.size > LEAVES_MAX) throw bad(inode, 'attribute leaves in a loop', 'forw');
    seen.add(leaf.fileBlock);
    const entries = leafOf(vol, inode, leaf.block);
    for (let i = 0; i < entries.count; i++) {
      const attr = leafAttr(inode, entries, i);
      names.push(...namesOf(attr.flags, latin1(entries.bytes, attr.nameAt, attr.nameLength)));
    }
    const at: DaLeaf = leaf;
    leaf = yield* vol.reading(() => {
      // Its buffer may have gone while another was read.
      const block = needTree(vol, inode, fork, at.fileBlock);
      return block === undefined || isHole(block) ? undefined : daNext(vol, inode, fork, { ...at, block });
    });
  }
  return names;
}
