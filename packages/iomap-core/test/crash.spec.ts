/** A crash at any event of many short runs; `IOMAP_SEED=n IOMAP_RUNS=1` replays one. */
import { runCrash } from './crash.js';

it('what was synced is there, what was atomic is whole, and no byte is what it never was', () => {
  const runs = Number(process.env['IOMAP_RUNS'] ?? 40);
  const first = Number(process.env['IOMAP_SEED'] ?? 1);
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
