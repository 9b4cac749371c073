/**
 * An open file of `ExtentFs`: the operations of a driver, each a few lines around the core's.
 *
 * Locks: the caller holds `inode.lock`, as a vfs would: shared for `read`, `seek` and `extents`, none for `fsync`, exclusively for
 * all others. What takes blocks from the file holds the mapping's invalidate lock as well, so that no fault comes in between.
 */
import { FsError, roundDown, roundUp, type Io } from '@iomap/io';
import type { Readahead } from '@iomap/page-cache';
import type { IoControl } from '../control.js';
import { directRead, directWrite } from '../direct.js';
import { fiemap, type FiemapExtent } from '../fiemap.js';
import { shiftPrepare } from '../invalidate.js';
import { MappedFile } from '../mapped-file.js';
import { bufferedRead, peekBufferedRead } from '../read.js';
import { seekData, seekHole } from '../seek.js';
import { punchPageCache, truncatePageCache } from '../truncate.js';
import { unshareRange } from '../unshare.js';
import { bufferedWrite, peekBufferedWrite } from '../write.js';
import { truncatePage, zeroRange } from '../zero.js';
import { directOps, extentOps, type ExtentInode } from './extent-inode.js';

export class ExtentFile {
  readonly inode: ExtentInode;
  /** Which errors of writeback `fsync` has told through this open file. */
  errorSeq: number;
  readonly #readahead: Readahead;

  constructor(inode: ExtentInode) {
    this.inode = inode;
    this.errorSeq = inode.mapping.sampleError();
    this.#readahead = inode.fs.cache.newReadahead();
  }

  /** @returns bytes read; fewer than asked at the end of the file */
  *read(pos: number, bytes: Uint8Array): Io<number> {
    const { inode } = this;
    const cached = peekBufferedRead(inode, pos, bytes, extentOps);
    return cached >= 0 ? cached : yield* bufferedRead(inode, extentOps, pos, bytes, { readahead: this.#readahead });
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
    } else if (size < inode.size) yield* withoutFaults(inode, () => shrink(inode, size));
    else if (size > inode.size) yield* withoutFaults(inode, () => extend(inode, size));
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
    yield* withoutFaults(inode, function* () {
      yield* punchPageCache(inode, first, last - first);
      inode.forget(first / blockSize, last / blockSize);
    });
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

  /** `pos` and the length are multiples of the device's sectors. */
  readDirect(pos: number, bytes: Uint8Array, control?: IoControl): Io<number> {
    return directRead(this.inode, extentOps, directOps, pos, bytes, control);
  }

  /** As `readDirect`. With `overwriteOnly` a shared inode lock is enough. */
  *writeDirect(pos: number, bytes: Uint8Array, control?: IoControl): Io<number> {
    if (this.inode.inline !== undefined) yield* moveOut(this.inode);
    return yield* directWrite(this.inode, extentOps, directOps, pos, bytes, control);
  }

  /** The bytes reach the device whole or not at all. `pos` is a multiple of their number, a power of two. */
  *writeAtomic(pos: number, bytes: Uint8Array): Io<number> {
    if (this.inode.inline !== undefined) yield* moveOut(this.inode);
    return yield* bufferedWrite(this.inode, extentOps, pos, bytes, { atomic: true });
  }

  /** Takes the blocks [pos, pos + len) out; what follows moves to their place. Both are whole blocks, inside the size. */
  *collapse(pos: number, len: number): Io<void> {
    const { inode } = this;
    const { blockSize, size } = inode;
    if (pos % blockSize !== 0 || len % blockSize !== 0 || pos + len >= size) throw new FsError('EINVAL');
    if (inode.inline !== undefined) yield* moveOut(inode);
    yield* withoutFaults(inode, function* () {
      yield* shiftPrepare(inode, pos);
      inode.collapse(pos / blockSize, len / blockSize);
      inode.setSize(size - len);
    });
  }

  /** Gives the file blocks of its own for [pos, pos + len). */
  *unshare(pos: number, len: number): Io<void> {
    if (this.inode.inline === undefined) yield* unshareRange(this.inode, extentOps, pos, len);
  }

  /** The file in memory. Inline data cannot be mapped: it moves into a block. */
  *map(): Io<MappedFile<ExtentInode>> {
    if (this.inode.inline !== undefined) yield* moveOut(this.inode);
    return new MappedFile(this.inode, extentOps);
  }

  /** Returns when data and metadata are durable. @throws FsError a failure of writeback since the last call, or of the commit */
  *fsync(): Io<void> {
    const { inode } = this;
    const { size, shrinks } = inode;
    yield* inode.writeback({ pos: 0, len: Infinity });
    // The end of the file may be a hole that no I/O told of.
    if (inode.inline === undefined && inode.shrinks === shrinks) inode.coverOnDisk(size);
    yield* inode.fs.commit();
    const lost = inode.mapping.checkErrorSince(this);
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
  to.inline = undefined;
  yield* withoutFaults(to, function* () {
    yield* truncatePageCache(to, 0);
    to.forget(0, Infinity);
    to.setSize(0);
  });
  // A store between the writeback and the sharing would go to a shared block.
  yield* withoutFaults(from, function* () {
    yield* from.writeback({ pos: 0, len: Infinity });
    for (const extent of from.map.extents) {
      if (extent.state !== 'mapped') continue;
      to.fs.space.use(extent);
      to.map.set(extent);
    }
    from.mapping.validityCookie++;
  });
  to.inline = from.inline?.slice();
  to.setSize(from.size);
  to.mapping.validityCookie++;
}

/** Does `work` while nobody can fault: what is dropped from the cache stays out of it until the map says so. */
function* withoutFaults(inode: ExtentInode, work: () => Io<void>): Io<void> {
  const { invalidateLock } = inode.mapping;
  if (!invalidateLock.tryWrite()) yield* invalidateLock.write();
  try {
    yield* work();
  } finally {
    invalidateLock.unlockWrite();
  }
}

/** Order: zero the rest of the last block, on the device too; the size; the cache; the blocks. */
function* shrink(inode: ExtentInode, size: number): Io<void> {
  yield* truncatePage(inode, extentOps, size);
  yield* settleSize(inode, size);
  inode.setSize(size);
  yield* truncatePageCache(inode, size);
  inode.forget(Math.ceil(size / inode.blockSize), Infinity);
}

function* extend(inode: ExtentInode, size: number): Io<void> {
  yield* truncatePage(inode, extentOps, inode.size);
  yield* settleSize(inode, size);
  inode.setSize(size);
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
  const { size } = inode;
  inode.leaving = bytes;
  inode.diskSize = 0;
  inode.inline = undefined;
  inode.mapping.validityCookie++;
  let moved = false;
  try {
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
  throw new FsError('EIO', { why: 'the data could not leave the inode' });
}
