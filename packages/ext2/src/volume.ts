/**
 * What all parts of one mount share: the device, the caches, the superblock and groups in core, the dirty inodes, and
 * whether the mount has shut down.
 *
 * - Every change of the image begins with `checkWritable`.
 * - `shutdown` is final: after a corrupt structure was met by a change, or a metadata write failed, nothing is written.
 */
import type { BlockDevice } from '@iomap/block-device';
import type { Buf, BufferCache } from '@iomap/buffer-cache';
import { corrupt, FsError, type Env, type Io, type Timespec } from '@iomap/io';
import type { WritebackOps } from '@iomap/iomap-core';
import type { AddressSpace, PageCache } from '@iomap/page-cache';
import type { Groups } from './groups.js';
import type { Ext2InodeInCore } from './inode.js';
import { Reservations } from './reservation.js';
import type { SuperInfo } from './super.js';
import type { XattrBlockCache } from './xattr-block.js';

export interface VolumeParts {
  readonly device: BlockDevice;
  readonly buffers: BufferCache;
  readonly pages: PageCache;
  readonly env: Env;
  readonly info: SuperInfo;
  readonly groups: Groups;
  readonly readOnly: boolean;
  readonly useReserved: boolean;
  readonly xattrBlocks: XattrBlockCache;
  /** Both are of file-ops.ts, handed in so that this file need not know it. */
  readonly makeMapping: (vol: Volume, inode: Ext2InodeInCore) => AddressSpace;
  readonly makeWritebackOps: (vol: Volume) => WritebackOps<Ext2InodeInCore>;
}

/** Inode numbers in the order they were last added, so that a sync forgets those alone that it has written. */
export class Evicted {
  readonly #order = new Map<number, number>();
  /** Additions so far. */
  count = 0;

  add(ino: number): void {
    this.#order.delete(ino);
    this.#order.set(ino, ++this.count);
  }

  has(ino: number): boolean {
    return this.#order.has(ino);
  }

  /** Forgets what was added when `count` was this or less. */
  forget(count: number): void {
    for (const [ino, added] of this.#order) {
      if (added > count) return;
      this.#order.delete(ino);
    }
  }
}

export class Volume {
  readonly device: BlockDevice;
  readonly buffers: BufferCache;
  readonly pages: PageCache;
  readonly env: Env;
  readonly info: SuperInfo;
  readonly groups: Groups;
  readonly readOnly: boolean;
  /** May the last blocks, kept for root, be allocated? */
  readonly useReserved: boolean;
  readonly blockSize: number;
  /** 512-byte units of a block. */
  readonly sectorsPerBlock: number;
  readonly reservations = new Reservations();
  readonly dirtyInodes = new Set<Ext2InodeInCore>();
  /** Files that may have dirty data in the page cache. */
  readonly dirtyFiles = new Set<Ext2InodeInCore>();
  /** Inodes whose object was let go while their metadata was not yet on the device: an fsync of one writes all metadata. */
  readonly evicted = new Evicted();
  readonly xattrBlocks: XattrBlockCache;
  /** Superblock fields (features) changed since they were written. */
  superDirty = false;
  nextGeneration: number;
  /** State of `random`. */
  #random: number;
  shutdownError: FsError | undefined = undefined;
  readonly makeMapping: (inode: Ext2InodeInCore) => AddressSpace;
  readonly writebackOps: WritebackOps<Ext2InodeInCore>;

  constructor(parts: VolumeParts) {
    this.device = parts.device;
    this.buffers = parts.buffers;
    this.pages = parts.pages;
    this.env = parts.env;
    this.info = parts.info;
    this.groups = parts.groups;
    this.readOnly = parts.readOnly;
    this.useReserved = parts.useReserved;
    this.blockSize = parts.info.blockSize;
    this.sectorsPerBlock = this.blockSize / 512;
    this.xattrBlocks = parts.xattrBlocks;
    this.makeMapping = (inode) => parts.makeMapping(this, inode);
    this.writebackOps = parts.makeWritebackOps(this);
    const seed = new Uint8Array(4);
    if (!parts.readOnly) parts.env.random(seed);
    this.nextGeneration = new DataView(seed.buffer, seed.byteOffset).getUint32(0, true);
    this.#random = this.nextGeneration === 0 ? 1 : this.nextGeneration;
  }

  /** @throws FsError EROFS on a read-only mount or after a shutdown */
  checkWritable(): void {
    if (this.readOnly) throw new FsError('EROFS');
    if (this.shutdownError !== undefined) {
      throw new FsError('EROFS', { why: 'the filesystem was shut down', cause: this.shutdownError });
    }
  }

  /** Stops writing for good. The first reason is kept. */
  shutdown(error: FsError): void {
    this.shutdownError ??= error;
  }

  /** A number in 0..2^32-1 that spreads things (xorshift): the system's random source is too slow to be asked each time. */
  random(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x >>> 0;
    return this.#random;
  }

  markInodeDirty(inode: Ext2InodeInCore): void {
    if (inode.isDirty || inode.isGone) return;
    inode.isDirty = true;
    this.dirtyInodes.add(inode);
  }

  /** A time as the inode can keep it: whole seconds unless its large fields hold the rest. */
  stamp(time: Timespec, inode: { readonly extraIsize: number }): Timespec {
    return inode.extraIsize >= 16 || time.nsec === 0 ? time : { sec: time.sec, nsec: 0 };
  }

  peekBlock(block: number): Buf | undefined {
    return this.buffers.peek(block * this.blockSize);
  }

  readBlock(block: number): Io<Buf> {
    return this.buffers.read(block * this.blockSize, this.blockSize);
  }

  /**
   * Marks a buffer dirty. On a sound image a buffer in use is never let go; on a corrupt one, a block that is used twice may be.
   * @throws FsError EUCLEAN
   */
  markDirty(buf: Buf, owner?: object): void {
    if (buf.gone) throw corrupt('a metadata block is in use twice', { block: buf.pos / this.blockSize });
    buf.markDirty(owner);
  }

  /** The buffer of a block that was just allocated: zeroes, not yet dirty. */
  *newBlock(block: number): Io<Buf> {
    const pos = block * this.blockSize;
    let buf = this.buffers.get(pos, this.blockSize);
    while (buf.reading || buf.writing) {
      yield* this.buffers.settle(pos);
      buf = this.buffers.get(pos, this.blockSize);
    }
    return buf.zero();
  }

  /** Drops the buffer of a metadata block that is being freed. */
  *forgetBlock(block: number): Io<void> {
    const pos = block * this.blockSize;
    if (!this.buffers.forget(pos)) yield* this.buffers.settle(pos);
  }
}

/**
 * Runs a change of the image: a corrupt structure that it meets shuts the mount down.
 * @throws FsError the change's own
 */
export function* guarded<T>(vol: Volume, io: Io<T>): Io<T> {
  try {
    return yield* io;
  } catch (error) {
    if (error instanceof FsError && (error.code === 'EUCLEAN' || error.code === 'EBADMSG')) vol.shutdown(error);
    throw error;
  }
}
