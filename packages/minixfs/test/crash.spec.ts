import { testSeed } from '@iomap/tools/testing';
import { minixCrashSlice } from './crash.js';
import { minix, minixPages } from './driver.js';

const seed = testSeed();

describe.each([minix, minixPages])('crashes of $name', (driver) => {
  it('lose no file that was fsynced, after repair', () => {
    const result = minixCrashSlice({ seed, count: 40, driver });
    expect(result.failures).toEqual([]);
    expect(Object.values(result.tally).reduce((sum, count) => sum + count, 0)).toBe(40);
  });

  it('canary: those of a disk that ignores flushes do', () => {
    // A seed that fsyncs before its crashes; not every one does.
    expect(minixCrashSlice({ seed: 3, count: 30, driver }).tally['intact, with promises'] ?? 0).toBeGreaterThan(0);
    expect(minixCrashSlice({ seed: 3, count: 30, ignoreFlushes: true, driver }).failures.length).toBeGreaterThan(0);
  });
});
