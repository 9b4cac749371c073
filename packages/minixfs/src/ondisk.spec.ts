import type { FieldInfo } from '@iomap/buffer-cache';
import { Minix3Super, MinixInodeV1, MinixInodeV2, MinixSuper } from './ondisk.js';

/** Typed in from Linux's headers: name, offset, bytes. */
const SUPER = [
  ['s_ninodes', 0, 2], ['s_nzones', 2, 2], ['s_imap_blocks', 4, 2], ['s_zmap_blocks', 6, 2], ['s_firstdatazone', 8, 2],
  ['s_log_zone_size', 10, 2], ['s_max_size', 12, 4], ['s_magic', 16, 2], ['s_state', 18, 2], ['s_zones', 20, 4],
];
const SUPER3 = [
  ['s_ninodes', 0, 4], ['s_pad0', 4, 2], ['s_imap_blocks', 6, 2], ['s_zmap_blocks', 8, 2], ['s_firstdatazone', 10, 2],
  ['s_log_zone_size', 12, 2], ['s_pad1', 14, 2], ['s_max_size', 16, 4], ['s_zones', 20, 4], ['s_magic', 24, 2],
  ['s_pad2', 26, 2], ['s_blocksize', 28, 2], ['s_disk_version', 30, 1],
];
const INODE1 = [
  ['i_mode', 0, 2], ['i_uid', 2, 2], ['i_size', 4, 4], ['i_time', 8, 4], ['i_gid', 12, 1], ['i_nlinks', 13, 1], ['i_zone', 14, 18],
];
const INODE2 = [
  ['i_mode', 0, 2], ['i_nlinks', 2, 2], ['i_uid', 4, 2], ['i_gid', 6, 2], ['i_size', 8, 4], ['i_atime', 12, 4],
  ['i_mtime', 16, 4], ['i_ctime', 20, 4], ['i_zone', 24, 40],
];

describe('minix on disk', () => {
  it.each([
    ['minix_super_block', MinixSuper, 24, SUPER],
    ['minix3_super_block', Minix3Super, 31, SUPER3],
    ['minix_inode', MinixInodeV1, 32, INODE1],
    ['minix2_inode', MinixInodeV2, 64, INODE2],
  ] as const)('%s is as the headers have it', (name, both, size, fields) => {
    for (const order of ['le', 'be'] as const) {
      const table = both[order];
      expect([table.name, table.size, table.order]).toEqual([name, size, order]);
      expect(table.fields.map((field: FieldInfo) => [field.name, field.offset, field.length])).toEqual(fields);
    }
  });

  it('reads in one order what it wrote, and nothing of it in the other', () => {
    const bytes = new Uint8Array(64).fill(0xa5);
    const view = MinixInodeV2.be.at(bytes);
    view.i_size = 0x01020304;
    view.i_zone.set(9, 0x0a0b0c0d);
    expect([...bytes.subarray(8, 12)]).toEqual([1, 2, 3, 4]);
    expect(MinixInodeV2.le.at(bytes).i_size).toBe(0x04030201);
    expect([...bytes.subarray(60, 64)]).toEqual([10, 11, 12, 13]);
    expect(bytes[7]).toBe(0xa5);
  });
});
