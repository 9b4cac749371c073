/**
 * npm run mutants -- [--only NAME[,NAME…]] [--jobs N] [--json] [--list]: takes each guard out in turn and expects the pitfall tests to fail.
 *
 * The mutated source exists in a bundle in tmp/mutants alone, never in the working tree. Each bundle runs in a process of its own;
 * one that does not end in 20 s counts as failed (a guard against endless loops is one, too). Exit code 1 when a guard's
 * absence is not noticed, or is noticed only by tests that do not name its pitfall.
 */
import { build } from 'esbuild';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findGuards, SUBJECTS, takeOut } from './guards.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const HANG_MS = 20_000;

/** @typedef {import('./guards.mjs').Guard} Guard */
/** @typedef {{ failed: { name: string, why: string }[], ran: number, ended: boolean }} Outcome */

/** The spec files of folders, but those of random runs: a test names what it is about. @param {string} root @param {readonly string[]} folders */
export function testFiles(root, folders) {
  return folders.flatMap((folder) =>
    fs.readdirSync(path.join(root, folder), { encoding: 'utf8' })
      .filter((name) => name.endsWith('.spec.ts') && !/package|\.(prop|sim)\.spec/.test(name))
      .sort()
      .map((name) => path.join(root, folder, name)));
}

/**
 * Bundles the tests, without `guard` if one is given, and runs them.
 * @param {string} root @param {readonly string[]} files @param {Guard | undefined} guard @param {string} outfile
 * @returns {Promise<Outcome>}
 */
export async function runTests(root, files, guard, outfile) {
  const imports = files.map((file) => `import ${JSON.stringify(file)};`).join('\n');
  const harness = JSON.stringify(path.join(here, 'harness.ts'));
  await build({
    stdin: { contents: `import ${harness};\nimport { runCases } from ${harness};\n${imports}\nvoid runCases();`, resolveDir: root },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    conditions: ['@iomap/source'],
    // The packages say that importing them does nothing, which is not true of their tests.
    ignoreAnnotations: true,
    logLevel: 'silent',
    plugins: guard === undefined ? [] : [mutation(root, guard)],
  });
  return new Promise((resolve) => {
    execFile(process.execPath, [outfile, ...(guard?.pitfalls ?? []).map(String)], { timeout: HANG_MS, maxBuffer: 64 * 2 ** 20 }, (error, stdout, stderr) => {
      const line = stdout.trimEnd().split('\n').at(-1) ?? '';
      if (line.startsWith('{"failed"')) resolve({ ...JSON.parse(line), ended: true });
      else resolve({ failed: [{ name: stdout.trimEnd().split('\n').findLast((one) => one.startsWith('> '))?.slice(2) ?? '', why: error?.killed === true ? 'did not end' : (stderr.split('\n').find((one) => one.includes('Error')) ?? 'died') }], ran: 0, ended: false });
    });
  });
}

/** @param {string} root @param {Guard} guard @returns {import('esbuild').Plugin} */
const mutation = (root, guard) => ({
  name: 'mutation',
  setup(on) {
    const real = fs.realpathSync(path.join(root, guard.file));
    on.onLoad({ filter: new RegExp(`${path.basename(guard.file).replace('.', '\\.')}$`) }, ({ path: file }) =>
      fs.realpathSync(file) === real ? { contents: takeOut(root, guard), loader: 'ts' } : undefined);
  },
});

/** Does a test's name say that it is about the pitfall? @param {string} name @param {number} pitfall */
export const isAbout = (name, pitfall) => {
  const numbers = /^([\d, ]+):/.exec(name)?.[1] ?? '';
  return numbers.split(',').some((number) => Number(number) === pitfall);
};

/** What came of a mutant. @param {Guard} guard @param {Outcome} outcome */
export function verdict(guard, { failed }) {
  if (failed.length === 0) return 'survived';
  const named = failed.some(({ name }) => name === '' || guard.pitfalls.some((pitfall) => isAbout(name, pitfall)));
  return guard.pitfalls.length === 0 || named ? 'killed' : 'unnamed';
}

async function main() {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, jobs: { type: 'string', default: '2' }, json: { type: 'boolean', default: false }, root: { type: 'string' }, list: { type: 'boolean', default: false } },
  });
  const root = values.root ?? path.resolve(here, '../..');
  const out = path.join(root, 'tmp/mutants');
  fs.mkdirSync(out, { recursive: true });
  if (values.list) {
    process.stdout.write(`${JSON.stringify(SUBJECTS.flatMap(({ sources }) => findGuards(root, sources)), null, 2)}\n`);
    return;
  }
  const wanted = values.only?.split(',');
  /** @type {{ guard: ReturnType<typeof findGuards>[number], what: string, by: string, ms: number }[]} */
  const rows = [];
  for (const { sources, tests } of SUBJECTS) {
    const files = testFiles(root, tests);
    const sound = await runTests(root, files, undefined, path.join(out, 'sound.cjs'));
    if (sound.failed.length > 0 || sound.ran === 0) {
      process.stderr.write(`${sound.ran} tests, and with all guards in place these fail:\n${sound.failed.map(({ name, why }) => `  ${name}: ${why}`).join('\n')}\n`);
      process.exit(1);
    }
    const guards = findGuards(root, sources).filter(({ name }) => wanted === undefined || wanted.includes(name));
    let next = 0;
    const work = async (/** @type {number} */ job) => {
      for (let guard = guards[next++]; guard !== undefined; guard = guards[next++]) {
        const started = performance.now();
        const row = { guard, what: 'broken', by: '', ms: 0 };
        try {
          const outcome = await runTests(root, files, guard, path.join(out, `mutant-${job}.cjs`));
          row.what = verdict(guard, outcome);
          const about = outcome.failed.find(({ name }) => guard.pitfalls.some((pitfall) => isAbout(name, pitfall))) ?? outcome.failed[0];
          row.by = about === undefined ? '' : `${about.name}${about.why.startsWith('did not') ? ' did not end' : ''}${outcome.failed.length > 1 ? ` (+${outcome.failed.length - 1})` : ''}`;
        } catch (error) {
          row.by = error instanceof Error ? (error.message.split('\n')[1] ?? error.message) : String(error);
        }
        row.ms = Math.round(performance.now() - started);
        rows.push(row);
      }
    };
    await Promise.all(Array.from({ length: Number(values.jobs) }, (_, job) => work(job)));
  }
  rows.sort((a, b) => (a.guard.pitfalls[0] ?? 99) - (b.guard.pitfalls[0] ?? 99) || (a.guard.name < b.guard.name ? -1 : 1));
  if (values.json) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
  else for (const line of table(rows)) process.stdout.write(`${line}\n`);
  const killed = rows.filter(({ what }) => what === 'killed').length;
  process.stdout.write(`${killed} of ${rows.length} guards: without it a test that names it fails\n`);
  process.exit(killed === rows.length && rows.length > 0 ? 0 : 1);
}

/** @param {{ guard: Guard, what: string, by: string, ms: number }[]} rows */
function table(rows) {
  const cells = rows.map(({ guard, what, by, ms }) => [guard.name, guard.reason, `${guard.file}:${guard.line}`, what, `${ms} ms`, by.slice(0, 110)]);
  cells.unshift(['guard', 'against', 'where', 'without it', 'time', 'failed']);
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0))) ?? [];
  return cells.map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('  '));
}

if (process.argv[1] !== undefined && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main();
