/** Runs Nx without a daemon, a terminal UI, a cloud or questions. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { root } from './setup.mjs';

export const environment = {
  ...process.env,
  NX_DAEMON: 'false',
  NX_TUI: 'false',
  NX_NO_CLOUD: 'true',
  NX_SKIP_VSCODE_EXTENSION_INSTALL: 'true',
  NX_INTERACTIVE: 'false',
};

/**
 * Runs one target of every project; true when all ended well.
 * @param {string} target
 * @param {readonly string[]} [more] further arguments
 */
export function runMany(target, more = []) {
  const nx = createRequire(import.meta.url).resolve('nx/bin/nx.js');
  const args = [nx, 'run-many', '--target', target, '--outputStyle=static', ...more];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env: environment });
  return status === 0;
}
