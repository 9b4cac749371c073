/** Crashes of ext2 (`runCrashes`): `e2fsck -fy` repairs each disk, and finds nothing more in a second look. */
import { oracle, removeScratch, runCrashes, scratchDir, writeImage, type CrashResult, type CrashSlice, type DriverUnderTest } from '@iomap/conformance';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyImage, ext2, ext2Pages } from './driver.js';

/** @param driver default: one home of directories or the other, by the seed */
export function crashSlice(slice: CrashSlice & { readonly driver?: DriverUnderTest }): CrashResult {
  const dir = scratchDir('iomap-crash');
  const path = join(dir, 'disk');
  try {
    return runCrashes(
      (seed) => ({
        driver: slice.driver ?? (seed % 2 === 0 ? ext2 : ext2Pages),
        image: emptyImage(3 * 2 ** 20, { blockSize: 1024, inodes: 256 }),
        repair(disk) {
          writeImage(path, disk);
          const { status, stdout: log } = oracle('e2fsck').run(['-fy', path]);
          if (status >= 4) return { problem: `e2fsck -fy: status ${status}\n${log}`, log };
          const again = oracle('e2fsck').run(['-fn', path]);
          if (again.status !== 0) return { problem: `not clean after repair:\n${again.stdout}`, log };
          disk.set(readFileSync(path));
          return { problem: undefined, log };
        },
      }),
      slice,
    );
  } finally {
    removeScratch(dir);
  }
}
