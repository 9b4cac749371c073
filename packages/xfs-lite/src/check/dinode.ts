/**
 * The core of one inode on disk, looked at in place: the same object is set on one inode after another, so a million of them cost no
 * object each. `problem` says what is wrong with the fields by themselves.
 */
import { sumMatches } from '../crc32c.js';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../inode.js';
import { DIFLAG, DIFLAG2, DINODE_BYTES, DINODE_MAGIC, DINODE_V2_BYTES, FORMAT, NULL_AGINO, XfsDinode } from '../ondisk.js';
import { SYMLINK_MAX } from '../ondisk-trees.js';
import type { SuperInfo } from '../super.js';

const o = XfsDinode.offsets;
const TWO32 = 2 ** 32;
const NSEC = 1_000_000_000;
const DIFLAGS_KNOWN = 0x7fff;
/** Flags of directories alone: realtime, project, extent size inherited; no symlinks. */
const FLAGS_OF_DIRECTORIES = 0x100 | 0x200 | 0x400 | 0x1000;
/** Flags of files alone: realtime, extent size. */
const FLAGS_OF_FILES = DIFLAG.REALTIME | 0x800;
const FLAG_EXTSZINHERIT = 0x1000;
const FLAG_EXTSIZE = 0x800;
const EXTENT_BLOCKS_MAX = 2 ** 21 - 1;

export class Dinode {
  readonly #info: SuperInfo;
  view: DataView = new DataView(new ArrayBuffer(0));
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  ino = 0;
  mode = 0;
  type = 0;
  nlink = 0;
  size = 0;
  nblocks = 0;
  flags2 = 0;
  /** Forks: where they are, how long, what form, how many extents. The attribute fork has no length where there is none. */
  dataAt = 0;
  dataLength = 0;
  dataFormat = 0;
  dataExtents = 0;
  attrAt = 0;
  attrLength = 0;
  attrFormat = 0;
  attrExtents = 0;

  constructor(info: SuperInfo) {
    this.#info = info;
  }

  /** Looks at another. What it says is not to be believed before `identity` and `problem` have answered. */
  set(bytes: Uint8Array, view: DataView, at: number, ino: number): void {
    this.bytes = bytes;
    this.view = view;
    this.at = at;
    this.ino = ino;
    this.mode = view.getUint16(at + o.di_mode);
    this.type = this.mode & 0o170000;
    const version = view.getUint8(at + o.di_version);
    this.nlink = version === 1 ? view.getUint16(at + o.di_onlink) : view.getUint32(at + o.di_nlink);
    this.size = view.getUint32(at + o.di_size) * TWO32 + view.getUint32(at + o.di_size + 4);
    this.nblocks = view.getUint32(at + o.di_nblocks) * TWO32 + view.getUint32(at + o.di_nblocks + 4);
    this.flags2 = version === 3 ? view.getUint32(at + o.di_flags2 + 4) : 0;
    const core = version === 3 ? DINODE_BYTES : DINODE_V2_BYTES;
    const room = this.#info.inodeSize - core;
    const forkoff = view.getUint8(at + o.di_forkoff) * 8;
    this.dataAt = at + core;
    this.dataLength = forkoff === 0 ? room : Math.min(room, forkoff);
    this.dataFormat = view.getUint8(at + o.di_format);
    this.attrAt = at + core + forkoff;
    this.attrLength = forkoff === 0 ? 0 : Math.max(0, room - forkoff);
    this.attrFormat = view.getUint8(at + o.di_aformat);
    if ((this.flags2 & DIFLAG2.NREXT64) !== 0) {
      this.dataExtents = view.getUint32(at + o.di_big_nextents) * TWO32 + view.getUint32(at + o.di_big_nextents + 4);
      this.attrExtents = view.getUint32(at + o.di_nextents);
    } else {
      this.dataExtents = view.getUint32(at + o.di_nextents);
      this.attrExtents = view.getUint16(at + o.di_anextents);
    }
  }

  get nextUnlinked(): number {
    return this.view.getUint32(this.at + o.di_next_unlinked);
  }

  /** What makes it no inode of this place at all; "checksum" by that word. */
  identity(): string | undefined {
    const { view, bytes, at } = this;
    const info = this.#info;
    if (view.getUint16(at) !== DINODE_MAGIC) return 'no inode is here';
    const version = view.getUint8(at + o.di_version);
    if (info.v5 ? version !== 3 : version !== 1 && version !== 2) return `an inode of version ${version}`;
    if (!info.v5) return undefined;
    if (!sumMatches(view, at, at + info.inodeSize, o.di_crc)) return 'checksum';
    if (view.getUint32(at + o.di_ino) * TWO32 + view.getUint32(at + o.di_ino + 4) !== this.ino) return 'another inode is here';
    for (let i = 0; i < 16; i++) if (bytes[at + o.di_uuid + i] !== info.metaUuid[i]) return 'an inode of another filesystem';
    return undefined;
  }

  /** What is wrong with an inode in use, of what it says of itself: the field and why. */
  problem(): readonly [field: string, why: string] | undefined {
    return this.#typeProblem() ?? this.#flagProblem() ?? this.#forkProblem() ?? this.#timeProblem();
  }

  #typeProblem(): readonly [string, string] | undefined {
    const { type, size, dataFormat, dataLength } = this;
    if (this.#hasOldLinks()) return ['di_onlink', 'links of a version 1 inode'];
    if (size > Number.MAX_SAFE_INTEGER) return ['di_size', 'a size beyond 2^53'];
    switch (type) {
      case S_IFIFO:
      case S_IFSOCK:
      case S_IFCHR:
      case S_IFBLK:
        if (dataFormat !== FORMAT.DEV) return ['di_format', `a special file of format ${dataFormat}`];
        return size === 0 ? undefined : ['di_size', `a special file of ${size} bytes`];
      case S_IFREG:
        return dataFormat === FORMAT.EXTENTS || dataFormat === FORMAT.BTREE ? undefined : ['di_format', `a file of format ${dataFormat}`];
      case S_IFDIR:
      case S_IFLNK:
        if (dataFormat !== FORMAT.LOCAL && dataFormat !== FORMAT.EXTENTS && dataFormat !== FORMAT.BTREE) return ['di_format', `format ${dataFormat}`];
        if (size === 0) return ['di_size', 'an empty directory or symlink'];
        if (dataFormat === FORMAT.LOCAL && size > dataLength) return ['di_size', 'more inline content than the inode has room for'];
        return type === S_IFLNK && size >= SYMLINK_MAX ? ['di_size', `a symbolic link of ${size} bytes`] : undefined;
      default:
        return ['di_mode', `type ${type.toString(8)}`];
    }
  }

  /** Only version 1 counts links in 16 bits. */
  #hasOldLinks(): boolean {
    return this.view.getUint8(this.at + o.di_version) !== 1 && this.view.getUint16(this.at + o.di_onlink) !== 0;
  }

  #flagProblem(): readonly [string, string] | undefined {
    const { view, at, type, flags2 } = this;
    const info = this.#info;
    const flags = view.getUint16(at + o.di_flags);
    if ((flags & ~DIFLAGS_KNOWN) !== 0) return ['di_flags', `flags 0x${flags.toString(16)}`];
    if ((flags & FLAGS_OF_DIRECTORIES) !== 0 && type !== S_IFDIR) return ['di_flags', 'flags of a directory'];
    if ((flags & FLAGS_OF_FILES) !== 0 && type !== S_IFREG) return ['di_flags', 'flags of a file'];
    if ((flags & DIFLAG.REALTIME) !== 0) return ['di_flags', 'a realtime file without a realtime device'];
    const extsize = view.getUint32(at + o.di_extsize);
    const wantsSize = (flags & (FLAG_EXTSIZE | FLAG_EXTSZINHERIT)) !== 0;
    if (wantsSize !== (extsize !== 0)) return ['di_extsize', `an extent size of ${extsize}`];
    if (extsize > EXTENT_BLOCKS_MAX || (extsize > info.agBlocks / 2)) return ['di_extsize', `an extent size of ${extsize}`];
    if (!info.v5) return undefined;
    if (view.getUint32(at + o.di_flags2) !== 0 || (flags2 & ~0x1f) !== 0) return ['di_flags2', 'unknown flags'];
    if ((flags2 & DIFLAG2.REFLINK) !== 0 && (!info.hasReflink || type !== S_IFREG)) return ['di_flags2', 'a shared file where none can be'];
    if ((flags2 & DIFLAG2.BIGTIME) !== 0 && !info.hasBigtime) return ['di_flags2', 'large times in a filesystem without them'];
    if ((flags2 & DIFLAG2.NREXT64) !== 0 && !info.hasNrext64) return ['di_flags2', 'large extent counts in a filesystem without them'];
    if ((flags2 & 1) !== 0 && type !== S_IFREG && type !== S_IFDIR) return ['di_flags2', 'direct access of what is no file'];
    const cow = view.getUint32(at + o.di_cowextsize);
    const wantsCow = (flags2 & 4) !== 0;
    if (wantsCow && (!info.hasReflink || (type !== S_IFREG && type !== S_IFDIR))) return ['di_flags2', 'a size of copies in what has none'];
    if (wantsCow !== (cow !== 0) || cow > EXTENT_BLOCKS_MAX || cow > info.agBlocks / 2) return ['di_cowextsize', `a size of copies of ${cow}`];
    return undefined;
  }

  #forkProblem(): readonly [string, string] | undefined {
    const { view, at } = this;
    const info = this.#info;
    const core = info.v5 ? DINODE_BYTES : DINODE_V2_BYTES;
    const forkoff = view.getUint8(at + o.di_forkoff) * 8;
    if (forkoff !== 0 && forkoff >= info.inodeSize - core) return ['di_forkoff', 'the attribute fork is outside the inode'];
    if (forkoff !== 0 && this.dataFormat === FORMAT.DEV && forkoff !== 8) return ['di_forkoff', 'the attribute fork of a special file is not behind its number'];
    if (this.dataFormat === FORMAT.EXTENTS && this.dataExtents * 16 > this.dataLength) return ['di_nextents', 'more extents than the inode has room for'];
    if ((this.dataFormat === FORMAT.LOCAL || this.dataFormat === FORMAT.DEV) && this.dataExtents !== 0) return ['di_nextents', 'extents in a fork without any'];
    if (this.dataFormat === FORMAT.BTREE && this.dataExtents * 16 <= this.dataLength) return ['di_nextents', 'an extent tree for what fits the inode'];
    if (forkoff === 0) {
      if (this.attrExtents !== 0) return ['di_anextents', 'extents in an attribute fork that is not there'];
      return this.attrFormat === FORMAT.EXTENTS ? undefined : ['di_aformat', 'a form of an attribute fork that is not there'];
    }
    const format = this.attrFormat;
    if (format !== FORMAT.LOCAL && format !== FORMAT.EXTENTS && format !== FORMAT.BTREE) return ['di_aformat', `an attribute fork of format ${format}`];
    if (format === FORMAT.LOCAL && this.attrExtents !== 0) return ['di_anextents', 'extents in a fork without any'];
    if (format === FORMAT.EXTENTS && this.attrExtents * 16 > this.attrLength) return ['di_anextents', 'more extents than the inode has room for'];
    if (format === FORMAT.BTREE && this.attrExtents * 16 <= this.attrLength) return ['di_anextents', 'an extent tree for what fits the inode'];
    return undefined;
  }

  #timeProblem(): readonly [string, string] | undefined {
    if ((this.flags2 & DIFLAG2.BIGTIME) !== 0) return undefined;
    const { view, at } = this;
    for (const field of ['di_atime', 'di_mtime', 'di_ctime'] as const) if (view.getUint32(at + o[field] + 4) >= NSEC) return [field, 'more nanoseconds than a second has'];
    if (this.#info.v5 && view.getUint32(at + o.di_crtime + 4) >= NSEC) return ['di_crtime', 'more nanoseconds than a second has'];
    return undefined;
  }

  /** An inode that is free says so in its other fields too. */
  freeProblem(): readonly [string, string] | undefined {
    const { view, at } = this;
    if (this.nlink !== 0) return ['di_nlink', 'a free inode with links'];
    if (this.nblocks !== 0) return ['di_nblocks', 'a free inode with blocks'];
    // The size stays when a directory is removed.
    if (view.getUint8(at + o.di_forkoff) !== 0) return ['di_forkoff', 'a free inode with an attribute fork'];
    // One that was never in use has the form 0.
    if ((this.dataFormat !== FORMAT.EXTENTS && this.dataFormat !== 0) || (this.attrFormat !== FORMAT.EXTENTS && this.attrFormat !== 0)) return ['di_format', 'a free inode of another form'];
    if (this.dataExtents !== 0 || this.attrExtents !== 0) return ['di_nextents', 'a free inode with extents'];
    if (view.getUint16(at + o.di_flags) !== 0) return ['di_flags', 'a free inode with flags'];
    if (this.#hasOldLinks()) return ['di_onlink', 'links of a version 1 inode'];
    if (this.#info.v5) {
      const isLarge = (this.flags2 & DIFLAG2.NREXT64) !== 0;
      const allowed = (this.#info.hasBigtime ? DIFLAG2.BIGTIME : 0) + (this.#info.hasNrext64 ? DIFLAG2.NREXT64 : 0);
      if (view.getUint32(at + o.di_flags2) !== 0 || (this.flags2 & ~allowed) !== 0) return ['di_flags2', 'a free inode with flags'];
      if (!isLarge && (view.getUint32(at + o.di_big_nextents) !== 0 || view.getUint16(at + o.di_big_nextents + 4) !== 0)) return ['di_v3_pad', 'padding of a free inode'];
    }
    return this.nextUnlinked === NULL_AGINO ? undefined : ['di_next_unlinked', 'a free inode on a list of unlinked ones'];
  }
}
