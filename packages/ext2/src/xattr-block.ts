/**
 * Attribute blocks that inodes share, by content: which block holds a given content, as far as this mount has seen.
 *
 * A hint in the manner of Linux's mbcache: a block named here is read and compared before it is shared. Bounded.
 */
const BLOCKS_MAX = 4096;

export class XattrBlockCache {
  readonly #byHash = new Map<number, number>();

  /** A block whose content had this hash. */
  lookup(hash: number): number | undefined {
    return hash === 0 ? undefined : this.#byHash.get(hash);
  }

  remember(hash: number, block: number): void {
    if (hash === 0) return;
    this.#byHash.delete(hash);
    this.#byHash.set(hash, block);
    if (this.#byHash.size > BLOCKS_MAX) {
      for (const oldest of this.#byHash.keys()) {
        this.#byHash.delete(oldest);
        break;
      }
    }
  }

  /** The block was freed or changed. */
  forget(hash: number, block: number): void {
    if (this.#byHash.get(hash) === block) this.#byHash.delete(hash);
  }
}
