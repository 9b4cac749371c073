/** What is known of each inode of the image: some twenty bytes, by chunk of 64. */
import type { SuperInfo } from '../super.js';
import { Words } from './tables.js';

/** Chunks of 64 inodes of one group, in order. */
export class Chunks {
  /** First inode in the group. */
  readonly start = new Words();
  /** Bits of inodes that are free: the first 32, the rest. */
  readonly freeLow = new Words();
  readonly freeHigh = new Words();
  /** Bits of 4 inodes each that have no blocks. */
  readonly holes = new Words();

  get length(): number {
    return this.start.length;
  }

  add(start: number, freeHigh: number, freeLow: number, holes: number): void {
    this.start.push(start);
    this.freeLow.push(freeLow);
    this.freeHigh.push(freeHigh);
    this.holes.push(holes);
  }

  isFree(chunk: number, i: number): boolean {
    return ((i < 32 ? this.freeLow : this.freeHigh).at(chunk) & (1 << (i & 31))) !== 0;
  }

  isHole(chunk: number, i: number): boolean {
    return (this.holes.at(chunk) & (1 << (i >>> 2))) !== 0;
  }
}

/** What `claim` holds when names do not agree on the type. */
export const CLAIM_MIXED = 0xff;

export class InodeTable {
  readonly #groups: (Chunks | undefined)[];
  readonly #bases: number[] = [];
  readonly #perGroup: number;
  #lastGroup = -1;
  #lastStart = 0;
  #lastSlot = 0;
  /** Slots there are. */
  readonly length: number;
  /** 0 = free, or not to be read. */
  readonly mode: Uint16Array;
  readonly nlink: Uint32Array;
  /** Names that lead to it, '.' and '..' of directories included. */
  readonly links: Uint32Array;
  /** The type that names say, plus 1; 0 = no name yet. */
  readonly claim: Uint8Array;
  /** Slot plus 1 of a directory that names it. */
  readonly namedIn: Uint32Array;
  /** Directories: slot plus 1 of what '..' says. */
  readonly parent: Uint32Array;

  constructor(info: SuperInfo, groups: readonly (Chunks | undefined)[]) {
    this.#groups = [...groups];
    this.#perGroup = 2 ** (info.agBlkLog + info.inopblog);
    let slots = 0;
    for (const chunks of groups) {
      this.#bases.push(slots);
      slots += (chunks?.length ?? 0) * 64;
    }
    this.length = slots;
    this.mode = new Uint16Array(slots);
    this.nlink = new Uint32Array(slots);
    this.links = new Uint32Array(slots);
    this.claim = new Uint8Array(slots);
    this.namedIn = new Uint32Array(slots);
    this.parent = new Uint32Array(slots);
  }

  /** Slot of the first inode of a chunk. */
  base(ag: number, chunk: number): number {
    return (this.#bases[ag] ?? 0) + chunk * 64;
  }

  /** The slot of an inode that lies in a chunk, -1 = it lies in none. */
  slot(ino: number): number {
    const ag = Math.floor(ino / this.#perGroup);
    const inGroup = ino - ag * this.#perGroup;
    if (ag === this.#lastGroup && inGroup >= this.#lastStart && inGroup < this.#lastStart + 64) return this.#lastSlot + inGroup - this.#lastStart;
    const chunks = this.#groups[ag];
    if (chunks === undefined) return -1;
    const { data } = chunks.start;
    let low = 0;
    let high = chunks.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((data[mid] ?? 0) <= inGroup) low = mid + 1;
      else high = mid;
    }
    const start = data[low - 1] ?? 0;
    if (low === 0 || inGroup >= start + 64) return -1;
    this.#lastGroup = ag;
    this.#lastStart = start;
    this.#lastSlot = this.base(ag, low - 1);
    return this.#lastSlot + inGroup - start;
  }

  /** The number of the inode in a slot. */
  ino(slot: number): number {
    let ag = this.#groups.length - 1;
    while (ag > 0 && ((this.#bases[ag] ?? 0) > slot || (this.#groups[ag]?.length ?? 0) === 0)) ag--;
    const within = slot - (this.#bases[ag] ?? 0);
    return ag * this.#perGroup + (this.#groups[ag]?.start.at(Math.floor(within / 64)) ?? 0) + (within % 64);
  }
}
