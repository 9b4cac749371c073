/** Buffered atomic writes: one unit in the cache, one unit on the device. */
import { memoryDevice, type BlockDevice } from '@iomap/block-device';
import { FsError, runAsync, runSync, type Bio, type IoResult } from '@iomap/io';
import { SimDevice } from '@iomap/io/sim';
import { bufferedAtomicMax } from './atomic.js';
import { directWrite } from './direct.js';
import { IOMAP_ATOMIC, IOMAP_F_ATOMIC_BIO, type Iomap, type IoendInfo, type IomapOps, type WritebackOps } from './iomap.js';
import type { ExtentFile } from './testing/extent-file.js';
import { extentRig } from './testing/extent-rig.js';
import { allAre, BLOCK, filled, rig, type Rig, type RigOptions } from './testing/pitfall-rig.js';
import { slowDevice } from './testing/rig.js';
import { bufferedWrite } from './write.js';
import { writeback } from './writeback.js';
import { truncatePage } from './zero.js';

const MAX = 16 * BLOCK;

interface AtomicRig extends Rig {
  readonly ops: IomapOps<ExtentFile>;
  readonly wbOps: WritebackOps<ExtentFile>;
  readonly atomicBios: { pos: number; len: number }[];
  readonly ended: IoendInfo[];
  awrite(pos: number, bytes: Uint8Array): number;
}

/** `how`: by the device, or to new blocks of at most `runBlocks` in a row. */
function atomicRig(how: 'device' | 'cow', options: RigOptions & { runBlocks?: number } = {}): AtomicRig {
  const r = rig(options);
  const atomicBios: AtomicRig['atomicBios'] = [];
  const ended: IoendInfo[] = [];
  const device: BlockDevice = {
    ...r.device,
    limits: { ...r.device.limits, atomicWriteBytes: how === 'device' ? MAX : 0 },
    submit(bio: Bio): IoResult | Promise<IoResult> {
      if (bio.atomic === true) atomicBios.push({ pos: bio.pos, len: bio.lengthBytes });
      return r.device.submit(bio);
    },
  };
  (r.file.options as { device: BlockDevice }).device = device;
  const ops: IomapOps<ExtentFile> = { ...r.file.ops, atomicWriteMax: () => MAX };
  let next = 100;
  const wbOps: WritebackOps<ExtentFile> = {
    ...r.file.wbOps,
    *mapBlocks(inode, offset, length, out, flags = 0) {
      if ((flags & IOMAP_ATOMIC) === 0) return yield* r.file.wbOps.mapBlocks(inode, offset, length, out);
      if (how === 'device') {
        inode.mapDirty(offset, length, out);
        out.flags |= IOMAP_F_ATOMIC_BIO;
        return;
      }
      const n = Math.min(length / BLOCK, options.runBlocks ?? Infinity);
      Object.assign(out, { type: 'mapped', offset, length: n * BLOCK, addr: next * BLOCK, device } satisfies Partial<Iomap>);
      next += n + 1;
    },
    endIoend(_inode, ioend) {
      ended.push({ ...newInfo(ioend) });
    },
  };
  r.file.mapping.host.writeback = (range) => writeback(r.file, wbOps, range);
  return {
    ...r, ops, wbOps, atomicBios, ended,
    awrite: (pos, bytes) => runSync(bufferedWrite(r.file, ops, pos, bytes, { atomic: true })),
  };
}

const newInfo = ({ pos, end, type, flags, addr, atomic }: IoendInfo): IoendInfo => ({ pos, end, type, flags, addr, atomic, private: undefined });

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'none';
};
const flushAll = (r: AtomicRig): void => runSync(r.file.mapping.host.writeback({ pos: 0, len: Infinity }));

describe('what an atomic write may be', () => {
  it('a power of two of whole blocks, aligned, up to the limit of file and folio', () => {
    const r = atomicRig('device', { cacheOptions: { folioMaxBytes: 8 * BLOCK } });
    expect(bufferedAtomicMax(r.file, r.ops)).toBe(8 * BLOCK);
    const tries: [number, number][] = [[0, 3 * BLOCK], [BLOCK, 2 * BLOCK], [0, 16 * BLOCK], [0, 512]];
    for (const [pos, len] of tries) expect(codeOf(() => r.awrite(pos, filled(len, 1)))).toBe('EINVAL');
    expect(codeOf(() => runSync(bufferedWrite(r.file, r.file.ops, 0, filled(BLOCK, 1), { atomic: true })))).toBe('EOPNOTSUPP');
    expect(r.file.size).toBe(0);
  });

  it('mapped in parts is committed at once all the same', () => {
    const r = atomicRig('cow', { freeBlocks: Array.from({ length: 20 }, (_, i) => 5 + 2 * i) });
    r.write(BLOCK, filled(BLOCK, 3));
    runSync(r.file.writeAll());
    expect(r.awrite(0, filled(4 * BLOCK, 1))).toBe(4 * BLOCK);
    expect(r.file.mapping.atomic?.lengthAt(0)).toBe(4 * BLOCK);
    expect(r.file.size).toBe(4 * BLOCK);
    flushAll(r);
    expect(r.ended.filter((ioend) => ioend.atomic)).toHaveLength(1);
  });

  it('with no room for all of it changes nothing that can be read', () => {
    const r = atomicRig('cow', { freeBlocks: [5, 7] });
    r.write(0, filled(BLOCK, 3));
    expect(codeOf(() => r.awrite(0, filled(4 * BLOCK, 1)))).toBe('ENOSPC');
    expect(r.file.size).toBe(BLOCK);
    expect(allAre(r.read(0, BLOCK), 3)).toBe(true);
    expect(r.file.mapping.atomic?.count ?? 0).toBe(0);
  });
});

describe('by the device', () => {
  it('goes as one atomic bio, apart from its neighbours', () => {
    const r = atomicRig('device');
    r.write(0, filled(16 * BLOCK, 1));
    expect(r.awrite(4 * BLOCK, filled(4 * BLOCK, 2))).toBe(4 * BLOCK);
    flushAll(r);
    expect(r.atomicBios).toEqual([{ pos: 5 * BLOCK, len: 4 * BLOCK }]);
    expect(r.bios.map((bio) => bio.len).sort((a, b) => a - b)).toEqual([4 * BLOCK, 4 * BLOCK, 8 * BLOCK]);
    expect(r.file.mapping.atomic?.count).toBe(0);
    // Written once, its blocks are like all others.
    r.write(4 * BLOCK, filled(1, 3));
    flushAll(r);
    expect(r.atomicBios).toHaveLength(1);
  });

  it('keeps one inside another in the larger, and what plain writes change of it', () => {
    const r = atomicRig('device');
    r.awrite(0, filled(8 * BLOCK, 1));
    r.awrite(2 * BLOCK, filled(2 * BLOCK, 2));
    r.write(7 * BLOCK + 5, filled(1, 3));
    r.awrite(8 * BLOCK, filled(BLOCK, 4));
    r.awrite(8 * BLOCK, filled(2 * BLOCK, 5));
    flushAll(r);
    // The small one had a folio of its own, which was written to make place.
    expect(r.atomicBios).toEqual([
      { pos: 9 * BLOCK, len: BLOCK }, { pos: BLOCK, len: 8 * BLOCK }, { pos: 9 * BLOCK, len: 2 * BLOCK },
    ]);
  });

  it('makes one folio of what small ones held', () => {
    const r = atomicRig('device');
    for (let i = 0; i < 8; i++) r.write(i * BLOCK, filled(BLOCK, 1));
    expect(r.file.mapping.lookup(0)?.size).toBe(BLOCK);
    r.awrite(0, filled(4 * BLOCK, 2));
    expect(r.file.mapping.lookup(0)?.size).toBe(4 * BLOCK);
    expect(allAre(r.read(0, 4 * BLOCK), 2)).toBe(true);
    expect(allAre(r.read(4 * BLOCK, 4 * BLOCK), 1)).toBe(true);
  });

  it('is not changed while it is in flight', async () => {
    const r = atomicRig('device');
    r.awrite(0, filled(4 * BLOCK, 1));
    const { device } = r.file.options;
    let atEnd: Uint8Array | undefined;
    const slow = slowDevice({ ...device, submit: (bio) => ((atEnd ??= bio.segments[0]?.slice()), device.submit(bio)) }, () => 4);
    (r.file.options as { device: BlockDevice }).device = slow;
    const writing = runAsync(r.file.mapping.host.writeback({ pos: 0, len: Infinity }));
    await Promise.all([writing, runAsync(bufferedWrite(r.file, r.ops, BLOCK, filled(10, 9)))]);
    expect(allAre(atEnd ?? filled(1, 0), 1)).toBe(true);
    expect(r.read(BLOCK, 1)[0]).toBe(9);
  });

  it('is written before a truncate cuts it', () => {
    const r = atomicRig('device');
    r.awrite(0, filled(4 * BLOCK, 1));
    runSync(truncatePage(r.file, r.ops, 2 * BLOCK));
    expect(r.atomicBios).toHaveLength(1);
  });

  it('that fails is given up whole, and told', () => {
    const r = atomicRig('device');
    r.awrite(0, filled(4 * BLOCK, 1));
    r.bad.push({ op: 'write', pos: 2 * BLOCK, len: 1 });
    flushAll(r);
    expect(r.file.mapping.takeError()?.code).toBe('EIO');
    expect(r.file.discarded).toEqual([{ pos: 0, length: 4 * BLOCK }]);
    expect(r.cache.dirtyBytes).toBe(0);
  });

  it('that says nothing of the medium is tried again as one', () => {
    const r = atomicRig('device');
    r.awrite(0, filled(4 * BLOCK, 1));
    const { device } = r.file.options;
    (r.file.options as { device: BlockDevice }).device = slowDevice(device, () => 0);
    flushAll(r);
    expect(r.file.mapping.takeError()?.code).toBe('ENOTSUP');
    (r.file.options as { device: BlockDevice }).device = device;
    flushAll(r);
    expect(r.atomicBios).toEqual([{ pos: BLOCK, len: 4 * BLOCK }]);
  });
});

describe('to new blocks', () => {
  it('tells the filesystem once, when all runs are there', () => {
    const r = atomicRig('cow', { runBlocks: 3 });
    r.awrite(0, filled(8 * BLOCK, 1));
    r.file.size = 8 * BLOCK;
    flushAll(r);
    expect(r.atomicBios).toEqual([]);
    expect(r.ended).toHaveLength(1);
    expect(r.ended[0]).toMatchObject({ pos: 0, end: 8 * BLOCK, atomic: true });
    expect(r.bios.map((bio) => bio.len)).toEqual([3 * BLOCK, 3 * BLOCK, 2 * BLOCK]);
  });

  it('does not tell it when one of the runs failed', () => {
    const r = atomicRig('cow', { runBlocks: 3 });
    r.awrite(0, filled(8 * BLOCK, 1));
    r.bad.push({ op: 'write', pos: 104 * BLOCK, len: 1 });
    flushAll(r);
    expect(r.ended).toEqual([]);
    expect(r.file.mapping.takeError()?.code).toBe('EIO');
    expect(r.file.discarded.reduce((sum, one) => sum + one.length, 0)).toBe(8 * BLOCK);
    expect(r.file.mapping.isInFlight(0, Infinity)).toBe(false);
  });
});

describe('8, 9: a truncate that comes while it is mapped', () => {
  function truncated(size: number): AtomicRig {
    const r = atomicRig('cow', { runBlocks: 1 });
    r.awrite(4 * BLOCK, filled(4 * BLOCK, 1));
    runSync(writeback(r.file, {
      ...r.wbOps,
      *mapBlocks(...args) {
        r.file.size = size;
        yield* r.wbOps.mapBlocks(...args);
      },
    }, { pos: 0, len: Infinity }));
    expect(r.cache.dirtyBytes).toBe(0);
    expect(r.file.mapping.isInFlight(0, Infinity)).toBe(false);
    expect(r.file.mapping.atomic?.count).toBe(0);
    return r;
  }

  it.each([100, 4 * BLOCK])('before it (%d): none of it is written, and nobody is told of it', (size) => {
    const r = truncated(size);
    expect(r.ended).toEqual([]);
    expect(r.bios).toEqual([]);
  });

  it('in its middle: it ends at the size', () => {
    const r = truncated(5 * BLOCK + 100);
    expect(r.ended).toHaveLength(1);
    expect(r.ended[0]).toMatchObject({ pos: 4 * BLOCK, end: 5 * BLOCK + 100 });
  });
});

it('one bio in place needs a size and blocks that a crash finds: until they are durable, the write goes to new blocks', () => {
  const base = memoryDevice({ sizeBytes: 512 * BLOCK });
  const r = extentRig({ device: { ...base, limits: { ...base.limits, atomicWriteBytes: MAX }, sizeBytes: 512 * BLOCK, submit: (bio) => base.submit(bio) } });
  const { counters } = r.cache;
  const write = (byte: number): number => {
    const before = counters.atomicBios;
    runSync(r.file.writeAtomic(0, filled(4 * BLOCK, byte)));
    runSync(r.file.inode.writeback({ pos: 0, len: Infinity }));
    return counters.atomicBios - before;
  };
  runSync(r.file.allocate(0, 4 * BLOCK));
  r.write(0, filled(BLOCK, 1));
  runSync(r.file.fsync());
  // That the rest is written, and inside the size, is known in core only.
  r.write(BLOCK, filled(3 * BLOCK, 1));
  runSync(r.file.inode.writeback({ pos: 0, len: Infinity }));
  expect(write(2)).toBe(0);
  runSync(r.file.fsync());
  expect(write(3)).toBe(1);
  r.drop();
  expect(allAre(r.read(0, 4 * BLOCK), 3)).toBe(true);
});

describe('after any crash', () => {
  it.each([true, false])('an overwrite is there whole or not at all (atomic: %s)', (atomic) => {
    const disk = new SimDevice({ content: filled(64 * BLOCK, 1), atomicWriteBytes: MAX });
    const r = atomicRig('device');
    for (let i = 0; i < 8; i++) r.file.setEntry(i, 'mapped', 8 + i);
    r.file.size = 8 * BLOCK;
    (r.file.options as { device: BlockDevice }).device = disk;
    runSync(bufferedWrite(r.file, r.ops, 0, filled(8 * BLOCK, 2), { atomic }));
    flushAll(r);
    let torn = 0;
    for (const image of disk.crashImages({ max: 200, seed: 7 })) {
      const bytes = image.toBytes().subarray(8 * BLOCK, 16 * BLOCK);
      if (!allAre(bytes, 1) && !allAre(bytes, 2)) torn++;
    }
    // Without the promise it is torn: the test can fail.
    expect(torn > 0).toBe(!atomic);
  });

  it('so is a direct one', () => {
    const disk = new SimDevice({ content: filled(64 * BLOCK, 1), atomicWriteBytes: MAX });
    const r = atomicRig('device');
    for (let i = 0; i < 8; i++) r.file.setEntry(i, 'mapped', 8 + i);
    r.file.size = 8 * BLOCK;
    (r.file.options as { device: BlockDevice }).device = disk;
    const ops: IomapOps<ExtentFile> = {
      ...r.ops,
      *begin(inode, pos, length, flags, out, src) {
        yield* r.ops.begin(inode, pos, length, flags, out, src);
        if ((flags & IOMAP_ATOMIC) !== 0) out.flags |= IOMAP_F_ATOMIC_BIO;
      },
    };
    expect(runSync(directWrite(r.file, ops, {}, 0, filled(8 * BLOCK, 2), { atomic: true }))).toBe(8 * BLOCK);
    expect(r.cache.counters.atomicBios).toBe(1);
    for (const image of disk.crashImages({ max: 200, seed: 7 })) {
      const bytes = image.toBytes().subarray(8 * BLOCK, 16 * BLOCK);
      expect(allAre(bytes, 1) || allAre(bytes, 2)).toBe(true);
    }
    // A filesystem that says neither "one bio" nor "new blocks" cannot.
    expect(codeOf(() => runSync(directWrite(r.file, r.ops, {}, 0, filled(BLOCK, 3), { atomic: true })))).toBe('EOPNOTSUPP');
  });
});
