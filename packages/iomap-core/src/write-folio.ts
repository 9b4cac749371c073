/**
 * One piece of a write or of a zeroing, inside one folio: lock, check the mapping, make the edge blocks whole, change, dirty.
 *
 * I1: the mapping is checked under the folio lock, after the last wait before the change; a stale one changes nothing.
 * I2: only whole blocks become uptodate: the edges are read, or zeroed where nothing was stored.
 * I3: the size grows in the same turn in which the folio gets dirty, so that writeback never finds new data past the end.
 */
import { FsError, roundDown, roundUp, submitAll, type BioRequest, type Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import { IOMAP_F_NEW, type Iomap, type IomapInode } from './iomap.js';
import type { IomapIter } from './iter.js';

/** What to put into the folio: `bytes` from `at`, or zeroes where `bytes` is undefined. */
export interface Source {
  readonly bytes: Uint8Array | undefined;
  readonly start: number;
}

/**
 * Changes [pos, pos + n) for the largest n ≤ `want` that lies in one folio, and reports it in `iter.done`; sets
 * `iter.stale` and changes nothing where the mapping is not true any more.
 * Waits on: the folio lock, memory, reads of at most two edge blocks.
 */
export function* writeFolio<I extends IomapInode>(iter: IomapIter<I>, pos: number, want: number, source: Source): Io<void> {
  const { inode } = iter;
  const { mapping } = inode;
  const folio = yield* lockFolio(mapping, pos, want);
  try {
    if (!iter.valid()) {
      iter.stale = true;
      return;
    }
    const n = Math.min(folio.end - pos, want);
    const from = pos - folio.pos;
    const edges = prepareEdges(inode, iter.iomap, folio, from, from + n);
    if (edges !== undefined) yield* readEdges(inode, iter.readMap, folio, edges);
    commit(inode, folio, from, n, source, pos);
    iter.done += n;
  } finally {
    folio.unlock();
  }
}

/** The folio of `pos`, locked: found, or made with room for up to `want` bytes. */
function* lockFolio(mapping: AddressSpace, pos: number, want: number): Io<Folio> {
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

/** True when nothing is stored for the block at `blockPos`: its bytes outside the write are zero. */
function isBlank(inode: IomapInode, iomap: Iomap, blockPos: number): boolean {
  return iomap.type !== 'mapped' || (iomap.flags & IOMAP_F_NEW) !== 0 || blockPos >= inode.size;
}

/**
 * Zeroes the rest of the edge blocks of [from, to) where that is what they hold.
 * @returns the offsets of the edge blocks that must be read first; undefined = none
 */
export function prepareEdges(
  inode: IomapInode, iomap: Iomap, folio: Folio, from: number, to: number,
): number[] | undefined {
  if (folio.uptodate) return undefined;
  const { blockSize } = inode.mapping;
  const head = roundDown(from, blockSize);
  const tail = roundDown(to, blockSize);
  let reads: number[] | undefined;
  if (head !== from && !folio.isUptodate(head, from)) {
    if (isBlank(inode, iomap, folio.pos + head)) {
      folio.data.fill(0, head, from);
      if (tail === head) folio.data.fill(0, to, head + blockSize);
    } else reads = [head];
  }
  if (tail !== to && (tail !== head || head === from) && !folio.isUptodate(tail, to)) {
    if (isBlank(inode, iomap, folio.pos + tail)) folio.data.fill(0, to, tail + blockSize);
    else (reads ??= []).push(tail);
  }
  return reads;
}

function* readEdges(inode: IomapInode, iomap: Iomap, folio: Folio, edges: readonly number[]): Io<void> {
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
  yield* submitAll(requests);
  for (const from of edges) {
    // What was stored past the end of the file is not the file's.
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
  const { blockSize, cache } = inode.mapping;
  const to = from + n;
  if (bytes === undefined) folio.data.fill(0, from, to);
  else {
    const at = pos - source.start;
    folio.data.set(at === 0 && n === bytes.length ? bytes : bytes.subarray(at, at + n), from);
    if (pos + n > inode.size) inode.size = pos + n; // I3
  }
  folio.setUptodate(roundDown(from, blockSize), roundUp(to, blockSize));
  folio.markDirty(from, to);
  if (folio.touched < 2) folio.touched++;
  cache.counters.foliosTouched++;
}
