/**
 * Directories in all five forms: in the inode, one block, data with one leaf, data with a hash tree, and the last over an extent
 * btree. A look-up goes by hash (the inline form, at most 255 names, is searched as the kernel does).
 *
 * Cookies are byte offsets in the directory's data segment plus one, or where the next entry starts; both stay true when a
 * directory leaves the inline form, since an inline entry keeps the offset that it would have in a block.
 */
import type { Io } from '@iomap/io';
import type { DirEmit, FileType, Name } from '@iomap/vfs';
import { daHash, daHashCi, daLookup, daNext, lowerBound, sameNameCi, wordAt } from './da-tree.js';
import { isHole, needDirData, needTree, nextMapped, type DirBlock } from './dir-blocks.js';
import { bad, latin1, leafOf, nameAt, type Leaf } from './dir-entries.js';
import type { XfsInode } from './inode.js';
import { FORMAT } from './ondisk.js';
import {
  DA_MAGIC,
  DIR2_DATA_HDR_BYTES,
  DIR3_DATA_HDR_BYTES,
  DIR_ADDRESS_UNIT,
  DIR_FREE_TAG,
  DIR_MAGIC,
  DIR_SPACE_BYTES,
  FTYPES,
} from './ondisk-trees.js';
import type { Volume } from './volume.js';

/** Leaves with one hash that a look-up follows. */
const HOPS_MAX = 4096;

/** Data blocks that a listing within one call reads at most. */
const PEEK_BLOCKS_MAX = 64;

function typeOf(ftype: number): FileType {
  return FTYPES[ftype] ?? 'unknown';
}

// Inline ---------------------------------------------------------------------------------------------------------------------

interface InlineHead {
  readonly count: number;
  /** Bytes of an inode number. */
  readonly width: 4 | 8;
  readonly parent: number;
  readonly start: number;
}

const inoAt = (bytes: Uint8Array, at: number, width: number): number =>
  // The topmost byte of an 8-byte number may carry other bits in old formats.
  width === 8 ? (wordAt(bytes, at) % 2 ** 24) * 2 ** 32 + wordAt(bytes, at + 4) : wordAt(bytes, at);

function inlineHead(inode: XfsInode): InlineHead {
  // No view: to make one takes longer than to read these few bytes.
  const { bytes } = inode.data;
  if (inode.size < 6) throw bad(inode, 'an inline directory without a head', 'di_size');
  const width = bytes[1] === 0 ? 4 : 8;
  const start = 2 + width;
  if (inode.size < start) throw bad(inode, 'an inline directory without a head', 'di_size');
  return { count: bytes[0] ?? 0, width, parent: inoAt(bytes, 2, width), start };
}

/** Calls `visit` for each inline entry until it answers false. @throws FsError EUCLEAN */
function eachInline(vol: Volume, inode: XfsInode, visit: (name: Name, ino: number, ftype: number, offset: number) => boolean): void {
  const { bytes } = inode.data;
  const { count, width, start } = inlineHead(inode);
  const extra = vol.info.hasFtype ? 1 : 0;
  let at = start;
  let before = 0;
  for (let i = 0; i < count; i++) {
    const length = at + 3 <= inode.size ? (bytes[at] ?? 0) : 0;
    const end = at + 3 + length + extra + width;
    const offset = length === 0 ? 0 : (bytes[at + 1] ?? 0) * 256 + (bytes[at + 2] ?? 0);
    if (length === 0 || end > inode.size || offset <= before) throw bad(inode, 'an inline directory entry is cut short', 'namelen');
    checkName(inode, bytes, at + 3, at + 3 + length);
    const name = latin1(bytes, at + 3, at + 3 + length);
    const ftype = extra === 1 ? (bytes[at + 3 + length] ?? 0) : 0;
    if (!visit(name, inoAt(bytes, end - width, width), ftype, offset)) return;
    before = offset;
    at = end;
  }
  if (at !== inode.size) throw bad(inode, 'an inline directory with bytes behind its entries', 'di_size');
}

function checkName(inode: XfsInode, bytes: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to; i++) if (bytes[i] === 0x2f || bytes[i] === 0) throw bad(inode, 'a name with a slash or a NUL', 'name');
}

// Look-up --------------------------------------------------------------------------------------------------------------------

const leafStart = (vol: Volume): number => DIR_SPACE_BYTES / vol.info.blockSize;

/** The leaf part of a block-form directory. */
function blockLeaf(inode: XfsInode, block: DirBlock): Leaf {
  const { view, bytes } = block;
  const count = view.getUint32(bytes.length - 8);
  const entries = bytes.length - 8 - count * 8;
  if (entries < DIR2_DATA_HDR_BYTES) throw bad(inode, `${count} leaf entries in a block`, 'count');
  return { bytes, entries, count };
}

/** The inode number at a leaf's address when its name is `name`: 0 = another name, undefined = missing. */
function compareAt(vol: Volume, inode: XfsInode, address: number, name: Name): number | undefined {
  const { dirBlockSize } = vol.info;
  const offset = address * DIR_ADDRESS_UNIT;
  const number = Math.floor(offset / dirBlockSize);
  const block = needDirData(vol, inode, number);
  if (block === undefined) return undefined;
  if (isHole(block)) throw bad(inode, 'a leaf entry points into a hole', 'address');
  return nameAt(vol, inode, block.bytes, offset - number * dirBlockSize, name);
}

/** Looks through the entries of `hash` in one leaf: the number, 0 = not here, -1 = maybe in the next leaf, undefined = missing. */
function searchLeaf(vol: Volume, inode: XfsInode, leaf: Leaf, hash: number, name: Name): number | undefined {
  const { bytes, entries, count } = leaf;
  for (let i = lowerBound(bytes, entries, count, hash); i < count; i++) {
    if (wordAt(bytes, entries + i * 8) !== hash) return 0;
    const address = wordAt(bytes, entries + i * 8 + 4);
    if (address === 0) continue; // removed
    const ino = compareAt(vol, inode, address, name);
    if (ino !== 0) return ino;
  }
  return -1;
}

/** Block form. */
function lookupBlock(vol: Volume, inode: XfsInode, hash: number, name: Name): number | undefined {
  const block = needDirData(vol, inode, 0);
  if (block === undefined) return undefined;
  if (isHole(block) || block.view.getUint32(0) !== DIR_MAGIC.block[vol.info.v5 ? 1 : 0]) {
    throw bad(inode, 'a directory with neither an index nor one block', 'magic');
  }
  const found = searchLeaf(vol, inode, blockLeaf(inode, block), hash, name);
  return found === -1 ? 0 : found;
}

function lookupBlocks(vol: Volume, inode: XfsInode, hash: number, name: Name): number | undefined {
  const index = vol.dirIndexes.of(vol, inode);
  if (index !== undefined) {
    const found = index.find(vol, inode, hash, name);
    if (found !== -1) return found;
  }
  const root = leafStart(vol);
  const top = needTree(vol, inode, inode.data, root);
  if (top === undefined) return undefined;
  if (isHole(top)) return lookupBlock(vol, inode, hash, name);
  let leaf = daLookup(vol, inode, inode.data, root, hash);
  for (let hops = 0; leaf !== undefined && hops < HOPS_MAX; hops++) {
    const found = searchLeaf(vol, inode, leafOf(vol, inode, leaf.block.bytes), hash, name);
    if (found !== -1) return found;
    if (leaf.magic === DA_MAGIC.leaf1[vol.info.v5 ? 1 : 0]) return 0;
    const next = daNext(vol, inode, inode.data, leaf);
    if (next === 0) return 0;
    leaf = next;
  }
  if (leaf === undefined) return undefined;
  throw bad(inode, 'a hash goes on through too many leaves', 'forw');
}

/** The inode number under `name`: 0 = none, undefined = a block is missing. @throws FsError EUCLEAN, EBADMSG */
export function findName(vol: Volume, inode: XfsInode, name: Name): number | undefined {
  if (name.length > 255) return 0;
  const { asciiCi } = vol.info;
  if (inode.data.format === FORMAT.LOCAL) {
    let found = 0;
    eachInline(vol, inode, (one, ino) => {
      if (asciiCi ? sameNameCi(one, name) : one === name) found = ino;
      return found === 0;
    });
    return found;
  }
  return lookupBlocks(vol, inode, asciiCi ? daHashCi(name) : daHash(name), name);
}

/** The parent's number of an inline directory. */
export const inlineParent = (inode: XfsInode): number => inlineHead(inode).parent;

// Listing --------------------------------------------------------------------------------------------------------------------

/** Emits the entries after `cookie`. Waits on: reads of data blocks. @throws FsError EUCLEAN, EBADMSG, EIO */
export function* readdir(vol: Volume, inode: XfsInode, cookie: number, emit: DirEmit): Io<void> {
  if (inode.data.format === FORMAT.LOCAL) {
    listInline(vol, inode, cookie, emit);
    return;
  }
  const { dirBlockSize, dirBlockFsbs } = vol.info;
  const end = leafStart(vol);
  let index = Math.floor(cookie / dirBlockSize);
  for (let from = cookie; ; from = index * dirBlockSize) {
    const mapped = yield* vol.reading(() => {
      const at = nextMapped(vol, inode, inode.data, index * dirBlockFsbs, end);
      return at < 0 ? undefined : at;
    });
    if (mapped === Infinity) return;
    const next = Math.floor(mapped / dirBlockFsbs);
    if (next > index) from = next * dirBlockSize;
    index = next;
    const found = yield* vol.reading(() => {
      const needed = needDirData(vol, inode, index);
      if (isHole(needed)) throw bad(inode, 'a directory block with a hole in it', 'br_startoff');
      return needed;
    });
    // The buffer stays while nothing waits: the entries are emitted at once.
    if (!listBlock(vol, inode, found, index * dirBlockSize, from, emit)) return;
    index++;
  }
}

/**
 * `readdir` of all of a directory of moderate size whose blocks are cached or can be read within the call; false = nothing was emitted.
 * @throws FsError EUCLEAN, EBADMSG, maybe after some entries
 */
export function peekList(vol: Volume, inode: XfsInode, emit: DirEmit): boolean {
  if (inode.data.format === FORMAT.LOCAL) {
    listInline(vol, inode, 0, emit);
    return true;
  }
  const { dirBlockSize, dirBlockFsbs } = vol.info;
  const end = leafStart(vol);
  const blocks: { readonly index: number; readonly block: DirBlock }[] = [];
  for (let index = 0; ; index++) {
    const mapped = nextMapped(vol, inode, inode.data, index * dirBlockFsbs, end);
    if (mapped === Infinity) break;
    if (mapped < 0 || blocks.length === PEEK_BLOCKS_MAX) return false;
    index = Math.floor(mapped / dirBlockFsbs);
    const block = needDirData(vol, inode, index);
    if (block === undefined || isHole(block)) return false;
    blocks.push({ index, block });
  }
  // None of them goes meanwhile: nothing waits, and what is let go of keeps its bytes.
  for (const { index, block } of blocks) if (!listBlock(vol, inode, block, index * dirBlockSize, 0, emit)) break;
  return true;
}

function listInline(vol: Volume, inode: XfsInode, cookie: number, emit: DirEmit): void {
  if (cookie < 1 && !emit('.', inode.ino, 'directory', 1)) return;
  if (cookie < 2 && !emit('..', inlineParent(inode), 'directory', 2)) return;
  eachInline(vol, inode, (name, ino, ftype, offset) => offset < cookie || emit(name, ino, typeOf(ftype), offset + 1));
}

/** Emits one data block's entries from byte `from` of the segment on. False: stopped. */
function listBlock(vol: Volume, inode: XfsInode, block: DirBlock, base: number, from: number, emit: DirEmit): boolean {
  const { hasFtype, v5 } = vol.info;
  const { view, bytes } = block;
  let end = bytes.length;
  if (view.getUint32(0) === DIR_MAGIC.block[v5 ? 1 : 0]) end = blockLeaf(inode, block).entries;
  const extra = hasFtype ? 1 : 0;
  for (let at = v5 ? DIR3_DATA_HDR_BYTES : DIR2_DATA_HDR_BYTES; at < end; ) {
    if (view.getUint16(at) === DIR_FREE_TAG) {
      const length = view.getUint16(at + 2);
      if (length < 8 || length % 8 !== 0 || at + length > end) throw bad(inode, 'free space in a directory block is no piece of it', 'length');
      at += length;
      continue;
    }
    const length = at + 16 > end ? 0 : view.getUint8(at + 8);
    const size = Math.ceil((8 + 1 + length + extra + 2) / 8) * 8;
    if (length === 0 || at + size > end) throw bad(inode, 'a directory entry is cut short', 'namelen');
    const offset = base + at;
    at += size;
    if (offset < from) continue;
    const start = offset - base + 9;
    checkName(inode, bytes, start, start + length);
    const name = latin1(bytes, start, start + length);
    const ftype = extra === 1 ? view.getUint8(start + length) : 0;
    if (!emit(name, inoAt(bytes, offset - base, 8), typeOf(ftype), base + at)) return false;
  }
  return true;
}

