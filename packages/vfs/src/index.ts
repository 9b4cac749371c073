export {
  S_IFMT,
  type DirEmit,
  type FiemapExtent,
  type FileSystem,
  type FileType,
  type FsTraits,
  type Inode,
  type IoHow,
  type MappedData,
  type Name,
  type NewInode,
  type SetAttr,
  type StatFs,
  type SwapMap,
} from './filesystem.js';
export type { AttrChange } from './attr.js';
export type { BulkData, BulkEntry, BulkJob, BulkNode, BulkOptions } from './bulk.js';
export { bulkPath, orderBulk, type BulkOrder, type BulkPlace } from './bulk-order.js';
export { readSparse, type SparseRead } from './bulk-read.js';
export type { TimeLike } from './chattr.js';
export type { Caller } from './core.js';
export type { DirEntry } from './fd.js';
export type { FallocateMode } from './file.js';
export type { Mapping } from './mapped.js';
export {
  S_IFSOCK,
  S_IFLNK,
  S_IFREG,
  S_IFBLK,
  S_IFDIR,
  S_IFCHR,
  S_IFIFO,
  S_ISUID,
  S_ISGID,
  S_ISVTX,
  S_IXGRP,
  R_OK,
  W_OK,
  X_OK,
  O_RDONLY,
  O_WRONLY,
  O_RDWR,
  O_ACCMODE,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_TRUNC,
  O_APPEND,
  O_NONBLOCK,
  O_DSYNC,
  O_DIRECT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NOATIME,
  O_SYNC,
  O_PATH,
  O_TMPFILE,
  FS_IMMUTABLE_FL,
  FS_APPEND_FL,
  FS_NOATIME_FL,
  RENAME_NOREPLACE,
  RENAME_EXCHANGE,
  PATH_MAX,
  isDirectory,
  isSymlink,
  isRegular,
  fileTypeOf,
} from './modes.js';
export { bytesOfLatin1, decodeName, encodeName, latin1OfBytes } from './names.js';
export type { OpenFile } from './open-file.js';
export { vfsOptionsSchema, type VfsOptions, type VfsSettings } from './options.js';
export { checkAccess, isRoot, mayAccess, type Credentials } from './permission.js';
export { attrOf, type Attr } from './stat.js';
export { createVfs, type As, type Vfs, type VfsOps } from './vfs.js';
