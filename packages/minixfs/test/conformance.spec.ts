import { fileSystemSuite, imageMatrixSuite, PROFILES, removeScratch, scratchDir, type Profile } from '@iomap/conformance';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BLOCK_FORMATS, limitsOf, minix, minixFor, mkfsMinix, nameMaxOf, ODD_FORMATS, PLAIN_FORMATS, profileFor, type NamedFormat } from './driver.js';

const all = [...PLAIN_FORMATS, ...BLOCK_FORMATS, ...ODD_FORMATS];
const suite = ({ name, options, version }: NamedFormat) => ({
  name,
  options,
  limits: { ...limitsOf(version), onlyMtime: version === 1 },
  driver: minixFor(options),
});

fileSystemSuite(minix, { sizeBytes: 12 * 2 ** 20, runners: ['sync'], formats: all.map(suite) });
// The code is the same for all formats; two are enough to see that it is for both runners.
const both = all.filter(({ name }) => name === 'v1/14' || name === 'v3 4k');
fileSystemSuite(minix, { sizeBytes: 12 * 2 ** 20, runners: ['async'], formats: both.map(suite) });

const EDIT: Profile = { ...PROFILES.mixed, name: 'edit', filesTarget: 120, bytesTarget: 4 * 2 ** 20, sparseMax: 2 ** 23 };

/** An image that mkfs.minix made, for our driver to edit. */
function byTool(args: readonly string[]): Uint8Array {
  const dir = scratchDir('iomap-mkfs-minix');
  try {
    const path = join(dir, 'image');
    writeFileSync(path, new Uint8Array(24 * 2 ** 20));
    mkfsMinix(path, 24 * 1024, ['-i', '2048', ...args]);
    return new Uint8Array(readFileSync(path));
  } finally {
    removeScratch(dir);
  }
}

const edit = ({ options, version }: NamedFormat): Profile => ({ ...profileFor(EDIT, version), nameMax: nameMaxOf(options, version) });

imageMatrixSuite(minix, {
  ops: 400,
  sizeBytes: 24 * 2 ** 20,
  formats: [
    ...all.map((format) => ({ name: format.name, options: format.options, profile: edit(format), driver: minixFor(format.options) })),
    ...PLAIN_FORMATS.map((format) => ({
      name: `mkfs.minix ${format.name}`,
      profile: edit(format),
      make: () => byTool([`-${format.version}`, ...(format.version === 3 ? [] : ['-n', String(nameMaxOf(format.options, format.version))])]),
    })),
  ],
});
