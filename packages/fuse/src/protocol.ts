/** The numbers of the FUSE protocol: operations, flags, limits (uapi `linux/fuse.h`, 7.31 to 7.45). */

export const FUSE_KERNEL_VERSION = 7;
/** The oldest minor version served: all of its features are in every kernel since 5.4. */
export const FUSE_MINOR_MIN = 31;
/** The newest minor version known here; a newer kernel speaks this one. */
export const FUSE_MINOR_MAX = 45;
/** The kernel's number for the root, whatever the format calls it. */
export const FUSE_ROOT_ID = 1;

export const OP = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;

/** Flags of INIT, the first word. */
export const INIT = {
  ASYNC_READ: 0x1,
  EXPORT_SUPPORT: 0x10,
  BIG_WRITES: 0x20,
  DONT_MASK: 0x40,
  HAS_IOCTL_DIR: 0x800,
  DO_READDIRPLUS: 0x2000,
  READDIRPLUS_AUTO: 0x4000,
  ASYNC_DIO: 0x8000,
  WRITEBACK_CACHE: 0x1_0000,
  NO_OPEN_SUPPORT: 0x2_0000,
  PARALLEL_DIROPS: 0x4_0000,
  POSIX_ACL: 0x10_0000,
  MAX_PAGES: 0x40_0000,
  CACHE_SYMLINKS: 0x80_0000,
  NO_OPENDIR_SUPPORT: 0x100_0000,
  EXPLICIT_INVAL_DATA: 0x200_0000,
  HANDLE_KILLPRIV_V2: 0x1000_0000,
  SETXATTR_EXT: 0x2000_0000,
  INIT_EXT: 0x4000_0000,
} as const;

export const FATTR = {
  MODE: 0x1,
  UID: 0x2,
  GID: 0x4,
  SIZE: 0x8,
  ATIME: 0x10,
  MTIME: 0x20,
  FH: 0x40,
  ATIME_NOW: 0x80,
  MTIME_NOW: 0x100,
  CTIME: 0x400,
  KILL_SUIDGID: 0x800,
} as const;

export const FUSE_WRITE_CACHE = 0x1;
export const FUSE_WRITE_KILL_SUIDGID = 0x4;
export const FUSE_OPEN_KILL_SUIDGID = 0x1;
export const FUSE_FSYNC_FDATASYNC = 0x1;
export const FUSE_SETXATTR_ACL_KILL_SGID = 0x1;
export const FOPEN_KEEP_CACHE = 0x2;
export const FOPEN_CACHE_DIR = 0x8;

/** Seconds that the kernel may believe what it was told: for good, since all changes go through it. */
export const VALID_FOREVER_SEC = 0x3fff_ffff;

/** ioctl(2) requests that are served. */
export const FS_IOC_GETFLAGS = 0x8008_6601;
export const FS_IOC_SETFLAGS = 0x4008_6602;
export const FS_IOC_GETVERSION = 0x8008_7601;
export const FS_IOC_FSGETXATTR = 0x801c_581f;
export const FS_IOC_FSSETXATTR = 0x401c_5820;
/** Inode flags that FS_IOC_GETFLAGS shows, and that FS_IOC_SETFLAGS may change. */
export const FLAGS_VISIBLE = 0x0003_dfff;
export const FLAGS_MODIFIABLE = 0x0003_80ff;
