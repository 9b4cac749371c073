/**
 * What all parts of one mount share: the device, the caches, the superblock and groups in core, the dirty inodes, and
 * whether the mount has shut down.
 *
 * - Every change of the image begins with `checkWritable`.
 * - `shutdown` is final: after a corrupt structure was met by a change, or a metadata write failed, nothing is written.
 */
import type { BlockDevice } from '@iomap/block-device';
import {
  BlockMap,
  Evicted,
  forgetBlock,
  guarded,
  mapBufferOps,
  mapMapping,
  mapWritebackOps,
  newBlock,
  Reservations,
  type AllocRequest,
  type BitmapSpace,
  type BlockRun,
  type DirHomeKind,
  type FilesHost,
  type InodeTable,
  type MapHost,
  type MapShape,
  type MountHost,
} from '@iomap/block-map';
import type { Buf, BufferCache } from '@iomap/buffer-cache';
import type { BufferOps } from '@iomap/buffer-head';
import { corrupt, FsError, type Env, type Io, type Timespec } from '@iomap/io';
import type { WritebackOps } from '@iomap/iomap-core';
import type { AddressSpace, PageCache } from '@iomap/page-cache';
import { allocRun, blockSpace, freeRun } from './balloc.js';
import { fileSizeMax, noteSize } from './file-size.js';
import { groupFirstBlock } from './geometry.js';
import type { Groups } from './groups.js';
import { NDIR_BLOCKS, type Ext2InodeInCore } from './inode.js';
import { inodeTableOf } from './inode-table.js';
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
  /** Where directories live. */
  readonly directories: DirHomeKind;
  readonly xattrBlocks: XattrBlockCache;
  /** File data the old way, by buffer heads. */
  readonly legacy: boolean;
}

export class Volume implements MapHost<Ext2InodeInCore>, FilesHost<Ext2InodeInCore>, MountHost<Ext2InodeInCore> {
  readonly device: BlockDevice;
  readonly buffers: BufferCache;
  readonly pages: PageCache;
  readonly env: Env;
  readonly info: SuperInfo;
  readonly groups: Groups;
  readonly readOnly: boolean;
  /** May the last blocks, kept for root, be allocated? */
  readonly useReserved: boolean;
  /** Where directories live. */
  readonly directories: DirHomeKind;
  readonly blockSize: number;
  /** 512-byte units of a block. */
  readonly sectorsPerBlock: number;
  readonly fileSizeMax: number;
  readonly reservations = new Reservations();
  readonly shape: MapShape;
  readonly map: BlockMap<Ext2InodeInCore>;
  readonly space: BitmapSpace;
  readonly dirtyInodes = new Set<Ext2InodeInCore>();
  readonly inodeTable: InodeTable<Ext2InodeInCore>;
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
  /** A mount in the old way; Linux's ext2 mapped runs in one `get_block` call, and had fs/mpage.c. */
  readonly bufferOps: BufferOps<Ext2InodeInCore> | undefined;

  constructor(parts: VolumeParts) {
    this.device = parts.device;
    this.buffers = parts.buffers;
    this.pages = parts.pages;
    this.env = parts.env;
    this.info = parts.info;
    this.groups = parts.groups;
    this.readOnly = parts.readOnly;
    this.useReserved = parts.useReserved;
    this.directories = parts.directories;
    this.blockSize = parts.info.blockSize;
    this.sectorsPerBlock = this.blockSize / 512;
    this.xattrBlocks = parts.xattrBlocks;
    const { blockSize } = this;
    this.shape = { direct: NDIR_BLOCKS, levels: 3, pointerBytes: 4, littleEndian: true, blockSize, treeBytes: blockSize };
    this.map = new BlockMap<Ext2InodeInCore>(this);
    this.space = blockSpace(this);
    this.fileSizeMax = fileSizeMax(this);
    this.makeMapping = (inode) => mapMapping(this, this.pages, inode);
    this.inodeTable = inodeTableOf(this);
    this.writebackOps = mapWritebackOps(this);
    this.bufferOps = parts.legacy ? mapBufferOps(this, { runs: true, mpage: true }) : undefined;
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
  newBlock(block: number): Io<Buf> {
    return newBlock(this.buffers, block * this.blockSize, this.blockSize);
  }

  /** Drops the buffer of a metadata block that is being freed. */
  forgetBlock(block: number): Io<void> {
    return forgetBlock(this.buffers, block * this.blockSize);
  }

  /** Runs a change of the image. @throws FsError the change's own */
  guarded<T>(io: Io<T>): Io<T> {
    return guarded(this, io);
  }

  /** A file has another size. */
  grown(inode: Ext2InodeInCore): void {
    noteSize(this, inode.size);
  }

  // What the block map asks (`MapHost`) --------------------------------------------------------------------------------

  isDataRange(block: number, count: number): boolean {
    return this.groups.isDataRange(block, count);
  }

  /** A file's first block goes to its inode's group. */
  firstGoal(inode: Ext2InodeInCore): number {
    return groupFirstBlock(this.info, Math.floor((inode.ino - 1) / this.info.inodesPerGroup));
  }

  allocRun(inode: Ext2InodeInCore, request: Pick<AllocRequest, 'goal' | 'want' | 'sequential'>): Io<BlockRun> {
    return allocRun(this, { ...request, holder: inode.isFile ? inode : undefined });
  }

  freeRun(block: number, count: number): Io<void> {
    return freeRun(this, block, count);
  }

  blocksChanged(inode: Ext2InodeInCore, by: number): void {
    inode.blocks = Math.max(0, inode.blocks + by * this.sectorsPerBlock);
    this.markInodeDirty(inode);
  }

  dropReservation(inode: Ext2InodeInCore): void {
    this.reservations.drop(inode);
  }
}
