/**
 * The ext2 on-disk structures and constants, in the specification's own names. Little-endian throughout.
 *
 * Fields that only ext4 uses are in the tables too, so that a dump shows them and a checker can say what they hold.
 * `ondisk.spec.ts` holds these tables against a list of its own.
 */
import { layout } from '@iomap/buffer-cache';

/** Byte position of the primary superblock, whatever the block size. */
export const SUPER_POS = 1024;
export const SUPER_BYTES = 1024;
export const EXT2_MAGIC = 0xef53;

export const Ext2Super = layout('ext2_super_block', 1024, 'le', {
  s_inodes_count: [0x00, 'u32'],
  s_blocks_count: [0x04, 'u32'],
  s_r_blocks_count: [0x08, 'u32'],
  s_free_blocks_count: [0x0c, 'u32'],
  s_free_inodes_count: [0x10, 'u32'],
  s_first_data_block: [0x14, 'u32'],
  s_log_block_size: [0x18, 'u32'],
  s_log_frag_size: [0x1c, 'u32'],
  s_blocks_per_group: [0x20, 'u32'],
  s_frags_per_group: [0x24, 'u32'],
  s_inodes_per_group: [0x28, 'u32'],
  s_mtime: [0x2c, 'u32'],
  s_wtime: [0x30, 'u32'],
  s_mnt_count: [0x34, 'u16'],
  s_max_mnt_count: [0x36, 'i16'],
  s_magic: [0x38, 'u16'],
  s_state: [0x3a, 'u16'],
  s_errors: [0x3c, 'u16'],
  s_minor_rev_level: [0x3e, 'u16'],
  s_lastcheck: [0x40, 'u32'],
  s_checkinterval: [0x44, 'u32'],
  s_creator_os: [0x48, 'u32'],
  s_rev_level: [0x4c, 'u32'],
  s_def_resuid: [0x50, 'u16'],
  s_def_resgid: [0x52, 'u16'],
  s_first_ino: [0x54, 'u32'],
  s_inode_size: [0x58, 'u16'],
  s_block_group_nr: [0x5a, 'u16'],
  s_feature_compat: [0x5c, 'u32'],
  s_feature_incompat: [0x60, 'u32'],
  s_feature_ro_compat: [0x64, 'u32'],
  s_uuid: [0x68, 'bytes', 16],
  s_volume_name: [0x78, 'bytes', 16],
  s_last_mounted: [0x88, 'bytes', 64],
  s_algorithm_usage_bitmap: [0xc8, 'u32'],
  s_prealloc_blocks: [0xcc, 'u8'],
  s_prealloc_dir_blocks: [0xcd, 'u8'],
  s_reserved_gdt_blocks: [0xce, 'u16'],
  s_journal_uuid: [0xd0, 'bytes', 16],
  s_journal_inum: [0xe0, 'u32'],
  s_journal_dev: [0xe4, 'u32'],
  s_last_orphan: [0xe8, 'u32'],
  s_hash_seed: [0xec, 'u32', 4],
  s_def_hash_version: [0xfc, 'u8'],
  s_jnl_backup_type: [0xfd, 'u8'],
  s_desc_size: [0xfe, 'u16'],
  s_default_mount_opts: [0x100, 'u32'],
  s_first_meta_bg: [0x104, 'u32'],
  s_mkfs_time: [0x108, 'u32'],
  s_jnl_blocks: [0x10c, 'u32', 17],
  s_blocks_count_hi: [0x150, 'u32'],
  s_r_blocks_count_hi: [0x154, 'u32'],
  s_free_blocks_hi: [0x158, 'u32'],
  s_min_extra_isize: [0x15c, 'u16'],
  s_want_extra_isize: [0x15e, 'u16'],
  s_flags: [0x160, 'u32'],
  s_raid_stride: [0x164, 'u16'],
  s_mmp_update_interval: [0x166, 'u16'],
  s_mmp_block: [0x168, 'b64'],
  s_raid_stripe_width: [0x170, 'u32'],
  s_log_groups_per_flex: [0x174, 'u8'],
  s_checksum_type: [0x175, 'u8'],
  s_encryption_level: [0x176, 'u8'],
  s_kbytes_written: [0x178, 'b64'],
  s_snapshot_inum: [0x180, 'u32'],
  s_snapshot_id: [0x184, 'u32'],
  s_snapshot_r_blocks_count: [0x188, 'b64'],
  s_snapshot_list: [0x190, 'u32'],
  s_error_count: [0x194, 'u32'],
  s_first_error_time: [0x198, 'u32'],
  s_first_error_ino: [0x19c, 'u32'],
  s_first_error_block: [0x1a0, 'b64'],
  s_first_error_func: [0x1a8, 'bytes', 32],
  s_first_error_line: [0x1c8, 'u32'],
  s_last_error_time: [0x1cc, 'u32'],
  s_last_error_ino: [0x1d0, 'u32'],
  s_last_error_line: [0x1d4, 'u32'],
  s_last_error_block: [0x1d8, 'b64'],
  s_last_error_func: [0x1e0, 'bytes', 32],
  s_mount_opts: [0x200, 'bytes', 64],
  s_usr_quota_inum: [0x240, 'u32'],
  s_grp_quota_inum: [0x244, 'u32'],
  s_overhead_clusters: [0x248, 'u32'],
  s_backup_bgs: [0x24c, 'u32', 2],
  s_encrypt_algos: [0x254, 'bytes', 4],
  s_encrypt_pw_salt: [0x258, 'bytes', 16],
  s_lpf_ino: [0x268, 'u32'],
  s_prj_quota_inum: [0x26c, 'u32'],
  s_checksum_seed: [0x270, 'u32'],
  s_checksum: [0x3fc, 'u32'],
});
export type Ext2SuperView = ReturnType<typeof Ext2Super.at>;

export const Ext2GroupDesc = layout('ext2_group_desc', 32, 'le', {
  bg_block_bitmap: [0x00, 'u32'],
  bg_inode_bitmap: [0x04, 'u32'],
  bg_inode_table: [0x08, 'u32'],
  bg_free_blocks_count: [0x0c, 'u16'],
  bg_free_inodes_count: [0x0e, 'u16'],
  bg_used_dirs_count: [0x10, 'u16'],
  bg_flags: [0x12, 'u16'],
  bg_exclude_bitmap: [0x14, 'u32'],
  bg_block_bitmap_csum: [0x18, 'u16'],
  bg_inode_bitmap_csum: [0x1a, 'u16'],
  bg_itable_unused: [0x1c, 'u16'],
  bg_checksum: [0x1e, 'u16'],
});
export type Ext2GroupDescView = ReturnType<typeof Ext2GroupDesc.at>;

const INODE_FIELDS = {
  i_mode: [0x00, 'u16'],
  i_uid: [0x02, 'u16'],
  i_size: [0x04, 'u32'],
  i_atime: [0x08, 'i32'],
  i_ctime: [0x0c, 'i32'],
  i_mtime: [0x10, 'i32'],
  i_dtime: [0x14, 'u32'],
  i_gid: [0x18, 'u16'],
  i_links_count: [0x1a, 'u16'],
  i_blocks: [0x1c, 'u32'],
  i_flags: [0x20, 'u32'],
  i_osd1: [0x24, 'u32'],
  i_block: [0x28, 'u32', 15],
  i_generation: [0x64, 'u32'],
  i_file_acl: [0x68, 'u32'],
  /** High half of the size of a regular file; `i_dir_acl` of old. */
  i_size_high: [0x6c, 'u32'],
  i_faddr: [0x70, 'u32'],
  l_i_blocks_hi: [0x74, 'u16'],
  l_i_file_acl_high: [0x76, 'u16'],
  l_i_uid_high: [0x78, 'u16'],
  l_i_gid_high: [0x7a, 'u16'],
  l_i_checksum_lo: [0x7c, 'u16'],
  l_i_reserved: [0x7e, 'u16'],
} as const;

/** The 128 bytes that every inode has. */
export const Ext2Inode = layout('ext2_inode', 128, 'le', INODE_FIELDS);
export type Ext2InodeView = ReturnType<typeof Ext2Inode.at>;

/** An inode of 160 bytes or more; `i_extra_isize` says which of the fields beyond 128 are there. */
export const Ext2InodeLarge = layout('ext2_inode_large', 160, 'le', {
  ...INODE_FIELDS,
  i_extra_isize: [0x80, 'u16'],
  i_checksum_hi: [0x82, 'u16'],
  i_ctime_extra: [0x84, 'u32'],
  i_mtime_extra: [0x88, 'u32'],
  i_atime_extra: [0x8c, 'u32'],
  i_crtime: [0x90, 'i32'],
  i_crtime_extra: [0x94, 'u32'],
  i_version_hi: [0x98, 'u32'],
  i_projid: [0x9c, 'u32'],
});
export type Ext2InodeLargeView = ReturnType<typeof Ext2InodeLarge.at>;

/** The head of a directory entry; `name_len` bytes of name follow. */
export const Ext2DirEntry = layout('ext2_dir_entry_2', 8, 'le', {
  inode: [0x00, 'u32'],
  rec_len: [0x04, 'u16'],
  name_len: [0x06, 'u8'],
  /** With `filetype`; else the high byte of `name_len`, zero. */
  file_type: [0x07, 'u8'],
});
export type Ext2DirEntryView = ReturnType<typeof Ext2DirEntry.at>;

/** Block 0 of an indexed directory, up to its entries at 32 (the first entry's hash is count and limit). */
export const Ext2DxRoot = layout('dx_root', 40, 'le', {
  dot_inode: [0x00, 'u32'],
  dot_rec_len: [0x04, 'u16'],
  dot_name_len: [0x06, 'u8'],
  dot_file_type: [0x07, 'u8'],
  dot_name: [0x08, 'bytes', 4],
  dotdot_inode: [0x0c, 'u32'],
  dotdot_rec_len: [0x10, 'u16'],
  dotdot_name_len: [0x12, 'u8'],
  dotdot_file_type: [0x13, 'u8'],
  dotdot_name: [0x14, 'bytes', 4],
  reserved_zero: [0x18, 'u32'],
  hash_version: [0x1c, 'u8'],
  info_length: [0x1d, 'u8'],
  indirect_levels: [0x1e, 'u8'],
  unused_flags: [0x1f, 'u8'],
  limit: [0x20, 'u16'],
  count: [0x22, 'u16'],
  block: [0x24, 'u32'],
});

/** An interior block of a directory index: an empty entry that spans the block, then the entries at 8. */
export const Ext2DxNode = layout('dx_node', 16, 'le', {
  fake_inode: [0x00, 'u32'],
  fake_rec_len: [0x04, 'u16'],
  fake_name_len: [0x06, 'u8'],
  fake_file_type: [0x07, 'u8'],
  limit: [0x08, 'u16'],
  count: [0x0a, 'u16'],
  block: [0x0c, 'u32'],
});

export const Ext2DxEntry = layout('dx_entry', 8, 'le', { hash: [0x00, 'u32'], block: [0x04, 'u32'] });

/** Head of an xattr block, one that inodes may share. */
export const Ext2XattrHeader = layout('ext2_xattr_header', 32, 'le', {
  h_magic: [0x00, 'u32'],
  h_refcount: [0x04, 'u32'],
  h_blocks: [0x08, 'u32'],
  h_hash: [0x0c, 'u32'],
  h_checksum: [0x10, 'u32'],
});

/** Head of the xattrs inside a large inode. */
export const Ext2XattrIbodyHeader = layout('ext2_xattr_ibody_header', 4, 'le', { h_magic: [0x00, 'u32'] });

/** One xattr; `e_name_len` bytes of name follow, padded to 4. A zero word ends the list. */
export const Ext2XattrEntry = layout('ext2_xattr_entry', 16, 'le', {
  e_name_len: [0x00, 'u8'],
  e_name_index: [0x01, 'u8'],
  e_value_offs: [0x02, 'u16'],
  e_value_block: [0x04, 'u32'],
  e_value_size: [0x08, 'u32'],
  e_hash: [0x0c, 'u32'],
});

// Features ------------------------------------------------------------------------------------------------------------

/** Names are those of mke2fs and dumpe2fs. */
export const COMPAT = {
  dir_prealloc: 0x1,
  imagic_inodes: 0x2,
  has_journal: 0x4,
  ext_attr: 0x8,
  resize_inode: 0x10,
  dir_index: 0x20,
  lazy_bg: 0x40,
  exclude_inode: 0x80,
  exclude_bitmap: 0x100,
  sparse_super2: 0x200,
  fast_commit: 0x400,
  stable_inodes: 0x800,
  orphan_file: 0x1000,
} as const;

export const INCOMPAT = {
  compression: 0x1,
  filetype: 0x2,
  needs_recovery: 0x4,
  journal_dev: 0x8,
  meta_bg: 0x10,
  extent: 0x40,
  '64bit': 0x80,
  mmp: 0x100,
  flex_bg: 0x200,
  ea_inode: 0x400,
  dirdata: 0x1000,
  metadata_csum_seed: 0x2000,
  large_dir: 0x4000,
  inline_data: 0x8000,
  encrypt: 0x10000,
  casefold: 0x20000,
} as const;

export const RO_COMPAT = {
  sparse_super: 0x1,
  large_file: 0x2,
  btree_dir: 0x4,
  huge_file: 0x8,
  uninit_bg: 0x10,
  dir_nlink: 0x20,
  extra_isize: 0x40,
  has_snapshot: 0x80,
  quota: 0x100,
  bigalloc: 0x200,
  metadata_csum: 0x400,
  replica: 0x800,
  read_only: 0x1000,
  project: 0x2000,
  shared_blocks: 0x4000,
  verity: 0x8000,
  orphan_present: 0x10000,
} as const;

/** The names of the bits in `mask`; a bit without a name is `FEATURE_C12` in dumpe2fs's manner, by `prefix`. */
export function featureNames(mask: number, table: Readonly<Record<string, number>>, prefix: 'C' | 'I' | 'R'): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    const value = (1 << bit) >>> 0;
    if ((mask & value) >>> 0 === 0) continue;
    const known = Object.entries(table).find(([, one]) => one === value);
    names.push(known?.[0] ?? `FEATURE_${prefix}${bit}`);
  }
  return names;
}

// Constants -----------------------------------------------------------------------------------------------------------

export const BAD_INO = 1;
export const ROOT_INO = 2;
export const RESIZE_INO = 7;
export const JOURNAL_INO = 8;
/** First inode that is not reserved, revision 0; later `s_first_ino`. */
export const GOOD_OLD_FIRST_INO = 11;
export const GOOD_OLD_INODE_SIZE = 128;
export const GOOD_OLD_REV = 0;
export const DYNAMIC_REV = 1;

/** `s_state` bits. */
export const STATE_VALID = 0x1;
export const STATE_ERROR = 0x2;
/** `s_errors`. */
export const ERRORS_CONTINUE = 1;
export const ERRORS_RO = 2;
export const ERRORS_PANIC = 3;
/** `s_flags` bits: which `char` the directory hash was computed with. */
export const FLAGS_SIGNED_HASH = 0x1;
export const FLAGS_UNSIGNED_HASH = 0x2;
export const FLAGS_TEST_FILESYS = 0x4;
/** `s_creator_os` values. */
export const OS_LINUX = 0;
export const OS_HURD = 1;

/** Slots of `i_block`. */
export const NDIR_BLOCKS = 12;
export const IND_BLOCK = 12;
export const DIND_BLOCK = 13;
export const TIND_BLOCK = 14;
/** A symlink of this many bytes or more has a block; a shorter one lives in `i_block`. */
export const SLOW_SYMLINK_BYTES = 60;

/** `i_flags` bits. */
export const SECRM_FL = 0x1;
export const UNRM_FL = 0x2;
export const COMPR_FL = 0x4;
export const SYNC_FL = 0x8;
export const IMMUTABLE_FL = 0x10;
export const APPEND_FL = 0x20;
export const NODUMP_FL = 0x40;
export const NOATIME_FL = 0x80;
export const IMAGIC_FL = 0x2000;
export const INDEX_FL = 0x1000;
export const JOURNAL_DATA_FL = 0x4000;
export const NOTAIL_FL = 0x8000;
export const DIRSYNC_FL = 0x10000;
export const TOPDIR_FL = 0x20000;
export const EXTENTS_FL = 0x80000;
export const EA_INODE_FL = 0x200000;
export const INLINE_DATA_FL = 0x10000000;

/** Types in directory entries, with `filetype`. */
export const FT_UNKNOWN = 0;
export const FT_REG_FILE = 1;
export const FT_DIR = 2;
export const FT_CHRDEV = 3;
export const FT_BLKDEV = 4;
export const FT_FIFO = 5;
export const FT_SOCK = 6;
export const FT_SYMLINK = 7;
/** Exclusive. */
export const FT_MAX = 8;

/** Type bits of `i_mode`. */
export const IFMT = 0o170000;
export const IFIFO = 0o010000;
export const IFCHR = 0o020000;
export const IFDIR = 0o040000;
export const IFBLK = 0o060000;
export const IFREG = 0o100000;
export const IFLNK = 0o120000;
export const IFSOCK = 0o140000;

/** File type of a directory entry, by mode. */
export function fileTypeOfMode(mode: number): number {
  switch (mode & IFMT) {
    case IFREG:
      return FT_REG_FILE;
    case IFDIR:
      return FT_DIR;
    case IFCHR:
      return FT_CHRDEV;
    case IFBLK:
      return FT_BLKDEV;
    case IFIFO:
      return FT_FIFO;
    case IFSOCK:
      return FT_SOCK;
    case IFLNK:
      return FT_SYMLINK;
    default:
      return FT_UNKNOWN;
  }
}

export const NAME_LEN_MAX = 255;
/** Bytes of an entry with a name of `nameLength`. */
export const dirRecLen = (nameLength: number): number => (nameLength + 8 + 3) & ~3;
/** The stored form of a 64 KiB record length, which does not fit 16 bits. */
export const REC_LEN_MAX = 65535;
/** `rec_len` as bytes; 0 and 65535 stand for a whole 64 KiB block. */
export const recLenFromDisk = (stored: number, blockSize: number): number =>
  blockSize >= 65536 && (stored === REC_LEN_MAX || stored === 0) ? 65536 : stored;
export const recLenToDisk = (length: number): number => (length === 65536 ? REC_LEN_MAX : length);

export const LINK_MAX = 32000;

/** Hash versions of a directory index. */
export const HASH_LEGACY = 0;
export const HASH_HALF_MD4 = 1;
export const HASH_TEA = 2;
export const HASH_LEGACY_UNSIGNED = 3;
export const HASH_HALF_MD4_UNSIGNED = 4;
export const HASH_TEA_UNSIGNED = 5;

export const XATTR_MAGIC = 0xea020000;
export const XATTR_REFCOUNT_MAX = 1024;
export const XATTR_INDEX_USER = 1;
export const XATTR_INDEX_POSIX_ACL_ACCESS = 2;
export const XATTR_INDEX_POSIX_ACL_DEFAULT = 3;
export const XATTR_INDEX_TRUSTED = 4;
export const XATTR_INDEX_LUSTRE = 5;
export const XATTR_INDEX_SECURITY = 6;
export const XATTR_INDEX_SYSTEM = 7;

/** Byte limits of the format. */
export const BLOCK_SIZE_MIN = 1024;
export const BLOCK_SIZE_MAX = 65536;
export const DESC_BYTES = 32;
