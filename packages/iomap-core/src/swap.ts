/**
 * Swapfile activation: the stretches of the device that a file may be swapped to, page by page, with no filesystem in between.
 *
 * As Linux does: the file is written out, then every byte of it must be allocated (mapped or unwritten), of its own, on one device,
 * and not waiting for a commit of metadata; only whole, aligned pages of an extent are usable.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, roundDown, roundUp, type Io } from '@iomap/io';
import { writeOut } from './invalidate.js';
import { IOMAP_F_DIRTY, IOMAP_F_SHARED, IOMAP_REPORT, type Iomap, type IomapInode, type IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';

/** Pages [startPage, startPage + pageCount) of the file lie at `addr` (bytes) of the device. */
export interface SwapExtent {
  readonly startPage: number;
  readonly pageCount: number;
  readonly addr: number;
}

export interface SwapMap {
  readonly extents: readonly SwapExtent[];
  /** Usable pages, the header page among them. */
  readonly pageCount: number;
  /** Pages of the device from the lowest to the highest one in use, without the header page. */
  readonly spanPages: number;
}

export interface SwapOptions {
  /** Where the file must lie, all of it. */
  readonly device: BlockDevice;
  /** Bytes; default 4096. */
  readonly pageBytes?: number;
}

interface Run {
  offset: number;
  addr: number;
  length: number;
}

/**
 * Finds what of a file can be swapped to.
 * Locks: inode, shared; the caller keeps the file from being changed as long as it is in use. Waits on: writeback, `begin`.
 * @throws FsError EINVAL with why: holes, inline data, shared or uncommitted extents, another device, no usable page
 */
export function* swapActivate<I extends IomapInode>(inode: I, ops: IomapOps<I>, options: SwapOptions): Io<SwapMap> {
  const { pageBytes = 4096 } = options;
  // Reservations become blocks, unwritten blocks with data become written.
  yield* writeOut(inode, 0, Infinity);
  const len = roundDown(inode.size, pageBytes);
  inode.mapping.cache.trace?.({ type: 'swap', ino: inode.ino, pos: 0, len });
  const found = new SwapFinder(pageBytes);
  let run: Run | undefined;
  const iter = new IomapIter(inode, ops, 0, len, IOMAP_REPORT);
  yield* iter.run(function* (it) {
    const { iomap, pos, mapEnd } = it;
    refuse(inode, iomap, options.device);
    const addr = iomap.addr + (pos - iomap.offset);
    if (run !== undefined && run.offset + run.length === pos && run.addr + run.length === addr) run.length += mapEnd - pos;
    else {
      if (run !== undefined) found.add(run);
      run = { offset: pos, addr, length: mapEnd - pos };
    }
    it.done = mapEnd - pos;
    yield* [];
  });
  if (run !== undefined) found.add(run);
  if (found.pageCount === 0) throw no(inode, 'cannot find a single usable page in the file');
  return { extents: found.extents, pageCount: found.pageCount, spanPages: found.spanPages };
}

const no = (inode: IomapInode, why: string): FsError => new FsError('EINVAL', { why: `swapfile: ${why}`, detail: { ino: inode.ino } });

function refuse(inode: IomapInode, iomap: Iomap, device: BlockDevice): void {
  if (iomap.type === 'inline') throw no(inode, 'file is inline');
  if (iomap.type !== 'mapped' && iomap.type !== 'unwritten') throw no(inode, 'file has unallocated extents');
  if ((iomap.flags & IOMAP_F_DIRTY) !== 0) throw no(inode, 'file is not committed');
  if ((iomap.flags & IOMAP_F_SHARED) !== 0) throw no(inode, 'file has shared extents');
  if (iomap.device !== device) throw no(inode, 'file is not all on one device');
}

/** Whole pages of runs, each page of the file at most once. */
class SwapFinder {
  readonly extents: SwapExtent[] = [];
  pageCount = 0;
  readonly #pageBytes: number;
  #lowest = Infinity;
  #highest = -1;

  constructor(pageBytes: number) {
    this.#pageBytes = pageBytes;
  }

  get spanPages(): number {
    return this.#highest < this.#lowest ? 0 : this.#highest - this.#lowest + 1;
  }

  /** Adds the pages of the device that a run covers whole. */
  add(run: Run): void {
    const page = this.#pageBytes;
    const first = roundUp(run.addr, page) / page;
    const end = roundDown(run.addr + run.length, page) / page;
    if (first >= end) return;
    // The header page is not swapped to.
    const lowest = this.pageCount === 0 ? first + 1 : first;
    if (lowest < end) {
      this.#lowest = Math.min(this.#lowest, lowest);
      this.#highest = Math.max(this.#highest, end - 1);
    }
    this.extents.push({ startPage: this.pageCount, pageCount: end - first, addr: first * page });
    this.pageCount += end - first;
  }
}
