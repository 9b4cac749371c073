/**
 * A list of parked tasks. Locks are built on it: the holder wakes the next when it unlocks.
 *
 * - `add` is called by runners alone, for a `WaitRequest`.
 * - Waking is a plain function: it marks the task runnable and never runs it in place.
 */
export class WaitQueue {
  /** What is waited for, for messages ("inode 12 rw-lock"). */
  readonly name: string;
  readonly #waiters: (() => void)[] = [];

  constructor(name: string) {
    this.name = name;
  }

  get length(): number {
    return this.#waiters.length;
  }

  /** Adds a waker; the returned function takes it back out (cancel). */
  add(wake: () => void): () => void {
    this.#waiters.push(wake);
    return () => {
      const at = this.#waiters.indexOf(wake);
      if (at >= 0) this.#waiters.splice(at, 1);
    };
  }

  /** Wakes the longest waiter; false when nobody waits. */
  wakeOne(): boolean {
    const wake = this.#waiters.shift();
    if (wake === undefined) return false;
    wake();
    return true;
  }

  wakeAll(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}
