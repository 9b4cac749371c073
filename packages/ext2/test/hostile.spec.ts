import { findOracle, mutateImage, runHostile } from '@iomap/conformance';
import { testSeed } from '@iomap/tools/testing';
import { ext2, hostileBases } from './driver.js';

const seed = testSeed();

describe('hostile images', () => {
  const bases = hostileBases();

  it('finds the structures of sound images', () => {
    for (const base of bases) {
      const kinds = new Set(base.structures.map((place) => place.kind));
      for (const kind of ['superblock', 'group-desc', 'inode', 'root-inode', 'dirent', 'indirect']) {
        // A few files in 4 KiB blocks need no indirect block.
        if (kind !== 'indirect' || base.blockSize === 1024) expect(`${base.name}: ${[...kinds].join(' ')}`).toContain(kind);
      }
    }
  });

  it('makes the same mutant from the same seed', () => {
    const base = bases[0];
    if (base === undefined) throw new Error('no base');
    const make = (from: number): Uint8Array => {
      const bytes = base.bytes.slice();
      mutateImage(bytes, from, base);
      return bytes;
    };
    // One mutation may write what is there already; of eight, some change something.
    const seeds = Array.from({ length: 8 }, (_, i) => seed + i);
    for (const from of seeds) expect(Buffer.compare(make(from), make(from))).toBe(0);
    expect(seeds.some((from) => Buffer.compare(make(from), base.bytes) !== 0)).toBe(true);
  });

  it('says of sound images that they are clean', () => {
    const report = runHostile({ driver: ext2, bases, seed, count: bases.length, kinds: [], judgeEvery: 0, writeEvery: 1 });
    expect(report.failures).toEqual([]);
    expect(report.outcomes['check ok']).toBe(bases.length);
  });

  it('end in a result or an FsError, and our check finds what e2fsck finds', () => {
    const judgeEvery = findOracle('e2fsck') === undefined ? 0 : 10;
    const report = runHostile({ driver: ext2, bases, seed, count: 500, judgeEvery });
    const { judged, damaged, found, agreed } = report;
    console.info(`seed ${seed}: ${judged} judged, ${damaged} damaged, ${found} found, ${agreed} agreed; slowest ${Math.round(report.slowestMs)} ms`);
    expect(report.failures.map((one) => `${one.seed} ${one.stage} ${one.what} ${one.changes.join('; ')}`)).toEqual([]);
    // The 95 % of the soak run, with room for a sample of 50.
    if (judged > 0) expect(found / damaged).toBeGreaterThan(0.88);
  });
});
