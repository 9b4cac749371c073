/**
 * Buffered reads: from cached folios by a plain copy, else through a fill that reads ahead.
 *
 * - `peekBufferedRead(inode, pos, bytes)`: cached data alone; -1 = would wait.
 * - `bufferedRead(inode, ops, pos, bytes, control)`: the Io twin.
 *
 * Locks: the caller holds the inode lock or the invalidate lock (shared). So what is read is not taken from the file; folios may
 * come and go, and under the invalidate lock alone (a fault) the map may change: it is checked when it is used.
 * Holes and inline data are copied to the caller without a folio.
 */
import { FsError, roundDown, roundUp, type Io } from '@iomap/io';
import type { AddressSpace, Folio, Readahead } from '@iomap/page-cache';
import { PLAIN, wouldWait, type IoControl } from './control.js';
import { Fill, type Demand } from './fill.js';
import { IOMAP_NOWAIT, newIomap, type IomapInode, type IomapOps } from './iomap.js';
import { checkIomap } from './iter.js';
import { isFirstWholeRead, peekReadWhole, readWhole } from './read-whole.js';

/**
 * Copies cached bytes from `pos`; clips at the inode's size. All or nothing.
 * @param ops with them, the first read of a whole small file needs no wait either (read-whole.ts)
 * @returns bytes copied (0 at or past the end); -1 when some are not cached
 */
export function peekBufferedRead<I extends IomapInode>(inode: I, pos: number, bytes: Uint8Array, ops?: IomapOps<I>): number {
  const { mapping } = inode;
  const want = Math.min(bytes.length, inode.size - pos);
  if (want <= 0) return 0;
  const folio = mapping.lookup(pos);
  if (folio === undefined) return ops === undefined ? -1 : peekReadWhole(inode, ops, mapping.cache, pos, bytes);
  if (folio.readaheadMark) return -1;
  const from = pos - folio.pos;
  const { counters } = mapping.cache;
  if (from + want <= folio.size) {
    if (!folio.isUptodate(from, from + want)) return -1;
    copyOut(folio, from, want, bytes, 0);
    counters.foliosTouched++;
  } else {
    if (!isCached(mapping, pos, want)) return -1;
    for (let done = 0; done < want; ) done += copyCached(mapping, pos + done, bytes, done, want - done);
  }
  counters.readBytes += want;
  return want;
}

/**
 * Fills `bytes` from `pos`; clips at the inode's size. A failure after some bytes gives their count.
 * @param control `nowait` (what is cached, or known to be a hole; no readahead), `dontcache`, `readahead` (the open file's window)
 * @returns bytes read, 0 at or past the end
 * Waits on: folio locks, data reads, the metadata reads of `begin`, writeback when memory is short.
 * @throws FsError EIO of the device, EUCLEAN of a bad map, ENOMEM; EAGAIN (`nowait`)
 */
export function* bufferedRead<I extends IomapInode>(
  inode: I,
  ops: IomapOps<I>,
  pos: number,
  bytes: Uint8Array,
  control: IoControl = PLAIN,
): Io<number> {
  const { mapping } = inode;
  const { cache } = mapping;
  if (control.nowait === true) return readNoWait(inode, ops, pos, bytes);
  const readahead = control.readahead ?? mapping.readahead;
  const dontcache = control.dontcache === true;
  if (isFirstWholeRead(inode, cache, pos, bytes)) {
    const whole = yield* readWhole(inode, ops, bytes);
    if (whole >= 0) return whole;
    inode.wasRead = true;
  }
  const want = Math.min(bytes.length, inode.size - pos); // guard: read-clips-at-size (pitfall 13) | without: const want = bytes.length;
  let done = 0;
  let fill: Fill<I> | undefined;
  try {
    while (done < want) {
      const from = done;
      done += copyCached(mapping, pos + done, bytes, done, want - done, dontcache);
      if (dontcache && done > from) {
        fill?.unpin();
        dropRead(inode, pos + from, pos + done);
      }
      if (done === want) break;
      const folio = mapping.lookup(pos + done);
      if (folio?.readaheadMark === true) {
        folio.readaheadMark = false;
        yield* readAhead(inode, ops, readahead, dontcache);
      } else if (folio?.locked === true) {
        yield* folio.waitUnlocked();
      } else {
        const error = fill?.errorAt(pos + done);
        if (error !== undefined) throw error;
        fill?.unpin();
        fill = fillFor(inode, ops, readahead, { pos: pos + done, bytes, at: done, want: want - done }, dontcache);
        yield* fill.run();
        done += fill.delivered;
      }
    }
  } catch (error) {
    if (done === 0 || !(error instanceof FsError)) throw error;
  } finally {
    fill?.unpin();
  }
  const read = Math.max(0, done);
  readahead.onHit(pos + read);
  cache.counters.readBytes += read;
  cache.trace?.({ type: 'read', ino: inode.ino, pos, len: bytes.length, done: read });
  return read;
}

function copyOut(folio: Folio, from: number, n: number, bytes: Uint8Array, at: number): void {
  bytes.set(n === folio.size ? folio.data : folio.data.subarray(from, from + n), at);
  if (folio.touched < 2) {
    folio.touched++;
    folio.dropBehind = false;
  }
}

/** A don't-cache reader is done with [pos, end): folios that only it wanted go, once it came to their end. */
function dropRead(inode: IomapInode, pos: number, end: number): void {
  const { mapping } = inode;
  for (let folio = mapping.nextFolio(pos, end); folio !== undefined; folio = mapping.nextFolio(folio.end, end)) {
    if (folio.dropBehind && (folio.end <= end || end >= inode.size)) folio.tryDropBehind();
  }
}

/** What can be read without a wait: cached bytes, and holes that `peek` knows. */
function readNoWait<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, bytes: Uint8Array): number {
  const { mapping } = inode;
  const want = Math.min(bytes.length, inode.size - pos);
  let done = 0;
  while (done < want) {
    const at = pos + done;
    const folio = mapping.lookup(at);
    // Nobody is asked to read ahead: the mark goes on waiting for a reader that may.
    const isMarked = folio?.readaheadMark === true;
    if (isMarked && folio !== undefined) folio.readaheadMark = false;
    const n = folio === undefined ? peekHole(inode, ops, at, bytes.subarray(done, want)) : copyCached(mapping, at, bytes, done, want - done);
    if (isMarked && folio !== undefined) folio.readaheadMark = true;
    if (n === 0) break;
    done += n;
  }
  if (done === 0 && want > 0) throw wouldWait(inode);
  mapping.cache.counters.readBytes += Math.max(0, done);
  mapping.cache.trace?.({ type: 'read', ino: inode.ino, pos, len: bytes.length, done });
  return Math.max(0, done);
}

/** Zeroes `bytes` as far as nothing is stored or cached for `pos` on; the answer is how far. */
function peekHole<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, bytes: Uint8Array): number {
  const iomap = newIomap();
  if (ops.peek?.(inode, pos, bytes.length, IOMAP_NOWAIT, iomap, newIomap()) !== true) return 0;
  checkIomap(iomap, inode, pos);
  if (iomap.type === 'mapped' || iomap.type === 'inline') return 0;
  let end = Math.min(pos + bytes.length, iomap.offset + iomap.length);
  end = Math.min(end, inode.mapping.nextFolio(pos, end)?.pos ?? end);
  bytes.fill(0, 0, end - pos);
  return end - pos;
}

/** Copies what is cached in one piece from `pos`, and stops at a folio that wants the next readahead window. */
function copyCached(
  mapping: AddressSpace, pos: number, bytes: Uint8Array, at: number, want: number, dontcache = false,
): number {
  let done = 0;
  while (done < want) {
    const folio = mapping.lookup(pos + done);
    if (folio === undefined || folio.readaheadMark) break;
    const from = pos + done - folio.pos;
    let n = Math.min(want - done, folio.size - from);
    if (!folio.isUptodate(from, from + n)) {
      const start = from - (from % mapping.blockSize);
      n = Math.min(n, folio.nextNotUptodate(start, folio.size) - from);
      if (n <= 0) break;
    }
    if (dontcache) bytes.set(folio.data.subarray(from, from + n), at + done);
    else copyOut(folio, from, n, bytes, at + done);
    mapping.cache.counters.foliosTouched++;
    done += n;
  }
  return done;
}

function isCached(mapping: AddressSpace, pos: number, want: number): boolean {
  const end = pos + want;
  for (let at = pos; at < end; ) {
    const folio = mapping.lookup(at);
    if (folio === undefined || folio.readaheadMark) return false;
    if (!folio.isUptodate(at - folio.pos, Math.min(end, folio.end) - folio.pos)) return false;
    at = folio.end;
  }
  return true;
}

/** Nothing is cached at `demand.pos`: the fill that reads it, and ahead. */
function fillFor<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, readahead: Readahead, demand: Demand, dropBehind: boolean,
): Fill<I> {
  const { cache, blockSize } = inode.mapping;
  // Not more at once than the cache can surely hold until it is copied.
  const want = Math.min(demand.want, Math.max(blockSize, Math.floor(cache.budgetBytes / 4)));
  const ahead = readahead.onMiss(demand.pos, want);
  return new Fill(inode, ops, {
    start: roundDown(demand.pos, blockSize),
    demandEnd: demand.pos + want,
    end: roundUp(Math.min(demand.pos + want + ahead, inode.size), blockSize),
    demand,
    dropBehind,
  });
}

/** The reader came to the mark: the next window goes out, and nobody waits for it. Its failures are met when they are read. */
function* readAhead<I extends IomapInode>(inode: I, ops: IomapOps<I>, readahead: Readahead, dropBehind: boolean): Io<void> {
  const { cache, blockSize } = inode.mapping;
  const start = roundUp(readahead.end, blockSize);
  const end = roundUp(Math.min(start + readahead.onMark(), inode.size), blockSize);
  if (start >= end) return;
  cache.counters.readaheadBytes += end - start;
  cache.trace?.({ type: 'readahead', ino: inode.ino, pos: start, len: end - start });
  readahead.advance(end);
  try {
    yield* new Fill(inode, ops, { start, demandEnd: start, end, demand: undefined, dropBehind }).run();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
  }
}
