/**
 * Directories: look-up, insert, remove, list. Linear blocks, with an htree index where the filesystem has one.
 *
 * - `peekFind` is plain and answers from cached blocks; `find` reads what is missing and asks it again, so there is one truth.
 * - A linear directory beyond a few blocks gets an index of names in core, built at the first look-up and kept; room for new names
 *   is remembered per block. So neither kind goes quadratic.
 * - readdir cookies of linear directories are byte offsets of the entry that comes next, since entries there never move;
 *   those of indexed ones are made of names (dir-list.ts).
 */
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import type { DirEmit, FileType, Name } from '@iomap/vfs';
import {
  eachEntry,
  fileTypeAt,
  findEntry,
  inodeAt,
  insertEntry,
  nameAt,
  removeEntry,
  retarget,
  writeEntry,
  type NewEntry,
} from './dir-block.js';
import type { DirBlocks } from './dir-blocks.js';
import { HashedListing, type TakeEntry } from './dir-list.js';
import { DirState, NameIndex, NAMES_MAX } from './dir-state.js';
import { addIndexed, makeIndexed, nextLeaf, probe } from './htree.js';
import { FLAG_INDEX, type Ext2InodeInCore } from './inode.js';
import { COMPAT, dirRecLen, fileTypeOfMode, FT_DIR } from './ondisk.js';
import type { Volume } from './volume.js';

/** Linear directories of up to this many blocks are searched block by block. */
const SCAN_BLOCKS_MAX = 4;
/** Directories that may have an index of names in core at a time. */
const NAME_INDEXES_MAX = 8;

const FILE_TYPES: readonly FileType[] = ['unknown', 'file', 'directory', 'char', 'block', 'fifo', 'socket', 'symlink'];

/** Where an entry is; reused by the caller. */
export interface Found {
  /** 0: there is none. */
  ino: number;
  /** Directory block and offset in it. */
  index: number;
  offset: number;
  /** What must be read before the answer is known; -1: the index of names must be built. */
  missing: number;
}

export const newFound = (): Found => ({ ino: 0, index: 0, offset: 0, missing: 0 });

export class Directories {
  readonly blocks: DirBlocks;
  readonly #vol: Volume;
  readonly #blockSize: number;
  readonly #hasFileType: boolean;
  readonly #hasIndex: boolean;
  /** Directories with an index of names, the longest unused first. */
  readonly #named = new Set<Ext2InodeInCore>();

  constructor(vol: Volume, blocks: DirBlocks) {
    this.#vol = vol;
    this.blocks = blocks;
    this.#blockSize = vol.blockSize;
    this.#hasFileType = vol.info.filetype;
    this.#hasIndex = (vol.info.compat & COMPAT.dir_index) !== 0;
  }

  #fileType(mode: number): number {
    return this.#hasFileType ? fileTypeOfMode(mode) : 0;
  }

  #isIndexed(dir: Ext2InodeInCore): boolean {
    return this.#hasIndex && (dir.flags & FLAG_INDEX) !== 0;
  }

  /** Checks the name at one place; true when it is there. */
  #look(dir: Ext2InodeInCore, buf: Buf, index: number, name: Name, out: Found): boolean {
    const offset = findEntry(buf, this.#blockSize, name);
    if (offset < 0) return false;
    const ino = inodeAt(buf, offset);
    if (ino > this.#vol.info.inodesCount) throw corrupt('a directory entry leads to no inode', { ino: dir.ino, field: 'inode' });
    out.ino = ino;
    out.index = index;
    out.offset = offset;
    return true;
  }

  /**
   * Finds a name in cached blocks.
   * @returns false when `out.missing` must be read first
   * @throws FsError EUCLEAN
   */
  peekFind(dir: Ext2InodeInCore, name: Name, out: Found): boolean {
    out.ino = 0;
    if (name.length === 0 || name.length > 255) return true;
    if (this.#isIndexed(dir) && name !== '.' && name !== '..') {
      const answer = this.#peekIndexed(dir, name, out);
      if (answer !== undefined) return answer;
    }
    const total = this.blocks.count(dir);
    if (total > SCAN_BLOCKS_MAX && name !== '.' && name !== '..') {
      const names = dir.dir?.names;
      if (names === undefined) {
        out.missing = -1;
        return false;
      }
      for (const index of names.candidates(name)) {
        if (index >= total) continue;
        const buf = this.blocks.peek(dir, index);
        if (buf === undefined) {
          out.missing = index;
          return false;
        }
        if (this.#look(dir, buf, index, name, out)) return true;
      }
      return true;
    }
    const last = Math.min(total, SCAN_BLOCKS_MAX);
    for (let index = 0; index < last; index++) {
      const buf = this.blocks.peek(dir, index);
      if (buf === undefined) {
        out.missing = index;
        return false;
      }
      if (this.#look(dir, buf, index, name, out)) return true;
    }
    return true;
  }

  /** Undefined: the index is not sound, search as if it were linear. */
  #peekIndexed(dir: Ext2InodeInCore, name: Name, out: Found): boolean | undefined {
    const found = probe(this.#vol, this.blocks, dir, name);
    if (found === 'bad') return undefined;
    if ('missing' in found) {
      out.missing = found.missing;
      return false;
    }
    const total = this.blocks.count(dir);
    let { leaf } = found;
    // Bounded: names of one hash may fill several leaves, but no more than there are.
    for (let steps = 0; steps < total && leaf >= 0; steps++) {
      const buf = this.blocks.peek(dir, leaf);
      if (buf === undefined) {
        out.missing = leaf;
        return false;
      }
      if (this.#look(dir, buf, leaf, name, out)) return true;
      leaf = nextLeaf(this.blocks, dir, found);
      if (leaf === -2) return undefined;
    }
    return true;
  }

  /**
   * Finds a name.
   *
   * Lock: the directory, shared. Waits on: reads of directory blocks; all of them, once, for a large linear one.
   * @throws FsError EUCLEAN, EIO
   */
  *find(dir: Ext2InodeInCore, name: Name, out: Found): Io<void> {
    const held: Buf[] = [];
    try {
      while (!this.peekFind(dir, name, out)) {
        if (out.missing >= 0) {
          held.push((yield* this.blocks.read(dir, out.missing)).hold());
        } else if (!(yield* this.#buildNames(dir))) {
          yield* this.#scan(dir, name, out);
          return;
        }
      }
    } finally {
      for (const buf of held) buf.put();
    }
  }

  /** Searches block by block: for a directory with more names than an index may hold. */
  *#scan(dir: Ext2InodeInCore, name: Name, out: Found): Io<void> {
    const total = this.blocks.count(dir);
    for (let index = 0; index < total; index++) {
      const buf = this.blocks.peek(dir, index) ?? (yield* this.blocks.read(dir, index));
      if (this.#look(dir, buf, index, name, out)) return;
    }
  }

  /** Builds the index of names; false when there are too many. */
  *#buildNames(dir: Ext2InodeInCore): Io<boolean> {
    const total = this.blocks.count(dir);
    // Even the shortest names, 12 bytes each, would be too many: do not start.
    if (total * Math.floor(this.#blockSize / 24) > NAMES_MAX) return false;
    const names = new NameIndex();
    for (let index = 0; index < total; index++) {
      const buf = this.blocks.peek(dir, index) ?? (yield* this.blocks.read(dir, index));
      const fits = eachEntry(buf, this.#blockSize, 0, (offset) => names.add(nameAt(buf, offset), index));
      if (!fits) return false;
    }
    (dir.dir ??= new DirState()).names = names;
    this.#named.delete(dir);
    this.#named.add(dir);
    if (this.#named.size > NAME_INDEXES_MAX) {
      for (const oldest of this.#named) {
        this.forget(oldest);
        break;
      }
    }
    return true;
  }

  /** Drops what is kept in core about a directory. */
  forget(dir: Ext2InodeInCore): void {
    this.#named.delete(dir);
    if (dir.dir !== undefined) dir.dir.names = undefined;
  }

  /**
   * Enters a name that is not there.
   *
   * Lock: the directory, exclusive.
   * @throws FsError ENOSPC with nothing changed, ENAMETOOLONG, EUCLEAN
   */
  *add(dir: Ext2InodeInCore, name: Name, ino: number, mode: number): Io<void> {
    if (name.length > 255) throw new FsError('ENAMETOOLONG');
    const entry: NewEntry = { name, ino, fileType: this.#fileType(mode) };
    if (this.#isIndexed(dir)) {
      if (yield* addIndexed(this.#vol, this.blocks, dir, entry)) return;
    }
    if ((dir.flags & FLAG_INDEX) !== 0) {
      // Not sound, or not known to this filesystem: as a linear directory it is still whole.
      dir.flags &= ~FLAG_INDEX;
      this.#vol.markInodeDirty(dir);
    }
    yield* this.#addLinear(dir, entry);
  }

  *#addLinear(dir: Ext2InodeInCore, entry: NewEntry): Io<void> {
    const state = (dir.dir ??= new DirState());
    const total = this.blocks.count(dir);
    const need = dirRecLen(entry.name.length);
    for (let index = 0; index < total; index++) {
      const known = state.gaps[index] ?? -1;
      if (known >= 0 && known < need) continue;
      const buf = this.blocks.peek(dir, index) ?? (yield* this.blocks.read(dir, index));
      if (this.#put(dir, buf, index, entry)) return;
    }
    if (total === 1 && this.#hasIndex) {
      if (yield* makeIndexed(this.#vol, this.blocks, dir)) {
        dir.dir = undefined;
        if (yield* addIndexed(this.#vol, this.blocks, dir, entry)) return;
      }
    }
    const buf = yield* this.blocks.append(dir);
    this.#put(dir, buf, total, entry);
  }

  #put(dir: Ext2InodeInCore, buf: Buf, index: number, entry: NewEntry): boolean {
    const state = (dir.dir ??= new DirState());
    const gap = insertEntry(buf, this.#blockSize, entry);
    while (state.gaps.length < index) state.gaps.push(-1);
    state.gaps[index] = gap;
    if (gap !== -1) return false;
    this.#vol.markDirty(buf, dir);
    if (state.names?.add(entry.name, index) === false) this.forget(dir);
    return true;
  }

  /** Removes the entry at `found`, which was found under the same lock. */
  *remove(dir: Ext2InodeInCore, found: Found): Io<void> {
    const buf = this.blocks.peek(dir, found.index) ?? (yield* this.blocks.read(dir, found.index));
    removeEntry(buf, this.#blockSize, found.offset);
    this.#vol.markDirty(buf, dir);
    if (dir.dir !== undefined && found.index < dir.dir.gaps.length) dir.dir.gaps[found.index] = -1;
  }

  /** Points the entry at `found` to another inode. */
  *retarget(dir: Ext2InodeInCore, found: Found, ino: number, mode: number): Io<void> {
    const buf = this.blocks.peek(dir, found.index) ?? (yield* this.blocks.read(dir, found.index));
    retarget(buf, found.offset, ino, this.#fileType(mode));
    this.#vol.markDirty(buf, dir);
  }

  /** The first block of a new directory. @throws FsError ENOSPC */
  *makeEmpty(dir: Ext2InodeInCore, parentIno: number): Io<void> {
    const buf = yield* this.blocks.append(dir);
    const fileType = this.#hasFileType ? FT_DIR : 0;
    writeEntry(buf, 0, 12, { name: '.', ino: dir.ino, fileType });
    writeEntry(buf, 12, this.#blockSize - 12, { name: '..', ino: parentIno, fileType });
    this.#vol.markDirty(buf, dir);
  }

  /** Has it entries beside '.' and '..'? */
  *isEmpty(dir: Ext2InodeInCore): Io<boolean> {
    const total = this.blocks.count(dir);
    for (let index = 0; index < total; index++) {
      const buf = this.blocks.peek(dir, index) ?? (yield* this.blocks.read(dir, index));
      const none = eachEntry(buf, this.#blockSize, 0, (offset) => {
        const name = nameAt(buf, offset);
        return name === '.' || name === '..';
      });
      if (!none) return false;
    }
    return true;
  }

  /** Lists entries from `cookie` on: by hash where the directory has an index or may get one, else by byte offset. */
  *readdir(dir: Ext2InodeInCore, cookie: number, emit: DirEmit): Io<void> {
    const take = this.#taking(dir, emit);
    if (this.#hasIndex) {
      const listing = new HashedListing(this.#vol, this.blocks, { dir, cookie, take });
      if (this.blocks.count(dir) === 1) return yield* listing.single();
      if (this.#isIndexed(dir) && (yield* listing.indexed())) return;
    }
    yield* this.#listLinear(dir, cookie, take);
  }

  /** Lists all entries in the order of the disk, where no cookie is needed. */
  list(dir: Ext2InodeInCore, emit: DirEmit): Io<void> {
    return this.#listLinear(dir, 0, this.#taking(dir, emit));
  }

  /** `list` of a directory of one block that is cached or can be read within the call; false = nothing was emitted. */
  peekList(dir: Ext2InodeInCore, emit: DirEmit): boolean {
    const buf = this.blocks.count(dir) === 1 ? this.blocks.only(dir) : undefined;
    if (buf === undefined) return false;
    const take = this.#taking(dir, emit);
    eachEntry(buf, this.#blockSize, 0, (offset, recLen) => take(buf, offset, nameAt(buf, offset), offset + recLen));
    return true;
  }

  #taking(dir: Ext2InodeInCore, emit: DirEmit): TakeEntry {
    const { inodesCount } = this.#vol.info;
    return (buf, offset, name, next) => {
      const ino = inodeAt(buf, offset);
      if (ino > inodesCount) throw corrupt('a directory entry leads to no inode', { ino: dir.ino, field: 'inode' });
      const type = this.#hasFileType ? (FILE_TYPES[fileTypeAt(buf, offset)] ?? 'unknown') : 'unknown';
      return emit(name, ino, type, next);
    };
  }

  *#listLinear(dir: Ext2InodeInCore, cookie: number, take: TakeEntry): Io<void> {
    const blockSize = this.#blockSize;
    const total = this.blocks.count(dir);
    for (let index = Math.floor(cookie / blockSize); index < total; index++) {
      const base = index * blockSize;
      const buf = this.blocks.peek(dir, index) ?? (yield* this.blocks.read(dir, index));
      const wentOn = eachEntry(buf, blockSize, Math.max(0, cookie - base), (offset, recLen) =>
        take(buf, offset, nameAt(buf, offset), base + offset + recLen),
      );
      if (!wentOn) return;
    }
  }
}
