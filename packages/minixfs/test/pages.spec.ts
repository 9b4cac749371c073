/** The suites once more with directories in the page cache: both homes of a directory are correct (docs/conversion.md compares them). */
import { fileSystemSuite, imageMatrixSuite, PROFILES, runHostile, type Profile } from '@iomap/conformance';
import { testSeed } from '@iomap/tools/testing';
import {
  BLOCK_FORMATS, limitsOf, minixFor, minixLegacyPages, minixPages, nameMaxOf, ODD_FORMATS, PLAIN_FORMATS, profileFor, smallBases, type NamedFormat,
} from './driver.js';
import { minixSlice, soakFormat } from './soak.js';

const seed = testSeed();
const all = [...PLAIN_FORMATS, ...BLOCK_FORMATS, ...ODD_FORMATS];

const suite = ({ name, options, version }: NamedFormat, driver = minixPages) => ({
  name,
  options,
  limits: { ...limitsOf(version), onlyMtime: version === 1 },
  driver: minixFor(options, driver),
});

// Blocks of 1 and 4 KiB, and a zone of eight directory blocks.
const some = all.filter(({ name }) => ['v1/14', 'v3 4k', 'v3 2k, zones of 16k'].includes(name));
fileSystemSuite(minixPages, { sizeBytes: 12 * 2 ** 20, formats: some.map((format) => suite(format)) });
fileSystemSuite(minixLegacyPages, {
  sizeBytes: 12 * 2 ** 20,
  runners: ['sync'],
  formats: PLAIN_FORMATS.slice(4).map((format) => suite(format, minixLegacyPages)),
});

const EDIT: Profile = { ...PROFILES.mixed, name: 'edit', filesTarget: 120, bytesTarget: 4 * 2 ** 20, sparseMax: 2 ** 23 };

imageMatrixSuite(minixPages, {
  ops: 300,
  sizeBytes: 24 * 2 ** 20,
  formats: all.map((format) => ({
    name: format.name,
    options: format.options,
    profile: { ...profileFor(EDIT, format.version), nameMax: nameMaxOf(format.options, format.version) },
    driver: minixFor(format.options, minixPages),
  })),
});

describe('a short slice of the soak runs, directories in the page cache', () => {
  it.each(Array.from({ length: 18 }, (_, n) => [soakFormat(n).name, n] as const))('%s, slice %i', (_name, index) => {
    expect(minixSlice({ seed: seed + index, ops: 300, index, checkEvery: 150, driver: minixPages }).failures).toEqual([]);
  });

  it('hostile images end in a result or an FsError', () => {
    const report = runHostile({ driver: minixPages, bases: smallBases(), seed, count: 300, judgeEvery: 0 });
    expect(report.failures.map((one) => `${one.seed} ${one.base} ${one.stage} ${one.what} ${one.changes.join('; ')}`)).toEqual([]);
  });
});
