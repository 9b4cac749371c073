/** The file exerciser over ext2; the soak runs a million operations. */
import { imageDevice } from '@iomap/conformance';
import { fixedEnv, isCode, runSync } from '@iomap/io';
import { testRuns, testSeed } from '@iomap/tools/testing';
import { createVfs, O_CREAT, O_RDWR } from '@iomap/vfs';
import { emptyImage, ext2 } from './driver.js';
import { ext2FsxSlice } from './fsx.js';

it('a file of ext2 is a byte array, whatever is done to it', () => {
  const runs = testRuns(6);
  const start = performance.now();
  const { failures, done, tally } = ext2FsxSlice({ seed: testSeed(), ops: runs * 1000, perRun: 1000 });
  if (process.env['IOMAP_RUNS'] !== undefined) console.log(`${Math.round((done / (performance.now() - start)) * 1000)} operations/s`, tally);
  expect(failures.map(({ message }) => message)).toEqual([]);
}, 120_000);

it('has no fallocate, as in Linux: programs fall back on writes', () => {
  const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
  const vfs = createVfs(runSync(ext2.mount(imageDevice(emptyImage(2 ** 20)), { env })), { env });
  const fd = runSync(vfs.open('/file', O_RDWR | O_CREAT, 0o644));
  runSync(vfs.write(fd, new Uint8Array(8192).fill(1), 0));
  for (const mode of [{ keepSize: true }, { keepSize: true, punchHole: true }, { keepSize: true, zeroRange: true }, {}]) {
    let refused = false;
    try {
      runSync(vfs.fallocate(fd, mode, 0, 4096));
    } catch (error) {
      refused = isCode(error, 'EOPNOTSUPP');
    }
    expect(refused).toBe(true);
  }
  const bytes = new Uint8Array(8192);
  expect(runSync(vfs.read(fd, bytes, 0))).toBe(8192);
  expect(bytes.every((byte) => byte === 1)).toBe(true);
  runSync(vfs.close(fd));
  runSync(vfs.unmount());
});
