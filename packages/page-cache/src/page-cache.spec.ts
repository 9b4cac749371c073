import { FsError, runAsync, runSync, type Io } from '@iomap/io';
import { AddressSpace, PageCache, type Folio } from './index.js';

const BLOCK = 4096;

interface Made {
  readonly cache: PageCache;
  readonly mapping: AddressSpace;
  readonly asked: { pos: number; len: number }[];
}

function make(budgetBlocks: number, clean = true, folioMaxBytes = BLOCK): Made {
  const cache = new PageCache({ budgetBytes: budgetBlocks * BLOCK, folioMaxBytes });
  const asked: Made['asked'] = [];
  const mapping: AddressSpace = new AddressSpace(cache, {
    name: 'test',
    blockSize: BLOCK,
    host: {
      *writeback(range): Io<void> {
        asked.push(range);
        const folio = mapping.nextDirty(range.pos, range.pos + range.len);
        if (clean) folio?.clearDirty(0, folio.size);
      },
    },
  });
  return { cache, mapping, asked };
}

function add(mapping: AddressSpace, index: number): Folio | undefined {
  const folio = mapping.tryAlloc(index * BLOCK, BLOCK);
  folio?.setUptodate(0, BLOCK);
  folio?.unlock();
  return folio;
}

it('never holds more than its budget, and drops what was not used lately', () => {
  const { cache, mapping } = make(16);
  for (let i = 0; i < 16; i++) expect(add(mapping, i)).toBeDefined();
  const hot = mapping.lookup(0);
  if (hot !== undefined) hot.touched = 2;
  for (let i = 16; i < 31; i++) {
    expect(add(mapping, i)).toBeDefined();
    expect(cache.pool.heldBytes).toBeLessThanOrEqual(cache.budgetBytes);
  }
  expect(mapping.folioCount).toBe(16);
  expect(mapping.lookup(0)).toBe(hot);
  expect(mapping.lookup(BLOCK)).toBeUndefined();
});

it('does not drop what is dirty, locked, pinned or under writeback', () => {
  const { mapping, cache } = make(16);
  const folios = Array.from({ length: 16 }, (_, i) => add(mapping, i));
  folios.forEach((folio, i) => {
    if (i % 4 === 0) folio?.markDirty(0, 1);
    else if (i % 4 === 1) folio?.tryLock();
    else if (i % 4 === 2) folio?.startWriteback();
    else if (folio !== undefined) folio.pins++;
  });
  expect(add(mapping, 100)).toBeUndefined();
  expect(mapping.folioCount).toBe(16);
  folios[6]?.endWriteback();
  expect(add(mapping, 100)).toBeDefined();
  expect(folios[6]?.mapping).toBeUndefined();
  expect(cache.counters.folioReclaims).toBe(1);
});

it('has the oldest dirty folio written when nothing is clean', () => {
  const { mapping, asked } = make(16);
  for (let i = 15; i >= 0; i--) add(mapping, i)?.markDirty(0, 1);
  expect(add(mapping, 100)).toBeUndefined();
  runSync(mapping.cache.makeRoom(BLOCK));
  expect(asked[0]?.pos).toBe(15 * BLOCK);
  expect(add(mapping, 100)).toBeDefined();
});

it('gives up when writeback frees nothing', () => {
  const { mapping, cache } = make(16, false);
  for (let i = 0; i < 16; i++) add(mapping, i)?.markDirty(0, 1);
  const forever = (): void => {
    for (;;) runSync(cache.makeRoom(BLOCK));
  };
  expect(forever).toThrow(FsError);
  expect(forever).toThrow(/ENOMEM/);
});

it('keeps dirty data under half of the budget', () => {
  const { mapping, cache } = make(16);
  for (let i = 0; i < 12; i++) add(mapping, i)?.markDirty(0, 1);
  runSync(cache.balanceDirty());
  expect(cache.dirtyBytes).toBe(8 * BLOCK);
});

it('wakes a task that waits for memory when a folio is unlocked', async () => {
  const { mapping, cache } = make(16);
  const folios = Array.from({ length: 16 }, (_, i) => add(mapping, i));
  for (const folio of folios) folio?.tryLock();
  let woken = false;
  const waiting = runAsync(cache.makeRoom(BLOCK)).then(() => (woken = true));
  await Promise.resolve();
  expect(woken).toBe(false);
  folios[3]?.unlock();
  await waiting;
  expect(add(mapping, 100)).toBeDefined();
});

it('takes smaller folios where memory is in pieces', () => {
  const { mapping, cache } = make(64, true, 16 * BLOCK);
  for (let i = 0; i < 64; i++) add(mapping, i)?.markDirty(0, 1);
  for (let i = 0; i < 64; i += 2) mapping.lookup(i * BLOCK)?.clearDirty(0, BLOCK);
  const folio = mapping.tryAlloc(1024 * BLOCK, 16 * BLOCK);
  expect(folio?.size).toBe(BLOCK);
  expect(cache.pool.heldBytes).toBe(64 * BLOCK);
});

it('costs an inode without data next to nothing', () => {
  const cache = new PageCache({ budgetBytes: 1 << 20 });
  const host = { *writeback(): Io<void> { throw new Error('not asked for'); } };
  const before = process.memoryUsage().heapUsed;
  const many = Array.from({ length: 100_000 }, () => new AddressSpace(cache, { name: 'x', blockSize: 1024, host }));
  expect((process.memoryUsage().heapUsed - before) / many.length).toBeLessThan(600);
});

it('tells an error of writeback once', () => {
  const { mapping } = make(16);
  const error = new FsError('EIO');
  mapping.setError(error);
  mapping.setError(new FsError('ENOSPC'));
  expect(mapping.takeError()).toBe(error);
  expect(mapping.takeError()).toBeUndefined();
});

it('doubles the readahead window of a sequential reader and closes it for a random one', () => {
  const window = new PageCache({ budgetBytes: 64 << 20 }).newReadahead();
  expect(window.onMiss(0, 4096)).toBe(65_536);
  expect(window.onMark()).toBe(131_072);
  window.advance(200_000);
  expect(window.onMiss(200_000, 4096)).toBe(262_144);
  for (let i = 0; i < 10; i++) window.onMark();
  expect(window.windowBytes).toBe(1 << 20);
  expect(window.onMiss(50_000_000, 4096)).toBe(0);
});
