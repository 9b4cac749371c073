/**
 * The on-disk structures inside trees: btree blocks, directory blocks, the hashed trees of directories and attributes, remote
 * values and symlinks. All big-endian; checksums little-endian (bytes here).
 */
import { layout } from '@iomap/buffer-cache';

// Btree blocks -------------------------------------------------------------------------------------------------------------

/** Blocks of the trees of an allocation group; version 4 ends at `bb_rightsib`. */
export const BtreeShort = layout('xfs_btree_sblock', 56, 'be', {
  bb_magic: [0, 'u32'],
  bb_level: [4, 'u16'],
  bb_numrecs: [6, 'u16'],
  bb_leftsib: [8, 'u32'],
  bb_rightsib: [12, 'u32'],
  bb_blkno: [16, 'u64'],
  bb_lsn: [24, 'b64'],
  bb_uuid: [32, 'bytes', 16],
  bb_owner: [48, 'u32'],
  bb_crc: [52, 'bytes', 4],
});
export const BTREE_SHORT_V4_BYTES = 16;

/** Blocks of an inode's extent tree; version 4 ends at `bb_rightsib`. */
export const BtreeLong = layout('xfs_btree_lblock', 72, 'be', {
  bb_magic: [0, 'u32'],
  bb_level: [4, 'u16'],
  bb_numrecs: [6, 'u16'],
  bb_leftsib: [8, 'b64'],
  bb_rightsib: [16, 'b64'],
  bb_blkno: [24, 'u64'],
  bb_lsn: [32, 'b64'],
  bb_uuid: [40, 'bytes', 16],
  bb_owner: [56, 'u64'],
  bb_crc: [64, 'bytes', 4],
});
export const BTREE_LONG_V4_BYTES = 24;

/** Magic numbers of btree blocks: version 4, version 5. */
export const BTREE_MAGIC = {
  bno: [0x4142_5442, 0x4142_3342],
  cnt: [0x4142_5443, 0x4142_3343],
  ino: [0x4941_4254, 0x4941_4233],
  fino: [0x4649_4254, 0x4649_4233],
  rmap: [0, 0x524d_4233],
  refc: [0, 0x5233_4643],
  bmap: [0x424d_4150, 0x424d_4133],
} as const;
export type BtreeKind = keyof typeof BTREE_MAGIC;

// Directory data -------------------------------------------------------------------------------------------------------------

/** Head of directory data, block-form and free blocks in version 5. */
export const Dir3BlkHdr = layout('xfs_dir3_blk_hdr', 48, 'be', {
  magic: [0, 'u32'],
  crc: [4, 'bytes', 4],
  blkno: [8, 'u64'],
  lsn: [16, 'b64'],
  uuid: [24, 'bytes', 16],
  owner: [40, 'u64'],
});
export const DIR_MAGIC = {
  block: [0x5844_3242, 0x5844_4233], // XD2B XDB3
  data: [0x5844_3244, 0x5844_4433], // XD2D XDD3
  free: [0x5844_3246, 0x5844_4633], // XD2F XDF3
} as const;
/** Where the three `bestfree` entries are, and the first entry of the block. */
export const DIR2_BESTFREE = 4;
export const DIR3_BESTFREE = 48;
export const DIR2_DATA_HDR_BYTES = 16;
export const DIR3_DATA_HDR_BYTES = 64;
export const DIR_FREE_TAG = 0xffff;

/** At the end of a block-form directory block; the leaf entries lie before it. */
export const DirBlockTail = layout('xfs_dir2_block_tail', 8, 'be', { count: [0, 'u32'], stale: [4, 'u32'] });

export const Dir2Free = layout('xfs_dir2_free_hdr', 16, 'be', {
  magic: [0, 'u32'],
  firstdb: [4, 'u32'],
  nvalid: [8, 'u32'],
  nused: [12, 'u32'],
});
export const Dir3Free = layout('xfs_dir3_free_hdr', 64, 'be', {
  magic: [0, 'u32'],
  owner: [40, 'u64'],
  firstdb: [48, 'u32'],
  nvalid: [52, 'u32'],
  nused: [56, 'u32'],
});

/** Byte offsets in the directory's address space: data, leaves and hash tree, free index. */
export const DIR_SPACE_BYTES = 2 ** 35;
/** An entry's address in a leaf counts units of this. */
export const DIR_ADDRESS_UNIT = 8;

/** `ftype` of a directory entry. */
export const FTYPES = ['unknown', 'file', 'directory', 'char', 'block', 'fifo', 'socket', 'symlink'] as const;

// The hashed tree ------------------------------------------------------------------------------------------------------------

/** Version 4's head of tree and leaf blocks. */
export const DaBlkInfo = layout('xfs_da_blkinfo', 12, 'be', { forw: [0, 'u32'], back: [4, 'u32'], magic: [8, 'u16'] });
export const Da3BlkInfo = layout('xfs_da3_blkinfo', 56, 'be', {
  forw: [0, 'u32'],
  back: [4, 'u32'],
  magic: [8, 'u16'],
  crc: [12, 'bytes', 4],
  blkno: [16, 'u64'],
  lsn: [24, 'b64'],
  uuid: [32, 'bytes', 16],
  owner: [48, 'u64'],
});
export const DA_MAGIC = {
  node: [0xfebe, 0x3ebe],
  leaf1: [0xd2f1, 0x3df1],
  leafn: [0xd2ff, 0x3dff],
  attr: [0xfbee, 0x3bee],
} as const;

/** Offsets of the counts behind the head, and of the entries: version 4, version 5. */
export const DA_NODE = { count: [12, 56], level: [14, 58], entries: [16, 64] } as const;
export const DIR_LEAF = { count: [12, 56], stale: [14, 58], entries: [16, 64] } as const;
export const ATTR_LEAF = {
  count: [12, 56],
  usedbytes: [14, 58],
  firstused: [16, 60],
  holes: [18, 62],
  freemap: [20, 64],
  entries: [32, 80],
} as const;

// Attributes -----------------------------------------------------------------------------------------------------------------

/** Flags of an attribute: where its value is, which name space, not finished. */
export const ATTR = { LOCAL: 0x01, ROOT: 0x02, SECURE: 0x04, PARENT: 0x08, INCOMPLETE: 0x80 } as const;

/** Head of each block of a remote attribute value in version 5. */
export const AttrRemote = layout('xfs_attr3_rmt_hdr', 56, 'be', {
  rm_magic: [0, 'u32'],
  rm_offset: [4, 'u32'],
  rm_bytes: [8, 'u32'],
  rm_crc: [12, 'bytes', 4],
  rm_uuid: [16, 'bytes', 16],
  rm_owner: [32, 'u64'],
  rm_blkno: [40, 'u64'],
  rm_lsn: [48, 'b64'],
});
export const ATTR_REMOTE_MAGIC = 0x5841_524d; // XARM

/** Head of each block of a remote symlink in version 5. */
export const SymlinkRemote = layout('xfs_dsymlink_hdr', 56, 'be', {
  sl_magic: [0, 'u32'],
  sl_offset: [4, 'u32'],
  sl_bytes: [8, 'u32'],
  sl_crc: [12, 'bytes', 4],
  sl_uuid: [16, 'bytes', 16],
  sl_owner: [32, 'u64'],
  sl_blkno: [40, 'u64'],
  sl_lsn: [48, 'b64'],
});
export const SYMLINK_MAGIC = 0x5853_4c4d; // XSLM
/** The longest target. */
export const SYMLINK_MAX = 1024;
export const ATTR_VALUE_MAX = 65_536;
