/** Bugs that real iomap conversions had, by their number in the list that the project keeps. */
import { FsError, runAsync, runSync, submitBio, type Io } from '@iomap/io';
import { memoryDevice } from '@iomap/block-device';
import { newIomap, type IomapOps } from '../iomap.js';
import { bufferedRead, peekBufferedRead } from '../read.js';
import type { ExtentFile } from '../testing/extent-file.js';
import { allAre, BLOCK, filled, rig } from '../testing/pitfall-rig.js';
import { slowDevice } from '../testing/rig.js';
import { invalidateRange, truncatePageCache } from '../truncate.js';
import { bufferedWrite, peekBufferedWrite } from '../write.js';
import { truncatePage, zeroRange } from '../zero.js';

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'none';
};

describe('1: a mapping that got stale before the folio was locked', () => {
  const race = (check: boolean): Uint8Array => {
    let armed = false;
    const r = rig({
      unwritten: true,
      *onSampled() {
        if (!armed) return;
        armed = false;
        // Another task: writeback converts the block, and its folio is reclaimed.
        yield* r.file.writeAll();
        invalidateRange(r.file, 0, BLOCK);
      },
    });
    if (!check) (r.file.ops as { folioOps?: object }).folioOps = { valid: () => true };
    r.write(0, filled(BLOCK, 7));
    armed = true;
    r.write(100, filled(1, 9));
    expect(r.cache.counters.staleMappings).toBe(check ? 1 : 0);
    return r.read(0, BLOCK);
  };

  it('is sampled again, and what was there stays', () => {
    const bytes = race(true);
    expect(bytes[100]).toBe(9);
    bytes[100] = 7;
    expect(allAre(bytes, 7)).toBe(true);
  });

  it('loses data without the check (the test can fail)', () => {
    expect(allAre(race(false).subarray(200), 0)).toBe(true);
  });

  it('stays NEW when it is sampled again', () => {
    let armed = true;
    const r = rig({
      withoutEnd: true,
      *onSampled() {
        if (armed) r.file.mapping.validityCookie++;
        armed = false;
      },
    });
    r.file.size = 2 * BLOCK;
    r.write(100, filled(1, 9));
    const bytes = r.read(0, BLOCK);
    expect(r.cache.counters.staleMappings).toBe(1);
    expect(allAre(bytes.subarray(0, 100), 0)).toBe(true);
    expect(allAre(bytes.subarray(101), 0)).toBe(true);
  });
});

it('2: writeback does not write through a mapping that a truncate made stale', async () => {
  const r = rig({ blocks: 64, cacheOptions: { folioMaxBytes: BLOCK } });
  r.write(0, filled(2 * BLOCK, 1));
  const second = r.file.mapping.lookup(BLOCK);
  expect(second?.tryLock()).toBe(true);
  // It maps both blocks at the first folio, writes that, and waits for the second.
  const running = runAsync(r.file.writeAll());
  expect(r.bios).toHaveLength(1);
  // Meanwhile the second block moves, as a truncate and a new write would have it.
  const old = r.file.entry(1).block;
  r.file.setEntry(1, 'mapped', 40);
  r.file.mapping.validityCookie++;
  second?.unlock();
  await running;
  expect(r.bios.slice(1)).toEqual([{ op: 'write', pos: 40 * BLOCK, len: BLOCK, segments: 1 }]);
  expect(r.disk()[old * BLOCK]).toBe(0xa5);
});

describe('4, 5, 6: a failed writeback', () => {
  it('gives up exactly the blocks of the failed bio, and writes the others', () => {
    const r = rig({ freeBlocks: [10, 20, 30, 40], mapBlocksMax: 1 });
    r.write(0, filled(4 * BLOCK, 3));
    expect(r.file.mapping.folioCount).toBe(4);
    r.bad.push({ op: 'write', pos: 20 * BLOCK, len: BLOCK });
    runSync(r.file.writeAll());
    expect(r.file.discarded).toEqual([{ pos: BLOCK, length: BLOCK }]);
    for (const block of [10, 30, 40]) expect(r.disk()[block * BLOCK]).toBe(3);
    // No dirty clot, and the error is told once.
    expect(r.cache.dirtyBytes).toBe(0);
    expect(r.file.mapping.takeError()?.code).toBe('EIO');
    expect(r.file.mapping.takeError()).toBeUndefined();
    expect(allAre(r.read(0, 4 * BLOCK), 3)).toBe(true);
  });

  it('of one block in a large folio spares the others', () => {
    let fails = true;
    const r = rig({
      delalloc: true,
      *onMap(pos) {
        if (pos === 2 * BLOCK && fails) throw new FsError('ENOSPC');
      },
    });
    r.write(0, filled(4 * BLOCK, 3));
    expect(r.file.mapping.folioCount).toBe(1);
    // Three runs in one folio: block 2 has a run of its own.
    r.file.setEntry(0, 'mapped', 50);
    r.file.setEntry(1, 'mapped', 60);
    r.file.setEntry(3, 'mapped', 70);
    runSync(r.file.writeAll());
    expect(r.file.discarded[0]?.pos).toBe(2 * BLOCK);
    expect([50, 60].map((block) => r.disk()[block * BLOCK])).toEqual([3, 3]);
    expect(r.file.mapping.takeError()?.code).toBe('ENOSPC');
    expect(r.cache.dirtyBytes).toBe(0);
    fails = false;
  });

  it('that says nothing of the medium leaves the data dirty', () => {
    const r = rig();
    r.write(0, filled(BLOCK, 3));
    const device = slowDevice(r.device, () => 0);
    (r.file.options as { device: unknown }).device = device;
    runSync(r.file.writeAll());
    expect(r.file.mapping.takeError()?.code).toBe('ENOTSUP');
    expect(r.cache.dirtyBytes).toBe(BLOCK);
  });
});

it('7: zeroing looks at dirty data over an unwritten mapping, and flushes nothing', () => {
  const r = rig({ unwritten: true });
  r.file.preallocate(0, 8);
  r.write(0, filled(2 * BLOCK, 5));
  r.file.size = 8 * BLOCK;
  expect(runSync(zeroRange(r.file, r.file.ops, 100, 6 * BLOCK))).toBe(true);
  expect(r.bios).toEqual([]);
  expect(allAre(r.read(0, 100), 5)).toBe(true);
  expect(allAre(r.read(100, 8 * BLOCK), 0)).toBe(true);
  expect(runSync(zeroRange(r.file, r.file.ops, 4 * BLOCK, BLOCK))).toBe(false);
});

describe('8: beyond the end of the file', () => {
  it('zeroing does not grow it', () => {
    const r = rig();
    r.write(0, filled(100, 1));
    expect(runSync(truncatePage(r.file, r.file.ops, 100))).toBe(true);
    expect(r.file.size).toBe(100);
  });

  it.each([
    ['a write past it', (file: ExtentFile): Io<unknown> => bufferedWrite(file, file.ops, 3 * BLOCK + 5, filled(1, 9))],
    ['a longer size', (file: ExtentFile): Io<unknown> => file.truncate(3 * BLOCK)],
  ])('%s zeroes the rest of the block there, also in a large folio', (_name, extend) => {
    const r = rig();
    r.write(0, filled(4 * BLOCK, 1));
    runSync(r.file.truncate(100));
    const folio = r.file.mapping.lookup(0);
    expect(folio?.size).toBe(4 * BLOCK);
    // What a mapped write past the end leaves.
    folio?.data.fill(0xbb, 100);
    runSync(extend(r.file));
    expect(allAre(r.read(0, 100), 1)).toBe(true);
    expect(allAre(r.read(100, 2 * BLOCK), 0)).toBe(true);
    runSync(r.file.writeAll());
    invalidateRange(r.file, 0, Infinity);
    expect(allAre(r.read(100, 2 * BLOCK), 0)).toBe(true);
  });

  it('writeback writes no block, and zeroes the rest of the last', () => {
    const r = rig();
    r.write(0, filled(3 * BLOCK, 1));
    const folio = r.file.mapping.lookup(0);
    r.file.size = 100;
    runSync(r.file.writeAll());
    expect(r.cache.dirtyBytes).toBe(0);
    expect(r.bios.reduce((sum, bio) => sum + bio.len, 0)).toBe(BLOCK);
    expect(allAre(r.disk().subarray(BLOCK + 100, 2 * BLOCK), 0)).toBe(true);
    expect(folio?.mapping).toBe(r.file.mapping);
  });
});

it('9: an ioend knows its exact end', () => {
  const r = rig();
  r.write(0, filled(BLOCK + 10, 1));
  runSync(r.file.writeAll());
  expect(Math.max(...r.file.ioendEnds)).toBe(BLOCK + 10);
});

it('10: only whole blocks become uptodate', () => {
  const r = rig({ blockSize: 512 });
  r.file.preallocate(0, 16);
  for (let i = 0; i < 16; i++) r.file.setEntry(i, 'mapped', 1 + i);
  r.file.size = 8192;
  const folio = r.file.mapping.tryAlloc(0, 8192);
  folio?.unlock();
  r.write(600, filled(1000, 1));
  expect(folio?.isUptodate(512, 2048)).toBe(true);
  expect(folio?.uptodateCount).toBe(3);
  expect(folio?.dirtyCount).toBe(3);
  expect(r.read(2048, 1)[0]).toBe(0xa5);
});

describe('12: a short write', () => {
  it('tells how much there was room for, then why not more', () => {
    const r = rig({ freeBlocks: [5, 6, 7] });
    expect(r.write(0, filled(5 * BLOCK, 1))).toBe(3 * BLOCK);
    expect(r.file.size).toBe(3 * BLOCK);
    expect(codeOf(() => r.write(3 * BLOCK, filled(1, 1)))).toBe('ENOSPC');
    expect(allAre(r.read(0, 5 * BLOCK), 1)).toBe(true);
    if (r.file.ops.end !== undefined) expect(r.file.beginsOpen).toBe(0);
  });

  it('ends when a step makes no progress', () => {
    const r = rig();
    r.file.setEntry(0, 'mapped', 1);
    (r.file.ops as { folioOps?: object }).folioOps = { valid: () => false };
    expect(codeOf(() => r.write(0, filled(10, 1)))).toBe('EIO');
  });
});

it('13: a read across the end is clipped, whatever the mapping covers', () => {
  const r = rig();
  r.write(0, filled(8 * BLOCK, 1));
  runSync(r.file.writeAll());
  invalidateRange(r.file, 0, Infinity);
  r.file.size = 2 * BLOCK + 10;
  expect(r.read(BLOCK, 8 * BLOCK)).toHaveLength(BLOCK + 10);
  const bytes = filled(100, 0xee);
  expect(peekBufferedRead(r.file, 2 * BLOCK, bytes)).toBe(10);
  expect(allAre(bytes.subarray(10), 0xee)).toBe(true);
  expect(r.read(2 * BLOCK + 10, 10)).toHaveLength(0);
});

describe('15: errors of `end`', () => {
  it('do not hide the error of the step', () => {
    const r = rig({ endFails: () => new FsError('ENOSPC') });
    r.file.setEntry(0, 'mapped', 1);
    r.file.size = BLOCK;
    r.bad.push({ op: 'read', pos: BLOCK, len: 1 });
    expect(codeOf(() => r.write(10, filled(1, 1)))).toBe('EIO');
  });

  it('put the position back', () => {
    let fails = false;
    const r = rig({ mapBlocksMax: 1, endFails: () => (fails ? new FsError('EDQUOT') : undefined) });
    r.write(0, filled(BLOCK, 1));
    fails = true;
    expect(codeOf(() => r.write(BLOCK, filled(BLOCK, 1)))).toBe('EDQUOT');
  });
});

describe('16: a corrupt map', () => {
  const mapped = (change: (out: ReturnType<typeof newIomap>) => void): string => {
    const r = rig();
    const ops: IomapOps<ExtentFile> = {
      *begin(inode, pos, length, flags, out) {
        r.file.ops.begin(inode, pos, length, flags, out, newIomap()).next();
        change(out);
      },
    };
    r.file.size = 10_000;
    return codeOf(() => runSync(bufferedRead(r.file, ops, 5000, new Uint8Array(100))));
  };

  it('that does not cover the position is EUCLEAN', () => {
    expect(mapped((out) => (out.length = 0))).toBe('EUCLEAN');
    expect(mapped((out) => (out.offset = 8192))).toBe('EUCLEAN');
    expect(mapped((out) => (out.offset = NaN))).toBe('EUCLEAN');
  });

  it('that lies outside its device is EUCLEAN', () => {
    expect(mapped((out) => ((out.type = 'mapped'), (out.addr = 2 ** 50), (out.device = memoryDevice({ sizeBytes: 65_536 }))))).toBe('EUCLEAN');
    expect(mapped((out) => ((out.type = 'mapped'), (out.addr = -4096), (out.device = memoryDevice({ sizeBytes: 65_536 }))))).toBe('EUCLEAN');
  });

  it('with inline data that ends too soon is EUCLEAN', () => {
    expect(mapped((out) => ((out.type = 'inline'), (out.offset = 0), (out.length = 10_000), (out.inlineData = new Uint8Array(60))))).toBe('EUCLEAN');
    expect(mapped((out) => ((out.type = 'inline'), (out.inlineData = undefined)))).toBe('EUCLEAN');
  });
});

it('17: a truncate waits for reads and writes in flight of what it drops', async () => {
  const r = rig();
  r.write(0, filled(16 * BLOCK, 1));
  runSync(r.file.writeAll());
  invalidateRange(r.file, 0, Infinity);
  // Every bio takes longer than the one before.
  let turns = 0;
  (r.file.options as { device: unknown }).device = slowDevice(r.device, () => (turns += 2));
  await runAsync(bufferedRead(r.file, r.file.ops, 0, new Uint8Array(BLOCK)));
  const ahead = r.file.mapping.lookup(8 * BLOCK);
  expect(ahead?.locked).toBe(true);
  await runAsync(truncatePageCache(r.file, BLOCK));
  expect(ahead?.uptodate).toBe(true);
  expect(ahead?.mapping).toBeUndefined();
  expect(r.file.mapping.folioCount).toBe(1);
});

it('18: ioends are bounded, and merge across folios up to that', () => {
  const r = rig({ blocks: 6000, cacheOptions: { budgetBytes: 64 * 2 ** 20, folioMaxBytes: BLOCK } });
  const MiB = filled(2 ** 20, 1);
  for (let i = 0; i < 20; i++) r.write(i * 2 ** 20, MiB);
  runSync(r.file.writeAll());
  expect(r.bios.length).toBeLessThanOrEqual(20);
  for (const bio of r.bios) {
    expect(bio.segments).toBeLessThanOrEqual(1024);
    expect(bio.len).toBeLessThanOrEqual(8 * 2 ** 20);
  }
});

// An ext2 file: twelve blocks, the indirect block that maps the rest, the rest.
it.each([
  { where: 'between the two', metadata: 13, bios: [[1, 13], [14, 4]] },
  { where: 'elsewhere', metadata: 40, bios: [[1, 12], [40, 1], [14, 4]] },
])('23: what is mapped is submitted before the metadata read that maps the rest, $where on the device', ({ metadata, bios }) => {
  const r = rig({ blocks: 64 });
  for (let i = 0; i < 16; i++) r.file.setEntry(i, 'mapped', i < 12 ? 1 + i : 2 + i);
  r.file.size = 16 * BLOCK;
  const { ops } = r.file;
  const split: IomapOps<ExtentFile> = {
    *begin(inode, pos, length, flags, out, src) {
      if (pos >= 12 * BLOCK) {
        const segments = [new Uint8Array(BLOCK)];
        yield* submitBio(r.device, { op: 'read', pos: metadata * BLOCK, segments, lengthBytes: BLOCK });
      }
      yield* ops.begin(inode, pos, length, flags, out, src);
    },
  };
  expect(runSync(bufferedRead(r.file, split, 0, new Uint8Array(16 * BLOCK)))).toBe(16 * BLOCK);
  expect(r.bios.map((bio) => [bio.pos / BLOCK, bio.len / BLOCK])).toEqual(bios);
});

it('a plain write commits what a NEW mapping gave, even where it falls back', () => {
  const r = rig({ freeBlocks: [5, 9], peeks: () => true });
  r.file.mapping.tryAlloc(0, 2 * BLOCK)?.unlock();
  const bytes = filled(BLOCK + 100, 4);
  expect(peekBufferedWrite(r.file, r.file.ops, 50, bytes)).toBe(-1);
  expect(runSync(bufferedWrite(r.file, r.file.ops, 50, bytes))).toBe(bytes.length);
  expect(allAre(r.read(0, 50), 0)).toBe(true);
  expect(allAre(r.read(50, bytes.length), 4)).toBe(true);
});
