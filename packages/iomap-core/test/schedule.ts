/**
 * One schedule: many tasks on a file (and one that shares blocks with it) in a cache that is too small, interleaved by a seed, every
 * answer compared with the model. `runSchedule(seed)` throws with the seed when one differs.
 */
import { memoryDeviceFrom, type BlockDevice } from '@iomap/block-device';
import { isCode, runSync, SeededRandom, type Bio, type Io } from '@iomap/io';
import { Simulator } from '@iomap/io/sim';
import { PageCache } from '@iomap/page-cache';
import { invalidateRange, type MappedFile } from '../src/index.js';
import { ExtentFile, format, mountExtentFs, reflink, type ExtentFs, type ExtentInode } from '../src/testing/index.js';
import { ByteModel, MODEL_BYTES, pattern, type Change } from './byte-model.js';

/** What the device holds where nothing was written: it must never be seen in a file. */
const OLD_BYTE = 0xfe;
const SLOT_BYTES = 2048;

export interface ScheduleReport {
  readonly events: number;
  readonly calls: number;
  readonly stale: number;
  readonly pressure: number;
  readonly lockWaits: number;
  /** A request failed. */
  readonly faults: number;
}

/** One request of a run fails: which, and who was told of it. */
interface Fault {
  /** Counts down to it; undefined until the run begins. */
  left: number | undefined;
  hit: Bio | undefined;
  /** Data was given up for it. */
  discarded: boolean;
  told: number;
}

interface Config {
  readonly random: SeededRandom;
  readonly blockSize: number;
  readonly max: number;
  readonly simulator: Simulator;
  /** Told of each call, for people. */
  readonly log: ((line: string) => void) | undefined;
  readonly fault: Fault | undefined;
}

const images = new Map<string, Uint8Array>();
const workspaces = new Map<number, Uint8Array>();
/** Buffers of reads that have ended, of the longest file: a run makes hundreds. */
const buffers: Uint8Array[] = [];

/** An empty filesystem over old content. */
export const emptyImage = (blockSize: number, blocks: number, slotBytes = SLOT_BYTES): Uint8Array =>
  emptyImageOf(blockSize, blocks, slotBytes).slice();

/** The same, not to be changed. */
function emptyImageOf(blockSize: number, blocks: number, slotBytes: number): Uint8Array {
  const key = `${blockSize} ${blocks} ${slotBytes}`;
  let image = images.get(key);
  if (image === undefined) {
    image = new Uint8Array(blockSize * blocks).fill(OLD_BYTE);
    runSync(format(memoryDeviceFrom(image), blockSize, slotBytes));
    images.set(key, image);
  }
  return image;
}

/** As `emptyImage`, in memory that the next caller gets again. */
function sharedImage(blockSize: number, blocks: number): Uint8Array {
  const fresh = emptyImageOf(blockSize, blocks, SLOT_BYTES);
  let image = workspaces.get(fresh.length);
  if (image === undefined) workspaces.set(fresh.length, (image = new Uint8Array(fresh.length)));
  image.set(fresh);
  return image;
}

/** The same device, which the core may not take for one that answers at once. */
export const asSlow = (device: BlockDevice): BlockDevice => ({
  name: 'slow', synchronous: false, sizeBytes: device.sizeBytes, sectorSize: device.sectorSize, readOnly: false,
  limits: { ...device.limits, maxBioBytes: 4096 },
  submit: (bio) => device.submit(bio),
  close() {
    // Nothing to free.
  },
});

/** A file, its model, and tasks that do calls to both. */
class Actor {
  readonly model = new ByteModel();
  calls = 0;
  accesses = 0;
  overwrites = 0;
  memoryMap: MappedFile<ExtentInode> | undefined;
  constructor(readonly file: ExtentFile, readonly config: Config, readonly tags: () => number) {}

  get inode(): ExtentInode {
    return this.file.inode;
  }

  *exclusive(what: string, work: () => Io<void>): Io<void> {
    const { lock } = this.inode;
    this.calls++;
    if (!lock.tryWrite()) yield* lock.write();
    try {
      this.config.log?.(`file ${this.inode.ino}: ${what}`);
      yield* work();
      this.config.log?.(`file ${this.inode.ino}: ${what} done, size ${this.inode.size}`);
    } finally {
      lock.unlockWrite();
    }
  }

  /** Is it the failure that this run makes? Then it counts as told. */
  isFault(error: unknown): boolean {
    const { fault } = this.config;
    if (fault?.hit === undefined || !isCode(error, 'EIO')) return false;
    fault.told++;
    this.config.log?.(`file ${this.inode.ino}: told ${String(error)}`);
    return true;
  }

  /** A call that makes `change`; false: it failed, by the fault. */
  *#attempt(change: Change, work: Io<unknown>): Io<boolean> {
    try {
      yield* work;
      return true;
    } catch (error) {
      if (!this.isFault(error)) throw error;
      this.model.fail(change, this.inode.size);
      return false;
    }
  }

  range(): { pos: number; len: number } {
    const { random, max, blockSize } = this.config;
    const pos = random.chance(0.3) ? blockSize * random.below(max / blockSize) : random.below(max);
    const most = random.chance(0.6) ? 2 * blockSize : max;
    const len = 1 + random.below(Math.min(most, max - pos));
    return { pos, len };
  }

  *write(): Io<void> {
    const { pos, len } = this.range();
    yield* this.exclusive(`write ${pos} +${len}`, () => this.#writeBy(pos, len, (bytes) => this.file.write(pos, bytes)));
  }

  *truncate(): Io<void> {
    const { file, model } = this;
    const { pos } = this.range();
    yield* this.exclusive(`truncate ${pos}`, () => this.#changeBy(model.begin(pos, Math.max(pos, model.size)), file.truncate(pos), pos));
  }

  *#changeBy(change: Change, work: Io<void>, size?: number): Io<void> {
    if (yield* this.#attempt(change, work)) this.model.commit(change, size);
  }

  *punch(zero: boolean): Io<void> {
    const { file, model } = this;
    const { pos, len } = this.range();
    yield* this.exclusive(`${zero ? 'zero' : 'punch'} ${pos} +${len}`, () => {
      const end = Math.min(pos + len, model.size);
      return this.#changeBy(model.begin(pos, Math.max(pos, end)), zero ? file.zero(pos, len) : file.punch(pos, len));
    });
  }

  *collapse(): Io<void> {
    const { blockSize } = this.inode;
    const pos = blockSize * this.config.random.below(this.config.max / blockSize);
    const len = blockSize * (1 + this.config.random.below(3));
    yield* this.exclusive(`collapse ${pos} +${len}`, () => this.#collapse(pos, len));
  }

  *#collapse(pos: number, len: number): Io<void> {
    const { file, model } = this;
    if (pos + len >= model.size) return;
    try {
      yield* file.collapse(pos, len);
      model.move(pos + len, pos, model.size - len);
    } catch (error) {
      // Nothing was moved: first all is written.
      if (!this.isFault(error)) throw error;
    }
  }

  *atomic(): Io<void> {
    const { file } = this;
    const { random, blockSize, max } = this.config;
    const len = Math.min(blockSize * 2 ** random.below(3), file.inode.fs.cache.folioMaxBytes);
    const pos = len * random.below(Math.floor(max / len));
    yield* this.exclusive(`atomic ${pos} +${len}`, () => this.#writeBy(pos, len, (bytes) => file.writeAtomic(pos, bytes)));
  }

  *#writeBy(pos: number, len: number, write: (bytes: Uint8Array) => Io<number>): Io<void> {
    const { model } = this;
    const tag = this.tags();
    const change = model.begin(pos, pos + len, tag);
    let done = 0;
    const went = yield* this.#attempt(change, (function* (): Io<void> {
      done = yield* write(pattern(tag).subarray(pos, pos + len));
    })());
    if (!went) return;
    const { fault } = this.config;
    if (done !== len && fault?.hit === undefined) throw new Error(`a write of ${len} wrote ${done}`);
    if (done === len) model.commit(change, Math.max(model.size, pos + len));
    else {
      if (fault !== undefined) fault.told++;
      model.fail(change, this.inode.size);
    }
  }

  /** Direct I/O in sectors. A store in its blocks meanwhile is refused by the core's lock, one before is written first. */
  *direct(writes: boolean): Io<void> {
    const { file } = this;
    const range = this.range();
    const pos = range.pos - (range.pos % 512);
    const len = Math.min(this.config.max - pos, range.len + 511 - ((range.len + 511) % 512));
    if (writes) yield* this.exclusive(`direct write ${pos} +${len}`, () => this.#writeBy(pos, len, (bytes) => file.writeDirect(pos, bytes)));
    else yield* this.read({ pos, len }, (bytes) => file.readDirect(pos, bytes));
  }

  /** Several of these at once: they overwrite what is there, under the shared lock, each in blocks of its own. */
  *overwrite(): Io<void> {
    const { file, model, inode, config } = this;
    const { blockSize, max, random } = config;
    const pos = blockSize * random.below(max / blockSize);
    const len = Math.min(max - pos, blockSize * (1 + random.below(3)));
    if (!inode.lock.tryRead()) yield* inode.lock.read();
    try {
      if (inode.inline !== undefined || model.isChanging(pos, pos + len)) return;
      const tag = this.tags();
      const change = model.begin(pos, pos + len, tag);
      try {
        const done = yield* file.writeDirect(pos, pattern(tag).subarray(pos, pos + len), { overwriteOnly: true });
        // Short where it came to a block that is not there yet.
        model.commit(change, model.size, pos + done);
        config.log?.(`file ${inode.ino}: overwrite ${pos} +${len}`);
        this.overwrites++;
      } catch (error) {
        if (isCode(error, 'EAGAIN')) model.drop(change);
        else if (this.isFault(error)) model.fail(change, inode.size);
        else throw error;
      }
    } finally {
      inode.lock.unlockRead();
    }
  }

  *unshare(): Io<void> {
    const { pos, len } = this.range();
    yield* this.exclusive(`unshare ${pos} +${len}`, () => this.#changeNothing(this.file.unshare(pos, len)));
  }

  /** A store, or a load, of a few bytes in one block: so it is all of it done when it returns, with no wait in between. */
  *memory(stores: boolean): Io<void> {
    const { model, inode } = this;
    const memory = this.memoryMap;
    if (memory === undefined) return;
    const { random, max, blockSize } = this.config;
    const pos = random.below(max);
    const len = Math.min(1 + random.below(60), blockSize - (pos % blockSize));
    const start = model.readStart();
    try {
      if (stores) {
        const tag = this.tags();
        yield* memory.write(pos, pattern(tag).subarray(pos, pos + len));
        this.config.log?.(`file ${inode.ino}: store ${pos} +${len}`);
        model.store(pos, pos + len, tag, inode.size);
      } else {
        const bytes = new Uint8Array(len);
        yield* memory.read(pos, bytes);
        const problem = model.check(pos, bytes.subarray(0, Math.max(0, inode.size - pos)), start);
        if (problem !== undefined) throw new Error(`load [${pos}, ${pos + len}): ${problem}`);
      }
      this.accesses++;
    } catch (error) {
      if (this.isFault(error)) {
        if (stores) model.lose(pos, pos + len);
      } else if (!isCode(error, 'EFAULT')) throw error; // past the end of the file
    } finally {
      model.readEnd();
    }
  }

  *map(): Io<void> {
    yield* this.exclusive('map', () => this.#mapLocked());
  }

  *#mapLocked(): Io<void> {
    try {
      this.memoryMap ??= yield* this.file.map();
    } catch (error) {
      if (!this.isFault(error)) throw error;
    }
  }

  *allocate(): Io<void> {
    const { pos, len } = this.range();
    yield* this.exclusive(`allocate ${pos} +${len}`, () => this.#changeNothing(this.file.allocate(pos, len)));
  }

  /** A call that may fail, and changes no byte. */
  *#changeNothing(work: Io<unknown>): Io<void> {
    try {
      yield* work;
    } catch (error) {
      if (!this.isFault(error)) throw error;
    }
  }

  *read({ pos, len } = this.range(), read = (bytes: Uint8Array): Io<number> => this.file.read(pos, bytes)): Io<void> {
    const { lock } = this.inode;
    this.calls++;
    if (!lock.tryRead()) yield* lock.read();
    const start = this.model.readStart();
    try {
      const whole = buffers.pop() ?? new Uint8Array(MODEL_BYTES);
      const bytes = whole.subarray(0, len);
      const n = yield* read(bytes);
      this.config.log?.(`file ${this.inode.ino}: read ${pos} +${len}: ${n}`);
      this.#sameAs(pos, bytes, n, start);
      buffers.push(whole);
    } catch (error) {
      if (!this.isFault(error)) throw error;
    } finally {
      this.model.readEnd();
      lock.unlockRead();
    }
  }

  /** Bytes that are not zero lie in data, and a hole has none of them. */
  *seek(): Io<void> {
    const { lock, size } = this.inode;
    if (!lock.tryRead()) yield* lock.read();
    try {
      if (size === 0) return;
      const pos = this.config.random.below(size);
      const hole = pos < this.model.size ? yield* this.file.seek(pos, 'hole') : 0;
      const { blockSize } = this.inode;
      const end = Math.min(this.model.size, hole + blockSize - (hole % blockSize));
      if (hole >= end || hole < pos) return;
      const problem = this.model.check(hole, new Uint8Array(end - hole));
      if (problem !== undefined) throw new Error(`in what SEEK_HOLE calls a hole, ${problem}`);
    } catch (error) {
      if (!this.isFault(error)) throw error;
    } finally {
      lock.unlockRead();
    }
  }

  #sameAs(pos: number, bytes: Uint8Array, n: number, start: number): void {
    const want = Math.max(0, Math.min(bytes.length, this.model.size - pos));
    const { fault } = this.config;
    if (n < want && fault?.hit !== undefined) fault.told++;
    else if (n !== want) throw new Error(`a read of ${bytes.length} at ${pos} gave ${n} bytes, not ${want}`);
    const problem = this.model.check(pos, bytes.subarray(0, n), start);
    if (problem !== undefined) throw new Error(`read [${pos}, ${pos + n}): ${problem}`);
  }

  /** Tells of what is lost, once. */
  *lastSync(): Io<void> {
    yield* this.#changeNothing(this.file.fsync());
    yield* this.file.fsync();
  }

  *background(): Io<void> {
    const { pos, len } = this.range();
    this.config.log?.(`file ${this.inode.ino}: background ${pos} +${len}`);
    yield* this.#changeNothing(this.config.random.chance(0.4) ? this.file.fsync() : this.inode.writeback({ pos, len }));
    if (this.config.random.chance(0.5)) invalidateRange(this.inode, pos, len);
  }
}

/** One task: calls chosen by the seed. */
function* act(actor: Actor, kinds: string, times: number): Io<void> {
  const { random } = actor.config;
  for (let i = 0; i < times; i++) {
    switch (kinds[random.below(kinds.length)]) {
      case 'w': yield* actor.write(); break;
      case 't': yield* actor.truncate(); break;
      case 'p': yield* actor.punch(false); break;
      case 'z': yield* actor.punch(true); break;
      case 'a': yield* actor.allocate(); break;
      case 'D': yield* actor.direct(true); break;
      case 'd': yield* actor.direct(false); break;
      case 'o': yield* actor.overwrite(); break;
      case 'c': yield* actor.collapse(); break;
      case 'A': yield* actor.atomic(); break;
      case 'u': yield* actor.unshare(); break;
      case 'S': yield* actor.memory(true); break;
      case 'L': yield* actor.memory(false); break;
      case 's': yield* actor.seek(); break;
      case 'b': yield* actor.background(); break;
      default: yield* actor.read();
    }
  }
}

/** Stores and loads, once the file is mapped. */
function* mapped(actor: Actor, kinds: string): Io<void> {
  yield* actor.map();
  yield* act(actor, kinds, 6);
}

/** The second file becomes a copy of the first; it is then rewritten in part. */
function* copy(from: Actor, to: Actor): Io<void> {
  yield* from.exclusive('reflink from', () =>
    to.exclusive('reflink to', function* () {
      try {
        yield* reflink(from.inode, to.inode);
        to.model.copyFrom(from.model);
      } catch (error) {
        if (!to.isFault(error)) throw error;
        to.model.fail(to.model.begin(0, to.model.size), to.inode.size);
      }
    }));
  yield* act(to, 'wwrptzuADd', 4);
  yield* to.background();
}

function start(config: Config): { fs: ExtentFs; cache: PageCache } {
  const { random, blockSize, simulator } = config;
  const cache = new PageCache({
    budgetBytes: blockSize * (6 + random.below(20)),
    folioMaxBytes: blockSize * 2 ** random.below(4),
    bypassReadBytes: 4 * blockSize,
    bypassWriteBytes: 4 * blockSize,
  });
  const device = memoryDeviceFrom(sharedImage(blockSize, 9 + 80));
  // A map that must be read first: another task may come in between.
  const pause = function* (): Io<void> {
    if (random.chance(0.4)) yield* simulator.sleep(random.below(200_000));
  };
  const fs = simulator.runOne(mountExtentFs({
    device: random.chance(0.5) ? asSlow(device) : device,
    cache,
    space: random.chance(0.5) ? 'delalloc' : 'unwritten',
    inlineBytes: random.chance(0.2) ? 200 : 0,
    ...(random.chance(0.5) ? { runMax: () => 1 + random.below(5) } : {}),
    ...(random.chance(0.7) ? { readMap: pause } : {}),
  }));
  return { fs, cache };
}

/** Everything is as the model has it: in the cache, on the device, after a remount. */
function* settle(actors: readonly Actor[], fs: ExtentFs): Io<void> {
  for (const actor of actors) {
    actor.memoryMap?.close();
    yield* actor.read({ pos: 0, len: actor.config.max });
    yield* actor.lastSync();
    if (!invalidateRange(actor.inode, 0, Infinity)) throw new Error('something stays in use');
    yield* actor.read({ pos: 0, len: actor.config.max });
    invalidateRange(actor.inode, 0, Infinity);
  }
  const { cache, device } = fs;
  if (cache.dirtyBytes !== 0 || cache.usedBytes !== 0) throw new Error(`${cache.dirtyBytes} dirty of ${cache.usedBytes} bytes are left`);
  if (fs.space.reserved !== 0) throw new Error(`${fs.space.reserved} blocks stay reserved`);
  const again = yield* mountExtentFs({ device, cache });
  if (again.space.freeBlocks !== fs.space.freeBlocks) {
    throw new Error(`${fs.space.freeBlocks} free blocks, but ${again.space.freeBlocks} after a remount`);
  }
  for (const { inode, config, model, tags } of actors) {
    const file = new Actor(new ExtentFile(again.inode(inode.ino)), config, tags);
    file.model.copyFrom(model);
    yield* file.read({ pos: 0, len: config.max });
    invalidateRange(file.inode, 0, Infinity);
  }
}

/** What a run is, besides its seed. */
export interface ScheduleOptions {
  readonly log?: ((line: string) => void) | undefined;
  /** One of its requests fails: the right call says so, no other data is lost, memory returns to its start. */
  readonly faults?: boolean;
}

/** @throws SimulationError with the seed */
export function runSchedule(seed: number, { log, faults = false }: ScheduleOptions = {}): ScheduleReport {
  const random = new SeededRandom(seed);
  const fault: Fault | undefined = faults ? { left: undefined, hit: undefined, discarded: false, told: 0 } : undefined;
  const simulator = new Simulator({ seed, stepsMax: 100_000, ...(fault === undefined ? {} : { fault: (bio: Bio) => failing(fault, bio, log) }) });
  const blockSize = random.chance(0.7) ? 512 : 1024;
  const config: Config = { random, blockSize, max: blockSize * (4 + random.below(13)), simulator, log, fault };
  const { fs, cache } = start(config);
  let tag = 0;
  const tags = (): number => (tag = (tag % 255) + 1);
  const actor = new Actor(new ExtentFile(fs.create(1)), config, tags);
  const actors = [actor];
  simulator.spawn(act(actor, 'wwwrzADo', 4), 'writer 1');
  simulator.spawn(act(actor, 'wwrrtpdo', 4), 'writer 2');
  simulator.spawn(act(actor, 'rrsd', 4), 'reader');
  simulator.spawn(act(actor, 'wtpacAD', 3), 'changer');
  simulator.spawn(act(actor, 'b', 4), 'background');
  if (random.chance(0.6)) {
    simulator.spawn(mapped(actor, 'SSL'), 'memory 1');
    simulator.spawn(mapped(actor, 'SLL'), 'memory 2');
  }
  if (random.chance(0.3)) {
    const other = new Actor(new ExtentFile(fs.create(2)), config, tags);
    actors.push(other);
    simulator.spawn(copy(actor, other), 'copier');
  }
  if (fault !== undefined) {
    fault.left = random.below(25);
    cache.trace = (event) => {
      if (event.type !== 'discard') return;
      fault.discarded = true;
      log?.(`file ${event.ino}: given up ${event.pos} +${event.len}`);
      actors.find(({ inode }) => inode.ino === event.ino)?.model.lose(event.pos, event.pos + event.len);
    };
  }
  simulator.run();
  if (fault !== undefined) fault.left = undefined;
  simulator.runOne(settle(actors, fs), 'end');
  // What a readahead lost is read again, and a bio of several writes is tried again in parts.
  const isLost = fault?.discarded === true || fault?.hit?.op === 'flush';
  if (isLost && fault?.told === 0) throw new Error(`seed ${seed}: nobody was told of a ${String(fault.hit?.op)} that failed`);
  const { staleMappings, pressureWritebacks, folioLockWaits } = cache.counters;
  return {
    events: simulator.step, calls: actors.reduce((sum, one) => sum + one.calls, 0),
    stale: staleMappings, pressure: pressureWritebacks, lockWaits: folioLockWaits, faults: fault?.hit === undefined ? 0 : 1,
  };
}

/** The one that fails is the request that `left` counts down to. */
function failing(fault: Fault, bio: Bio, log: ScheduleOptions['log']): 'EIO' | undefined {
  if (fault.left === undefined || fault.hit !== undefined || fault.left-- > 0) return undefined;
  log?.(`a ${bio.op} of ${bio.lengthBytes} bytes at ${bio.pos} fails`);
  fault.hit = bio;
  return 'EIO';
}
