/** Random operations on a file in the old way, checked against a plain byte array: block sizes, budgets, both ways to read and write pages. */
import { FsError, runAsync, runSync, type Io } from '@iomap/io';
import { PageCache } from '@iomap/page-cache';
import { testSeed } from '@iomap/tools/testing';
import * as fc from 'fast-check';
import { anyDirty, boundedDevice, freeBlocks, oldDevice, seeded, slowDevice, TestFile } from '../test/rig.js';
import { blockDirectRead, blockDirectWrite } from './direct.js';
import { blockPageMkwrite } from './fault.js';
import { blockSeek } from './map.js';
import { fileRead, peekFileRead } from './read.js';
import { blockTruncatePage, invalidatePages } from './truncate.js';
import { writeAndWait } from './writeback.js';

const MAX = 64 * 1024;

/** `IOMAP_SEED=…` repeats a run. A failure is shrunk for so long, and no longer. */
const seed = testSeed();
const BOUNDS = { seed, interruptAfterTimeLimit: 20_000 } as const;
/** Device requests and `get_block` calls of one case: more is a loop that makes no progress. A long case needs a tenth. */
const STEPS_MAX = 100_000;

const KINDS = ['write', 'write', 'read', 'read', 'truncate', 'drop', 'sync', 'directRead', 'directWrite', 'store', 'seek'] as const;

const opArb = fc.record({
  kind: fc.constantFrom(...KINDS),
  pos: fc.oneof(fc.nat(MAX - 1), fc.nat(MAX / 512 - 1).map((n) => n * 512)),
  len: fc.oneof(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 20_000 })),
  byte: fc.integer({ min: 1, max: 90 }),
});
type Op = typeof opArb extends fc.Arbitrary<infer T> ? T : never;

const configArb = fc.record({
  shift: fc.integer({ min: 9, max: 12 }),
  budgetPages: fc.integer({ min: 8, max: 40 }),
  mpage: fc.boolean(),
  peeks: fc.boolean(),
  /** Blocks on the device: fewer than the file may want. */
  room: fc.constantFrom(2, 0.4),
  leaf: fc.constantFrom(undefined, 7),
  seed: fc.integer({ min: 1, max: 1 << 30 }),
});

class Checked {
  readonly file: TestFile;
  model = new Uint8Array(0);

  constructor(config: typeof configArb extends fc.Arbitrary<infer T> ? T : never, slow: boolean) {
    const blockSize = 2 ** config.shift;
    const next = seeded(config.seed);
    const blocks = Math.floor((MAX / blockSize) * config.room) + 2;
    const device = boundedDevice(oldDevice(blocks * blockSize), STEPS_MAX);
    this.file = new TestFile({
      device: slow ? slowDevice(device, next) : device,
      blockSize,
      cache: new PageCache({ budgetBytes: config.budgetPages * 4096, bypassReadBytes: Infinity, bypassWriteBytes: Infinity }),
      free: freeBlocks(blocks, next),
      mpage: config.mpage,
      peeks: () => config.peeks && next() % 3 !== 0,
      callsMax: STEPS_MAX,
      ...(config.leaf === undefined ? {} : { leaf: config.leaf }),
    });
  }

  *apply(op: Op): Io<void> {
    const { file } = this;
    const { pos } = op;
    const len = Math.min(op.len, MAX - pos);
    switch (op.kind) {
      case 'write':
        yield* this.#write(pos, pattern(op.byte, len), (bytes) => file.write(pos, bytes));
        break;
      case 'directWrite': {
        const at = pos - (pos % 512);
        const bytes = pattern(op.byte, Math.ceil(len / 512) * 512);
        // As a driver: the tail of the last block first.
        if (at > file.size) yield* blockTruncatePage(file, file.ops, file.size);
        yield* this.#write(at, bytes, (given) => blockDirectWrite(file, file.ops, at, given), true);
        break;
      }
      case 'read':
      case 'directRead':
        yield* this.#read(op.kind === 'read' ? pos : pos - (pos % 512), op.kind === 'read' ? len : Math.ceil(len / 512) * 512, op.kind);
        break;
      case 'truncate':
        yield* file.truncate(pos);
        this.#resize(pos);
        break;
      case 'drop':
        yield* invalidatePages(file, pos, pos + len);
        break;
      case 'sync':
        yield* writeAndWait(file, file.ops, { pos, len });
        expect(file.mapping.takeError()).toBeUndefined();
        break;
      case 'store':
        yield* this.#store(pos, len, op.byte);
        break;
      case 'seek':
        yield* this.#seek(pos);
        break;
    }
    expect(file.size).toBe(this.model.length);
    expect(anyDirty(file)).toBe(file.mapping.dirtyBytes > 0);
  }

  *#write(pos: number, bytes: Uint8Array, write: (bytes: Uint8Array) => Io<number>, direct = false): Io<void> {
    const before = this.file.size;
    let done = 0;
    try {
      done = yield* write(bytes);
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
    }
    if (done === 0) {
      expect(this.file.size).toBe(before);
      if (direct) yield* this.#settle(pos, bytes);
      yield* this.#afterFailure();
      return;
    }
    this.#resize(Math.max(this.model.length, pos + done));
    this.model.set(bytes.subarray(0, done), pos);
    if (done < bytes.length) yield* this.#afterFailure();
  }

  /** A direct write that failed says nothing of what it wrote before: each byte inside the file is the old one or the new one. */
  *#settle(pos: number, bytes: Uint8Array): Io<void> {
    const { model } = this;
    const end = Math.min(pos + bytes.length, model.length);
    if (end <= pos) return;
    const now = new Uint8Array(end - pos);
    expect(yield* fileRead(this.file, this.file.ops, pos, now)).toBe(now.length);
    now.forEach((byte, i) => {
      if (byte !== model[pos + i]) expect(byte).toBe(bytes[i]);
    });
    model.set(now, pos);
  }

  /** A write that failed may have put zeroes where holes were, and nothing else. */
  *#afterFailure(): Io<void> {
    yield* this.#read(0, MAX, 'read');
  }

  *#store(pos: number, len: number, byte: number): Io<void> {
    const { file } = this;
    const n = Math.min(len, file.size - pos);
    if (n <= 0) return;
    const bytes = pattern(byte, n);
    let done = 0;
    try {
      yield* blockPageMkwrite(file, file.ops, pos, n, (folio, from, to) => {
        folio.data.set(bytes.subarray(done, done + to - from), from);
        done += to - from;
      });
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
    }
    this.model.set(bytes.subarray(0, done), pos);
  }

  *#read(pos: number, len: number, kind: 'read' | 'directRead'): Io<void> {
    const { file } = this;
    const bytes = new Uint8Array(len).fill(0xee);
    let done = kind === 'read' ? peekFileRead(file, pos, bytes) : -1;
    if (done < 0) done = yield* kind === 'read' ? fileRead(file, file.ops, pos, bytes) : blockDirectRead(file, file.ops, pos, bytes);
    const want = this.model.subarray(pos, pos + len);
    expect(done).toBe(want.length);
    expect(Buffer.compare(bytes.subarray(0, done), want)).toBe(0);
    expect(bytes.subarray(done).every((one) => one === 0xee)).toBe(true);
  }

  *#seek(pos: number): Io<void> {
    const { file } = this;
    const { blockSize } = file;
    let expected = pos;
    while (expected < file.size && !file.blocks.has(Math.floor(expected / blockSize))) expected = (Math.floor(expected / blockSize) + 1) * blockSize;
    let found = -1;
    try {
      found = yield* blockSeek(file, file.ops, pos, 'data');
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENXIO') throw error;
    }
    expect(found).toBe(expected >= file.size ? -1 : expected);
  }

  /** What is on the device is what the file holds. */
  *verify(): Io<void> {
    const { file } = this;
    yield* writeAndWait(file, file.ops, { pos: 0, len: Infinity });
    expect(file.mapping.takeError()).toBeUndefined();
    expect(file.mapping.dirtyBytes).toBe(0);
    yield* invalidatePages(file, 0, Infinity);
    expect(file.mapping.folioCount).toBe(0);
    yield* this.#read(0, MAX, 'read');
  }

  #resize(size: number): void {
    const next = new Uint8Array(size);
    next.set(this.model.subarray(0, size));
    this.model = next;
  }
}

const pattern = (byte: number, len: number): Uint8Array => Uint8Array.from({ length: len }, (_, i) => 1 + ((byte + i) % 150));

describe('a file in the old way', () => {
  const runs = fc.tuple(configArb, fc.array(opArb, { minLength: 5, maxLength: 40 }));

  it('holds what a byte array would, on a device that answers at once', () => {
    fc.assert(
      fc.property(runs, ([config, ops]) => {
        const checked = new Checked(config, false);
        for (const op of ops) runSync(checked.apply(op));
        runSync(checked.verify());
      }),
      { ...BOUNDS, numRuns: 300 },
    );
  });

  it('comes further where the pages ahead would take the memory of the one that is read', () => {
    // Found by seed 935059357: all but two pages are dirty, and those ahead are holes, which are read at once.
    const checked = new Checked({ shift: 9, budgetPages: 8, mpage: false, peeks: false, room: 2, leaf: undefined, seed: 1 }, false);
    const run = (kind: Op['kind'], pos: number, len: number): void => runSync(checked.apply({ kind, pos, len, byte: 1 }));
    run('write', 0, 1);
    run('write', 49_152, 1);
    run('store', 3584, 16_897);
    run('read', 8862, 19_811);
    run('write', 0, 1);
    runSync(checked.verify());
  });

  it('and on one that answers later', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async ([config, ops]) => {
        const checked = new Checked(config, true);
        for (const op of ops) await runAsync(checked.apply(op));
        await runAsync(checked.verify());
      }),
      { ...BOUNDS, numRuns: 100 },
    );
  });
});
