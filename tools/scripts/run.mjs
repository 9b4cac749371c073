/**
 * `npm start`, `npm run bench`, `npm run soak`: installs what is missing, builds, then runs a program with the arguments
 * given. `node tools/scripts/run.mjs FILE [ARGUMENT…]`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root, setup } from './setup.mjs';

const [file = '', ...args] = process.argv.slice(2);
setup();
const { runMany } = await import('./nx.mjs');
if (!runMany('build')) {
  console.error('The build failed; nothing was run.');
  process.exit(1);
}
if (!existsSync(join(root, file))) {
  console.error(`There is no ${file}.`);
  process.exit(1);
}
const { status, signal } = spawnSync(process.execPath, [join(root, file), ...args], { cwd: root, stdio: 'inherit' });
if (signal) console.error(`Ended by ${signal}.`);
process.exit(status ?? 1);
