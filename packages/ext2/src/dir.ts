/**
 * Directories: look-up, insert, remove, list. Linear ones are `@iomap/block-map`'s over ext2's entries; here, the htree index where
 * the filesystem has one.
 *
 * - `peekFind` is plain and answers from cached blocks; `find` reads what is missing and asks it again, so there is one truth.
 * - readdir cookies of linear directories are byte offsets of the entry that comes next, since entries there never move;
 *   those of indexed ones are made of names (dir-list.ts).
 */
import { LinearDirs, type EntryFormat, type Found, type TakeEntry } from '@iomap/block-map';
import { corrupt, FsError, type Io } from '@iomap/io';
import type { DirEmit, FileType, Name } from '@iomap/vfs';
import { eachEntry, fileTypeAt, findEntry, inodeAt, insertEntry, nameAt, removeEntry, retarget, writeEntry, type NewEntry } from './dir-block.js';
import type { DirHome } from './dir-home.js';
import { HashedListing } from './dir-list.js';
import { addIndexed, makeIndexed, nextLeaf, probe } from './htree.js';
import { FLAG_INDEX, type Ext2InodeInCore } from './inode.js';
import { COMPAT, dirRecLen, fileTypeOfMode, FT_DIR, NAME_LEN_MAX } from './ondisk.js';
import type { Volume } from './volume.js';

const FILE_TYPES: readonly FileType[] = ['unknown', 'file', 'directory', 'char', 'block', 'fifo', 'socket', 'symlink'];
/** Bytes of the shortest entry. */
const ENTRY_MIN = 12;

/** ext2's entries, as linear directories see them. */
function entryFormat(vol: Volume): EntryFormat<Ext2InodeInCore, NewEntry> {
  const { blockSize } = vol;
  const { inodesCount } = vol.info;
  return {
    perBlock: blockSize / ENTRY_MIN,
    needMin: ENTRY_MIN,
    nameMax: NAME_LEN_MAX,
    find: (_dir, buf, _index, name) => findEntry(buf, blockSize, name),
    each: (_dir, buf, _index, from, visit) => eachEntry(buf, blockSize, from, visit),
    nameAt,
    inoAt(dir, buf, offset) {
      const ino = inodeAt(buf, offset);
      if (ino > inodesCount) throw corrupt('a directory entry leads to no inode', { ino: dir.ino, field: 'inode' });
      return ino;
    },
    need: (entry) => dirRecLen(entry.name.length),
    insert: (_dir, buf, _index, entry) => insertEntry(buf, blockSize, entry),
    remove: (buf, offset) => removeEntry(buf, blockSize, offset),
  };
}

export class Directories {
  readonly home: DirHome;
  readonly linear: LinearDirs<Ext2InodeInCore, NewEntry>;
  readonly #vol: Volume;
  readonly #blockSize: number;
  readonly #hasFileType: boolean;
  readonly #hasIndex: boolean;
  readonly #peek = (dir: Ext2InodeInCore, name: Name, out: Found): boolean => this.peekFind(dir, name, out);

  constructor(vol: Volume, home: DirHome) {
    this.#vol = vol;
    this.home = home;
    this.linear = new LinearDirs<Ext2InodeInCore, NewEntry>(home, vol.blockSize, entryFormat(vol));
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

  /**
   * Finds a name in cached blocks.
   * @returns false when `out.missing` must be read first
   * @throws FsError EUCLEAN
   */
  peekFind(dir: Ext2InodeInCore, name: Name, out: Found): boolean {
    if (this.#isIndexed(dir) && name !== '.' && name !== '..') {
      out.ino = 0;
      if (name.length === 0 || name.length > NAME_LEN_MAX) return true;
      const answer = this.#peekIndexed(dir, name, out);
      if (answer !== undefined) return answer;
    }
    return this.linear.peekFind(dir, name, out);
  }

  /** Undefined: the index is not sound, search as if it were linear. */
  #peekIndexed(dir: Ext2InodeInCore, name: Name, out: Found): boolean | undefined {
    const found = probe(this.#vol, this.home, dir, name);
    if (found === 'bad') return undefined;
    if ('missing' in found) {
      out.missing = found.missing;
      return false;
    }
    const total = this.home.count(dir);
    let { leaf } = found;
    // Bounded: names of one hash may fill several leaves, but no more than there are.
    for (let steps = 0; steps < total && leaf >= 0; steps++) {
      const buf = this.home.peek(dir, leaf);
      if (buf === undefined) {
        out.missing = leaf;
        return false;
      }
      if (this.linear.look(dir, buf, leaf, name, out)) return true;
      leaf = nextLeaf(this.home, dir, found);
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
  find(dir: Ext2InodeInCore, name: Name, out: Found): Io<void> {
    return this.linear.find(dir, name, out, this.#peek);
  }

  /** Drops what is kept in core about a directory. */
  forget(dir: Ext2InodeInCore): void {
    this.linear.forget(dir);
  }

  /**
   * Enters a name that is not there.
   *
   * Lock: the directory, exclusive.
   * @throws FsError ENOSPC with nothing changed, ENAMETOOLONG, EUCLEAN
   */
  *add(dir: Ext2InodeInCore, name: Name, inode: Ext2InodeInCore): Io<void> {
    if (name.length > NAME_LEN_MAX) throw new FsError('ENAMETOOLONG');
    const entry: NewEntry = { name, ino: inode.ino, fileType: this.#fileType(inode.mode) };
    if (this.#isIndexed(dir)) {
      if (yield* addIndexed(this.#vol, this.home, dir, entry)) return;
    }
    if ((dir.flags & FLAG_INDEX) !== 0) {
      // Not sound, or not known to this filesystem: as a linear directory it is still whole.
      dir.flags &= ~FLAG_INDEX;
      this.#vol.markInodeDirty(dir);
    }
    if (yield* this.linear.addInside(dir, entry)) return;
    const total = this.home.count(dir);
    if (total === 1 && this.#hasIndex && (yield* makeIndexed(this.#vol, this.home, dir))) {
      dir.dir = undefined;
      if (yield* addIndexed(this.#vol, this.home, dir, entry)) return;
    }
    const index = this.home.count(dir);
    this.linear.put(dir, yield* this.home.append(dir), index, entry);
  }

  /** Removes the entry at `found`, which was found under the same lock. */
  remove(dir: Ext2InodeInCore, found: Found): Io<void> {
    return this.linear.remove(dir, found);
  }

  /** Points the entry at `found` to another inode. */
  *retarget(dir: Ext2InodeInCore, found: Found, inode: Ext2InodeInCore): Io<void> {
    const buf = this.home.peek(dir, found.index) ?? (yield* this.home.read(dir, found.index));
    retarget(buf, found.offset, inode.ino, this.#fileType(inode.mode));
    this.home.markDirty(buf, dir);
  }

  /** The first block of a new directory. @throws FsError ENOSPC */
  *makeEmpty(dir: Ext2InodeInCore, parentIno: number): Io<void> {
    const buf = yield* this.home.append(dir);
    const fileType = this.#hasFileType ? FT_DIR : 0;
    writeEntry(buf, 0, 12, { name: '.', ino: dir.ino, fileType });
    writeEntry(buf, 12, this.#blockSize - 12, { name: '..', ino: parentIno, fileType });
    this.home.markDirty(buf, dir);
  }

  /** Has it entries beside '.' and '..'? */
  isEmpty(dir: Ext2InodeInCore): Io<boolean> {
    return this.linear.isEmpty(dir);
  }

  /** Lists entries from `cookie` on: by hash where the directory has an index or may get one, else by byte offset. */
  *readdir(dir: Ext2InodeInCore, cookie: number, emit: DirEmit): Io<void> {
    const take = this.#taking(dir, emit);
    if (this.#hasIndex) {
      const listing = new HashedListing(this.#vol, this.home, { dir, cookie, take });
      if (this.home.count(dir) === 1) return yield* listing.single();
      if (this.#isIndexed(dir) && (yield* listing.indexed())) return;
    }
    yield* this.linear.list(dir, cookie, take);
  }

  /** Lists all entries in the order of the disk, where no cookie is needed. */
  list(dir: Ext2InodeInCore, emit: DirEmit): Io<void> {
    return this.linear.list(dir, 0, this.#taking(dir, emit));
  }

  /** `list` of a directory of one block that is cached or can be read within the call; false = nothing was emitted. */
  peekList(dir: Ext2InodeInCore, emit: DirEmit): boolean {
    return this.linear.peekList(dir, this.#taking(dir, emit));
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
}
