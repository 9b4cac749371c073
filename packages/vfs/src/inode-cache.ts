/**
 * The inode cache: one object per inode number while anybody refers to it, and for some time after.
 *
 * - `peek` = no wait, no reference; `get` = read if need be, with a reference; `put` gives the reference back.
 * - `put` is plain, so that `finally` may call it. An inode whose last reference goes while it has no link left is queued,
 *   and the next `reap` (every operation that drops links or closes files ends with one) frees it.
 * - Bounded by `max`, beyond which unused inodes leave in the order of a clock (second chance); inodes in use may exceed it.
 *
 * Invariants
 * - I1 a number is in `#map` or in `#busy` (being read or evicted): whoever asks for a busy one waits. In both it is only
 *   when an eviction has freed the number and has not ended, and a new inode has got it already.
 * - I2 an inode is evicted only with `refs` 0.
 */
import { assert, FsError, submit, WaitQueue, withContext, type Io } from '@iomap/io';
import { InodeState, stateOf, type DentryCache } from './dentry-cache.js';
import type { FileSystem, Inode } from './filesystem.js';

/** Inodes looked at per insertion above the limit. */
const SCAN = 16;

export class InodeCache {
  readonly max: number;
  readonly #fs: FileSystem;
  readonly #dentries: DentryCache;
  readonly #map = new Map<number, Inode>();
  readonly #busy = new Map<number, WaitQueue>();
  #orphans: Inode[] = [];
  /** The first failure of a write-back that nobody waited for. */
  #lost: FsError | undefined;
  #hand: IterableIterator<Inode> = this.#map.values();

  constructor(fs: FileSystem, dentries: DentryCache, max: number) {
    this.#fs = fs;
    this.#dentries = dentries;
    this.max = max;
  }

  get count(): number {
    return this.#map.size;
  }

  /** The cached inode, without a reference: good until the next wait. */
  peek(ino: number): Inode | undefined {
    return this.#map.get(ino);
  }

  /** `peek`, or made from the driver's cached blocks. Without a reference; undefined = take `get`. */
  peekOrMake(ino: number): Inode | undefined {
    const hit = this.#map.get(ino);
    if (hit !== undefined) return hit;
    if (this.#busy.size > 0 || this.#map.size >= this.max) return undefined; // I1
    const inode = this.#fs.peekInode?.(ino);
    if (inode === undefined || inode.ino !== ino) return undefined;
    this.#enter(inode);
    inode.refs = 0;
    return inode;
  }

  /**
   * The inode, referenced. Concurrent calls for one number wait for one read.
   * @throws FsError ESTALE, EUCLEAN, EIO: the driver's
   */
  *get(ino: number): Io<Inode> {
    for (;;) {
      const hit = this.#map.get(ino);
      if (hit !== undefined) {
        hit.refs++;
        stateOf(hit).used = true;
        return hit;
      }
      const busy = this.#busy.get(ino);
      if (busy === undefined) break;
      yield* submit({ kind: 'wait', queue: busy });
    }
    const queue = this.#startBusy(ino);
    let inode: Inode;
    try {
      inode = yield* this.#fs.readInode(ino);
      if (inode.ino !== ino) throw new FsError('EUCLEAN', { why: 'inode number mismatch', detail: { ino } });
      this.#enter(inode);
    } finally {
      this.#endBusy(ino, queue);
    }
    if (this.#map.size > this.max) yield* this.shrink();
    return inode;
  }

  /**
   * Enters an inode that the driver has just made, with a reference.
   * @throws FsError EUCLEAN when there is one of this number: the image says of an inode in use that it is free
   */
  add(inode: Inode): void {
    const { ino } = inode;
    if (this.#map.has(ino)) throw new FsError('EUCLEAN', { why: 'an inode in use is marked free', detail: { ino } });
    this.#enter(inode);
  }

  #enter(inode: Inode): void {
    inode.vfs = new InodeState();
    inode.refs = 1;
    this.#map.set(inode.ino, inode);
  }

  /** Gives back `count` references. */
  put(inode: Inode, count = 1): void {
    inode.refs -= count;
    assert(inode.refs >= 0, 'inode reference count');
    if (inode.refs === 0 && inode.nlink === 0) this.#orphans.push(inode);
  }

  /** True when `reap` or `shrink` has work. */
  get pressed(): boolean {
    return this.#orphans.length > 0 || this.#map.size > this.max;
  }

  /** Frees the inodes that have neither link nor reference. Call with no lock held. */
  *reap(): Io<void> {
    while (this.#orphans.length > 0) {
      const inode = this.#orphans.pop();
      if (inode === undefined || inode.refs > 0 || inode.nlink > 0 || this.#map.get(inode.ino) !== inode) continue;
      yield* this.#evict(inode);
    }
    if (this.#map.size > this.max) yield* this.shrink();
  }

  /** Lets a few unused inodes go (clock). A write-back that fails is told by the next `sync` or `unmount` (`throwLost`). */
  *shrink(): Io<void> {
    const dirty: Inode[] = [];
    for (let left = SCAN; left > 0 && this.#map.size - dirty.length > this.max; left--) {
      const inode = this.#turn();
      if (inode === undefined) break;
      const state = stateOf(inode);
      if (inode.refs > 0 || state.used) state.used = false;
      else if (inode.nlink > 0 && this.#fs.isEvictable(inode)) this.#forget(inode);
      else if (!dirty.includes(inode)) dirty.push(inode);
    }
    for (const inode of dirty) {
      if (inode.refs === 0 && this.#map.get(inode.ino) === inode) yield* this.#evictNoting(inode);
    }
  }

  /** The next inode under the clock's hand. The hand is one iterator, since a new one would step over all that was deleted. */
  #turn(): Inode | undefined {
    const next = this.#hand.next();
    if (next.done !== true) return next.value;
    this.#hand = this.#map.values();
    const first = this.#hand.next();
    return first.done === true ? undefined : first.value;
  }

  /** Evicts all that nobody uses. An inode whose write-back fails is told by `throwLost`, and the others still go. */
  *prune(): Io<void> {
    // Those without a link are in the map too.
    this.#orphans = [];
    for (const inode of [...this.#map.values()]) {
      if (inode.refs > 0 || this.#map.get(inode.ino) !== inode) continue;
      if (inode.nlink > 0 && this.#fs.isEvictable(inode)) this.#forget(inode);
      else yield* this.#evictNoting(inode);
    }
  }

  /** @throws FsError EBUSY when an inode is in use */
  checkIdle(): void {
    for (const inode of this.#map.values()) {
      if (inode.refs > 0) throw new FsError('EBUSY', { detail: { ino: inode.ino } });
    }
  }

  /** Evicts everything (unmount); see `prune`. @throws FsError EBUSY when an inode is in use */
  *clear(): Io<void> {
    this.checkIdle();
    yield* this.prune();
  }

  /** @throws FsError once: the first failure of an eviction since the last call */
  throwLost(): void {
    const lost = this.#lost;
    this.#lost = undefined;
    if (lost !== undefined) throw lost;
  }

  *#evictNoting(inode: Inode): Io<void> {
    try {
      yield* this.#evict(inode);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      // The driver tells a failure of data once; whoever made the change has closed the file and asks by `sync` at most.
      this.#lost ??= withContext(error, { detail: { ino: inode.ino } });
    }
  }

  /** The cached inodes, oldest first; for statistics and invariants in tests. */
  values(): IterableIterator<Inode> {
    return this.#map.values();
  }

  #forget(inode: Inode): void {
    this.#dentries.drop(inode);
    this.#map.delete(inode.ino);
  }

  *#evict(inode: Inode): Io<void> {
    assert(inode.refs === 0, 'I2');
    this.#dentries.changed();
    this.#map.delete(inode.ino);
    const queue = this.#startBusy(inode.ino);
    let done = false;
    try {
      yield* this.#fs.evictInode(inode);
      done = true;
    } finally {
      if (done) this.#dentries.drop(inode);
      else if (!this.#map.has(inode.ino)) this.#map.set(inode.ino, inode);
      this.#endBusy(inode.ino, queue);
    }
  }

  #startBusy(ino: number): WaitQueue {
    const queue = new WaitQueue(`inode ${ino}`);
    this.#busy.set(ino, queue);
    return queue;
  }

  #endBusy(ino: number, queue: WaitQueue): void {
    this.#busy.delete(ino);
    queue.wakeAll();
  }
}
