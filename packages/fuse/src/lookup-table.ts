/**
 * How often the kernel has been told of each inode (`nlookup`): a hash table in typed arrays, twelve bytes a slot, since a
 * kernel with much memory holds on to a million inodes and more while the vfs keeps a few thousand in core.
 *
 * Open addressing, linear probing, at most 3/4 full; a removal shifts back what it would hide, so there are no tombstones.
 */
const SLOTS_MIN = 1024;

export class LookupTable {
  #keys = new Float64Array(SLOTS_MIN);
  #counts = new Uint32Array(SLOTS_MIN);
  #mask = SLOTS_MIN - 1;
  #size = 0;

  /** How many inodes the kernel knows. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of memory. */
  get bytes(): number {
    return this.#keys.byteLength + this.#counts.byteLength;
  }

  /** Slot of `ino`, or the empty one where it would go. A count of 0 marks an empty slot. */
  #find(ino: number): number {
    let at = this.#home(ino);
    while ((this.#counts[at] ?? 0) !== 0 && this.#keys[at] !== ino) at = (at + 1) & this.#mask;
    return at;
  }

  #home(ino: number): number {
    // Inode numbers come in runs: spread them, so that runs do not make clusters with others.
    return (Math.imul(ino % 2 ** 32 | 0, 0x9e3779b1) >>> 7) & this.#mask;
  }

  get(ino: number): number {
    return this.#counts[this.#find(ino)] ?? 0;
  }

  add(ino: number): void {
    const at = this.#find(ino);
    const count = this.#counts[at] ?? 0;
    this.#counts[at] = count + 1;
    if (count !== 0) return;
    this.#keys[at] = ino;
    this.#size++;
    if (this.#size * 4 > this.#counts.length * 3) this.#resize(this.#counts.length * 2);
  }

  /** Takes `count` off; true when nothing is left (the kernel has forgotten the inode). More than there is counts as all. */
  remove(ino: number, count: number): boolean {
    const at = this.#find(ino);
    const had = this.#counts[at] ?? 0;
    if (had === 0) return false;
    if (had > count) {
      this.#counts[at] = had - count;
      return false;
    }
    this.#delete(at);
    this.#size--;
    if (this.#counts.length > SLOTS_MIN && this.#size * 8 < this.#counts.length) this.#resize(this.#counts.length / 2);
    return true;
  }

  #delete(at: number): void {
    const mask = this.#mask;
    let hole = at;
    for (let next = (hole + 1) & mask; (this.#counts[next] ?? 0) !== 0; next = (next + 1) & mask) {
      const home = this.#home(this.#keys[next] ?? 0);
      // Would a search from `home` meet the hole before `next`?
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      this.#keys[hole] = this.#keys[next] ?? 0;
      this.#counts[hole] = this.#counts[next] ?? 0;
      hole = next;
    }
    this.#counts[hole] = 0;
  }

  #resize(slots: number): void {
    const keys = this.#keys;
    const counts = this.#counts;
    this.#keys = new Float64Array(slots);
    this.#counts = new Uint32Array(slots);
    this.#mask = slots - 1;
    for (let i = 0; i < counts.length; i++) {
      const count = counts[i] ?? 0;
      if (count === 0) continue;
      const at = this.#find(keys[i] ?? 0);
      this.#keys[at] = keys[i] ?? 0;
      this.#counts[at] = count;
    }
  }
}
