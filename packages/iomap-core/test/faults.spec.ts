/** Each request of many workloads fails in turn; `IOMAP_SEED=n IOMAP_RUNS=1` replays one workload. */
import { testRuns, testSeed } from '@iomap/tools/testing';
import { runFaults } from './faults.js';

it('the right call reports it, nothing else is lost, nothing is left', () => {
  const runs = testRuns(30);
  const first = testSeed();
  let told = 0;
  for (let seed = first; seed < first + runs; seed++) told += runFaults(seed).told;
  expect(told).toBeGreaterThan(runs);
}, 120_000);
