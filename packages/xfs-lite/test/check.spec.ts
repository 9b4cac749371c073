import { describeWithOracle, oracle, random, removeScratch, runTool, scratchDir, withLoopMount } from '@iomap/conformance';
import { memoryDeviceFrom, overlayDevice } from '@iomap/block-device';
import { FsError, runSync } from '@iomap/io';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { check, type CheckReport } from '../src/index.js';
import { mkfsXfs, withDevice } from './driver.js';
import { makeBases, makeMutant } from './hostile.js';
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
    const count = Number(process.env['XFS_JUDGED'] ?? 3);
    const seed = Number(process.env['SEED'] ?? 7);
    const bases = makeBases().slice(0, 2);
    const dir = scratchDir('iomap-xfs');
    const missed: string[] = [];
    const extra: string[] = [];
    let damaged = 0;
    let judged = 0;
    try {
      const image = join(dir, 'image');
      const devices = bases.map((base) => memoryDeviceFrom(base.bytes));
      for (const base of bases) expect(runSync(check(memoryDeviceFrom(base.bytes))).findings).toEqual([]);
      for (let n = 0; n < count; n++) {
        const r = random(seed + n);
        const which = r.below(bases.length);
        const [base, under] = [bases[which], devices[which]];
        if (base === undefined || under === undefined) continue;
        const device = overlayDevice(under);
        const changes = makeMutant(base, device, r);
        if (changes.some((change) => change.startsWith('log'))) continue;
        let isClean = false;
        let told = '';
        try {
          const report = runSync(check(device));
          isClean = report.clean;
          told = JSON.stringify(report.findings.slice(0, 3));
        } catch (error) {
          if (!(error instanceof FsError)) throw error;
          told = error.message;
        }
        if (judged === 0 || n === 0) runTool('truncate', ['-s', String(base.bytes.length), image], { expect: [0] });
        const fd = openSync(image, 'w');
        for (let pos = 0; pos < base.bytes.length; pos += 2 ** 20) {
          const part = new Uint8Array(2 ** 20);
          void device.submit({ op: 'read', pos, segments: [part], lengthBytes: part.length });
          if (part.some((byte) => byte !== 0)) writeSync(fd, part, 0, part.length, pos);
        }
        closeSync(fd);
        runTool('truncate', ['-s', String(base.bytes.length), image], { expect: [0] });
        const { status, stderr } = oracle('xfs-repair').run(['-n', image], { timeoutMs: 30_000 });
        if (status < 0) continue;
        judged++;
        if (status !== 0) damaged++;
        if (status !== 0 && isClean) missed.push(`seed ${seed + n}: ${changes.join('; ')}\n${stderr.slice(0, 600)}`);
        if (status === 0 && !isClean) extra.push(`seed ${seed + n}: ${changes.join('; ')}\n${told}`);
      }
    } finally {
      removeScratch(dir);
    }
    console.log(`${judged} judged, ${damaged} damaged, ${missed.length} missed, ${extra.length} extra\n${missed.slice(0, 12).join('\n')}\n-- extra\n${extra.slice(0, 8).join('\n')}`);
    expect(missed.length).toBeLessThanOrEqual(damaged * 0.2);
    expect(judged).toBeGreaterThan(0);
  }, 900_000);
});
