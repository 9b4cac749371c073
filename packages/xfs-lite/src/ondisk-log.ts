/**
 * The log's structures. Records and operations are big-endian; what a transaction carries is in the byte order of the machine that
 * wrote it (`h_fmt`; all that Linux runs on today but s390 and such are little-endian), except for images of blocks.
 */
import { layout } from '@iomap/buffer-cache';

/** The log's unit: a "basic block". */
export const BB = 512;
export const REC_MAGIC = 0xfeed_babe;
/** Data of a record whose first words one header can keep: 64 basic blocks. */
export const HEADER_CYCLE_BYTES = 32_768;
export const RECORD_BYTES_MAX = 256 * 1024;
/** In-core records that may be in flight at once. */
export const RECORDS_IN_FLIGHT = 8;
export const FORMAT_LITTLE_ENDIAN = 1;

export const RecHeader = layout('xlog_rec_header', 328, 'be', {
  h_magicno: [0, 'u32'],
  h_cycle: [4, 'u32'],
  h_version: [8, 'u32'],
  h_len: [12, 'u32'],
  h_lsn: [16, 'b64'],
  h_tail_lsn: [24, 'b64'],
  h_crc: [32, 'bytes', 4],
  h_prev_block: [36, 'u32'],
  h_num_logops: [40, 'u32'],
  h_cycle_data: [44, 'u32', 64],
  h_fmt: [300, 'u32'],
  h_fs_uuid: [304, 'bytes', 16],
  h_size: [320, 'u32'],
});
/** Bytes of a header that its checksum covers: as compiled for 64 and for 32 bits. */
export const HEADER_SUM_BYTES = [328, 324] as const;
/** Each further header of a long record: its cycle, and 64 first words. */
export const EXT_HEADER_BYTES = 260;

export const OP_BYTES = 12;
/** Bits of `oh_flags`. */
export const OP = { START: 0x01, COMMIT: 0x02, CONTINUE: 0x04, WAS_CONT: 0x08, END: 0x10, UNMOUNT: 0x20 } as const;
/** `oh_clientid` of a transaction and of the log itself. */
export const CLIENT_TRANSACTION = 0x69;
export const CLIENT_LOG = 0xaa;
export const TRANS_MAGIC = 0x5452_414e;
export const TRANS_HEADER_BYTES = 16;

/** Types of items. */
export const ITEM = {
  EFI: 0x1236,
  EFD: 0x1237,
  IUNLINK: 0x1238,
  INODE: 0x123b,
  BUF: 0x123c,
  DQUOT: 0x123d,
  QUOTAOFF: 0x123e,
  ICREATE: 0x123f,
  RUI: 0x1240,
  RUD: 0x1241,
  CUI: 0x1242,
  CUD: 0x1243,
  BUI: 0x1244,
  BUD: 0x1245,
  ATTRI: 0x1246,
  ATTRD: 0x1247,
  XMI: 0x1248,
  XMD: 0x1249,
} as const;

export const BufFormat = layout('xfs_buf_log_format', 20, 'le', {
  blf_type: [0, 'u16'],
  blf_size: [2, 'u16'],
  blf_flags: [4, 'u16'],
  /** Basic blocks. */
  blf_len: [6, 'u16'],
  blf_blkno: [8, 'u64'],
  /** Words of the map that follows: a bit for each 128 bytes. */
  blf_map_size: [16, 'u32'],
});
export const BLF = { INODE_BUF: 1, CANCEL: 2, UDQUOT_BUF: 4, PDQUOT_BUF: 8, GDQUOT_BUF: 16 } as const;
export const BLF_CHUNK = 128;

export const InodeFormat = layout('xfs_inode_log_format', 56, 'le', {
  ilf_type: [0, 'u16'],
  ilf_size: [2, 'u16'],
  ilf_fields: [4, 'u32'],
  ilf_asize: [8, 'u16'],
  ilf_dsize: [10, 'u16'],
  ilf_ino: [16, 'u64'],
  ilf_rdev: [24, 'u32'],
  ilf_blkno: [40, 'u64'],
  ilf_len: [48, 'u32'],
  ilf_boffset: [52, 'u32'],
});
export const ILOG = { CORE: 1, DDATA: 2, DEXT: 4, DBROOT: 8, DEV: 0x10, ADATA: 0x40, AEXT: 0x80, ABROOT: 0x100, DOWNER: 0x200, AOWNER: 0x400 } as const;

/** New inodes, written as zeroes with an identity. Its numbers are big-endian in any log. */
export const IcreateFormat = layout('xfs_icreate_log', 28, 'be', {
  icl_ag: [4, 'u32'],
  icl_agbno: [8, 'u32'],
  icl_count: [12, 'u32'],
  icl_isize: [16, 'u32'],
  icl_length: [20, 'u32'],
  icl_gen: [24, 'u32'],
});

export const DquotFormat = layout('xfs_dq_logformat', 24, 'le', {
  qlf_type: [0, 'u16'],
  qlf_size: [2, 'u16'],
  qlf_id: [4, 'u32'],
  qlf_blkno: [8, 'u64'],
  qlf_len: [16, 'u32'],
  qlf_boffset: [20, 'u32'],
});

/** Head of every intent and done item: they pair by id. */
export const IntentFormat = layout('xfs_intent_log_format', 16, 'le', {
  type: [0, 'u16'],
  size: [2, 'u16'],
  nextents: [4, 'u32'],
  id: [8, 'b64'],
});
/** One mapping of a BUI. */
export const MapExtent = layout('xfs_map_extent', 32, 'le', {
  me_owner: [0, 'u64'],
  me_startblock: [8, 'u64'],
  me_startoff: [16, 'u64'],
  me_len: [24, 'u32'],
  me_flags: [28, 'u32'],
});
export const ME = { MAP: 1, UNMAP: 2, TYPE: 0xff, UNWRITTEN: 2 ** 30, ATTR_FORK: 2 ** 31 } as const;
/** One extent of a CUI. */
export const PhysExtent = layout('xfs_phys_extent', 16, 'le', { pe_startblock: [0, 'u64'], pe_len: [8, 'u32'], pe_flags: [12, 'u32'] });
export const PE = { INCREASE: 1, DECREASE: 2, TYPE: 0xff } as const;

export const ExchangeFormat = layout('xfs_xmi_log_format', 88, 'le', {
  xmi_type: [0, 'u16'],
  xmi_id: [8, 'b64'],
  xmi_inode1: [16, 'u64'],
  xmi_inode2: [24, 'u64'],
  xmi_startoff1: [40, 'u64'],
  xmi_startoff2: [48, 'u64'],
  xmi_blockcount: [56, 'u64'],
  xmi_flags: [64, 'u64'],
  xmi_isize1: [72, 'u64'],
  xmi_isize2: [80, 'u64'],
});
