/** `npm ci` refuses a lock file that leaves out another platform's builds, as npm writes it where a registry lacks them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Locked {
  readonly version?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly resolved?: string;
}

const { packages } = JSON.parse(readFileSync(join(__dirname, '../../package-lock.json'), 'utf8')) as {
  packages: Record<string, Locked>;
};

/** Where Node would find `name` from the package at `path`. */
function found(path: string, name: string): boolean {
  const parts = path.split('/node_modules/');
  return parts.some((_, i) => packages[`${parts.slice(0, i + 1).join('/node_modules/')}/node_modules/${name}`]) || `node_modules/${name}` in packages;
}

describe('package-lock.json', () => {
  it('has every optional package', () => {
    const missing = Object.entries(packages).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {})
        .filter((name) => !found(path, name))
        .map((name) => `${path} -> ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('names no registry', () => {
    // Whoever installs takes packages from the registry that their npm is set to.
    const urls = Object.values(packages).filter(({ resolved }) => resolved?.includes('://') === true);
    expect(urls).toEqual([]);
  });
});
