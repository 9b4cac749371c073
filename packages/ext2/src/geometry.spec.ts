import { FsError } from '@iomap/io';

import {
  gdtBlock,
  groupBlocks,
  groupFirstBlock,
  groupHasSuper,
  groupHead,
  makeGeometry,
} from './geometry.js';
import { checkIncompatFeatures, readOnlyFeatures } from './features.js';
import { decodeSuper } from './super.js';
import { COMPAT, Ext2Super, INCOMPAT, RO_COMPAT } from './ondisk.js';

const init = {
  blockSize: 1024,
  blocksCount: 8193 * 3,
  blocksPerGroup: 8192,
  inodesPerGroup: 2048,
  inodeSize: 128,
  firstIno: 11,
  revision: 1,
  compat: 0,
  incompat: 2,
  roCompat: 1,
  reservedGdtBlocks: 0,
  firstMetaBg: 0,
};

/** A superblock that is right, for tests that break it. */
function goodSuper(): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = Ext2Super.at(bytes);
  view.s_magic = 0xef53;
  view.s_blocks_count = 4096;
  view.s_inodes_count = 512;
  view.s_first_data_block = 1;
  view.s_blocks_per_group = 8192;
  view.s_frags_per_group = 8192;
  view.s_inodes_per_group = 512;
  view.s_rev_level = 1;
  view.s_first_ino = 11;
  view.s_inode_size = 128;
  view.s_feature_incompat = INCOMPAT.filetype;
  return bytes;
}

const outcome = (change: (view: ReturnType<typeof Ext2Super.at>) => void, deviceBytes = 4096 * 1024): string => {
  const bytes = goodSuper();
  change(Ext2Super.at(bytes));
  try {
    decodeSuper(bytes, deviceBytes);
  } catch (error) {
    return error instanceof FsError ? `${error.code} ${error.detail.field ?? ''}` : String(error);
  }
  return 'ok';
};

describe('geometry', () => {
  it('places superblock copies by the sparse_super rule', () => {
    const sparse = makeGeometry({ ...init, blocksCount: 8192 * 400 });
    const groups = Array.from({ length: 350 }, (_, group) => group).filter((group) => groupHasSuper(sparse, group));
    expect(groups).toEqual([0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    expect(groupHasSuper(makeGeometry({ ...init, roCompat: 0 }), 2)).toBe(true);
  });

  it('counts from block 1 with 1 KiB blocks, and cuts the last group short', () => {
    const geometry = makeGeometry({ ...init, blocksCount: 8192 * 2 + 101 });
    expect([groupFirstBlock(geometry, 1), geometry.groupCount, groupBlocks(geometry, 2)]).toEqual([8193, 3, 100]);
  });

  it('places descriptors with meta_bg at the first, second and last group of each meta group', () => {
    const geometry = makeGeometry({ ...init, incompat: 2 | INCOMPAT.meta_bg, blocksCount: 8192 * 100 });
    const withDesc = Array.from({ length: 100 }, (_, group) => group).filter(
      (group) => groupHead(geometry, group).newGdt > 0,
    );
    expect(withDesc).toEqual([0, 1, 31, 32, 33, 63, 64, 65, 95, 96, 97]);
    expect(gdtBlock(geometry, 1)).toBe(1 + 32 * 8192);
    expect(gdtBlock(geometry, 0)).toBe(2);
  });
});

describe('decodeSuper', () => {
  it('takes a good one', () => {
    expect(outcome(() => undefined)).toBe('ok');
  });

  it.each<[string, (view: ReturnType<typeof Ext2Super.at>) => void]>([
    ['EUCLEAN s_magic', (v) => (v.s_magic = 0)],
    ['EUCLEAN s_log_block_size', (v) => (v.s_log_block_size = 7)],
    ['EUCLEAN s_log_frag_size', (v) => (v.s_log_frag_size = 1)],
    ['EUCLEAN s_inode_size', (v) => (v.s_inode_size = 100)],
    ['EUCLEAN s_inode_size', (v) => (v.s_inode_size = 2048)],
    ['EUCLEAN s_first_data_block', (v) => (v.s_first_data_block = 0)],
    ['EUCLEAN s_blocks_per_group', (v) => (v.s_blocks_per_group = 0)],
    ['EUCLEAN s_blocks_per_group', (v) => (v.s_blocks_per_group = 8200)],
    ['EUCLEAN s_frags_per_group', (v) => (v.s_frags_per_group = 1)],
    ['EUCLEAN s_blocks_count', (v) => (v.s_blocks_count = 0)],
    ['EUCLEAN s_blocks_count', (v) => (v.s_blocks_count = 4097)],
    ['EUCLEAN s_inodes_per_group', (v) => (v.s_inodes_per_group = 0)],
    ['EUCLEAN s_inodes_per_group', (v) => (v.s_inodes_per_group = 0xffffffff)],
    ['EUCLEAN s_inodes_count', (v) => (v.s_inodes_count = 511)],
    ['EUCLEAN s_first_ino', (v) => (v.s_first_ino = 3)],
    ['EUCLEAN s_r_blocks_count', (v) => (v.s_r_blocks_count = 5000)],
    ['EOPNOTSUPP s_rev_level', (v) => (v.s_rev_level = 2)],
  ])('refuses: %s', (expected, change) => {
    expect(outcome(change)).toBe(expected);
  });

  it('ignores features and inode size of revision 0', () => {
    const bytes = goodSuper();
    const view = Ext2Super.at(bytes);
    view.s_rev_level = 0;
    view.s_inode_size = 0;
    view.s_first_ino = 0;
    view.s_feature_incompat = 0xffffffff;
    expect(decodeSuper(bytes)).toMatchObject({ inodeSize: 128, firstIno: 11, incompat: 0 });
  });

  it('names what it refuses', () => {
    const refused = (compat: number, incompat: number): string => {
      try {
        checkIncompatFeatures(compat, incompat);
      } catch (error) {
        return (error as FsError).why ?? '';
      }
      return 'none';
    };
    expect(refused(0, INCOMPAT.filetype | INCOMPAT.meta_bg)).toBe('none');
    expect(refused(0, INCOMPAT.extent | INCOMPAT['64bit'] | 0x80000000)).toBe(
      'unsupported features: extent, 64bit, FEATURE_I31',
    );
    expect(refused(COMPAT.has_journal, INCOMPAT.filetype | INCOMPAT.needs_recovery)).toContain('needs_recovery');
    expect(readOnlyFeatures(RO_COMPAT.large_file | RO_COMPAT.metadata_csum | (2 ** 30))).toEqual([
      'metadata_csum',
      'FEATURE_R30',
    ]);
  });
});
