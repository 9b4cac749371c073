/** The mappings of the fork that is being written, and the form that they take in the inode: an array, or a tree. */
import type { Io } from '@iomap/io';
import { packExtent } from '../extents.js';
import { BMBT_REC_BYTES, FORMAT } from '../ondisk.js';
import { levelBlocks, loadTree, treeShape, type TreePlace, type TreeRecords, type TreeShape } from './load-tree.js';
import { RMAP_FORK } from './rmaps.js';
import type { Space } from './space.js';

/** Blocks that one mapping can have. */
export const EXTENT_BLOCKS_MAX = 2 ** 21 - 1;
/** Of a tree's root in an inode: level and count. */
const ROOT_HEAD_BYTES = 4;
const ROOT_ENTRY_BYTES = 16;

/** Entries of a tree's root in a fork of so many bytes. */
export const rootEntries = (forkBytes: number): number => Math.floor((forkBytes - ROOT_HEAD_BYTES) / ROOT_ENTRY_BYTES);

const put64 = (view: DataView, at: number, value: number): void => {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
};

export interface ForkIdentity {
  readonly uuid: Uint8Array;
  readonly ino: number;
}

export class ExtentWriter implements TreeRecords {
  count = 0;
  /** Blocks that are mapped, and those of the tree. */
  blocks = 0;
  readonly #shape: TreeShape;
  #off = new Float64Array(16);
  #block = new Float64Array(16);
  #length = new Uint32Array(16);

  constructor(blockSize: number) {
    this.#shape = treeShape('bmap', blockSize);
  }

  /** Starts another fork. */
  open(): void {
    this.count = 0;
    this.blocks = 0;
  }

  /** Bytes that the mappings take as an array. */
  get bytes(): number {
    return this.count * BMBT_REC_BYTES;
  }

  /** Adds a run behind all others. @param block of the filesystem */
  add(off: number, block: number, count: number): void {
    this.blocks += count;
    let done = 0;
    const last = this.count - 1;
    const length = this.#length[last] ?? 0;
    if (last >= 0 && (this.#off[last] ?? 0) + length === off && (this.#block[last] ?? 0) + length === block) {
      done = Math.min(count, EXTENT_BLOCKS_MAX - length);
      this.#length[last] = length + done;
    }
    while (done < count) {
      const part = Math.min(count - done, EXTENT_BLOCKS_MAX);
      if (this.count === this.#off.length) this.#grow();
      this.#off[this.count] = off + done;
      this.#block[this.count] = block + done;
      this.#length[this.count] = part;
      this.count++;
      done += part;
    }
  }

  #grow(): void {
    const size = this.#off.length * 2;
    const [off, block, length] = [new Float64Array(size), new Float64Array(size), new Uint32Array(size)];
    off.set(this.#off);
    block.set(this.#block);
    length.set(this.#length);
    this.#off = off;
    this.#block = block;
    this.#length = length;
  }

  put(view: DataView, at: number, index: number): void {
    packExtent(view, at, { off: this.#off[index] ?? 0, block: this.#block[index] ?? 0, count: this.#length[index] ?? 0, unwritten: false });
  }

  putKey(view: DataView, at: number, first: number): void {
    put64(view, at, this.#off[first] ?? 0);
  }

  /**
   * Puts the mappings into a fork of the inode at `at`, which reads as zeroes.
   * @param isAttr the attribute fork
   * @returns its format
   */
  *finish(space: Space, identity: ForkIdentity, fork: { readonly view: DataView; readonly at: number; readonly bytes: number }, isAttr: boolean): Io<number> {
    if (this.bytes <= fork.bytes) {
      for (let i = 0; i < this.count; i++) this.put(fork.view, fork.at + i * BMBT_REC_BYTES, i);
      return FORMAT.EXTENTS;
    }
    const rootMax = rootEntries(fork.bytes);
    const shape = this.#shape;
    const total = levelBlocks(shape, this.count, rootMax).reduce((a, b) => a + b, 0);
    const blocks: number[] = [];
    const positions: number[] = [];
    while (blocks.length < total) {
      if (space.room === 0) yield* space.ready();
      positions.push(space.pos);
      blocks.push(space.take(1, identity.ino, 0, isAttr ? RMAP_FORK.ATTR_BMAP : RMAP_FORK.BMAP));
    }
    this.blocks += total;
    const bytes = new Uint8Array(total * shape.blockSize);
    const view = new DataView(bytes.buffer);
    const placeOf = (index: number): TreePlace => ({
      bytes, view, at: index * shape.blockSize, address: blocks[index] ?? 0, pos: positions[index] ?? 0,
    });
    const top = loadTree(shape, this, { uuid: identity.uuid, owner: identity.ino }, placeOf, rootMax);
    for (const [i, block] of blocks.entries()) yield* space.patch(block, bytes.subarray(i * shape.blockSize, (i + 1) * shape.blockSize));
    fork.view.setUint16(fork.at, top.level);
    fork.view.setUint16(fork.at + 2, top.count);
    for (let i = 0; i < top.count; i++) {
      this.putKey(fork.view, fork.at + ROOT_HEAD_BYTES + i * 8, top.first[i] ?? 0);
      put64(fork.view, fork.at + ROOT_HEAD_BYTES + (rootMax + i) * 8, top.address[i] ?? 0);
    }
    return FORMAT.BTREE;
  }
}
