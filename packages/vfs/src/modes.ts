/** The numbers of stat(2), open(2), access(2) and FS_IOC_GETFLAGS, with Linux's values on every host. */
import { S_IFMT, type FileType } from './filesystem.js';

export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;
export const S_IXGRP = 0o010;

export const R_OK = 4;
export const W_OK = 2;
export const X_OK = 1;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DSYNC = 0o10000;
export const O_DIRECT = 0o40000;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;
export const O_NOATIME = 0o1000000;
export const O_SYNC = 0o4010000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20200000;

export const FS_IMMUTABLE_FL = 0x10;
export const FS_APPEND_FL = 0x20;
export const FS_NOATIME_FL = 0x80;

/** renameat2(2). */
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** Longest path in bytes, without the NUL. */
export const PATH_MAX = 4095;

export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR;
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK;
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG;

const TYPES: Readonly<Record<number, FileType>> = {
  [S_IFSOCK]: 'socket',
  [S_IFLNK]: 'symlink',
  [S_IFREG]: 'file',
  [S_IFBLK]: 'block',
  [S_IFDIR]: 'directory',
  [S_IFCHR]: 'char',
  [S_IFIFO]: 'fifo',
};

/** The type that mode bits name. */
export const fileTypeOf = (mode: number): FileType => TYPES[mode & S_IFMT] ?? 'unknown';
