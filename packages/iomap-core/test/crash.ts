/**
 * Crash at any request: a file is changed and synced while others write back and commit, and at every event the disks that a crash
 * may leave are mounted and compared with what was promised.
 *
 * - What was fsynced (or written with O_DSYNC) is there, or what came after it.
 * - An atomic write is there whole or not at all.
 * - The size never covers bytes that were not written, and nobody's old bytes are ever seen.
 */
import { runSync, SeededRandom, type Io } from '@iomap/io';
import { exploreCrashes, SimDevice, type ExploreResult } from '@iomap/io/sim';
import { PageCache } from '@iomap/page-cache';
import { invalidateRange } from '../src/index.js';
import { ExtentFile, mountExtentFs } from '../src/testing/index.js';
import { pattern } from './byte-model.js';
import { emptyImage } from './schedule.js';

/** A change that was begun: of [pos, end) to `tag`'s bytes (0: zeroes), of the size from `before` to `after`. */
interface Begun {
  readonly kind: 'begun';
  readonly pos: number;
  readonly end: number;
  readonly tag: number;
  readonly before: number;
  readonly after: number;
  readonly atomic: boolean;
}
/** All that was begun up to here is durable, in [pos, end); the file is `size` long, or longer where `end` says that not all is meant. */
interface Durable {
  readonly kind: 'durable';
  readonly pos: number;
  readonly end: number;
  readonly size: number;
}
type Note = Begun | Durable;

interface World {
  readonly blockSize: number;
  readonly max: number;
}

/** Replays what is promised, and checks a file that a crash left. */
class Promises {
  readonly #notes: readonly Note[];
  readonly #world: World;

  constructor(notes: readonly unknown[], world: World) {
    this.#notes = notes as readonly Note[];
    this.#world = world;
  }

  check(bytes: Uint8Array): void {
    this.#checkSize(bytes.length);
    const bad = this.#badByte(bytes, 0, bytes.length, undefined);
    if (bad >= 0) throw new Error(`byte ${bad} of ${bytes.length} is ${String(bytes[bad])}, which it never was since it was durable`);
    for (const note of this.#notes) if (note.kind === 'begun' && note.atomic) this.#checkAtomic(bytes, note);
  }

  /**
   * Of the size: what it was when it was last durable, or anything that a later change made of it on the way: a multiple of a
   * block, or the end of a direct write, which may be on the device before what lies behind it.
   */
  #checkSize(size: number): void {
    const { blockSize } = this.#world;
    let possible = size === 0;
    let passed = false;
    for (const note of this.#notes) {
      if (note.kind === 'durable') {
        passed &&= note.end !== Infinity && size > note.size;
        possible = size === note.size || (note.end !== Infinity && possible && size > note.size);
        continue;
      }
      const { before, after } = note;
      const inside = size > Math.min(before, after) && size < Math.max(before, after);
      passed ||= inside;
      const isEnd = note.tag !== 0 && size === note.end && size % 512 === 0;
      if (size === after || (inside && size % blockSize === 0) || (passed && isEnd)) possible = true;
    }
    if (!possible) throw new Error(`the file is ${size} bytes long, which it never was`);
  }

  /** The first byte that is nothing that it may be; -1 = none. `without`: a change that is taken not to have happened. */
  #badByte(bytes: Uint8Array, from: number, to: number, without: Begun | undefined): number {
    for (let at = from; at < to; at++) if (!this.#mayBe(at, bytes[at] ?? 0, without)) return at;
    return -1;
  }

  /** From the newest to the oldest: a byte is what any change made of it, back to one that is durable. */
  #mayBe(at: number, byte: number, without: Begun | undefined): boolean {
    let durable = false;
    for (let n = this.#notes.length - 1; n >= 0; n--) {
      const note = this.#notes[n];
      if (note === undefined) continue;
      if (note.kind === 'durable') {
        durable ||= at >= note.pos && at < note.end;
        continue;
      }
      // What an extension covers is zero, and so is what a shorter size cuts off.
      const inside = at >= note.pos && at < note.end;
      const grown = at >= note.before && at < note.after;
      const cut = at >= note.after && at < note.before;
      if (!inside && !grown && !cut) continue;
      if (note !== without) {
        if (inside && byte === (note.tag === 0 ? 0 : (pattern(note.tag)[at] ?? 0))) return true;
        if (!inside && byte === 0) return true;
      }
      if (durable) return false;
    }
    // Nothing was ever written there.
    return false;
  }

  #checkAtomic(bytes: Uint8Array, note: Begun): void {
    const later = this.#notes.slice(this.#notes.indexOf(note) + 1);
    // Others changed a part of it since.
    if (later.some((one) => one.kind === 'begun' && ((one.pos < note.end && one.end > note.pos) || one.after < note.end))) return;
    const end = Math.min(note.end, bytes.length);
    if (this.#badByte(bytes, note.pos, end, note) < 0) return;
    const whole = Buffer.compare(bytes.subarray(note.pos, end), pattern(note.tag).subarray(note.pos, note.end)) === 0;
    if (!whole) throw new Error(`the atomic write of [${note.pos}, ${note.end}) is torn`);
  }
}

/** The calls of one task to one file. */
function* change(file: ExtentFile, random: SeededRandom, world: World, note: (what: Note) => void): Io<void> {
  const { inode } = file;
  const { blockSize, max } = world;
  let tag = 0;
  /** Notes that it begins, then does it. */
  const doing = function* (pos: number, end: number, after: number, atomic: boolean, work: (bytes: Uint8Array) => Io<unknown>, zeroes = false): Io<void> {
    if (!zeroes) tag++;
    note({ kind: 'begun', pos, end, tag: zeroes ? 0 : tag, before: inode.size, after, atomic });
    yield* work(zeroes ? new Uint8Array(0) : pattern(tag).subarray(pos, end));
  };
  for (let n = 3 + random.below(8); n > 0; n--) {
    const pos = random.below(max);
    const end = pos + 1 + random.below(Math.min(max - pos, random.chance(0.5) ? blockSize : max));
    const { size } = inode;
    if (!inode.lock.tryWrite()) yield* inode.lock.write();
    try {
      switch (random.below(8)) {
        case 0:
          yield* doing(pos, Math.max(pos, size), pos, false, () => file.truncate(pos), true);
          break;
        case 1:
          if (pos < size) yield* doing(pos, Math.min(size, end), size, false, () => file.punch(pos, end - pos), true);
          break;
        case 2: {
          const len = Math.min(blockSize * 2 ** random.below(3), inode.fs.cache.folioMaxBytes);
          const at = len * random.below(Math.floor(max / len));
          yield* doing(at, at + len, Math.max(size, at + len), true, (bytes) => file.writeAtomic(at, bytes));
          break;
        }
        case 3: {
          const at = pos - (pos % 512);
          const to = Math.max(at + 512, end - (end % 512));
          const dsync = random.chance(0.7);
          yield* doing(at, to, Math.max(size, to), false, (bytes) => file.writeDirect(at, bytes, { dsync }));
          if (dsync) note({ kind: 'durable', pos: at, end: to, size: to });
          break;
        }
        case 4:
          if (size > 0) {
            const memory = yield* file.map();
            const at = pos % size;
            const to = Math.min(size, at + 40);
            yield* doing(at, to, size, false, (bytes) => memory.write(at, bytes));
            memory.close();
          }
          break;
        default:
          yield* doing(pos, end, Math.max(size, end), false, (bytes) => file.write(pos, bytes));
      }
    } finally {
      inode.lock.unlockWrite();
    }
    if (random.chance(0.35)) {
      const reached = inode.size;
      yield* file.fsync();
      note({ kind: 'durable', pos: 0, end: Infinity, size: reached });
    }
  }
}

/** @throws SimulationError with the seed */
export function runCrash(seed: number, imagesMax = 6): ExploreResult {
  const random = new SeededRandom(seed);
  const blockSize = random.chance(0.7) ? 512 : 1024;
  const world: World = { blockSize, max: blockSize * (3 + random.below(8)) };
  const image = emptyImage(blockSize, 60);
  const options = {
    space: random.chance(0.5) ? 'delalloc' : 'unwritten',
    inlineBytes: random.chance(0.2) ? 200 : 0,
    ...(random.chance(0.5) ? { runMax: () => 1 + random.below(4) } : {}),
  } as const;
  const atomicWriteBytes = random.chance(0.5) ? 4 * blockSize : 0;
  const budgetBytes = blockSize * (8 + random.below(20));
  return exploreCrashes(
    function* (device, { simulator, note }) {
      const cache = new PageCache({ budgetBytes, folioMaxBytes: blockSize * 2 ** random.below(4), bypassReadBytes: Infinity, bypassWriteBytes: 4 * blockSize });
      const fs = yield* mountExtentFs({ device, cache, ...options });
      const file = new ExtentFile(fs.create(1));
      const other = new ExtentFile(fs.create(2));
      // Others write the file back, and commit what is half done.
      simulator.spawn((function* (): Io<void> {
        for (let n = 6; n > 0; n--) {
          yield* simulator.sleep(random.below(400_000));
          const pos = random.below(world.max);
          yield* file.inode.writeback({ pos, len: blockSize });
          if (random.chance(0.3)) invalidateRange(file.inode, 0, Infinity);
        }
      })(), 'writeback');
      simulator.spawn((function* (): Io<void> {
        for (let n = 4; n > 0; n--) {
          yield* simulator.sleep(random.below(600_000));
          yield* other.write(random.below(3 * blockSize), new Uint8Array(1 + random.below(2 * blockSize)).fill(0xfc));
          yield* other.fsync();
        }
      })(), 'other');
      yield* change(file, random, world, note);
    },
    (disk, { notes }) => {
      const fs = runSync(mountExtentFs({ device: disk, cache: new PageCache({ budgetBytes: 2 ** 16 }) }));
      for (const inode of fs.inodes) {
        for (const { block } of inode.map.extents) if (fs.space.isShared(block)) throw new Error(`block ${block} is two files'`);
        if (inode.ino !== 1) continue;
        const bytes = new Uint8Array(inode.size);
        runSync(new ExtentFile(inode).read(0, bytes));
        try {
          new Promises(notes, world).check(bytes);
        } catch (error) {
          throw new Error(`${error instanceof Error ? error.message : String(error)} after ${JSON.stringify(notes)}`, { cause: error });
        }
      }
    },
    { device: () => new SimDevice({ content: image, atomicWriteBytes }), seed, imagesMax, stepsMax: 100_000, mode: 'exhaustive' },
  );
}
