/**
 * One piece of a write or of a zeroing, inside one folio: lock, check the mapping, make the edge blocks whole, change, dirty.
 *
 * I1: the mapping is checked under the folio lock, after the last wait before the change; a stale one changes nothing.
 * I2: only whole blocks become uptodate: the edges are read, or zeroed where nothing was stored.
 * I3: the size grows in the same turn in which the folio gets dirty, so that writeback never finds new data past the end.
 * I4: a source that gives less than it has (a CopySource) changes only blocks that are whole with what it gave.
 */
import { submitMerged } from '@iomap/block-device';
import { FsError, roundDown, roundUp, type BioRequest, type Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import { PLAIN, wouldWait, type IoControl } from './control.js';
import { IOMAP_F_NEW, type Iomap, type IomapInode } from './iomap.js';
import type { IomapIter } from './iter.js';

/** Bytes to be written that cannot all be had for sure: a user's buffer that may be paged out, a stream. */
export interface CopySource {
  /** Bytes in all. */
  readonly length: number;
  /**
   * Copies from its byte `at` into all of `into`; the answer is how many bytes it could give (0: none now). Plain; `into` is the
   * page cache itself, so what is behind those bytes is left alone. It may be asked for the same bytes again.
   */
  copyTo(into: Uint8Array, at: number): number;
}

/** What to put into the folio: `bytes` from `start` of the file on, or `copy`'s; zeroes where both are undefined. */
export interface Source {
  readonly bytes: Uint8Array | undefined;
  readonly start: number;
  readonly copy?: CopySource | undefined;
  readonly control?: IoControl;
}

/**
 * Changes [pos, pos + n) for the largest n ≤ `want` that lies in one folio, and reports it in `iter.done`; sets
 * `iter.stale` and changes nothing where the mapping is not true any more.
 * Waits on: `getFolio`, the folio lock, memory, reads of at most two edge blocks; with stable writes, writeback of the folio.
 * @throws FsError EFAULT when a CopySource gave less than was asked (what it gave is in `iter.done`); EAGAIN for `nowait`
 */
export function* writeFolio<I extends IomapInode>(iter: IomapIter<I>, pos: number, want: number, source: Source): Io<void> {
  const { folioOps } = iter.ops;
  if (folioOps?.getFolio === undefined) {
    yield* writeLocked(iter, pos, want, source);
    return;
  }
  const before = iter.done;
  yield* folioOps.getFolio(iter.inode, pos, want);
  try {
    yield* writeLocked(iter, pos, want, source);
  } finally {
    folioOps.putFolio?.(iter.inode, pos, iter.done - before);
  }
}

function* writeLocked<I extends IomapInode>(iter: IomapIter<I>, pos: number, want: number, source: Source): Io<void> {
  const { inode } = iter;
  const { mapping } = inode;
  const { nowait = false, dontcache = false } = source.control ?? PLAIN;
  const found = nowait ? peekFolio(mapping, pos, want) : undefined;
  if (nowait && found === undefined) throw wouldWait(inode);
  const folio = found ?? (yield* lockFolio(mapping, pos, want));
  if (dontcache && folio.uptodateCount === 0) folio.dropBehind = true;
  try {
    if (nowait && mapping.stableWrites && folio.writebacks > 0) throw wouldWait(inode);
    if (mapping.stableWrites) yield* folio.waitWriteback(); // guard: stable-writes (atomic)
    iter.stale = !iter.valid(); // guard: stale-write-mapping (pitfall 1)
    if (iter.stale) return;
    const n = Math.min(folio.end - pos, want);
    const from = pos - folio.pos;
    const edges = prepareEdges(inode, iter.readMap, folio, from, from + n);
    if (edges !== undefined) {
      if (nowait) throw wouldWait(inode);
      yield* readEdges(inode, iter.readMap, folio, edges);
      // A write of these blocks that was in flight may have failed meanwhile, and their new place be given up.
      iter.stale = !iter.valid(); // guard: stale-write-after-read (pitfall 5)
      if (iter.stale) return;
    }
    if (source.copy === undefined) {
      commit(inode, folio, from, n, source, pos);
      iter.done += n;
    } else yield* copyIn(iter, folio, pos, n, { ...source, copy: source.copy });
  } finally {
    folio.unlock();
  }
}

/** The folio of `pos`, locked: found, or made with room for up to `want` bytes. */
export function* lockFolio(mapping: AddressSpace, pos: number, want: number): Io<Folio> {
  const { blockSize, cache } = mapping;
  for (;;) {
    const found = mapping.lookup(pos);
    if (found === undefined) {
      const start = roundDown(pos, blockSize);
      const made = mapping.tryAlloc(start, roundUp(pos + want - start, blockSize));
      if (made !== undefined) return made;
      yield* cache.makeRoom(blockSize);
    } else {
      if (!found.tryLock()) yield* found.lock();
      if (found.mapping === mapping) return found;
      found.unlock();
    }
  }
}

/** `lockFolio` without a wait; undefined = it would have to. */
function peekFolio(mapping: AddressSpace, pos: number, want: number): Folio | undefined {
  const found = mapping.lookup(pos);
  if (found !== undefined) return found.tryLock(true) ? found : undefined;
  const start = roundDown(pos, mapping.blockSize);
  return mapping.tryAlloc(start, roundUp(pos + want - start, mapping.blockSize));
}

/**
 * True when nothing is stored for the block at `blockPos`: its bytes outside the write are zero.
 * @param readMap where old content is: the source of a copy on write, else the mapping itself
 */
function isBlank(inode: IomapInode, readMap: Iomap, blockPos: number): boolean {
  return readMap.type !== 'mapped' || (readMap.flags & IOMAP_F_NEW) !== 0 || blockPos >= inode.size;
}

/**
 * Zeroes the rest of the edge blocks of [from, to) where that is what they hold.
 * @returns the offsets of the edge blocks that must be read first; undefined = none
 */
export function prepareEdges(
  inode: IomapInode, readMap: Iomap, folio: Folio, from: number, to: number,
): number[] | undefined {
  if (folio.uptodate) return undefined;
  const { blockSize } = inode.mapping;
  const head = roundDown(from, blockSize);
  const tail = roundDown(to, blockSize);
  let reads: number[] | undefined;
  if (head !== from && !folio.isUptodate(head, from)) {
    if (isBlank(inode, readMap, folio.pos + head)) {
      folio.data.fill(0, head, from);
      if (tail === head) folio.data.fill(0, to, head + blockSize);
    } else reads = [head];
  }
  if (tail !== to && (tail !== head || head === from) && !folio.isUptodate(tail, to)) {
    if (isBlank(inode, readMap, folio.pos + tail)) folio.data.fill(0, to, tail + blockSize);
    else (reads ??= []).push(tail); // guard: neighbours-in-a-block (pitfall 21) | without: else folio.data.fill(0, to, tail + blockSize);
  }
  return reads;
}

/** Reads whole blocks of a locked folio, at the offsets given; what was stored past the end of the file becomes zero. */
export function* readEdges(inode: IomapInode, iomap: Iomap, folio: Folio, edges: readonly number[]): Io<void> {
  const { device } = iomap;
  const { blockSize, cache } = inode.mapping;
  if (device === undefined) throw new FsError('EUCLEAN', { why: 'a mapping without a device' });
  const requests: BioRequest[] = [];
  for (const from of edges) {
    const addr = iomap.addr + (folio.pos + from - iomap.offset);
    const segments = [folio.data.subarray(from, from + blockSize)];
    cache.counters.readBios++;
    cache.counters.readBioBytes += blockSize;
    cache.trace?.({ type: 'bio', ino: inode.ino, op: 'read', addr, len: blockSize, segments: 1 });
    requests.push({ kind: 'bio', target: device, bio: { op: 'read', pos: addr, segments, lengthBytes: blockSize } });
  }
  yield* submitMerged(requests);
  for (const from of edges) {
    const sizeInside = inode.size - folio.pos;
    if (sizeInside < from + blockSize) folio.data.fill(0, Math.max(from, sizeInside), from + blockSize);
    folio.setUptodate(from, from + blockSize);
  }
}

/** The change itself; plain, under the folio lock, edges prepared. */
export function commit(
  inode: IomapInode, folio: Folio, from: number, n: number, source: Source, pos: number,
): void {
  const { bytes } = source;
  if (bytes === undefined) folio.data.fill(0, from, from + n);
  else {
    const at = pos - source.start;
    folio.data.set(at === 0 && n === bytes.length ? bytes : bytes.subarray(at, at + n), from);
    if (pos + n > inode.size) inode.size = pos + n; // I3
  }
  dirtied(inode, folio, from, from + n);
}

/** [from, to) of a locked folio was changed, its edges were prepared. */
function dirtied(inode: IomapInode, folio: Folio, from: number, to: number): void {
  const { blockSize, cache } = inode.mapping;
  folio.setUptodate(roundDown(from, blockSize), roundUp(to, blockSize));
  folio.markDirty(from, to);
  if (folio.touched < 2) folio.touched++;
  cache.counters.foliosTouched++;
}

/**
 * I4: takes what the source gives for [pos, pos + n), edges prepared. Where it ends inside a block that is not uptodate, that block
 * is made whole for just so many bytes and asked for once more; `n` gets smaller each time.
 */
function* copyIn<I extends IomapInode>(
  iter: IomapIter<I>, folio: Folio, pos: number, n: number, source: Source & { readonly copy: CopySource },
): Io<void> {
  const { inode, readMap } = iter;
  const { blockSize } = inode.mapping;
  const from = pos - folio.pos;
  for (let want = n; want > 0; ) {
    const given = source.copy.copyTo(folio.data.subarray(from, from + want), pos - source.start);
    const copied = Math.max(0, Math.min(want, Math.floor(given)));
    let usable = copied;
    const tail = roundDown(from + copied, blockSize);
    const isPart = copied < want && !folio.isUptodate(tail, tail + 1);
    if (isPart) usable = Math.max(0, tail - from); // guard: short-copy (pitfall 12)
    if (usable > 0) {
      if (pos + usable > inode.size) inode.size = pos + usable;
      dirtied(inode, folio, from, from + usable);
      iter.done += usable;
    }
    if (usable > 0) return;
    if (copied === 0) break;
    const edges = prepareEdges(inode, readMap, folio, from, from + copied);
    if (edges !== undefined) yield* readEdges(inode, readMap, folio, edges);
    want = copied;
  }
  throw new FsError('EFAULT', { why: 'the source of a write gave less than it has', detail: { ino: inode.ino, pos } });
}
