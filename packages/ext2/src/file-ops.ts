/**
 * The data operations of an ext2 file, over the mappings that its block map gives to iomap-core (`@iomap/block-map`).
 */
import {
  flushFile, LegacyFiles, legacyMapping, mapBufferOps, mapDioOps, mapDirectRead, mapFile, mapIomapOps, mapSwap, mapWritebackOps, relieve,
  truncateBlocks, type DirectHost, type MapIo,
} from '@iomap/block-map';
import type { BufferOps } from '@iomap/buffer-head';
import { FsError, type Io } from '@iomap/io';
import {
  bmap,
  bufferedRead,
  bufferedWrite,
  directWrite,
  fiemap,
  peekBufferedRead,
  peekBufferedWrite,
  peekReadWhole,
  PLAIN,
  seekData,
  seekHole,
  truncatePage,
  truncatePageCache,
  withoutFaults,
  zeroRange,
  type DioOps,
  type IomapOps,
  type WritebackOps,
} from '@iomap/iomap-core';
import { AddressSpace } from '@iomap/page-cache';
import type { FiemapExtent, IoHow, MappedData, SwapMap } from '@iomap/vfs';
import type { Ext2InodeInCore } from './inode.js';
import { RO_COMPAT } from './ondisk.js';
import { guarded, type Volume } from './volume.js';

/** Files beyond this need the `large_file` feature. */
const SMALL_FILE_MAX = 2 ** 31 - 1;

export class FileOps {
  readonly iomap: IomapOps<Ext2InodeInCore>;
  readonly #vol: Volume;
  readonly #host: DirectHost<Ext2InodeInCore>;
  readonly #dio: DioOps<Ext2InodeInCore>;

  /** @param sync fsync of a file's data */
  constructor(vol: Volume, sync: (inode: Ext2InodeInCore) => Io<void>) {
    this.#vol = vol;
    const io = mapIo(vol);
    this.#host = {
      ...io,
      dirtyFiles: vol.dirtyFiles,
      checkWritable: () => {
        vol.checkWritable();
      },
      markInodeDirty: (inode) => {
        vol.markInodeDirty(inode);
      },
      sync,
    };
    this.iomap = mapIomapOps(this.#host);
    this.#dio = mapDioOps(this.#host);
  }

  /** Lock: inode, shared. */
  read(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array, how: IoHow = PLAIN): Io<number> {
    return how.direct === true
      ? mapDirectRead(this.iomap, this.#dio, { inode, pos, bytes }, how)
      : bufferedRead(inode, this.iomap, pos, bytes, how);
  }

  /** Lock: inode, shared. */
  map(inode: Ext2InodeInCore, writable: boolean): MappedData {
    return mapFile(this.#host, inode, this.iomap, writable);
  }

  /** Lock: inode, shared. */
  swapMap(inode: Ext2InodeInCore): Io<SwapMap> {
    return mapSwap(this.#host, inode, this.iomap);
  }

  peekRead(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): number {
    if (inode.mappingIfAny !== undefined) return peekBufferedRead(inode, pos, bytes, this.iomap);
    // Most files are read once, whole: they need no address space.
    return pos < inode.size ? peekReadWhole(inode, this.iomap, this.#vol.pages, pos, bytes) : 0;
  }

  /** Lock: inode, exclusive. @throws FsError EFBIG, ENOSPC, EROFS, EIO; EAGAIN, EINVAL, EOPNOTSUPP for what `how` asks */
  *write(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array, how: IoHow = PLAIN): Io<number> {
    const vol = this.#vol;
    vol.checkWritable();
    if (bytes.length === 0) return 0;
    const max = fileSizeMax(vol);
    if (pos >= max) throw new FsError('EFBIG');
    const part = pos + bytes.length > max ? bytes.subarray(0, max - pos) : bytes;
    const before = inode.size;
    if (pos > before && how.nowait !== true) yield* this.zeroTail(inode, pos);
    vol.dirtyFiles.add(inode);
    let done: number;
    try {
      done = how.direct === true
        ? yield* directWrite(inode, this.iomap, this.#dio, pos, part, how)
        : yield* bufferedWrite(inode, this.iomap, pos, part, how);
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
      yield* withoutFaults(inode, this.#dropFrom(inode, size));
    } else {
      // Same size: blocks behind it (a preallocation, a failed write) go.
      yield* withoutFaults(inode, truncateBlocks(vol.map, inode, Math.ceil(size / vol.blockSize)));
    }
    vol.markInodeDirty(inode);
  }

  *#dropFrom(inode: Ext2InodeInCore, size: number): Io<void> {
    inode.size = size;
    this.#vol.markInodeDirty(inode);
    yield* truncatePageCache(inode, size);
    yield* truncateBlocks(this.#vol.map, inode, Math.ceil(size / this.#vol.blockSize));
  }

  /** Lock: inode, shared. */
  seek(inode: Ext2InodeInCore, pos: number, whence: 'data' | 'hole'): Io<number> {
    return whence === 'data' ? seekData(inode, this.iomap, pos) : seekHole(inode, this.iomap, pos);
  }

  /** Lock: inode, shared. */
  fiemap(inode: Ext2InodeInCore, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void> {
    return fiemap(inode, this.iomap, pos, len, emit);
  }

  /** Lock: inode, shared. */
  bmap(inode: Ext2InodeInCore, fileBlock: number): Io<number> {
    return bmap(inode, this.iomap, fileBlock);
  }

  /** Writes back the file's dirty data. @throws FsError the first failure, once, also where a sync has met it before */
  flush(inode: Ext2InodeInCore): Io<void> {
    return flushFile(this.#vol, inode);
  }
}

/** A mount's file operations: over iomap-core, or the old way (mount option `io`). */
export function fileOps(vol: Volume, sync: (inode: Ext2InodeInCore) => Io<void>): FileOps | LegacyFiles<Ext2InodeInCore> {
  const { bufferOps } = vol;
  if (bufferOps === undefined) return new FileOps(vol, sync);
  const host = {
    map: vol.map,
    writebackOps: vol.writebackOps,
    bufferOps,
    dirtyFiles: vol.dirtyFiles,
    shutdown: (error: FsError): void => {
      vol.shutdown(error);
    },
    readOnly: vol.readOnly,
    fileSizeMax: fileSizeMax(vol),
    get shutdownError(): FsError | undefined {
      return vol.shutdownError;
    },
    checkWritable: (): void => {
      vol.checkWritable();
    },
    markInodeDirty: (inode: Ext2InodeInCore): void => {
      vol.markInodeDirty(inode);
    },
    grown: (inode: Ext2InodeInCore, before: number): void => {
      if (inode.size > SMALL_FILE_MAX && before <= SMALL_FILE_MAX) noteLargeFile(vol);
    },
  };
  return new LegacyFiles(host, bufferOps, sync);
}

/** The address space of a file: under memory pressure the page cache calls its host. A directory's never goes the old way. */
export function makeMapping(vol: Volume, inode: Ext2InodeInCore): AddressSpace {
  if (vol.bufferOps !== undefined && !inode.isDirectory) return legacyMapping(vol, vol.pages, inode);
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
  const mapped = vol.map.blocksMax;
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

const mapIo = (vol: Volume): MapIo<Ext2InodeInCore> => ({
  map: vol.map,
  device: vol.device,
  guarded: (change) => guarded(vol, change),
});

export const makeWritebackOps = (vol: Volume): WritebackOps<Ext2InodeInCore> => mapWritebackOps(mapIo(vol));

/** The old way's: Linux's ext2 mapped runs in one `get_block` call, and had fs/mpage.c. @throws FsError EOPNOTSUPP (blocks above 4 KiB) */
export const makeBufferOps = (vol: Volume): BufferOps<Ext2InodeInCore> => mapBufferOps(mapIo(vol), { runs: true, mpage: true });
