/**
 * What a filesystem driver gives to the vfs.
 *
 * Who does what. The vfs owns the inode cache (one `Inode` object per inode number), dentries, path walk, permissions,
 * open files and the inode rw-locks; it calls the driver with the locks held that each method names. The driver owns the
 * format: it makes `Inode` objects, keeps their attributes current and knows which are dirty. Neither knows iomap-core
 * through the other: a driver's `read` and `write` call it.
 *
 * Names are byte strings: one character per byte, 0x00-0xff ("latin1"), never '/' or NUL; '.' and '..' are the vfs's own.
 */
import type { Io, RwLock, Timespec } from '@iomap/io';

/** A file name as stored: a string whose every character is one byte. */
export type Name = string;

export type FileType = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'block' | 'char' | 'unknown';

/** Mode bits of stat(2). */
export const S_IFMT = 0o170000;

/**
 * An inode in core. One object per number while it is in the cache; its attributes are always current. The driver makes
 * it (a class that implements this); the vfs reads the attributes as plain fields and changes them through `setattr`.
 */
export interface Inode {
  readonly ino: number;
  readonly generation: number;
  /** Type and permission bits. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  /** Bytes. */
  size: number;
  /** 512-byte units in use. */
  blocks: number;
  /** Device number of a node, as `makedev(3)`; 0 for other types. */
  rdev: number;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  /** Creation time, where the format has one. */
  btime?: Timespec | undefined;
  /** Inode flags in the manner of FS_IOC_GETFLAGS (FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NOATIME_FL), 0 where there are none. */
  flags: number;
  /** Outermost lock of the inode: data and directory operations (see each method). Made by the driver. */
  readonly lock: RwLock;
  /** References: open files, walks, look-ups handed out. The vfs alone counts; 0 = may be evicted. The driver starts it at 0. */
  refs: number;
  /** The vfs's own state of this inode (dentries, link target). The driver declares it `undefined` and leaves it alone. */
  vfs?: unknown;
}

/** What `setattr` changes; absent = leave. `size` is truncate or extend. */
export interface SetAttr {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atime?: Timespec;
  readonly mtime?: Timespec;
  readonly ctime?: Timespec;
  readonly flags?: number;
}

/** What a new inode starts with; the driver stamps its times with `now`. */
export interface NewInode {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly now: Timespec;
  /**
   * `mode` before the umask. Given: a default ACL of the directory is inherited as Linux does, and takes the umask's place.
   * Absent: the inode gets `mode` and no ACL (who copies a tree says everything himself).
   */
  readonly asked?: number;
}

export interface StatFs {
  /** Magic number of statfs(2) (ext2: 0xef53). */
  readonly type: number;
  readonly blockSize: number;
  readonly blocks: number;
  readonly blocksFree: number;
  /** Free for others than root. */
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameMax: number;
}

export interface FsTraits {
  readonly type: string;
  readonly nameMaxBytes: number;
  readonly linkMax: number;
  readonly fileSizeMax: number;
  readonly symlinkMaxBytes: number;
  /** Bytes: what space is given out in, and the size for efficient I/O that stat(2) names. */
  readonly blockSize: number;
  /** Nanoseconds between two representable times (1 or 1,000,000,000). */
  readonly timeGranularityNs: number;
  readonly timeMinSec: number;
  readonly timeMaxSec: number;
  readonly xattrs: boolean;
}

/** A part of a file's map, as FIEMAP reports it. Bytes. */
export interface FiemapExtent {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
  readonly flags: readonly ('last' | 'unknown' | 'delalloc' | 'unwritten' | 'inline' | 'shared' | 'merged' | 'unaligned' | 'xattr')[];
}

/** How one read or write is to be done: the RWF_* flags and O_DIRECT, as preadv2(2) and pwritev2(2) have them. */
export interface IoHow {
  /** Between the caller's buffer and the device: position and length are multiples of the device's sector (O_DIRECT). */
  readonly direct?: boolean;
  /** EAGAIN rather than wait, with nothing changed (RWF_NOWAIT). */
  readonly nowait?: boolean;
  /** What the call brings into the cache goes after use (RWF_DONTCACHE). */
  readonly dontcache?: boolean;
  /** Durable on return (RWF_DSYNC). */
  readonly dsync?: boolean;
  /** Writes: whole or not at all after any crash (RWF_ATOMIC); a power of two, aligned to itself. */
  readonly atomic?: boolean;
}

/** A file mapped into memory: loads and stores by position. See mmap(2); EFAULT is SIGBUS. */
export interface MappedData {
  read(pos: number, bytes: Uint8Array): Io<number>;
  write(pos: number, bytes: Uint8Array): Io<number>;
  msync(pos: number, len: number): Io<void>;
  close(): void;
}

/** Where a file's pages lie on the device, for whoever swaps to it. Positions on the device in bytes. */
export interface SwapMap {
  readonly extents: readonly { readonly startPage: number; readonly pageCount: number; readonly addr: number }[];
  readonly pageCount: number;
  readonly spanPages: number;
}

/**
 * Emits one entry; false = stop here (the entry was not taken). `cookie` is where a later `readdir` goes on after this
 * entry; it stays valid while the directory changes elsewhere.
 */
export type DirEmit = (name: Name, ino: number, type: FileType, cookie: number) => boolean;

export interface FileSystem<I extends Inode = Inode> {
  readonly traits: FsTraits;
  readonly readOnly: boolean;
  readonly rootIno: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  readonly label: string;

  // Inodes ------------------------------------------------------------------------------------------------------------
  /** Reads an inode that is not in the vfs's cache. Called once per number at a time. ESTALE when it is free, EUCLEAN. */
  readInode(ino: number): Io<I>;
  /** `readInode` from cached blocks alone; undefined = take `readInode`, which also says what is wrong. */
  peekInode?(ino: number): I | undefined;
  /** The vfs drops the object: nobody refers to it. Frees the inode and its data when `nlink` is 0; else writes it back. */
  evictInode(inode: I): Io<void>;
  /** True when `evictInode` has no work (clean, linked): the vfs may then forget the object without a call. */
  isEvictable(inode: I): boolean;
  /** Changes attributes; `size` truncates or extends. Lock: inode, exclusive. */
  setattr(inode: I, attr: SetAttr): Io<void>;
  /** The cheap attribute change (times after a read or write): a plain function that only marks the inode dirty. */
  touch(inode: I, times: { readonly atime?: Timespec; readonly mtime?: Timespec; readonly ctime?: Timespec }): void;

  // Names (lock: the directory, exclusive, but `lookup` and `readdir`: shared) -------------------------------------------
  // `now`: the driver stamps it as mtime and ctime of each directory it changes and as ctime of the inode that gains, loses
  // or moves a link. Directories' link counts ('..' of their subdirectories) are the driver's too.
  /** The inode number under `name`, 0 when there is none. */
  lookup(dir: I, name: Name): Io<number>;
  /** `lookup` from cached blocks alone; undefined = a read is needed. */
  peekLookup?(dir: I, name: Name): number | undefined;
  /** Entries after `cookie` (0 = from the start), '.' and '..' included. */
  readdir(dir: I, cookie: number, emit: DirEmit): Io<void>;
  /** `readdir` of a whole directory at once, in whatever order is cheapest; the cookies that it emits mean nothing. */
  list?(dir: I, emit: DirEmit): Io<void>;
  /** `list` within the call; false = nothing was emitted, a wait is needed. @throws FsError what is wrong, maybe after some entries */
  peekList?(dir: I, emit: DirEmit): boolean;
  /** Makes a regular file, directory, fifo, socket or device node, by `init.mode`, and enters it. EEXIST is the vfs's to check. */
  create(dir: I, name: Name, init: NewInode): Io<I>;
  symlink(dir: I, name: Name, target: Uint8Array, init: NewInode): Io<I>;
  link(dir: I, name: Name, inode: I, now: Timespec): Io<void>;
  /** Removes the entry and drops a link; the inode itself goes at `evictInode`. `inode` is locked exclusively too. */
  unlink(dir: I, name: Name, inode: I, now: Timespec): Io<void>;
  /** As `unlink`, for a directory; ENOTEMPTY when it has entries. */
  rmdir(dir: I, name: Name, inode: I, now: Timespec): Io<void>;
  /** `target` is what `to.name` names now and what is replaced. The vfs has checked types, loops, emptiness and permissions. */
  rename(from: { dir: I; name: Name; inode: I }, to: { dir: I; name: Name; target: I | undefined }, now: Timespec): Io<void>;
  /** Swaps two entries (RENAME_EXCHANGE). */
  exchange?(a: { dir: I; name: Name; inode: I }, b: { dir: I; name: Name; inode: I }, now: Timespec): Io<void>;
  /** A file without a name (O_TMPFILE), where the format can. */
  tmpfile?(dir: I, init: NewInode): Io<I>;
  readlink(inode: I): Io<Uint8Array>;

  // Data (lock: inode, shared for reads, exclusive for writes) ------------------------------------------------------------
  /** Fills `bytes` from `pos`; the answer is how many bytes there were (short at end of file). */
  read(inode: I, pos: number, bytes: Uint8Array): Io<number>;
  /** `read` from cached folios alone; -1 = a read is needed. */
  peekRead?(inode: I, pos: number, bytes: Uint8Array): number;
  /** Writes all of `bytes` at `pos` (short only when some could be written before an error). Grows `size`. */
  write(inode: I, pos: number, bytes: Uint8Array): Io<number>;
  /** `write` when no wait is needed (blocks mapped, folio cached); -1 = take `write`. */
  peekWrite?(inode: I, pos: number, bytes: Uint8Array): number;
  /** `read` another way than through the cache. Absent: EOPNOTSUPP, and O_DIRECT is EINVAL. Lock: inode, shared. */
  readHow?(inode: I, pos: number, bytes: Uint8Array, how: IoHow): Io<number>;
  /** `write` another way. With `direct` and `dsync` it is durable on return; else the vfs calls `fsync`. Lock: inode, exclusive. */
  writeHow?(inode: I, pos: number, bytes: Uint8Array, how: IoHow): Io<number>;
  /** Maps a file into memory. Lock: inode, shared; the mapping's own calls take none of the vfs's locks. */
  map?(inode: I, writable: boolean): MappedData;
  /** What a swap area needs to know; EINVAL with why not. Lock: inode, shared. */
  swapMap?(inode: I): Io<SwapMap>;
  /** Preallocates, punches, zeroes; EOPNOTSUPP where the format cannot. */
  fallocate?(inode: I, mode: { readonly keepSize?: boolean; readonly punchHole?: boolean; readonly zeroRange?: boolean }, pos: number, len: number): Io<void>;
  /** Position of the next data or hole at or after `pos`; ENXIO past the end (lseek(2)). */
  seek(inode: I, pos: number, whence: 'data' | 'hole'): Io<number>;
  fiemap(inode: I, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void>;
  bmap(inode: I, fileBlock: number): Io<number>;
  /** Durable: data, inode (unless `dataOnly` and only times changed) and the metadata needed, then a device flush. Lock: inode, exclusive. */
  fsync(inode: I, dataOnly: boolean): Io<void>;

  // Extended attributes: full names ("user.a"); lock: inode -----------------------------------------------------------------
  getxattr(inode: I, name: Name): Io<Uint8Array>;
  setxattr(inode: I, name: Name, value: Uint8Array, mode: 'any' | 'create' | 'replace', now: Timespec): Io<void>;
  removexattr(inode: I, name: Name, now: Timespec): Io<void>;
  listxattr(inode: I): Io<Name[]>;

  // The whole -----------------------------------------------------------------------------------------------------------
  statfs(): Io<StatFs>;
  /** Writes everything dirty and flushes. */
  sync(): Io<void>;
  /** After the vfs has evicted all inodes: writes everything, marks the image clean, closes nothing. */
  unmount(): Io<void>;
  /** The error that stopped writing (a failed metadata write, a corrupt structure met), if any. */
  readonly shutdownError: Error | undefined;
  /** What its data path did since the mount (`IomapCounters` of `@iomap/page-cache`, by name), where it counts. */
  readonly counters?: Readonly<Record<string, number>>;
}
