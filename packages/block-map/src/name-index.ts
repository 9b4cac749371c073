/**
 * An index of names in core for large linear directories: a 32-bit hash and a block number per name, not the names. It can be
 * rebuilt from the blocks; a hit is confirmed in the block, so a stale entry only costs a look.
 */
import { assert } from '@iomap/io';

/** Names that one index holds at most: 16 MiB of memory. A larger linear directory is searched block by block. */
export const NAMES_MAX = 2 ** 20;

/** FNV-1a. */
export function hashName(name: string): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193);
  return hash >>> 0;
}

/** A hash table with open addressing: name hash → directory block. */
export class NameIndex {
  #hashes = new Uint32Array(1024);
  /** Directory block plus one; 0 = free slot. */
  #blocks = new Uint32Array(1024);
  #used = 0;

  get size(): number {
    return this.#used;
  }

  /** Enters a name; false when the index is full. */
  add(name: string, block: number): boolean {
    if (this.#used >= NAMES_MAX) return false;
    if (this.#used * 2 >= this.#hashes.length) this.#grow();
    this.#put(hashName(name), block + 1);
    return true;
  }

  #put(hash: number, value: number): void {
    const mask = this.#hashes.length - 1;
    let slot = hash & mask;
    while (this.#blocks[slot] !== 0) {
      if (this.#hashes[slot] === hash && this.#blocks[slot] === value) return;
      slot = (slot + 1) & mask;
    }
    this.#hashes[slot] = hash;
    this.#blocks[slot] = value;
    this.#used++;
  }

  #grow(): void {
    const hashes = this.#hashes;
    const blocks = this.#blocks;
    assert(hashes.length <= NAMES_MAX * 2, 'the index is bounded');
    this.#hashes = new Uint32Array(hashes.length * 2);
    this.#blocks = new Uint32Array(hashes.length * 2);
    this.#used = 0;
    for (let i = 0; i < hashes.length; i++) {
      const value = blocks[i] ?? 0;
      if (value !== 0) this.#put(hashes[i] ?? 0, value);
    }
  }

  /** The blocks that may hold `name`. */
  candidates(name: string): number[] {
    const hash = hashName(name);
    const mask = this.#hashes.length - 1;
    const found: number[] = [];
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const value = this.#blocks[slot] ?? 0;
      if (value === 0) return found;
      if (this.#hashes[slot] === hash) found.push(value - 1);
    }
  }
}
