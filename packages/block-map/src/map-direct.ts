/**
 * Files with a block map beside the page cache and in memory: direct I/O, atomic overwrites, mapped files, swap areas.
 *
 * - Direct writes allocate as buffered ones do; what was allocated and not written goes back (`endIo`).
 * - An atomic write needs a device that can, and blocks that are there, in one run, inside the size: pointers in blocks of their own
 *   cannot be switched at once. What makes those blocks the file's, its pointers and its size, is durable before the bio goes.
 * - New blocks hold what the device held until they are written, so stores into a mapped file and writes keep out of each other's
 *   way by the invalidate lock (no `newIsUnwritten`).
 */
import { FsError, type Io } from '@iomap/io';
import {
  directRead, IOMAP_ATOMIC, IOMAP_F_ATOMIC_BIO, MappedFile as MappedPages, swapActivate, type DioOps, type IoControl, type Iomap,
  type IomapOps, type SwapMap,
} from '@iomap/iomap-core';
import { takeBack, type MapIo, type MappedFile } from './map-iomap.js';

/** What the operations need of a driver besides its map. */
export interface DirectHost<I extends MappedFile> extends MapIo<I> {
  /** Files that a sync has to look at. */
  readonly dirtyFiles: { add(inode: I): unknown };
  checkWritable(): void;
  markInodeDirty(inode: I): void;
  sync(inode: I): Io<void>;
}

/** What a driver adds to direct I/O. */
export function mapDioOps<I extends MappedFile>(host: DirectHost<I>): DioOps<I> {
  return {
    *endIo(inode, { pos, done, error, fresh }) {
      if (error === undefined) return;
      for (const range of fresh) yield* takeBack(host, inode, Math.max(range.pos, pos + done), range.end);
    },
    *sync(inode) {
      // The new size is in core only now.
      host.markInodeDirty(inode);
      yield* host.sync(inode);
    },
  };
}

/** The longest atomic write of the map's device, in whole blocks; 0 = none. */
export function atomicWriteMax<I extends MappedFile>(io: MapIo<I>): number {
  const { device, map } = io;
  if (io.sync === undefined) return 0;
  const max = Math.min(device.limits.atomicWriteBytes, device.limits.maxBioBytes);
  return max < map.shape.blockSize ? 0 : 2 ** Math.floor(Math.log2(max));
}

/** Marks a mapping that the device can write whole. @throws FsError EINVAL where it is not one run of blocks that are there */
export function markAtomic(iomap: Iomap, pos: number, length: number, flags: number): void {
  if ((flags & IOMAP_ATOMIC) === 0) return;
  const isWhole = iomap.type === 'mapped' && iomap.offset + iomap.length >= pos + length;
  if (!isWhole) throw new FsError('EINVAL', { why: 'only blocks that are there and lie together can be written atomically' });
  iomap.flags |= IOMAP_F_ATOMIC_BIO;
}

/**
 * What is known to be durable of the files that are written atomically: a crash that finds a shorter file, or other blocks, would find
 * a part of such a write.
 *
 * I1: the size of a file whose map did not change (`cookie`) has not become smaller: each truncate changes the map.
 */
export class DurablePlaces<I extends MappedFile> {
  readonly #sync: (inode: I) => Io<void>;
  readonly #known = new WeakMap<I, { readonly cookie: number; readonly size: number }>();

  constructor(sync: (inode: I) => Io<void>) {
    this.#sync = sync;
  }

  /** True when the pointers and the size that make all before `end` the file's are known to be durable. */
  has(inode: I, end: number): boolean {
    const known = this.#known.get(inode);
    return known !== undefined && known.cookie === inode.cookie && end <= known.size;
  }

  /**
   * Makes it so.
   * Locks: inode, exclusive. Waits on: an fsync, where it is not known.
   * @throws FsError EINVAL past the end of the file; a failure of writeback, which the file's own fsync will tell, too
   */
  *settle(inode: I, end: number): Io<void> {
    const { cookie, size } = inode;
    if (end > size) throw new FsError('EINVAL', { why: 'an atomic write lies inside the file', detail: { ino: inode.ino } });
    if (this.has(inode, end)) return;
    try {
      yield* this.#sync(inode);
    } catch (error) {
      if (error instanceof FsError) inode.mapping.setError(error);
      throw error;
    }
    this.#known.set(inode, { cookie, size });
  }
}

/** A direct read. Lock: inode, shared. */
export function mapDirectRead<I extends MappedFile>(
  ops: IomapOps<I>, dio: DioOps<I>, call: { readonly inode: I; readonly pos: number; readonly bytes: Uint8Array }, control: IoControl,
): Io<number> {
  return directRead(call.inode, ops, dio, call.pos, call.bytes, control);
}

/** A file in memory, whose stores a sync finds. Lock: inode, shared. */
export function mapFile<I extends MappedFile>(
  host: DirectHost<I>, inode: I, ops: IomapOps<I>, writable: boolean,
): Pick<MappedPages<I>, 'read' | 'write' | 'msync' | 'close'> {
  const mapped = new MappedPages(inode, ops, { writable });
  return {
    read: (pos, bytes) => mapped.read(pos, bytes),
    *write(pos, bytes) {
      host.checkWritable();
      host.dirtyFiles.add(inode);
      try {
        return yield* mapped.write(pos, bytes);
      } finally {
        // Again, now that it is dirty: a sync on the way may have found nothing to write and forgotten it.
        host.dirtyFiles.add(inode);
      }
    },
    msync: (pos, len) => mapped.msync(pos, len),
    close: () => {
      mapped.close();
    },
  };
}

/** Lock: inode, shared. @throws FsError EINVAL with why it is no swap area */
export function mapSwap<I extends MappedFile>({ device }: MapIo<I>, inode: I, ops: IomapOps<I>): Io<SwapMap> {
  return swapActivate(inode, ops, { device });
}
