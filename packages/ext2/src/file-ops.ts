/**
 * What iomap-core needs of an ext2 file: mappings for reads, writes and writeback; and the data operations over them.
 *
 * A write allocates in `begin`, the whole run that the write wants; there is no delayed allocation. A mapping carries the cookie
 * of the block map it was sampled from, so a truncate in between makes it stale.
 */
import { FsError, type Io } from '@iomap/io';
import {
  bufferedRead,
  bufferedWrite,
  IOMAP_F_NEW,
  IOMAP_WRITE,
  IOMAP_ZERO,
  peekBufferedRead,
  peekBufferedWrite,
  peekReadWhole,
  punchPageCache,
  truncatePage,
  truncatePageCache,
  writeback,
  zeroRange,
  type Iomap,
  type IomapOps,
  type WritebackOps,
} from '@iomap/iomap-core';
import { AddressSpace } from '@iomap/page-cache';
import { relieve } from './dirty-files.js';
import type { MapRun } from './extent-cache.js';
import { allocMap, mapBlocksMax, peekMap, readMap } from './indirect.js';
import type { Ext2InodeInCore } from './inode.js';
import { RO_COMPAT } from './ondisk.js';
import { truncateBlocks, unmapRun } from './truncate.js';
import { guarded, type Volume } from './volume.js';

/** Files beyond this need the `large_file` feature. */
const SMALL_FILE_MAX = 2 ** 31 - 1;

/** Runs asked for in one `begin` at most, when the length is unbounded. */
const WANT_MAX = 2 ** 20;

export class FileOps {
  readonly iomap: IomapOps<Ext2InodeInCore>;
  readonly writeback: WritebackOps<Ext2InodeInCore>;
  readonly #vol: Volume;

  constructor(vol: Volume) {
    this.#vol = vol;
    this.iomap = makeIomapOps(vol);
    this.writeback = vol.writebackOps;
  }

  /** Lock: inode, shared. */
  read(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): Io<number> {
    return bufferedRead(inode, this.iomap, pos, bytes);
  }

  peekRead(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): number {
    if (inode.mappingIfAny !== undefined) return peekBufferedRead(inode, pos, bytes, this.iomap);
    // Most files are read once, whole: they need no address space.
    return pos < inode.size ? peekReadWhole(inode, this.iomap, this.#vol.pages, pos, bytes) : 0;
  }

  /** Lock: inode, exclusive. @throws FsError EFBIG, ENOSPC, EROFS, EIO */
  *write(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): Io<number> {
    const vol = this.#vol;
    vol.checkWritable();
    if (bytes.length === 0) return 0;
    const max = fileSizeMax(vol);
    if (pos >= max) throw new FsError('EFBIG');
    const part = pos + bytes.length > max ? bytes.subarray(0, max - pos) : bytes;
    const before = inode.size;
    if (pos > before) yield* this.zeroTail(inode, pos);
    vol.dirtyFiles.add(inode);
    let done: number;
    try {
      done = yield* bufferedWrite(inode, this.iomap, pos, part);
    } finally {
      // Again, now that it is dirty: a sync on the way may have found nothing to write and forgotten it.
      vol.dirtyFiles.add(inode);
    }
    if (inode.size > SMALL_FILE_MAX && before <= SMALL_FILE_MAX) noteLargeFile(vol);
    if (inode.size !== before) vol.markInodeDirty(inode);
    return done;
  }

  peekWrite(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): number {
    const vol = this.#vol;
    if (vol.readOnly || vol.shutdownError !== undefined || pos > inode.size) return -1;
    const before = inode.size;
    if (before <= SMALL_FILE_MAX && pos + bytes.length > SMALL_FILE_MAX) return -1;
    const done = peekBufferedWrite(inode, this.iomap, pos, bytes);
    if (done > 0) {
      vol.dirtyFiles.add(inode);
      if (inode.size !== before) vol.markInodeDirty(inode);
    }
    return done;
  }

  /** Zeroes what lies in the last block behind the end of file, when the file is about to grow past it. */
  *zeroTail(inode: Ext2InodeInCore, newEnd: number): Io<void> {
    const rest = inode.size % this.#vol.blockSize;
    if (rest === 0) return;
    const len = Math.min(this.#vol.blockSize - rest, newEnd - inode.size);
    if (len > 0) yield* zeroRange(inode, this.iomap, inode.size, len);
  }

  /** Truncates or extends. Lock: inode, exclusive. @throws FsError EFBIG, EIO, EUCLEAN */
  *setSize(inode: Ext2InodeInCore, size: number): Io<void> {
    const vol = this.#vol;
    if (size > fileSizeMax(vol)) throw new FsError('EFBIG');
    if (size > inode.size) {
      yield* this.zeroTail(inode, size);
      vol.dirtyFiles.add(inode);
      if (size > SMALL_FILE_MAX) noteLargeFile(vol);
      inode.size = size;
    } else if (size < inode.size) {
      // While the old size holds: the block that stays in part gets zeroes behind the new end.
      if (size % vol.blockSize !== 0) yield* truncatePage(inode, this.iomap, size);
      vol.dirtyFiles.add(inode);
      inode.size = size;
      vol.markInodeDirty(inode);
      yield* truncatePageCache(inode, size);
      yield* truncateBlocks(vol, inode, Math.ceil(size / vol.blockSize));
    } else {
      // Same size: blocks behind it (a preallocation, a failed write) go.
      yield* truncateBlocks(vol, inode, Math.ceil(size / vol.blockSize));
    }
    vol.markInodeDirty(inode);
  }

  /** Writes back the file's dirty data. @throws FsError the first failure, once, also where a sync has met it before */
  *flush(inode: Ext2InodeInCore): Io<void> {
    const mapping = inode.mappingIfAny;
    if (mapping === undefined) return;
    yield* writeback(inode, this.writeback, { pos: 0, len: Infinity });
    const error = mapping.takeError() ?? inode.untoldError;
    inode.untoldError = undefined;
    if (error !== undefined) throw error;
  }
}

/** The address space of a file: under memory pressure the page cache calls its host. */
export function makeMapping(vol: Volume, inode: Ext2InodeInCore): AddressSpace {
  return new AddressSpace(vol.pages, {
    name: `inode ${inode.ino}`,
    blockSize: vol.blockSize,
    host: { writeback: (range) => relieve(vol, inode, range) },
  });
}

/** The format's limit: what the trees map, and what fits `i_blocks` (2^32 units of 512 bytes, tree blocks included). */
export function fileSizeMax(vol: Volume): number {
  const perBlock = vol.blockSize / 4;
  const limit = Math.floor((2 ** 32 - 1) / vol.sectorsPerBlock);
  const mapped = mapBlocksMax(vol);
  let blocks = mapped;
  if (mapped + 3 + 2 * perBlock + perBlock ** 2 > limit) {
    // Data and the tree blocks above it share the limit.
    let rest = limit - 12 - perBlock;
    let tree = 1;
    if (rest < perBlock ** 2) {
      tree += 1 + Math.ceil(rest / perBlock);
    } else {
      tree += 1 + perBlock;
      rest -= perBlock ** 2;
      tree += 1 + Math.ceil(rest / perBlock) + Math.ceil(rest / perBlock ** 2);
    }
    blocks = limit - tree;
  }
  return Math.min(blocks * vol.blockSize, Number.MAX_SAFE_INTEGER);
}

function noteLargeFile(vol: Volume): void {
  const { info } = vol;
  if ((info.roCompat & RO_COMPAT.large_file) !== 0) return;
  info.revision = 1;
  info.roCompat |= RO_COMPAT.large_file;
  vol.superDirty = true;
}

/** Fills `out` from a run of the block map that starts at `fileBlock`. */
function fill(vol: Volume, inode: Ext2InodeInCore, fileBlock: number, run: MapRun, out: Iomap): void {
  const { blockSize } = vol;
  out.type = run.block === 0 ? 'hole' : 'mapped';
  out.offset = fileBlock * blockSize;
  out.length = run.count * blockSize;
  out.addr = run.block === 0 ? -1 : run.block * blockSize;
  out.flags = 0;
  out.device = vol.device;
  out.inlineData = undefined;
  out.validityCookie = inode.cookie;
}

function makeIomapOps(vol: Volume): IomapOps<Ext2InodeInCore> {
  const { blockSize } = vol;
  const scratch: MapRun = { block: 0, count: 0 };
  const blocksMax = mapBlocksMax(vol);
  const isCreate = (flags: number): boolean => (flags & IOMAP_WRITE) !== 0 && (flags & IOMAP_ZERO) === 0;
  /** The run at `fileBlock`, or a hole where the format ends. */
  const beyond = (inode: Ext2InodeInCore, fileBlock: number, length: number, flags: number, out: Iomap): boolean => {
    if (fileBlock < blocksMax) return false;
    if (isCreate(flags)) throw new FsError('EFBIG');
    fill(vol, inode, fileBlock, { block: 0, count: Math.max(1, Math.ceil(length / blockSize)) }, out);
    return true;
  };
  return {
    peek(inode, pos, length, flags, out) {
      const fileBlock = Math.floor(pos / blockSize);
      if (beyond(inode, fileBlock, length, flags, out)) return true;
      // A plain read holds no buffer, so one may be read within the call, which may evict another.
      if (!peekMap(vol, inode, fileBlock, scratch, flags === 0)) return false;
      if (scratch.block === 0 && isCreate(flags)) return false;
      fill(vol, inode, fileBlock, scratch, out);
      return true;
    },
    *begin(inode, pos, length, flags, out) {
      const fileBlock = Math.floor(pos / blockSize);
      if (beyond(inode, fileBlock, length, flags, out)) return;
      const run: MapRun = { block: 0, count: 0 };
      yield* readMap(vol, inode, fileBlock, run);
      let isNew = false;
      if (run.block === 0 && isCreate(flags)) {
        const want = Math.min(WANT_MAX, Math.ceil((pos + length) / blockSize) - fileBlock, run.count);
        isNew = yield* guarded(vol, allocMap(vol, inode, { fileBlock, want }, run));
      }
      fill(vol, inode, fileBlock, run, out);
      if (isNew) out.flags = IOMAP_F_NEW;
    },
    *end(inode, pos, length, written, flags, iomap) {
      if ((iomap.flags & IOMAP_F_NEW) === 0 || written >= length || !isCreate(flags)) return;
      // A short write into new blocks: those that nothing was written to hold what others had there. They go back.
      const first = written === 0 ? Math.floor(pos / blockSize) : Math.ceil((pos + written) / blockSize);
      const count = Math.ceil((iomap.offset + iomap.length) / blockSize) - first;
      if (count <= 0) return;
      yield* punchPageCache(inode, first * blockSize, count * blockSize);
      // Behind the end of file, tree blocks that become empty go too; a hole inside keeps them for the next write.
      const isBehind = first * blockSize >= inode.size;
      yield* guarded(vol, isBehind ? truncateBlocks(vol, inode, first) : unmapRun(vol, inode, first, count));
    },
  };
}

export function makeWritebackOps(vol: Volume): WritebackOps<Ext2InodeInCore> {
  const { blockSize } = vol;
  const scratch: MapRun = { block: 0, count: 0 };
  return {
    peekBlocks(inode, offset, _length, out) {
      const fileBlock = Math.floor(offset / blockSize);
      if (!peekMap(vol, inode, fileBlock, scratch)) return false;
      fill(vol, inode, fileBlock, scratch, out);
      return true;
    },
    *mapBlocks(inode, offset, _length, out) {
      const fileBlock = Math.floor(offset / blockSize);
      const run: MapRun = { block: 0, count: 0 };
      yield* readMap(vol, inode, fileBlock, run);
      fill(vol, inode, fileBlock, run, out);
    },
  };
}
