/** Memory stays in its budget, and failures are told and cost nothing but what failed. */
import { isCode, runAsync, runSync } from '@iomap/io';
import { bmap, fiemap, type FiemapExtent } from './fiemap.js';
import { bufferedRead } from './read.js';
import { allAre, BLOCK, filled, rig } from './testing/pitfall-rig.js';
import { slowDevice } from './testing/rig.js';
import { invalidateRange } from './truncate.js';
import { bufferedWrite } from './write.js';

it('streams a file 16 times the budget, written and read, within the budget', async () => {
  const r = rig({ blocks: 4200, cacheOptions: { budgetBytes: 2 ** 20 } });
  for (const slow of [false, true]) {
    if (slow) (r.file.options as { device: unknown }).device = slowDevice(r.device, () => 1);
    for (let i = 0; i < 64; i++) {
      await runAsync(bufferedWrite(r.file, r.file.ops, i * 2 ** 18, filled(2 ** 18, 1 + i)));
      expect(r.cache.pool.heldBytes).toBeLessThanOrEqual(2 ** 20);
      expect(r.cache.dirtyBytes).toBeLessThanOrEqual(2 ** 20);
    }
    const bytes = new Uint8Array(100_000);
    for (let pos = 0; pos < r.file.size; pos += bytes.length) {
      const n = await runAsync(bufferedRead(r.file, r.file.ops, pos, bytes));
      expect(n).toBe(Math.min(bytes.length, r.file.size - pos));
      expect(bytes[0]).toBe(1 + Math.floor(pos / 2 ** 18));
      expect(r.cache.pool.heldBytes).toBeLessThanOrEqual(2 ** 20);
    }
  }
});

it('keeps several bios in flight for a sequential reader of a slow device', async () => {
  const r = rig({ blocks: 1024, cacheOptions: { budgetBytes: 16 * 2 ** 20 } });
  for (let i = 0; i < 1000; i++) r.file.setEntry(i, 'mapped', 1 + i);
  r.file.size = 1000 * BLOCK;
  const device = slowDevice(r.device, () => 4);
  (r.file.options as { device: unknown }).device = device;
  const bytes = new Uint8Array(BLOCK);
  for (let pos = 0; pos < r.file.size; pos += BLOCK) await runAsync(bufferedRead(r.file, r.file.ops, pos, bytes));
  expect(device.inFlightMax).toBeGreaterThan(1);
  expect(r.cache.counters.readBios).toBeLessThan(40);
});

it('reads of random places read only what is asked', () => {
  const r = rig({ blocks: 1024 });
  for (let i = 0; i < 1000; i++) r.file.setEntry(i, 'mapped', 1 + i);
  r.file.size = 1000 * BLOCK;
  for (let i = 1; i < 50; i++) r.read(((i * 389) % 1000) * BLOCK, 100);
  expect(r.cache.counters.readBioBytes).toBe(49 * BLOCK);
});

it.each([false, true])('an unreadable block is EIO where it is, and nowhere else (asynchronous: %s)', async (slow) => {
  const r = rig({ mapBlocksMax: 4 });
  r.write(0, filled(16 * BLOCK, 6));
  runSync(r.file.writeAll());
  invalidateRange(r.file, 0, Infinity);
  r.bad.push({ op: 'read', pos: r.file.entry(8).block * BLOCK, len: BLOCK });
  if (slow) (r.file.options as { device: unknown }).device = slowDevice(r.device, () => 2);
  const read = async (pos: number, len: number): Promise<number> => {
    const bytes = new Uint8Array(len);
    const n = await runAsync(bufferedRead(r.file, r.file.ops, pos, bytes));
    expect(allAre(bytes.subarray(0, n), 6)).toBe(true);
    return n;
  };
  // Short before it, then the error.
  expect(await read(0, 16 * BLOCK)).toBe(8 * BLOCK);
  await expect(read(8 * BLOCK, BLOCK)).rejects.toMatchObject({ code: 'EIO' });
  await expect(read(8 * BLOCK + 5, 1)).rejects.toMatchObject({ code: 'EIO' });
  expect(await read(12 * BLOCK, 4 * BLOCK)).toBe(4 * BLOCK);
  r.bad.length = 0;
  expect(await read(0, 16 * BLOCK)).toBe(16 * BLOCK);
  // Nothing is left locked or pinned.
  expect(invalidateRange(r.file, 0, Infinity)).toBe(true);
  expect(r.cache.usedBytes).toBe(0);
});

it('a bypassing write that fails tells so at once, and leaves the size', () => {
  const r = rig({ cacheOptions: { bypassWriteBytes: 4 * BLOCK } });
  r.bad.push({ op: 'write', pos: 0, len: 2 ** 20 });
  let code = '';
  try {
    r.write(0, filled(8 * BLOCK, 1));
  } catch (error) {
    if (isCode(error, 'EIO')) code = error.code;
  }
  expect([code, r.file.size, r.cache.counters.bypassWriteBytes]).toEqual(['EIO', 0, 0]);
  r.bad.length = 0;
  r.write(0, filled(8 * BLOCK, 1));
  expect(r.cache.counters.bypassWriteBytes).toBe(8 * BLOCK);
  expect(allAre(r.read(0, 8 * BLOCK), 1)).toBe(true);
});

it('fiemap merges neighbours, says which extent is last, and stops when told; bmap gives blocks', () => {
  const r = rig({ mapBlocksMax: 2 });
  for (const [index, state, block] of [[0, 'mapped', 10], [1, 'mapped', 11], [2, 'mapped', 12], [5, 'unwritten', 20], [9, 'mapped', 40]] as const) {
    r.file.setEntry(index, state, block);
  }
  r.file.size = 20 * BLOCK;
  const list = (pos: number, len: number, max = 10): FiemapExtent[] => {
    const found: FiemapExtent[] = [];
    runSync(fiemap(r.file, r.file.ops, pos, len, (extent) => found.push(extent) < max));
    return found;
  };
  expect(list(0, Infinity)).toEqual([
    { logical: 0, physical: 10 * BLOCK, length: 3 * BLOCK, flags: [] },
    { logical: 5 * BLOCK, physical: 20 * BLOCK, length: BLOCK, flags: ['unwritten'] },
    { logical: 9 * BLOCK, physical: 40 * BLOCK, length: BLOCK, flags: ['last'] },
  ]);
  expect(list(0, BLOCK)).toHaveLength(1);
  expect(list(6 * BLOCK, 2 * BLOCK)).toEqual([]);
  expect(list(0, Infinity, 1)).toHaveLength(1);
  expect([0, 1, 3, 9, 30].map((n) => runSync(bmap(r.file, r.file.ops, n)))).toEqual([10, 11, 0, 40, 0]);
});
