/**
 * Allocation of runs in a space of bitmaps: groups of blocks, each with a bitmap of its own.
 *
 * - `allocRun` finds free blocks near a goal in one pass over a group's bitmap and takes them all at once: one bitmap change,
 *   one count. Between the look at the bitmap and the change nothing waits, so two tasks never get the same block.
 * - Free counts steer the search; only the bitmap grants.
 * - A file that grows in sequence keeps a window of free blocks behind its last run (reservation.ts).
 */
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import { clearRange, countSet, findNextSet, findNextZero, findZeroByte, setRange, testBit } from './bitmap.js';
import { WINDOW_FIRST, WINDOW_MAX, type ReservationHolder, type Reservations } from './reservation.js';

export interface BlockRun {
  readonly block: number;
  readonly count: number;
}

export interface AllocRequest {
  /** The block that would be best. */
  readonly goal: number;
  /** Blocks wanted; at least one is given. */
  readonly want: number;
  /** Who keeps a window; undefined for single metadata blocks. */
  readonly holder?: ReservationHolder | undefined;
  /** The holder grows in sequence: keep a window behind what it gets. */
  readonly sequential?: boolean;
}

/** The bitmaps of one mount. Block numbers are the filesystem's. */
export interface BitmapSpace {
  readonly groupCount: number;
  /** Bits in each group's bitmap, but perhaps the last. */
  readonly blocksPerGroup: number;
  /** The block of the first group's first bit. */
  readonly firstBlock: number;
  /** See bitmap.ts. */
  readonly flip: number;
  readonly reservations: Reservations;
  /** No bit below is free, by group. */
  readonly hints: Int32Array;
  /** Bits in use of a group's bitmap. */
  bitsIn(group: number): number;
  /** May the group have free blocks? */
  mayHaveFree(group: number): boolean;
  /** Free blocks that may be given out; Infinity where nobody has counted. */
  available(): number;
  peekBitmap(group: number): Buf | undefined;
  readBitmap(group: number): Io<Buf>;
  /** Called before bits are taken. @throws FsError EUCLEAN when the bitmap cannot be right */
  checkBitmap(group: number, bits: Uint8Array): void;
  /** Are all blocks of [from, end), inside one group, data blocks? */
  overlapsMetadata(group: number, from: number, end: number): boolean;
  /** Are all blocks ones that a file may own? */
  isDataRange(block: number, count: number): boolean;
  markDirty(buf: Buf): void;
  /** The group has gained (or lost) so many free blocks. */
  changed(group: number, by: number): void;
}

/**
 * Allocates between one and `want` blocks that follow one another.
 *
 * Waits on: reads of bitmaps, at worst each once per pass.
 * @throws FsError ENOSPC; EUCLEAN when a bitmap is corrupt
 */
export function* allocRun(space: BitmapSpace, request: AllocRequest): Io<BlockRun> {
  const available = space.available();
  if (available <= 0) throw new FsError('ENOSPC');
  const want = Math.min(request.want, available, space.blocksPerGroup);
  const { holder } = request;
  const groups = space.groupCount;
  const last = space.firstBlock + (groups - 1) * space.blocksPerGroup + space.bitsIn(groups - 1);
  const goal = request.goal > space.firstBlock && request.goal < last ? request.goal : space.firstBlock + 1;
  const first = Math.floor((goal - space.firstBlock) / space.blocksPerGroup);
  const shared = space.reservations.size > 0;
  for (let pass = shared ? 0 : 1; pass < 2; pass++) {
    if (pass === 1 && shared) space.reservations.clear();
    // The goal's group comes twice: from the goal on, and at last from its start.
    for (let i = 0; i <= groups; i++) {
      const group = (first + i) % groups;
      if (!space.mayHaveFree(group)) continue;
      const buf = space.peekBitmap(group) ?? (yield* space.readBitmap(group));
      space.checkBitmap(group, buf.bytes);
      const from = i === 0 ? goal - groupStart(space, group) : 0;
      const run = takeRun(space, buf, { group, from, want, holder });
      if (run === undefined) continue;
      if (holder !== undefined) moveWindow(space, run, group, request);
      return run;
    }
  }
  throw new FsError('ENOSPC');
}

const groupStart = (space: BitmapSpace, group: number): number => space.firstBlock + group * space.blocksPerGroup;

interface Search {
  readonly group: number;
  /** Bit of the goal. */
  readonly from: number;
  readonly want: number;
  readonly holder: ReservationHolder | undefined;
}

/** Finds and takes a run in one group. Plain: nothing can come between. */
function takeRun(space: BitmapSpace, buf: Buf, search: Search): BlockRun | undefined {
  const { group } = search;
  const first = groupStart(space, group);
  const found = findRun(space, buf.bytes, search, space.bitsIn(group));
  if (found === undefined) return undefined;
  const { block: bit, count } = found;
  if (space.overlapsMetadata(group, first + bit, first + bit + count)) {
    throw corrupt(`group ${group}: the block bitmap offers metadata`, { block: first + bit });
  }
  setRange(buf.bytes, bit, count, space.flip);
  space.markDirty(buf);
  space.changed(group, -count);
  if (bit === space.hints[group]) space.hints[group] = bit + count;
  return { block: first + bit, count };
}

/** Bits of a run for `search`, or undefined when the group has nothing for it from there on. */
function findRun(space: BitmapSpace, bits: Uint8Array, search: Search, end: number): BlockRun | undefined {
  const { group, want, holder } = search;
  const { hints, flip } = space;
  const hint = hints[group] ?? 0;
  const from = Math.max(search.from, hint);
  const others = space.reservations.othersIn(group, holder);
  // At the goal itself, or a few blocks on (Linux looks to the next multiple of 64).
  const near = nextFree(space, bits, search, { from, end, others });
  if (near < 0) {
    if (search.from <= hint) hints[group] = others ? hint : end;
    return undefined;
  }
  if (search.from <= hint && !others) hints[group] = near;
  const nearRun = runAt(space, bits, search, { bit: near, end, others });
  if (nearRun.count >= want || near === search.from) return nearRun;
  // A longer run further on: the first that is long enough, else the longest of those looked at.
  let best = nearRun;
  let at = near + nearRun.count;
  for (let tries = 0; tries < 256; tries++) {
    // A long run holds a whole free byte, which is found much faster than a free bit.
    const byte = want >= 16 ? findZeroByte(bits, at, end, flip) : at;
    const start = byte > at ? startOfRun(bits, byte, at, flip) : byte;
    const next = start < 0 ? -1 : nextFree(space, bits, search, { from: start, end, others });
    if (next < 0) break;
    const run = runAt(space, bits, search, { bit: next, end, others });
    if (run.count > best.count) best = run;
    if (run.count >= want) break;
    at = next + run.count;
  }
  return best;
}

/** Goes back from a zero byte to where its run begins, not before `low`. */
function startOfRun(bits: Uint8Array, bit: number, low: number, flip: number): number {
  let at = bit;
  while (at > low && bit - at < 8 && !testBit(bits, at - 1, flip)) at--;
  return at;
}

/** The first free bit that is in nobody else's window, or -1. */
function nextFree(
  space: BitmapSpace,
  bits: Uint8Array,
  search: Search,
  range: { readonly from: number; readonly end: number; readonly others: boolean },
): number {
  const { end } = range;
  let at = findNextZero(bits, range.from, end, space.flip);
  if (!range.others) return at;
  const first = groupStart(space, search.group);
  while (at >= 0) {
    const windowEnd = space.reservations.covering(search.group, first + at, search.holder);
    if (windowEnd < 0) return at;
    at = findNextZero(bits, windowEnd - first, end, space.flip);
  }
  return -1;
}

function runAt(
  space: BitmapSpace,
  bits: Uint8Array,
  search: Search,
  at: { readonly bit: number; readonly end: number; readonly others: boolean },
): BlockRun {
  let limit = Math.min(at.end, at.bit + search.want);
  if (at.others) {
    const first = groupStart(space, search.group);
    limit = space.reservations.nextStart(search.group, first + at.bit, first + limit, search.holder) - first;
  }
  return { block: at.bit, count: findNextSet(bits, at.bit + 1, limit, space.flip) - at.bit };
}

/** Gives a file that grows in sequence the blocks behind its run, twice as many each time. */
function moveWindow(space: BitmapSpace, run: BlockRun, group: number, request: AllocRequest): void {
  const { holder } = request;
  if (holder === undefined) return;
  const old = holder.reservation;
  const end = run.block + run.count;
  if (request.sequential !== true) {
    if (old !== undefined) space.reservations.drop(holder);
    return;
  }
  if (old !== undefined && run.block >= old.start && end < old.end) return;
  const size = Math.min(WINDOW_MAX, Math.max(old?.nextSize ?? WINDOW_FIRST, WINDOW_FIRST));
  const groupEnd = groupStart(space, group) + space.bitsIn(group);
  space.reservations.drop(holder);
  const stop = space.reservations.nextStart(group, end, Math.min(groupEnd, end + size), holder);
  if (stop > end) space.reservations.set(holder, { group, start: end, end: stop, nextSize: size * 2 });
}

/**
 * Returns blocks. Metadata buffers of them must have been forgotten before.
 *
 * Waits on: reads of the bitmaps of the groups that the run spans.
 * @throws FsError EUCLEAN when a block is not a data block of this filesystem or is free already
 */
export function* freeRun(space: BitmapSpace, block: number, count: number): Io<void> {
  if (!space.isDataRange(block, count)) throw corrupt('freeing blocks that are not data blocks', { block });
  const { blocksPerGroup, firstBlock, hints, flip } = space;
  for (let at = block; at < block + count; ) {
    const group = Math.floor((at - firstBlock) / blocksPerGroup);
    const first = groupStart(space, group);
    const n = Math.min(block + count, first + blocksPerGroup) - at;
    const buf = space.peekBitmap(group) ?? (yield* space.readBitmap(group));
    const bit = at - first;
    if (countSet(buf.bytes, bit, n, flip) !== n) throw corrupt('freeing blocks that are free', { block: at });
    clearRange(buf.bytes, bit, n, flip);
    space.markDirty(buf);
    space.changed(group, n);
    if (bit < (hints[group] ?? 0)) hints[group] = bit;
    at += n;
  }
}
