/**
 * A list of parked tasks. Locks are built on it: the holder wakes the next when it unlocks.
 *
 * - `add` is called by runners alone, for a `WaitRequest`, at once when the task yields it.
 * - A woken task may be cancelled before it runs: who uses `wakeOne` to hand something over must notice (see lock.ts).
 * - Waking is a plain function: it marks the task runnable and never runs it in place.
 */
export class WaitQueue {
  /** What is waited for, for messages ("inode 12 rw-lock"). */
  readonly name: string;
  /** Made when the first task waits, and dropped with the last: most queues are never waited in. */
  #waiters: (() => void)[] | undefined = undefined;

  constructor(name: string) {
    this.name = name;
  }

  get length(): number {
    return this.#waiters?.length ?? 0;
  }

  /** Adds a waker; the returned function takes it back out (cancel). */
  add(wake: () => void): () => void {
    (this.#waiters ??= []).push(wake);
    return () => {
      const at = this.#waiters?.indexOf(wake) ?? -1;
      if (at >= 0) this.#waiters?.splice(at, 1);
    };
  }

  /** Wakes the longest waiter; false when nobody waits. */
  wakeOne(): boolean {
    const wake = this.#waiters?.shift();
    if (wake === undefined) return false;
    wake();
    return true;
  }

  /** Wakes all, in the order they came. */
  wakeAll(): void {
    const waiters = this.#waiters;
    if (waiters === undefined) return;
    this.#waiters = undefined;
    for (const wake of waiters) wake();
  }
}
