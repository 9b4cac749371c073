import { describeWithOracle } from '@iomap/conformance';
import { testSeed } from '@iomap/tools/testing';
import { writeFileSync } from 'node:fs';
import { runMutants, runWrites } from './hostile.js';
import { makeBases } from './hostile-bases.js';
import { putSum } from '../src/crc32c.js';

describeWithOracle(['mkfs-xfs', 'xfs-io', 'loop-mount', 'setfattr', 'setfacl'], 'hostile images', () => {
  it('end in a result or an FsError', () => {
    const seed = testSeed();
    const count = Number(process.env['XFS_MUTANTS'] ?? 200);
    const log = process.env['XFS_PROGRESS'];
    const note = (at: number): void => {
      if (log !== undefined) writeFileSync(log, `${at}\n`);
    };
    const result = runMutants(makeBases(), seed, count, note);
    console.log(`seed ${seed}: ${JSON.stringify(result.outcomes)}, slowest ${result.slowestMs.toFixed(0)} ms`);
    expect(result.failures).toEqual([]);
    expect(result.mutants).toBe(count);
    // Damage is met, and not everything is damaged.
    expect(Object.keys(result.outcomes).some((key) => /EBADMSG|EUCLEAN/.test(key))).toBe(true);
    expect(result.outcomes['mount ok']).toBeGreaterThan(count / 4);
  }, 3_600_000);

  it('end so with directory blocks of another size', () => {
    // An entry may then begin in the last eight bytes of a block.
    for (const base of makeBases().filter(({ name }) => name === 'v4' || name === 'plain')) {
      for (let log = 0; log < 7; log++) {
        const sector = base.bytes.slice(0, 512);
        sector[192] = log;
        if (base.name === 'plain') putSum(sector, 0, 512, 224);
        expect(runWrites(base, [{ pos: 0, bytes: sector }]).failures).toEqual([]);
      }
    }
  }, 120_000);
});
