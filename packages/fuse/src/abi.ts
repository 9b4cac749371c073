/**
 * The structures of the kernel's FUSE protocol (uapi `linux/fuse.h`, 7.31 to 7.45), one table each, with the kernel's names.
 *
 * Little-endian, as every host that Node runs on here. Hot code reads by `offsets`; the rest by views. Opaque 64-bit values
 * (lock owners, request ids) are `b64`; times are signed seconds and read by `getSeconds` (wire.ts).
 */
import { layout } from '@iomap/buffer-cache';

export const FuseInHeader = layout('fuse_in_header', 40, 'le', {
  len: [0, 'u32'],
  opcode: [4, 'u32'],
  unique: [8, 'b64'],
  nodeid: [16, 'u64'],
  uid: [24, 'u32'],
  gid: [28, 'u32'],
  pid: [32, 'u32'],
  total_extlen: [36, 'u16'],
  padding: [38, 'u16'],
});

export const FuseOutHeader = layout('fuse_out_header', 16, 'le', {
  len: [0, 'u32'],
  error: [4, 'i32'],
  unique: [8, 'b64'],
});

export const FuseInitIn = layout('fuse_init_in', 64, 'le', {
  major: [0, 'u32'],
  minor: [4, 'u32'],
  max_readahead: [8, 'u32'],
  flags: [12, 'u32'],
  flags2: [16, 'u32'],
  unused: [20, 'u32', 11],
});

export const FuseInitOut = layout('fuse_init_out', 64, 'le', {
  major: [0, 'u32'],
  minor: [4, 'u32'],
  max_readahead: [8, 'u32'],
  flags: [12, 'u32'],
  max_background: [16, 'u16'],
  congestion_threshold: [18, 'u16'],
  max_write: [20, 'u32'],
  time_gran: [24, 'u32'],
  max_pages: [28, 'u16'],
  map_alignment: [30, 'u16'],
  flags2: [32, 'u32'],
  unused: [36, 'u32', 7],
});

export const FuseAttr = layout('fuse_attr', 88, 'le', {
  ino: [0, 'u64'],
  size: [8, 'u64'],
  blocks: [16, 'u64'],
  atime: [24, 'b64'],
  mtime: [32, 'b64'],
  ctime: [40, 'b64'],
  atimensec: [48, 'u32'],
  mtimensec: [52, 'u32'],
  ctimensec: [56, 'u32'],
  mode: [60, 'u32'],
  nlink: [64, 'u32'],
  uid: [68, 'u32'],
  gid: [72, 'u32'],
  rdev: [76, 'u32'],
  blksize: [80, 'u32'],
  flags: [84, 'u32'],
});

/** `fuse_attr` follows at 40. */
export const FuseEntryOut = layout('fuse_entry_out', 128, 'le', {
  nodeid: [0, 'u64'],
  generation: [8, 'u64'],
  entry_valid: [16, 'u64'],
  attr_valid: [24, 'u64'],
  entry_valid_nsec: [32, 'u32'],
  attr_valid_nsec: [36, 'u32'],
  attr: [40, 'bytes', 88],
});

/** `fuse_attr` follows at 16. */
export const FuseAttrOut = layout('fuse_attr_out', 104, 'le', {
  attr_valid: [0, 'u64'],
  attr_valid_nsec: [8, 'u32'],
  dummy: [12, 'u32'],
  attr: [16, 'bytes', 88],
});

export const FuseStatxIn = layout('fuse_statx_in', 24, 'le', {
  getattr_flags: [0, 'u32'],
  reserved: [4, 'u32'],
  fh: [8, 'b64'],
  sx_flags: [16, 'u32'],
  sx_mask: [20, 'u32'],
});

export const FuseSxTime = layout('fuse_sx_time', 16, 'le', {
  tv_sec: [0, 'b64'],
  tv_nsec: [8, 'u32'],
  reserved: [12, 'i32'],
});

export const FuseStatx = layout('fuse_statx', 256, 'le', {
  mask: [0, 'u32'],
  blksize: [4, 'u32'],
  attributes: [8, 'b64'],
  nlink: [16, 'u32'],
  uid: [20, 'u32'],
  gid: [24, 'u32'],
  mode: [28, 'u16'],
  ino: [32, 'u64'],
  size: [40, 'u64'],
  blocks: [48, 'u64'],
  attributes_mask: [56, 'b64'],
  atime: [64, 'bytes', 16],
  btime: [80, 'bytes', 16],
  ctime: [96, 'bytes', 16],
  mtime: [112, 'bytes', 16],
  rdev_major: [128, 'u32'],
  rdev_minor: [132, 'u32'],
  dev_major: [136, 'u32'],
  dev_minor: [140, 'u32'],
});

/** `fuse_statx` follows at 32. */
export const FuseStatxOut = layout('fuse_statx_out', 288, 'le', {
  attr_valid: [0, 'u64'],
  attr_valid_nsec: [8, 'u32'],
  flags: [12, 'u32'],
  stat: [32, 'bytes', 256],
});

export const FuseForgetIn = layout('fuse_forget_in', 8, 'le', { nlookup: [0, 'u64'] });
export const FuseForgetOne = layout('fuse_forget_one', 16, 'le', { nodeid: [0, 'u64'], nlookup: [8, 'u64'] });
export const FuseBatchForgetIn = layout('fuse_batch_forget_in', 8, 'le', { count: [0, 'u32'], dummy: [4, 'u32'] });
export const FuseGetattrIn = layout('fuse_getattr_in', 16, 'le', {
  getattr_flags: [0, 'u32'],
  dummy: [4, 'u32'],
  fh: [8, 'b64'],
});

export const FuseSetattrIn = layout('fuse_setattr_in', 88, 'le', {
  valid: [0, 'u32'],
  padding: [4, 'u32'],
  fh: [8, 'b64'],
  size: [16, 'u64'],
  lock_owner: [24, 'b64'],
  atime: [32, 'b64'],
  mtime: [40, 'b64'],
  ctime: [48, 'b64'],
  atimensec: [56, 'u32'],
  mtimensec: [60, 'u32'],
  ctimensec: [64, 'u32'],
  mode: [68, 'u32'],
  unused4: [72, 'u32'],
  uid: [76, 'u32'],
  gid: [80, 'u32'],
  unused5: [84, 'u32'],
});

export const FuseMknodIn = layout('fuse_mknod_in', 16, 'le', {
  mode: [0, 'u32'],
  rdev: [4, 'u32'],
  umask: [8, 'u32'],
  padding: [12, 'u32'],
});
export const FuseMkdirIn = layout('fuse_mkdir_in', 8, 'le', { mode: [0, 'u32'], umask: [4, 'u32'] });
export const FuseRenameIn = layout('fuse_rename_in', 8, 'le', { newdir: [0, 'u64'] });
export const FuseRename2In = layout('fuse_rename2_in', 16, 'le', {
  newdir: [0, 'u64'],
  flags: [8, 'u32'],
  padding: [12, 'u32'],
});
export const FuseLinkIn = layout('fuse_link_in', 8, 'le', { oldnodeid: [0, 'u64'] });
export const FuseOpenIn = layout('fuse_open_in', 8, 'le', { flags: [0, 'u32'], open_flags: [4, 'u32'] });
export const FuseCreateIn = layout('fuse_create_in', 16, 'le', {
  flags: [0, 'u32'],
  mode: [4, 'u32'],
  umask: [8, 'u32'],
  open_flags: [12, 'u32'],
});
export const FuseOpenOut = layout('fuse_open_out', 16, 'le', {
  fh: [0, 'u64'],
  open_flags: [8, 'u32'],
  backing_id: [12, 'i32'],
});
export const FuseReleaseIn = layout('fuse_release_in', 24, 'le', {
  fh: [0, 'u64'],
  flags: [8, 'u32'],
  release_flags: [12, 'u32'],
  lock_owner: [16, 'b64'],
});
export const FuseFlushIn = layout('fuse_flush_in', 24, 'le', {
  fh: [0, 'u64'],
  unused: [8, 'u32'],
  padding: [12, 'u32'],
  lock_owner: [16, 'b64'],
});
export const FuseReadIn = layout('fuse_read_in', 40, 'le', {
  fh: [0, 'u64'],
  offset: [8, 'u64'],
  size: [16, 'u32'],
  read_flags: [20, 'u32'],
  lock_owner: [24, 'b64'],
  flags: [32, 'u32'],
  padding: [36, 'u32'],
});
export const FuseWriteIn = layout('fuse_write_in', 40, 'le', {
  fh: [0, 'u64'],
  offset: [8, 'u64'],
  size: [16, 'u32'],
  write_flags: [20, 'u32'],
  lock_owner: [24, 'b64'],
  flags: [32, 'u32'],
  padding: [36, 'u32'],
});
export const FuseWriteOut = layout('fuse_write_out', 8, 'le', { size: [0, 'u32'], padding: [4, 'u32'] });
export const FuseStatfsOut = layout('fuse_statfs_out', 80, 'le', {
  blocks: [0, 'u64'],
  bfree: [8, 'u64'],
  bavail: [16, 'u64'],
  files: [24, 'u64'],
  ffree: [32, 'u64'],
  bsize: [40, 'u32'],
  namelen: [44, 'u32'],
  frsize: [48, 'u32'],
  padding: [52, 'u32'],
  spare: [56, 'u32', 6],
});
export const FuseFsyncIn = layout('fuse_fsync_in', 16, 'le', {
  fh: [0, 'u64'],
  fsync_flags: [8, 'u32'],
  padding: [12, 'u32'],
});
/** Without FUSE_SETXATTR_EXT only the first eight bytes are sent. */
export const FuseSetxattrIn = layout('fuse_setxattr_in', 16, 'le', {
  size: [0, 'u32'],
  flags: [4, 'u32'],
  setxattr_flags: [8, 'u32'],
  padding: [12, 'u32'],
});
export const FuseGetxattrIn = layout('fuse_getxattr_in', 8, 'le', { size: [0, 'u32'], padding: [4, 'u32'] });
export const FuseGetxattrOut = layout('fuse_getxattr_out', 8, 'le', { size: [0, 'u32'], padding: [4, 'u32'] });
/** `fuse_file_lock` (start, end, type, pid) is at 16. Locks are the kernel's own here: never negotiated. */
export const FuseLkIn = layout('fuse_lk_in', 48, 'le', {
  fh: [0, 'u64'],
  owner: [8, 'b64'],
  lk_start: [16, 'b64'],
  lk_end: [24, 'b64'],
  lk_type: [32, 'u32'],
  lk_pid: [36, 'u32'],
  lk_flags: [40, 'u32'],
  padding: [44, 'u32'],
});
export const FuseAccessIn = layout('fuse_access_in', 8, 'le', { mask: [0, 'u32'], padding: [4, 'u32'] });
export const FuseInterruptIn = layout('fuse_interrupt_in', 8, 'le', { unique: [0, 'b64'] });
export const FuseBmapIn = layout('fuse_bmap_in', 16, 'le', {
  block: [0, 'u64'],
  blocksize: [8, 'u32'],
  padding: [12, 'u32'],
});
export const FuseBmapOut = layout('fuse_bmap_out', 8, 'le', { block: [0, 'u64'] });
export const FuseIoctlIn = layout('fuse_ioctl_in', 32, 'le', {
  fh: [0, 'u64'],
  flags: [8, 'u32'],
  cmd: [12, 'u32'],
  arg: [16, 'b64'],
  in_size: [24, 'u32'],
  out_size: [28, 'u32'],
});
export const FuseIoctlOut = layout('fuse_ioctl_out', 16, 'le', {
  result: [0, 'i32'],
  flags: [4, 'u32'],
  in_iovs: [8, 'u32'],
  out_iovs: [12, 'u32'],
});
export const FuseFallocateIn = layout('fuse_fallocate_in', 32, 'le', {
  fh: [0, 'u64'],
  offset: [8, 'u64'],
  length: [16, 'u64'],
  mode: [24, 'u32'],
  padding: [28, 'u32'],
});
export const FuseLseekIn = layout('fuse_lseek_in', 24, 'le', {
  fh: [0, 'u64'],
  offset: [8, 'u64'],
  whence: [16, 'u32'],
  padding: [20, 'u32'],
});
export const FuseLseekOut = layout('fuse_lseek_out', 8, 'le', { offset: [0, 'u64'] });
export const FuseCopyFileRangeIn = layout('fuse_copy_file_range_in', 56, 'le', {
  fh_in: [0, 'u64'],
  off_in: [8, 'u64'],
  nodeid_out: [16, 'u64'],
  fh_out: [24, 'u64'],
  off_out: [32, 'u64'],
  len: [40, 'u64'],
  flags: [48, 'u64'],
});
export const FuseCopyFileRangeOut = layout('fuse_copy_file_range_out', 8, 'le', { bytes_copied: [0, 'u64'] });
/** The name follows at 24; the record is padded to eight bytes. */
export const FuseDirent = layout('fuse_dirent', 24, 'le', {
  ino: [0, 'u64'],
  off: [8, 'u64'],
  namelen: [16, 'u32'],
  type: [20, 'u32'],
});
/** An entry and a directory entry; the name follows at 152. */
export const FuseDirentplus = layout('fuse_direntplus', 152, 'le', {
  entry_out: [0, 'bytes', 128],
  dirent: [128, 'bytes', 24],
});
