/**
 * Blocks: allocation of runs and their return.
 *
 * - `allocRun` finds free blocks near a goal in one pass over a group's bitmap and takes them all at once: one bitmap change,
 *   one count. Between the look at the bitmap and the change nothing waits, so two tasks never get the same block.
 * - Free counts steer the search; only the bitmap grants.
 * - A bitmap is checked when it is first used: it must claim the group's own metadata, else the image is corrupt.
 */
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import { clearRange, countSet, findNextSet, findNextZero, findZeroByte, setRange, testBit } from './bitmap.js';
import { WINDOW_FIRST, WINDOW_MAX, type ReservationHolder } from './reservation.js';
import { groupBlocks, groupFirstBlock } from './geometry.js';
import type { Volume } from './volume.js';

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

/** Free blocks that may be given out. */
export function availableBlocks(vol: Volume): number {
  const reserved = vol.useReserved ? 0 : vol.info.reservedBlocks;
  return Math.max(0, vol.groups.freeBlocksTotal - reserved);
}

/**
 * Allocates between one and `want` blocks that follow one another.
 *
 * Waits on: reads of block bitmaps, at worst each once per pass.
 * @throws FsError ENOSPC; EUCLEAN when a bitmap is corrupt
 */
export function* allocRun(vol: Volume, request: AllocRequest): Io<BlockRun> {
  const { groups, info } = vol;
  const available = availableBlocks(vol);
  if (available === 0) throw new FsError('ENOSPC');
  const want = Math.min(request.want, available, info.blocksPerGroup);
  const { holder } = request;
  let goal = request.goal;
  if (goal <= info.firstDataBlock || goal >= info.blocksCount) goal = info.firstDataBlock + 1;
  const first = groups.groupOf(goal);
  const shared = vol.reservations.size > 0;
  for (let pass = shared ? 0 : 1; pass < 2; pass++) {
    if (pass === 1 && shared) vol.reservations.clear();
    // The goal's group comes twice: from the goal on, and at last from its start.
    for (let i = 0; i <= groups.count; i++) {
      const group = (first + i) % groups.count;
      if ((groups.freeBlocks[group] ?? 0) <= 0) continue;
      const buf = vol.peekBlock(groups.blockBitmap[group] ?? 0) ?? (yield* readBitmap(vol, group));
      if (groups.bitmapChecked[group] === 0) checkBitmap(vol, group, buf.bytes);
      const from = i === 0 ? goal - groupFirstBlock(info, group) : 0;
      const run = takeRun(vol, buf, { group, from, want, holder });
      if (run === undefined) continue;
      if (holder !== undefined) moveWindow(vol, run, group, request);
      return run;
    }
  }
  throw new FsError('ENOSPC');
}

function readBitmap(vol: Volume, group: number): Io<Buf> {
  return vol.readBlock(vol.groups.blockBitmap[group] ?? 0);
}

/** A bitmap that does not claim its group's metadata would hand it out: refuse it. */
function checkBitmap(vol: Volume, group: number, bits: Uint8Array): void {
  const { groups, info } = vol;
  const first = groupFirstBlock(info, group);
  const table = (groups.inodeTable[group] ?? 0) - first;
  const isClaimed =
    testBit(bits, (groups.blockBitmap[group] ?? 0) - first) &&
    testBit(bits, (groups.inodeBitmap[group] ?? 0) - first) &&
    countSet(bits, table, info.inodeTableBlocks) === info.inodeTableBlocks;
  if (!isClaimed) {
    throw corrupt(`group ${group}: the block bitmap does not claim the group's own metadata`, {
      block: groups.blockBitmap[group] ?? 0,
      field: 'bg_block_bitmap',
    });
  }
  groups.bitmapChecked[group] = 1;
}

interface Search {
  readonly group: number;
  /** Bit of the goal. */
  readonly from: number;
  readonly want: number;
  readonly holder: ReservationHolder | undefined;
}

/** Finds and takes a run in one group. Plain: nothing can come between. */
function takeRun(vol: Volume, buf: Buf, search: Search): BlockRun | undefined {
  const { groups, info } = vol;
  const { group } = search;
  const end = groupBlocks(info, group);
  const first = groupFirstBlock(info, group);
  const found = findRun(vol, buf.bytes, search, end);
  if (found === undefined) return undefined;
  const { block: bit, count } = found;
  if (groups.overlapsMetadata(group, first + bit, first + bit + count)) {
    throw corrupt(`group ${group}: the block bitmap offers the group's own metadata`, { block: first + bit });
  }
  setRange(buf.bytes, bit, count);
  vol.markDirty(buf);
  groups.changeFreeBlocks(group, -count);
  if (bit === groups.blockHint[group]) groups.blockHint[group] = bit + count;
  return { block: first + bit, count };
}

/** Bits of a run for `search`, or undefined when the group has nothing for it from there on. */
function findRun(vol: Volume, bits: Uint8Array, search: Search, end: number): BlockRun | undefined {
  const { group, want, holder } = search;
  const hint = vol.groups.blockHint[group] ?? 0;
  const from = Math.max(search.from, hint);
  const others = vol.reservations.othersIn(group, holder);
  // At the goal itself, or a few blocks on (Linux looks to the next multiple of 64).
  const near = nextFree(vol, bits, search, { from, end, others });
  if (near < 0) {
    if (search.from <= hint) vol.groups.blockHint[group] = others ? hint : end;
    return undefined;
  }
  if (search.from <= hint && !others) vol.groups.blockHint[group] = near;
  const nearRun = runAt(vol, bits, search, { bit: near, end, others });
  if (nearRun.count >= want || near === search.from) return nearRun;
  // A longer run further on: the first that is long enough, else the longest of those looked at.
  let best = nearRun;
  let at = near + nearRun.count;
  for (let tries = 0; tries < 256; tries++) {
    // A long run holds a whole free byte, which is found much faster than a free bit.
    const byte = want >= 16 ? findZeroByte(bits, at, end) : at;
    const start = byte > at ? startOfRun(bits, byte, at) : byte;
    const next = start < 0 ? -1 : nextFree(vol, bits, search, { from: start, end, others });
    if (next < 0) break;
    const run = runAt(vol, bits, search, { bit: next, end, others });
    if (run.count > best.count) best = run;
    if (run.count >= want) break;
    at = next + run.count;
  }
  return best;
}

/** Goes back from a zero byte to where its run begins, not before `low`. */
function startOfRun(bits: Uint8Array, bit: number, low: number): number {
  let at = bit;
  while (at > low && bit - at < 8 && !testBit(bits, at - 1)) at--;
  return at;
}

/** The first free bit that is in nobody else's window, or -1. */
function nextFree(
  vol: Volume,
  bits: Uint8Array,
  search: Search,
  range: { readonly from: number; readonly end: number; readonly others: boolean },
): number {
  const { end } = range;
  let at = findNextZero(bits, range.from, end);
  if (!range.others) return at;
  const first = groupFirstBlock(vol.info, search.group);
  while (at >= 0) {
    const windowEnd = vol.reservations.covering(search.group, first + at, search.holder);
    if (windowEnd < 0) return at;
    at = findNextZero(bits, windowEnd - first, end);
  }
  return -1;
}

function runAt(
  vol: Volume,
  bits: Uint8Array,
  search: Search,
  at: { readonly bit: number; readonly end: number; readonly others: boolean },
): BlockRun {
  let limit = Math.min(at.end, at.bit + search.want);
  if (at.others) {
    const first = groupFirstBlock(vol.info, search.group);
    limit = vol.reservations.nextStart(search.group, first + at.bit, first + limit, search.holder) - first;
  }
  return { block: at.bit, count: findNextSet(bits, at.bit + 1, limit) - at.bit };
}

/** Gives a file that grows in sequence the blocks behind its run, twice as many each time. */
function moveWindow(vol: Volume, run: BlockRun, group: number, request: AllocRequest): void {
  const { holder } = request;
  if (holder === undefined) return;
  const old = holder.reservation;
  const end = run.block + run.count;
  if (request.sequential !== true) {
    if (old !== undefined) vol.reservations.drop(holder);
    return;
  }
  if (old !== undefined && run.block >= old.start && end < old.end) return;
  const size = Math.min(WINDOW_MAX, Math.max(old?.nextSize ?? WINDOW_FIRST, WINDOW_FIRST));
  const groupEnd = groupFirstBlock(vol.info, group) + groupBlocks(vol.info, group);
  vol.reservations.drop(holder);
  const stop = vol.reservations.nextStart(group, end, Math.min(groupEnd, end + size), holder);
  if (stop > end) vol.reservations.set(holder, { group, start: end, end: stop, nextSize: size * 2 });
}

/**
 * Returns blocks. Metadata buffers of them must have been forgotten before.
 *
 * Waits on: reads of the bitmaps of the groups that the run spans.
 * @throws FsError EUCLEAN when a block is not a data block of this filesystem or is free already
 */
export function* freeRun(vol: Volume, block: number, count: number): Io<void> {
  const { groups, info } = vol;
  if (!groups.isDataRange(block, count)) throw corrupt('freeing blocks that are not data blocks', { block });
  for (let at = block; at < block + count; ) {
    const group = groups.groupOf(at);
    const first = groupFirstBlock(info, group);
    const n = Math.min(block + count, first + info.blocksPerGroup) - at;
    const buf = vol.peekBlock(groups.blockBitmap[group] ?? 0) ?? (yield* readBitmap(vol, group));
    const bit = at - first;
    if (countSet(buf.bytes, bit, n) !== n) throw corrupt('freeing blocks that are free', { block: at });
    clearRange(buf.bytes, bit, n);
    vol.markDirty(buf);
    groups.changeFreeBlocks(group, n);
    if (bit < (groups.blockHint[group] ?? 0)) groups.blockHint[group] = bit;
    at += n;
  }
}
