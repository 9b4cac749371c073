import { findOracle, runHostile } from '@iomap/conformance';
import { testSeed } from '@iomap/tools/testing';
import { isForFsck, minix, PLAIN_FORMATS, smallBases } from './driver.js';
import { minixSlice, soakFormat } from './soak.js';

const seed = testSeed();

describe('random operations', () => {
  it.each(Array.from({ length: 18 }, (_, n) => [soakFormat(n).name, n] as const))('%s, slice %i', (_name, index) => {
    expect(minixSlice({ seed: seed + index, ops: 600, index, checkEvery: 300 }).failures).toEqual([]);
  });
});

describe('hostile images', () => {
  const bases = smallBases();

  it('finds the structures of sound images', () => {
    for (const base of bases) {
      const kinds = [...new Set(base.structures.map((place) => place.kind))].join(' ');
      for (const kind of ['superblock', 'inode', 'root-inode', 'dirent', 'zone-bitmap']) expect(`${base.name}: ${kinds}`).toContain(kind);
    }
  });

  it('says of sound images that they are clean', () => {
    const report = runHostile({ driver: minix, bases, seed, count: bases.length, kinds: [], judgeEvery: 0, writeEvery: 1 });
    expect(report.failures).toEqual([]);
    expect(report.outcomes['check ok']).toBe(bases.length);
  });

  it('end in a result or an FsError', () => {
    const report = runHostile({ driver: minix, bases, seed, count: 500, judgeEvery: 0 });
    console.info(`seed ${seed}: slowest ${Math.round(report.slowestMs)} ms`);
    expect(report.failures.map((one) => `${one.seed} ${one.base} ${one.stage} ${one.what} ${one.changes.join('; ')}`)).toEqual([]);
  });

  it('are found damaged by our check where fsck.minix finds damage', () => {
    if (findOracle('fsck-minix') === undefined) return;
    const judged = bases.filter((base) => PLAIN_FORMATS.some((format) => format.name === base.name && isForFsck(format.options)));
    const report = runHostile({ driver: minix, bases: judged, seed, count: 150, judgeEvery: 1 });
    const { damaged, found, agreed } = report;
    console.info(`seed ${seed}: ${damaged} damaged, ${found} found, ${agreed} of ${report.judged} agreed`);
    const missed = report.disagreements.filter((one) => one.kind === 'missed').map((one) => `${one.seed} ${one.base} ${one.changes.join('; ')}: ${one.tool.join(' / ')}`);
    expect(found / damaged > 0.97 ? [] : missed).toEqual([]);
  });
});
