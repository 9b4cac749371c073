/**
 * `npm test`: installs what is missing, lints, type-checks, builds and tests every project, and ends with one line,
 * `N passed, N failed, N skipped`, summed over all of them.
 *
 * - All phases run, whatever the ones before them found; the exit code is 0 only when all ended well and tests ran.
 * - The counts are files that the `test` targets leave (`tmp/test-count.json`), so that a cached run counts too.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { countFiles, failures, format, sum } from './count.mjs';
import { root, setup } from './setup.mjs';

setup();
const { runMany } = await import('./nx.mjs');

const files = countFiles(root);
for (const file of files) rmSync(file, { force: true });

/** @type {string[]} */
const failed = [];
/** @type {string[]} */
const times = [];
for (const phase of ['lint', 'typecheck', 'build', 'test']) {
  const started = Date.now();
  if (!runMany(phase, process.argv.slice(2))) failed.push(phase);
  times.push(`${phase} ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

const counts = sum(files);
for (const failure of failures(files)) console.log(`\nFailed: ${failure}`);
console.log(`\n${times.join(', ')}`);
if (failed.length > 0) console.log(`Failed: ${failed.join(', ')}`);
if (counts.passed === 0) console.log('No test passed: that is a failure.');

const line = format(counts);
mkdirSync(join(root, 'tools', 'tmp'), { recursive: true });
writeFileSync(join(root, 'tools', 'tmp', 'summary.txt'), `${line}\n`);
console.log(line);
process.exitCode = failed.length > 0 || counts.failed > 0 || counts.passed === 0 ? 1 : 0;
