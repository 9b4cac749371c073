/**
 * Many tasks on two files that share one small cache and one pool of blocks: readers and writers under the inode lock, writeback
 * without it, blocks that pass from one file to the other. Every interleaving is a seed.
 */
import { RwLock, type Io } from '@iomap/io';
import { SimDevice, Simulator } from '@iomap/io/sim';
import { PageCache } from '@iomap/page-cache';
import type { BlockDevice } from '@iomap/block-device';
import { testRuns, testSeed } from '@iomap/tools/testing';
import { bufferedRead } from './read.js';
import { ExtentFile, type ExtentFileOptions } from './testing/extent-file.js';
import { freeBlocks, OLD_BYTE, seeded } from './testing/rig.js';
import { invalidateRange } from './truncate.js';
import { bufferedWrite } from './write.js';
import { zeroRange } from './zero.js';

const BLOCK = 1024;
const BLOCKS = 24;
const MAX = BLOCKS * BLOCK;

/** The simulated disk as a block device; `synchronous` says whether large pieces may bypass the cache. */
function simDisk(synchronous: boolean): BlockDevice {
  const disk = new SimDevice({ content: new Uint8Array(BLOCKS * 6 * BLOCK).fill(OLD_BYTE) });
  if (synchronous) return disk;
  return {
    name: 'sim', synchronous: false, sizeBytes: disk.sizeBytes, sectorSize: 512, readOnly: false,
    limits: { maxBioBytes: 8 * BLOCK, atomicWriteBytes: 0, discard: false, writeZeroes: false },
    submit: (bio) => disk.submit(bio),
    close() {
      // Nothing to free.
    },
  };
}

class Actor {
  readonly lock = new RwLock('file');
  model = new Uint8Array(0);
  constructor(readonly file: ExtentFile, readonly next: () => number) {}

  *exclusive(): Io<void> {
    const { file, next } = this;
    if (!this.lock.tryWrite()) yield* this.lock.write();
    try {
      const pos = next() % MAX;
      const len = 1 + (next() % Math.min(MAX - pos, 1 + (next() % MAX)));
      const choice = next() % 8;
      if (choice < 5) {
        const bytes = new Uint8Array(len).fill(1 + (next() % 150));
        expect(yield* bufferedWrite(file, file.ops, pos, bytes)).toBe(len);
        this.resize(Math.max(this.model.length, pos + len));
        this.model.set(bytes, pos);
      } else if (choice < 7) {
        yield* file.truncate(pos);
        this.resize(pos);
      } else if (pos < file.size) {
        yield* zeroRange(file, file.ops, pos, Math.min(len, file.size - pos));
        this.model.fill(0, pos, pos + len);
      }
    } finally {
      this.lock.unlockWrite();
    }
  }

  *read(pos = this.next() % MAX, len = 1 + (this.next() % MAX)): Io<void> {
    if (!this.lock.tryRead()) yield* this.lock.read();
    try {
      const bytes = new Uint8Array(len);
      const n = yield* bufferedRead(this.file, this.file.ops, pos, bytes);
      const want = this.model.subarray(pos, pos + len);
      if (Buffer.compare(bytes.subarray(0, n), want) !== 0) {
        const at = bytes.findIndex((byte, i) => byte !== want[i]);
        throw new Error(`byte ${pos + at} is ${String(bytes[at])}, not ${String(want[at])} (${n} of ${want.length})`);
      }
    } finally {
      this.lock.unlockRead();
    }
  }

  resize(size: number): void {
    const model = new Uint8Array(size);
    model.set(this.model.subarray(0, Math.min(size, this.model.length)));
    this.model = model;
  }
}

function* act(actor: Actor, times: number): Io<void> {
  for (let i = 0; i < times; i++) {
    if (actor.next() % 3 === 0) yield* actor.read();
    else yield* actor.exclusive();
  }
}

function* background(actor: Actor, times: number): Io<void> {
  const { file, next } = actor;
  for (let i = 0; i < times; i++) {
    const pos = next() % MAX;
    yield* file.writeback({ pos, len: 1 + (next() % MAX) });
    if (next() % 2 === 0) invalidateRange(file, pos, MAX);
  }
}

function simulate(seed: number): { staleMappings: number; pressureWritebacks: number; lockWaits: number } {
  const next = seeded(seed);
  const modes: Partial<ExtentFileOptions>[] = [{}, { delalloc: true }, { unwritten: true }];
  const cache = new PageCache({
    budgetBytes: (8 + (next() % 24)) * BLOCK,
    folioMaxBytes: BLOCK * 2 ** (next() % 4),
    bypassReadBytes: 4 * BLOCK,
    bypassWriteBytes: 4 * BLOCK,
  });
  const shared = {
    cache,
    device: simDisk(next() % 2 === 0),
    blockSize: BLOCK,
    freeBlocks: freeBlocks(BLOCKS * 6, next),
    ...modes[next() % 3],
    ...(next() % 2 === 0 ? { peeks: () => next() % 2 === 0 } : {}),
  };
  const simulator = new Simulator({ seed, stepsMax: 200_000 });
  // A metadata read that takes a moment: another task may come in between.
  const pause = (): Io<void> => (next() % 2 === 0 ? simulator.sleep(next() % 300_000) : nothing());
  const actors = [0, 1].map(() => new Actor(new ExtentFile({ ...shared, onBegin: pause, onMap: pause }), next));
  for (const actor of actors) {
    simulator.spawn(act(actor, 8));
    simulator.spawn(act(actor, 8));
    simulator.spawn(background(actor, 6));
  }
  simulator.run();
  for (const actor of actors) {
    simulator.spawn((function* (): Io<void> {
      yield* actor.file.writeAll();
      expect(actor.file.mapping.takeError()).toBeUndefined();
      invalidateRange(actor.file, 0, Infinity);
      yield* actor.read(0, MAX);
    })());
    simulator.run();
  }
  expect(cache.dirtyBytes).toBe(0);
  expect(cache.usedBytes).toBeLessThanOrEqual(cache.budgetBytes);
  const { staleMappings, pressureWritebacks, folioLockWaits } = cache.counters;
  return { staleMappings, pressureWritebacks, lockWaits: folioLockWaits };
}

function* nothing(): Io<void> {
  // No wait.
}

describe('tasks that interleave', () => {
  it('see what was written, whatever the order', () => {
    const runs = testRuns(200);
    const first = testSeed();
    const sum = { staleMappings: 0, pressureWritebacks: 0, lockWaits: 0 };
    for (let seed = first; seed < first + runs; seed++) {
      try {
        const seen = simulate(seed);
        sum.staleMappings += seen.staleMappings;
        sum.pressureWritebacks += seen.pressureWritebacks;
        sum.lockWaits += seen.lockWaits;
      } catch (error) {
        const cause = error instanceof Error ? error.cause : undefined;
        throw new Error(`IOMAP_SEED=${seed}: ${String(error)}`, { cause: cause ?? error });
      }
    }
    // The runs must have met what they are for.
    if (runs >= 200) for (const seen of Object.values(sum)) expect(seen).toBeGreaterThan(5);
  });
});
