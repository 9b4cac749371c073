import { describeWithOracle, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { memoryDeviceFrom } from '@iomap/block-device';
import { runSync } from '@iomap/io';
import { testSeed } from '@iomap/tools/testing';
import { join } from 'node:path';
import { check, type CheckReport } from '../src/index.js';
import { mkfsXfs, withDevice } from './driver.js';
import { makeBases } from './hostile-bases.js';
import { judgeMutants } from './judge.js';
import { OPTION_SETS } from './option-sets.js';
import { populate } from './populate.js';

const checkFile = (image: string): CheckReport => withDevice(image, (device) => runSync(check(device)));

describeWithOracle(['mkfs-xfs', 'xfs-repair', 'xfs-io', 'loop-mount', 'setfattr', 'setfacl'], 'check', () => {
  const only = process.env['XFS_SET'];
  const all = process.env['XFS_ALL'] !== undefined;
  for (const set of OPTION_SETS.filter(({ name, slice }) => (only === undefined ? all || slice === true : name === only))) {
    it(`finds nothing in what the kernel wrote: ${set.name}`, () => {
      const dir = scratchDir('iomap-xfs');
      try {
        const image = join(dir, 'image');
        mkfsXfs(image, set.sizeBytes ?? 320 * 2 ** 20, set.args);
        withLoopMount(image, { type: 'xfs' }, (mounted) =>
          populate(mounted, { blockSize: set.blockSize, reflink: set.reflink, names: [1, 12, 60, 500, 2000], extents: 2500, xattrs: 200, small: true }));
        const { findings, inodes } = checkFile(image);
        expect(findings.slice(0, 5)).toEqual([]);
        expect(inodes).toBeGreaterThan(1000);
      } finally {
        removeScratch(dir);
      }
    }, 60_000);
  }

  it('finds what xfs_repair -n finds', () => {
    const count = Number(process.env['XFS_JUDGED'] ?? 40);
    const seed = testSeed();
    const bases = makeBases();
    for (const base of bases) {
      const { findings } = runSync(check(memoryDeviceFrom(base.bytes)));
      expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    }
    const { disagreements, judged, damaged, found } = judgeMutants(bases, seed, count);
    const told = disagreements.slice(0, 12).map((one) => `${one.kind} ${one.seed} (${one.base}): ${one.changes.join('; ')}\n    ${one.said}`);
    console.log(`seed ${seed}: ${judged} judged, ${damaged} damaged, ${found} found\n${told.join('\n')}`);
    expect(found).toBeGreaterThanOrEqual(Math.floor(damaged * 0.95));
    expect(damaged).toBeGreaterThan(count / 3);
  }, 900_000);
});
