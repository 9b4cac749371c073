/** The data operations of a file: reads, writes, truncation, over iomap-core and the block map. */
import { flushFile, mapDioOps, mapDirectRead, mapFile, mapIomapOps, truncateBlocks, type DirectHost } from '@iomap/block-map';
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
} from '@iomap/iomap-core';
import type { IoHow, MappedData } from '@iomap/vfs';
import type { MinixInode } from './inode.js';
import { guarded, type Volume } from './volume.js';

export class FileOps {
  readonly iomap: IomapOps<MinixInode>;
  readonly #vol: Volume;
  readonly #host: DirectHost<MinixInode>;
  readonly #dio: DioOps<MinixInode>;

  /** @param sync fsync of a file's data */
  constructor(vol: Volume, sync: (inode: MinixInode) => Io<void>) {
    this.#vol = vol;
    this.#host = {
      map: vol.map,
      device: vol.device,
      guarded: (change) => guarded(vol, change),
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
  read(inode: MinixInode, pos: number, bytes: Uint8Array, how: IoHow = PLAIN): Io<number> {
    return how.direct === true
      ? mapDirectRead(this.iomap, this.#dio, { inode, pos, bytes }, how)
      : bufferedRead(inode, this.iomap, pos, bytes, how);
  }

  /** Lock: inode, shared. */
  map(inode: MinixInode, writable: boolean): MappedData {
    return mapFile(this.#host, inode, this.iomap, writable);
  }

  peekRead(inode: MinixInode, pos: number, bytes: Uint8Array): number {
    if (inode.mappingIfAny !== undefined) return peekBufferedRead(inode, pos, bytes, this.iomap);
    // Most files are read once, whole: they need no address space.
    return pos < inode.size ? peekReadWhole(inode, this.iomap, this.#vol.pages, pos, bytes) : 0;
  }

  /** Lock: inode, exclusive. @throws FsError EFBIG, ENOSPC, EROFS, EIO */
  *write(inode: MinixInode, pos: number, bytes: Uint8Array, how: IoHow = PLAIN): Io<number> {
    const vol = this.#vol;
    vol.checkWritable();
    if (bytes.length === 0) return 0;
    const max = vol.info.fileSizeMax;
    if (pos >= max) throw new FsError('EFBIG');
    const part = pos + bytes.length > max ? bytes.subarray(0, max - pos) : bytes;
    const before = inode.size;
    if (pos > before && how.nowait !== true) yield* this.#zeroTail(inode, pos);
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
    if (inode.size !== before) vol.markInodeDirty(inode);
    return done;
  }

  peekWrite(inode: MinixInode, pos: number, bytes: Uint8Array): number {
    const vol = this.#vol;
    if (vol.readOnly || vol.shutdownError !== undefined || pos > inode.size) return -1;
    if (pos + bytes.length > vol.info.fileSizeMax) return -1;
    const before = inode.size;
    const done = peekBufferedWrite(inode, this.iomap, pos, bytes);
    if (done > 0) {
      vol.dirtyFiles.add(inode);
      if (inode.size !== before) vol.markInodeDirty(inode);
    }
    return done;
  }

  /** Zeroes what lies in the last zone behind the end of file, when the file is about to grow past it. */
  *#zeroTail(inode: MinixInode, newEnd: number): Io<void> {
    const rest = inode.size % inode.blockSize;
    if (rest === 0) return;
    const len = Math.min(inode.blockSize - rest, newEnd - inode.size);
    if (len > 0) yield* zeroRange(inode, this.iomap, inode.size, len);
  }

  /** Truncates or extends. Lock: inode, exclusive. @throws FsError EFBIG, EIO, EUCLEAN */
  *setSize(inode: MinixInode, size: number): Io<void> {
    const vol = this.#vol;
    const { blockSize } = inode;
    if (size > vol.info.fileSizeMax) throw new FsError('EFBIG');
    if (size > inode.size) {
      yield* this.#zeroTail(inode, size);
      vol.dirtyFiles.add(inode);
      inode.size = size;
    } else {
      if (size < inode.size) {
        // While the old size holds: the zone that stays in part gets zeroes behind the new end.
        if (size % blockSize !== 0) yield* truncatePage(inode, this.iomap, size);
        vol.dirtyFiles.add(inode);
      }
      // With the same size: zones behind it (a failed write) go.
      yield* withoutFaults(inode, this.#dropFrom(inode, size));
    }
    vol.markInodeDirty(inode);
  }

  *#dropFrom(inode: MinixInode, size: number): Io<void> {
    const vol = this.#vol;
    if (size < inode.size) {
      inode.size = size;
      vol.markInodeDirty(inode);
      yield* truncatePageCache(inode, size);
    }
    yield* truncateBlocks(vol.map, inode, Math.ceil(size / inode.blockSize));
  }

  seek(inode: MinixInode, pos: number, whence: 'data' | 'hole'): Io<number> {
    return whence === 'data' ? seekData(inode, this.iomap, pos) : seekHole(inode, this.iomap, pos);
  }

  fiemap(inode: MinixInode, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void> {
    return fiemap(inode, this.iomap, pos, len, emit);
  }

  bmap(inode: MinixInode, fileBlock: number): Io<number> {
    return bmap(inode, this.iomap, fileBlock);
  }

  /** Writes back the file's dirty data. @throws FsError the first failure, once, also where a sync has met it before */
  flush(inode: MinixInode): Io<void> {
    return flushFile(this.#vol, inode);
  }
}
