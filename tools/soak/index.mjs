/**
 * npm run soak -- [MINUTES] [--seed N] [--only KIND,…]
 * [--workers N] [--judge N] [--slice N] [--first N]: the long runs.
 *
 * Kinds: schedules, schedule-faults, core-crash, core-faults, fsx (iomap-core), random, enospc, hostile, crash, fsx-ext2 (ext2), minix, minix-hostile, minix-repair, minix-crash, xfs-hostile, xfs-judge, xfs-dirty (as root), programs, files (mounted).
 *
 * `--judge N`: the real fsck looks at every Nth hostile image. `--slice N`: a slice's size. `--first N`: the number of the first slice,
 * which picks its format. `--check N`: checkpoints after every N operations; a failure is shrunk from the last one.
 *
 * `programs` and `files` use a mounted image (mounted.mjs), as root, and only when `--only` names them; `--workload NAME`: one of
 * the programs.
 *
 * The work is cut into slices, each with a seed of its own that follows from the run's seed; workers take them in turn until
 * the time is over or the targets are met. A slice that fails is printed with the command that repeats it. A worker that
 * makes no progress for 60 s is ended and its seed is a failure: that is how a hang shows.
 *
 * The last thing printed is the summary as JSON; it is also in tmp/soak/summary.json. Exit code 1 when anything failed.
 */
import { buildSync } from 'esbuild';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { MOUNTED_KINDS, runMounted } from './mounted.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const out = path.join(root, 'tmp/soak');
const HANG_MS = 90_000;

/** What a whole run covers, and in which slices. */
const KINDS = {
  schedules: { target: 1_000_000, slice: 20_000, unit: 'schedules' },
  // As schedules, and one request of each fails.
  'schedule-faults': { target: 200_000, slice: 20_000, unit: 'schedules' },
  'core-crash': { target: 10_000, slice: 200, unit: 'runs' },
  'core-faults': { target: 10_000, slice: 200, unit: 'workloads' },
  fsx: { target: 1_000_000, slice: 20_000, unit: 'operations' },
  'fsx-ext2': { target: 1_000_000, slice: 20_000, unit: 'operations' },
  random: { target: 1_000_000, slice: 50_000, unit: 'operations' },
  enospc: { target: 200_000, slice: 20_000, unit: 'operations' },
  hostile: { target: 100_000, slice: 2_000, unit: 'mutants' },
  crash: { target: 2_000, slice: 100, unit: 'crashes' },
  // 120,000 for each version, over all their formats.
  minix: { target: 360_000, slice: 20_000, unit: 'operations' },
  'minix-hostile': { target: 60_000, slice: 5_000, unit: 'mutants' },
  // Two thirds are judged by fsck.minix.
  'minix-repair': { target: 3_000, slice: 250, unit: 'damaged images' },
  'minix-crash': { target: 3_000, slice: 100, unit: 'crashes' },
  'xfs-hostile': { target: 100_000, slice: 10_000, unit: 'mutants' },
  // Each is judged by xfs_repair -n.
  'xfs-judge': { target: 2_000, slice: 250, unit: 'mutants' },
  'xfs-dirty': { target: 50, slice: 5, unit: 'dirty logs' },
};
/**
 * Their seeds are numbered through (a slice's are those from the run's seed plus what was given out before), so that a run goes on where
 * another stopped, with its `nextSeed`; other slices have seeds that are far apart.
 */
const NUMBERED = ['schedules', 'schedule-faults', 'core-crash', 'core-faults', 'fsx', 'fsx-ext2', 'hostile', 'minix-hostile', 'minix-repair', 'xfs-hostile', 'xfs-judge', 'xfs-dirty'];

const { values, positionals } = parseArgs({
  options: {
    seed: { type: 'string' },
    only: { type: 'string' },
    workload: { type: 'string' },
    workers: { type: 'string', default: '2' },
    judge: { type: 'string', default: '10' },
    slice: { type: 'string' },
    check: { type: 'string', default: '10000' },
    first: { type: 'string', default: '0' },
    'stop-on-failure': { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const minutes = Number(positionals[0] ?? '10');
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const named = values.only === undefined ? Object.keys(KINDS) : values.only.split(',');
const mounted = named.filter((kind) => MOUNTED_KINDS.includes(kind));
const chosen = named.filter((kind) => !MOUNTED_KINDS.includes(kind));
const unknown = chosen.filter((kind) => !(kind in KINDS));
if (!(minutes > 0) || !Number.isInteger(seed) || unknown.length > 0) {
  process.stderr.write('usage: npm run soak -- [MINUTES] [--seed N] [--only schedules|schedule-faults|core-crash|core-faults|fsx|fsx-ext2|random|enospc|hostile|crash|minix|minix-hostile|minix-repair|minix-crash|xfs-hostile|xfs-judge|xfs-dirty|programs|files] [--workers N]\n');
  process.exit(2);
}

process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
fs.mkdirSync(out, { recursive: true });
const bundle = path.join(out, 'worker.mjs');
buildSync({
  entryPoints: [path.join(here, 'worker.ts')],
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  conditions: ['@iomap/source'],
  sourcemap: 'inline',
  external: ['node:*'],
  banner: { js: "import { createRequire as iomapRequire } from 'node:module'; const require = iomapRequire(import.meta.url);" },
});

const start = Date.now();
const until = start + minutes * 60_000;
const state = {};
for (const kind of chosen) {
  state[kind] = { done: 0, given: 0, slices: 0, failures: [], tally: {}, slowestMs: 0, seconds: 0 };
}
const sliceSize = (kind) => (values.slice === undefined ? KINDS[kind].slice : Number(values.slice));
let next = 0;
let failed = false;

/** The next slice: kinds in turn, so that a short run has some of each. */
function takeSlice() {
  if (Date.now() >= until || (failed && values['stop-on-failure'])) return undefined;
  for (let tries = 0; tries < chosen.length; tries++) {
    const kind = chosen[next++ % chosen.length];
    const of = state[kind];
    if (of.given >= KINDS[kind].target) continue;
    const count = Math.min(sliceSize(kind), KINDS[kind].target - of.given);
    const sliceSeed = NUMBERED.includes(kind) ? seed + of.given : seed + of.slices * 1_000_003;
    of.given += count;
    of.slices++;
    return { kind, seed: sliceSeed, count, index: of.slices - 1 + Number(values.first), until, judge: Number(values.judge), checkEvery: Number(values.check), kept: path.join(out, 'xfs-bases') };
  }
  return undefined;
}

const add = (into, from) => {
  for (const [key, count] of Object.entries(from ?? {})) into[key] = (into[key] ?? 0) + count;
};

function failure(kind, what) {
  failed = true;
  state[kind].failures.push(what);
  process.stderr.write(`\nFAILED ${kind}: ${what.message}\n`);
}

function report(kind, result) {
  const of = state[kind];
  of.done += result.done;
  of.seconds += result.seconds;
  of.slowestMs = Math.max(of.slowestMs, result.slowestMs ?? 0);
  add(of.tally, result.tally);
  for (const one of result.failures) failure(kind, one);
  if (result.judged !== undefined) {
    const agreement = (of.agreement ??= { judged: 0, toolFailed: 0, damaged: 0, found: 0, agreed: 0, disagreements: [] });
    for (const key of ['judged', 'toolFailed', 'damaged', 'found', 'agreed']) agreement[key] += result[key];
    agreement.disagreements.push(...result.disagreements.slice(0, 400 - agreement.disagreements.length));
    of.peakBytes = Math.max(of.peakBytes ?? 0, result.peakBytes);
  }
  if (result.remark !== undefined) of.remark = result.remark;
}

function progress() {
  const parts = chosen.map((kind) => `${kind} ${state[kind].done}/${KINDS[kind].target}`);
  const left = Math.max(0, Math.round((until - Date.now()) / 1000));
  const line = `soak seed ${seed}: ${parts.join(', ')}; ${left} s left`;
  process.stderr.write(process.stderr.isTTY ? `\r${line}   ` : `${line}\n`);
}

/** Runs slices in one worker after another until there are none; a worker that hangs or dies is replaced. */
async function work(number) {
  for (let slice = takeSlice(); slice !== undefined; slice = takeSlice()) {
    const at = new Float64Array(new SharedArrayBuffer(16));
    const worker = new Worker(bundle, {
      workerData: { slice, at, number },
      resourceLimits: { maxOldGenerationSizeMb: 1536 },
    });
    let last = -1;
    let since = Date.now();
    const current = slice;
    await new Promise((resolve) => {
      const watch = setInterval(() => {
        if (at[1] !== last) {
          last = at[1];
          since = Date.now();
        } else if (Date.now() - since > HANG_MS) {
          const where = Math.floor(at[0]);
          failure(current.kind, { message: `no progress for ${HANG_MS / 1000} s in the slice of seed ${current.seed}, at ${where}`, seed: where });
          void worker.terminate();
        }
      }, 1000);
      worker.on('message', (result) => report(current.kind, result));
      worker.on('error', (error) => failure(current.kind, { message: `worker died at ${Math.floor(at[0])}: ${error.stack ?? error}`, seed: at[0] }));
      worker.on('exit', () => {
        clearInterval(watch);
        resolve();
      });
    });
  }
}

process.stderr.write(`soak: ${minutes} min, seed ${seed}, ${named.join(', ')}\n`);
const mountedSteps = {};
for (const kind of mounted) {
  const steps = await runMounted({ root, out, kind, minutes: minutes / named.length, seed, workload: values.workload }, (step) => {
    process.stderr.write(`${kind}: ${step.error === undefined ? 'ok' : 'FAILED'} ${step.what} (${step.seconds} s)${step.error === undefined ? '' : `\n${step.error}`}\n`);
  });
  if (steps.some(({ error }) => error !== undefined)) failed = true;
  mountedSteps[kind] = { done: steps.length, failures: steps.filter(({ error }) => error !== undefined).length, steps };
}
const ticker = setInterval(progress, 10_000);
await Promise.all(Array.from({ length: Number(values.workers) }, (_, number) => work(number)));
clearInterval(ticker);
progress();

const percent = (part, whole) => (whole === 0 ? null : Math.round((part / whole) * 10_000) / 100);
const summary = { seed, minutes: Math.round((Date.now() - start) / 600) / 100, covered: { ...mountedSteps } };
for (const kind of chosen) {
  const { done, failures, tally, seconds, slowestMs, agreement, peakBytes, remark } = state[kind];
  summary.covered[kind] = {
    unit: KINDS[kind].unit,
    done,
    target: KINDS[kind].target,
    ...(NUMBERED.includes(kind) ? { nextSeed: seed + done } : {}),
    perSecond: seconds === 0 ? 0 : Math.round(done / seconds),
    failures: failures.length,
    ...(kind.endsWith('hostile') ? { slowestMs: Math.round(slowestMs), peakBytes } : {}),
    ...(agreement === undefined
      ? {}
      : {
          judged: agreement.judged,
          toolFailed: agreement.toolFailed,
          damagedByTool: agreement.damaged,
          foundPercent: percent(agreement.found, agreement.damaged),
          agreementPercent: percent(agreement.agreed, agreement.judged),
        }),
    ...(remark === undefined ? {} : { remark }),
    outcomes: Object.fromEntries(Object.entries(tally).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}
fs.writeFileSync(path.join(out, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
fs.writeFileSync(
  path.join(out, 'details.json'),
  `${JSON.stringify(chosen.map((kind) => ({ kind, failures: state[kind].failures, ...state[kind].agreement })), null, 2)}\n`,
);
process.stderr.write(`\nfailures and disagreements with their seeds: tmp/soak/details.json\n`);
process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
process.exitCode = failed ? 1 : 0;
