/** Reverse maps of one group: who has which blocks, by start. Neighbours that go on in one another are one record. */
import type { TreeRecords } from './load-tree.js';

/** Owners of blocks that no inode has. */
export const OWNER = { FS: -3, LOG: -4, AG: -5, INOBT: -6, INODES: -7, REFC: -8 } as const;

/** What of an inode's the blocks are; the topmost bits of the offset. */
export const RMAP_FORK = { DATA: 0, ATTR: 0x8000_0000, BMAP: 0x4000_0000, ATTR_BMAP: 0xc000_0000 } as const;

const TWO32 = 2 ** 32;

export class RmapList implements TreeRecords {
  count = 0;
  #start = new Uint32Array(64);
  #length = new Uint32Array(64);
  /** Inode numbers, or one of `OWNER`. */
  #owner = new Float64Array(64);
  /** File block. */
  #offset = new Float64Array(64);
  #fork = new Uint32Array(64);

  /** Adds a run behind all others. @param fork one of `RMAP_FORK` */
  add(start: number, length: number, owner: number, offset = 0, fork = 0): void {
    const last = this.count - 1;
    const lastLength = this.#length[last] ?? 0;
    const isNext = last >= 0 && this.#owner[last] === owner && this.#fork[last] === fork && (this.#start[last] ?? 0) + lastLength === start;
    const isFileData = owner >= 0 && (fork & RMAP_FORK.BMAP) === 0;
    if (isNext && (!isFileData || (this.#offset[last] ?? 0) + lastLength === offset)) {
      this.#length[last] = lastLength + length;
      return;
    }
    if (this.count === this.#start.length) this.#grow();
    const i = this.count++;
    this.#start[i] = start;
    this.#length[i] = length;
    this.#owner[i] = owner;
    this.#offset[i] = isFileData ? offset : 0;
    this.#fork[i] = fork;
  }

  /** Adds all of another list, which lies behind. */
  addAll(other: RmapList): void {
    for (let i = 0; i < other.count; i++) {
      this.add(other.#start[i] ?? 0, other.#length[i] ?? 0, other.#owner[i] ?? 0, other.#offset[i] ?? 0, other.#fork[i] ?? 0);
    }
  }

  put(view: DataView, at: number, index: number): void {
    view.setUint32(at, this.#start[index] ?? 0);
    view.setUint32(at + 4, this.#length[index] ?? 0);
    this.#putWho(view, at + 8, index, 0);
  }

  putKey(view: DataView, at: number, first: number, last: number): void {
    view.setUint32(at, this.#start[first] ?? 0);
    this.#putWho(view, at + 4, first, 0);
    // Records do not overlap: the last one's end is the highest.
    const ahead = (this.#length[last] ?? 1) - 1;
    view.setUint32(at + 20, (this.#start[last] ?? 0) + ahead);
    const isFileData = (this.#owner[last] ?? 0) >= 0 && ((this.#fork[last] ?? 0) & RMAP_FORK.BMAP) === 0;
    this.#putWho(view, at + 24, last, isFileData ? ahead : 0);
  }

  #putWho(view: DataView, at: number, index: number, ahead: number): void {
    const owner = this.#owner[index] ?? 0;
    const high = Math.floor(owner / TWO32);
    view.setInt32(at, high);
    view.setUint32(at + 4, owner - high * TWO32);
    const offset = (this.#offset[index] ?? 0) + ahead;
    view.setUint32(at + 8, (this.#fork[index] ?? 0) + Math.floor(offset / TWO32));
    view.setUint32(at + 12, offset % TWO32);
  }

  #grow(): void {
    const size = this.#start.length * 2;
    const wider = <T extends Uint32Array | Float64Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.#start = wider(new Uint32Array(size), this.#start);
    this.#length = wider(new Uint32Array(size), this.#length);
    this.#owner = wider(new Float64Array(size), this.#owner);
    this.#offset = wider(new Float64Array(size), this.#offset);
    this.#fork = wider(new Uint32Array(size), this.#fork);
  }
}
