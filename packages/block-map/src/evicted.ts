/** Inode numbers in the order they were last added, so that a sync forgets those alone that it has written. */
export class Evicted {
  readonly #order = new Map<number, number>();
  /** Additions so far. */
  count = 0;

  add(ino: number): void {
    this.#order.delete(ino);
    this.#order.set(ino, ++this.count);
  }

  has(ino: number): boolean {
    return this.#order.has(ino);
  }

  /** Forgets what was added when `count` was this or less. */
  forget(count: number): void {
    for (const [ino, added] of this.#order) {
      if (added > count) return;
      this.#order.delete(ino);
    }
  }
}
