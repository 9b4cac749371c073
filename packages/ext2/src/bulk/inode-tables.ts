/**
 * The inode tables of a new image: filled in ascending order of the inodes, one group's table in memory at a time.
 *
 * I1  What is not filled reads as zeroes: blocks behind the last inode are zeroed, or were so on a device said to be fresh.
 */
import type { BlockDevice } from '@iomap/block-device';
import { divCeil, submitBio, type Io } from '@iomap/io';
import { blockPos, groupOfInode, type Geometry } from '../geometry.js';
import type { InodeSlot } from '../inode.js';
import { groupTables } from '../mkfs-image.js';
import type { MkfsPlan } from '../mkfs-plan.js';
import { writeBytes } from './stage.js';

export class InodeTables {
  readonly #device: BlockDevice;
  readonly #plan: MkfsPlan;
  readonly #geometry: Geometry;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fresh: boolean;
  #group = 0;
  /** Bytes of the group's table that are filled. */
  #filled: number;

  /**
   * @param first what mkfs has in group 0's table, from its start
   * @param fresh the device reads as zeroes
   */
  constructor(device: BlockDevice, plan: MkfsPlan, options: { readonly first: Uint8Array; readonly fresh: boolean }) {
    this.#device = device;
    this.#plan = plan;
    this.#geometry = plan.geometry;
    this.#bytes = new Uint8Array(plan.geometry.inodeTableBlocks * plan.geometry.blockSize);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    this.#bytes.set(options.first);
    this.#filled = options.first.length;
    this.#fresh = options.fresh;
  }

  /** Is `ino` in the table that is in memory? Else `advance` first. */
  has(ino: number): boolean {
    return groupOfInode(this.#geometry, ino) === this.#group;
  }

  /** Where an inode of the table in memory is. */
  slot(ino: number): InodeSlot {
    const { inodesPerGroup, inodeSize } = this.#geometry;
    const at = ((ino - 1) % inodesPerGroup) * inodeSize;
    if (at + inodeSize > this.#filled) this.#filled = at + inodeSize;
    return { bytes: this.#bytes, view: this.#view, at };
  }

  /** Goes on to the group of `ino`. */
  *advance(ino: number): Io<void> {
    while (!this.has(ino)) yield* this.#next();
  }

  /** Writes the last table and clears those of the groups behind. */
  *finish(): Io<void> {
    while (this.#group < this.#geometry.groupCount) yield* this.#next();
  }

  *#next(): Io<void> {
    const { blockSize, inodeTableBlocks } = this.#geometry;
    const pos = blockPos(this.#geometry, groupTables(this.#plan, this.#group).inodeTable);
    const length = divCeil(this.#filled, blockSize) * blockSize;
    if (length > 0) yield* writeBytes(this.#device, pos, this.#bytes.subarray(0, length));
    const rest = inodeTableBlocks * blockSize - length;
    if (rest > 0 && !this.#fresh) {
      yield* submitBio(this.#device, { op: 'writeZeroes', pos: pos + length, segments: [], lengthBytes: rest });
    }
    this.#bytes.fill(0, 0, length);
    this.#filled = 0;
    this.#group++;
  }
}
