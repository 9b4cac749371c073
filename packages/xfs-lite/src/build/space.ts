/**
 * The blocks of a new image in the order of the disk: given out one after another, filled in a window of memory, written a window at a
 * time. Behind the window the groups that are full are sealed.
 *
 * - `room` blocks at the cursor can be filled through `at(n)` and are given out by `take(n, …)`; `ready(n)` makes room.
 * - `patch` fills a block that was given out earlier, wherever it is by now.
 *
 * I1  In each group what was given out is one run behind the inodes; the trees of the group go right behind it.
 * I2  A block that was taken is written: it is in the window, or behind it on the device.
 * I3  A group keeps back what its trees will take, and what the kernel wants to find free when it mounts.
 */
import { divCeil, FsError, roundUp, type Io } from '@iomap/io';
import { inodeTreeExtra, layoutGroup, rmapTreeExtra, RMAPS_FIXED, sealGroup, withTaken, type GroupInodes, type GroupLayout, type SealedGroup } from '../mkfs/group.js';
import { writeBytes, writeGroup, type MkfsJob } from '../mkfs/mkfs.js';
import type { MkfsPlan } from '../mkfs/plan.js';
import { treeBlocksMost, treeShape } from './load-tree.js';
import { RmapList } from './rmaps.js';

/** Large enough that a write's fixed cost does not count, small enough to stay in the processor's cache. */
const WINDOW_BYTES = 2 * 2 ** 20;
/** Blocks that every group keeps free beside what the kernel sets aside, for its free list. */
const SPARE_BLOCKS = 24;

/** A group with the place for its inodes and for all else. */
export interface GroupRoom {
  readonly layout: GroupLayout;
  /** Blocks that can be given out: from `start` to `end`, less what reverse maps take. */
  readonly start: number;
  readonly end: number;
}

/** Blocks of a group that the kernel wants for trees that may grow. */
function setAside(plan: MkfsPlan, length: number): number {
  const { blockSize, settings } = plan;
  const most = (kind: 'refc' | 'fino', count: number): number => treeBlocksMost(treeShape(kind, blockSize), count);
  const refcount = settings.reflink ? most('refc', length) : 0;
  const finobt = settings.finobt ? most('fino', divCeil(length, plan.chunkBlocks)) : 0;
  return SPARE_BLOCKS + refcount + finobt;
}

/** Blocks that the reverse maps of a group may come to take: what the kernel sets aside, or what so many records take. */
function rmapRoom(plan: MkfsPlan, length: number, records: number): number {
  if (!plan.settings.rmapbt) return 0;
  const shape = treeShape('rmap', plan.blockSize);
  const aside = Math.max(Math.floor(length / 100), treeBlocksMost(shape, length));
  // Ahead of what comes, so that the last block taken never needs one more.
  return Math.max(aside, rmapTreeExtra(plan, records + RMAPS_FIXED + 2 * shape.leafMax));
}

/**
 * Puts `inodes` inodes into the groups, from the first on.
 * @throws FsError ENOSPC
 */
export function planRooms(plan: MkfsPlan, inodes: number): GroupRoom[] {
  const rooms: GroupRoom[] = [];
  const { inodesPerBlock, chunkBlocks } = plan;
  let left = inodes;
  for (let ag = 0; ag < plan.agCount; ag++) {
    const bare = layoutGroup(plan, ag);
    // mkfs gave the first group its first inodes: they are the start of the run.
    let start = bare.inodes?.start ?? 0;
    let area = bare.free.find((run) => run.start === start + (bare.inodes?.count ?? 0));
    if (bare.inodes === undefined || area === undefined) {
      area = bare.free.reduce((a, b) => (b.count > a.count ? b : a));
      start = roundUp(area.start, Math.max(1, plan.inoAlign));
    }
    const end = area.start + area.count - setAside(plan, bare.length) - rmapRoom(plan, bare.length, 0);
    const own = bare.inodes?.count ?? 0;
    const run = Math.max(0, Math.floor((end - start) / chunkBlocks) * chunkBlocks);
    // Behind them is room for the trees that name them.
    const trees = inodeTreeExtra(plan, { start, count: run, used: run * inodesPerBlock });
    const fits = Math.max(own, Math.floor((end - start - trees) / chunkBlocks) * chunkBlocks);
    const count = Math.min(fits, divCeil(left, inodesPerBlock * chunkBlocks) * chunkBlocks);
    const used = Math.min(left, count * inodesPerBlock);
    left -= used;
    let layout: GroupLayout = bare;
    let first = area.start;
    if (count > 0) {
      const run: GroupInodes = { start, count, used };
      layout = { ...withTaken(bare, start + own, count - own), inodes: run };
      first = start + count;
    }
    rooms.push({ layout, start: first, end: end - inodeTreeExtra(plan, layout.inodes) });
  }
  if (left > 0) throw new FsError('ENOSPC', { why: 'the inodes alone do not fit' });
  return rooms;
}

/** Blocks that can be given out in all, where no file takes more than a few runs. */
export const roomBlocks = (rooms: readonly GroupRoom[]): number => rooms.reduce((sum, { start, end }) => sum + Math.max(0, end - start), 0);

export class Space {
  /** The block of the group that is given out next. */
  cursor = 0;
  /** Blocks that can be taken at the cursor, one behind the other. */
  room = 0;
  /** What is free in the groups that are sealed. */
  freeBlocks = 0;
  /** The first group: its head comes last of all. */
  first: SealedGroup | undefined;
  readonly #job: MkfsJob;
  readonly #rooms: readonly GroupRoom[];
  readonly #window: Uint8Array;
  readonly #windowBlocks: number;
  #ag = 0;
  #end = 0;
  /** First block of the window. */
  #start = 0;
  #rmaps = new RmapList();
  /** How many there were when room was last kept for them. */
  #rmapRecords = 0;
  readonly #rmapLeaf: number;

  constructor(job: MkfsJob, rooms: readonly GroupRoom[]) {
    const { plan } = job;
    this.#job = job;
    this.#rooms = rooms;
    this.#rmapLeaf = treeShape('rmap', plan.blockSize).leafMax;
    // A directory block has its place in it.
    this.#windowBlocks = Math.max(16, WINDOW_BYTES / plan.blockSize);
    this.#window = new Uint8Array(this.#windowBlocks * plan.blockSize);
    this.#enter(0);
  }

  #enter(ag: number): void {
    const room = this.#rooms[ag];
    if (room === undefined) throw new FsError('ENOSPC');
    this.#ag = ag;
    this.cursor = room.start;
    this.#start = this.cursor;
    this.#rmaps = new RmapList();
    this.#rmapRecords = 0;
    this.#end = room.end;
    this.#setRoom();
  }

  #setRoom(): void {
    this.room = Math.max(0, Math.min(this.#end - this.cursor, this.#start + this.#windowBlocks - this.cursor));
  }

  /** Bytes of the next `blocks` (at most `room`) blocks. They hold old data; die at `take`. */
  at(blocks: number): Uint8Array {
    const { blockSize } = this.#job.plan;
    const from = (this.cursor - this.#start) * blockSize;
    return this.#window.subarray(from, from + blocks * blockSize);
  }

  /** The byte position of the block at the cursor. */
  get pos(): number {
    const { agBlocks, blockSize } = this.#job.plan;
    return (this.#ag * agBlocks + this.cursor) * blockSize;
  }

  /**
   * Gives out the next `blocks` (at most `room`) blocks.
   * @param offset block of the fork
   * @param fork one of `RMAP_FORK`
   * @returns the first, as a block number of the filesystem
   */
  take(blocks: number, owner: number, offset: number, fork: number): number {
    const { plan } = this.#job;
    const fsb = this.#ag * 2 ** plan.agBlkLog + this.cursor;
    if (plan.settings.rmapbt) {
      this.#rmaps.add(this.cursor, blocks, owner, offset, fork);
      this.#keepForRmaps();
    }
    this.cursor += blocks;
    this.#setRoom();
    return fsb;
  }

  /** More reverse maps take more room. */
  #keepForRmaps(): void {
    const { plan } = this.#job;
    const room = this.#rooms[this.#ag];
    // What is kept is ahead by two leaves: looking once a leaf will do.
    if (room === undefined || this.#rmaps.count - this.#rmapRecords < this.#rmapLeaf) return;
    this.#rmapRecords = this.#rmaps.count;
    const kept = rmapRoom(plan, room.layout.length, 0);
    this.#end = room.end + kept - rmapRoom(plan, room.layout.length, this.#rmapRecords);
  }

  /**
   * Makes room for `blocks` (at most 64, or one) blocks that follow one another.
   * @throws FsError ENOSPC when the image is full
   */
  *ready(blocks = 1): Io<void> {
    while (this.room < blocks) {
      yield* this.#push();
      this.#start = this.cursor;
      this.#setRoom();
      if (this.room >= blocks) return;
      yield* this.#seal();
      this.#enter(this.#ag + 1);
    }
  }

  /** Fills a block that was taken. `bytes` are copied or written before it returns. */
  *patch(fsb: number, bytes: Uint8Array): Io<void> {
    const { plan, device } = this.#job;
    const ag = Math.floor(fsb / 2 ** plan.agBlkLog);
    const block = fsb - ag * 2 ** plan.agBlkLog;
    if (ag === this.#ag && block >= this.#start) this.#window.set(bytes, (block - this.#start) * plan.blockSize);
    else yield* writeBytes(device, (ag * plan.agBlocks + block) * plan.blockSize, bytes);
  }

  /** Writes what is in the window, and seals all groups. */
  *finish(): Io<void> {
    yield* this.#push();
    for (;;) {
      yield* this.#seal();
      if (this.#ag + 1 === this.#rooms.length) return;
      this.#enter(this.#ag + 1);
    }
  }

  *#push(): Io<void> {
    const { plan, device } = this.#job;
    const blocks = this.cursor - this.#start;
    if (blocks === 0) return;
    const pos = (this.#ag * plan.agBlocks + this.#start) * plan.blockSize;
    yield* writeBytes(device, pos, this.#window.subarray(0, blocks * plan.blockSize));
  }

  *#seal(): Io<void> {
    const { plan, identity } = this.#job;
    const room = this.#rooms[this.#ag];
    if (room === undefined) return;
    const layout = withTaken(room.layout, room.start, this.cursor - room.start);
    const group = sealGroup(plan, identity, layout, this.#rmaps, this.cursor);
    this.freeBlocks += group.freeBlocks;
    if (this.#ag === 0) this.first = group;
    yield* writeGroup(this.#job, this.#ag, group);
  }
}
