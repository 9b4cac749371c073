/**
 * Blocks of a new image in the order of the disk: given out one after another, filled in a window of memory, written a
 * window at a time.
 *
 * - `room` blocks at `cursor` can be filled through `at(n)` and are given out by `take(n)`; `ready()` makes room.
 * - `patch` fills a block that was given out earlier, wherever it is by now.
 *
 * I1  In each group the blocks in use are one run from its start: nothing is skipped but the metadata of the next group.
 * I2  A block that was taken is written: it is in the window, or behind it on the device.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, roundDown, submitBio, type Io } from '@iomap/io';
import { blockPos, groupBlocks, groupFirstBlock, groupOfBlock, type Geometry } from '../geometry.js';
import { groupTables } from '../mkfs-image.js';
import type { MkfsPlan } from '../mkfs-plan.js';

/** Large enough that a write's fixed cost does not count, small enough to stay in the processor's cache. */
const WINDOW_BYTES = 2 * 2 ** 20;

/** Writes `bytes` in pieces that the device takes. Waits on: those writes, one after another. */
export function* writeBytes(device: BlockDevice, pos: number, bytes: Uint8Array): Io<void> {
  const most = roundDown(device.limits.maxBioBytes, device.sectorSize);
  for (let at = 0; at < bytes.length; at += most) {
    const segment = bytes.length <= most ? bytes : bytes.subarray(at, at + most);
    yield* submitBio(device, { op: 'write', pos: pos + at, segments: [segment], lengthBytes: segment.length });
  }
}

export class Stage {
  /** The block that is given out next. */
  cursor: number;
  /** Blocks that can be taken at the cursor, one behind the other. */
  room = 0;
  readonly #geometry: Geometry;
  readonly #plan: MkfsPlan;
  readonly #device: BlockDevice;
  readonly #window: Uint8Array;
  readonly #windowBlocks: number;
  /** First block of the window. */
  #start: number;
  /** First block after the cursor's group. */
  #groupEnd: number;

  constructor(device: BlockDevice, plan: MkfsPlan) {
    this.#device = device;
    this.#plan = plan;
    this.#geometry = plan.geometry;
    const { blockSize } = plan.geometry;
    this.#windowBlocks = Math.max(16, WINDOW_BYTES / blockSize);
    this.#window = new Uint8Array(this.#windowBlocks * blockSize);
    this.cursor = groupFirstBlock(this.#geometry, 0) + groupTables(plan, 0).usedBlocks;
    this.#start = this.cursor;
    this.#groupEnd = groupFirstBlock(this.#geometry, 0) + groupBlocks(this.#geometry, 0);
    this.#setRoom();
  }

  #setRoom(): void {
    this.room = Math.min(this.#groupEnd - this.cursor, this.#start + this.#windowBlocks - this.cursor);
  }

  /** Bytes of the next `blocks` (at most `room`) blocks. They hold old data; die at `take`. */
  at(blocks: number): Uint8Array {
    const { blockSize } = this.#geometry;
    const from = (this.cursor - this.#start) * blockSize;
    return this.#window.subarray(from, from + blocks * blockSize);
  }

  /** Gives out the next `blocks` (at most `room`) blocks. @returns the first */
  take(blocks: number): number {
    const first = this.cursor;
    this.cursor += blocks;
    this.room -= blocks;
    return first;
  }

  /**
   * Makes room for one block at least.
   * @throws FsError ENOSPC when the image is full
   */
  *ready(): Io<void> {
    if (this.room > 0) return;
    yield* this.#push();
    if (this.cursor >= this.#groupEnd) {
      const group = groupOfBlock(this.#geometry, this.cursor - 1) + 1;
      if (group >= this.#geometry.groupCount) throw new FsError('ENOSPC');
      const first = groupFirstBlock(this.#geometry, group);
      this.cursor = groupTables(this.#plan, group).end;
      this.#groupEnd = first + groupBlocks(this.#geometry, group);
    }
    this.#start = this.cursor;
    this.#setRoom();
    // A group may be full of metadata.
    if (this.room <= 0) yield* this.ready();
  }

  /** One block. */
  *one(): Io<number> {
    if (this.room === 0) yield* this.ready();
    return this.take(1);
  }

  /** Fills one block that was taken (or is mkfs's own). `bytes` are copied or written before it returns. */
  *patch(block: number, bytes: Uint8Array): Io<void> {
    if (block >= this.#start && block < this.cursor) {
      this.#window.set(bytes, (block - this.#start) * this.#geometry.blockSize);
      return;
    }
    yield* writeBytes(this.#device, blockPos(this.#geometry, block), bytes);
  }

  /** Writes what is in the window. */
  *finish(): Io<void> {
    yield* this.#push();
    this.#start = this.cursor;
    this.#setRoom();
  }

  *#push(): Io<void> {
    const { blockSize } = this.#geometry;
    const blocks = this.cursor - this.#start;
    if (blocks === 0) return;
    yield* writeBytes(this.#device, this.#start * blockSize, this.#window.subarray(0, blocks * blockSize));
  }
}
