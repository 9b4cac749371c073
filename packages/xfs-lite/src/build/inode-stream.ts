/**
 * The inodes of a new image in ascending order: filled in a window of memory, written a window at a time.
 *
 * I1  Chunks are whole: what nobody uses at the end of each group's run is a free inode.
 */
import { FsError, type Io } from '@iomap/io';
import { putFreshInode } from '../fresh-inode.js';
import { writeBytes, type MkfsJob } from '../mkfs/mkfs.js';
import { XfsDinode } from '../ondisk.js';
import { viewOf } from './hash-tree.js';
import type { GroupRoom } from './space.js';

const WINDOW_BYTES = 1024 * 1024;

/** Where the next inode goes. */
export interface InodeSlot {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly at: number;
}

interface Run {
  /** Number of its first inode, and place of that among all. */
  readonly ino: number;
  readonly index: number;
  readonly pos: number;
  readonly count: number;
  readonly used: number;
}

export class InodeStream {
  /** Inodes that there are, those that nobody uses among them. */
  readonly count: number;
  readonly #job: MkfsJob;
  readonly #runs: readonly Run[];
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #blank: Uint8Array;
  #run = 0;
  /** The next inode of the run, and the first that is in the window. */
  #next = 0;
  #start = 0;

  constructor(job: MkfsJob, rooms: readonly GroupRoom[]) {
    const { plan, identity } = job;
    this.#job = job;
    this.#bytes = new Uint8Array(Math.max(WINDOW_BYTES, plan.blockSize));
    this.#view = viewOf(this.#bytes);
    const runs: Run[] = [];
    let index = 0;
    for (const { layout } of rooms) {
      const { inodes, ag } = layout;
      if (inodes === undefined) continue;
      runs.push({
        ino: (ag * 2 ** plan.agBlkLog + inodes.start) * plan.inodesPerBlock,
        index,
        pos: (ag * plan.agBlocks + inodes.start) * plan.blockSize,
        count: inodes.count * plan.inodesPerBlock,
        used: inodes.used,
      });
      index += inodes.used;
    }
    this.#runs = runs;
    this.count = runs.reduce((sum, { count }) => sum + count, 0);
    this.#blank = new Uint8Array(plan.settings.inodeSize);
    putFreshInode({ v5: true, inodeSize: plan.settings.inodeSize, metaUuid: identity.uuid }, this.#blank, 0, 0, 0);
  }

  /** The number of the inode that comes as the `index`-th. */
  inoOf(index: number): number {
    let run = this.#runs[0];
    for (let i = 1; i < this.#runs.length && index >= (this.#runs[i]?.index ?? Infinity); i++) run = this.#runs[i];
    return run === undefined ? 0 : run.ino + index - run.index;
  }

  /** The slot of the next inode, with what all have alike and no sum; it dies with the next call. */
  *next(): Io<InodeSlot> {
    const { inodeSize } = this.#job.plan.settings;
    let run = this.#runs[this.#run];
    if (run !== undefined && this.#next === run.used) {
      yield* this.#endRun();
      run = this.#runs[this.#run];
    }
    if (run === undefined) throw new FsError('ENOSPC', { why: 'more inodes than were planned' });
    if ((this.#next - this.#start + 1) * inodeSize > this.#bytes.length) yield* this.#push();
    const at = (this.#next - this.#start) * inodeSize;
    const ino = run.ino + this.#next;
    this.#bytes.set(this.#blank, at);
    this.#view.setUint32(at + XfsDinode.offsets.di_ino, Math.floor(ino / 2 ** 32));
    this.#view.setUint32(at + XfsDinode.offsets.di_ino + 4, ino % 2 ** 32);
    this.#next++;
    return { bytes: this.#bytes, view: this.#view, at };
  }

  /** Writes what is left. */
  *finish(): Io<void> {
    while (this.#run < this.#runs.length) yield* this.#endRun();
  }

  /** Fills the run with free inodes. */
  *#endRun(): Io<void> {
    const { plan, identity } = this.#job;
    const { inodeSize } = plan.settings;
    const run = this.#runs[this.#run];
    if (run === undefined) return;
    for (; this.#next < run.count; this.#next++) {
      if ((this.#next - this.#start + 1) * inodeSize > this.#bytes.length) yield* this.#push();
      const shape = { v5: true, inodeSize, metaUuid: identity.uuid };
      putFreshInode(shape, this.#bytes, (this.#next - this.#start) * inodeSize, run.ino + this.#next, 0);
    }
    yield* this.#push();
    this.#run++;
    this.#next = 0;
    this.#start = 0;
  }

  *#push(): Io<void> {
    const { inodeSize } = this.#job.plan.settings;
    const run = this.#runs[this.#run];
    const count = this.#next - this.#start;
    if (run === undefined || count === 0) return;
    yield* writeBytes(this.#job.device, run.pos + this.#start * inodeSize, this.#bytes.subarray(0, count * inodeSize));
    this.#start = this.#next;
  }
}
