/**
 * The inode in core and its decoder. What the driver reads is checked here: identity (magic, checksum, number, uuid), formats that fit
 * the type, forks that fit the inode. A fork's blocks are checked when they are followed (fork.ts).
 */
import { corrupt, FsError, RwLock, type Timespec } from '@iomap/io';
import type { AddressSpace } from '@iomap/page-cache';
import { S_IFMT, type Inode } from '@iomap/vfs';
import { sumMatches } from './crc32c.js';
import type { DirIndex } from './dir-index.js';
import { Fork } from './fork.js';
import { DIFLAG, DIFLAG2, DINODE_BYTES, DINODE_MAGIC, DINODE_V2_BYTES, FORMAT, XfsDinode } from './ondisk.js';
import { fsbToAgb, inoToBlock, isFsBlock, type SuperInfo } from './super.js';
import type { Volume } from './volume.js';

export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;

const o = XfsDinode.offsets;
const TWO32 = 2 ** 32;
/** Of an inode that is not decoded yet. */
const NO_FORK = new Fork(FORMAT.DEV, 0);

/** FS_IOC_GETFLAGS's bits for those of `di_flags`. */
const FLAGS = [
  [DIFLAG.IMMUTABLE, 0x10],
  [DIFLAG.APPEND, 0x20],
  [DIFLAG.SYNC, 0x08],
  [DIFLAG.NOATIME, 0x80],
  [DIFLAG.NODUMP, 0x40],
  [DIFLAG.PROJINHERIT, 0x2000_0000],
] as const;

export class XfsInode implements Inode {
  readonly ino: number;
  readonly blockSize: number;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 0;
  size = 0;
  blocks = 0;
  rdev = 0;
  // Times as numbers: an object each would be a good part of what a cached inode takes. Small integers up to 2038.
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
  readonly lock: RwLock;
  wasRead = false;
  refs = 0;
  vfs: unknown = undefined;

  projectId = 0;
  /** `di_flags` and the low word of `di_flags2` as stored. */
  diFlags = 0;
  diFlags2 = 0;
  /** Blocks an allocation is rounded to (`extsize`), and for copy on write. */
  extsize = 0;
  cowExtsize = 0;
  #changeHigh = 0;
  #changeLow = 0;
  // Words of any value as signed numbers, which are no objects of their own.
  #generation = 0;
  #nextUnlinked = -1;
  data: Fork = NO_FORK;
  attr: Fork | undefined = undefined;
  /** Directory blocks that are not contiguous, put together: see dir-blocks.ts. */
  assembled: Map<number, { readonly bytes: Uint8Array; readonly view: DataView; readonly pos: number }> | undefined = undefined;
  /** Of a large directory: see dir-index.ts, which counts there when it is due. */
  index: DirIndex | undefined = undefined;
  indexPatience = 0;
  #mapping: AddressSpace | undefined = undefined;
  readonly #makeMapping: (inode: XfsInode) => AddressSpace;

  constructor(ino: number, blockSize: number, makeMapping: (inode: XfsInode) => AddressSpace) {
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

  /** Counts the changes of the inode. */
  get changeCount(): bigint {
    return BigInt(this.#changeHigh >>> 0) * 2n ** 32n + BigInt(this.#changeLow >>> 0);
  }

  /** Takes times and counters from the slot at `at`: what versions 1 and 2 have too (`isBig`: 64-bit times), or all. */
  decodeStamps(view: DataView, at: number, isBig: boolean, isVersion3: boolean): void {
    this.#generation = view.getInt32(at + o.di_gen);
    this.#nextUnlinked = view.getInt32(at + o.di_next_unlinked);
    this.#atimeSec = secondsAt(view, at + o.di_atime, isBig);
    this.#atimeNsec = nanosecondsAt(view, at + o.di_atime, isBig);
    this.#mtimeSec = secondsAt(view, at + o.di_mtime, isBig);
    this.#mtimeNsec = nanosecondsAt(view, at + o.di_mtime, isBig);
    this.#ctimeSec = secondsAt(view, at + o.di_ctime, isBig);
    this.#ctimeNsec = nanosecondsAt(view, at + o.di_ctime, isBig);
    if (!isVersion3) return;
    this.#btimeSec = secondsAt(view, at + o.di_crtime, isBig);
    this.#btimeNsec = nanosecondsAt(view, at + o.di_crtime, isBig);
    this.#changeHigh = view.getInt32(at + o.di_changecount);
    this.#changeLow = view.getInt32(at + o.di_changecount + 4);
  }

  get mapping(): AddressSpace {
    return (this.#mapping ??= this.#makeMapping(this));
  }

  get mappingIfAny(): AddressSpace | undefined {
    return this.#mapping;
  }

  get generation(): number {
    return this.#generation >>> 0;
  }

  /** The next inode (in its group) of a list of unlinked ones. */
  get nextUnlinked(): number {
    return this.#nextUnlinked >>> 0;
  }

  get type(): number {
    return this.mode & S_IFMT;
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }

  get isReflinked(): boolean {
    return (this.diFlags2 & DIFLAG2.REFLINK) !== 0;
  }
}

// Times ------------------------------------------------------------------------------------------------------------------

/** Seconds before 1970 at which `bigtime` counters start. */
export const BIGTIME_EPOCH = 2 ** 31;
/** The last second that a 64-bit count of nanoseconds from there reaches. */
export const BIGTIME_MAX_SEC = 16_299_260_425;
const NSEC = 1_000_000_000;

/**
 * The second in which a 64-bit count of nanoseconds lies. The quotient of doubles is at most one off, and the rest, which 32 bits hold,
 * says which way.
 */
function bigSeconds(high: number, low: number): number {
  const about = Math.floor(high * (TWO32 / NSEC) + low / NSEC);
  const rest = (low - Math.imul(about, NSEC)) | 0;
  const sec = about - BIGTIME_EPOCH - (rest < 0 ? 1 : 0) + (rest >= NSEC ? 1 : 0);
  // What is computed as a double stays one, on the heap, unless it is said to be small.
  return sec <= 0x7fff_ffff ? sec | 0 : sec;
}

const secondsAt = (view: DataView, at: number, isBig: boolean): number =>
  isBig ? bigSeconds(view.getUint32(at), view.getUint32(at + 4)) : view.getInt32(at);

function nanosecondsAt(view: DataView, at: number, isBig: boolean): number {
  const low = view.getUint32(at + 4);
  if (!isBig) return Math.min(low, NSEC - 1);
  return (low - Math.imul(bigSeconds(view.getUint32(at), low) + BIGTIME_EPOCH, NSEC)) | 0;
}

/** A time as `di_?time` holds it. */
export const decodeTime = (view: DataView, at: number, isBig: boolean): Timespec => ({
  sec: secondsAt(view, at, isBig),
  nsec: nanosecondsAt(view, at, isBig),
});

/** Stores a time that the format can hold. */
export function encodeTime(view: DataView, at: number, { sec, nsec }: Timespec, isBig: boolean): void {
  if (isBig) {
    view.setBigUint64(at, BigInt(sec + BIGTIME_EPOCH) * BigInt(NSEC) + BigInt(nsec));
  } else {
    view.setInt32(at, sec);
    view.setUint32(at + 4, nsec);
  }
}

// Device numbers ------------------------------------------------------------------------------------------------------------

/** From 14 bits of major and 18 of minor to the form of makedev(3). */
function decodeDev(stored: number): number {
  const major = (stored >>> 18) & 0x3fff;
  const minor = stored & 0x3_ffff;
  return (minor & 0xff) + (major & 0xfff) * 2 ** 8 + (minor >>> 8) * 2 ** 20 + (major >>> 12) * 2 ** 44;
}

// Decoding ---------------------------------------------------------------------------------------------------------------

/** A place in a block of inodes. */
export interface InodeSlot {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly at: number;
}

const bad = (ino: number, field: string, why: string): FsError => corrupt(why, { ino, field });

/** Magic, version, and in version 5 checksum, number and uuid. @throws FsError EUCLEAN, EBADMSG */
export function checkIdentity({ bytes, view, at }: InodeSlot, ino: number, info: SuperInfo): void {
  if (view.getUint16(at) !== DINODE_MAGIC) throw bad(ino, 'di_magic', 'no inode is here');
  const version = view.getUint8(at + o.di_version);
  if (info.v5 ? version !== 3 : version !== 1 && version !== 2) throw bad(ino, 'di_version', `an inode of version ${version}`);
  if (!info.v5) return;
  if (!sumMatches(view, at, at + info.inodeSize, o.di_crc)) {
    throw new FsError('EBADMSG', { why: 'inode: checksum', detail: { ino, field: 'di_crc' } });
  }
  if (view.getUint32(at + o.di_ino) * TWO32 + view.getUint32(at + o.di_ino + 4) !== ino) throw bad(ino, 'di_ino', 'another inode is here');
  const { metaUuid } = info;
  for (let i = 0; i < 16; i++) if (bytes[at + o.di_uuid + i] !== metaUuid[i]) throw bad(ino, 'di_uuid', 'an inode of another filesystem');
}

/** A 64-bit count. @throws FsError EUCLEAN above 2^53 - 1 */
function count64(view: DataView, at: number, ino: number, field: string): number {
  const high = view.getUint32(at);
  if (high === 0) return view.getUint32(at + 4);
  if (high > 0x1f_ffff) throw bad(ino, field, 'a count beyond 2^53');
  return high * TWO32 + view.getUint32(at + 4);
}

function linuxFlags(diFlags: number): number {
  let flags = 0;
  for (const [bit, flag] of FLAGS) if ((diFlags & bit) !== 0) flags += flag;
  return flags;
}

/**
 * Fills `inode` from its slot.
 * @throws FsError ESTALE when it is free; EUCLEAN, EBADMSG
 */
export function decodeInode(inode: XfsInode, slot: InodeSlot, info: SuperInfo, allowUnlinked = false): void {
  const { view, at } = slot;
  const { ino } = inode;
  checkIdentity(slot, ino, info);
  const version = view.getUint8(at + o.di_version);
  inode.mode = view.getUint16(at + o.di_mode);
  inode.nlink = version === 1 ? view.getUint16(at + o.di_onlink) : view.getUint32(at + o.di_nlink);
  if (inode.mode === 0 || (inode.nlink === 0 && !allowUnlinked)) throw new FsError('ESTALE', { why: 'the inode is free', detail: { ino } });
  inode.uid = view.getUint32(at + o.di_uid);
  inode.gid = view.getUint32(at + o.di_gid);
  if (version > 1) inode.projectId = view.getUint16(at + o.di_projid_lo) + view.getUint16(at + o.di_projid_hi) * 0x1_0000;
  inode.size = count64(view, at + o.di_size, ino, 'di_size');
  inode.blocks = count64(view, at + o.di_nblocks, ino, 'di_nblocks') * (info.blockSize / 512);
  inode.extsize = view.getUint32(at + o.di_extsize);
  inode.diFlags = view.getUint16(at + o.di_flags);
  if (inode.diFlags !== 0) inode.flags = linuxFlags(inode.diFlags);
  if (version === 3) {
    inode.diFlags2 = view.getUint32(at + o.di_flags2 + 4);
    inode.cowExtsize = view.getUint32(at + o.di_cowextsize);
  }
  inode.decodeStamps(view, at, (inode.diFlags2 & DIFLAG2.BIGTIME) !== 0, version === 3);
  decodeForks(inode, slot, version, info);
  checkFormats(inode, info);
}

function decodeForks(inode: XfsInode, { bytes, view, at }: InodeSlot, version: number, info: SuperInfo): void {
  const { ino } = inode;
  const core = version === 3 ? DINODE_BYTES : DINODE_V2_BYTES;
  const room = info.inodeSize - core;
  const forkoff = view.getUint8(at + o.di_forkoff) * 8;
  if (forkoff > room || (forkoff === room && forkoff !== 0)) throw bad(ino, 'di_forkoff', 'the attribute fork is outside the inode');
  const isLarge = (inode.diFlags2 & DIFLAG2.NREXT64) !== 0;
  if (isLarge && !info.hasNrext64) throw bad(ino, 'di_flags2', 'large extent counts in a filesystem without them');
  const extents = isLarge ? count64(view, at + o.di_big_nextents, ino, 'di_big_nextents') : view.getUint32(at + o.di_nextents);
  const attrExtents = isLarge ? view.getUint32(at + o.di_nextents) : view.getUint16(at + o.di_anextents);
  const start = at + core;
  const dataRoom = forkoff === 0 ? room : forkoff;
  inode.data = Fork.decode(view.getUint8(at + o.di_format), extents, { bytes, view, start, room: dataRoom }, inode.size);
  const { type } = inode;
  if ((type === S_IFCHR || type === S_IFBLK) && dataRoom >= 4) inode.rdev = decodeDev(view.getUint32(start));
  if (forkoff > 0) {
    const attrRoom = room - forkoff;
    const slot = { bytes, view, start: start + forkoff, room: attrRoom };
    inode.attr = Fork.decode(view.getUint8(at + o.di_aformat), attrExtents, slot, attrRoom);
  } else if (attrExtents > 0) {
    throw bad(ino, 'di_anextents', 'extents in an attribute fork that is not there');
  }
}

function checkFormats(inode: XfsInode, info: SuperInfo): void {
  const { ino, data, attr, type } = inode;
  const { format } = data;
  switch (type) {
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      if (format !== FORMAT.DEV) throw bad(ino, 'di_format', `a special file of format ${format}`);
      inode.size = 0;
      break;
    case S_IFREG:
      if (format !== FORMAT.EXTENTS && format !== FORMAT.BTREE) throw bad(ino, 'di_format', `a file of format ${format}`);
      if ((inode.diFlags & DIFLAG.REALTIME) !== 0) throw bad(ino, 'di_flags', 'a realtime file without a realtime device');
      break;
    case S_IFDIR:
    case S_IFLNK:
      if (format !== FORMAT.LOCAL && format !== FORMAT.EXTENTS && format !== FORMAT.BTREE) throw bad(ino, 'di_format', `format ${format}`);
      if (format === FORMAT.LOCAL && inode.size > data.bytes.length) throw bad(ino, 'di_size', 'more inline content than the inode has room for');
      if (inode.size === 0) throw bad(ino, 'di_size', 'an empty directory or symlink');
      break;
    default:
      throw bad(ino, 'di_mode', `type ${type.toString(8)}`);
  }
  if (attr !== undefined && attr.format !== FORMAT.LOCAL && attr.format !== FORMAT.EXTENTS && attr.format !== FORMAT.BTREE) {
    throw bad(ino, 'di_aformat', `an attribute fork of format ${attr.format}`);
  }
  if (inode.isReflinked && (!info.hasReflink || type !== S_IFREG)) throw bad(ino, 'di_flags2', 'a shared file where none can be');
}

/**
 * Reads an inode from cached blocks; undefined = its block is missing.
 * @param allowUnlinked take one without links too (a checker does)
 * @throws FsError ESTALE for a free inode or a number that none has; EUCLEAN, EBADMSG
 */
export function findInode(vol: Volume, ino: number, make: (ino: number) => XfsInode, allowUnlinked = false): XfsInode | undefined {
  const { info } = vol;
  const fsb = inoToBlock(info, ino);
  if (fsb < 0) throw new FsError('ESTALE', { why: 'no such inode', detail: { ino } });
  const first = fsb - (fsb % info.inodeCluster);
  // Where no cluster can be (an image may say anything), the block alone.
  const isCluster = fsbToAgb(info, first) > 0 && isFsBlock(info, first, info.inodeCluster);
  const buf = isCluster ? vol.needFsb(first, vol.ops.inodes, info.inodeCluster) : vol.needFsb(fsb, vol.ops.inodes);
  if (buf === undefined) return undefined;
  const inode = make(ino);
  const at = (ino - (isCluster ? first : fsb) * info.inodesPerBlock) * info.inodeSize;
  decodeInode(inode, { bytes: buf.bytes, view: buf.view, at }, info, allowUnlinked);
  const override = vol.overrides?.get(ino);
  if (override !== undefined) {
    inode.data.replace(override.list);
    inode.size = override.size ?? inode.size;
  }
  return inode;
}
