import { memoryDevice, type BlockDevice } from '@iomap/block-device';
import { FsError, isCode, runAsync, runSync, type Bio, type IoResult } from '@iomap/io';

import type { Buf, BufOps, Shortcut } from './buf.js';
import { BufferCache } from './buffer-cache.js';

const BLOCK = 1024;

/** A memory device that logs bios, fails on request and, when asked, answers later. */
function testDevice(options: { later?: boolean; maxBioBytes?: number } = {}) {
  const inner = memoryDevice({ sizeBytes: 1024 * BLOCK });
  const log: Bio[] = [];
  const failing = new Set<number>();
  const answer = (bio: Bio): IoResult => {
    const failed = [...failing].some((pos) => pos >= bio.pos && pos < bio.pos + bio.lengthBytes);
    if (failed) return { ok: false, error: new FsError('EIO') };
    return inner.submit(bio) as IoResult; // a memory device answers at once
  };
  const device: BlockDevice = {
    name: 'test',
    sizeBytes: inner.sizeBytes,
    sectorSize: 512,
    readOnly: false,
    synchronous: options.later !== true,
    limits: { ...inner.limits, maxBioBytes: options.maxBioBytes ?? 1 << 20 },
    submit(bio) {
      log.push(bio);
      if (options.later !== true) return answer(bio);
      return new Promise((resolve) => setImmediate(() => resolve(answer(bio))));
    },
    close() {
      inner.close();
    },
  };
  const put = (pos: number, byte: number): void => {
    void inner.submit({ op: 'write', pos, segments: [new Uint8Array(BLOCK).fill(byte)], lengthBytes: BLOCK });
  };
  const peekByte = (pos: number): number => {
    const bytes = new Uint8Array(BLOCK);
    void inner.submit({ op: 'read', pos, segments: [bytes], lengthBytes: BLOCK });
    return bytes[0] ?? -1;
  };
  return { device, log, failing, put, peekByte };
}

const cacheOf = (device: BlockDevice, budgetBytes = 64 * BLOCK): BufferCache =>
  new BufferCache(device, { budgetBytes });

/** A block type whose first byte must be 7. */
const sevens: BufOps = {
  name: 'sevens',
  verifyRead: (view) => (view.getUint8(0) === 7 ? undefined : { field: 'magic', why: 'bad magic' }),
  verifyWrite: (view) => (view.getUint8(0) === 7 ? undefined : { field: 'magic', why: 'bad magic' }),
};

function dirty(cache: BufferCache, pos: number, byte: number, owner?: object): Buf {
  const buf = cache.get(pos, BLOCK);
  buf.bytes.fill(byte);
  buf.initialise().markDirty(owner);
  return buf;
}

const failureOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return error instanceof FsError ? error.code : (error as Error).name;
  }
  return 'none';
};

describe('BufferCache reads', () => {
  it('reads once, then peeks', () => {
    const { device, log, put } = testDevice();
    put(BLOCK, 5);
    const cache = cacheOf(device);
    expect(cache.peek(BLOCK)).toBeUndefined();
    const buf = runSync(cache.read(BLOCK, BLOCK));
    expect(buf.bytes[9]).toBe(5);
    expect(cache.peek(BLOCK)).toBe(buf);
    expect(runSync(cache.read(BLOCK, BLOCK))).toBe(buf);
    expect(log).toHaveLength(1);
  });

  it('reads within the call where the device can', () => {
    const { device, put, log } = testDevice();
    put(BLOCK, 5);
    expect(cacheOf(device).readNow(BLOCK, BLOCK)).toBeUndefined();
    const inner = memoryDevice({ sizeBytes: 4 * BLOCK });
    void inner.submit({ op: 'write', pos: BLOCK, segments: [new Uint8Array(BLOCK).fill(7)], lengthBytes: BLOCK });
    const cache = cacheOf(inner);
    const buf = cache.readNow(BLOCK, BLOCK, sevens);
    expect(buf?.bytes[9]).toBe(7);
    expect(cache.peek(BLOCK)).toBe(buf);
    expect(cache.readNow(BLOCK, BLOCK)).toBe(buf);
    expect(cache.counters).toMatchObject({ misses: 1, readBios: 1, readBytes: BLOCK });
    // What cannot be read, or is not what it should be, is for `read` to report.
    expect(cache.readNow(0, BLOCK, sevens)).toBeUndefined();
    expect(failureOf(() => runSync(cache.read(0, BLOCK, sevens)))).not.toBe('none');
    for (const pos of [-BLOCK, 4 * BLOCK, 1]) expect(cache.readNow(pos, BLOCK)).toBeUndefined();
    expect(log).toHaveLength(0);
  });

  it('shares one device read among tasks', async () => {
    const { device, log, put } = testDevice({ later: true });
    put(0, 9);
    const cache = cacheOf(device);
    const bufs = await Promise.all([1, 2, 3].map(() => runAsync(cache.read(0, BLOCK))));
    expect(new Set(bufs).size).toBe(1);
    expect(log).toHaveLength(1);
    expect(bufs[0]?.bytes[0]).toBe(9);
  });

  it('gives a failed read to every waiter and lets a later one try again', async () => {
    const { device, failing } = testDevice({ later: true });
    failing.add(0);
    const cache = cacheOf(device);
    const ends = await Promise.allSettled([1, 2].map(() => runAsync(cache.read(0, BLOCK))));
    expect(ends.every((end) => end.status === 'rejected' && isCode(end.reason, 'EIO'))).toBe(true);
    failing.clear();
    await expect(runAsync(cache.read(0, BLOCK))).resolves.toBeDefined();
  });

  it('verifies, and again when the block is asked for as another type', () => {
    const { device, put } = testDevice();
    put(0, 6);
    const cache = cacheOf(device);
    expect(failureOf(() => runSync(cache.read(0, BLOCK, sevens)))).toBe('EUCLEAN');
    expect(cache.count).toBe(0);
    runSync(cache.read(0, BLOCK));
    expect(cache.peek(0, sevens)).toBeUndefined();
    expect(failureOf(() => runSync(cache.read(0, BLOCK, sevens)))).toBe('EUCLEAN');
    put(BLOCK, 7);
    expect(runSync(cache.read(BLOCK, BLOCK, sevens)).ops).toBe(sevens);
  });

  it('refuses ranges off the device', () => {
    const cache = cacheOf(testDevice().device);
    for (const pos of [-BLOCK, 1024 * BLOCK, 2 ** 52, Number.NaN, 100]) {
      expect(failureOf(() => runSync(cache.read(pos, BLOCK)))).toBe('EUCLEAN');
    }
  });

  it('reads ahead in one vectored bio, around what it has', async () => {
    const { device, log, put } = testDevice({ later: true });
    for (let i = 0; i < 8; i++) put(i * BLOCK, i);
    const cache = cacheOf(device);
    await runAsync(cache.read(3 * BLOCK, BLOCK));
    await runAsync(cache.readahead(0, BLOCK, undefined, 8));
    const buf = await runAsync(cache.read(7 * BLOCK, BLOCK));
    expect(buf.bytes[0]).toBe(7);
    expect(log.map((bio) => [bio.pos / BLOCK, bio.segments.length])).toEqual([
      [3, 1],
      [0, 3],
      [4, 4],
    ]);
  });
});

describe('BufferCache writes', () => {
  it('writes dirty buffers sorted, neighbours merged', () => {
    const { device, log, peekByte } = testDevice({ maxBioBytes: 2 * BLOCK });
    const cache = cacheOf(device);
    for (const block of [5, 1, 3, 2, 4, 9]) dirty(cache, block * BLOCK, block);
    expect(cache.dirtyBytes).toBe(6 * BLOCK);
    runSync(cache.sync());
    expect(log.map((bio) => [bio.pos / BLOCK, bio.segments.length])).toEqual([
      [1, 2],
      [3, 2],
      [5, 1],
      [9, 1],
    ]);
    expect(peekByte(9 * BLOCK)).toBe(9);
    expect(cache.dirtyBytes).toBe(0);
  });

  it('syncs one owner, and forgets its list once written', () => {
    const { device, log } = testDevice();
    const cache = cacheOf(device);
    const [a, b] = [{}, {}];
    dirty(cache, 0, 1, a);
    dirty(cache, 2 * BLOCK, 1, b).markDirty(a);
    dirty(cache, 4 * BLOCK, 1, b);
    runSync(cache.syncOwner(a));
    expect(log.map((bio) => bio.pos / BLOCK)).toEqual([0, 2]);
    runSync(cache.syncOwner(a));
    runSync(cache.syncOwner(b));
    expect(log).toHaveLength(3);
  });

  it('keeps a buffer dirty that changed while its write was in flight', async () => {
    const { device, log } = testDevice({ later: true });
    const cache = cacheOf(device);
    const buf = dirty(cache, 0, 1);
    const writing = runAsync(cache.sync());
    buf.bytes.fill(2);
    buf.markDirty();
    await Promise.all([writing, runAsync(cache.sync())]);
    expect(log).toHaveLength(2);
    expect(buf.dirty).toBe(false);
  });

  it("waits in sync, and in an owner's sync, for the writes that another task has in flight", async () => {
    const { device, log } = testDevice({ later: true });
    const cache = cacheOf(device);
    const owner = {};
    dirty(cache, 0, 1, owner);
    let landed = false;
    const first = runAsync(cache.sync()).then(() => (landed = true));
    expect(log).toHaveLength(1);
    await Promise.all([
      runAsync(cache.sync()).then(() => expect(cache.dirtyBytes).toBe(0)).then(() => expect(landed).toBe(true)),
      runAsync(cache.syncOwner(owner)).then(() => expect(landed).toBe(true)),
    ]);
    await first;
    expect(log).toHaveLength(1);
  });

  it('writes what was changed while another task had it in flight, however the writes interleave', async () => {
    const { device, peekByte } = testDevice({ later: true });
    const cache = cacheOf(device);
    const [a, b] = [dirty(cache, 0, 1), dirty(cache, 8 * BLOCK, 1)];
    const first = runAsync(cache.writeBufs([a]));
    const second = runAsync(cache.writeBufs([b]));
    for (const buf of [a, b]) {
      buf.bytes.fill(2);
      buf.markDirty();
    }
    // While this one waits for `a`, a third task writes `b`, and the other way round.
    await Promise.all([runAsync(cache.sync()), first.then(() => runAsync(cache.writeBufs([a]))), second.then(() => runAsync(cache.writeBufs([b])))]);
    expect([peekByte(0), peekByte(8 * BLOCK), cache.dirtyBytes]).toEqual([2, 2, 0]);
  });

  it("tells a sync of another task's failed write", async () => {
    const { device, failing } = testDevice({ later: true });
    const cache = cacheOf(device);
    dirty(cache, 0, 1);
    failing.add(0);
    const results = await Promise.allSettled([runAsync(cache.sync()), runAsync(cache.sync())]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  it('keeps a read in flight out of a buffer that is being made anew', async () => {
    const { device, put } = testDevice({ later: true });
    const cache = cacheOf(device);
    put(0, 7);
    const reading = runAsync(cache.readahead(0, BLOCK));
    cache.forget(0);
    const buf = dirty(cache, 0, 9);
    await reading;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([buf.bytes[0], buf.dirty, buf.gone]).toEqual([9, true, false]);
    expect(cache.peek(0)).toBe(buf);
  });

  it('does not write what is pinned', () => {
    const { device, log } = testDevice();
    const cache = cacheOf(device);
    const buf = dirty(cache, 0, 1);
    buf.pin();
    runSync(cache.sync());
    expect(log).toHaveLength(0);
    buf.unpin();
    runSync(cache.sync());
    expect(log).toHaveLength(1);
  });

  it('keeps the data and reports when a write fails', () => {
    const { device, failing, peekByte } = testDevice();
    const seen: string[] = [];
    const cache = new BufferCache(device, { budgetBytes: 0, onWriteError: (error) => seen.push(error.code) });
    const buf = dirty(cache, 0, 3);
    dirty(cache, 5 * BLOCK, 4);
    failing.add(0);
    expect(failureOf(() => runSync(cache.sync()))).toBe('EIO');
    expect([buf.dirty, buf.error?.code, cache.error?.code, seen]).toEqual([true, 'EIO', 'EIO', ['EIO']]);
    expect(peekByte(5 * BLOCK)).toBe(4);
    failing.clear();
    runSync(cache.sync());
    expect([buf.dirty, buf.error, peekByte(0)]).toEqual([false, undefined, 3]);
  });

  it('does not write a block that its verifier refuses', () => {
    const { device, log } = testDevice();
    const cache = cacheOf(device);
    cache.get(0, BLOCK).zero(sevens).markDirty();
    dirty(cache, BLOCK, 1);
    expect(failureOf(() => runSync(cache.sync()))).toBe('EUCLEAN');
    expect(log.map((bio) => bio.pos)).toEqual([BLOCK]);
  });

  it('forgets a freed block without writing it, and settles one in flight', async () => {
    const { device, log } = testDevice({ later: true });
    const cache = cacheOf(device);
    const buf = dirty(cache, 0, 1);
    expect(cache.forget(0)).toBe(true);
    expect(failureOf(() => buf.markDirty())).toBe('AssertionError');
    await runAsync(cache.sync());
    expect(log).toHaveLength(0);
    dirty(cache, 0, 1);
    const writing = runAsync(cache.sync());
    expect(cache.forget(0)).toBe(false);
    await runAsync(cache.settle(0));
    expect(cache.count).toBe(0);
    await writing;
  });

  it('writes a delayed-write list alone', () => {
    const { device, log } = testDevice();
    const cache = cacheOf(device);
    const list = cache.delwri();
    dirty(cache, 0, 1);
    const buf = dirty(cache, BLOCK, 1);
    expect([list.queue(buf), list.queue(buf)]).toEqual([true, false]);
    runSync(list.submit());
    expect(log.map((bio) => bio.pos)).toEqual([BLOCK]);
    expect(list.size).toBe(0);
  });
});

describe('BufferCache memory', () => {
  it('stays within its budget and spares what was used lately', () => {
    const { device } = testDevice();
    const cache = cacheOf(device, 16 * BLOCK);
    const hot = runSync(cache.read(0, BLOCK));
    for (let block = 1; block < 1000; block++) {
      runSync(cache.read(block * BLOCK, BLOCK));
      expect(cache.peek(0)).toBe(hot);
      expect(cache.bytes).toBeLessThanOrEqual(16 * BLOCK);
    }
    expect(cache.counters.evictions).toBe(1000 - 16);
  });

  it('never evicts dirty or held buffers, and says when to balance', () => {
    const { device, log } = testDevice();
    const cache = cacheOf(device, 8 * BLOCK);
    const held = runSync(cache.read(1000 * BLOCK, BLOCK)).hold();
    for (let block = 0; block < 20; block++) dirty(cache, block * BLOCK, block);
    expect(cache.count).toBe(21);
    expect(cache.overDirty).toBe(true);
    runSync(cache.balance());
    expect(log).toHaveLength(2);
    runSync(cache.read(500 * BLOCK, BLOCK));
    runSync(cache.read(501 * BLOCK, BLOCK));
    expect(cache.bytes).toBeLessThanOrEqual(8 * BLOCK);
    expect(cache.peek(1000 * BLOCK)).toBe(held);
    held.put();
  });

  it('cuts a shortcut when the clock passes, and when the buffer goes', () => {
    const { device } = testDevice();
    const cache = cacheOf(device, 4 * BLOCK);
    const cuts: string[] = [];
    const shortcut = (name: string): Shortcut => ({ cut: () => void cuts.push(name) });
    const buf = runSync(cache.read(0, BLOCK));
    buf.shorten(shortcut('first'));
    buf.shorten(shortcut('second'));
    expect(cuts).toEqual(['first']);
    // One round of the clock cuts it, and leaves the buffer, which was used; asked for again it may have another.
    for (let block = 1; cuts.length < 2; block++) runSync(cache.read(block * BLOCK, BLOCK));
    expect([cuts, cache.peek(0)]).toEqual([['first', 'second'], buf]);
    buf.shorten(shortcut('third'));
    cache.forget(0);
    expect(cuts).toEqual(['first', 'second', 'third']);
    buf.shorten(shortcut('late'));
    expect(cuts.at(-1)).toBe('late');
    runSync(cache.read(0, BLOCK)).shorten(shortcut('last'));
    cache.discardAll();
    expect(cuts.at(-1)).toBe('last');
  });

  it('asserts on a buffer that was let go', () => {
    const cache = cacheOf(testDevice().device, 0);
    const buf = runSync(cache.read(0, BLOCK));
    runSync(cache.read(BLOCK, BLOCK));
    expect(failureOf(() => buf.markDirty())).toBe('AssertionError');
  });
});
