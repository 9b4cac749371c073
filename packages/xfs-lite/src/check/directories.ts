/**
 * The check of one directory. Inline: its entries. In blocks: every piece of every data block, then every entry of the hash index
 * against the entry it points at (each named once), then the index of free space. Nothing is looked up; memory is 5 bytes for each
 * 8 bytes of data of the largest directory.
 */
import { corrupt, type FsError, type Io } from '@iomap/io';
import {
  DA_MAGIC, Da3BlkInfo, DIR2_BESTFREE, DIR2_DATA_HDR_BYTES, Dir2Free, DIR3_BESTFREE, DIR3_DATA_HDR_BYTES, Dir3BlkHdr, Dir3Free,
  DIR_ADDRESS_UNIT, DIR_FREE_TAG, DIR_LEAF, DIR_MAGIC, DIR_SPACE_BYTES,
} from '../ondisk-trees.js';
import { checkOwner } from '../verify.js';
import type { BufOps } from '@iomap/buffer-cache';
import type { CheckContext } from './context.js';
import { walkDaTree, type DaBlock } from './da-walk.js';
import { fsbToPos } from '../super.js';
import type { ExtentTable } from './forks.js';
import type { NameSink } from './names.js';
import { Numbers, Scratch, Words } from './tables.js';

const READ_BYTES = 512 * 1024;
const NULL_BEST = 0xffff;
const DOT = 0x2e;
/** Equal hashes looked at by name, in one directory: sound ones have a handful. */
const TWINS_MAX = 20_000;

export interface DirFacts {
  readonly ino: number;
  readonly slot: number;
  readonly size: number;
}

export class DirectoryChecker {
  readonly #context: CheckContext;
  readonly #names: NameSink;
  readonly #v: 0 | 1;
  readonly #header: number;
  readonly #run = new Scratch();
  readonly #block = new Scratch();
  readonly #freeStart: number;
  readonly #leafStart: number;
  // Of the directory that is looked at.
  #dir: DirFacts = { ino: 0, slot: 0, size: 0 };
  /** Numbers of its data blocks, in order, and the longest free piece of each. */
  readonly #dataBlocks = new Numbers();
  readonly #bests = new Words();
  /** By 8-byte unit of the data blocks that are there: 1 = an entry starts here that the index has not named yet; its hash. */
  #marks = new Uint8Array(0);
  #hashes = new Uint32Array(0);
  #entries = 0;
  #dots = 0;
  /** Addresses of entries whose hash another has too. */
  readonly #twins = new Numbers();
  #lastHash = 0;
  #lastAddress = 0;

  constructor(context: CheckContext, names: NameSink) {
    this.#context = context;
    this.#names = names;
    const { info } = context;
    this.#v = info.v5 ? 1 : 0;
    this.#header = info.v5 ? DIR3_DATA_HDR_BYTES : DIR2_DATA_HDR_BYTES;
    this.#leafStart = DIR_SPACE_BYTES / info.blockSize;
    this.#freeStart = 2 * this.#leafStart;
    this.#block.ensure(info.dirBlockSize);
  }

  #bad(why: string, field: string): FsError {
    return corrupt(why, { ino: this.#dir.ino, field });
  }

  #begin(dir: DirFacts): void {
    this.#dir = dir;
    this.#dataBlocks.clear();
    this.#bests.length = 0;
    this.#entries = 0;
    this.#dots = 0;
    this.#twins.clear();
    this.#lastHash = 0;
    this.#lastAddress = 0;
  }

  // Inline -------------------------------------------------------------------------------------------------------------

  /** The `length` bytes of an inline directory at `at`. @throws FsError EUCLEAN */
  inline(dir: DirFacts, bytes: Uint8Array, view: DataView, at: number, length: number): void {
    this.#begin(dir);
    const { info } = this.#context;
    const { size } = dir;
    if (size < 6 || size > length) throw this.#bad('an inline directory without a head', 'di_size');
    const count = view.getUint8(at);
    const larges = view.getUint8(at + 1);
    const width = larges === 0 ? 4 : 8;
    const inoAt = (pos: number): number => (width === 8 ? view.getUint32(pos) * 2 ** 32 + view.getUint32(pos + 4) : view.getUint32(pos));
    if (size < 2 + width || (larges !== 0 && larges > count + 1)) throw this.#bad('an inline directory without a head', 'i8count');
    const extra = info.hasFtype ? 1 : 0;
    this.#names.dot(dir.slot);
    const parent = inoAt(at + 2);
    this.#names.dotDot(dir.ino, dir.slot, parent);
    let large = parent >= 2 ** 32 ? 1 : 0;
    let pos = at + 2 + width;
    const end = at + size;
    // As if the entries were in a block, behind '.' and '..'.
    let offset = this.#header + 16 + 16;
    for (let i = 0; i < count; i++) {
      const nameLength = pos + 3 <= end ? view.getUint8(pos) : 0;
      const next = pos + 3 + nameLength + extra + width;
      if (nameLength === 0 || next > end) throw this.#bad('an inline directory entry is cut short', 'namelen');
      const place = view.getUint16(pos + 1);
      if (place < offset || place % 8 !== 0) throw this.#bad('the offset of an inline entry', 'offset');
      offset = place + entryBytes(nameLength, extra);
      this.#hash(bytes, pos + 3, nameLength);
      const ino = inoAt(next - width);
      if (ino >= 2 ** 32) large++;
      if (this.#isDots(bytes, pos + 3, nameLength) > 0) throw this.#bad("'.' or '..' among inline entries", 'name');
      this.#names.name(dir.ino, dir.slot, ino, extra === 1 ? view.getUint8(pos + 3 + nameLength) : 0);
      pos = next;
    }
    if (pos !== end) throw this.#bad('an inline directory with bytes behind its entries', 'di_size');
    if (large !== larges) throw this.#bad(`${larges} large numbers are said to be inline, ${large} are`, 'i8count');
    // The index of the block that it may become must have room too.
    if (offset + (count + 2) * 8 + 8 > info.dirBlockSize) throw this.#bad('more inline entries than fit a block', 'offset');
    if (count > 1) this.#inlineTwins(bytes, view, at + 2 + width, count, extra + width);
  }

  #inlineTwins(bytes: Uint8Array, view: DataView, from: number, count: number, tail: number): void {
    const seen = new Set<number>();
    let twins = false;
    const each = (visit: (at: number, length: number) => void): void => {
      let pos = from;
      for (let i = 0; i < count; i++) {
        const length = view.getUint8(pos);
        visit(pos + 3, length);
        pos += 3 + length + tail;
      }
    };
    each((at, length) => {
      const hash = this.#hash(bytes, at, length);
      twins ||= seen.has(hash);
      seen.add(hash);
    });
    if (!twins) return;
    const names = new Set<string>();
    each((at, length) => {
      this.#once(names, bytes, at, length);
    });
  }

  #once(names: Set<string>, bytes: Uint8Array, at: number, length: number): void {
    const raw = String.fromCharCode(...bytes.subarray(at, at + length));
    const name = this.#context.info.asciiCi ? raw.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : raw;
    if (names.has(name)) this.#context.report.add('directory', 'name-twice', 'two entries of one name', { ino: this.#dir.ino });
    names.add(name);
  }

  // Names --------------------------------------------------------------------------------------------------------------

  /** 1 for ".", 2 for "..". */
  #isDots(bytes: Uint8Array, at: number, length: number): number {
    if (length > 2 || bytes[at] !== DOT) return 0;
    return length === 1 ? 1 : bytes[at + 1] === DOT ? 2 : 0;
  }

  /** The hash of a name, which is checked on the way. @throws FsError EUCLEAN */
  #hash(bytes: Uint8Array, at: number, length: number): number {
    const { asciiCi } = this.#context.info;
    let hash = 0;
    for (let i = at; i < at + length; i++) {
      let byte = bytes[i] ?? 0;
      if (byte === 0 || byte === 0x2f) throw this.#bad('a name with a slash or a NUL', 'name');
      if (asciiCi && byte >= 0x41 && byte <= 0x5a) byte += 0x20;
      hash = byte ^ ((hash << 7) | (hash >>> 25));
    }
    return hash >>> 0;
  }

  // Blocks -------------------------------------------------------------------------------------------------------------

  /**
   * A directory in blocks, by its extents.
   *
   * Waits on: reads of all its blocks, up to half a MiB at once.
   * @throws FsError EUCLEAN, EBADMSG, EIO at what makes the rest unreadable
   */
  *blocks(dir: DirFacts, extents: ExtentTable): Io<void> {
    this.#begin(dir);
    const { info, vol } = this.#context;
    const hasIndex = extents.find(this.#leafStart) >= 0;
    let isBlockForm = false;
    const bytesBlocks = yield* this.#region(extents, 0, this.#leafStart, vol.ops.dirData, (block, index) => {
      isBlockForm = block.view.getUint32(0) === DIR_MAGIC.block[this.#v];
      if (isBlockForm && (index !== 0 || hasIndex)) throw this.#bad('a block form directory among other blocks', 'magic');
      this.#data(block, index, isBlockForm ? this.#blockIndexAt(block) : block.bytes.length);
      if (isBlockForm) this.#blockIndex(block);
    });
    if (bytesBlocks === 0) throw this.#bad('a directory without data', 'di_size');
    const last = this.#dataBlocks.at(this.#dataBlocks.length - 1);
    if (dir.size !== (last + 1) * info.dirBlockSize) throw this.#bad(`a directory of ${dir.size} bytes with ${last + 1} blocks`, 'di_size');
    if (isBlockForm ? extents.runLength(info.dirBlockFsbs) > 0 : !hasIndex) throw this.#bad('a directory with neither an index nor one block', 'magic');
    if (!isBlockForm) yield* this.#index(extents);
    if (this.#dots !== 3) throw this.#bad("no '.' or no '..'", 'name');
    if (this.#entries !== 0) throw this.#bad(`${this.#entries} names are not in the index`, 'count');
    if (this.#twins.length > 0) yield* this.#compareTwins(extents);
  }

  /** Calls `visit` for each directory block in file blocks [from, end), verified. Answers how many. */
  *#region(extents: ExtentTable, from: number, end: number, ops: BufOps, visit: (block: DaBlock, index: number) => void): Io<number> {
    const { info } = this.#context;
    const { dirBlockFsbs, dirBlockSize } = info;
    let blocks = 0;
    let next = from;
    for (let i = 0; i < extents.length; i++) {
      const off = extents.off.at(i);
      const stop = off + extents.count.at(i);
      if (stop <= next) continue;
      if (off >= end) break;
      next = Math.max(next, off);
      while (next < Math.min(stop, end)) {
        if (next % dirBlockFsbs !== 0) throw this.#bad('a directory block with a hole in it', 'br_startoff');
        const whole = Math.floor((stop - next) / dirBlockFsbs);
        if (whole === 0) {
          visit(yield* this.#read(extents, next, ops), (next - from) / dirBlockFsbs);
          blocks++;
          next += dirBlockFsbs;
          continue;
        }
        const count = Math.min(whole, Math.max(1, Math.floor(READ_BYTES / dirBlockSize)));
        this.#run.ensure(count * dirBlockSize);
        const bytes = this.#run.bytes.subarray(0, count * dirBlockSize);
        const pos = fsbToPos(info, extents.block.at(i) + next - off);
        yield* this.#context.read(pos, bytes);
        for (let n = 0; n < count; n++) {
          const at = n * dirBlockSize;
          const block = { bytes: bytes.subarray(at, at + dirBlockSize), view: new DataView(bytes.buffer, bytes.byteOffset + at, dirBlockSize), pos: pos + at };
          this.#verify(block, ops);
          visit(block, (next - from) / dirBlockFsbs + n);
        }
        blocks += count;
        next += count * dirBlockFsbs;
      }
    }
    return blocks;
  }

  /** One directory block, put together if need be; good until the next. */
  *#read(extents: ExtentTable, fileBlock: number, ops: BufOps): Io<DaBlock> {
    const { info } = this.#context;
    const bytes = this.#block.bytes.subarray(0, info.dirBlockSize);
    let first = 0;
    for (let i = 0; i < info.dirBlockFsbs; ) {
      const fsb = extents.find(fileBlock + i);
      if (fsb < 0) throw this.#bad('a directory block with a hole in it', 'br_startoff');
      const count = Math.min(extents.runLength(fileBlock + i), info.dirBlockFsbs - i);
      if (i === 0) first = fsbToPos(info, fsb);
      yield* this.#context.read(fsbToPos(info, fsb), bytes.subarray(i * info.blockSize, (i + count) * info.blockSize));
      i += count;
    }
    const block = { bytes, view: this.#block.view, pos: first };
    this.#verify(block, ops);
    return block;
  }

  #verify(block: DaBlock, ops: BufOps): void {
    const { info, vol } = this.#context;
    this.#context.verify(ops, block.view, block, this.#dir.ino);
    if (!info.v5) return;
    const at = ops === vol.ops.dirTree ? Da3BlkInfo.offsets.owner : Dir3BlkHdr.offsets.owner;
    checkOwner(block.view.getUint32(at) * 2 ** 32 + block.view.getUint32(at + 4), this.#dir.ino, block.pos, ops.name);
  }

  // Data ---------------------------------------------------------------------------------------------------------------

  #room(units: number): void {
    if (this.#marks.length >= units) return;
    const length = Math.max(units, this.#marks.length * 2);
    const marks = new Uint8Array(length);
    marks.set(this.#marks);
    this.#marks = marks;
    const hashes = new Uint32Array(length);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
  }

  #data({ bytes, view }: DaBlock, index: number, end: number): void {
    const extra = this.#context.info.hasFtype ? 1 : 0;
    const units = bytes.length / DIR_ADDRESS_UNIT;
    const base = this.#dataBlocks.length * units;
    this.#dataBlocks.push(index);
    this.#room(base + units);
    this.#marks.fill(0, base, base + units);
    const free = new FreePieces(view, this.#v === 1 ? DIR3_BESTFREE : DIR2_BESTFREE);
    let wasFree = false;
    for (let at = this.#header; at < end; ) {
      if (view.getUint16(at) === DIR_FREE_TAG) {
        const length = view.getUint16(at + 2);
        if (length < 8 || length % 8 !== 0 || at + length > end || view.getUint16(at + length - 2) !== at) throw this.#bad('free space in a directory block is no piece of it', 'length');
        if (wasFree) throw this.#bad('free pieces of a directory block are not joined', 'length');
        if (!free.take(at, length)) throw this.#bad('a table of free pieces does not know a large one', 'bestfree');
        wasFree = true;
        at += length;
        continue;
      }
      wasFree = false;
      const length = at + 16 > end ? 0 : view.getUint8(at + 8);
      const size = entryBytes(length, extra);
      if (length === 0 || at + size > end || view.getUint16(at + size - 2) !== at) throw this.#bad('a directory entry is cut short', 'namelen');
      this.#entry(bytes, view, { at, length, index, ftype: extra === 1 ? view.getUint8(at + 9 + length) : 0 }, base);
      at += size;
    }
    if (!free.isWhole()) throw this.#bad('a table of free pieces names one that is not there', 'bestfree');
    this.#bests.push(free.longest);
  }

  #entry(bytes: Uint8Array, view: DataView, { at, length, index, ftype }: { at: number; length: number; index: number; ftype: number }, base: number): void {
    const { ino, slot } = this.#dir;
    const unit = base + at / DIR_ADDRESS_UNIT;
    this.#hashes[unit] = this.#hash(bytes, at + 9, length);
    this.#marks[unit] = 1;
    this.#entries++;
    const target = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
    const dots = this.#isDots(bytes, at + 9, length);
    if (dots === 0) {
      this.#names.name(ino, slot, target, ftype);
      return;
    }
    if ((this.#dots & dots) !== 0 || index !== 0 || (dots === 1 && at !== this.#header)) throw this.#bad("'.' or '..' twice, or not the first", 'name');
    this.#dots |= dots;
    if (dots === 2) {
      this.#names.dotDot(ino, slot, target);
      return;
    }
    if (target !== ino) throw this.#bad(`'.' leads to ${target}`, 'inumber');
    this.#names.dot(slot);
  }

  // Index --------------------------------------------------------------------------------------------------------------

  #blockIndexAt({ view, bytes }: DaBlock): number {
    const count = view.getUint32(bytes.length - 8);
    const at = bytes.length - 8 - count * 8;
    if (at < this.#header) throw this.#bad(`${count} leaf entries in a block`, 'count');
    return at;
  }

  #blockIndex({ view, bytes }: DaBlock): void {
    const at = this.#blockIndexAt({ view, bytes, pos: 0 });
    this.#leafEntries(view, at, view.getUint32(bytes.length - 8), view.getUint32(bytes.length - 4));
  }

  /** The place of a data block among those that are there; -1 = it is not. */
  #place(index: number): number {
    const { data, length } = this.#dataBlocks;
    if (index < length && data[index] === index) return index;
    let low = 0;
    let high = length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((data[mid] ?? 0) <= index) low = mid + 1;
      else high = mid;
    }
    return low > 0 && data[low - 1] === index ? low - 1 : -1;
  }

  /** Entries of the index, in the order of hashes over all its leaves. @throws FsError EUCLEAN at the first that is wrong */
  #leafEntries(view: DataView, at: number, count: number, stale: number): void {
    const units = this.#context.info.dirBlockSize / DIR_ADDRESS_UNIT;
    let dead = 0;
    for (let pos = at; pos < at + count * 8; pos += 8) {
      const hash = view.getUint32(pos);
      const address = view.getUint32(pos + 4);
      if (hash < this.#lastHash) throw this.#bad('hashes of an index are out of order', 'hashval');
      if (address === 0) {
        dead++;
        this.#lastHash = hash;
        continue;
      }
      const index = Math.floor(address / units);
      const place = this.#place(index);
      const unit = place * units + (address - index * units);
      if (place < 0 || this.#marks[unit] !== 1 || this.#hashes[unit] !== hash) throw this.#bad('an entry of the index leads to no name of its hash', 'address');
      this.#marks[unit] = 0;
      this.#entries--;
      if (hash === this.#lastHash && this.#lastAddress !== 0 && this.#twins.length < TWINS_MAX) {
        this.#twins.push(this.#lastAddress);
        this.#twins.push(address);
      }
      this.#lastHash = hash;
      this.#lastAddress = address;
    }
    if (dead !== stale) throw this.#bad(`${stale} entries of an index are said to be removed, ${dead} are`, 'stale');
  }

  *#index(extents: ExtentTable): Io<void> {
    const { info, vol } = this.#context;
    const v = this.#v;
    let isLeaf1 = false;
    const visited = yield* walkDaTree({
      ino: this.#dir.ino,
      v5: info.v5,
      root: this.#leafStart,
      read: (fileBlock) => {
        if (fileBlock < this.#leafStart || fileBlock >= this.#freeStart || fileBlock % info.dirBlockFsbs !== 0) throw this.#bad('a hash tree leaves its place', 'before');
        return this.#read(extents, fileBlock, vol.ops.dirTree);
      },
      leaf: ({ view, bytes }, magic) => {
        isLeaf1 = magic === DA_MAGIC.leaf1[v];
        const count = view.getUint16(DIR_LEAF.count[v]);
        const entries = DIR_LEAF.entries[v];
        const tail = isLeaf1 ? view.getUint32(bytes.length - 4) : 0;
        if (tail > bytes.length || entries + count * 8 > bytes.length - (isLeaf1 ? 4 + tail * 2 : 0)) throw this.#bad(`${count} entries in a leaf`, 'count');
        this.#leafEntries(view, entries, count, view.getUint16(DIR_LEAF.stale[v]));
        if (isLeaf1) this.#compareBests(view, bytes.length - 4 - tail * 2, { first: 0, count: tail });
        return count === 0 ? -1 : view.getUint32(entries + (count - 1) * 8);
      },
    });
    if (isLeaf1 && visited > 1) throw this.#bad('a single leaf among others', 'magic');
    let mapped = 0;
    let frees = 0;
    for (let i = 0; i < extents.length; i++) {
      const off = extents.off.at(i);
      const stop = off + extents.count.at(i);
      mapped += Math.max(0, Math.min(stop, this.#freeStart) - Math.max(off, this.#leafStart));
      frees += Math.max(0, stop - Math.max(off, this.#freeStart));
    }
    if (mapped !== visited * info.dirBlockFsbs) throw this.#bad('blocks of the index that nothing leads to', 'br_startoff');
    if (isLeaf1 ? frees > 0 : frees === 0) throw this.#bad('an index of free space where none should be, or none', 'br_startoff');
    if (!isLeaf1) yield* this.#freeIndex(extents);
  }

  *#freeIndex(extents: ExtentTable): Io<void> {
    const { info, vol } = this.#context;
    const head = info.v5 ? Dir3Free : Dir2Free;
    const room = Math.floor((info.dirBlockSize - head.size) / 2);
    let covered = 0;
    yield* this.#region(extents, this.#freeStart, 2 * this.#freeStart, vol.ops.dirFree, ({ view }, index) => {
      const first = view.getUint32(head.offsets.firstdb);
      const count = view.getUint32(head.offsets.nvalid);
      if (first !== index * room || count > room) throw this.#bad('a block of the index of free space is another', 'firstdb');
      const used = this.#compareBests(view, head.size, { first, count });
      if (view.getUint32(head.offsets.nused) !== used) throw this.#bad(`${view.getUint32(head.offsets.nused)} blocks are said to be used, ${used} are`, 'nused');
      covered += used;
    });
    if (covered !== this.#dataBlocks.length) throw this.#bad('data blocks that the index of free space does not know', 'nvalid');
  }

  /** Longest free pieces at `at`, of `count` data blocks from `first` on, against the blocks. Answers how many of them are there. */
  #compareBests(view: DataView, at: number, { first, count }: { first: number; count: number }): number {
    let used = 0;
    for (let i = 0; i < count; i++) {
      const place = this.#place(first + i);
      const best = view.getUint16(at + i * 2);
      if (best !== (place < 0 ? NULL_BEST : this.#bests.at(place))) throw this.#bad(`the index of free space says ${best} of block ${first + i}`, 'bests');
      if (place >= 0) used++;
    }
    return used;
  }

  /** Entries of one hash: are their names different? */
  *#compareTwins(extents: ExtentTable): Io<void> {
    const { info, vol } = this.#context;
    const names = new Set<string>();
    const units = info.dirBlockSize / DIR_ADDRESS_UNIT;
    const addresses = [...new Set(this.#twins.data.subarray(0, this.#twins.length))].sort((a, b) => a - b);
    let block: DaBlock | undefined;
    let current = -1;
    for (const address of addresses) {
      const index = Math.floor(address / units);
      if (block === undefined || index !== current) block = yield* this.#read(extents, index * info.dirBlockFsbs, vol.ops.dirData);
      current = index;
      const at = (address - index * units) * DIR_ADDRESS_UNIT;
      this.#once(names, block.bytes, at + 9, block.bytes[at + 8] ?? 0);
    }
  }
}

/** Bytes that an entry takes in a block. */
const entryBytes = (nameLength: number, extra: number): number => Math.ceil((8 + 1 + nameLength + extra + 2) / 8) * 8;

/** The three longest free pieces that the head of a data block names, against the pieces. */
class FreePieces {
  readonly #offsets: [number, number, number];
  readonly #lengths: [number, number, number];
  #seen = 0;
  #longest = 0;

  constructor(view: DataView, at: number) {
    this.#offsets = [view.getUint16(at), view.getUint16(at + 4), view.getUint16(at + 8)];
    this.#lengths = [view.getUint16(at + 2), view.getUint16(at + 6), view.getUint16(at + 10)];
  }

  get longest(): number {
    return this.#longest;
  }

  /** False: the table should name the piece, and does not. */
  take(at: number, length: number): boolean {
    this.#longest = Math.max(this.#longest, length);
    for (let i = 0; i < 3; i++) {
      if (this.#offsets[i] !== at) continue;
      this.#seen |= 1 << i;
      return this.#lengths[i] === length;
    }
    return length <= this.#lengths[2];
  }

  /** All that the table names was there, longest first. */
  isWhole(): boolean {
    const [a, b, c] = this.#lengths;
    let named = 0;
    for (let i = 0; i < 3; i++) {
      if ((this.#lengths[i] ?? 0) > 0) named |= 1 << i;
      else if (this.#offsets[i] !== 0) return false;
    }
    return named === this.#seen && a >= b && b >= c;
  }
}
