/**
 * npm run bench [-- CASE…] [--rounds N] [--keep]: runs the cases, prints the table, writes tmp/bench/results.json and, when all
 * cases of a table in docs/performance.md ran, that table. `--keep`: what is not run now is taken from the last results.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as imageCases from './cases.mjs';
import * as coreCases from './core.mjs';
import * as mountedCases from './mounted.mjs';
import * as xfsCases from './xfs.mjs';

const cases = { ...imageCases, ...mountedCases, ...coreCases, ...xfsCases };
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
/** Each is a table of its own in docs/performance.md, written when all of its cases ran. */
const tables = [
  { mark: 'bench', names: ['build', 'readBack', 'readBackNpm', 'sequential', 'hot', 'memory'], last: 'wanted' },
  { mark: 'xfs', names: Object.keys(xfsCases), last: 'wanted' },
  { mark: 'mounted', names: Object.keys(mountedCases), last: 'wanted' },
  { mark: 'core', names: Object.keys(coreCases), last: 'published or wanted' },
];
const names = tables.flatMap((table) => table.names);
const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, keep: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`bench: no case ${unknown.join(', ')}; there are ${names.join(', ')}\n`);
  process.exit(2);
}
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const chosen = positionals.length > 0 ? positionals : names;
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'iomap-bench-'));
const log = (line) => process.stderr.write(`  ${line}\n`);
const out = path.join(root, 'tmp/bench');
const resultsFile = path.join(out, 'results.json');
const results = values.keep && fs.existsSync(resultsFile) ? JSON.parse(fs.readFileSync(resultsFile, 'utf8')).results : {};
try {
  for (const name of chosen) {
    process.stderr.write(`${name}\n`);
    results[name] = { rounds: Number(values.rounds), ...cases[name]({ work, rounds: Number(values.rounds), log }) };
  }
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}

const number = (value) =>
  value === null ? '' : value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
const tableOf = (chosenNames, last) =>
  [
    `| what | iomap | peer | the peer | ratio | ${last} |`,
    '|---|---:|---|---:|---:|---|',
    ...chosenNames
      .flatMap((name) => results[name].rows)
      .map(
        (row) =>
          `| ${row.name} | ${number(row.ours)} ${row.unit} | ${row.peer} | ${row.theirs === null ? '' : `${number(row.theirs)} ${row.unit}`} | ${number(row.ratio)} | ${row.limit} |`,
      ),
  ].join('\n');
process.stdout.write(`${tableOf(chosen, 'wanted')}\n`);
fs.mkdirSync(out, { recursive: true });
const machine = cases.machine();
fs.writeFileSync(resultsFile, `${JSON.stringify({ machine, results }, null, 2)}\n`);
const factsOf = (chosenNames) => {
  const rounds = [...new Set(chosenNames.map((name) => results[name].rounds))].sort((a, b) => a - b).join(' or ');
  return `${machine.cpus} cores (${machine.model}), ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}; medians of ${rounds}.`;
};
const doc = path.join(root, 'docs/performance.md');
for (const { mark, names: wanted, last } of tables) {
  if (!wanted.every((name) => name in results) || !wanted.some((name) => chosen.includes(name))) continue;
  // What could not run here says nothing.
  if (wanted.some((name) => results[name].skipped !== undefined)) continue;
  const text = fs.readFileSync(doc, 'utf8');
  const place = new RegExp(`(<!-- ${mark}:begin -->\\n)[\\s\\S]*(<!-- ${mark}:end -->)`);
  fs.writeFileSync(
    doc,
    text.replace(place, (_, begin, end) => `${begin}${factsOf(wanted)}\n\n${tableOf(wanted, last)}\n${end}`),
  );
}
