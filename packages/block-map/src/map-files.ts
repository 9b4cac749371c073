/**
 * The data operations of a mount's files over iomap-core: reads, writes, truncation, mapped files, reports, with the mappings that
 * their block map gives. `LegacyFiles` (map-legacy.ts) has the same methods the old way; `mapFiles` makes the one that the mount says.
 *
 * A new size is in the inode while its blocks still follow: the file shrinks under the invalidate lock (`withoutFaults`), and grows
 * only after what lies behind its old end in the last block is zeroes.
 */
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
  type FiemapExtent,
  type IomapOps,
  type SwapMap,
} from '@iomap/iomap-core';
import { AddressSpace, type PageCache } from '@iomap/page-cache';
import { flushFile, relieve, type DirtyFile, type DirtyFiles } from './dirty-files.js';
import { mapDioOps, mapDirectRead, mapFile, mapSwap, type DirectHost } from './map-direct.js';
import { mapIomapOps, type MapIo } from './map-iomap.js';
import { LegacyFiles, legacyMapping, mayPeekWrite, noteSize, type FileHow, type LegacyHost } from './map-legacy.js';
import { truncateBlocks } from './map-truncate.js';

/** What the operations need of a mount besides its map. */
export interface FilesHost<I extends DirtyFile> extends LegacyHost<I>, Pick<MapIo<I>, 'device' | 'guarded'> {
  readonly pages: PageCache;
}

/** A mount's file operations, the old way where it has `bufferOps`. @param sync fsync of a file's data */
export function mapFiles<I extends DirtyFile>(host: FilesHost<I>, sync: (inode: I) => Io<void>): IomapFiles<I> | LegacyFiles<I> {
  return host.bufferOps === undefined ? new IomapFiles(host, sync) : new LegacyFiles(host, host.bufferOps, sync);
}

/** The address space of a file: under memory pressure the page cache calls its host. A directory's never goes the old way. */
export function mapMapping<I extends DirtyFile>(host: DirtyFiles<I>, pages: PageCache, inode: I): AddressSpace {
  if (host.bufferOps !== undefined && !inode.isDirectory) return legacyMapping(host, pages, inode);
  return new AddressSpace(pages, {
    name: `inode ${inode.ino}`,
    blockSize: host.map.shape.blockSize,
    host: { writeback: (range) => relieve(host, inode, range) },
  });
}

export class IomapFiles<I extends DirtyFile> {
  readonly #host: FilesHost<I>;
  readonly #pages: PageCache;
  readonly #blockSize: number;
  readonly #direct: DirectHost<I>;
  readonly #iomap: IomapOps<I>;
  readonly #dio: DioOps<I>;

  /** @param sync fsync of a file's data */
  constructor(host: FilesHost<I>, sync: (inode: I) => Io<void>) {
    this.#host = host;
    this.#pages = host.pages;
    this.#blockSize = host.map.shape.blockSize;
    this.#direct = {
      map: host.map,
      device: host.device,
      guarded: (change) => host.guarded(change),
      dirtyFiles: host.dirtyFiles,
      checkWritable: () => {
        host.checkWritable();
      },
      markInodeDirty: (inode) => {
        host.markInodeDirty(inode);
      },
      sync,
    };
    this.#iomap = mapIomapOps(this.#direct);
    this.#dio = mapDioOps(this.#direct);
  }

  /** Lock: inode, shared. */
  read(inode: I, pos: number, bytes: Uint8Array, how: FileHow = PLAIN): Io<number> {
    return how.direct === true
      ? mapDirectRead(this.#iomap, this.#dio, { inode, pos, bytes }, how)
      : bufferedRead(inode, this.#iomap, pos, bytes, how);
  }

  peekRead(inode: I, pos: number, bytes: Uint8Array): number {
    if (inode.mappingIfAny !== undefined) return peekBufferedRead(inode, pos, bytes, this.#iomap);
    // Most files are read once, whole: they need no address space.
    return pos < inode.size ? peekReadWhole(inode, this.#iomap, this.#pages, pos, bytes) : 0;
  }

  /** Lock: inode, exclusive. @throws FsError EFBIG, ENOSPC, EROFS, EIO; EAGAIN, EINVAL, EOPNOTSUPP for what `how` asks */
  *write(inode: I, pos: number, bytes: Uint8Array, how: FileHow = PLAIN): Io<number> {
    const host = this.#host;
    host.checkWritable();
    if (bytes.length === 0) return 0;
    const max = host.fileSizeMax;
    if (pos >= max) throw new FsError('EFBIG');
    const part = pos + bytes.length > max ? bytes.subarray(0, max - pos) : bytes;
    const before = inode.size;
    if (pos > before && how.nowait !== true) yield* this.#zeroTail(inode, pos);
    host.dirtyFiles.add(inode);
    let done: number;
    try {
      done = how.direct === true
        ? yield* directWrite(inode, this.#iomap, this.#dio, pos, part, how)
        : yield* bufferedWrite(inode, this.#iomap, pos, part, how);
    } finally {
      // Again, now that it is dirty: a sync on the way may have found nothing to write and forgotten it.
      host.dirtyFiles.add(inode);
    }
    noteSize(host, inode, before);
    return done;
  }

  peekWrite(inode: I, pos: number, bytes: Uint8Array): number {
    const host = this.#host;
    if (!mayPeekWrite(host, inode, pos, bytes.length)) return -1;
    const before = inode.size;
    const done = peekBufferedWrite(inode, this.#iomap, pos, bytes);
    if (done > 0) {
      host.dirtyFiles.add(inode);
      noteSize(host, inode, before);
    }
    return done;
  }

  /** Zeroes what lies in the last block behind the end of file, when the file is about to grow past it. */
  *#zeroTail(inode: I, newEnd: number): Io<void> {
    const rest = inode.size % this.#blockSize;
    if (rest === 0) return;
    const len = Math.min(this.#blockSize - rest, newEnd - inode.size);
    if (len > 0) yield* zeroRange(inode, this.#iomap, inode.size, len);
  }

  /** Truncates or extends. Lock: inode, exclusive. @throws FsError EFBIG, EIO, EUCLEAN */
  *setSize(inode: I, size: number): Io<void> {
    const host = this.#host;
    if (size > host.fileSizeMax) throw new FsError('EFBIG');
    if (size > inode.size) {
      yield* this.#zeroTail(inode, size);
      host.dirtyFiles.add(inode);
      inode.size = size;
      host.grown?.(inode);
    } else {
      if (size < inode.size) {
        // While the old size holds: the block that stays in part gets zeroes behind the new end.
        if (size % this.#blockSize !== 0) yield* truncatePage(inode, this.#iomap, size);
        host.dirtyFiles.add(inode);
      }
      // With the same size: blocks behind it (a failed write) go.
      yield* withoutFaults(inode, this.#dropFrom(inode, size));
    }
    host.markInodeDirty(inode);
  }

  *#dropFrom(inode: I, size: number): Io<void> {
    const host = this.#host;
    if (size < inode.size) {
      inode.size = size;
      host.markInodeDirty(inode);
      yield* truncatePageCache(inode, size);
    }
    yield* truncateBlocks(host.map, inode, Math.ceil(size / this.#blockSize));
  }

  /** Writes back the file's dirty data. @throws FsError the first failure, once, also where a sync has met it before */
  flush(inode: I): Io<void> {
    return flushFile(this.#host, inode);
  }

  /** Lock: inode, shared. */
  seek(inode: I, pos: number, whence: 'data' | 'hole'): Io<number> {
    return whence === 'data' ? seekData(inode, this.#iomap, pos) : seekHole(inode, this.#iomap, pos);
  }

  /** Lock: inode, shared. */
  fiemap(inode: I, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void> {
    return fiemap(inode, this.#iomap, pos, len, emit);
  }

  /** Lock: inode, shared. */
  bmap(inode: I, fileBlock: number): Io<number> {
    return bmap(inode, this.#iomap, fileBlock);
  }

  /** Lock: inode, shared. @throws FsError EINVAL with why it is no swap area */
  swapMap(inode: I): Io<SwapMap> {
    return mapSwap(this.#direct, inode, this.#iomap);
  }

  /** Lock: inode, shared. */
  map(inode: I, writable: boolean): ReturnType<typeof mapFile> {
    return mapFile(this.#direct, inode, this.#iomap, writable);
  }
}
