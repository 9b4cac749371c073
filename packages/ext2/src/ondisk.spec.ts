/** The tables against a list typed from the format's documentation, not from the tables (as `xfs_ondisk.h`). */
import {
  Ext2DirEntry, Ext2DxEntry, Ext2DxNode, Ext2DxRoot, Ext2GroupDesc, Ext2Inode, Ext2InodeLarge, Ext2Super, Ext2XattrEntry,
  Ext2XattrHeader, COMPAT, INCOMPAT, RO_COMPAT, dirRecLen, featureNames, recLenFromDisk, recLenToDisk,
} from './ondisk.js';

const SUPER: Readonly<Record<string, readonly [number, number]>> = {
  s_inodes_count: [0, 4], s_blocks_count: [4, 4], s_r_blocks_count: [8, 4], s_free_blocks_count: [12, 4],
  s_free_inodes_count: [16, 4], s_first_data_block: [20, 4], s_log_block_size: [24, 4], s_log_frag_size: [28, 4],
  s_blocks_per_group: [32, 4], s_frags_per_group: [36, 4], s_inodes_per_group: [40, 4], s_mtime: [44, 4],
  s_wtime: [48, 4], s_mnt_count: [52, 2], s_max_mnt_count: [54, 2], s_magic: [56, 2], s_state: [58, 2],
  s_errors: [60, 2], s_minor_rev_level: [62, 2], s_lastcheck: [64, 4], s_checkinterval: [68, 4], s_creator_os: [72, 4],
  s_rev_level: [76, 4], s_def_resuid: [80, 2], s_def_resgid: [82, 2], s_first_ino: [84, 4], s_inode_size: [88, 2],
  s_block_group_nr: [90, 2], s_feature_compat: [92, 4], s_feature_incompat: [96, 4], s_feature_ro_compat: [100, 4],
  s_uuid: [104, 16], s_volume_name: [120, 16], s_last_mounted: [136, 64], s_algorithm_usage_bitmap: [200, 4],
  s_prealloc_blocks: [204, 1], s_prealloc_dir_blocks: [205, 1], s_reserved_gdt_blocks: [206, 2],
  s_journal_uuid: [208, 16], s_journal_inum: [224, 4], s_journal_dev: [228, 4], s_last_orphan: [232, 4],
  s_hash_seed: [236, 16], s_def_hash_version: [252, 1], s_jnl_backup_type: [253, 1], s_desc_size: [254, 2],
  s_default_mount_opts: [256, 4], s_first_meta_bg: [260, 4], s_mkfs_time: [264, 4], s_jnl_blocks: [268, 68],
  s_blocks_count_hi: [336, 4], s_min_extra_isize: [348, 2], s_want_extra_isize: [350, 2], s_flags: [352, 4],
  s_raid_stride: [356, 2], s_mmp_block: [360, 8], s_log_groups_per_flex: [372, 1], s_kbytes_written: [376, 8],
  s_error_count: [404, 4], s_last_error_func: [480, 32], s_mount_opts: [512, 64], s_lpf_ino: [616, 4],
  s_checksum_seed: [624, 4], s_checksum: [1020, 4],
};
const GROUP: Readonly<Record<string, readonly [number, number]>> = {
  bg_block_bitmap: [0, 4], bg_inode_bitmap: [4, 4], bg_inode_table: [8, 4], bg_free_blocks_count: [12, 2],
  bg_free_inodes_count: [14, 2], bg_used_dirs_count: [16, 2], bg_flags: [18, 2], bg_itable_unused: [28, 2],
  bg_checksum: [30, 2],
};
const INODE: Readonly<Record<string, readonly [number, number]>> = {
  i_mode: [0, 2], i_uid: [2, 2], i_size: [4, 4], i_atime: [8, 4], i_ctime: [12, 4], i_mtime: [16, 4], i_dtime: [20, 4],
  i_gid: [24, 2], i_links_count: [26, 2], i_blocks: [28, 4], i_flags: [32, 4], i_osd1: [36, 4], i_block: [40, 60],
  i_generation: [100, 4], i_file_acl: [104, 4], i_size_high: [108, 4], i_faddr: [112, 4], l_i_blocks_hi: [116, 2],
  l_i_file_acl_high: [118, 2], l_i_uid_high: [120, 2], l_i_gid_high: [122, 2],
};
const LARGE: Readonly<Record<string, readonly [number, number]>> = {
  ...INODE, i_extra_isize: [128, 2], i_checksum_hi: [130, 2], i_ctime_extra: [132, 4], i_mtime_extra: [136, 4],
  i_atime_extra: [140, 4], i_crtime: [144, 4], i_crtime_extra: [148, 4], i_version_hi: [152, 4], i_projid: [156, 4],
};

describe('ext2 on-disk tables', () => {
  it.each([
    ['super', Ext2Super, 1024, SUPER],
    ['group descriptor', Ext2GroupDesc, 32, GROUP],
    ['inode', Ext2Inode, 128, INODE],
    ['large inode', Ext2InodeLarge, 160, LARGE],
    ['dir entry', Ext2DirEntry, 8, { inode: [0, 4], rec_len: [4, 2], name_len: [6, 1], file_type: [7, 1] }],
    ['dx root', Ext2DxRoot, 40, {
      dotdot_inode: [12, 4], reserved_zero: [24, 4], hash_version: [28, 1], info_length: [29, 1], indirect_levels: [30, 1],
      unused_flags: [31, 1], limit: [32, 2], count: [34, 2], block: [36, 4],
    }],
    ['dx node', Ext2DxNode, 16, { fake_rec_len: [4, 2], limit: [8, 2], count: [10, 2], block: [12, 4] }],
    ['dx entry', Ext2DxEntry, 8, { hash: [0, 4], block: [4, 4] }],
    ['xattr header', Ext2XattrHeader, 32, { h_magic: [0, 4], h_refcount: [4, 4], h_blocks: [8, 4], h_hash: [12, 4] }],
    ['xattr entry', Ext2XattrEntry, 16, {
      e_name_len: [0, 1], e_name_index: [1, 1], e_value_offs: [2, 2], e_value_block: [4, 4], e_value_size: [8, 4],
      e_hash: [12, 4],
    }],
  ] as const)('%s', (_name, table, size, expected) => {
    expect(table.size).toBe(size);
    const found = new Map(table.fields.map((field) => [field.name, [field.offset, field.length]]));
    for (const [name, place] of Object.entries(expected)) expect([name, found.get(name)]).toEqual([name, place]);
  });

  it('names features', () => {
    expect(featureNames(0x2 | 0x40 | 0x80000000, INCOMPAT, 'I')).toEqual(['filetype', 'extent', 'FEATURE_I31']);
    expect([COMPAT.dir_index, INCOMPAT['64bit'], RO_COMPAT.metadata_csum]).toEqual([0x20, 0x80, 0x400]);
  });

  it('stores a 64 KiB record length as 65535', () => {
    expect([recLenToDisk(65536), recLenFromDisk(65535, 65536), recLenFromDisk(0, 65536), recLenFromDisk(0, 4096)])
      .toEqual([65535, 65536, 65536, 0]);
    expect([1, 4, 5, 255].map(dirRecLen)).toEqual([12, 12, 16, 264]);
  });
});
