/**
 * Directories in every form, made at once: inline where they fit the inode, else blocks of entries in the order of the names, and an index
 * of their hashes: in the one block, in a leaf of its own, or in leaves under a hash tree with blocks that say where space is free.
 */
import { roundUp } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import { daHash } from '../da-tree.js';
import {
  DA_MAGIC, Da3BlkInfo, Dir3Free, DIR3_BESTFREE, DIR3_DATA_HDR_BYTES, DIR_ADDRESS_UNIT, DIR_FREE_TAG, DIR_LEAF, DIR_MAGIC, DIR_SPACE_BYTES,
} from '../ondisk-trees.js';
import { growTree, shares, viewOf, type NewBlock, type NewLeaf } from './hash-tree.js';

/** An entry to be. */
export interface NewEntry {
  readonly name: Name;
  readonly ino: number;
  /** Its number in `FTYPES`. */
  readonly ftype: number;
}

export const FTYPE_DIRECTORY = 2;
const TAIL_BYTES = 8;
const LEAF_HEAD_BYTES = DIR_LEAF.entries[1];
/** No such data block, in the index of free space. */
const NO_BLOCK = 0xffff;
/** Where in a pair of words the low half of a 64-bit number is. */
const LOW = wordsOf(BigUint64Array.of(1n))[0] === 1 ? 0 : 1;

function wordsOf(numbers: BigUint64Array): Uint32Array {
  return new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length * 2);
}

/** Bytes of an entry in a data block: number, length, name, type, offset, in multiples of eight. */
export const entryBytes = (nameLength: number): number => roundUp(12 + nameLength, 8);
/** Of the entries for itself and its parent. */
const DOTS_BYTES = entryBytes(1) + entryBytes(2);
const LARGE_INO = 2 ** 32;

/** The bytes of a directory inside an inode; -1 when it has to have a block, whatever the inode has room for. */
export function inlineBytes(parent: number, entries: readonly NewEntry[], dirBlockSize: number): number {
  if (entries.length > 255) return -1;
  let names = 0;
  let inBlock = DIR3_DATA_HDR_BYTES + DOTS_BYTES + (entries.length + 2) * 8 + TAIL_BYTES;
  let isLarge = parent >= LARGE_INO;
  for (const { name, ino } of entries) {
    names += 4 + name.length;
    inBlock += entryBytes(name.length);
    if (ino >= LARGE_INO) isLarge = true;
  }
  const width = isLarge ? 8 : 4;
  return inBlock > dirBlockSize ? -1 : 2 + width + names + entries.length * width;
}

function putIno(view: DataView, at: number, width: number, ino: number): void {
  if (width === 8) view.setUint32(at, Math.floor(ino / LARGE_INO));
  view.setUint32(at + width - 4, ino % LARGE_INO);
}

/** Writes an inline directory of `inlineBytes` bytes at `at`. */
export function putInline(view: DataView, at: number, parent: number, entries: readonly NewEntry[]): void {
  let large = parent >= LARGE_INO ? 1 : 0;
  for (const { ino } of entries) if (ino >= LARGE_INO) large++;
  const width = large > 0 ? 8 : 4;
  view.setUint8(at, entries.length);
  view.setUint8(at + 1, large);
  putIno(view, at + 2, width, parent);
  let to = at + 2 + width;
  // The offset that it would have in a block.
  let offset = DIR3_DATA_HDR_BYTES + DOTS_BYTES;
  for (const { name, ino, ftype } of entries) {
    view.setUint8(to, name.length);
    view.setUint16(to + 1, offset);
    for (let i = 0; i < name.length; i++) view.setUint8(to + 3 + i, name.charCodeAt(i));
    view.setUint8(to + 3 + name.length, ftype);
    putIno(view, to + 4 + name.length, width, ino);
    to += 4 + name.length + width;
    offset += entryBytes(name.length);
  }
}

/** A directory in blocks. */
export interface NewDirectory {
  readonly blocks: readonly NewBlock[];
  readonly dataBlocks: number;
}

export class DirectoryWriter {
  readonly #blockSize: number;
  readonly #dirBlockSize: number;
  /** Of the directory under construction: entries by hash, the address in the low half. */
  #index = new BigUint64Array(64);
  #words = wordsOf(this.#index);
  #count = 0;

  constructor(blockSize: number, dirBlockSize: number) {
    this.#blockSize = blockSize;
    this.#dirBlockSize = dirBlockSize;
  }

  /** How many directory blocks entries take: those of the data, and all. */
  static count(nameLengths: readonly number[], dirBlockSize: number): { readonly data: number; readonly all: number } {
    const indexed = nameLengths.length + 2;
    let bytes = DIR3_DATA_HDR_BYTES + DOTS_BYTES;
    let data = 1;
    for (const length of nameLengths) {
      const size = entryBytes(length);
      if (bytes + size > dirBlockSize) {
        data++;
        bytes = DIR3_DATA_HDR_BYTES;
      }
      bytes += size;
    }
    if (data === 1 && bytes + indexed * 8 + TAIL_BYTES <= dirBlockSize) return { data, all: 1 };
    if (LEAF_HEAD_BYTES + indexed * 8 + data * 2 + 4 <= dirBlockSize) return { data, all: data + 1 };
    const max = Math.floor((dirBlockSize - LEAF_HEAD_BYTES) / 8);
    let level = Math.ceil(indexed / max);
    let tree = level;
    while (level > 1) {
      level = Math.ceil(level / max);
      tree += level;
    }
    return { data, all: data + tree + Math.ceil(data / ((dirBlockSize - Dir3Free.size) / 2)) };
  }

  /** Makes the blocks of a directory. */
  make(ino: number, parent: number, entries: readonly NewEntry[]): NewDirectory {
    const size = this.#dirBlockSize;
    const indexed = entries.length + 2;
    if (indexed > this.#index.length) {
      this.#index = new BigUint64Array(indexed * 2);
      this.#words = wordsOf(this.#index);
    }
    this.#count = 0;
    const data: Uint8Array[] = [];
    /** Bytes that are free at the end of each. */
    const free: number[] = [];
    let bytes = new Uint8Array(size);
    let view = viewOf(bytes);
    let at = DIR3_DATA_HDR_BYTES;
    const add = (name: Name, child: number, ftype: number): void => {
      const length = entryBytes(name.length);
      if (at + length > size) {
        data.push(bytes);
        free.push(size - at);
        bytes = new Uint8Array(size);
        view = viewOf(bytes);
        at = DIR3_DATA_HDR_BYTES;
      }
      view.setUint32(at, Math.floor(child / LARGE_INO));
      view.setUint32(at + 4, child % LARGE_INO);
      view.setUint8(at + 8, name.length);
      for (let i = 0; i < name.length; i++) bytes[at + 9 + i] = name.charCodeAt(i);
      view.setUint8(at + 9 + name.length, ftype);
      view.setUint16(at + length - 2, at);
      this.#note(daHash(name), (data.length * size + at) / DIR_ADDRESS_UNIT);
      at += length;
    };
    add('.', ino, FTYPE_DIRECTORY);
    add('..', parent, FTYPE_DIRECTORY);
    for (const { name, ino: child, ftype } of entries) add(name, child, ftype);
    data.push(bytes);
    free.push(size - at);
    this.#index.subarray(0, this.#count).sort();
    const isOne = data.length === 1 && at + indexed * 8 + TAIL_BYTES <= size;
    if (isOne) this.#endBlock(bytes, view, at);
    else data.forEach((block, i) => endData(block, free[i] ?? 0, DIR_MAGIC.data[1]));
    const step = size / this.#blockSize;
    const blocks: NewBlock[] = data.map((block, i) => ({ fileBlock: i * step, bytes: block, kind: 'data' }));
    if (!isOne) blocks.push(...this.#indexBlocks(free, step));
    return { blocks, dataBlocks: data.length };
  }

  #note(hash: number, address: number): void {
    const at = this.#count++ * 2;
    this.#words[at + LOW] = address;
    this.#words[at + 1 - LOW] = hash;
  }

  /** Index and tail of the one block that has all. */
  #endBlock(bytes: Uint8Array, view: DataView, used: number): void {
    const size = bytes.length;
    const index = size - TAIL_BYTES - this.#count * 8;
    view.setUint32(size - TAIL_BYTES, this.#count);
    this.#putIndex(view, index, 0, this.#count);
    endData(bytes, index - used, DIR_MAGIC.block[1], index);
  }

  #putIndex(view: DataView, at: number, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      view.setUint32(at + (i - from) * 8, this.#words[i * 2 + 1 - LOW] ?? 0);
      view.setUint32(at + (i - from) * 8 + 4, this.#words[i * 2 + LOW] ?? 0);
    }
  }

  #leaf(magic: number, from: number, to: number): NewLeaf {
    const bytes = new Uint8Array(this.#dirBlockSize);
    const view = viewOf(bytes);
    view.setUint16(Da3BlkInfo.offsets.magic, magic);
    view.setUint16(DIR_LEAF.count[1], to - from);
    this.#putIndex(view, LEAF_HEAD_BYTES, from, to);
    return { bytes, hash: this.#words[(to - 1) * 2 + 1 - LOW] ?? 0 };
  }

  /** Index blocks behind data blocks with so much free at their ends. */
  #indexBlocks(free: readonly number[], step: number): NewBlock[] {
    const size = this.#dirBlockSize;
    const first = DIR_SPACE_BYTES / this.#blockSize;
    if (LEAF_HEAD_BYTES + this.#count * 8 + free.length * 2 + 4 <= size) {
      const { bytes } = this.#leaf(DA_MAGIC.leaf1[1], 0, this.#count);
      const view = viewOf(bytes);
      view.setUint32(size - 4, free.length);
      free.forEach((best, i) => view.setUint16(size - 4 - (free.length - i) * 2, best));
      return [{ fileBlock: first, bytes, kind: 'tree' }];
    }
    const starts = shares(this.#count, Math.floor((size - LEAF_HEAD_BYTES) / 8));
    const leaves = starts.slice(1).map((end, i) => this.#leaf(DA_MAGIC.leafn[1], starts[i] ?? 0, end));
    return [...growTree(leaves, first, step), ...freeBlocks(free, size, this.#blockSize)];
  }
}

/** The blocks that say how much is free in each data block. */
function freeBlocks(free: readonly number[], size: number, blockSize: number): NewBlock[] {
  const perBlock = (size - Dir3Free.size) / 2;
  const blocks: NewBlock[] = [];
  for (let from = 0; from < free.length; from += perBlock) {
    const bytes = new Uint8Array(size);
    const view = viewOf(bytes);
    const part = free.slice(from, from + perBlock);
    const o = Dir3Free.offsets;
    view.setUint32(o.magic, DIR_MAGIC.free[1]);
    view.setUint32(o.firstdb, from);
    view.setUint32(o.nvalid, part.length);
    view.setUint32(o.nused, part.length);
    bytes.fill(NO_BLOCK & 0xff, Dir3Free.size);
    part.forEach((best, i) => view.setUint16(Dir3Free.size + i * 2, best));
    blocks.push({ fileBlock: (2 * DIR_SPACE_BYTES + (blocks.length * size)) / blockSize, bytes, kind: 'data' });
  }
  return blocks;
}

/** Magic and free space of a data block whose last `free` bytes before `end` are in no entry. */
function endData(bytes: Uint8Array, free: number, magic: number, end = bytes.length): void {
  const view = viewOf(bytes);
  view.setUint32(0, magic);
  if (free === 0) return;
  const at = end - free;
  view.setUint16(DIR3_BESTFREE, at);
  view.setUint16(DIR3_BESTFREE + 2, free);
  view.setUint16(at, DIR_FREE_TAG);
  view.setUint16(at + 2, free);
  view.setUint16(end - 2, at);
}
