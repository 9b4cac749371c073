/** A crash at any event of many short runs; `IOMAP_SEED=n IOMAP_RUNS=1` replays one. */
import { testRuns, testSeed } from '@iomap/tools/testing';
import { runCrash } from './crash.js';

it('what was synced is there, what was atomic is whole, and no byte is what it never was', () => {
  const runs = testRuns(40);
  const first = testSeed();
  let images = 0;
  for (let seed = first; seed < first + runs; seed++) {
    try {
      images += runCrash(seed).images;
    } catch (error) {
      throw new Error(`IOMAP_SEED=${seed}: ${String(error)}`, { cause: error });
    }
  }
  if (runs >= 40) expect(images).toBeGreaterThan(3000);
}, 120_000);

it.each([
  ['an atomic write in place over a size that is not durable', 4902],
  ['an atomic write in place over the end that a truncate made, and that is not durable', 4781],
  ['a size that is the end of a direct write, before what lies behind it is written', 5093],
])('once failed: %s (seed %d)', (_what, seed) => {
  expect(runCrash(seed, 12).images).toBeGreaterThan(100);
});
