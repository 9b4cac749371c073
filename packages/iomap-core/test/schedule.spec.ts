/** Thousands of schedules; `IOMAP_SEED=n IOMAP_RUNS=1` replays one. The soak runs a million. */
import { testRuns, testSeed } from '@iomap/tools/testing';
import { runSchedule } from './schedule.js';

const log = process.env['IOMAP_LOG'] === undefined ? undefined : (line: string): void => void process.stderr.write(`${line}\n`);

it('tasks on one file see what was written, whatever the order', () => {
  const runs = testRuns(2000);
  const first = testSeed();
  const sum = { stale: 0, pressure: 0, lockWaits: 0, events: 0 };
  const start = performance.now();
  for (let seed = first; seed < first + runs; seed++) {
    try {
      const seen = runSchedule(seed, { log });
      for (const key of ['stale', 'pressure', 'lockWaits', 'events'] as const) sum[key] += seen[key];
    } catch (error) {
      throw new Error(`IOMAP_SEED=${seed}: ${String(error)}`, { cause: error instanceof Error && error.cause !== undefined ? error.cause : error });
    }
  }
  if (process.env['IOMAP_RUNS'] !== undefined) console.log(sum, `${Math.round(runs / (performance.now() - start) * 1000)}/s`);
  // The runs must have met what they are for.
  if (runs >= 1000) for (const seen of Object.values(sum)) expect(seen).toBeGreaterThan(50);
}, 120_000);

it('one request fails: the right call says so, no other data is lost, memory returns to its start', () => {
  const runs = testRuns(1500);
  const first = testSeed();
  let hit = 0;
  for (let seed = first; seed < first + runs; seed++) {
    try {
      hit += runSchedule(seed, { log, faults: true }).faults;
    } catch (error) {
      throw new Error(`IOMAP_SEED=${seed}: ${String(error)}`, { cause: error instanceof Error && error.cause !== undefined ? error.cause : error });
    }
  }
  if (runs >= 1000) expect(hit).toBeGreaterThan(runs / 3);
}, 120_000);

it.each([201339, 5003400])('once failed: a truncate comes before the block that writeback waits to map (seed %d)', (seed) => {
  expect(runSchedule(seed).calls).toBeGreaterThan(0);
});

it('once failed: an atomic write inside another was kept when the outer one was written (seed 150003479)', () => {
  expect(runSchedule(150003479).calls).toBeGreaterThan(0);
});

it('once failed: a direct read of a block that a store moved and its other owner then overwrote (seed 150004725)', () => {
  expect(runSchedule(150004725).calls).toBeGreaterThan(0);
});

it('once failed: a place of a copy was given up while an unsharing read the next block (seed 500052182)', () => {
  expect(runSchedule(500052182, { faults: true }).faults).toBe(1);
});
