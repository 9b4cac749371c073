/**
 * Where the generators of a test start. The same at each run, so that what has passed passes again: the soak
 * (`npm run soak`) is what goes new ways.
 *
 * - `IOMAP_SEED=n`: another start, as a failure prints it.
 * - `IOMAP_RUNS=n`: how many rounds; with 1, a failure alone.
 */
export const testSeed = (): number => Number(process.env['IOMAP_SEED'] ?? 1);

/** Rounds of a test that goes through many seeds; `usual` without `IOMAP_RUNS`. */
export const testRuns = (usual: number): number => Number(process.env['IOMAP_RUNS'] ?? usual);
