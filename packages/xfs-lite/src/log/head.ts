/**
 * Where the log ends and where its live part begins.
 *
 * Each block starts with the number of the round ("cycle") that wrote it, so the head is where a number goes down. Up to eight
 * records are written at once and may land in any order: the blocks before the head are looked through for older ones, and then
 * the last records are verified, so that what was torn is cut off.
 */
import { corrupt, FsError, type Io } from '@iomap/io';
import type { SuperInfo } from '../super.js';
import { BB, OP, RECORD_BYTES_MAX, RECORDS_IN_FLIGHT } from '../ondisk-log.js';
import { checkOrigin, decodeHeader, isHeader, readHeader, readRecord, type Header } from './record.js';
import { cycleAt, type LogRing } from './ring.js';

const RECORD_BLOCKS = RECORD_BYTES_MAX / BB;
const IN_FLIGHT_BLOCKS = RECORDS_IN_FLIGHT * RECORD_BLOCKS;
/** Blocks read at once in a scan. */
const SCAN_BLOCKS = 256;

export interface LogState {
  readonly isClean: boolean;
  /** The round that wrote the newest record; 0 = nothing was ever written. */
  readonly cycle: number;
  /** Ring blocks: the live part is [tail, head). */
  readonly head: number;
  readonly tail: number;
}

/** The first block in [from, from + count) whose cycle is `cycle`, or -1. */
function* scanForCycle(ring: LogRing, from: number, count: number, cycle: number): Io<number> {
  for (let at = 0; at < count; at += SCAN_BLOCKS) {
    const part = Math.min(SCAN_BLOCKS, count - at);
    const bytes = yield* ring.read(from + at, part);
    for (let i = 0; i < part; i++) if (cycleAt(bytes, i * BB) === cycle) return from + at + i;
  }
  return -1;
}

/** The last record header in ring blocks [end - count, end), newest first; undefined = none. */
function* scanBack(ring: LogRing, end: number, count: number): Io<Header | undefined> {
  for (let left = Math.min(count, ring.length), last = end; left > 0; ) {
    const part = Math.min(SCAN_BLOCKS, left);
    const from = ring.wrap(last - part);
    const bytes = yield* ring.read(from, part);
    for (let i = part - 1; i >= 0; i--) {
      if (isHeader(bytes, i * BB)) return decodeHeader(bytes.subarray(i * BB, (i + 1) * BB), ring.wrap(from + i));
    }
    last = from;
    left -= part;
  }
  return undefined;
}

/** Binary search: the first block whose cycle is not `cycle`, given that block `low` has it and block `high` has not. */
function* boundary(ring: LogRing, low: number, high: number, isOld: (cycle: number) => boolean): Io<number> {
  let a = low;
  let b = high;
  while (b - a > 1) {
    const mid = Math.floor((a + b) / 2);
    if (isOld(yield* ring.cycle(mid))) b = mid;
    else a = mid;
  }
  return b;
}

/** Where the cycle goes down, before anything is verified. Answers the head and the cycle that blocks before it must not have. */
function* roughHead(ring: LogRing): Io<{ head: number; stop: number; isFresh: boolean } | undefined> {
  const last = ring.length - 1;
  const first = yield* ring.cycle(0);
  const final = yield* ring.cycle(last);
  if (first === 0) return undefined; // never written
  if (final === 0) {
    // The first round: the rest is still zeroes.
    if (first !== 1) throw corrupt('log: a first cycle of zeroes behind a later one', { field: 'h_cycle' });
    return { head: yield* boundary(ring, 0, last, (cycle) => cycle === 0), stop: 0, isFresh: true };
  }
  if (first === final) return { head: ring.length, stop: final - 1, isFresh: false };
  return { head: yield* boundary(ring, 0, last, (cycle) => cycle === final), stop: final, isFresh: false };
}

/** Moves the head back to the first stale block among those that may have been in flight. */
function* skipHoles(ring: LogRing, rough: { head: number; stop: number; isFresh: boolean }): Io<number> {
  const { head, stop } = rough;
  const count = Math.min(ring.length, IN_FLIGHT_BLOCKS);
  if (head >= count || rough.isFresh) {
    const found = yield* scanForCycle(ring, Math.max(0, head - count), Math.min(count, head), stop);
    return found < 0 ? head : found;
  }
  const before = count - head;
  const older = yield* scanForCycle(ring, ring.length - before, before, stop - 1);
  if (older >= 0) return older;
  const found = yield* scanForCycle(ring, 0, head, stop);
  return found < 0 ? head : found;
}

/** The block after a record. */
const after = (ring: LogRing, header: Header): number => ring.wrap(header.block + header.headerBlocks + header.dataBlocks);

function* isUnmount(ring: LogRing, header: Header): Io<boolean> {
  if (header.opCount !== 1) return false;
  const data = yield* ring.read(ring.wrap(header.block + header.headerBlocks), 1);
  return ((data[9] ?? 0) & OP.UNMOUNT) !== 0;
}

/**
 * Finds head and tail.
 * @throws FsError EUCLEAN when there is no sound record, EOPNOTSUPP (byte order), EIO
 */
export function* findLog(ring: LogRing, info: SuperInfo): Io<LogState> {
  const rough = yield* roughHead(ring);
  if (rough === undefined) return { isClean: true, cycle: 0, head: 0, tail: 0 };
  let head = ring.wrap(yield* skipHoles(ring, rough));
  let last = yield* scanBack(ring, head, ring.length);
  if (last === undefined) throw corrupt('log: no record at all', { field: 'h_magicno' });
  if (after(ring, last) !== head) {
    // The newest record was not written to its end.
    head = last.block;
    last = yield* scanBack(ring, head, ring.length);
    if (last === undefined) throw corrupt('log: no whole record', { field: 'h_magicno' });
  }
  checkOrigin(last, info.uuid);
  if (after(ring, last) === head && (yield* isUnmount(ring, last))) return { isClean: true, cycle: last.cycle, head, tail: head };
  const trimmed = yield* trimTorn(ring, info, head, last);
  const tail = ring.wrap(Number(trimmed.last.tailLsn % 2n ** 32n));
  if (Number(trimmed.last.tailLsn % 2n ** 32n) >= ring.length) throw corrupt('log: a tail outside the log', { field: 'h_tail_lsn' });
  return { isClean: tail === trimmed.head, cycle: trimmed.last.cycle, head: trimmed.head, tail };
}

/** Verifies the records that may have been in flight, and cuts the log before the first that is torn. */
function* trimTorn(ring: LogRing, info: SuperInfo, head: number, last: Header): Io<{ head: number; last: Header }> {
  const recent: Header[] = [last];
  const tail = Number(last.tailLsn % 2n ** 32n);
  for (let at = last; recent.length < RECORDS_IN_FLIGHT && at.block !== tail; ) {
    const previous = yield* scanBack(ring, at.block, IN_FLIGHT_BLOCKS);
    if (previous === undefined || after(ring, previous) !== at.block) break;
    recent.push(previous);
    at = previous;
  }
  let before: Header | undefined;
  for (const header of recent.reverse()) {
    const { sumMatches } = yield* readRecord(ring, header, info.v5);
    if (!sumMatches) {
      // The oldest of those looked at was complete when the others were started, or it is corrupt: then replay will say so.
      if (before === undefined) break;
      return { head: header.block, last: before };
    }
    before = header;
  }
  return { head, last };
}

/** Calls `visit` for each record of the live part, oldest first. @throws FsError EUCLEAN, EBADMSG (version 5), EIO */
export function* eachRecord(ring: LogRing, info: SuperInfo, state: LogState, visit: (header: Header, data: Uint8Array) => Io<void>): Io<void> {
  let left = ring.wrap(state.head - state.tail);
  for (let at = state.tail; left > 0; ) {
    const header = yield* readHeader(ring, at);
    checkOrigin(header, info.uuid);
    const blocks = header.headerBlocks + header.dataBlocks;
    if (blocks > left) throw corrupt('log: a record reaches beyond the head', { field: 'h_len' });
    const { data, sumMatches } = yield* readRecord(ring, header, info.v5);
    if (!sumMatches && info.v5) throw new FsError('EBADMSG', { why: `log: checksum of the record at basic block ${at}`, detail: { field: 'h_crc' } });
    yield* visit(header, data);
    at = ring.wrap(at + blocks);
    left -= blocks;
  }
}
