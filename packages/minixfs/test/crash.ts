/**
 * Crashes of minix (`runCrashes`), versions, names and homes of directories in turn: our `repair` mends each disk, and `fsck.minix -f`, where
 * it is at hand, finds nothing after it.
 */
import {
  findOracle, imageDevice, oracle, removeScratch, runCrashes, scratchDir, writeImage, type CrashResult, type CrashSlice, type CrashSubject,
  type DriverUnderTest,
} from '@iomap/conformance';
import { fixedEnv, runSync } from '@iomap/io';
import { join } from 'node:path';
import { repair } from '../src/index.js';
import { minix, minixFor, minixPages, PLAIN_FORMATS } from './driver.js';

function subject(seed: number, path: string, given: DriverUnderTest | undefined): CrashSubject {
  const format = PLAIN_FORMATS[seed % PLAIN_FORMATS.length];
  const options = { ...format?.options, inodes: 256 };
  const home = Math.floor(seed / PLAIN_FORMATS.length) % 2 === 0 ? minix : minixPages;
  const driver = minixFor(options, given ?? home);
  const image = new Uint8Array(3 * 2 ** 20);
  runSync(driver.mkfs(imageDevice(image), { env: fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } }), ...options }));
  return {
    driver: { ...driver, name: `${driver.name} ${format?.name ?? ''}` },
    image,
    repair(disk) {
      const report = runSync(repair(imageDevice(disk)));
      const log = report.fixes.map((fix) => JSON.stringify(fix)).join('\n');
      if (!report.clean) return { problem: `not clean after repair:\n${log}`, log };
      if (findOracle('fsck-minix') === undefined) return { problem: undefined, log };
      writeImage(path, disk);
      const judged = oracle('fsck-minix').run(['-f', path]);
      const problem = judged.status === 0 ? undefined : `fsck.minix -f after repair: status ${judged.status}\n${judged.stdout}\n${log}`;
      return { problem, log };
    },
  };
}

/** @param driver default: one home of directories or the other, by the seed */
export function minixCrashSlice(slice: CrashSlice & { readonly driver?: DriverUnderTest }): CrashResult {
  const dir = scratchDir('iomap-minix-crash');
  try {
    return runCrashes((seed) => subject(seed, join(dir, 'disk'), slice.driver), slice);
  } finally {
    removeScratch(dir);
  }
}
