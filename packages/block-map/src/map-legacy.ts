/**
 * Files with a block map in the old way: `get_block` over the map, and a mount's file operations over `@iomap/buffer-head`. The same
 * methods as `IomapFiles` (map-files.ts), so that a mount has one or the other (mount option `io`).
 *
 * The walk of the map and the allocator are those of the other way: what is compared is the data path.
 */
import {
  blockBmap, blockDirectRead, blockDirectWrite, blockFiemap, blockPageMkwrite, blockSeek, blockTruncatePage, fileRead, fileWrite, newPages,
  PAGE_BYTES, peekFileRead, peekFileWrite, truncatePages, type BlockExtent, type BlockResult, type BufferOps,
} from '@iomap/buffer-head';
import { FsError, type Io } from '@iomap/io';
import type { IoControl } from '@iomap/iomap-core';
import type { AddressSpace, PageCache } from '@iomap/page-cache';
import { flushFile, relieve, type DirtyFile, type DirtyFiles } from './dirty-files.js';
import type { MapRun } from './extent-cache.js';
import type { BlockMap } from './map.js';
import type { MapIo } from './map-iomap.js';
import { truncateBlocks } from './map-truncate.js';

/** What a driver's `get_block` and pages could in their time. */
export interface LegacyTraits {
  /** One `get_block` call maps a run (ext2); false: a block (minix). */
  readonly runs: boolean;
  /** Pages are read and written by fs/mpage.c (ext2); false: a bio per buffer head (minix). */
  readonly mpage: boolean;
}

/** Fills `out` from a run of the map that starts at `block`; never past what one tree block maps, as the kernel's walks. */
function fill<I extends DirtyFile>(map: BlockMap<I>, block: number, run: MapRun, runs: boolean, out: BlockResult): void {
  const { blockSize, direct } = map.shape;
  const leafEnd = block < direct ? direct : block + map.perBlock - ((block - direct) % map.perBlock);
  const count = runs ? Math.min(run.count, leafEnd - block, out.bytes / blockSize) : 1;
  out.addr = run.block === 0 ? -1 : run.block * blockSize;
  out.bytes = count * blockSize;
  out.boundary = block + count === leafEnd;
}

/**
 * The address-space operations of a mount's files in the old way.
 * @throws FsError EOPNOTSUPP when blocks are larger than a page: the old way never could
 */
export function mapBufferOps<I extends DirtyFile>(io: MapIo<I>, traits: LegacyTraits): BufferOps<I> {
  const { map, device } = io;
  const { blockSize } = map.shape;
  if (blockSize > PAGE_BYTES) throw new FsError('EOPNOTSUPP', { why: `blocks of ${blockSize} bytes are larger than a page: io=legacy cannot` });
  const scratch: MapRun = { block: 0, count: 0 };
  const beyond = (block: number, create: boolean, out: BlockResult): boolean => {
    if (block < map.blocksMax) return false;
    if (create) throw new FsError('EFBIG');
    out.addr = -1;
    return true;
  };
  return {
    mpage: traits.mpage,
    getBlock: {
      device,
      peek(inode, block, create, out) {
        if (beyond(block, create, out)) return true;
        if (!map.peek(inode, block, scratch) || (create && scratch.block === 0)) return false;
        fill(map, block, scratch, traits.runs, out);
        return true;
      },
      *get(inode, block, create, out) {
        if (beyond(block, create, out)) return;
        const run: MapRun = { block: 0, count: 0 };
        yield* map.read(inode, block, run);
        if (create && run.block === 0) {
          const want = traits.runs ? Math.min(run.count, out.bytes / blockSize) : 1;
          out.isNew = yield* io.guarded(map.alloc(inode, { fileBlock: block, want }, run));
        }
        fill(map, block, run, traits.runs, out);
      },
    },
    *writeFailed(inode) {
      yield* truncatePages(inode, inode.size);
      yield* io.guarded(truncateBlocks(map, inode, Math.ceil(inode.size / blockSize)));
    },
  };
}

/** The address space of a file whose mount writes back by `relieve`. */
export function legacyMapping<I extends DirtyFile>(host: DirtyFiles<I>, pages: PageCache, inode: I): AddressSpace {
  return newPages(pages, `inode ${inode.ino}`, { writeback: (range) => relieve(host, inode, range) });
}

/** What the operations need of a driver besides its map. */
export interface LegacyHost<I extends DirtyFile> extends DirtyFiles<I> {
  readonly readOnly: boolean;
  readonly shutdownError: FsError | undefined;
  readonly fileSizeMax: number;
  checkWritable(): void;
  markInodeDirty(inode: I): void;
  /** The file has another size, which may be large: a feature may be due. */
  grown?(inode: I): void;
}

/** How a call is done; the old way knows `direct` and `dsync`. */
export type FileHow = IoControl & { readonly direct?: boolean };

/** May a write be tried that waits for nothing? It leaves no gap behind the end, is not too large, and the mount takes writes. */
export const mayPeekWrite = <I extends DirtyFile>(host: LegacyHost<I>, inode: I, pos: number, length: number): boolean =>
  !host.readOnly && host.shutdownError === undefined && pos <= inode.size && pos + length <= host.fileSizeMax;

/** After a write: the file may have another size than `before`. */
export function noteSize<I extends DirtyFile>(host: LegacyHost<I>, inode: I, before: number): void {
  if (inode.size === before) return;
  host.grown?.(inode);
  host.markInodeDirty(inode);
}

function checkHow(how: FileHow): void {
  if (how.nowait === true || how.dontcache === true || how.atomic === true) throw new FsError('EOPNOTSUPP', { why: 'not in the old way' });
}

/** The file operations of a mount in the old way. Locks and errors: as `IomapFiles`. */
export class LegacyFiles<I extends DirtyFile> {
  readonly #host: LegacyHost<I>;
  readonly #ops: BufferOps<I>;
  /** Makes a direct write durable (O_DSYNC). */
  readonly #sync: (inode: I) => Io<void>;

  constructor(host: LegacyHost<I>, ops: BufferOps<I>, sync: (inode: I) => Io<void>) {
    this.#host = host;
    this.#ops = ops;
    this.#sync = sync;
  }

  *read(inode: I, pos: number, bytes: Uint8Array, how?: FileHow): Io<number> {
    if (how === undefined) return yield* fileRead(inode, this.#ops, pos, bytes);
    checkHow(how);
    return yield* how.direct === true ? blockDirectRead(inode, this.#ops, pos, bytes) : fileRead(inode, this.#ops, pos, bytes);
  }

  peekRead(inode: I, pos: number, bytes: Uint8Array): number {
    return peekFileRead(inode, pos, bytes);
  }

  *write(inode: I, pos: number, bytes: Uint8Array, how?: FileHow): Io<number> {
    const host = this.#host;
    host.checkWritable();
    if (how !== undefined) checkHow(how);
    if (bytes.length === 0) return 0;
    const max = host.fileSizeMax;
    if (pos >= max) throw new FsError('EFBIG');
    const part = pos + bytes.length > max ? bytes.subarray(0, max - pos) : bytes;
    const before = inode.size;
    if (pos > before) yield* this.zeroTail(inode);
    host.dirtyFiles.add(inode);
    const isDirect = how?.direct === true;
    let done: number;
    try {
      done = yield* isDirect ? blockDirectWrite(inode, this.#ops, pos, part) : fileWrite(inode, this.#ops, pos, part);
    } finally {
      // Again, now that it is dirty: a sync on the way may have found nothing to write and forgotten it.
      host.dirtyFiles.add(inode);
    }
    noteSize(host, inode, before);
    if (isDirect && how.dsync === true) yield* this.#sync(inode);
    return done;
  }

  peekWrite(inode: I, pos: number, bytes: Uint8Array): number {
    const host = this.#host;
    if (!mayPeekWrite(host, inode, pos, bytes.length)) return -1;
    const before = inode.size;
    const done = peekFileWrite(inode, this.#ops, pos, bytes);
    if (done > 0) {
      host.dirtyFiles.add(inode);
      noteSize(host, inode, before);
    }
    return done;
  }

  /** Zeroes what lies in the last block behind the end of file, when the file is about to grow past it. */
  *zeroTail(inode: I): Io<void> {
    if (yield* blockTruncatePage(inode, this.#ops, inode.size)) this.#host.dirtyFiles.add(inode);
  }

  *setSize(inode: I, size: number): Io<void> {
    const host = this.#host;
    if (size > host.fileSizeMax) throw new FsError('EFBIG');
    const before = inode.size;
    host.dirtyFiles.add(inode);
    if (size > before) {
      yield* this.zeroTail(inode);
      inode.size = size;
      host.grown?.(inode);
    } else {
      if (size < before) {
        yield* blockTruncatePage(inode, this.#ops, size);
        inode.size = size;
        host.markInodeDirty(inode);
        yield* truncatePages(inode, size);
      }
      // With the same size: blocks behind it (a failed write) go.
      yield* truncateBlocks(host.map, inode, Math.ceil(size / host.map.shape.blockSize));
    }
    host.dirtyFiles.add(inode);
    host.markInodeDirty(inode);
  }

  flush(inode: I): Io<void> {
    return flushFile(this.#host, inode);
  }

  seek(inode: I, pos: number, whence: 'data' | 'hole'): Io<number> {
    return blockSeek(inode, this.#ops, pos, whence);
  }

  fiemap(inode: I, pos: number, len: number, emit: (extent: BlockExtent) => boolean): Io<void> {
    return blockFiemap(inode, this.#ops, pos, len, emit);
  }

  bmap(inode: I, fileBlock: number): Io<number> {
    return blockBmap(inode, this.#ops, fileBlock);
  }

  /** @throws FsError EOPNOTSUPP: nobody swaps to a mount in the old way here */
  *swapMap(): Io<never> {
    throw new FsError('EOPNOTSUPP', { why: 'no swap areas in the old way' });
  }

  /** The file in memory: loads as reads, stores by `block_page_mkwrite`. */
  map(inode: I, writable: boolean): {
    read(pos: number, bytes: Uint8Array): Io<number>;
    write(pos: number, bytes: Uint8Array): Io<number>;
    msync(pos: number, len: number): Io<void>;
    close(): void;
  } {
    const host = this.#host;
    const ops = this.#ops;
    return {
      read: (pos, bytes) => fileRead(inode, ops, pos, bytes),
      *write(pos, bytes) {
        if (!writable) throw new FsError('EACCES', { why: 'the mapping is read-only' });
        host.checkWritable();
        host.dirtyFiles.add(inode);
        let done = 0;
        try {
          yield* blockPageMkwrite(inode, ops, pos, bytes.length, (folio, from, to) => {
            folio.data.set(bytes.subarray(done, done + to - from), from);
            done += to - from;
          });
        } finally {
          host.dirtyFiles.add(inode);
        }
        return done;
      },
      msync: () => flushFile(host, inode),
      close: () => undefined,
    };
  }
}
