/**
 * An open file of `ExtentFs`: the operations of a driver, each a few lines around the core's.
 *
 * Locks: the caller holds `inode.lock`, as a vfs would: shared for `read`, `seek` and `extents`, none for `fsync`, exclusively for
 * all others.
 */
import { FsError, roundDown, roundUp, type Io } from '@iomap/io';
import type { Readahead } from '@iomap/page-cache';
import { fiemap, type FiemapExtent } from '../fiemap.js';
import { bufferedRead, peekBufferedRead } from '../read.js';
import { seekData, seekHole } from '../seek.js';
import { punchPageCache, truncatePageCache } from '../truncate.js';
import { bufferedWrite, peekBufferedWrite } from '../write.js';
import { truncatePage, zeroRange } from '../zero.js';
import { extentOps, type ExtentInode } from './extent-inode.js';

export class ExtentFile {
  readonly inode: ExtentInode;
  readonly #readahead: Readahead;

  constructor(inode: ExtentInode) {
    this.inode = inode;
    this.#readahead = inode.fs.cache.newReadahead();
  }

  /** @returns bytes read; fewer than asked at the end of the file */
  *read(pos: number, bytes: Uint8Array): Io<number> {
    const { inode } = this;
    const cached = peekBufferedRead(inode, pos, bytes, extentOps);
    return cached >= 0 ? cached : yield* bufferedRead(inode, extentOps, pos, bytes, this.#readahead);
  }

  /** @returns bytes written @throws FsError ENOSPC, the device's */
  *write(pos: number, bytes: Uint8Array): Io<number> {
    const { inode } = this;
    if (inode.inline !== undefined && pos + bytes.length > inode.inline.length) yield* moveOut(inode);
    const done = inode.inline === undefined ? peekBufferedWrite(inode, extentOps, pos, bytes) : -1;
    return done >= 0 ? done : yield* bufferedWrite(inode, extentOps, pos, bytes);
  }

  *truncate(size: number): Io<void> {
    const { inode } = this;
    if (inode.inline !== undefined && size > inode.inline.length) yield* moveOut(inode);
    if (inode.inline !== undefined) {
      inode.inline.fill(0, Math.min(size, inode.size));
      inode.size = size;
      inode.fs.changed();
    } else if (size < inode.size) yield* shrink(inode, size);
    else if (size > inode.size) yield* extend(inode, size);
  }

  /** Makes [pos, pos + len) read as zero; whole blocks of it become holes. Never changes the size. */
  *punch(pos: number, len: number): Io<void> {
    const { inode } = this;
    const { blockSize, inline, size } = inode;
    const end = Math.min(pos + len, size);
    if (pos >= end) return;
    if (inline !== undefined) {
      inline.fill(0, pos, end);
      inode.fs.changed();
      return;
    }
    const first = roundUp(pos, blockSize);
    const last = end === size ? roundUp(end, blockSize) : roundDown(end, blockSize);
    yield* zeroRange(inode, extentOps, pos, Math.min(first, end) - pos);
    if (last >= first) yield* zeroRange(inode, extentOps, last, end - last);
    if (last <= first) return;
    yield* punchPageCache(inode, first, last - first);
    inode.forget(first / blockSize, last / blockSize);
  }

  /** Makes [pos, pos + len) read as zero and keeps its blocks. Never changes the size. */
  *zero(pos: number, len: number): Io<void> {
    const { inode } = this;
    yield* zeroRange(inode, extentOps, pos, Math.min(pos + len, inode.size) - pos);
  }

  /** Chooses blocks for [pos, pos + len), unwritten where there were none; the size stays. */
  *allocate(pos: number, len: number): Io<void> {
    const { inode } = this;
    if (inode.inline !== undefined) yield* moveOut(inode);
    yield* inode.preallocate(Math.floor(pos / inode.blockSize), Math.ceil((pos + len) / inode.blockSize));
  }

  /** Returns when data and metadata are durable. @throws FsError a failure of writeback since the last call, or of the commit */
  *fsync(): Io<void> {
    const { inode } = this;
    const { size, shrinks } = inode;
    yield* inode.writeback({ pos: 0, len: Infinity });
    // The end of the file may be a hole that no I/O told of.
    if (inode.inline === undefined && inode.shrinks === shrinks && size > inode.diskSize) {
      inode.diskSize = size;
      inode.fs.changed();
    }
    yield* inode.fs.commit();
    const lost = inode.mapping.takeError();
    if (lost !== undefined) throw lost;
  }

  seek(pos: number, what: 'data' | 'hole'): Io<number> {
    return (what === 'data' ? seekData : seekHole)(this.inode, extentOps, pos);
  }

  *extents(pos = 0, len = Infinity): Io<FiemapExtent[]> {
    const found: FiemapExtent[] = [];
    yield* fiemap(this.inode, extentOps, pos, len, (extent) => found.push(extent) > 0);
    return found;
  }
}

/** Makes `to` a copy of `from` that shares its blocks. Locks: those of both inodes, exclusively. */
export function* reflink(from: ExtentInode, to: ExtentInode): Io<void> {
  yield* from.writeback({ pos: 0, len: Infinity });
  to.inline = undefined;
  yield* truncatePageCache(to, 0);
  to.forget(0, Infinity);
  for (const extent of from.map.extents) {
    if (extent.state !== 'mapped') continue;
    to.fs.space.use(extent);
    to.map.set(extent);
  }
  to.inline = from.inline?.slice();
  to.size = to.diskSize = from.size;
  from.mapping.validityCookie++;
  to.mapping.validityCookie++;
  to.fs.changed();
}

/** Order: zero the rest of the last block, on the device too; the size; the cache; the blocks. */
function* shrink(inode: ExtentInode, size: number): Io<void> {
  yield* truncatePage(inode, extentOps, size);
  yield* settleSize(inode, size);
  inode.size = size;
  inode.diskSize = size;
  inode.shrinks++;
  yield* truncatePageCache(inode, size);
  inode.forget(Math.ceil(size / inode.blockSize), Infinity);
}

function* extend(inode: ExtentInode, size: number): Io<void> {
  yield* truncatePage(inode, extentOps, inode.size);
  yield* settleSize(inode, size);
  inode.size = size;
  inode.diskSize = size;
  inode.fs.changed();
}

/** The new size is durable with the next commit, whoever's: so what it covers, the zeroes at its end too, is written first. */
function settleSize(inode: ExtentInode, size: number): Io<void> {
  const from = Math.min(inode.diskSize, roundDown(Math.min(inode.size, size), inode.blockSize));
  return inode.writeback({ pos: from, len: size + 1 - from });
}

/** Moves inline data into a block: by an ordinary write, and a crash meanwhile still finds it inline. */
function* moveOut(inode: ExtentInode): Io<void> {
  const bytes = inode.inline;
  if (bytes === undefined) return;
  inode.leaving = bytes;
  inode.diskSize = 0;
  inode.inline = undefined;
  inode.mapping.validityCookie++;
  let moved = false;
  try {
    const { size } = inode;
    moved = (yield* bufferedWrite(inode, extentOps, 0, bytes.subarray(0, size))) === size;
    if (moved) yield* inode.writeback({ pos: 0, len: size });
    if (inode.diskSize < size) moved = false;
  } finally {
    if (!moved) inode.inline = bytes;
    inode.leaving = undefined;
    inode.mapping.validityCookie++;
    inode.fs.changed();
  }
  if (moved) return;
  yield* truncatePageCache(inode, 0);
  inode.forget(0, Infinity);
  throw inode.mapping.takeError() ?? new FsError('EIO');
}
