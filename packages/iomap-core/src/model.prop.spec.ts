/** Random operations on a file, checked against a plain byte array, over block sizes, folio sizes, budgets and kinds of mapping. */
import { runAsync, runSync, type Io } from '@iomap/io';
import { PageCache } from '@iomap/page-cache';
import { testRuns } from '@iomap/tools/testing';
import * as fc from 'fast-check';
import { bufferedRead, peekBufferedRead } from './read.js';
import { seekData, seekHole } from './seek.js';
import { ExtentFile } from './testing/extent-file.js';
import { freeBlocks, oldDevice, seeded, slowDevice } from './testing/rig.js';
import { invalidateRange } from './truncate.js';
import { bufferedWrite, peekBufferedWrite } from './write.js';
import { zeroRange } from './zero.js';

const FILE_BLOCKS = 40;

type Op =
  | { readonly kind: 'write' | 'peekWrite'; readonly pos: number; readonly len: number; readonly byte: number }
  | { readonly kind: 'read' | 'zero' | 'seek' | 'drop' | 'sync'; readonly pos: number; readonly len: number }
  | { readonly kind: 'truncate' | 'prealloc'; readonly pos: number; readonly len: number };

const opArb = (max: number): fc.Arbitrary<Op> => {
  const range = { pos: fc.nat(max - 1), len: fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max })) };
  return fc.oneof(
    fc.record({ kind: fc.constantFrom('write', 'peekWrite'), ...range, byte: fc.integer({ min: 1, max: 250 }) }),
    fc.record({ kind: fc.constantFrom('read', 'read', 'zero', 'seek', 'drop', 'sync'), ...range }),
    fc.record({ kind: fc.constantFrom('truncate', 'prealloc'), ...range }),
  );
};

const configArb = fc.record({
  shift: fc.integer({ min: 9, max: 16 }),
  folioShift: fc.integer({ min: 0, max: 5 }),
  budgetBlocks: fc.integer({ min: 16, max: 80 }),
  mode: fc.constantFrom('mapped', 'delalloc', 'unwritten', 'inline'),
  seed: fc.integer({ min: 1, max: 1 << 30 }),
  peeks: fc.boolean(),
  bypass: fc.boolean(),
});

const runConfig = configArb.chain((config) =>
  fc.record({
    config: fc.constant(config),
    ops: fc.array(opArb(FILE_BLOCKS * 2 ** config.shift), { minLength: 5, maxLength: 40 }),
  }),
);

type Config = typeof configArb extends fc.Arbitrary<infer T> ? T : never;

/** One file, its model, and every operation as an Io that checks itself. */
class Checked {
  readonly file: ExtentFile;
  readonly cache: PageCache;
  model = new Uint8Array(0);
  readonly #max: number;

  constructor(config: Config, slow: boolean) {
    const blockSize = 2 ** config.shift;
    const next = seeded(config.seed);
    this.#max = FILE_BLOCKS * blockSize;
    this.cache = new PageCache({
      budgetBytes: config.budgetBlocks * blockSize,
      folioMaxBytes: Math.min(2 ** 21, blockSize * 2 ** config.folioShift),
      bypassReadBytes: config.bypass ? 3 * blockSize : Infinity,
      bypassWriteBytes: config.bypass ? 3 * blockSize : Infinity,
    });
    const base = oldDevice(FILE_BLOCKS * 3 * blockSize);
    this.file = new ExtentFile({
      cache: this.cache,
      device: slow ? slowDevice(base, next) : base,
      rawDevice: base,
      blockSize,
      freeBlocks: freeBlocks(FILE_BLOCKS * 3, next),
      delalloc: config.mode === 'delalloc',
      unwritten: config.mode === 'unwritten',
      inlineMaxBytes: config.mode === 'inline' ? 200 : 0,
      ...(config.peeks ? { peeks: () => next() % 3 !== 0 } : {}),
    });
  }

  *apply(op: Op): Io<void> {
    const { file } = this;
    const len = Math.min(op.len, this.#max - op.pos);
    const bytes = new Uint8Array(len);
    switch (op.kind) {
      case 'write':
      case 'peekWrite': {
        for (let i = 0; i < len; i++) bytes[i] = 1 + ((op.byte + i) % 150);
        const done = op.kind === 'peekWrite' ? peekBufferedWrite(file, file.ops, op.pos, bytes) : -1;
        if (done < 0) expect(yield* bufferedWrite(file, file.ops, op.pos, bytes)).toBe(len);
        this.#resize(Math.max(this.model.length, op.pos + len));
        this.model.set(bytes, op.pos);
        break;
      }
      case 'read':
        yield* this.#read(op.pos, len);
        break;
      case 'zero': {
        const size = file.size;
        if (op.pos < size) yield* zeroRange(file, file.ops, op.pos, Math.min(len, size - op.pos));
        this.model.fill(0, op.pos, op.pos + len);
        break;
      }
      case 'truncate':
        yield* file.truncate(op.pos);
        this.#resize(op.pos);
        break;
      case 'prealloc':
        if (file.inline === undefined) file.preallocate(Math.floor(op.pos / file.blockSize), 3);
        break;
      case 'drop':
        invalidateRange(file, op.pos, len);
        break;
      case 'sync':
        yield* file.writeback({ pos: op.pos, len });
        expect(file.mapping.takeError()).toBeUndefined();
        break;
      case 'seek':
        yield* this.#seek(op.pos);
        break;
    }
    expect(file.size).toBe(this.model.length);
    expect(this.cache.pool.heldBytes).toBeLessThanOrEqual(this.cache.budgetBytes);
  }

  *#read(pos: number, len: number): Io<void> {
    const bytes = new Uint8Array(len).fill(0xee);
    let n = peekBufferedRead(this.file, pos, bytes);
    if (n < 0) n = yield* bufferedRead(this.file, this.file.ops, pos, bytes);
    const want = this.model.subarray(pos, pos + len);
    expect(n).toBe(want.length);
    expectSame(bytes.subarray(0, n), want);
    expect(bytes.subarray(n).every((byte) => byte === 0xee)).toBe(true);
  }

  /** Everything, from the cache and again from the device. */
  *checkAll(): Io<void> {
    yield* this.#read(0, this.model.length);
    yield* this.file.writeAll();
    expect(this.cache.dirtyBytes).toBe(0);
    expect(this.file.mapping.takeError()).toBeUndefined();
    expect(invalidateRange(this.file, 0, Infinity)).toBe(true);
    expect(this.cache.usedBytes).toBe(0);
    yield* this.#read(0, this.model.length);
    if (this.file.ops.end !== undefined) expect(this.file.beginsOpen).toBe(0);
  }

  /** Bytes that are not zero lie in data; a hole has none of them. */
  *#seek(pos: number): Io<void> {
    const { file, model } = this;
    if (pos >= model.length) return;
    const hole = yield* seekHole(file, file.ops, pos);
    expect(hole).toBeGreaterThanOrEqual(pos);
    if (hole < model.length) {
      const end = Math.min(model.length, hole + file.blockSize - (hole % file.blockSize));
      expect(model.subarray(hole, end).every((byte) => byte === 0)).toBe(true);
    }
    let data = model.length;
    try {
      data = yield* seekData(file, file.ops, pos);
    } catch {
      // ENXIO: all the rest is a hole.
    }
    expect(model.subarray(pos, data).every((byte) => byte === 0)).toBe(true);
  }

  #resize(size: number): void {
    const model = new Uint8Array(size);
    model.set(this.model.subarray(0, Math.min(size, this.model.length)));
    this.model = model;
  }
}

function expectSame(got: Uint8Array, want: Uint8Array): void {
  if (Buffer.compare(got, want) === 0) return;
  const at = got.findIndex((byte, i) => byte !== want[i]);
  throw new Error(`byte ${at} is ${String(got[at])}, not ${String(want[at])}`);
}

const runs = testRuns(120);

describe('a file through the cache is a byte array', () => {
  it('under the synchronous runner', () => {
    fc.assert(
      fc.property(runConfig, ({ config, ops }) => {
        const checked = new Checked(config, false);
        for (const op of ops) runSync(checked.apply(op));
        runSync(checked.checkAll());
      }),
      { numRuns: runs, interruptAfterTimeLimit: 60_000 },
    );
  });

  it('under the asynchronous runner, on a device that takes its time', async () => {
    await fc.assert(
      fc.asyncProperty(runConfig, async ({ config, ops }) => {
        const checked = new Checked(config, true);
        for (const op of ops) await runAsync(checked.apply(op));
        await runAsync(checked.checkAll());
      }),
      { numRuns: Math.ceil(runs / 2), interruptAfterTimeLimit: 60_000 },
    );
  });
});
