/**
 * What the core is for, as ratios in one run: iomap's way beside the way it replaces, on the same code with one thing changed (the
 * size of a folio, the size of a tracked block, how much one mapping covers). Counts are exact and the same on every machine.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { median, run } from './measure.mjs';

const worker = path.join(path.dirname(fileURLToPath(import.meta.url)), 'core-worker.mjs');
const KIB = 1024;
const MIB = 2 ** 20;

/** Runs a job of core-worker.mjs in a fresh process; its JSON answer. */
const job = (name, ...args) => JSON.parse(run(process.execPath, [worker, name, ...args.map((one) => JSON.stringify(one))]).stdout);

/** One job with several sets of arguments in turn, `rounds` times; per set, the median of each number of its answers. */
function inTurn(name, sets, rounds) {
  const answers = sets.map(() => []);
  for (let round = 0; round < rounds; round++) for (const [i, set] of sets.entries()) answers[i].push(job(name, ...set));
  return answers.map((list) =>
    Object.fromEntries(Object.keys(list[0]).map((key) => [key, median(list.map((one) => one[key]))])),
  );
}

const row = (name, ours, peer, theirs, unit, limit) => ({ name, ours, peer, theirs, unit, ratio: ours / theirs, limit });

/** Bytes written for bytes dirtied: 4 KiB random overwrites, each made durable. */
export function dirtyTracking({ rounds }) {
  const runs = {};
  const peer = 'one dirty bit per folio';
  const rows = [16, 64, 256].flatMap((kib) => {
    const [tracked, whole] = inTurn('randomOverwrites', [[kib * KIB, true], [kib * KIB, false]], rounds);
    runs[`${kib} KiB`] = { tracked, whole };
    return [
      row(`bytes written per byte dirtied, ${kib} KiB folios`, tracked.ratio, peer, whole.ratio, '×', `${kib / 4} → 1`),
      row(`the same, speed of overwrite and flush`, tracked.mibPerSecond, peer, whole.mibPerSecond, 'MiB/s', kib === 64 ? '28 → 452 MB/s' : ''),
    ];
  });
  return { rows, runs };
}

/** Folios handled, and mapping calls, per MiB of a file written in 1 MiB calls and written back. */
export function perMib() {
  const large = job('perMib', 2 * MIB, MIB, false);
  const small = job('perMib', 4 * KIB, MIB, false);
  const single = job('perMib', 2 * MIB, MIB, true);
  const rows = [
    row('folios per MiB, written in 1 MiB calls', large.foliosWritten, '4 KiB folios', small.foliosWritten, '/MiB', '256 × fewer'),
    row('folios per MiB, written back', large.foliosWrittenBack, '4 KiB folios', small.foliosWrittenBack, '/MiB', '256 × fewer'),
    row('mapping calls per MiB, write', large.begins, 'a block at a time', single.begins, '/MiB', ''),
    row('mapping calls per MiB, writeback', large.mapBlocks, 'a block at a time', single.mapBlocks, '/MiB', ''),
  ];
  return { rows, runs: { large, small, single } };
}

/** A read of 15 blocks of an ext2 file, the last three of them behind its indirect block. */
export function indirectRead() {
  const ours = job('indirect', false);
  const theirs = job('indirect', true);
  const order = ours.inOrder ? 'in disk order' : 'NOT in disk order';
  const peer = `map all first${theirs.inOrder ? '' : ', out of order'}`;
  return {
    rows: [row(`bios of an ext2 read across an indirect block, ${order}`, ours.bios.length, peer, theirs.bios.length, 'bios', '3 → 2')],
    runs: { ours, theirs },
  };
}

/** A 1 KiB overwrite of cached data must cost the same in any folio. */
export function smallOverwrites({ rounds }) {
  const sizes = [4, 64, 256, 2048];
  const answers = inTurn('smallOverwrites', sizes.map((kib) => [kib * KIB]), rounds);
  const [base, ...rest] = answers.map(({ nanoseconds }) => nanoseconds);
  return {
    rows: rest.map((ns, i) => row(`1 KiB overwrite in a folio of ${sizes[i + 1]} KiB`, ns, 'in a folio of 4 KiB', base, 'ns', 'at most 1.2')),
    runs: { sizes, answers },
  };
}

/** Buffered writes in large calls, with large folios and with 4 KiB ones. */
export function largeFolios({ rounds }) {
  const rows = [];
  const runs = {};
  for (const call of [64 * KIB, MIB]) {
    const [large, small] = inTurn('largeWrites', [[call, 2 * MIB], [call, 4 * KIB]], rounds);
    const name = call === MIB ? '1 MiB' : '64 KiB';
    runs[name] = { large, small };
    const published = call === MIB ? ['2.67', '2.37', '2.08'] : ['2.44', '', ''];
    for (const [i, [key, what]] of [['fresh', 'new data'], ['over', 'overwrite'], ['synced', 'overwrite and writeback']].entries()) {
      rows.push(row(`buffered write in ${name} calls, ${what}`, large[key], '4 KiB folios', small[key], 'MiB/s', published[i]));
    }
  }
  return { rows, runs };
}
