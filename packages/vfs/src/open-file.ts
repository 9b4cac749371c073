/** Open files, and the table that numbers them. */
import { FsError } from '@iomap/io';
import type { Inode } from './filesystem.js';

/** An open file description: it holds a reference to its inode, so an unlinked file lives until its last close. */
export interface OpenFile {
  readonly inode: Inode;
  /** O_… as opened, without those that act only at open. */
  readonly flags: number;
  readonly readable: boolean;
  readonly writable: boolean;
  /** Where the next `read` or `write` without a position starts; bytes. */
  pos: number;
  /** The inode's `writeErrors` that an fsync of this file has told, or that came before it was opened; absent: 0. */
  errorsSeen?: number;
  /** Set by `close`: operations already under way may end, new ones are EBADF. */
  closed: boolean;
}

/** Lowest descriptor given: 0 to 2 are a process's standard streams, which callers special-case. */
const FIRST_FD = 3;

/** Files by descriptor: the lowest free number is given, as POSIX says. */
export class FileTable<T> {
  readonly max: number;
  readonly #files: (T | undefined)[] = [];
  /** No slot below it is free. */
  #firstFree = 0;
  #count = 0;

  constructor(max: number) {
    this.max = max;
  }

  get count(): number {
    return this.#count;
  }

  /** @throws FsError EMFILE */
  add(file: T): number {
    if (this.#count >= this.max) throw new FsError('EMFILE');
    let at = this.#firstFree;
    while (this.#files[at] !== undefined) at++;
    this.#files[at] = file;
    this.#firstFree = at + 1;
    this.#count++;
    return at + FIRST_FD;
  }

  /** The file, without checks. */
  peek(fd: number): T | undefined {
    return this.#files[fd - FIRST_FD];
  }

  /** @throws FsError EBADF */
  get(fd: number): T {
    const file = this.#files[fd - FIRST_FD];
    if (file === undefined) throw new FsError('EBADF');
    return file;
  }

  /** Takes a descriptor out of the table. @throws FsError EBADF */
  remove(fd: number): T {
    const file = this.get(fd);
    const at = fd - FIRST_FD;
    this.#files[at] = undefined;
    if (at < this.#firstFree) this.#firstFree = at;
    this.#count--;
    return file;
  }
}
