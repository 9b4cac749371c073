/** Writeback: what filesystems do around an ioend, by range and by age, and what a cancel leaves. */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, runAsync, runSync, Scheduler } from '@iomap/io';
import type { IoendInfo, WritebackOps } from './iomap.js';
import type { ExtentFile } from './testing/extent-file.js';
import { BLOCK, filled, rig, type Rig } from './testing/pitfall-rig.js';
import { slowDevice } from './testing/rig.js';
import { bufferedWrite } from './write.js';
import { startWriteback, syncFileRange, writeback, writebackOlder } from './writeback.js';

const ALL = { pos: 0, len: Infinity };

/** Every second block of the device: many ioends. */
const scattered = (count: number): number[] => Array.from({ length: count }, (_, i) => 2 + 2 * (count - i));

function slow(r: Rig, turns: () => number): void {
  (r.file.options as { device: BlockDevice }).device = slowDevice(r.device, turns);
}

describe('18: finishIoend', () => {
  const finishing = (r: Rig, finish: (ioend: IoendInfo) => void): WritebackOps<ExtentFile> => ({
    ...r.file.wbOps,
    peekBlocks(inode, offset, length, out) {
      inode.mapDirty(offset, length, out);
      out.length = Math.min(out.length, (r.file.options.mapBlocksMax ?? Infinity) * BLOCK);
      return true;
    },
    *finishIoend(_inode, ioend) {
      finish(ioend);
      yield* [];
    },
  });

  it.each([false, true])('hears of ioends sorted and merged, before they count as written (asynchronous: %s)', async (isSlow) => {
    const r = rig({ freeBlocks: scattered(16), mapBlocksMax: 1 });
    r.write(0, filled(16 * BLOCK, 1));
    if (isSlow) {
      let turns = 50;
      slow(r, () => turns--);
    }
    const heard: [number, number][] = [];
    const ops = finishing(r, (ioend) => {
      expect(r.file.mapping.isInFlight(ioend.pos, ioend.end)).toBe(true);
      heard.push([ioend.pos / BLOCK, ioend.end / BLOCK]);
    });
    await runAsync(writeback(r.file, ops, ALL));
    expect(r.file.mapping.isInFlight(0, Infinity)).toBe(false);
    expect(r.file.mapping.lookup(0)?.writebacks).toBe(0);
    if (isSlow) expect(heard.length).toBeLessThanOrEqual(16);
    else expect(heard).toEqual([[0, 16]]);
    expect(heard.reduce((sum, [from, to]) => sum + to - from, 0)).toBe(16);
  });

  it('that fails gives up the data, and fsync is told', () => {
    const r = rig();
    r.write(0, filled(2 * BLOCK, 1));
    runSync(writeback(r.file, finishing(r, () => {
      throw new FsError('ENOSPC');
    }), ALL));
    expect(r.file.mapping.takeError()?.code).toBe('ENOSPC');
    expect(r.file.discarded).toEqual([{ pos: 0, length: 2 * BLOCK }]);
    expect(r.cache.dirtyBytes).toBe(0);
  });

  it('is not asked about a bio that failed', () => {
    const r = rig();
    r.write(0, filled(BLOCK, 1));
    r.bad.push({ op: 'write', pos: 0, len: Infinity });
    let asked = 0;
    runSync(writeback(r.file, finishing(r, () => asked++), ALL));
    expect(asked).toBe(0);
    expect(r.file.mapping.takeError()?.code).toBe('EIO');
  });

  it('whose task is cancelled leaves the data dirty', async () => {
    const r = rig();
    r.write(0, filled(BLOCK, 1));
    slow(r, () => 14);
    const scheduler = new Scheduler();
    scheduler.spawn(startWriteback(r.file, finishing(r, () => undefined), ALL));
    for (let i = 0; i < 3; i++) await Promise.resolve();
    expect(r.file.mapping.isInFlight(0, Infinity)).toBe(true);
    scheduler.cancelAll();
    await scheduler.idle();
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(r.file.mapping.isInFlight(0, Infinity)).toBe(false);
    expect(r.cache.dirtyBytes).toBe(BLOCK);
    expect(r.file.mapping.takeError()).toBeUndefined();
  });
});

describe('submitIoend', () => {
  it('comes before each bio, and its failure is that of just these blocks', () => {
    const r = rig({ freeBlocks: scattered(4), mapBlocksMax: 1 });
    r.write(0, filled(4 * BLOCK, 1));
    const seen: number[] = [];
    runSync(writeback(r.file, {
      ...r.file.wbOps,
      *submitIoend(_inode, ioend) {
        seen.push(ioend.pos / BLOCK);
        if (ioend.pos === 2 * BLOCK) throw new FsError('EDQUOT');
        yield* [];
      },
    }, ALL));
    expect(seen).toEqual([0, 1, 2, 3]);
    expect(r.bios).toHaveLength(3);
    expect(r.file.discarded).toEqual([{ pos: 2 * BLOCK, length: BLOCK }]);
    expect(r.file.mapping.takeError()?.code).toBe('EDQUOT');
    expect(r.file.mapping.isInFlight(0, Infinity)).toBe(false);
  });
});

it('a range is written and waited for in steps', async () => {
  const r = rig({ cacheOptions: { folioMaxBytes: BLOCK } });
  r.write(0, filled(8 * BLOCK, 1));
  slow(r, () => 4);
  const range = { pos: 2 * BLOCK, len: 3 * BLOCK };
  await runAsync(syncFileRange(r.file, r.file.wbOps, range, { write: true }));
  expect(r.file.mapping.isInFlight(0, Infinity)).toBe(true);
  expect(r.cache.dirtyBytes).toBe(5 * BLOCK);
  await runAsync(syncFileRange(r.file, r.file.wbOps, range, { waitAfter: true }));
  expect(r.file.mapping.isInFlight(0, Infinity)).toBe(false);
  expect(r.bios).toEqual([{ op: 'write', pos: 3 * BLOCK, len: 3 * BLOCK, segments: 3 }]);
});

describe('8, 9: a size that gets shorter while writeback waits for a mapping', () => {
  /** Writes four blocks that do not lie together; at the mapping of `at` the size becomes `size`. */
  function shrunk(at: number, size: number, folioMaxBytes: number): { r: Rig; maps: number[]; ends: [number, number][] } {
    const maps: number[] = [];
    const ends: [number, number][] = [];
    const r = rig({ freeBlocks: scattered(4), cacheOptions: { folioMaxBytes }, *onMap(pos) {
      maps.push(pos);
      if (pos === at) r.file.size = size;
      yield* [];
    } });
    r.write(0, filled(4 * BLOCK, 1));
    runSync(writeback(r.file, { ...r.file.wbOps, endIoend: (_inode, { pos, end }) => ends.push([pos, end]) }, ALL));
    expect(r.file.mapping.isInFlight(0, Infinity)).toBe(false);
    return { r, maps, ends };
  }

  it('before what was mapped: nothing of it is written, and no ioend ends before it begins', () => {
    const { r, ends } = shrunk(2 * BLOCK, 100, BLOCK);
    expect(ends).toEqual([[0, BLOCK], [BLOCK, 2 * BLOCK]]);
    expect(r.bios).toHaveLength(2);
    expect(r.cache.dirtyBytes).toBe(0);
  });

  it('in the same folio: what follows is not mapped, and the last block has zeroes past the end', () => {
    const { r, maps, ends } = shrunk(BLOCK, BLOCK + 100, 4 * BLOCK);
    expect(maps).toEqual([0, BLOCK]);
    expect(ends).toEqual([[0, BLOCK], [BLOCK, BLOCK + 100]]);
    expect(r.cache.dirtyBytes).toBe(0);
    const { block } = r.file.entry(1);
    const written = r.disk().subarray(block * BLOCK, (block + 1) * BLOCK);
    expect([written[99], written[100], written[BLOCK - 1]]).toEqual([1, 0, 0]);
  });
});

it('old data is written by age', () => {
  const r = rig();
  expect(runSync(writebackOlder(r.cache, 1000, 30_000))).toBe(0);
  r.write(0, filled(BLOCK, 1));
  expect(runSync(writebackOlder(r.cache, 20_000, 30_000))).toBe(0);
  expect(r.cache.dirtyBytes).toBe(BLOCK);
  expect(runSync(writebackOlder(r.cache, 31_000, 30_000))).toBe(1);
  expect(r.cache.dirtyBytes).toBe(0);
  expect(r.file.mapping.dirtiedAtMs).toBe(-1);
});

describe('throttling', () => {
  it('has a writer over the background share send what it dirtied, without a wait', async () => {
    const r = rig({ blocks: 4000, cacheOptions: { budgetBytes: 2 ** 20 } });
    slow(r, () => 1);
    let started = 0;
    r.file.mapping.host.startWriteback = (range) => (started++, startWriteback(r.file, r.file.wbOps, range));
    for (let i = 0; i < 64; i++) await runAsync(bufferedWrite(r.file, r.file.ops, i * 2 ** 14, filled(2 ** 14, 1)));
    expect(started).toBeGreaterThan(1);
    expect(r.cache.counters.throttles).toBe(0);
    expect(r.cache.dirtyBytes).toBeLessThanOrEqual(2 ** 19);
    await runAsync(r.file.mapping.waitInFlight(0, Infinity));
  });

  it('has a heavy writer wait for its own data before a light one has to', () => {
    const r = rig({ blocks: 4000, cacheOptions: { budgetBytes: 2 ** 20 } });
    r.write(0, filled(2 ** 18 + 2 ** 17, 1));
    expect(r.cache.mustThrottle(r.file.mapping)).toBe(false);
    // Others have dirty data, too.
    r.cache.dirtyBytes += 2 ** 17;
    expect(r.cache.mustThrottle(r.file.mapping)).toBe(true);
    runSync(r.cache.throttle(r.file.mapping));
    expect(r.file.mapping.dirtyBytes).toBe(0);
    expect(r.cache.counters.throttles).toBe(1);
    r.cache.dirtyBytes -= 2 ** 17;
  });
});

it('an error of writeback is told once to each open file, also to the first one opened after it', () => {
  const r = rig();
  const { mapping } = r.file;
  const early = { errorSeq: mapping.sampleError() };
  mapping.setError(new FsError('EIO'));
  const late = { errorSeq: mapping.sampleError() };
  expect(mapping.checkErrorSince(early)?.code).toBe('EIO');
  expect(mapping.checkErrorSince(early)).toBeUndefined();
  expect(mapping.checkErrorSince(late)?.code).toBe('EIO');
  const after = { errorSeq: mapping.sampleError() };
  expect(mapping.checkErrorSince(after)).toBeUndefined();
  mapping.setError(new FsError('ENOSPC'));
  for (const file of [early, late, after]) expect(mapping.checkErrorSince(file)?.code).toBe('ENOSPC');
  expect(mapping.takeError()?.code).toBe('EIO');
});

it('trace events tell of every operation', () => {
  const r = rig();
  const types = new Set<string>();
  r.cache.trace = (event) => types.add(event.type);
  r.write(0, filled(BLOCK, 1));
  runSync(r.file.writeAll());
  expect([...types].sort()).toEqual(['begin', 'bio', 'end', 'ioend', 'map', 'write', 'writeback']);
});
