/**
 * The on-disk structures of XFS that stand by themselves: superblock, allocation group headers, inodes. Big-endian, but for
 * checksums, which are little-endian (and so appear here as bytes). Names are the kernel's; SPEC.md explains them.
 *
 * Each structure is declared once, here and in ondisk-trees.ts and ondisk-log.ts; `ondisk.spec.ts` holds the tables against a list
 * of its own and against `xfs_db`.
 */
import { layout } from '@iomap/buffer-cache';

// Superblock ---------------------------------------------------------------------------------------------------------------

export const SB_MAGIC = 0x5846_5342; // "XFSB"
export const SB_BYTES = 264;

export const XfsSuper = layout('xfs_dsb', SB_BYTES, 'be', {
  sb_magicnum: [0, 'u32'],
  sb_blocksize: [4, 'u32'],
  sb_dblocks: [8, 'u64'],
  sb_rblocks: [16, 'u64'],
  sb_rextents: [24, 'u64'],
  sb_uuid: [32, 'bytes', 16],
  sb_logstart: [48, 'u64'],
  sb_rootino: [56, 'u64'],
  sb_rbmino: [64, 'b64'],
  sb_rsumino: [72, 'b64'],
  sb_rextsize: [80, 'u32'],
  sb_agblocks: [84, 'u32'],
  sb_agcount: [88, 'u32'],
  sb_rbmblocks: [92, 'u32'],
  sb_logblocks: [96, 'u32'],
  sb_versionnum: [100, 'u16'],
  sb_sectsize: [102, 'u16'],
  sb_inodesize: [104, 'u16'],
  sb_inopblock: [106, 'u16'],
  sb_fname: [108, 'bytes', 12],
  sb_blocklog: [120, 'u8'],
  sb_sectlog: [121, 'u8'],
  sb_inodelog: [122, 'u8'],
  sb_inopblog: [123, 'u8'],
  sb_agblklog: [124, 'u8'],
  sb_rextslog: [125, 'u8'],
  sb_inprogress: [126, 'u8'],
  sb_imax_pct: [127, 'u8'],
  sb_icount: [128, 'u64'],
  sb_ifree: [136, 'u64'],
  sb_fdblocks: [144, 'u64'],
  sb_frextents: [152, 'u64'],
  sb_uquotino: [160, 'b64'],
  sb_gquotino: [168, 'b64'],
  sb_qflags: [176, 'u16'],
  sb_flags: [178, 'u8'],
  sb_shared_vn: [179, 'u8'],
  sb_inoalignmt: [180, 'u32'],
  sb_unit: [184, 'u32'],
  sb_width: [188, 'u32'],
  sb_dirblklog: [192, 'u8'],
  sb_logsectlog: [193, 'u8'],
  sb_logsectsize: [194, 'u16'],
  sb_logsunit: [196, 'u32'],
  sb_features2: [200, 'u32'],
  sb_bad_features2: [204, 'u32'],
  sb_features_compat: [208, 'u32'],
  sb_features_ro_compat: [212, 'u32'],
  sb_features_incompat: [216, 'u32'],
  sb_features_log_incompat: [220, 'u32'],
  sb_crc: [224, 'bytes', 4],
  sb_spino_align: [228, 'u32'],
  sb_pquotino: [232, 'b64'],
  sb_lsn: [240, 'b64'],
  sb_meta_uuid: [248, 'bytes', 16],
});

/** Bits of `sb_versionnum`; the low four are the version, 4 or 5. */
export const VERSION = {
  ATTR: 0x0010,
  NLINK: 0x0020,
  QUOTA: 0x0040,
  ALIGN: 0x0080,
  DALIGN: 0x0100,
  SHARED: 0x0200,
  LOGV2: 0x0400,
  SECTOR: 0x0800,
  EXTFLG: 0x1000,
  DIRV2: 0x2000,
  BORG: 0x4000,
  MOREBITS: 0x8000,
} as const;
/** Bits of `sb_features2`. */
export const FEATURES2 = { LAZYSBCOUNT: 0x02, ATTR2: 0x08, PARENT: 0x10, PROJID32: 0x80, CRC: 0x100, FTYPE: 0x200 } as const;
export const RO_COMPAT = { finobt: 1, rmapbt: 2, reflink: 4, inobtcount: 8 } as const;
export const INCOMPAT = {
  ftype: 0x01,
  spinodes: 0x02,
  meta_uuid: 0x04,
  bigtime: 0x08,
  needsrepair: 0x10,
  nrext64: 0x20,
  exchrange: 0x40,
  parent: 0x80,
  metadir: 0x100,
  zoned: 0x200,
  zone_gaps: 0x400,
} as const;
export const LOG_INCOMPAT = { larp: 1 } as const;

// Allocation group headers: sectors 1 to 3 of each group -----------------------------------------------------------------------

export const AGF_MAGIC = 0x5841_4746;
export const XfsAgf = layout('xfs_agf', 224, 'be', {
  agf_magicnum: [0, 'u32'],
  agf_versionnum: [4, 'u32'],
  agf_seqno: [8, 'u32'],
  agf_length: [12, 'u32'],
  agf_bno_root: [16, 'u32'],
  agf_cnt_root: [20, 'u32'],
  agf_rmap_root: [24, 'u32'],
  agf_bno_level: [28, 'u32'],
  agf_cnt_level: [32, 'u32'],
  agf_rmap_level: [36, 'u32'],
  agf_flfirst: [40, 'u32'],
  agf_fllast: [44, 'u32'],
  agf_flcount: [48, 'u32'],
  agf_freeblks: [52, 'u32'],
  agf_longest: [56, 'u32'],
  agf_btreeblks: [60, 'u32'],
  agf_uuid: [64, 'bytes', 16],
  agf_rmap_blocks: [80, 'u32'],
  agf_refcount_blocks: [84, 'u32'],
  agf_refcount_root: [88, 'u32'],
  agf_refcount_level: [92, 'u32'],
  agf_lsn: [208, 'b64'],
  agf_crc: [216, 'bytes', 4],
});

export const AGI_MAGIC = 0x5841_4749;
export const AGI_BUCKETS = 64;
export const XfsAgi = layout('xfs_agi', 344, 'be', {
  agi_magicnum: [0, 'u32'],
  agi_versionnum: [4, 'u32'],
  agi_seqno: [8, 'u32'],
  agi_length: [12, 'u32'],
  agi_count: [16, 'u32'],
  agi_root: [20, 'u32'],
  agi_level: [24, 'u32'],
  agi_freecount: [28, 'u32'],
  agi_newino: [32, 'u32'],
  agi_dirino: [36, 'u32'],
  agi_unlinked: [40, 'u32', AGI_BUCKETS],
  agi_uuid: [296, 'bytes', 16],
  agi_crc: [312, 'bytes', 4],
  agi_lsn: [320, 'b64'],
  agi_free_root: [328, 'u32'],
  agi_free_level: [332, 'u32'],
  agi_iblocks: [336, 'u32'],
  agi_fblocks: [340, 'u32'],
});

export const AGFL_MAGIC = 0x5841_464c;
/** Followed by the list: 32-bit block numbers up to the end of the sector. */
export const XfsAgfl = layout('xfs_agfl', 36, 'be', {
  agfl_magicnum: [0, 'u32'],
  agfl_seqno: [4, 'u32'],
  agfl_uuid: [8, 'bytes', 16],
  agfl_lsn: [24, 'b64'],
  agfl_crc: [32, 'bytes', 4],
});

export const NULL_AGBLOCK = 0xffff_ffff;
export const NULL_AGINO = 0xffff_ffff;

// Inodes -------------------------------------------------------------------------------------------------------------------

export const DINODE_MAGIC = 0x494e; // "IN"
/** Bytes before the forks: versions 1 and 2, version 3. */
export const DINODE_V2_BYTES = 100;
export const DINODE_BYTES = 176;

export const XfsDinode = layout('xfs_dinode', DINODE_BYTES, 'be', {
  di_magic: [0, 'u16'],
  di_mode: [2, 'u16'],
  di_version: [4, 'u8'],
  di_format: [5, 'u8'],
  di_onlink: [6, 'u16'],
  di_uid: [8, 'u32'],
  di_gid: [12, 'u32'],
  di_nlink: [16, 'u32'],
  di_projid_lo: [20, 'u16'],
  di_projid_hi: [22, 'u16'],
  /** With nrext64; else padding and the flush counter of versions 1 and 2. */
  di_big_nextents: [24, 'b64'],
  di_atime: [32, 'b64'],
  di_mtime: [40, 'b64'],
  di_ctime: [48, 'b64'],
  di_size: [56, 'b64'],
  di_nblocks: [64, 'b64'],
  di_extsize: [72, 'u32'],
  /** With nrext64: `di_big_anextents`. */
  di_nextents: [76, 'u32'],
  di_anextents: [80, 'u16'],
  di_forkoff: [82, 'u8'],
  di_aformat: [83, 'u8'],
  di_dmevmask: [84, 'u32'],
  di_dmstate: [88, 'u16'],
  di_flags: [90, 'u16'],
  di_gen: [92, 'u32'],
  di_next_unlinked: [96, 'u32'],
  di_crc: [100, 'bytes', 4],
  di_changecount: [104, 'b64'],
  di_lsn: [112, 'b64'],
  di_flags2: [120, 'b64'],
  di_cowextsize: [128, 'u32'],
  di_crtime: [144, 'b64'],
  di_ino: [152, 'b64'],
  di_uuid: [160, 'bytes', 16],
});

/** Values of `di_format` and `di_aformat`. */
export const FORMAT = { DEV: 0, LOCAL: 1, EXTENTS: 2, BTREE: 3, UUID: 4 } as const;

/** Bits of `di_flags`. */
export const DIFLAG = {
  REALTIME: 0x0001,
  PREALLOC: 0x0002,
  NEWRTBM: 0x0004,
  IMMUTABLE: 0x0008,
  APPEND: 0x0010,
  SYNC: 0x0020,
  NOATIME: 0x0040,
  NODUMP: 0x0080,
  RTINHERIT: 0x0100,
  PROJINHERIT: 0x0200,
  NOSYMLINKS: 0x0400,
  EXTSIZE: 0x0800,
  EXTSZINHERIT: 0x1000,
  NODEFRAG: 0x2000,
  FILESTREAM: 0x4000,
} as const;
/** Bits of the low word of `di_flags2`. */
export const DIFLAG2 = { DAX: 0x01, REFLINK: 0x02, COWEXTSIZE: 0x04, BIGTIME: 0x08, NREXT64: 0x10, METADATA: 0x20 } as const;

/** One mapping of a fork, packed in 128 bits: flag 1, file block 54, block 52, count 21. */
export const BMBT_REC_BYTES = 16;
