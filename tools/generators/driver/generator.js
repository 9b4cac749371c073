/**
 * `nx g @iomap/tools:driver NAME`: starts a filesystem driver in `packages/NAME` with its package.json, TypeScript and Jest
 * set up, README, struct table with a spec, and the hook to the conformance suites.
 *
 * It is plain JavaScript, so that it runs from a fresh clone. What it writes is under `files/`.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateFiles, installPackagesTask, logger, names, readJson } from '@nx/devkit';

const templates = join(fileURLToPath(new URL('.', import.meta.url)), 'files');

/** Packages that a driver stands on. */
const stack = ['io', 'block-device', 'page-cache', 'buffer-cache', 'iomap-core', 'vfs'];

/**
 * @param {import('@nx/devkit').Tree} tree
 * @param {{ name: string, skipInstall?: boolean }} options
 * @returns {Promise<() => void>} what Nx runs when the files are on the disk
 */
export async function driverGenerator(tree, { name, skipInstall = false }) {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    throw new Error(`"${name}" cannot be a package's name: lower-case letters, digits and single dashes.`);
  }
  const root = `packages/${name}`;
  if (tree.exists(root)) throw new Error(`${root} is there already.`);

  /** @param {string} path @param {(json: any) => string | undefined} pick */
  const from = (path, pick) => (tree.exists(path) ? pick(readJson(tree, path)) : undefined);
  const version = from('packages/io/package.json', (json) => json.version) ?? '0.1.0';
  const zod = from('packages/ext2/package.json', (json) => json.dependencies?.zod) ?? '^4.0.0';
  const { className, constantName } = names(name);
  generateFiles(tree, templates, root, { name, className, constantName, version, zod, stack });
  const licence = tree.read('LICENSE');
  if (licence) tree.write(`${root}/LICENSE`, licence);

  return () => {
    if (skipInstall) logger.info('Run `npm install` to link the new package.');
    else installPackagesTask(tree, true);
    logger.info(`Next: the struct tables in ${root}/src/ondisk.ts, from the format's specification.`);
  };
}

// Nx takes a generator's default export.
export default driverGenerator;
