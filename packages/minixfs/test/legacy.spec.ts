/** The suites once more with file data the old way (`io: 'legacy'`): what the conversion study compares with is correct. */
import { fileSystemSuite, imageDevice, imageMatrixSuite, PROFILES, type Profile } from '@iomap/conformance';
import { fixedEnv, FsError, runSync } from '@iomap/io';
import { mkfs, mount } from '../src/index.js';
import { BLOCK_FORMATS, limitsOf, minixFor, minixLegacy, nameMaxOf, ODD_FORMATS, PLAIN_FORMATS, profileFor, type NamedFormat } from './driver.js';

const formats = [...PLAIN_FORMATS, ...BLOCK_FORMATS, ...ODD_FORMATS.filter(({ name }) => !name.includes('16k'))];
const driverOf = ({ options }: NamedFormat) => minixFor(options, minixLegacy);

fileSystemSuite(minixLegacy, {
  sizeBytes: 12 * 2 ** 20,
  runners: ['sync'],
  // The code is the same for all: what differs is the size of a zone beside a page's.
  formats: formats.filter(({ name }) => ['v1/14', 'v3 2k', 'v3 4k'].includes(name)).map((format) => ({
    name: format.name, options: format.options, limits: { ...limitsOf(format.version), onlyMtime: format.version === 1 }, driver: driverOf(format),
  })),
});
fileSystemSuite(minixLegacy, {
  sizeBytes: 12 * 2 ** 20,
  runners: ['async'],
  formats: BLOCK_FORMATS.slice(0, 1).map((format) => ({
    name: format.name, options: format.options, limits: limitsOf(format.version), driver: driverOf(format),
  })),
});

const EDIT: Profile = { ...PROFILES.data, name: 'edit', filesTarget: 60, bytesTarget: 4 * 2 ** 20, sparseMax: 2 ** 23 };

imageMatrixSuite(minixLegacy, {
  ops: 200,
  sizeBytes: 24 * 2 ** 20,
  formats: formats.map((format) => ({
    name: format.name,
    options: format.options,
    profile: { ...profileFor(EDIT, format.version), nameMax: nameMaxOf(format.options, format.version) },
    driver: driverOf(format),
  })),
});

it('does not mount zones larger than a page', () => {
  const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
  const image = imageDevice(new Uint8Array(8 * 2 ** 20));
  runSync(mkfs(image, { version: 3, blockSize: 2048, zoneSize: 16_384 }, env));
  expect(() => runSync(mount(image, { env, io: 'legacy' }))).toThrow(FsError);
  expect(runSync(mount(image, { env })).traits.blockSize).toBe(16_384);
});
