import { runSync } from '@iomap/io';
import { PageCache } from '@iomap/page-cache';
import { bufferedRead } from './read.js';
import { ExtentFile, type ExtentFileOptions } from './testing/extent-file.js';
import { freeBlocks, oldDevice, OLD_BYTE } from './testing/rig.js';
import { bufferedWrite } from './write.js';
import { writeback } from './writeback.js';
import { invalidateRange } from './truncate.js';

const BLOCK = 1024;

/** A file with `size` bytes on the device and nothing in the cache. */
function fileOf(size: number, options: Partial<ExtentFileOptions> = {}): ExtentFile {
  const cache = new PageCache({ budgetBytes: 2 ** 20 });
  const file = new ExtentFile({ cache, device: oldDevice(2 ** 20), blockSize: BLOCK, freeBlocks: freeBlocks(900), peeks: () => true, ...options });
  runSync(bufferedWrite(file, file.ops, 0, new Uint8Array(size).fill(7)));
  runSync(writeback(file, file.wbOps, { pos: 0, len: Infinity }));
  expect(invalidateRange(file, 0, Infinity)).toBe(true);
  return file;
}

describe('peekReadWhole', () => {
  it.each([600, 1024, 5000])('reads %d bytes without a folio once, and caches at the second read', (size) => {
    const file = fileOf(size);
    const bytes = new Uint8Array(8192).fill(1);
    expect(runSync(bufferedRead(file, file.ops, 0, bytes))).toBe(size);
    expect(file.mapping.folioCount).toBe(0);
    expect(bytes.subarray(0, size).every((byte) => byte === 7)).toBe(true);
    // What the caller had behind the end of file is its own.
    expect(bytes.subarray(size).every((byte) => byte === 1)).toBe(true);
    expect(bytes).not.toContain(OLD_BYTE);
    runSync(bufferedRead(file, file.ops, 0, bytes));
    expect(file.mapping.folioCount).toBeGreaterThan(0);
  });

  it('reads the map it lacks, and no byte twice', () => {
    const file = fileOf(5000, { mapBlocksMax: 1 });
    const { counters } = file.mapping.cache;
    const before = counters.readBioBytes;
    const bytes = new Uint8Array(5000);
    const ops = { begin: file.ops.begin.bind(file.ops) };
    expect(runSync(bufferedRead(file, ops, 0, bytes))).toBe(5000);
    expect(file.mapping.folioCount).toBe(0);
    expect(bytes.every((byte) => byte === 7)).toBe(true);
    expect(counters.readBioBytes - before).toBe(5000);
  });

  it('leaves holes and failures to the other way', () => {
    const file = fileOf(5000, { mapBlocksMax: 1 });
    const bytes = new Uint8Array(8192);
    file.map[2] = { state: 'hole', block: 0 };
    expect(runSync(bufferedRead(file, file.ops, 0, bytes))).toBe(5000);
    expect(bytes.subarray(2048, 3072).every((byte) => byte === 0)).toBe(true);
    expect(file.wasRead).toBe(true);
    const failing = fileOf(5000, { mapBlocksMax: 1 });
    failing.map[2] = { state: 'mapped', block: 2 ** 30 };
    expect(runSync(bufferedRead(failing, failing.ops, 0, bytes))).toBe(2048);
  });
});
