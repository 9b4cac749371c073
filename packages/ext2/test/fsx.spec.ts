/** The file exerciser over ext2; the soak runs a million operations. */
import { ext2FsxSlice } from './fsx.js';

it('a file of ext2 is a byte array, whatever is done to it', () => {
  const runs = Number(process.env['IOMAP_RUNS'] ?? 6);
  const start = performance.now();
  const { failures, done, tally } = ext2FsxSlice({ seed: Number(process.env['IOMAP_SEED'] ?? 1), ops: runs * 1000, perRun: 1000 });
  if (process.env['IOMAP_RUNS'] !== undefined) console.log(`${Math.round((done / (performance.now() - start)) * 1000)} operations/s`, tally);
  expect(failures.map(({ message }) => message)).toEqual([]);
}, 120_000);
