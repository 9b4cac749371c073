/** What a cached block costs beside its bytes, measured: DESIGN.md says these figures. */
import { memoryDevice } from '@iomap/block-device';
import { runSync } from '@iomap/io';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BufferCache } from './buffer-cache.js';

const BLOCKS = 8000;
const BLOCK = 1024;

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

function heap(): number {
  if (typeof collect !== 'function') throw new Error('no garbage collector to call');
  // What the first leaves to finalizers goes with the second.
  Reflect.apply(collect, undefined, []);
  Reflect.apply(collect, undefined, []);
  return process.memoryUsage().heapUsed;
}

/** Heap that `make` leaves, per block, of the third run: the first two make compiled code as well. */
function perBlock(make: (cache: BufferCache) => void, prepare: (cache: BufferCache) => void = () => undefined): number {
  let bytes = 0;
  const kept: BufferCache[] = [];
  for (let run = 0; run < 3; run++) {
    const cache = new BufferCache(memoryDevice({ sizeBytes: BLOCKS * BLOCK }), { budgetBytes: 2 ** 30 });
    prepare(cache);
    const before = heap();
    make(cache);
    bytes = (heap() - before) / BLOCKS;
    kept.push(cache);
  }
  expect(kept.every((cache) => cache.count === BLOCKS)).toBe(true);
  return bytes;
}

const readAll = (cache: BufferCache): void => {
  for (let n = 0; n < BLOCKS; n++) runSync(cache.read(n * BLOCK, BLOCK));
};

describe('the state of a cached metadata block', () => {
  it('is under half a KiB of heap', () => {
    const bytes = perBlock(readAll);
    console.info(`a buffer: ${bytes.toFixed(0)} bytes of heap`);
    expect(bytes).toBeGreaterThan(300);
    expect(bytes).toBeLessThan(560);
  });

  it('is a set more where an fsync waits for it', () => {
    const owner = {};
    const bytes = perBlock((cache) => {
      for (let n = 0; n < BLOCKS; n++) cache.peek(n * BLOCK)?.markDirty(owner);
    }, readAll);
    console.info(`dirty, with an owner: ${bytes.toFixed(0)} bytes more`);
    expect(bytes).toBeGreaterThan(50);
    expect(bytes).toBeLessThan(350);
  });
});
