/**
 * Makes `node_modules` agree with package-lock.json: runs `npm ci` when it is missing or stale, else does nothing.
 *
 * It uses Node alone, so that it runs from a fresh clone. What is there is compared by version with what the lock file
 * asks for; the hash of a lock file that agreed is kept in `node_modules/.iomap-setup`, so that the next start is fast.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** @typedef {Record<string, { version?: string, optional?: boolean, link?: boolean, devOptional?: boolean }>} Locked */

/** @param {string} path @returns {Locked | undefined} */
function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/**
 * Why `node_modules` under `folder` cannot be used as it is; undefined when it can.
 * @param {string} folder
 * @returns {string | undefined}
 */
export function staleness(folder) {
  const wanted = packagesOf(join(folder, 'package-lock.json'));
  if (!wanted) return 'there is no package-lock.json';
  const installed = packagesOf(join(folder, 'node_modules', '.package-lock.json'));
  if (!installed) return 'nothing is installed';
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) continue;
    if (entry.link) {
      if (!existsSync(join(folder, path))) return `${path} is not linked`;
      continue;
    }
    const found = installed[path];
    if (!found) {
      // Builds for other platforms are locked and not installed.
      if (entry.optional || entry.devOptional) continue;
      return `${path} is missing`;
    }
    if (found.version !== entry.version) return `${path} is ${found.version}, not ${entry.version}`;
  }
  return undefined;
}

/** Installs what is missing. Exits the process with npm's code when that fails. */
export function setup() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    console.error(`iomap needs Node 20.19 or later; this is ${process.versions.node}.`);
    process.exit(1);
  }
  const stamp = join(root, 'node_modules', '.iomap-setup');
  const lock = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock && existsSync(join(root, 'node_modules', 'nx'))) return;
  const why = staleness(root);
  if (why !== undefined) {
    console.log(`Installing: ${why}.`);
    const npm = process.env['npm_execpath'];
    const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm, 'ci']] : ['npm', ['ci']];
    const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
    if (status !== 0) {
      console.error('npm ci failed; nothing was run.');
      process.exit(status || 1);
    }
  }
  writeFileSync(stamp, lock);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup();
