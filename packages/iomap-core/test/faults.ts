/**
 * Faults: a workload is run once to count its requests, then once for each of them with just that one failing.
 *
 * Every time: a call that waited for the failed request reports it, or the next fsync of every open file does, once; all bytes
 * but those that failed are as they should be, then and after a remount; no folio, lock, reservation or dirty count is left.
 */
import { memoryDeviceFrom } from '@iomap/block-device';
import { isCode, SeededRandom, type Bio, type Io } from '@iomap/io';
import { Simulator } from '@iomap/io/sim';
import { PageCache } from '@iomap/page-cache';
import { invalidateRange } from '../src/index.js';
import { ExtentFile, mountExtentFs, reflink, type ExtentFs } from '../src/testing/index.js';
import { ByteModel, MODEL_BYTES, pattern } from './byte-model.js';
import { emptyImage } from './schedule.js';

export interface FaultReport {
  /** Requests of the workload. */
  readonly requests: number;
  /** Of the runs with a fault, those where a call reported it. */
  readonly told: number;
  /** Those where nobody waited for it, and what it was for was done again (readahead). */
  readonly repeated: number;
}

class FaultRun {
  readonly model = new ByteModel();
  /** Bytes that the fault may have changed: 1 = anything may be there. */
  readonly lost = new Uint8Array(MODEL_BYTES);
  /** Errors that calls reported. */
  reported = 0;
  /** Data that writeback gave up and nobody was told of yet, by open file. */
  readonly owed = new Set<ExtentFile>();
  files: ExtentFile[] = [];
  readonly #random: SeededRandom;
  readonly #blockSize: number;
  #tag = 0;

  constructor(seed: number, blockSize: number) {
    this.#random = new SeededRandom(seed);
    this.#blockSize = blockSize;
  }

  /** Writeback gave up [pos, end): every open file is to be told. */
  discarded(pos: number, end: number): void {
    this.lost.fill(1, pos, Math.min(end, MODEL_BYTES));
    for (const file of this.files) if (file.inode.ino === 1) this.owed.add(file);
  }

  *workload(file: ExtentFile, twin: ExtentFile, copy: ExtentFile): Io<void> {
    const random = this.#random;
    const max = Math.min(this.#blockSize * 12, MODEL_BYTES - 2048);
    for (let n = 16; n > 0; n--) {
      const pos = random.below(max);
      const len = 1 + random.below(Math.min(max - pos, random.chance(0.5) ? this.#blockSize : max));
      yield* this.#one(random.below(13), { file, twin, copy, pos, len });
    }
  }

  *#one(kind: number, at: { file: ExtentFile; twin: ExtentFile; copy: ExtentFile; pos: number; len: number }): Io<void> {
    const { file, pos, len } = at;
    const { inode } = file;
    const { size } = inode;
    const bs = this.#blockSize;
    switch (kind) {
      case 0:
        yield* this.#change(file, pos, Math.max(pos, size), 0, () => file.truncate(pos), pos);
        break;
      case 1:
        if (pos < size) yield* this.#change(file, pos, Math.min(size, pos + len), 0, () => file.punch(pos, len), size);
        break;
      case 2:
        if (pos < size) yield* this.#change(file, pos, Math.min(size, pos + len), 0, () => file.zero(pos, len), size);
        break;
      case 3: {
        const first = pos - (pos % 512);
        const end = first + len + 511 - ((len + 511) % 512);
        yield* this.#write(file, first, end, (bytes) => file.writeDirect(first, bytes, { dsync: pos % 2 === 0 }));
        break;
      }
      case 4:
        yield* this.#write(file, pos - (pos % bs), pos - (pos % bs) + bs, (bytes) => file.writeAtomic(pos - (pos % bs), bytes));
        break;
      case 5:
        if (pos < size) yield* this.#store(file, pos, Math.min(size, pos + Math.min(len, bs - (pos % bs))));
        break;
      case 6:
        yield* this.#sync(file);
        break;
      case 7:
        yield* this.#sync(at.twin);
        break;
      case 8:
        yield* this.#attempt(() => inode.writeback({ pos, len }));
        invalidateRange(inode, 0, Infinity);
        break;
      case 9:
        yield* this.#attempt(() => reflink(inode, at.copy.inode));
        break;
      case 10:
        yield* this.#attempt(() => this.#read(file, pos, len));
        break;
      default:
        yield* this.#write(file, pos, pos + len, (bytes) => file.write(pos, bytes));
    }
  }

  /** Does `work`; true when it went well, and counts what it reports. */
  *#attempt(work: () => Io<unknown>): Io<boolean> {
    try {
      yield* work();
      return true;
    } catch (error) {
      if (!isCode(error, 'EIO')) throw error;
      this.reported++;
      return false;
    }
  }

  *#change(file: ExtentFile, pos: number, end: number, tag: number, work: () => Io<unknown>, size: number): Io<void> {
    const change = this.model.begin(pos, end, tag === 0 ? undefined : tag);
    // Before it: what gets lost meanwhile may be what it brings.
    this.lost.fill(0, pos, end);
    if (yield* this.#attempt(work)) {
      this.model.commit(change, size);
    } else {
      this.lost.fill(1, pos, end);
      this.model.giveUp(change, file.inode.size);
    }
  }

  *#write(file: ExtentFile, pos: number, end: number, write: (bytes: Uint8Array) => Io<number>): Io<void> {
    this.#tag++;
    const { model } = this;
    const change = model.begin(pos, end, this.#tag);
    this.lost.fill(0, pos, end);
    let done = 0;
    const bytes = pattern(this.#tag).subarray(pos, end);
    const went = yield* this.#attempt(function* () {
      done = yield* write(bytes);
    });
    if (went && done < end - pos) this.reported++;
    model.commit(change, Math.max(model.size, file.inode.size), pos + done);
    if (done < end - pos) this.lost.fill(1, pos + done, end);
  }

  *#store(file: ExtentFile, pos: number, end: number): Io<void> {
    const tag = ++this.#tag;
    const memory = yield* file.map();
    if (yield* this.#attempt(() => memory.write(pos, pattern(tag).subarray(pos, end)))) this.model.store(pos, end, tag);
    memory.close();
  }

  *#sync(file: ExtentFile): Io<void> {
    const was = this.owed.has(file);
    const went = yield* this.#attempt(() => file.fsync());
    if (went && (was || this.owed.has(file))) throw new Error('fsync said nothing of data that was lost');
    this.owed.delete(file);
  }

  *#read(file: ExtentFile, pos: number, len: number): Io<void> {
    const bytes = new Uint8Array(len);
    const n = yield* file.read(pos, bytes);
    const want = Math.max(0, Math.min(len, file.inode.size - pos));
    if (n < want) this.reported++;
    this.check(pos, bytes.subarray(0, n));
  }

  check(pos: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) if (this.lost[pos + i] === 1) bytes[i] = this.model.bytes[pos + i] ?? 0;
    const problem = this.model.check(pos, bytes);
    if (problem !== undefined) throw new Error(problem);
  }

  /** The end: whoever was not told is told now, once; then all is as it should be, and nothing is left. */
  *finish(fs: ExtentFs): Io<void> {
    const [file] = this.files;
    if (file === undefined) return;
    for (const one of this.files) yield* this.#sync(one);
    for (const one of this.files) yield* one.fsync();
    if (file.inode.size !== this.model.size) throw new Error(`the size is ${file.inode.size}, not ${this.model.size}`);
    for (let round = 0; round < 2; round++) {
      const bytes = new Uint8Array(file.inode.size);
      yield* file.read(0, bytes);
      this.check(0, bytes);
      for (const { inode } of this.files) if (!invalidateRange(inode, 0, Infinity)) throw new Error('something stays in use');
    }
    const { cache, space } = fs;
    const { begins, beginPeeks, ends } = cache.counters;
    if (cache.dirtyBytes !== 0 || cache.usedBytes !== 0) throw new Error(`${cache.dirtyBytes} dirty of ${cache.usedBytes} bytes are left`);
    if (space.reserved !== 0) throw new Error(`${space.reserved} blocks stay reserved`);
    if (ends < begins || ends > begins + beginPeeks) throw new Error(`${begins} begins, ${ends} ends`);
    const again = yield* mountExtentFs({ device: fs.device, cache });
    const bytes = new Uint8Array(again.inode(1).size);
    yield* new ExtentFile(again.inode(1)).read(0, bytes);
    if (bytes.length !== this.model.size) throw new Error(`after a remount the size is ${bytes.length}, not ${this.model.size}`);
    this.check(0, bytes);
  }
}

/** Runs the workload with the request `bad` failing (-1: none); how many requests it had, and whether the fault came and was told. */
function runOnce(seed: number, bad: number): { requests: number; hit: Bio | undefined; told: boolean } {
  const random = new SeededRandom(seed);
  const blockSize = random.chance(0.6) ? 512 : 2048;
  let requests = 0;
  let hit: Bio | undefined;
  let counting = false;
  const simulator = new Simulator({ seed, stepsMax: 100_000, fault(bio) {
    if (!counting || requests++ !== bad) return undefined;
    hit = bio;
    return 'EIO';
  } });
  const run = new FaultRun(seed, blockSize);
  const cache = new PageCache({
    budgetBytes: blockSize * (8 + random.below(30)), folioMaxBytes: blockSize * 2 ** random.below(4),
    bypassReadBytes: 6 * blockSize, bypassWriteBytes: 6 * blockSize,
    trace(event) {
      if (event.type === 'discard' && event.ino === 1) run.discarded(event.pos, event.pos + event.len);
      else if (event.type === 'discard') for (const file of run.files) if (file.inode.ino === event.ino) run.owed.add(file);
    },
  });
  const device = memoryDeviceFrom(emptyImage(blockSize, 100));
  const fs = simulator.runOne(mountExtentFs({
    device, cache, space: random.chance(0.5) ? 'delalloc' : 'unwritten', inlineBytes: random.chance(0.2) ? 200 : 0,
    ...(random.chance(0.5) ? { runMax: () => 1 + random.below(4) } : {}),
  }));
  const file = new ExtentFile(fs.create(1));
  const twin = new ExtentFile(file.inode);
  const copy = new ExtentFile(fs.create(2));
  run.files = [file, twin, copy];
  counting = true;
  simulator.runOne(run.workload(file, twin, copy));
  const before = requests;
  simulator.runOne(run.finish(fs));
  return { requests: before, hit, told: run.reported > 0 };
}

/** @throws Error with the seed and the request */
export function runFaults(seed: number, only = -1): FaultReport {
  const { requests, told } = runOnce(seed, -1);
  if (told) throw new Error(`seed ${seed}: errors without a fault`);
  let heard = 0;
  let repeated = 0;
  for (let bad = 0; bad < requests; bad++) {
    if (only >= 0 && bad !== only) continue;
    try {
      const once = runOnce(seed, bad);
      if (once.told) heard++;
      else if (once.hit?.op === 'read') repeated++;
      else throw new Error(`nobody was told of a ${once.hit?.op ?? 'request'} that failed`);
    } catch (error) {
      throw new Error(`seed ${seed}, request ${bad}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
  return { requests, told: heard, repeated };
}
