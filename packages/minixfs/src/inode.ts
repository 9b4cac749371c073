/**
 * The inode in core and its codec.
 *
 * I1  `cookie` goes up at every change of the block map; a mapping that was sampled under another value is stale.
 * I2  A dirty inode is in `Volume.dirtyInodes`.
 */
import { ExtentCache, type DirState, type Reservation } from '@iomap/block-map';
import { corrupt, RwLock, type FsError, type Timespec } from '@iomap/io';
import type { AddressSpace } from '@iomap/page-cache';
import { S_IFMT, type Inode } from '@iomap/vfs';
import {
  DIRECT_ZONES,
  MinixInodeV1,
  MinixInodeV2,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
} from './ondisk.js';
import type { Geometry } from './super.js';

const ZERO_TIME: Timespec = { sec: 0, nsec: 0 };
/** Times are unsigned 32-bit seconds. */
export const TIME_MAX_SEC = 2 ** 32 - 1;
const TYPES: ReadonlySet<number> = new Set([S_IFIFO, S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG, S_IFLNK, S_IFSOCK]);

export class MinixInode implements Inode {
  readonly ino: number;
  /** What data is given out in: the zone. */
  readonly blockSize: number;
  readonly generation = 0;
  readonly flags = 0;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 0;
  size = 0;
  rdev = 0;
  atime: Timespec = ZERO_TIME;
  mtime: Timespec = ZERO_TIME;
  ctime: Timespec = ZERO_TIME;
  readonly lock: RwLock;
  wasRead = false;
  refs = 0;
  vfs: unknown = undefined;

  /** `i_zone`: seven direct zones, then the roots of the trees. */
  readonly block: number[];
  isDirty = false;
  /** The vfs has let go of this object: nothing of it is written any more. */
  isGone = false;

  /** Counts the changes of the block map (I1). */
  cookie = 0;
  #extents: ExtentCache | undefined = undefined;
  reservation: Reservation | undefined = undefined;
  nextFileBlock = -1;
  nextBlock = 0;
  dir: DirState | undefined = undefined;
  /** The directory that took its newest name, until an fsync has made that durable. */
  namedIn: MinixInode | undefined = undefined;
  /** Counts the names it was given: an fsync makes durable the one that it began with. */
  nameCount = 0;
  /** A failed writeback that a sync has told and the file's own fsync has not. */
  untoldError: FsError | undefined = undefined;
  #mapping: AddressSpace | undefined = undefined;
  readonly #makeMapping: (inode: MinixInode) => AddressSpace;
  readonly #geometry: Geometry;

  constructor(ino: number, geometry: Geometry, makeMapping: (inode: MinixInode) => AddressSpace) {
    this.ino = ino;
    this.blockSize = geometry.zoneSize;
    this.block = geometry.levels === 2 ? [0, 0, 0, 0, 0, 0, 0, 0, 0] : [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    this.#geometry = geometry;
    this.#makeMapping = makeMapping;
    this.lock = new RwLock(this, 'inode');
  }

  toString(): string {
    return `inode ${this.ino}`;
  }

  get mapping(): AddressSpace {
    if (this.#mapping === undefined) {
      this.#mapping = this.#makeMapping(this);
      this.#mapping.validityCookie = this.cookie;
    }
    return this.#mapping;
  }

  /** The address space if the file was ever read or written. */
  get mappingIfAny(): AddressSpace | undefined {
    return this.#mapping;
  }

  get extents(): ExtentCache {
    return (this.#extents ??= new ExtentCache());
  }

  get extentsIfAny(): ExtentCache | undefined {
    return this.#extents;
  }

  /** I1: the block map changed. */
  mapChanged(): void {
    this.cookie++;
    if (this.#mapping !== undefined) this.#mapping.validityCookie = this.cookie;
  }

  /** 512-byte units as Linux says them: the format keeps none, so they follow from the size, holes or not. */
  get blocks(): number {
    if (!this.hasBlockMap() || this.size === 0) return 0;
    const { blockSize, pointerBytes, levels, zoneSize } = this.#geometry;
    const per = blockSize / pointerBytes;
    const data = Math.ceil(this.size / zoneSize);
    let zones = data;
    let rest = data - DIRECT_ZONES;
    for (let level = 1; level <= levels && rest > 0; level++) {
      const here = Math.min(rest, per ** level);
      for (let span = per; span <= per ** level; span *= per) zones += Math.ceil(here / span);
      rest -= here;
    }
    return zones * (zoneSize / 512);
  }

  get type(): number {
    return this.mode & S_IFMT;
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }

  get isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }

  /** Has this inode zones, rather than a device number or nothing? */
  hasBlockMap(): boolean {
    const { type } = this;
    return type === S_IFREG || type === S_IFDIR || type === S_IFLNK;
  }
}

// Codec ------------------------------------------------------------------------------------------------------------------

/** A place in a block of the inode table. */
export interface InodeSlot {
  readonly view: DataView;
  /** Where the inode starts. */
  readonly at: number;
}

const o1 = MinixInodeV1.le.offsets;
const o2 = MinixInodeV2.le.offsets;

/** Does this slot hold an inode that somebody has? One that was freed has neither mode nor links. */
export function isSlotInUse({ view, at }: InodeSlot, geometry: Geometry): boolean {
  const le = geometry.littleEndian;
  if (geometry.version === 1) return view.getUint16(at + o1.i_mode, le) !== 0 && view.getUint8(at + o1.i_nlinks) !== 0;
  return view.getUint16(at + o2.i_mode, le) !== 0 && view.getUint16(at + o2.i_nlinks, le) !== 0;
}

const seconds = (sec: number): Timespec => ({ sec, nsec: 0 });

/**
 * Fills `inode` from its slot.
 * @throws FsError EUCLEAN for fields that cannot be
 */
export function decodeInode(inode: MinixInode, { view, at }: InodeSlot, geometry: Geometry): void {
  const le = geometry.littleEndian;
  const { block } = inode;
  if (geometry.version === 1) {
    inode.mode = view.getUint16(at + o1.i_mode, le);
    inode.uid = view.getUint16(at + o1.i_uid, le);
    inode.size = view.getUint32(at + o1.i_size, le);
    inode.mtime = seconds(view.getUint32(at + o1.i_time, le));
    inode.atime = inode.mtime;
    inode.ctime = inode.mtime;
    inode.gid = view.getUint8(at + o1.i_gid);
    inode.nlink = view.getUint8(at + o1.i_nlinks);
    for (let i = 0; i < block.length; i++) block[i] = view.getUint16(at + o1.i_zone + i * 2, le);
  } else {
    inode.mode = view.getUint16(at + o2.i_mode, le);
    inode.nlink = view.getUint16(at + o2.i_nlinks, le);
    inode.uid = view.getUint16(at + o2.i_uid, le);
    inode.gid = view.getUint16(at + o2.i_gid, le);
    inode.size = view.getUint32(at + o2.i_size, le);
    inode.atime = seconds(view.getUint32(at + o2.i_atime, le));
    inode.mtime = seconds(view.getUint32(at + o2.i_mtime, le));
    inode.ctime = seconds(view.getUint32(at + o2.i_ctime, le));
    for (let i = 0; i < block.length; i++) block[i] = view.getUint32(at + o2.i_zone + i * 4, le);
  }
  const { type } = inode;
  if (inode.mode !== 0 && !TYPES.has(type)) throw corrupt('a type of file that does not exist', { ino: inode.ino, field: 'i_mode' });
  if (type === S_IFCHR || type === S_IFBLK) inode.rdev = (block[0] ?? 0) % 0x1_0000;
  // A directory has no reason for holes, so it cannot be larger than the device.
  if (type === S_IFDIR && inode.size > geometry.zonesCount * geometry.zoneSize) {
    throw corrupt('a directory larger than the device', { ino: inode.ino, field: 'i_size' });
  }
}

/** Puts `inode` into its slot. All fields of the slot are its own. */
export function encodeInode(inode: MinixInode, { view, at }: InodeSlot, geometry: Geometry): void {
  const le = geometry.littleEndian;
  const { block } = inode;
  if (geometry.version === 1) {
    view.setUint16(at + o1.i_mode, inode.mode, le);
    view.setUint16(at + o1.i_uid, inode.uid, le);
    view.setUint32(at + o1.i_size, inode.size, le);
    view.setUint32(at + o1.i_time, inode.mtime.sec, le);
    view.setUint8(at + o1.i_gid, inode.gid);
    view.setUint8(at + o1.i_nlinks, inode.nlink);
    for (let i = 0; i < block.length; i++) view.setUint16(at + o1.i_zone + i * 2, block[i] ?? 0, le);
    return;
  }
  view.setUint16(at + o2.i_mode, inode.mode, le);
  view.setUint16(at + o2.i_nlinks, inode.nlink, le);
  view.setUint16(at + o2.i_uid, inode.uid, le);
  view.setUint16(at + o2.i_gid, inode.gid, le);
  view.setUint32(at + o2.i_size, inode.size, le);
  view.setUint32(at + o2.i_atime, inode.atime.sec, le);
  view.setUint32(at + o2.i_mtime, inode.mtime.sec, le);
  view.setUint32(at + o2.i_ctime, inode.ctime.sec, le);
  for (let i = 0; i < block.length; i++) view.setUint32(at + o2.i_zone + i * 4, block[i] ?? 0, le);
}
