/** Options of a call: no-wait, don't-cache; sources that give less than they have; cancelled calls. */
import { FsError, runAsync, runSync, Scheduler } from '@iomap/io';
import type { BlockDevice } from '@iomap/block-device';
import { bufferedRead } from './read.js';
import type { IomapOps } from './iomap.js';
import type { ExtentFile } from './testing/extent-file.js';
import { allAre, BLOCK, filled, rig, type Rig } from './testing/pitfall-rig.js';
import { slowDevice } from './testing/rig.js';
import { invalidateRange } from './truncate.js';
import { bufferedWrite } from './write.js';
import type { CopySource } from './write-folio.js';
import { startWriteback } from './writeback.js';

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'none';
};
const write = (r: Rig, pos: number, bytes: Uint8Array | CopySource, control = {}): number =>
  runSync(bufferedWrite(r.file, r.file.ops, pos, bytes, control));
const read = (r: Rig, pos: number, len: number, control = {}): Uint8Array => {
  const bytes = new Uint8Array(len);
  return bytes.subarray(0, runSync(bufferedRead(r.file, r.file.ops, pos, bytes, control)));
};

describe('a no-wait read', () => {
  it('gives what is cached, and EAGAIN where nothing is', () => {
    const r = rig({ peeks: () => true });
    r.write(0, filled(4 * BLOCK, 5));
    runSync(r.file.writeAll());
    invalidateRange(r.file, 2 * BLOCK, 2 * BLOCK);
    r.file.mapping.lookup(0)?.clearUptodate(2 * BLOCK, 4 * BLOCK);
    const before = r.bios.length;
    expect(codeOf(() => read(r, 2 * BLOCK, 10, { nowait: true }))).toBe('EAGAIN');
    r.read(0, 2 * BLOCK);
    const bios = r.bios.length;
    r.file.mapping.lookup(3 * BLOCK)?.clearUptodate(2 * BLOCK, 4 * BLOCK);
    expect(read(r, BLOCK, 4 * BLOCK, { nowait: true }).length).toBeGreaterThanOrEqual(BLOCK);
    expect(r.bios.length).toBe(bios);
    expect(before).toBeLessThanOrEqual(bios);
  });

  it('of a hole needs nothing', () => {
    const r = rig({ peeks: () => true });
    r.file.size = 3 * BLOCK;
    expect(read(r, 0, 4 * BLOCK, { nowait: true })).toHaveLength(3 * BLOCK);
    expect(read(r, 5 * BLOCK, 10, { nowait: true })).toHaveLength(0);
  });
});

describe('a no-wait write', () => {
  it('is EAGAIN with nothing changed: the map, the folio lock, an edge to read, too much dirty', () => {
    const r = rig();
    expect(codeOf(() => write(r, 0, filled(10, 1), { nowait: true }))).toBe('EAGAIN');
    expect(r.file.beginsOpen).toBe(0);
    let peeks = true;
    const other = rig({ peeks: () => peeks });
    other.file.setEntry(0, 'mapped', 5);
    other.file.size = BLOCK;
    expect(codeOf(() => write(other, 10, filled(10, 1), { nowait: true }))).toBe('EAGAIN');
    expect(other.bios).toEqual([]);
    expect(other.cache.dirtyBytes).toBe(0);
    expect(write(other, 0, filled(BLOCK, 1), { nowait: true })).toBe(BLOCK);
    const folio = other.file.mapping.lookup(0);
    expect(folio?.tryLock()).toBe(true);
    expect(codeOf(() => write(other, 0, filled(BLOCK, 1), { nowait: true }))).toBe('EAGAIN');
    folio?.unlock();
    peeks = false;
    expect(codeOf(() => write(other, 0, filled(BLOCK, 1), { nowait: true }))).toBe('EAGAIN');
    expect(other.cache.counters.nowaitMisses).toBeGreaterThan(2);
  });

  it('calls a `begin` that obeys the flag', () => {
    const r = rig();
    const ops: IomapOps<ExtentFile> = { ...r.file.ops, nowait: true };
    expect(runSync(bufferedWrite(r.file, ops, 0, filled(2 * BLOCK, 1), { nowait: true }))).toBe(2 * BLOCK);
  });
});

describe('don\'t-cache', () => {
  it('reads leave no folio behind, and spare those of others', () => {
    const r = rig();
    r.write(0, filled(64 * BLOCK, 5));
    runSync(r.file.writeAll());
    invalidateRange(r.file, 0, Infinity);
    r.read(10 * BLOCK, BLOCK);
    const kept = r.file.mapping.lookup(10 * BLOCK);
    for (let pos = 0; pos < 64 * BLOCK; pos += 8 * BLOCK) expect(allAre(read(r, pos, 8 * BLOCK, { dontcache: true }), 5)).toBe(true);
    expect(r.file.mapping.lookup(10 * BLOCK)).toBe(kept);
    expect(r.cache.usedBytes).toBeLessThanOrEqual(kept?.size ?? 0);
  });

  it('writes are sent at once, and dropped when they are written', async () => {
    const r = rig();
    r.file.mapping.host.startWriteback = (range) => startWriteback(r.file, r.file.wbOps, range);
    write(r, 0, filled(8 * BLOCK, 5), { dontcache: true });
    expect(r.file.mapping.folioCount).toBe(0);
    expect(allAre(r.read(0, 8 * BLOCK), 5)).toBe(true);
    (r.file.options as { device: BlockDevice }).device = slowDevice(r.device, () => 3);
    await runAsync(bufferedWrite(r.file, r.file.ops, 8 * BLOCK, filled(8 * BLOCK, 6), { dontcache: true }));
    expect(r.file.mapping.isInFlight(8 * BLOCK, 16 * BLOCK)).toBe(true);
    await runAsync(r.file.mapping.waitInFlight(0, Infinity));
    expect(r.file.mapping.lookup(8 * BLOCK)).toBeUndefined();
  });
});

describe('12: a source that gives less than it has', () => {
  /** Gives at most `most` bytes a call, and nothing from `stop` on. */
  const source = (length: number, most: number, stop = Infinity): CopySource => ({
    length,
    copyTo(into, at) {
      const n = Math.max(0, Math.min(into.length, most, stop - at));
      for (let i = 0; i < n; i++) into[i] = 1 + ((at + i) % 250);
      return n;
    },
  });
  const expected = (from: number, len: number): Uint8Array => Uint8Array.from({ length: len }, (_, i) => 1 + ((from + i) % 250));

  it.each([1000, 4096, 5000, 100_000])('is written whole, %i bytes at a time', (most) => {
    const r = rig({ blockSize: 1024 });
    expect(write(r, 300, source(20_000, most))).toBe(20_000);
    expect(r.read(300, 20_000)).toEqual(expected(0, 20_000));
    expect(allAre(r.read(0, 300), 0)).toBe(true);
  });

  it('ends the write where it gives nothing: a count, or EFAULT', () => {
    const r = rig({ blockSize: 1024 });
    r.write(0, filled(16_384, 9));
    runSync(r.file.writeAll());
    invalidateRange(r.file, 0, Infinity);
    expect(write(r, 100, source(8000, Infinity, 3000))).toBe(3000);
    const bytes = r.read(0, 16_384);
    expect(bytes.subarray(100, 3100)).toEqual(expected(0, 3000));
    expect(allAre(bytes.subarray(3100), 9)).toBe(true);
    expect(codeOf(() => write(r, 0, source(100, 0)))).toBe('EFAULT');
    if (r.file.ops.end !== undefined) expect(r.file.beginsOpen).toBe(0);
  });

  it('into inline data', () => {
    const r = rig({ inlineMaxBytes: 1024 });
    expect(write(r, 0, source(100, Infinity, 60))).toBe(60);
    expect(r.read(0, 100)).toEqual(expected(0, 60));
  });
});

it('a cancelled call gives back what `begin` took, by `cancel`', async () => {
  const r = rig();
  const cancelled: [number, number, number][] = [];
  const ops: IomapOps<ExtentFile> = {
    ...r.file.ops,
    cancel(_inode, pos, length, written) {
      cancelled.push([pos, length, written]);
    },
  };
  const folio = r.file.mapping.tryAlloc(0, BLOCK);
  const scheduler = new Scheduler();
  const task = scheduler.spawn(bufferedWrite(r.file, ops, 0, filled(4 * BLOCK, 1)));
  await Promise.resolve();
  task.cancel();
  folio?.unlock();
  await scheduler.idle();
  expect(cancelled).toEqual([[0, 4 * BLOCK, 0]]);
  // What ends well has no `cancel`.
  runSync(bufferedWrite(r.file, ops, 0, filled(BLOCK, 1)));
  expect(cancelled).toHaveLength(1);
});
