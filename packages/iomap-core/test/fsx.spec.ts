/** The file exerciser over the testing filesystem, with every block size from 512 bytes to 64 KiB. The soak runs a million operations. */
import { testRuns, testSeed } from '@iomap/tools/testing';
import { extentFsxSlice } from './fsx-subject.js';

it('a file is a byte array, whatever is done to it', () => {
  const runs = testRuns(16);
  const start = performance.now();
  const { failures, done, tally } = extentFsxSlice({ seed: testSeed(), ops: runs * 1000, perRun: 1000 });
  if (process.env['IOMAP_RUNS'] !== undefined) console.log(`${Math.round((done / (performance.now() - start)) * 1000)} operations/s`, tally);
  expect(failures.map(({ message }) => message)).toEqual([]);
}, 120_000);
