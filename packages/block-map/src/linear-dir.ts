/**
 * Directories whose entries lie one after another in blocks: look-up, insert, remove, list. What an entry looks like is the
 * format's (`EntryFormat`): plain functions over a block's bytes.
 *
 * - `peekFind` is plain and answers from cached blocks; `find` reads what is missing and asks it again, so there is one truth.
 * - A directory beyond a few blocks gets an index of names in core, built at the first look-up and kept; room for new names is
 *   remembered per block. So neither kind goes quadratic.
 * - Cookies are byte offsets of the entry that comes next, since entries never move.
 */
import type { Io } from '@iomap/io';
import type { DirBlock } from './dir-block.js';
import type { DirHome } from './dir-home.js';
import { NameIndex, NAMES_MAX } from './name-index.js';

/** Directories of up to this many blocks are searched block by block. */
const SCAN_BLOCKS_MAX = 4;
/** Directories that may have an index of names in core at a time. */
const NAME_INDEXES_MAX = 8;

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

/** What is kept in core about one directory. All of it can be rebuilt from the blocks. */
export class DirState {
  names: NameIndex | undefined = undefined;
  /** Largest gap of each block, -1 = not known. */
  readonly gaps: number[] = [];
  /** No block below has room for any entry. */
  firstRoom = 0;
}

export interface StatefulDir {
  dir: DirState | undefined;
}

/** An entry of a block. `E`: what a new one says, beside its name. */
export interface EntryFormat<I, E extends { readonly name: string }> {
  /** Most entries of a block. */
  readonly perBlock: number;
  /** Bytes of the smallest entry. */
  readonly needMin: number;
  readonly nameMax: number;
  /** Offset of the entry of `name` in block `index`, or -1. @throws FsError EUCLEAN */
  find(dir: I, buf: DirBlock, index: number, name: string): number;
  /** Calls `visit` for each used entry from the first at or after `from`; stops when it says false. @throws FsError EUCLEAN */
  each(dir: I, buf: DirBlock, index: number, from: number, visit: (offset: number, next: number) => boolean): boolean;
  nameAt(buf: DirBlock, offset: number): string;
  /** The inode of a used entry. @throws FsError EUCLEAN when there is no such inode */
  inoAt(dir: I, buf: DirBlock, offset: number): number;
  /** Bytes that the entry takes. */
  need(entry: E): number;
  /** Enters in the first gap that is large enough: -1, or the largest gap of the block in bytes. */
  insert(dir: I, buf: DirBlock, index: number, entry: E): number;
  /** Removes the entry at `offset`. */
  remove(buf: DirBlock, offset: number): void;
}

/** Takes an entry at `offset` of `buf`, whose listing goes on at `cookie` after it; false = not taken, stop. */
export type TakeEntry = (buf: DirBlock, offset: number, name: string, cookie: number) => boolean;

export class LinearDirs<I extends StatefulDir, E extends { readonly name: string }> {
  readonly home: DirHome<I>;
  readonly #blockSize: number;
  readonly #format: EntryFormat<I, E>;
  /** Directories with an index of names, the longest unused first. */
  readonly #named = new Set<I>();

  /** @param blockSize bytes of a directory block */
  constructor(home: DirHome<I>, blockSize: number, format: EntryFormat<I, E>) {
    this.home = home;
    this.#blockSize = blockSize;
    this.#format = format;
  }

  /** Checks the name at one place; true when it is there. */
  look(dir: I, buf: DirBlock, index: number, name: string, out: Found): boolean {
    const offset = this.#format.find(dir, buf, index, name);
    if (offset < 0) return false;
    out.ino = this.#format.inoAt(dir, buf, offset);
    out.index = index;
    out.offset = offset;
    return true;
  }

  /**
   * Finds a name in cached blocks.
   * @returns false when `out.missing` must be read first
   * @throws FsError EUCLEAN
   */
  peekFind(dir: I, name: string, out: Found): boolean {
    out.ino = 0;
    if (name.length === 0 || name.length > this.#format.nameMax) return true;
    const total = this.home.count(dir);
    if (total > SCAN_BLOCKS_MAX && name !== '.' && name !== '..') {
      const names = dir.dir?.names;
      if (names === undefined) {
        out.missing = -1;
        return false;
      }
      for (const index of names.candidates(name)) {
        if (index >= total) continue;
        const buf = this.home.peek(dir, index);
        if (buf === undefined) {
          out.missing = index;
          return false;
        }
        if (this.look(dir, buf, index, name, out)) return true;
      }
      return true;
    }
    const last = Math.min(total, SCAN_BLOCKS_MAX);
    for (let index = 0; index < last; index++) {
      const buf = this.home.peek(dir, index);
      if (buf === undefined) {
        out.missing = index;
        return false;
      }
      if (this.look(dir, buf, index, name, out)) return true;
    }
    return true;
  }

  /**
   * Finds a name. `peek`: how a format with an index of its own looks in cached blocks; default `peekFind`.
   *
   * Lock: the directory, shared. Waits on: reads of directory blocks; all of them, once, for a large one.
   * @throws FsError EUCLEAN, EIO
   */
  *find(dir: I, name: string, out: Found, peek?: (dir: I, name: string, out: Found) => boolean): Io<void> {
    const held: DirBlock[] = [];
    try {
      while (!(peek === undefined ? this.peekFind(dir, name, out) : peek(dir, name, out))) {
        if (out.missing >= 0) {
          held.push((yield* this.home.read(dir, out.missing)).hold());
        } else if (!(yield* this.buildNames(dir))) {
          yield* this.#scan(dir, name, out);
          return;
        }
      }
    } finally {
      for (const buf of held) buf.put();
    }
  }

  /** Searches block by block: for a directory with more names than an index may hold. */
  *#scan(dir: I, name: string, out: Found): Io<void> {
    const total = this.home.count(dir);
    for (let index = 0; index < total; index++) {
      const buf = this.home.peek(dir, index) ?? (yield* this.home.read(dir, index));
      if (this.look(dir, buf, index, name, out)) return;
    }
  }

  /** Builds the index of names; false when there are too many. */
  *buildNames(dir: I): Io<boolean> {
    const total = this.home.count(dir);
    // Half full they would be too many: do not start.
    if (total * Math.floor(this.#format.perBlock / 2) > NAMES_MAX) return false;
    const names = new NameIndex();
    for (let index = 0; index < total; index++) {
      const buf = this.home.peek(dir, index) ?? (yield* this.home.read(dir, index));
      const fits = this.#format.each(dir, buf, index, 0, (offset) => names.add(this.#format.nameAt(buf, offset), index));
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
  forget(dir: I): void {
    this.#named.delete(dir);
    if (dir.dir !== undefined) dir.dir.names = undefined;
  }

  /**
   * Enters a name that is not there in a block that has room; false when none has.
   *
   * Lock: the directory, exclusive. Waits on: reads of blocks whose room is not known.
   */
  *addInside(dir: I, entry: E): Io<boolean> {
    const state = (dir.dir ??= new DirState());
    const total = this.home.count(dir);
    const need = this.#format.need(entry);
    for (let index = state.firstRoom; index < total; index++) {
      const known = state.gaps[index] ?? -1;
      if (known >= 0 && known < need) {
        if (index === state.firstRoom && known < this.#format.needMin) state.firstRoom++;
        continue;
      }
      const buf = this.home.peek(dir, index) ?? (yield* this.home.read(dir, index));
      if (this.put(dir, buf, index, entry)) return true;
    }
    return false;
  }

  /** Enters a name into one block; false when that has no room. */
  put(dir: I, buf: DirBlock, index: number, entry: E): boolean {
    const state = (dir.dir ??= new DirState());
    const gap = this.#format.insert(dir, buf, index, entry);
    while (state.gaps.length < index) state.gaps.push(-1);
    state.gaps[index] = gap;
    if (gap !== -1) return false;
    this.home.markDirty(buf, dir);
    if (state.names?.add(entry.name, index) === false) this.forget(dir);
    return true;
  }

  /** Removes the entry at `found`, which was found under the same lock. */
  *remove(dir: I, found: Found): Io<void> {
    const buf = this.home.peek(dir, found.index) ?? (yield* this.home.read(dir, found.index));
    this.#format.remove(buf, found.offset);
    this.home.markDirty(buf, dir);
    const state = dir.dir;
    if (state === undefined) return;
    if (found.index < state.gaps.length) state.gaps[found.index] = -1;
    if (found.index < state.firstRoom) state.firstRoom = found.index;
  }

  /** Has it entries beside '.' and '..'? */
  *isEmpty(dir: I): Io<boolean> {
    const total = this.home.count(dir);
    for (let index = 0; index < total; index++) {
      const buf = this.home.peek(dir, index) ?? (yield* this.home.read(dir, index));
      const none = this.#format.each(dir, buf, index, 0, (offset) => {
        const name = this.#format.nameAt(buf, offset);
        return name === '.' || name === '..';
      });
      if (!none) return false;
    }
    return true;
  }

  /** Lists a directory of one block that is cached or can be read within the call; false = nothing was taken. */
  peekList(dir: I, take: TakeEntry): boolean {
    const buf = this.home.count(dir) === 1 ? this.home.only(dir) : undefined;
    if (buf === undefined) return false;
    this.#format.each(dir, buf, 0, 0, (offset, next) => take(buf, offset, this.#format.nameAt(buf, offset), next));
    return true;
  }

  /** Lists entries from byte `cookie` on, in the order of the disk. */
  *list(dir: I, cookie: number, take: TakeEntry): Io<void> {
    const blockSize = this.#blockSize;
    const total = this.home.count(dir);
    for (let index = Math.floor(cookie / blockSize); index < total; index++) {
      const base = index * blockSize;
      const buf = this.home.peek(dir, index) ?? (yield* this.home.read(dir, index));
      const wentOn = this.#format.each(dir, buf, index, Math.max(0, cookie - base), (offset, next) =>
        take(buf, offset, this.#format.nameAt(buf, offset), base + next),
      );
      if (!wentOn) return;
    }
  }
}
