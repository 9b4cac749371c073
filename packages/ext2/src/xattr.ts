/**
 * Extended attributes of an inode: in its own area first, then in one block, which inodes with equal attributes share.
 *
 * Names are full ("user.a"); on disk a prefix is a number. The two POSIX ACL names have a number each and a value format of
 * their own (acl.ts).
 */
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io, type Timespec } from '@iomap/io';
import { chmodAcl, createAcl, decodeDiskAcl, decodeWireAcl, encodeDiskAcl, encodeWireAcl, modeOfAcl } from './acl.js';
import { allocRun, freeRun } from './balloc.js';
import { groupFirstBlock } from './geometry.js';
import { groupOfIno } from './ialloc.js';
import type { Ext2InodeInCore } from './inode.js';
import { COMPAT, Ext2XattrHeader, XATTR_MAGIC, XATTR_REFCOUNT_MAX } from './ondisk.js';
import type { Volume } from './volume.js';
import {
  decodeIbody,
  decodeXattrBlock,
  encodeIbody,
  encodeXattrBlock,
  fitsBlock,
  fitsIbody,
  type XattrItem,
} from './xattr-codec.js';

const PREFIXES: readonly (readonly [index: number, prefix: string])[] = [
  [1, 'user.'],
  [4, 'trusted.'],
  [6, 'security.'],
  [7, 'system.'],
];
const ACL_ACCESS = 'system.posix_acl_access';
const ACL_DEFAULT = 'system.posix_acl_default';
const INDEX_ACL_ACCESS = 2;
const INDEX_ACL_DEFAULT = 3;

export interface StoredName {
  readonly index: number;
  readonly name: string;
}

/** @throws FsError EOPNOTSUPP for a prefix that is not stored, EINVAL, ERANGE */
export function storedName(name: string): StoredName {
  if (name === ACL_ACCESS) return { index: INDEX_ACL_ACCESS, name: '' };
  if (name === ACL_DEFAULT) return { index: INDEX_ACL_DEFAULT, name: '' };
  for (const [index, prefix] of PREFIXES) {
    if (!name.startsWith(prefix) || index === 7) continue;
    const rest = name.slice(prefix.length);
    if (rest === '') throw new FsError('EINVAL', { why: 'an attribute without a name' });
    if (rest.length > 255 - prefix.length) throw new FsError('ERANGE', { why: 'attribute name too long' });
    return { index, name: rest };
  }
  throw new FsError('EOPNOTSUPP', { why: 'no such class of attributes' });
}

function fullName(item: StoredName): string | undefined {
  if (item.index === INDEX_ACL_ACCESS) return ACL_ACCESS;
  if (item.index === INDEX_ACL_DEFAULT) return ACL_DEFAULT;
  const prefix = PREFIXES.find(([index]) => index === item.index)?.[1];
  return prefix === undefined ? undefined : prefix + item.name;
}

const same = (a: StoredName, b: StoredName): boolean => a.index === b.index && a.name === b.name;
export const isAcl = ({ index }: StoredName): boolean => index === INDEX_ACL_ACCESS || index === INDEX_ACL_DEFAULT;

function* readXattrBlock(vol: Volume, inode: Ext2InodeInCore): Io<Buf> {
  const block = inode.fileAcl;
  if (!vol.groups.isDataRange(block, 1)) {
    throw corrupt('the attribute block is outside of the data area', { ino: inode.ino, block, field: 'i_file_acl' });
  }
  return vol.peekBlock(block) ?? (yield* vol.readBlock(block));
}

/** All attributes: those of the inode's own area, those of its block. @throws FsError EUCLEAN */
function* readItems(vol: Volume, inode: Ext2InodeInCore): Io<{ ibody: XattrItem[]; block: XattrItem[] }> {
  const ibody = decodeIbody(inode.ibody);
  if (inode.fileAcl === 0) return { ibody, block: [] };
  const buf = yield* readXattrBlock(vol, inode);
  return { ibody, block: decodeXattrBlock(buf.bytes) };
}

/** @throws FsError ENODATA */
export function* getXattr(vol: Volume, inode: Ext2InodeInCore, name: string): Io<Uint8Array> {
  const key = storedName(name);
  const { ibody, block } = yield* readItems(vol, inode);
  const item = ibody.find((one) => same(one, key)) ?? block.find((one) => same(one, key));
  if (item === undefined) throw new FsError('ENODATA');
  return isAcl(key) ? encodeWireAcl(decodeDiskAcl(item.value)) : item.value;
}

export function* listXattr(vol: Volume, inode: Ext2InodeInCore): Io<string[]> {
  if (inode.fileAcl === 0 && inode.ibody === undefined) return [];
  const { ibody, block } = yield* readItems(vol, inode);
  const names = new Set<string>();
  for (const item of [...ibody, ...block]) {
    const name = fullName(item);
    if (name !== undefined) names.add(name);
  }
  return [...names];
}

export interface XattrChange {
  readonly name: string;
  /** Undefined: remove. */
  readonly value: Uint8Array | undefined;
  readonly mode: 'any' | 'create' | 'replace';
  readonly now: Timespec;
}

/**
 * Sets or removes an attribute.
 *
 * Lock: inode, exclusive.
 * @throws FsError EEXIST, ENODATA, ENOSPC (the attributes do not fit a block), ERANGE
 */
export function* changeXattr(vol: Volume, inode: Ext2InodeInCore, change: XattrChange): Io<void> {
  const key = storedName(change.name);
  let { value } = change;
  if (value !== undefined && isAcl(key)) value = setAcl(inode, key, value);
  const { ibody, block } = yield* readItems(vol, inode);
  const exists = ibody.some((one) => same(one, key)) || block.some((one) => same(one, key));
  if (change.mode === 'create' && exists) throw new FsError('EEXIST');
  if (change.mode === 'replace' && !exists) throw new FsError('ENODATA');
  if (value === undefined && !exists) {
    if (change.value !== undefined) return touchCtime(vol, inode, change.now); // a minimal ACL: the mode says it all
    throw new FsError('ENODATA');
  }
  let nextIbody = ibody.filter((one) => !same(one, key));
  let nextBlock = block.filter((one) => !same(one, key));
  if (value !== undefined) {
    const item: XattrItem = { ...key, value: value.slice() };
    const room = inode.ibodyRoom;
    if (fitsIbody([...nextIbody, item], room)) nextIbody = [...nextIbody, item];
    else if (fitsBlock([...nextBlock, item], vol.blockSize)) nextBlock = [...nextBlock, item];
    else throw new FsError('ENOSPC', { why: 'the attributes do not fit' });
  }
  const isSame = nextBlock.length === block.length && nextBlock.every((one, i) => one === block[i]);
  if (!isSame) yield* replaceBlock(vol, inode, nextBlock);
  if (nextIbody.length > 0 || ibody.length > 0) {
    inode.ibody = encodeIbody(nextIbody, inode.ibodyRoom);
    inode.ibodyDirty = true;
  }
  touchCtime(vol, inode, change.now);
}

function touchCtime(vol: Volume, inode: Ext2InodeInCore, now: Timespec): void {
  inode.ctime = vol.stamp(now, inode);
  vol.markInodeDirty(inode);
}

/** An ACL in its stored form. An access ACL sets the mode; one that says no more than the mode is not stored. */
export function setAcl(
  inode: { readonly isDirectory: boolean; mode: number },
  key: StoredName,
  wire: Uint8Array,
): Uint8Array | undefined {
  const entries = decodeWireAcl(wire);
  if (key.index === INDEX_ACL_DEFAULT) {
    if (!inode.isDirectory) throw new FsError('EACCES', { why: 'only a directory has a default ACL' });
    if (entries.length === 0) return undefined;
    modeOfAcl(entries);
    return encodeDiskAcl(entries);
  }
  if (entries.length === 0) return undefined;
  const { bits, isMinimal } = modeOfAcl(entries);
  inode.mode = (inode.mode & ~0o777) | bits;
  return isMinimal ? undefined : encodeDiskAcl(entries);
}

/** After a chmod: an access ACL follows the mode. */
export function* chmodXattr(vol: Volume, inode: Ext2InodeInCore, now: Timespec): Io<void> {
  if (inode.fileAcl === 0 && inode.ibody === undefined) return;
  const key: StoredName = { index: INDEX_ACL_ACCESS, name: '' };
  const { ibody, block } = yield* readItems(vol, inode);
  const item = ibody.find((one) => same(one, key)) ?? block.find((one) => same(one, key));
  if (item === undefined) return;
  const value = encodeWireAcl(chmodAcl(decodeDiskAcl(item.value), inode.mode));
  yield* changeXattr(vol, inode, { name: ACL_ACCESS, value, mode: 'any', now });
}

/**
 * Gives a new inode, that no entry leads to yet, what it inherits of its directory's default ACL: an access ACL, the mode
 * bits that follow from it and, when it is a directory, the default ACL itself. No default ACL: nothing changes.
 * @param asked its mode before the umask
 * @throws FsError ENOSPC, EUCLEAN
 */
export function* inheritAcl(
  vol: Volume, dir: Ext2InodeInCore, inode: Ext2InodeInCore, init: { readonly asked: number; readonly now: Timespec },
): Io<void> {
  if (dir.fileAcl === 0 && dir.ibody === undefined) return;
  const key: StoredName = { index: INDEX_ACL_DEFAULT, name: '' };
  const { ibody, block } = yield* readItems(vol, dir);
  const item = ibody.find((one) => same(one, key)) ?? block.find((one) => same(one, key));
  if (item === undefined) return;
  const inherited = decodeDiskAcl(item.value);
  // The type and what ownership made of the upper bits (set-group-id in such a directory) stay as they are.
  const { entries, mode, isMinimal } = createAcl(inherited, init.asked);
  inode.mode = (inode.mode & ~0o777) | (mode & 0o777);
  const { now } = init;
  if (inode.isDirectory) {
    yield* changeXattr(vol, inode, { name: ACL_DEFAULT, value: encodeWireAcl(inherited), mode: 'any', now });
  }
  if (!isMinimal) yield* changeXattr(vol, inode, { name: ACL_ACCESS, value: encodeWireAcl(entries), mode: 'any', now });
}

/** Gives the inode a block with these attributes: shared when one with the same content is known, its own changed in place, or new. */
function* replaceBlock(vol: Volume, inode: Ext2InodeInCore, items: readonly XattrItem[]): Io<void> {
  if (items.length === 0) {
    yield* releaseXattrBlock(vol, inode);
    return;
  }
  const { bytes, hash } = encodeXattrBlock(items, vol.blockSize);
  const known = vol.xattrBlocks.lookup(hash);
  if (known !== undefined && known !== inode.fileAcl && (yield* share(vol, inode, known, bytes))) return;
  if (inode.fileAcl !== 0) {
    const buf = yield* readXattrBlock(vol, inode);
    const header = Ext2XattrHeader.at(buf.bytes);
    if (header.h_refcount === 1) {
      vol.xattrBlocks.forget(header.h_hash, inode.fileAcl);
      buf.bytes.set(bytes);
      vol.markDirty(buf, inode);
      vol.xattrBlocks.remember(hash, inode.fileAcl);
      return;
    }
  }
  const goal = inode.fileAcl !== 0 ? inode.fileAcl : groupFirstBlock(vol.info, groupOfIno(vol, inode.ino));
  const run = yield* allocRun(vol, { goal, want: 1 });
  const buf = yield* vol.newBlock(run.block);
  buf.bytes.set(bytes);
  vol.markDirty(buf, inode);
  yield* releaseXattrBlock(vol, inode);
  setBlock(vol, inode, run.block);
  vol.xattrBlocks.remember(hash, run.block);
}

/** Uses a block that another inode has, if its content is what we want and it takes one more. */
function* share(vol: Volume, inode: Ext2InodeInCore, block: number, bytes: Uint8Array): Io<boolean> {
  const buf = (vol.peekBlock(block) ?? (yield* vol.readBlock(block))).hold();
  try {
    const header = Ext2XattrHeader.at(buf.bytes);
    if (header.h_magic !== XATTR_MAGIC || header.h_refcount < 1 || header.h_refcount >= XATTR_REFCOUNT_MAX) return false;
    // Everything but the count must be equal; bytes 8 on hold number of blocks, hash, checksum and the entries.
    for (let i = 8; i < bytes.length; i++) if (buf.bytes[i] !== bytes[i]) return false;
    header.h_refcount += 1;
    vol.markDirty(buf, inode);
    yield* releaseXattrBlock(vol, inode);
    setBlock(vol, inode, block);
    return true;
  } finally {
    buf.put();
  }
}

function setBlock(vol: Volume, inode: Ext2InodeInCore, block: number): void {
  inode.fileAcl = block;
  inode.blocks += vol.sectorsPerBlock;
  if ((vol.info.compat & COMPAT.ext_attr) === 0) {
    vol.info.revision = 1; // features need it, as Linux has it
    vol.info.compat |= COMPAT.ext_attr;
    vol.superDirty = true;
  }
  vol.markInodeDirty(inode);
}

/** Drops the inode's reference to its attribute block; the last one frees it. @throws FsError EUCLEAN */
export function* releaseXattrBlock(vol: Volume, inode: Ext2InodeInCore): Io<void> {
  const block = inode.fileAcl;
  if (block === 0) return;
  const buf = yield* readXattrBlock(vol, inode);
  const header = Ext2XattrHeader.at(buf.bytes);
  if (header.h_magic !== XATTR_MAGIC) throw corrupt('extended attributes: bad magic number', { ino: inode.ino, block });
  inode.fileAcl = 0;
  inode.blocks = Math.max(0, inode.blocks - vol.sectorsPerBlock);
  vol.markInodeDirty(inode);
  if (header.h_refcount > 1) {
    header.h_refcount -= 1;
    vol.markDirty(buf, inode);
    return;
  }
  vol.xattrBlocks.forget(header.h_hash, block);
  yield* vol.forgetBlock(block);
  yield* freeRun(vol, block, 1);
}
