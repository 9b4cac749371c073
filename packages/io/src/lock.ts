/**
 * Locks between tasks: `Mutex` and `RwLock`.
 *
 * - Taking is Io, letting go is a plain function, so that `finally` can do it:
 *   `if (!lock.tryWrite()) yield* lock.write(); try { … } finally { lock.unlockWrite(); }`.
 * - First come, first served. An unlock hands the lock over: the next waiter owns it before it runs, so nobody barges in,
 *   and `try…` fails while anybody waits (a stream of readers cannot starve a writer).
 * - Not recursive, for readers either.
 * - A lock that was never contended holds no object but itself: there is one per inode.
 *
 * Invariants:
 * I1  A waiter is in `#waiters` until it is granted or its task is cancelled; never after.
 * I2  A granted waiter whose task is cancelled before it runs passes the lock on.
 * I3  When the lock is free, nobody waits.
 */
import { assert } from './assert.js';
import { lockOrder, type LockRank } from './lock-order.js';
import type { Io } from './request.js';
import { submit } from './submit.js';
import { WaitQueue } from './wait-queue.js';

/** One parked task: its place in the line and the queue of one that it sleeps on. */
interface Waiter {
  readonly write: boolean;
  readonly queue: WaitQueue;
  granted: boolean;
}

/** What a lock is called: a string, or the object that it guards, whose `toString` says it when a message is needed. */
export interface LockName {
  toString(): string;
}

/**
 * Many readers or one writer.
 *
 * Under `runSync`, a lock that another task holds is `EAGAIN`: nobody could ever unlock it meanwhile.
 */
export class RwLock {
  readonly #name: LockName;
  /** Its place in the lock order; a lock without one is only checked against recursion. */
  readonly rank: LockRank | undefined;
  /** -1: a writer holds it; 0: free; n: n readers hold it. */
  #state = 0;
  #waiters: Waiter[] | undefined = undefined;

  constructor(name: LockName, rank?: LockRank) {
    this.#name = name;
    this.rank = rank;
  }

  /** What is locked, for messages ("inode 12"). */
  get name(): string {
    return this.#name.toString();
  }

  get writeLocked(): boolean {
    return this.#state < 0;
  }

  /** How many readers hold it. */
  get readers(): number {
    return this.#state > 0 ? this.#state : 0;
  }

  /** How many tasks wait for it. */
  get waiting(): number {
    return this.#waiters?.length ?? 0;
  }

  /**
   * Takes it for reading if that needs no wait.
   * @param anyOrder the caller gives up on false and so cannot deadlock: the lock order is not checked
   */
  tryRead(anyOrder = false): boolean {
    if (lockOrder.active !== undefined && !anyOrder) lockOrder.active.check(this);
    if (this.#state < 0 || this.waiting > 0) return false;
    this.#state++;
    lockOrder.active?.acquired(this);
    return true;
  }

  /**
   * Takes it for reading.
   * Waits on: the lock.
   * @throws FsError EAGAIN under `runSync`, when another task holds it
   */
  *read(): Io<void> {
    if (!this.tryRead()) yield* this.#wait(false);
  }

  /** Lets go of one read hold. */
  unlockRead(): void {
    // The message is made on failure alone: this runs at every read.
    if (this.#state <= 0) assert(false, `${this.name} is held for reading`);
    lockOrder.active?.released(this);
    this.#state--;
    this.#grant();
  }

  /** Takes it for writing if that needs no wait. `anyOrder` as in `tryRead`. */
  tryWrite(anyOrder = false): boolean {
    if (lockOrder.active !== undefined && !anyOrder) lockOrder.active.check(this);
    if (this.#state !== 0 || this.waiting > 0) return false;
    this.#state = -1;
    lockOrder.active?.acquired(this);
    return true;
  }

  /**
   * Takes it for writing.
   * Waits on: the lock.
   * @throws FsError EAGAIN under `runSync`, when another task holds it
   */
  *write(): Io<void> {
    if (!this.tryWrite()) yield* this.#wait(true);
  }

  /** Lets go of the write hold. */
  unlockWrite(): void {
    if (this.#state >= 0) assert(false, `${this.name} is held for writing`);
    lockOrder.active?.released(this);
    this.#state = 0;
    this.#grant();
  }

  *#wait(write: boolean): Io<void> {
    const waiter: Waiter = { write, queue: new WaitQueue(this.name), granted: false };
    (this.#waiters ??= []).push(waiter);
    let resumed = false;
    try {
      while (!waiter.granted) yield* submit({ kind: 'wait', queue: waiter.queue });
      resumed = true;
    } finally {
      if (!resumed) this.#abandon(waiter);
    }
    lockOrder.active?.acquired(this);
  }

  /** The waiter's task was cancelled, or may not wait (I1, I2). */
  #abandon(waiter: Waiter): void {
    if (waiter.granted) {
      this.#state = waiter.write ? 0 : this.#state - 1;
    } else {
      const at = this.#waiters?.indexOf(waiter) ?? -1;
      assert(at >= 0, 'I1');
      this.#waiters?.splice(at, 1);
    }
    this.#grant();
  }

  /** Hands the lock to the front of the line: one writer, or all readers up to the next writer (I3). */
  #grant(): void {
    const waiters = this.#waiters;
    if (waiters === undefined) return;
    for (let front = waiters[0]; front !== undefined; front = waiters[0]) {
      if (front.write ? this.#state !== 0 : this.#state < 0) return;
      waiters.shift();
      this.#state = front.write ? -1 : this.#state + 1;
      front.granted = true;
      front.queue.wakeOne();
    }
    this.#waiters = undefined;
  }
}

/** One holder at a time. */
export class Mutex {
  readonly name: string;
  readonly rank: LockRank | undefined;
  #locked = false;
  #waiters: Waiter[] | undefined = undefined;

  constructor(name: string, rank?: LockRank) {
    this.name = name;
    this.rank = rank;
  }

  get locked(): boolean {
    return this.#locked;
  }

  /** How many tasks wait for it. */
  get waiting(): number {
    return this.#waiters?.length ?? 0;
  }

  /** Takes it if that needs no wait. `anyOrder` as in `RwLock.tryRead`. */
  tryLock(anyOrder = false): boolean {
    if (lockOrder.active !== undefined && !anyOrder) lockOrder.active.check(this);
    // A hand-over keeps #locked set, so nobody can wait for a lock that is free (I3).
    if (this.#locked) return false;
    this.#locked = true;
    lockOrder.active?.acquired(this);
    return true;
  }

  /**
   * Takes it.
   * Waits on: the lock.
   * @throws FsError EAGAIN under `runSync`, when another task holds it
   */
  *lock(): Io<void> {
    if (this.tryLock()) return;
    const waiter: Waiter = { write: true, queue: new WaitQueue(this.name), granted: false };
    (this.#waiters ??= []).push(waiter);
    let resumed = false;
    try {
      while (!waiter.granted) yield* submit({ kind: 'wait', queue: waiter.queue });
      resumed = true;
    } finally {
      if (!resumed) this.#abandon(waiter);
    }
    lockOrder.active?.acquired(this);
  }

  /** Lets go of it. */
  unlock(): void {
    if (!this.#locked) assert(false, `${this.name} is locked`);
    lockOrder.active?.released(this);
    this.#pass();
  }

  /** The waiter's task was cancelled, or may not wait (I1, I2). */
  #abandon(waiter: Waiter): void {
    if (waiter.granted) {
      this.#pass();
      return;
    }
    const at = this.#waiters?.indexOf(waiter) ?? -1;
    assert(at >= 0, 'I1');
    this.#waiters?.splice(at, 1);
  }

  #pass(): void {
    const next = this.#waiters?.shift();
    if (next === undefined) {
      this.#locked = false;
      this.#waiters = undefined;
      return;
    }
    next.granted = true;
    next.queue.wakeOne();
  }
}
