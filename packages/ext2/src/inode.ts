/**
 * The inode in core and its codec.
 *
 * `decodeInode` makes an `Ext2InodeInCore` from a slot of the inode table, `encodeInode` puts it back. What the driver does not
 * know of a slot stays as it is, unless the inode is new: then the slot is zeroed first.
 *
 * I1  `cookie` goes up at every change of the block map; a mapping that was sampled under another value is stale.
 * I2  A dirty inode is in `Volume.dirtyInodes`.
 */
import { ExtentCache, type DirState, type Reservation } from '@iomap/block-map';
import { corrupt, RwLock, type FsError, type Timespec } from '@iomap/io';
import type { AddressSpace } from '@iomap/page-cache';
import { S_IFMT, type Inode } from '@iomap/vfs';
import {
  Ext2InodeLarge,
  EXTENTS_FL,
  IFBLK,
  IFCHR,
  IFDIR,
  IFLNK,
  IFREG,
  INLINE_DATA_FL,
  XATTR_MAGIC,
} from './ondisk.js';

export {
  IFBLK as S_IFBLK,
  IFCHR as S_IFCHR,
  IFDIR as S_IFDIR,
  IFLNK as S_IFLNK,
  IFREG as S_IFREG,
  INDEX_FL as FLAG_INDEX,
  NDIR_BLOCKS,
  TOPDIR_FL as FLAG_TOPDIR,
} from './ondisk.js';

export const N_BLOCKS = 15;
/** The longest target that lives in `i_block`: 59 bytes, since Linux keeps the last byte for a NUL. */
export const FAST_SYMLINK_MAX = 59;

const TWO32 = 2 ** 32;
const o = Ext2InodeLarge.offsets;

/** The words of `i_block`, each 32 bits. A plain array of small integers: a typed one takes three times the heap. */
export type BlockWords = number[];

export class Ext2InodeInCore implements Inode {
  readonly ino: number;
  readonly blockSize: number;
  generation = 0;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 0;
  size = 0;
  blocks = 0;
  rdev = 0;
  // Times as numbers: an object each would be a fifth of what a cached inode takes. Small integers up to 2038, no bit of heap.
  #atimeSec = 0;
  #atimeNsec = 0;
  #mtimeSec = 0;
  #mtimeNsec = 0;
  #ctimeSec = 0;
  #ctimeNsec = 0;
  #btimeSec = 0;
  /** -1: the inode has no birth time. */
  #btimeNsec = -1;
  flags = 0;
  dtime = 0;
  readonly lock: RwLock;
  wasRead = false;
  refs = 0;

  /** `i_block`: 12 blocks, and the roots of the three trees; a fast symlink's bytes as words. */
  readonly block: BlockWords = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  /** The block of extended attributes, 0 = none. */
  fileAcl = 0;
  /** Bytes of large fields that are in use; 0 in a 128-byte inode. */
  extraIsize = 0;
  /** Bytes of the attribute area in the inode, 0 where there is none; and its content, when it has any. */
  ibodyRoom = 0;
  ibody: Uint8Array | undefined = undefined;
  ibodyDirty = false;
  isDirty = false;
  /** Not yet on disk: its slot holds someone else's remains. */
  isNew = false;
  /** The vfs has let go of this object: nothing of it is written any more. */
  isGone = false;

  /** Counts the changes of the block map (I1). */
  cookie = 0;
  #extents: ExtentCache | undefined = undefined;
  reservation: Reservation | undefined = undefined;
  /** Where the last allocation ended: file block and block that would come next. */
  nextFileBlock = -1;
  nextBlock = 0;
  dir: DirState | undefined = undefined;
  /** The directory that took its newest name, until an fsync has made that durable. */
  namedIn: Ext2InodeInCore | undefined = undefined;
  /** Counts the names it was given: an fsync makes durable the one that it began with. */
  nameCount = 0;
  /** A failed writeback that a sync has told and the file's own fsync has not. */
  untoldError: FsError | undefined = undefined;
  #mapping: AddressSpace | undefined = undefined;
  readonly #makeMapping: (inode: Ext2InodeInCore) => AddressSpace;

  constructor(ino: number, blockSize: number, makeMapping: (inode: Ext2InodeInCore) => AddressSpace) {
    this.ino = ino;
    this.blockSize = blockSize;
    this.#makeMapping = makeMapping;
    this.lock = new RwLock(this, 'inode');
  }

  toString(): string {
    return `inode ${this.ino}`;
  }

  get atime(): Timespec {
    return { sec: this.#atimeSec, nsec: this.#atimeNsec };
  }

  set atime({ sec, nsec }: Timespec) {
    this.#atimeSec = sec;
    this.#atimeNsec = nsec;
  }

  get mtime(): Timespec {
    return { sec: this.#mtimeSec, nsec: this.#mtimeNsec };
  }

  set mtime({ sec, nsec }: Timespec) {
    this.#mtimeSec = sec;
    this.#mtimeNsec = nsec;
  }

  get ctime(): Timespec {
    return { sec: this.#ctimeSec, nsec: this.#ctimeNsec };
  }

  set ctime({ sec, nsec }: Timespec) {
    this.#ctimeSec = sec;
    this.#ctimeNsec = nsec;
  }

  get btime(): Timespec | undefined {
    return this.#btimeNsec < 0 ? undefined : { sec: this.#btimeSec, nsec: this.#btimeNsec };
  }

  set btime(time: Timespec | undefined) {
    this.#btimeSec = time?.sec ?? 0;
    this.#btimeNsec = time?.nsec ?? -1;
  }

  /** Takes the times of the slot at `at`, as far as `extraIsize` covers them. */
  decodeTimes(data: DataView, at: number): void {
    const extra = this.extraIsize;
    const atimeExtra = extraWord(data, at, o.i_atime_extra, extra);
    const mtimeExtra = extraWord(data, at, o.i_mtime_extra, extra);
    const ctimeExtra = extraWord(data, at, o.i_ctime_extra, extra);
    this.#atimeSec = seconds(data, at + o.i_atime, atimeExtra);
    this.#atimeNsec = nanoseconds(atimeExtra);
    this.#mtimeSec = seconds(data, at + o.i_mtime, mtimeExtra);
    this.#mtimeNsec = nanoseconds(mtimeExtra);
    this.#ctimeSec = seconds(data, at + o.i_ctime, ctimeExtra);
    this.#ctimeNsec = nanoseconds(ctimeExtra);
    const crtime = large(at, o.i_crtime, 4, extra);
    if (crtime < 0) return;
    const btimeExtra = extraWord(data, at, o.i_crtime_extra, extra);
    this.#btimeSec = seconds(data, crtime, btimeExtra);
    this.#btimeNsec = nanoseconds(btimeExtra);
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

  get type(): number {
    return this.mode & S_IFMT;
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === IFDIR;
  }

  get isFile(): boolean {
    return (this.mode & S_IFMT) === IFREG;
  }

  /** Does `i_block` hold bytes of a link's target? Linux asks whether the inode owns data blocks; so do we. */
  isFastSymlink(): boolean {
    if ((this.mode & S_IFMT) !== IFLNK) return false;
    const xattrBlocks = this.fileAcl === 0 ? 0 : this.blockSize / 512;
    return this.blocks - xattrBlocks <= 0 && this.size <= FAST_SYMLINK_MAX;
  }

  /** Has this inode a block map, rather than a device number or a short link? */
  hasBlockMap(): boolean {
    const type = this.type;
    return type === IFREG || type === IFDIR || (type === IFLNK && !this.isFastSymlink());
  }
}

// Times ------------------------------------------------------------------------------------------------------------------

/** 34 bits of seconds: the sign-extended low word plus two epoch bits. */
export const TIME_MIN_SEC = -(2 ** 31);
export const TIME_MAX_SEC_LARGE = 3 * TWO32 + 2 ** 31 - 1;
export const TIME_MAX_SEC_SMALL = 2 ** 31 - 1;

/** The word with a time's nanoseconds and epoch bits, 0 where the inode has none. */
const extraWord = (data: DataView, at: number, offset: number, extraIsize: number): number =>
  offset + 4 <= 128 + extraIsize ? data.getUint32(at + offset, true) : 0;

/** Seconds stay a small integer where the epoch bits are zero (up to 2038): what is computed with them is a double, and on the heap. */
function seconds(data: DataView, at: number, word: number): number {
  const low = data.getInt32(at, true);
  const epoch = word & 3;
  return epoch === 0 ? low : low + epoch * TWO32;
}

function nanoseconds(word: number): number {
  const nsec = word >>> 2;
  return nsec > 999_999_999 ? 0 : nsec;
}

function encodeTime(data: DataView, at: number, extraAt: number, time: Timespec): void {
  if (extraAt < 0) {
    data.setInt32(at, Math.max(TIME_MIN_SEC, Math.min(TIME_MAX_SEC_SMALL, time.sec)), true);
    return;
  }
  const { sec: wanted, nsec } = time;
  if (wanted >= 0 && wanted <= TIME_MAX_SEC_SMALL) {
    // Nearly all times, up to 2038: no epoch bits.
    data.setInt32(at, wanted, true);
    data.setUint32(extraAt, nsec * 4, true);
    return;
  }
  const sec = Math.max(TIME_MIN_SEC, Math.min(TIME_MAX_SEC_LARGE, wanted));
  const low = sec | 0; // the low word as stored, sign and all
  data.setInt32(at, low, true);
  data.setUint32(extraAt, nsec * 4 + ((sec - low) / TWO32), true);
}

/** Offset of a large field when `extraIsize` covers it, else -1. */
const large = (base: number, offset: number, length: number, extraIsize: number): number =>
  offset + length <= 128 + extraIsize ? base + offset : -1;

// Codec ------------------------------------------------------------------------------------------------------------------

/** What the codec must know of the filesystem. */
export interface InodeShape {
  readonly inodeSize: number;
}

/** A place in an inode-table block. */
export interface InodeSlot {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the inode starts in both. */
  readonly at: number;
}

/** Does this slot hold an inode that somebody has? One that was freed keeps its mode, an unused one is all zeroes. */
export const isSlotInUse = (view: DataView, at: number): boolean =>
  view.getUint16(at + o.i_links_count, true) !== 0 && view.getUint16(at + o.i_mode, true) !== 0;

/**
 * Fills `inode` from its slot.
 * @throws FsError EUCLEAN for fields that cannot be
 */
export function decodeInode(inode: Ext2InodeInCore, slot: InodeSlot, shape: InodeShape): void {
  const { view: data, at } = slot;
  inode.mode = data.getUint16(at + o.i_mode, true);
  inode.uid = data.getUint16(at + o.i_uid, true) + data.getUint16(at + o.l_i_uid_high, true) * 0x1_0000;
  inode.gid = data.getUint16(at + o.i_gid, true) + data.getUint16(at + o.l_i_gid_high, true) * 0x1_0000;
  inode.nlink = data.getUint16(at + o.i_links_count, true);
  inode.blocks = data.getUint32(at + o.i_blocks, true);
  inode.flags = data.getUint32(at + o.i_flags, true);
  inode.dtime = data.getUint32(at + o.i_dtime, true);
  inode.generation = data.getUint32(at + o.i_generation, true);
  inode.fileAcl = data.getUint32(at + o.i_file_acl, true);
  const high = data.getUint32(at + o.i_size_high, true);
  inode.size = data.getUint32(at + o.i_size, true);
  if (inode.isFile) {
    if (high > 0x1f_ffff) throw bad(inode, 'i_size_high', 'file size beyond 2^53');
    inode.size += high * TWO32;
  }
  if ((inode.flags & (EXTENTS_FL | INLINE_DATA_FL)) !== 0 && inode.hasBlockMap()) {
    throw bad(inode, 'i_flags', 'extents or inline data in a filesystem without them');
  }
  for (let i = 0; i < N_BLOCKS; i++) inode.block[i] = data.getUint32(at + o.i_block + i * 4, true);
  const type = inode.type;
  if (type === IFCHR || type === IFBLK) inode.rdev = decodeDev(inode.block);
  decodeExtra(inode, slot, shape);
}

function decodeExtra(inode: Ext2InodeInCore, slot: InodeSlot, shape: InodeShape): void {
  const { view: data, at } = slot;
  let extra = 0;
  const room = shape.inodeSize - 128;
  if (room > 0) {
    extra = data.getUint16(at + o.i_extra_isize, true);
    if (extra > room || extra % 4 !== 0) throw bad(inode, 'i_extra_isize', 'larger than the inode or not aligned');
    if (room - extra > 4 && extra > 0) {
      inode.ibodyRoom = room - extra;
      const start = at + 128 + extra;
      if (data.getUint32(start, true) === XATTR_MAGIC) inode.ibody = slot.bytes.slice(start, start + inode.ibodyRoom);
    }
  }
  inode.extraIsize = extra;
  inode.decodeTimes(data, at);
}

/** Puts `inode` into its slot. */
export function encodeInode(inode: Ext2InodeInCore, slot: InodeSlot, shape: InodeShape): void {
  const { view: data, at } = slot;
  if (inode.isNew) {
    slot.bytes.fill(0, at, at + shape.inodeSize);
    if (shape.inodeSize > 128) data.setUint16(at + o.i_extra_isize, inode.extraIsize, true);
  }
  data.setUint16(at + o.i_mode, inode.mode, true);
  data.setUint16(at + o.i_uid, inode.uid % 0x1_0000, true);
  data.setUint16(at + o.l_i_uid_high, Math.floor(inode.uid / 0x1_0000), true);
  data.setUint16(at + o.i_gid, inode.gid % 0x1_0000, true);
  data.setUint16(at + o.l_i_gid_high, Math.floor(inode.gid / 0x1_0000), true);
  data.setUint16(at + o.i_links_count, inode.nlink, true);
  data.setUint32(at + o.i_size, inode.size % TWO32, true);
  if (inode.isFile) data.setUint32(at + o.i_size_high, Math.floor(inode.size / TWO32), true);
  data.setUint32(at + o.i_blocks, inode.blocks, true);
  data.setUint32(at + o.i_flags, inode.flags, true);
  data.setUint32(at + o.i_dtime, inode.dtime, true);
  data.setUint32(at + o.i_generation, inode.generation, true);
  data.setUint32(at + o.i_file_acl, inode.fileAcl, true);
  const { block } = inode;
  for (let i = 0; i < N_BLOCKS; i++) data.setUint32(at + o.i_block + i * 4, block[i] ?? 0, true);
  const extra = inode.extraIsize;
  encodeTime(data, at + o.i_atime, large(at, o.i_atime_extra, 4, extra), inode.atime);
  encodeTime(data, at + o.i_mtime, large(at, o.i_mtime_extra, 4, extra), inode.mtime);
  encodeTime(data, at + o.i_ctime, large(at, o.i_ctime_extra, 4, extra), inode.ctime);
  const crtime = large(at, o.i_crtime, 4, extra);
  if (inode.btime !== undefined && crtime >= 0) {
    encodeTime(data, crtime, large(at, o.i_crtime_extra, 4, extra), inode.btime);
  }
  if (inode.ibody !== undefined && (inode.ibodyDirty || inode.isNew)) {
    slot.bytes.set(inode.ibody, at + 128 + extra);
  }
}

// Device numbers ---------------------------------------------------------------------------------------------------------

/** `i_block[0]` holds the old 8:8 form, `i_block[1]` the 12:20 form that makedev(3) has too. */
function decodeDev(block: Readonly<BlockWords>): number {
  const old = block[0] ?? 0;
  if (old === 0) return block[1] ?? 0;
  return old & 0xffff;
}

/** Stores a device number as Linux does: the old form whenever it fits. */
export function encodeDev(block: BlockWords, rdev: number): void {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xf_ff00);
  if (major < 256 && minor < 256) {
    block[0] = (major << 8) | minor;
    block[1] = 0;
  } else {
    block[0] = 0;
    block[1] = rdev >>> 0;
    block[2] = 0;
  }
}

function bad(inode: Ext2InodeInCore, field: string, why: string): FsError {
  return corrupt(why, { ino: inode.ino, field });
}
