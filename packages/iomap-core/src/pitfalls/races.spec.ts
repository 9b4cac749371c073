/** Bugs that real iomap conversions had, by their number: those that need somebody else in between. */
import { memoryDevice } from '@iomap/block-device';
import { FsError, Mutex, runAsync, runSync, type Io } from '@iomap/io';
import { Simulator } from '@iomap/io/sim';
import { bufferedWrite } from '../write.js';
import { IOMAP_ATOMIC, IOMAP_F_SHARED, IOMAP_FAULT, IOMAP_UNSHARE, IOMAP_ZERO, type IomapOps } from '../iomap.js';
import { MappedFile } from '../mapped-file.js';
import { seekData, seekHole } from '../seek.js';
import { extentOps, reflink, type ExtentInode } from '../testing/index.js';
import { extentRig, once } from '../testing/extent-rig.js';
import { allAre, BLOCK, filled, rig } from '../testing/pitfall-rig.js';
import { slowDevice } from '../testing/rig.js';
import { invalidateRange, truncatePageCache } from '../truncate.js';
import { unshareRange } from '../unshare.js';
import { zeroRange } from '../zero.js';

describe('1: a mapping gets stale while its folio is waited for', () => {
  it('of a store: what writeback made durable meanwhile is not zeroed', () => {
    const back = once(function* (): Io<void> {
      yield* r.file.writeAll();
      invalidateRange(r.file, 0, BLOCK);
    });
    const r = rig({ unwritten: true, *onSampled(_pos, flags) {
      if ((flags & IOMAP_FAULT) !== 0) yield* back.run();
    } });
    r.file.preallocate(0, 2);
    r.file.size = 2 * BLOCK;
    r.write(0, filled(BLOCK, 7));
    back.arm();
    runSync(new MappedFile(r.file, r.file.ops).write(BLOCK - 5, filled(10, 9)));
    const bytes = r.read(0, 2 * BLOCK);
    expect([bytes[0], bytes[BLOCK - 6], bytes[BLOCK - 5], bytes[BLOCK + 4], bytes[BLOCK + 5]]).toEqual([7, 7, 9, 9, 0]);
  });

  it('of an unsharing: the newer content, which has blocks of its own by now, is not replaced by the old', () => {
    const r = extentRig();
    r.write(0, filled(2 * BLOCK, 1));
    runSync(reflink(r.file.inode, r.other.inode));
    r.write(0, filled(BLOCK, 2));
    const meanwhile = once(function* () {
      yield* r.file.fsync();
      invalidateRange(r.file.inode, 0, Infinity);
    });
    meanwhile.arm();
    runSync(unshareRange(r.file.inode, r.hooked(IOMAP_UNSHARE, meanwhile), 0, 2 * BLOCK));
    expect(allAre(r.read(0, BLOCK), 2)).toBe(true);
    expect(allAre(r.read(BLOCK, BLOCK), 1)).toBe(true);
  });

  it('of an atomic write: it has places of its own, not those that became the file meanwhile', () => {
    const base = memoryDevice({ sizeBytes: 512 * BLOCK });
    const r = extentRig({ device: { ...base, limits: { ...base.limits, atomicWriteBytes: 0 }, sizeBytes: 512 * BLOCK, submit: (bio) => base.submit(bio) } });
    r.write(0, filled(2 * BLOCK, 1));
    runSync(r.file.fsync());
    runSync(r.file.writeAtomic(0, filled(2 * BLOCK, 2)));
    const meanwhile = once(() => r.file.inode.writeback({ pos: 0, len: Infinity }));
    meanwhile.arm();
    runSync(bufferedWrite(r.file.inode, r.hooked(IOMAP_ATOMIC, meanwhile), 0, filled(2 * BLOCK, 3), { atomic: true }));
    runSync(r.file.fsync());
    r.drop();
    expect(allAre(r.read(0, 2 * BLOCK), 3)).toBe(true);
  });

  it('of a zeroing: 7: data that was dirty over unwritten blocks, and is on the device by now, is zeroed there', () => {
    const meanwhile = once(function* (): Io<void> {
      yield* r.file.writeAll();
      invalidateRange(r.file, 0, Infinity);
    });
    const r = rig({ unwritten: true, *onSampled(_pos, flags) {
      if ((flags & IOMAP_ZERO) !== 0) yield* meanwhile.run();
    } });
    r.write(0, filled(2 * BLOCK, 7));
    meanwhile.arm();
    runSync(zeroRange(r.file, r.file.ops, 0, 2 * BLOCK));
    expect(allAre(r.read(0, 2 * BLOCK), 0)).toBe(true);
  });
});

describe('14, 17: a read that sampled its mapping too early', () => {
  it('does not take what was written over unwritten blocks for zeroes', () => {
    const meanwhile = once(function* (): Io<void> {
      yield* r.file.writeAll();
      invalidateRange(r.file, 0, Infinity);
    });
    const r = rig({ *onSampled(pos, flags) {
      if (pos === BLOCK && flags === 0) yield* meanwhile.run();
    } });
    r.file.preallocate(1, 1);
    r.write(BLOCK, filled(BLOCK, 7));
    meanwhile.arm();
    const bytes = r.read(0, 2 * BLOCK);
    expect(allAre(bytes.subarray(0, BLOCK), 0)).toBe(true);
    expect(allAre(bytes.subarray(BLOCK), 7)).toBe(true);
  });
});

describe('3: the punch of a short write', () => {
  it('makes the mapping stale that a fault sampled before it', () => {
    const r = extentRig();
    runSync(r.file.truncate(4 * BLOCK));
    const punch = once(function* () {
      r.file.inode.takeBack(BLOCK, 2 * BLOCK);
    });
    punch.arm();
    const memory = new MappedFile(r.file.inode, r.hooked(IOMAP_FAULT, punch));
    runSync(memory.write(BLOCK + 5, filled(10, 9)));
    runSync(r.file.fsync());
    expect(r.fs.space.reserved).toBe(0);
    r.drop();
    expect(allAre(r.read(BLOCK + 5, 10), 9)).toBe(true);
  });

  it('is exact: each reservation is given back once, none of a dirty block', () => {
    const r = extentRig();
    const free = r.fs.space.freeBlocks;
    const source = { length: 6 * BLOCK, copyTo: (into: Uint8Array, at: number) => (at > 0 ? 0 : (into.fill(4, 0, BLOCK + 10), BLOCK + 10)) };
    expect(runSync(bufferedWrite(r.file.inode, extentOps, 0, source))).toBe(BLOCK);
    expect(r.fs.space.reserved).toBe(1);
    runSync(r.file.fsync());
    expect([r.fs.space.reserved, free - r.fs.space.freeBlocks]).toEqual([0, 1]);
  });
});

describe('7: data in the cache over unwritten blocks', () => {
  it('is data for SEEK_DATA and no hole for SEEK_HOLE', () => {
    const r = rig({ unwritten: true });
    r.file.preallocate(0, 4);
    r.file.size = 4 * BLOCK;
    r.write(2 * BLOCK, filled(10, 1));
    expect(runSync(seekData(r.file, r.file.ops, 0))).toBe(2 * BLOCK);
    expect(runSync(seekHole(r.file, r.file.ops, 2 * BLOCK))).toBe(3 * BLOCK);
  });
});

it('5, 7: what was lost, and is cached over a hole all the same, is zeroed', () => {
  let fails = true;
  const base = memoryDevice({ sizeBytes: 512 * BLOCK });
  const r = extentRig({ device: { ...base, sizeBytes: base.sizeBytes, submit: (bio) =>
    fails && bio.op === 'write' && bio.lengthBytes === 3 * BLOCK ? { ok: false, error: new FsError('EIO') } : base.submit(bio) } });
  r.write(0, filled(3 * BLOCK, 1));
  expect(() => runSync(r.file.fsync())).toThrow('EIO');
  fails = false;
  runSync(r.file.zero(100, 2 * BLOCK));
  expect(allAre(r.read(100, 2 * BLOCK), 0)).toBe(true);
  expect(r.fs.space.reserved).toBe(0);
});

it('5: a write that fails does not take the place of what was dirtied again meanwhile', () => {
  const base = memoryDevice({ sizeBytes: 512 * BLOCK });
  let fails = false;
  const r = extentRig({ device: { ...base, name: 'failing', sectorSize: 512, limits: base.limits, synchronous: true, readOnly: false, sizeBytes: 512 * BLOCK, close: () => undefined,
    submit(bio) {
      if (!fails || bio.op !== 'write') return base.submit(bio);
      fails = false;
      // The first of its two blocks is written again while they are on their way.
      r.write(0, filled(BLOCK, 3));
      return { ok: false, error: new FsError('EIO') };
    } } });
  r.write(0, filled(2 * BLOCK, 1));
  runSync(reflink(r.file.inode, r.other.inode));
  r.write(0, filled(2 * BLOCK, 2));
  fails = true;
  expect(() => { runSync(r.file.fsync()); }).toThrow('EIO');
  runSync(r.file.fsync());
  for (const { inode } of [r.file, r.other]) expect(invalidateRange(inode, 0, Infinity)).toBe(true);
  // The new content has a place of its own; that of the second block is lost, and nothing of the other file.
  const old = new Uint8Array(2 * BLOCK);
  runSync(r.other.read(0, old));
  expect(allAre(old, 1)).toBe(true);
  expect([r.read(0, 1)[0], r.read(BLOCK, 1)[0]]).toEqual([3, 1]);
});

describe('5: a place that is given up while an edge block is read', () => {
  it.each(['write', 'store', 'unshare'] as const)('is not written to by a %s', (way) => {
    const base = memoryDevice({ sizeBytes: 512 * BLOCK });
    let armed = false;
    const r = extentRig({ device: { ...base, name: 'hooked', sectorSize: 512, limits: base.limits, synchronous: true, readOnly: false, sizeBytes: 512 * BLOCK, close: () => undefined,
      submit(bio) {
        if (armed && bio.op === 'read') {
          armed = false;
          // The write of the first block, in flight until now, fails.
          r.file.inode.discard(0, BLOCK);
        }
        return base.submit(bio);
      } } });
    r.write(0, filled(2 * BLOCK, 1));
    runSync(reflink(r.file.inode, r.other.inode));
    // Both blocks have new places; the first is on its way, the second was lost from the cache.
    r.write(0, filled(2 * BLOCK, 2));
    const folio = r.file.inode.mapping.lookup(0);
    folio?.clearDirty(0, 2 * BLOCK);
    folio?.clearUptodate(BLOCK, 2 * BLOCK);
    armed = true;
    if (way === 'write') r.write(0, filled(BLOCK + 100, 3));
    else if (way === 'unshare') runSync(r.file.unshare(0, 2 * BLOCK));
    else runSync(runSync(r.file.map()).write(BLOCK - 5, filled(10, 3)));
    expect(armed).toBe(false);
    runSync(r.file.fsync());
    expect(invalidateRange(r.other.inode, 0, Infinity)).toBe(true);
    const old = new Uint8Array(2 * BLOCK);
    runSync(r.other.read(0, old));
    expect(allAre(old, 1)).toBe(true);
  });
});

describe('8: beyond the end of the file', () => {
  it('what is cached behind a new end reads as zero', () => {
    const r = rig();
    r.write(0, filled(2 * BLOCK, 1));
    r.file.size = 100;
    runSync(truncatePageCache(r.file, 100));
    r.file.size = BLOCK;
    expect(allAre(r.read(100, BLOCK), 0)).toBe(true);
  });

  it('unsharing dirties nothing', () => {
    const r = rig();
    for (let i = 0; i < 4; i++) r.file.setEntry(i, 'mapped', 1 + i);
    r.file.size = 100;
    const shared: IomapOps<typeof r.file> = {
      ...r.file.ops,
      *begin(inode, pos, length, flags, out, src) {
        yield* r.file.ops.begin(inode, pos, length, flags, out, src);
        out.flags |= IOMAP_F_SHARED;
      },
    };
    runSync(unshareRange(r.file, shared, 0, 4 * BLOCK));
    expect([r.cache.dirtyBytes, r.file.size]).toEqual([BLOCK, 100]);
  });

  it('a store is EFAULT, and reserves nothing', () => {
    const r = extentRig();
    r.write(0, filled(100, 1));
    const memory = new MappedFile(r.file.inode, extentOps);
    expect(() => runSync(memory.write(3 * BLOCK, filled(1, 1)))).toThrow('EFAULT');
    expect(r.fs.space.reserved).toBe(1);
    expect(r.cache.dirtyBytes).toBe(BLOCK);
  });
});

it('10: a range makes its whole blocks uptodate, and none that it has only a part of', () => {
  const r = rig({ blockSize: 512 });
  const folio = r.file.mapping.tryAlloc(0, 4096);
  folio?.unlock();
  folio?.setUptodate(100, 1600);
  expect([0, 512, 1024, 1536].map((at) => folio?.isUptodate(at, at + 512))).toEqual([false, true, true, false]);
});

it('11: unsharing reads what it writes', () => {
  const r = extentRig();
  r.write(0, filled(3 * BLOCK, 5));
  runSync(reflink(r.file.inode, r.other.inode));
  r.drop();
  runSync(r.file.unshare(0, 3 * BLOCK));
  runSync(r.file.fsync());
  r.drop();
  expect(allAre(r.read(0, 3 * BLOCK), 5)).toBe(true);
  const [own, theirs] = [r.file, r.other].map(({ inode }) => inode.map.extents[0]?.block);
  expect(own).not.toBe(theirs);
});

it('12: a source that stops inside a block leaves the rest of the block as it was', () => {
  const r = rig();
  r.write(0, filled(2 * BLOCK, 1));
  runSync(r.file.writeAll());
  invalidateRange(r.file, 0, Infinity);
  // Memory that held something else before.
  const folio = r.file.mapping.tryAlloc(0, 2 * BLOCK);
  folio?.data.fill(0xbb);
  folio?.unlock();
  const source = { length: 2 * BLOCK, copyTo: (into: Uint8Array, at: number) => (at > 0 ? 0 : (into.fill(4, 0, 1000), 1000)) };
  expect(runSync(bufferedWrite(r.file, r.file.ops, 0, source))).toBe(1000);
  expect(allAre(r.read(0, 1000), 4)).toBe(true);
  expect(allAre(r.read(1000, 2 * BLOCK - 1000), 1)).toBe(true);
});

describe('17: who takes blocks from the file', () => {
  it('waits for writes in flight of what it drops', async () => {
    const r = rig();
    r.write(0, filled(4 * BLOCK, 1));
    (r.file.options as { device: unknown }).device = slowDevice(r.device, () => 4);
    const written = runAsync(r.file.writeAll());
    await runAsync(truncatePageCache(r.file, 0));
    expect(r.file.ioendEnds).toEqual([4 * BLOCK]);
    await written;
  });

  /** Does the access wait for the lock that a truncate holds? */
  async function waits(access: (memory: MappedFile<ExtentInode>) => Io<unknown>): Promise<boolean> {
    const r = extentRig();
    r.write(0, filled(2 * BLOCK, 1));
    runSync(r.file.fsync());
    r.drop();
    const { invalidateLock } = r.file.inode.mapping;
    expect(invalidateLock.tryWrite()).toBe(true);
    let done = false;
    const running = runAsync(access(new MappedFile(r.file.inode, extentOps))).then(() => (done = true));
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    const waited = !done;
    invalidateLock.unlockWrite();
    await running;
    return waited;
  }

  it('keeps loads from bringing blocks back in', async () => {
    expect(await waits((memory) => memory.read(0, new Uint8Array(10)))).toBe(true);
  });

  it('keeps stores from dirtying blocks that are going', async () => {
    expect(await waits((memory) => memory.write(0, filled(10, 1)))).toBe(true);
  });

  it('and moves the rest writes the dirty blocks before it in the same folio, too', () => {
    const r = extentRig();
    r.write(0, filled(4 * BLOCK, 1));
    r.write(0, filled(10, 2));
    expect(r.file.inode.mapping.folioCount).toBe(1);
    runSync(r.file.collapse(BLOCK, BLOCK));
    expect(r.file.inode.mapping.folioCount).toBe(0);
    expect(allAre(r.read(0, 10), 2)).toBe(true);
    expect(r.file.inode.size).toBe(3 * BLOCK);
  });
});

describe('18: ioends', () => {
  it('are bounded in bytes, also of large folios', () => {
    const r = rig({ blocks: 6000, cacheOptions: { budgetBytes: 64 * 2 ** 20, folioMaxBytes: 2 ** 20 } });
    const lengths: number[] = [];
    r.cache.trace = (event) => void (event.type === 'ioend' && lengths.push(event.len));
    for (let i = 0; i < 20; i++) r.write(i * 2 ** 20, filled(2 ** 20, 1));
    runSync(r.file.writeAll());
    expect(lengths.reduce((sum, len) => sum + len, 0)).toBe(20 * 2 ** 20);
    for (const len of lengths) expect(len).toBeLessThanOrEqual(8 * 2 ** 20);
  });
});

describe('19: the order of locks', () => {
  it('an inode is never locked by who holds a folio, nor waited for', () => {
    const r = extentRig();
    r.write(0, filled(BLOCK, 1));
    const folio = r.file.inode.mapping.lookup(0);
    const simulator = new Simulator({ seed: 1 });
    simulator.spawn((function* (): Io<void> {
      if (folio !== undefined) yield* folio.lock();
      yield* r.file.inode.lock.write();
    })());
    expect(() => simulator.run()).toThrow('lock order');
  });

  it('a folio is not waited for by who holds a lock that comes after it', () => {
    const r = extentRig();
    r.write(0, filled(BLOCK, 1));
    const mutex = new Mutex('map', 'mapping');
    const simulator = new Simulator({ seed: 1 });
    simulator.spawn((function* (): Io<void> {
      yield* mutex.lock();
      yield* r.file.inode.mapping.lookup(0)?.lock() ?? [];
    })());
    expect(() => simulator.run()).toThrow('lock order');
  });
});

it('21: a write of a part of a block leaves what its neighbours wrote there', () => {
  const r = rig();
  r.write(0, filled(1000, 1));
  r.write(3000, filled(1000, 3));
  runSync(r.file.writeAll());
  invalidateRange(r.file, 0, Infinity);
  r.write(1000, filled(2000, 2));
  runSync(r.file.writeAll());
  invalidateRange(r.file, 0, Infinity);
  const bytes = r.read(0, 4000);
  expect([0, 999, 1000, 2999, 3000, 3999].map((at) => bytes[at])).toEqual([1, 1, 2, 2, 3, 3]);
  invalidateRange(r.file, 0, Infinity);
  r.write(0, filled(10, 9));
  expect([r.read(10, 1)[0], r.read(3999, 1)[0]]).toEqual([1, 3]);
});
