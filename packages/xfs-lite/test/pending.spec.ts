import { describeWithOracle, poolBytes, removeScratch, runTool, scratchDir, withLoopMount } from '@iomap/conformance';
import { FsError, runSync } from '@iomap/io';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fsbToAg, fsbToAgb, type SuperInfo } from '../src/super.js';
import { ITEM, PE } from '../src/ondisk-log.js';
import { pendingOf } from '../src/log/pending.js';
import type { LogItem } from '../src/log/transactions.js';
import { mkfsXfs, ourMap, withMount } from './driver.js';

/** An unfinished intent as it lies in the log of a 64-bit little-endian machine. */
function intent(type: number, extents: readonly { readonly fsb: number; readonly count: number; readonly flags: number }[]): LogItem {
  const region = new Uint8Array(16 + extents.length * 16);
  const view = new DataView(region.buffer, region.byteOffset, region.byteLength);
  view.setUint16(0, type, true);
  view.setUint16(2, 1, true);
  view.setUint32(4, extents.length, true);
  for (const [i, { fsb, count, flags }] of extents.entries()) {
    view.setBigUint64(16 + i * 16, BigInt(fsb), true);
    view.setUint32(24 + i * 16, count, true);
    view.setUint32(28 + i * 16, flags, true);
  }
  return { type, total: 1, regions: [region] };
}

/** Filesystem block of a byte position. */
const toFsb = (info: SuperInfo, pos: number): number => {
  const block = pos / info.blockSize;
  const ag = Math.floor(block / info.agBlocks);
  return ag * 2 ** info.agBlkLog + (block - ag * info.agBlocks);
};

describeWithOracle(['mkfs-xfs', 'loop-mount', 'xfs-io'], 'space that the log promised', () => {
  it('is in the map: counts of sharing go up and down', () => {
    const dir = scratchDir('iomap-xfs');
    try {
      const image = join(dir, 'image');
      mkfsXfs(image, 320 * 2 ** 20, []);
      withLoopMount(image, { type: 'xfs' }, (mounted) => {
        writeFileSync(join(mounted, 'a'), poolBytes(1, 64 * 4096));
        runTool('sync', [mounted], { expect: [0] });
        runTool('cp', ['--reflink=always', join(mounted, 'a'), join(mounted, 'b')], { expect: [0] });
      });
      withMount(image, (fs) => {
        const { volume } = fs;
        const { info } = volume;
        const inode = runSync(fs.readInode(runSync(fs.lookup(runSync(fs.readInode(fs.rootIno)), 'a'))));
        const kinds = (): string[] => ourMap(fs, inode).map(({ logical, length, kind }) => `${logical / 4096}+${length / 4096} ${kind}`);
        expect(kinds()).toEqual(['0+64 shared']);
        const fsb = toFsb(info, ourMap(fs, inode)[0]?.physical ?? 0);
        const down = { fsb: fsb + 10, count: 20, flags: PE.DECREASE };
        volume.pending = pendingOf([intent(ITEM.CUI, [down])], info);
        expect(volume.pending?.refs).toEqual([{ ag: fsbToAg(info, fsb), start: fsbToAgb(info, fsb) + 10, end: fsbToAgb(info, fsb) + 30, delta: -1 }]);
        expect(kinds()).toEqual(['0+10 shared', '10+20 ', '30+34 shared']);
        volume.pending = pendingOf([intent(ITEM.CUI, [down, { fsb: fsb + 15, count: 5, flags: PE.INCREASE }])], info);
        expect(kinds()).toEqual(['0+10 shared', '10+5 ', '15+5 shared', '20+10 ', '30+34 shared']);
        expect(() => pendingOf([intent(ITEM.CUI, [{ ...down, fsb: 2 ** 52 }])], info)).toThrow(FsError);
        expect(pendingOf([intent(ITEM.EFI, [{ fsb, count: 3, flags: 0 }])], info)?.frees).toEqual([{ fsb, count: 3 }]);
      });
    } finally {
      removeScratch(dir);
    }
  });
});
