/** Each guard of the core is a statement that can be taken out, and the tests notice. `npm run mutants` takes out all of them. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './entries.js';

interface Found {
  readonly name: string;
  readonly pitfalls: readonly number[];
  readonly file: string;
  readonly line: number;
}

/** The pitfalls that concern the core; 2 and 22 are ext2's too, 20 the buffer cache's. */
const OF_THE_CORE = [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 23];

function list(): Found[] {
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(root, 'tools/mutants/index.mjs'), '--list'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Found[];
}

it('every pitfall has a guard, and a test that begins with its number', () => {
  const guarded = new Set(list().flatMap(({ pitfalls }) => pitfalls));
  const folder = join(root, 'packages/iomap-core/src');
  const specs = [folder, join(folder, 'pitfalls')].flatMap((one) => readdirSync(one).filter((name) => name.endsWith('.spec.ts')).map((name) => join(one, name)));
  const titles = specs.flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/['"`]([\d, ]+): /g)].map((match) => match[1] ?? ''));
  const tested = new Set(titles.flatMap((numbers) => numbers.split(',').map(Number)));
  expect(OF_THE_CORE.filter((pitfall) => !guarded.has(pitfall))).toEqual([]);
  expect(OF_THE_CORE.filter((pitfall) => !tested.has(pitfall))).toEqual([]);
});

it('a guard that is taken out is noticed', () => {
  const run = spawnSync(process.execPath, [join(root, 'tools/mutants/index.mjs'), '--only', 'zero-looks-at-cache,stale-write-mapping,unshare-reads,partial-success', '--jobs', '1'], { encoding: 'utf8' });
  expect(run.stdout).toContain('4 of 4 guards');
  expect(run.status).toBe(0);
}, 120_000);
