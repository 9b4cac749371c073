/**
 * The dentry cache: what each directory is known to hold and not to hold.
 *
 * - A dentry is an entry of its directory's map: name -> inode number, 0 for "no such name" (a negative dentry). It refers
 *   to an inode by number, so it pins nothing; an inode that has left the cache is read again.
 * - A directory that was made here and has lost no dentry since is `complete`: what its map lacks does not exist.
 * - `epoch` goes up whenever something that a walk has passed may lead elsewhere or nowhere now (`changed` for what others know of).
 * - Bounded: above `max` the directories not walked lately lose their oldest entries (second chance).
 *
 * Locks: changed only with the directory's lock held (shared suffices to add what the format says); read by anyone, since
 * plain code is atomic.
 */
import type { FsError } from '@iomap/io';
import type { Inode, Name } from './filesystem.js';
import { isDirectory } from './modes.js';

/** What the vfs keeps on an inode, in `Inode.vfs`. */
export class InodeState {
  children: Map<Name, number> | undefined = undefined;
  complete = false;
  /** Of a directory: its parent's inode number; 0 = not known yet. */
  parent = 0;
  /** Of a symbolic link: its target, once read (a link never changes). */
  link: string | undefined = undefined;
  /** Second chance of the inode cache and of the dentry cache. */
  used = true;
  /** How often its writing back has failed as far as fsync was told, and what it said last. */
  writeErrors = 0;
  writeError: FsError | undefined = undefined;
  walked = true;
}

/** The vfs's state of a cached inode. */
export const stateOf = (inode: Inode): InodeState =>
  // The vfs alone writes `vfs`, so no check: this is read several times per path component.
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment
  (inode.vfs ??= new InodeState()) as InodeState;

export class DentryCache {
  readonly max: number;
  /** Directories with a map, in clock order. */
  readonly #dirs = new Set<Inode>();
  #count = 0;
  #epoch = 0;

  constructor(max: number) {
    this.max = max;
  }

  get count(): number {
    return this.#count;
  }

  /** The same as before: each positive dentry of then is there still, and who might search its directory still may. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The right to search a directory may have changed. */
  changed(): void {
    this.#epoch++;
  }

  /** The inode number under `name`; 0 = known not to exist; undefined = ask the filesystem. */
  get(dir: Inode, name: Name): number | undefined {
    const state = stateOf(dir);
    const ino = state.children?.get(name);
    return ino === undefined && state.complete ? 0 : ino;
  }

  set(dir: Inode, name: Name, ino: number): void {
    const state = stateOf(dir);
    if (ino === 0 && state.complete) {
      if (state.children?.delete(name) === true) {
        this.#count--;
        this.#epoch++;
      }
      return;
    }
    let children = state.children;
    if (children === undefined) {
      children = state.children = new Map();
      this.#dirs.add(dir);
    }
    const before = children.get(name);
    if (before === ino) return;
    children.set(name, ino);
    if (before === undefined) {
      this.#count++;
      if (this.#count > this.max) this.#shrink();
    } else if (before !== 0) {
      this.#epoch++;
    }
  }

  /** Adds what a listing of `dir` said, unless more is known; never at the cost of other dentries. */
  learn(dir: Inode, name: Name, ino: number): void {
    if (this.#count >= this.max || this.get(dir, name) !== undefined) return;
    this.set(dir, name, ino);
  }

  /** Forgets all that is known of a directory (it leaves the cache, or is gone). */
  drop(dir: Inode): void {
    const state = stateOf(dir);
    state.complete = false;
    if (isDirectory(dir.mode)) this.#epoch++;
    if (state.children === undefined) return;
    this.#count -= state.children.size;
    state.children = undefined;
    this.#dirs.delete(dir);
  }

  /** Takes the count an eighth below the limit. Each directory is passed over once at most, so the loop ends. */
  #shrink(): void {
    const goal = this.max - Math.floor(this.max / 8);
    for (let round = 0; round < 2 && this.#count > goal; round++) {
      for (const dir of [...this.#dirs]) {
        if (this.#count <= goal) return;
        const state = stateOf(dir);
        if (state.walked && round === 0) {
          state.walked = false;
          this.#dirs.delete(dir);
          this.#dirs.add(dir);
        } else {
          this.#trim(dir, state, this.#count - goal);
        }
      }
    }
  }

  #trim(dir: Inode, state: InodeState, excess: number): void {
    const { children } = state;
    if (children === undefined) return;
    state.complete = false;
    this.#epoch++;
    if (excess >= children.size) {
      this.drop(dir);
      return;
    }
    for (const name of children.keys()) {
      children.delete(name);
      this.#count--;
      if (--excess <= 0) return;
    }
  }
}
