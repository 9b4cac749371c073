/** What a cached block costs beside its bytes, measured: DESIGN.md says these figures. */
import { memoryDevice } from '@iomap/block-device';
import { runSync } from '@iomap/io';
import { heapPerItem } from '@iomap/tools/testing';
import { BufferCache } from './buffer-cache.js';

const BLOCKS = 8000;
const BLOCK = 1024;

const newCache = (): BufferCache => new BufferCache(memoryDevice({ sizeBytes: BLOCKS * BLOCK }), { budgetBytes: 2 ** 30 });

function readAll(cache: BufferCache): void {
  for (let n = 0; n < BLOCKS; n++) runSync(cache.read(n * BLOCK, BLOCK));
  expect(cache.count).toBe(BLOCKS);
}

describe('the state of a cached metadata block', () => {
  it('is under half a KiB of heap', () => {
    const bytes = heapPerItem(BLOCKS, newCache, readAll);
    console.info(`a buffer: ${bytes.toFixed(0)} bytes of heap`);
    expect(bytes).toBeGreaterThan(300);
    expect(bytes).toBeLessThan(560);
  });

  it('is a set more where an fsync waits for it', () => {
    const owner = {};
    const filled = (): BufferCache => {
      const cache = newCache();
      readAll(cache);
      return cache;
    };
    const bytes = heapPerItem(BLOCKS, filled, (cache) => {
      for (let n = 0; n < BLOCKS; n++) cache.peek(n * BLOCK)?.markDirty(owner);
    });
    console.info(`dirty, with an owner: ${bytes.toFixed(0)} bytes more`);
    expect(bytes).toBeGreaterThan(50);
    expect(bytes).toBeLessThan(350);
  });
});
