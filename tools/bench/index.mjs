/**
 * npm run bench [-- CASE…] [--rounds N]: runs the cases, prints the table, writes tmp/bench/results.json and, when all
 * cases ran, the table in docs/performance.md.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as imageCases from './cases.mjs';
import * as mountedCases from './mounted.mjs';

const cases = { ...imageCases, ...mountedCases };
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const names = ['build', 'readBack', 'readBackNpm', 'sequential', 'hot', 'memory', ...Object.keys(mountedCases)];
const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '5' } },
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
const results = {};
try {
  for (const name of chosen) {
    process.stderr.write(`${name}\n`);
    results[name] = cases[name]({ work, rounds: Number(values.rounds), log });
  }
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}

const number = (value) =>
  value === null ? '' : value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
const rows = chosen.flatMap((name) => results[name].rows);
const table = [
  '| what | iomap | peer | the peer | ratio | wanted |',
  '|---|---:|---|---:|---:|---|',
  ...rows.map(
    (row) =>
      `| ${row.name} | ${number(row.ours)} ${row.unit} | ${row.peer} | ${row.theirs === null ? '' : `${number(row.theirs)} ${row.unit}`} | ${number(row.ratio)} | ${row.limit} |`,
  ),
].join('\n');
process.stdout.write(`${table}\n`);
const out = path.join(root, 'tmp/bench');
fs.mkdirSync(out, { recursive: true });
const machine = cases.machine();
fs.writeFileSync(
  path.join(out, 'results.json'),
  `${JSON.stringify({ machine, rounds: Number(values.rounds), results }, null, 2)}\n`,
);
if (chosen.length === names.length) {
  const doc = path.join(root, 'docs/performance.md');
  const text = fs.readFileSync(doc, 'utf8');
  const facts = `${machine.cpus} cores (${machine.model}), ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}; medians of ${values.rounds}.`;
  const fresh = text.replace(
    /(<!-- bench:begin -->\n)[\s\S]*(<!-- bench:end -->)/,
    (_, begin, end) => `${begin}${facts}\n\n${table}\n${end}`,
  );
  fs.writeFileSync(doc, fresh);
}
