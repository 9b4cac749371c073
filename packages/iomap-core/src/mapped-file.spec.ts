/** Mapped files: loads and stores that fault, and what races with them. */
import { FsError, runSync, type Io } from '@iomap/io';
import { Simulator } from '@iomap/io/sim';
import { punchDelalloc } from './delalloc.js';
import { IOMAP_FAULT, IOMAP_WRITE, type IomapOps } from './iomap.js';
import { MappedFile } from './mapped-file.js';
import type { ExtentFile } from './testing/extent-file.js';
import { allAre, BLOCK, filled, rig, type Rig } from './testing/pitfall-rig.js';
import { invalidateRange, truncatePageCache } from './truncate.js';
import { bufferedWrite } from './write.js';

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'none';
};
const map = (r: Rig, writable = true): MappedFile<ExtentFile> => new MappedFile(r.file, r.file.ops, { writable });
const load = (file: MappedFile<ExtentFile>, pos: number, len: number): Uint8Array => {
  const bytes = new Uint8Array(len);
  runSync(file.read(pos, bytes));
  return bytes;
};

describe('loads', () => {
  it('fault in what is stored, holes as zeroes, over block borders', () => {
    const r = rig();
    r.write(2 * BLOCK, filled(BLOCK, 5));
    runSync(r.file.writeAll());
    invalidateRange(r.file, 0, Infinity);
    const mapped = map(r);
    expect(mapped.peekRead(2 * BLOCK, new Uint8Array(10))).toBe(-1);
    const bytes = load(mapped, 2 * BLOCK - 100, 200);
    expect(allAre(bytes.subarray(0, 100), 0)).toBe(true);
    expect(allAre(bytes.subarray(100), 5)).toBe(true);
    expect(mapped.peekRead(2 * BLOCK, bytes)).toBe(200);
    expect(r.cache.counters.readFaults).toBe(1);
  });

  it('past the block of the end are EFAULT, in it zeroes', () => {
    const r = rig();
    r.write(0, filled(100, 5));
    const mapped = map(r);
    expect(allAre(load(mapped, 100, BLOCK - 100), 0)).toBe(true);
    expect(codeOf(() => load(mapped, BLOCK - 10, 20))).toBe('EFAULT');
    expect(codeOf(() => runSync(mapped.write(BLOCK, filled(1, 1))))).toBe('EFAULT');
  });
});

describe('stores', () => {
  it('go to the cache, make a hole a block, and never change the size', () => {
    const r = rig();
    r.write(4 * BLOCK, filled(100, 5));
    const mapped = map(r);
    runSync(mapped.write(BLOCK + 10, filled(20, 6)));
    expect(r.file.size).toBe(4 * BLOCK + 100);
    expect(r.file.mapping.lookup(BLOCK)?.dirtyCount).toBe(1);
    expect(allAre(r.read(BLOCK + 10, 20), 6)).toBe(true);
    runSync(mapped.msync(0, Infinity));
    expect(r.disk()[r.file.entry(1).block * BLOCK + 10]).toBe(6);
    expect(allAre(r.disk().subarray(r.file.entry(1).block * BLOCK, r.file.entry(1).block * BLOCK + 10), 0)).toBe(true);
  });

  it('to a block that writeback cleaned fault again', () => {
    const r = rig();
    r.write(0, filled(BLOCK, 5));
    const mapped = map(r);
    expect(mapped.peekWrite(0, filled(10, 6))).toBe(10);
    runSync(r.file.writeAll());
    expect(mapped.peekWrite(0, filled(10, 7))).toBe(-1);
    runSync(mapped.write(0, filled(10, 7)));
    expect(r.cache.counters.writeFaults).toBe(1);
    expect(r.cache.dirtyBytes).toBe(BLOCK);
  });

  it('over many folios and a read-only mapping', () => {
    const r = rig({ cacheOptions: { folioMaxBytes: BLOCK } });
    r.file.size = 4 * BLOCK;
    const mapped = map(r);
    runSync(mapped.write(100, filled(3 * BLOCK, 9)));
    expect(allAre(r.read(100, 3 * BLOCK), 9)).toBe(true);
    expect(codeOf(() => runSync(map(r, false).write(0, filled(1, 1))))).toBe('EACCES');
    mapped.close();
    expect(codeOf(() => runSync(mapped.write(0, filled(1, 1))))).toBe('EBADF');
  });

  it('8: past the end in the last block are never written, and do not come up when the file grows', () => {
    const r = rig();
    r.write(0, filled(100, 5));
    const mapped = map(r);
    runSync(mapped.write(200, filled(50, 0xbb)));
    expect(load(mapped, 200, 1)[0]).toBe(0xbb);
    runSync(r.file.writeAll());
    expect(allAre(r.disk().subarray(BLOCK + 100, 2 * BLOCK), 0)).toBe(true);
    runSync(mapped.write(200, filled(50, 0xbb)));
    r.write(BLOCK, filled(1, 1));
    expect(allAre(r.read(100, BLOCK - 100), 0)).toBe(true);
  });

  it('a range is the cached bytes themselves', () => {
    const r = rig();
    r.write(0, filled(2 * BLOCK, 5));
    r.file.size = 6 * BLOCK;
    const mapped = map(r);
    const view = runSync(mapped.range(10, 100, true));
    view[0] = 1;
    expect(r.read(10, 2)).toEqual(Uint8Array.of(1, 5));
    // A hole, to read and to write.
    expect(runSync(mapped.range(5 * BLOCK, 10))).toEqual(new Uint8Array(10));
    runSync(mapped.range(4 * BLOCK + 5, 10, true)).fill(3);
    expect(allAre(r.read(4 * BLOCK + 5, 10), 3)).toBe(true);
    // At most to the end of the folio.
    expect(runSync(mapped.range(2 * BLOCK - 10, 100, true))).toHaveLength(10);
  });

  it('msync tells an error once to each mapping', () => {
    const r = rig();
    r.write(0, filled(BLOCK, 5));
    const one = map(r);
    const other = map(r);
    r.bad.push({ op: 'write', pos: 0, len: Infinity });
    expect(codeOf(() => runSync(one.msync(0, BLOCK)))).toBe('EIO');
    expect(codeOf(() => runSync(one.msync(0, BLOCK)))).toBe('none');
    expect(codeOf(() => runSync(other.msync(0, BLOCK)))).toBe('EIO');
  });
});

describe('17: faults and those who take blocks from the file', () => {
  /** A truncate as a driver does it, with a wait in the middle. */
  function* truncate(r: Rig, simulator: Simulator, size: number): Io<void> {
    const { invalidateLock } = r.file.mapping;
    if (!invalidateLock.tryWrite()) yield* invalidateLock.write();
    try {
      r.file.size = size;
      yield* truncatePageCache(r.file, size);
      yield* simulator.sleep(10_000);
      r.file.map.length = Math.ceil(size / BLOCK);
      r.file.mapping.validityCookie++;
    } finally {
      invalidateLock.unlockWrite();
    }
  }

  it.each([...Array(20).keys()])('a fault waits until the blocks are free: EFAULT, or before it (seed %i)', (seed) => {
    const r = rig({ withoutEnd: true });
    r.write(0, filled(4 * BLOCK, 1));
    runSync(r.file.writeAll());
    invalidateRange(r.file, 0, Infinity);
    const mapped = map(r);
    const simulator = new Simulator({ seed });
    let sawData = false;
    simulator.spawn(truncate(r, simulator, BLOCK), 'truncate');
    simulator.spawn((function* (): Io<void> {
      const bytes = new Uint8Array(10);
      try {
        yield* mapped.read(2 * BLOCK, bytes);
        sawData = true;
        expect(allAre(bytes, 1)).toBe(true);
      } catch (error) {
        expect((error as FsError).code).toBe('EFAULT');
      }
    })(), 'fault');
    simulator.run();
    expect(r.file.mapping.nextFolio(BLOCK, Infinity)).toBeUndefined();
    expect(typeof sawData).toBe('boolean');
  });

  it('a write to a mapped file whose new blocks hold old bytes keeps faults out', () => {
    for (let seed = 0; seed < 30; seed++) {
      const r = rig({ withoutEnd: true, *onSampled(_pos, flags) {
        if ((flags & IOMAP_WRITE) !== 0) yield* simulator.sleep(5000);
      } });
      const simulator = new Simulator({ seed });
      r.file.size = BLOCK;
      const mapped = map(r);
      simulator.spawn(bufferedWrite(r.file, r.file.ops, 100, filled(10, 7)), 'write');
      simulator.spawn((function* (): Io<void> {
        const bytes = new Uint8Array(10);
        yield* mapped.read(0, bytes);
        expect(allAre(bytes, 0)).toBe(true);
      })(), 'fault');
      simulator.run();
    }
  });
});

it('3: a fault between the mapping and a failed write keeps its reservation', () => {
  const punched: [number, number][] = [];
  let fault: (() => Io<unknown>) | undefined;
  const r = rig({ delalloc: true, *onSampled(_pos, flags) {
    if ((flags & IOMAP_FAULT) !== 0 || fault === undefined) return;
    const run = fault;
    fault = undefined;
    yield* run();
  } });
  r.file.size = 8 * BLOCK;
  const { ops } = r.file;
  const exact: IomapOps<ExtentFile> = {
    ...ops,
    newIsUnwritten: true,
    *end(inode, pos, length, written) {
      punchDelalloc(inode, pos + written, pos + length, (from, to) => {
        punched.push([from / BLOCK, to / BLOCK]);
        for (let i = from / BLOCK; i < to / BLOCK; i++) inode.setEntry(i, 'hole', 0);
      });
      yield* [];
    },
  };
  const mapped = new MappedFile(r.file, exact);
  fault = () => mapped.write(3 * BLOCK + 5, filled(10, 9));
  // The source gives one block and a bit.
  const source = { length: 6 * BLOCK, copyTo: (into: Uint8Array, at: number) => (at > 0 ? 0 : (into.fill(4, 0, BLOCK + 10), BLOCK + 10)) };
  const done = runSync(bufferedWrite(r.file, exact, 0, source));
  expect(done).toBe(BLOCK);
  expect(punched).toEqual([[1, 3], [4, 6]]);
  expect(r.file.entry(3).state).toBe('delalloc');
  runSync(r.file.writeAll());
  expect(r.file.mapping.takeError()).toBeUndefined();
  expect(allAre(r.read(3 * BLOCK + 5, 10), 9)).toBe(true);
  expect(allAre(r.read(BLOCK, 2 * BLOCK), 0)).toBe(true);
});

it('1: a new block that was stored to and written meanwhile is not new when it is sampled again', () => {
  let store: (() => Io<unknown>) | undefined;
  const r = rig({ delalloc: true, *onSampled() {
    const run = store;
    store = undefined;
    if (run === undefined) return;
    yield* run();
    yield* r.file.writeAll();
    invalidateRange(r.file, 0, BLOCK);
  } });
  r.file.size = BLOCK;
  const ops: IomapOps<ExtentFile> = { ...r.file.ops, newIsUnwritten: true };
  const mapped = new MappedFile(r.file, ops);
  store = () => mapped.write(100, filled(10, 9));
  runSync(bufferedWrite(r.file, ops, 500, filled(10, 7)));
  expect(r.cache.counters.staleMappings).toBe(1);
  expect(allAre(r.read(100, 10), 9)).toBe(true);
  expect(allAre(r.read(500, 10), 7)).toBe(true);
});
