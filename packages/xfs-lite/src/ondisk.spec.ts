import { oracle, describeWithOracle, removeScratch, scratchDir } from '@iomap/conformance';
import { closeSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { XfsAgf, XfsAgfl, XfsAgi, XfsDinode, XfsSuper } from './ondisk.js';
import { AttrRemote, BtreeLong, BtreeShort, Da3BlkInfo, Dir3BlkHdr, Dir3Free, SymlinkRemote } from './ondisk-trees.js';

/** From the specification, typed in again: sizes, and some offsets. */
describe('struct tables', () => {
  it.each([
    [XfsSuper, 264, { sb_uuid: 32, sb_agblocks: 84, sb_versionnum: 100, sb_blocklog: 120, sb_icount: 128, sb_features2: 200, sb_crc: 224, sb_meta_uuid: 248 }],
    [XfsAgf, 224, { agf_bno_root: 16, agf_flfirst: 40, agf_uuid: 64, agf_refcount_root: 88, agf_lsn: 208, agf_crc: 216 }],
    [XfsAgi, 344, { agi_unlinked: 40, agi_uuid: 296, agi_crc: 312, agi_lsn: 320, agi_free_root: 328, agi_fblocks: 340 }],
    [XfsAgfl, 36, { agfl_uuid: 8, agfl_crc: 32 }],
    [XfsDinode, 176, { di_size: 56, di_nextents: 76, di_forkoff: 82, di_flags: 90, di_next_unlinked: 96, di_crc: 100, di_flags2: 120, di_crtime: 144, di_uuid: 160 }],
    [BtreeShort, 56, { bb_blkno: 16, bb_owner: 48, bb_crc: 52 }],
    [BtreeLong, 72, { bb_blkno: 24, bb_owner: 56, bb_crc: 64 }],
    [Dir3BlkHdr, 48, { crc: 4, blkno: 8, owner: 40 }],
    [Dir3Free, 64, { firstdb: 48, nused: 56 }],
    [Da3BlkInfo, 56, { magic: 8, crc: 12, owner: 48 }],
    [AttrRemote, 56, { rm_crc: 12, rm_owner: 32, rm_lsn: 48 }],
    [SymlinkRemote, 56, { sl_crc: 12, sl_owner: 32, sl_blkno: 40 }],
  ])('%#', (table, size, offsets) => {
    expect(table.size).toBe(size);
    expect(table.offsets).toMatchObject(offsets);
  });
});

/** The fields that xfs_db prints, under the table's prefix. */
function printed(image: string, where: string, prefix: string): Map<string, string> {
  const text = oracle('xfs-db').run(['-r', '-c', where, '-c', 'p', image], { expect: [0] }).stdout;
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const found = /^(?:core\.|v3\.)?([a-z0-9_]+) = (\S+)/.exec(line);
    if (found !== null) fields.set(`${prefix}${found[1] ?? ''}`, found[2] ?? '');
  }
  return fields;
}

describeWithOracle(['mkfs-xfs', 'xfs-db'], 'struct tables against xfs_db', () => {
  it('reads the fields that it prints', () => {
    const dir = scratchDir('iomap-xfs');
    try {
      const image = join(dir, 'image');
      const made = openSync(image, 'w');
      ftruncateSync(made, 400 * 2 ** 20);
      closeSync(made);
      oracle('mkfs-xfs').run(['-q', '-f', '-L', 'tables', '-m', 'rmapbt=1', image], { expect: [0] });
      const bytes = new Uint8Array(1024 * 1024);
      const fd = openSync(image, 'r');
      readSync(fd, bytes, 0, bytes.length, 0);
      closeSync(fd);
      const places = [
        ['sb 0', 'sb_', XfsSuper, 0],
        ['agf 0', 'agf_', XfsAgf, 512],
        ['agi 0', 'agi_', XfsAgi, 1024],
        ['inode 128', 'di_', XfsDinode, 128 * 512],
      ] as const;
      const counts = places.map(([where, prefix, table, pos]) => {
        const values = (table as typeof XfsSuper).dump((table as typeof XfsSuper).at(bytes, pos));
        const fields = printed(image, where, prefix);
        let compared = 0;
        for (const [name, value] of Object.entries(values)) {
          const theirs = fields.get(name);
          if (typeof value !== 'number' || theirs === undefined || !/^(0x[0-9a-f]+|\d+)$/.test(theirs)) continue;
          expect([name, value]).toEqual([name, Number(name === 'di_mode' ? `0o${theirs.slice(1)}` : theirs)]);
          compared++;
        }
        return compared;
      });
      expect(counts.every((count) => count >= 10)).toBe(true);
    } finally {
      removeScratch(dir);
    }
  });
});
