/** The packages and their entries, for the tests that look at them from outside. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(__dirname, '../..');

export interface PackageInfo {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
  readonly layer: string;
  /** As imported: `@iomap/io`, `@iomap/io/sim`. */
  readonly entries: readonly string[];
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly exports: Record<string, unknown>;
  readonly nx: { readonly tags: readonly string[] };
}

/** Everything in packages/ that is published. */
export function publicPackages(): PackageInfo[] {
  return readdirSync(join(root, 'packages'))
    .map((folder) => join(root, 'packages', folder))
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest }))
    .filter(({ manifest }) => manifest.private !== true)
    .map(({ folder, manifest }) => ({
      name: manifest.name,
      version: manifest.version,
      folder,
      layer: manifest.nx.tags[0]?.replace('layer:', '') ?? '',
      entries: Object.keys(manifest.exports)
        .filter((entry) => entry !== './package.json')
        .map((entry) => manifest.name + entry.slice(1))
        .sort(),
    }));
}

/** True for an entry that is for Node by design. */
export function isNodeEntry(info: PackageInfo, entry: string): boolean {
  return entry.endsWith('/node') || info.layer === 'face' || info.layer === 'conformance';
}
