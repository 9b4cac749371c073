/**
 * An image as checks and repairs see it: inodes, pointers, entries and bitmaps by number, through a buffer cache, with nothing
 * believed. Positions are checked by whoever follows them.
 */
import { testBit } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { BufferCache, type Buf } from '@iomap/buffer-cache';
import type { Io } from '@iomap/io';
import { Entries } from '../dir-entry.js';
import { BITMAP_BLOCK, DIRECT_ZONES, MinixInodeV1, MinixInodeV2, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../ondisk.js';
import type { SuperInfo } from '../super.js';

const CACHE_BYTES = 16 * 2 ** 20;
const TYPE_BITS = 0o170000;

/** An inode's fields as they stand. */
export interface RawInode {
  ino: number;
  mode: number;
  nlink: number;
  size: number;
  readonly zones: number[];
}

export const typeOf = (inode: { readonly mode: number }): number => inode.mode & TYPE_BITS;
export const isDirectory = (inode: { readonly mode: number }): boolean => typeOf(inode) === S_IFDIR;
const TYPES: ReadonlySet<number> = new Set([S_IFIFO, S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG, S_IFLNK, S_IFSOCK]);
export const hasType = (inode: { readonly mode: number }): boolean => TYPES.has(typeOf(inode));
/** Does the inode own zones? */
export const hasZones = (inode: { readonly mode: number }): boolean => {
  const type = typeOf(inode);
  return type === S_IFREG || type === S_IFDIR || type === S_IFLNK;
};

export class CheckedImage {
  readonly device: BlockDevice;
  readonly info: SuperInfo;
  readonly flip: number;
  readonly buffers: BufferCache;
  readonly entries: Entries;
  /** Pointers in a tree block. */
  readonly perBlock: number;

  constructor(device: BlockDevice, info: SuperInfo, flip: number) {
    this.device = device;
    this.info = info;
    this.flip = flip;
    this.buffers = new BufferCache(device, { budgetBytes: CACHE_BYTES });
    this.entries = new Entries(info);
    this.perBlock = info.blockSize / info.pointerBytes;
  }

  *block(block: number): Io<Buf> {
    const pos = block * this.info.blockSize;
    return this.buffers.peek(pos) ?? (yield* this.buffers.read(pos, this.info.blockSize));
  }

  /** The first block of a zone, or block `sub` of it. */
  *zoneBlock(zone: number, sub = 0): Io<Buf> {
    const pos = zone * this.info.zoneSize + sub * this.info.blockSize;
    return this.buffers.peek(pos) ?? (yield* this.buffers.read(pos, this.info.blockSize));
  }

  inRange(zone: number): boolean {
    return zone >= this.info.firstDataZone && zone < this.info.zonesCount;
  }

  pointer(buf: Buf, index: number): number {
    const le = this.info.littleEndian;
    return this.info.pointerBytes === 2 ? buf.view.getUint16(index * 2, le) : buf.view.getUint32(index * 4, le);
  }

  setPointer(buf: Buf, index: number, zone: number): void {
    const le = this.info.littleEndian;
    if (this.info.pointerBytes === 2) buf.view.setUint16(index * 2, zone, le);
    else buf.view.setUint32(index * 4, zone, le);
  }

  /** Where an inode (1..inodesCount) is. */
  inodePlace(ino: number): { readonly block: number; readonly at: number } {
    const { info } = this;
    const index = ino - 1;
    return {
      block: info.tableBlock + Math.floor(index / info.inodesPerBlock),
      at: (index % info.inodesPerBlock) * info.inodeSize,
    };
  }

  *inode(ino: number): Io<RawInode> {
    const { block, at } = this.inodePlace(ino);
    const buf = yield* this.block(block);
    return this.decode(ino, buf, at);
  }

  decode(ino: number, buf: Buf, at: number): RawInode {
    const { info } = this;
    const count = DIRECT_ZONES + info.levels;
    if (info.version === 1) {
      const view = MinixInodeV1.in(info.littleEndian).at(buf.bytes, at);
      const zones = Array.from({ length: count }, (_, i) => view.i_zone.get(i));
      return { ino, mode: view.i_mode, nlink: view.i_nlinks, size: view.i_size, zones };
    }
    const view = MinixInodeV2.in(info.littleEndian).at(buf.bytes, at);
    const zones = Array.from({ length: count }, (_, i) => view.i_zone.get(i));
    return { ino, mode: view.i_mode, nlink: view.i_nlinks, size: view.i_size, zones };
  }

  /** Puts the fields back. Marks nothing dirty. */
  encode(inode: RawInode, buf: Buf, at: number): void {
    const { info } = this;
    const layout = info.version === 1 ? MinixInodeV1 : MinixInodeV2;
    const view = layout.in(info.littleEndian).at(buf.bytes, at);
    view.i_mode = inode.mode;
    view.i_nlinks = inode.nlink;
    view.i_size = inode.size;
    inode.zones.forEach((zone, i) => {
      view.i_zone.set(i, zone);
    });
  }

  /** Is the inode marked in use? */
  *inodeBit(ino: number): Io<boolean> {
    const per = this.info.blockSize * 8;
    const buf = yield* this.block(BITMAP_BLOCK + Math.floor(ino / per));
    return testBit(buf.bytes, ino % per, this.flip);
  }

  /** Is the zone (in range) marked in use? */
  *zoneBit(zone: number): Io<boolean> {
    const per = this.info.blockSize * 8;
    const bit = zone - this.info.firstDataZone + 1;
    const buf = yield* this.block(this.info.zmapBlock + Math.floor(bit / per));
    return testBit(buf.bytes, bit % per, this.flip);
  }

  /**
   * The zone of a file's zone number, 0 for a hole or where a pointer on the way is out of range.
   *
   * Waits on: reads of the tree blocks.
   */
  *mapZone(inode: RawInode, index: number): Io<number> {
    if (index < DIRECT_ZONES) return this.#good(inode.zones[index] ?? 0);
    let rest = index - DIRECT_ZONES;
    for (let level = 1; level <= this.info.levels; level++) {
      const size = this.perBlock ** level;
      if (rest >= size) {
        rest -= size;
        continue;
      }
      let zone = this.#good(inode.zones[DIRECT_ZONES + level - 1] ?? 0);
      for (let span = size / this.perBlock; zone !== 0; span /= this.perBlock) {
        const buf = yield* this.zoneBlock(zone);
        const entry = Math.floor(rest / span);
        rest -= entry * span;
        zone = this.#good(this.pointer(buf, entry));
        if (span === 1) return zone;
      }
      return 0;
    }
    return 0;
  }

  #good(zone: number): number {
    return this.inRange(zone) ? zone : 0;
  }
}
