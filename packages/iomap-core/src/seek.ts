/**
 * SEEK_DATA and SEEK_HOLE. Over an unwritten mapping the cache decides: what is dirty, or being written, is data.
 *
 * Locks: inode, shared.
 */
import { FsError, type Io } from '@iomap/io';
import { IOMAP_REPORT, type IomapInode, type IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';

/** Position of the first data at or after `pos`. @throws FsError ENXIO when there is none (also at or past the end) */
export function* seekData<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number): Io<number> {
  const at = yield* seek(inode, ops, pos, true);
  if (at >= inode.size) throw new FsError('ENXIO');
  return at;
}

/** Position of the first hole at or after `pos`; the end of the file counts as one. @throws FsError ENXIO at or past the end */
export function seekHole<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number): Io<number> {
  return seek(inode, ops, pos, false);
}

function* seek<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, data: boolean): Io<number> {
  const found = yield* seekFrom(inode, ops, pos, data);
  inode.mapping.cache.trace?.({ type: data ? 'seek-data' : 'seek-hole', ino: inode.ino, pos, found });
  return found;
}

function* seekFrom<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, data: boolean): Io<number> {
  const { size } = inode;
  if (pos < 0 || pos >= size) throw new FsError('ENXIO');
  const iter = new IomapIter(inode, ops, pos, size - pos, IOMAP_REPORT);
  while (iter.pos < size) {
    if (!iter.peek()) yield* iter.begin();
    const end = iter.mapEnd;
    const found = find(inode, iter.iomap.type, iter.pos, end, data);
    iter.done = found - iter.pos;
    if (found < end) {
      if (iter.done > 0 || ops.end !== undefined) yield* iter.finish();
      return found;
    }
    yield* iter.finish();
  }
  return size;
}

/** The first data (or hole) of [pos, end), which one mapping of `type` covers; `end` when there is none. */
function find(inode: IomapInode, type: string, pos: number, end: number, data: boolean): number {
  const looksIntoCache = type === 'unwritten'; // guard: seek-looks-at-cache (pitfall 7) | without: const looksIntoCache = false;
  if (!looksIntoCache) return (type === 'hole' || type === 'unwritten') === data ? end : pos;
  let at = pos;
  while (at < end) {
    const run = cachedRun(inode, at, end);
    if (run.data === data) return at;
    at = run.end;
  }
  return end;
}

/** Is there data in the cache at `pos`, and how far does it stay so? */
function cachedRun(inode: IomapInode, pos: number, end: number): { data: boolean; end: number } {
  const { mapping } = inode;
  const folio = mapping.nextFolio(pos, end);
  if (folio === undefined) return { data: false, end };
  if (folio.pos > pos) return { data: false, end: folio.pos };
  const stop = Math.min(end, folio.end);
  if (folio.writebacks > 0) return { data: true, end: stop };
  const from = pos - folio.pos;
  const { blockSize } = mapping;
  const first = from - (from % blockSize);
  const dirty = folio.isDirty(from, from + 1);
  const next = dirty ? folio.nextClean(first, folio.size) : folio.nextDirty(first, folio.size);
  return { data: dirty, end: Math.min(stop, folio.pos + next) };
}
