/**
 * What all parts of one mount share: the device, the caches, the superblock in core, the bitmaps, the block map, the dirty inodes,
 * and whether the mount has shut down.
 *
 * - Every change of the image begins with `checkWritable`.
 * - `shutdown` is final: after a corrupt structure was met by a change, or a metadata write failed, nothing is written.
 */
import type { BlockDevice } from '@iomap/block-device';
import {
  allocRun,
  BlockMap,
  Evicted,
  freeRun,
  guarded,
  mapBufferOps,
  mapMapping,
  mapWritebackOps,
  type AllocRequest,
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
import { TIME_MAX_SEC, type MinixInode } from './inode.js';
import { inodeTableOf } from './inode-table.js';
import { DIRECT_ZONES } from './ondisk.js';
import type { SuperInfo } from './super.js';
import { InodeSpace, ZoneSpace } from './zones.js';

export interface VolumeParts {
  readonly device: BlockDevice;
  readonly buffers: BufferCache;
  readonly pages: PageCache;
  readonly env: Env;
  readonly info: SuperInfo;
  /** Order of the bits in bitmaps (`bitmap.ts` of block-map). */
  readonly flip: number;
  readonly readOnly: boolean;
  /** File data the old way, by buffer heads. */
  readonly legacy: boolean;
  /** Where directories live. */
  readonly directories: DirHomeKind;
}

export class Volume implements MapHost<MinixInode>, FilesHost<MinixInode>, MountHost<MinixInode> {
  readonly device: BlockDevice;
  readonly buffers: BufferCache;
  readonly pages: PageCache;
  readonly env: Env;
  readonly info: SuperInfo;
  readonly readOnly: boolean;
  /** Where directories live. */
  readonly directories: DirHomeKind;
  readonly blockSize: number;
  readonly zones: ZoneSpace;
  readonly inodes: InodeSpace;
  readonly shape: MapShape;
  readonly map: BlockMap<MinixInode>;
  readonly writebackOps: WritebackOps<MinixInode>;
  /** A mount in the old way; Linux's minix mapped a block at a time and knew no mpage. */
  readonly bufferOps: BufferOps<MinixInode> | undefined;
  readonly dirtyInodes = new Set<MinixInode>();
  readonly inodeTable: InodeTable<MinixInode>;
  /** Files that may have dirty data in the page cache. */
  readonly dirtyFiles = new Set<MinixInode>();
  /** Inodes whose object was let go while their metadata was not yet on the device: an fsync of one writes all metadata. */
  readonly evicted = new Evicted();
  shutdownError: FsError | undefined = undefined;
  readonly makeMapping: (inode: MinixInode) => AddressSpace;

  constructor(parts: VolumeParts) {
    const { info } = parts;
    this.device = parts.device;
    this.buffers = parts.buffers;
    this.pages = parts.pages;
    this.env = parts.env;
    this.info = info;
    this.readOnly = parts.readOnly;
    this.directories = parts.directories;
    this.blockSize = info.blockSize;
    this.zones = new ZoneSpace(info, parts.buffers, parts.flip);
    this.inodes = new InodeSpace(info, parts.buffers, parts.flip);
    this.shape = {
      direct: DIRECT_ZONES,
      levels: info.levels,
      pointerBytes: info.pointerBytes,
      littleEndian: info.littleEndian,
      blockSize: info.zoneSize,
      treeBytes: info.blockSize,
    };
    this.map = new BlockMap<MinixInode>(this);
    this.inodeTable = inodeTableOf(this);
    this.writebackOps = mapWritebackOps(this);
    this.bufferOps = parts.legacy ? mapBufferOps(this, { runs: false, mpage: false }) : undefined;
    this.makeMapping = (inode) => mapMapping(this, this.pages, inode);
  }

  // MapHost ----------------------------------------------------------------------------------------------------------------

  isDataRange(zone: number, count: number): boolean {
    return this.zones.isDataRange(zone, count);
  }

  /** Files start where there is room from the front: the format knows no groups. */
  firstGoal(): number {
    return this.info.firstDataZone;
  }

  allocRun(inode: MinixInode, request: Pick<AllocRequest, 'goal' | 'want' | 'sequential'>): Io<BlockRun> {
    return allocRun(this.zones, { ...request, holder: inode.isFile ? inode : undefined });
  }

  freeRun(zone: number, count: number): Io<void> {
    return freeRun(this.zones, zone, count);
  }

  blocksChanged(inode: MinixInode): void {
    this.markInodeDirty(inode);
  }

  dropReservation(inode: MinixInode): void {
    this.zones.reservations.drop(inode);
  }

  get fileSizeMax(): number {
    return this.info.fileSizeMax;
  }

  // State ------------------------------------------------------------------------------------------------------------------

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

  /** Runs a change of the image. @throws FsError the change's own */
  guarded<T>(io: Io<T>): Io<T> {
    return guarded(this, io);
  }

  markInodeDirty(inode: MinixInode): void {
    if (inode.isDirty || inode.isGone) return;
    inode.isDirty = true;
    this.dirtyInodes.add(inode);
  }

  /** A time as the format can keep it: whole seconds from 1970 to 2106. */
  stamp(time: Timespec): Timespec {
    if (time.nsec === 0 && time.sec >= 0 && time.sec <= TIME_MAX_SEC) return time;
    return { sec: Math.max(0, Math.min(TIME_MAX_SEC, time.sec)), nsec: 0 };
  }

  peekBlock(block: number): Buf | undefined {
    return this.buffers.peek(block * this.blockSize);
  }

  readBlock(block: number): Io<Buf> {
    return this.buffers.read(block * this.blockSize, this.blockSize);
  }

  /**
   * Marks a buffer dirty. On a sound image a buffer in use is never let go; on a corrupt one, a zone that is used twice may be.
   * @throws FsError EUCLEAN
   */
  markDirty(buf: Buf, owner?: object): void {
    if (buf.gone) throw corrupt('a metadata block is in use twice', { pos: buf.pos });
    buf.markDirty(owner);
  }
}
