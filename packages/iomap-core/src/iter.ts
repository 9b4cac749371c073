/**
 * The mapping iterator: goes through [pos, limit) of a file one mapping at a time.
 *
 * A step is: `peek()` (plain), and where that says no `begin()` (Io); then work, which adds what it did to `done`; then
 * `finish()`, which calls the filesystem's `end` and moves on, or its plain twin `peekFinish()`. `run(step)` is that loop.
 *
 * I1: every `begin` and true `peek` is followed by one `end`, or by one `cancel` where the task was cancelled in the step; by none
 * where `end` has nothing to do (`peek` of a read; `IomapOps.endIfShort`).
 * I2: a mapping that does not cover `pos`, or lies outside its device, is EUCLEAN and is never used (it may come from an image).
 * I3: an error of `end` does not hide that of the step, and takes the step's progress back.
 * I4: a step that found its mapping stale is sampled again; what was NEW the first time stays NEW, but where others have written it.
 * I5: a step without progress and without staleness ends in EIO: there is no endless loop.
 */
import { corrupt, FsError, type Io } from '@iomap/io';
import { wouldWait } from './control.js';
import {
  IOMAP_F_NEW, IOMAP_NOWAIT, IOMAP_UNSHARE, IOMAP_WRITE, IOMAP_ZERO, newIomap, type Iomap, type IomapInode, type IomapOps,
} from './iomap.js';

/** For these `begin` and `peek` may take something that `end` gives back. */
const CHANGES = IOMAP_WRITE | IOMAP_ZERO | IOMAP_UNSHARE;
/** Stale samplings in a row before an operation gives up. */
const STALE_MAX = 10_000;

export class IomapIter<I extends IomapInode> {
  readonly inode: I;
  readonly ops: IomapOps<I>;
  readonly flags: number;
  readonly iomap = newIomap();
  /** Copy on write: where to read from when it is not `iomap` (see `readMap`). */
  readonly src = newIomap();
  pos: number;
  readonly limit: number;
  /** Bytes of this step that are done. */
  done = 0;
  /** Set by the step: the mapping was not true any more. */
  stale = false;
  /** The write has begun to bypass the cache, and goes on so. */
  bypassing = false;
  #staleCount = 0;
  #idleCount = 0;
  #newFrom = 0;
  #newTo = 0;
  /** The range that was NEW was `mapped`: nobody else can have written it meanwhile. */
  #newMapped = false;
  /** A `begin` or true `peek` has had no `end` yet. */
  #open = false;
  /** It was a `peek` that mapped the step. */
  #peeked = false;

  constructor(inode: I, ops: IomapOps<I>, pos: number, len: number, flags: number) {
    this.inode = inode;
    this.ops = ops;
    this.pos = pos;
    this.limit = pos + len;
    this.flags = flags;
  }

  /** End of the current mapping, at most `limit`. */
  get mapEnd(): number {
    return Math.min(this.iomap.offset + this.iomap.length, this.limit);
  }

  /** The mapping to read old content from. */
  get readMap(): Iomap {
    return this.src.length > 0 && this.src.type !== 'hole' ? this.src : this.iomap;
  }

  /** Samples the mapping at `pos` without I/O; false = call `begin`. */
  peek(): boolean {
    const { ops } = this;
    if (ops.peek === undefined) return false;
    this.#reset();
    if (!ops.peek(this.inode, this.pos, this.limit - this.pos, this.flags, this.iomap, this.src)) return false;
    this.inode.mapping.cache.counters.beginPeeks++;
    this.#sampled(true);
    return true;
  }

  /** Samples the mapping at `pos`. Waits on: what the filesystem reads to map it. @throws FsError `begin`'s, EUCLEAN (I2) */
  *begin(): Io<void> {
    const { ops } = this;
    this.#reset();
    if ((this.flags & IOMAP_NOWAIT) !== 0 && ops.nowait !== true) throw wouldWait(this.inode);
    yield* ops.begin(this.inode, this.pos, this.limit - this.pos, this.flags, this.iomap, this.src);
    this.inode.mapping.cache.counters.begins++;
    try {
      this.#sampled(false);
    } catch (error) {
      // I1, also for a mapping that cannot be used. I3: its own error is the one to tell.
      if (this.#endIsDue(this.limit - this.pos)) yield* this.#end(this.limit - this.pos, { error });
      this.#open = false;
      throw error;
    }
  }

  /** True while the sampled mapping holds; ask under the folio lock. */
  valid(): boolean {
    return isValid(this.ops, this.inode, this.iomap);
  }

  /** Ends the step and moves on by `done`. `failure` is what the step threw, if it did; it is thrown again. */
  *finish(failure?: { readonly error: unknown }): Io<void> {
    const { done } = this;
    const len = this.mapEnd - this.pos;
    if (this.#endIsDue(len)) yield* this.#end(len, failure);
    this.#open = false;
    this.#keepNew();
    this.pos += done;
    if (failure !== undefined) throw failure.error;
    this.#checkProgress(done);
  }

  /** `finish` of a step that went well, where `end` has nothing to do; false = call `finish`. */
  peekFinish(): boolean {
    if (this.#endIsDue(this.mapEnd - this.pos)) return false;
    const { done } = this;
    this.#open = false;
    this.#keepNew();
    this.pos += done;
    this.#checkProgress(done);
    return true;
  }

  #endIsDue(len: number): boolean {
    const { ops, iomap, done } = this;
    if (ops.end === undefined) return false;
    if (this.#peeked && (this.flags & CHANGES) === 0) return false;
    return ops.endIfShort !== true || (done < len && (iomap.flags & IOMAP_F_NEW) !== 0);
  }

  #checkProgress(done: number): void {
    if (done > 0) {
      this.#staleCount = 0;
      this.#idleCount = 0;
    } else if (this.#isStuck()) throw this.#noProgress(); // guard: no-progress (pitfall 12, 16) | without: }
  }

  #isStuck(): boolean {
    return this.stale ? ++this.#staleCount > STALE_MAX : ++this.#idleCount > 1;
  }

  #noProgress(): FsError {
    return new FsError('EIO', { why: 'no progress on a mapping', detail: { ino: this.inode.ino, pos: this.pos } });
  }

  /** The whole loop. After an error `pos` says how far it came. */
  *run(step: (iter: this) => Io<void>): Io<void> {
    try {
      while (this.pos < this.limit) {
        if (!this.peek()) yield* this.begin();
        let failure: { error: unknown } | undefined;
        try {
          yield* step(this);
        } catch (error) {
          failure = { error };
        }
        if (failure !== undefined || !this.peekFinish()) yield* this.finish(failure);
      }
    } finally {
      this.cancelled();
    }
  }

  /** Calls `end` for the mapping at hand. I3: its error is told only where `failure` is not there, and then takes the progress back. */
  *#end(length: number, failure: { readonly error: unknown } | undefined): Io<void> {
    this.#open = false;
    const { ops, inode, pos, done } = this;
    if (ops.end === undefined) return;
    const { cache } = inode.mapping;
    cache.counters.ends++;
    cache.trace?.({ type: 'end', ino: inode.ino, pos, len: length, done, cancelled: false });
    try {
      yield* ops.end(inode, pos, length, done, this.flags, this.iomap);
    } catch (error) {
      if (failure === undefined || !(error instanceof FsError)) throw error; // guard: end-error-precedence (pitfall 15)
    }
  }

  /** The task was cancelled in a step: gives back what `begin` took. Plain, for `finally`; does nothing after `finish`. */
  cancelled(): void {
    if (!this.#open) return;
    this.#open = false;
    const { ops, inode, pos, done } = this;
    inode.mapping.cache.trace?.({ type: 'end', ino: inode.ino, pos, len: this.mapEnd - pos, done, cancelled: true });
    ops.cancel?.(inode, pos, this.mapEnd - pos, done, this.flags, this.iomap);
  }

  #reset(): void {
    const { iomap, src } = this;
    iomap.length = 0;
    iomap.flags = 0;
    iomap.inlineData = undefined;
    iomap.validityCookie = 0;
    iomap.private = undefined;
    src.length = 0;
    src.type = 'hole';
    this.done = 0;
    this.stale = false;
  }

  #sampled(peeked: boolean): void {
    const { iomap, inode, pos } = this;
    this.#open = true;
    this.#peeked = peeked;
    const { trace } = inode.mapping.cache;
    if (trace !== undefined) {
      trace({
        type: 'begin', ino: inode.ino, pos, len: this.limit - pos, flags: this.flags, mapType: iomap.type,
        mapOffset: iomap.offset, mapLength: iomap.length, addr: iomap.addr, peeked,
      });
    }
    checkIomap(iomap, inode, pos);
    if (pos >= this.#newFrom && pos < this.#newTo) this.#restoreNew(); // guard: stale-keeps-new (pitfall 1)
  }

  /** I4: a mapping that is NEW itself is new throughout; one that is not is taken apart where the former one ended. */
  #restoreNew(): void {
    const { iomap } = this;
    if ((iomap.flags & IOMAP_F_NEW) !== 0) return;
    // A fault stored there meanwhile, and writeback made it "mapped": what is on the device is the file's.
    if (iomap.type === 'mapped' && !this.#newMapped) return; // guard: written-is-not-new (pitfall 1)
    iomap.flags |= IOMAP_F_NEW;
    iomap.length = Math.min(iomap.length, this.#newTo - iomap.offset);
  }

  /** I4: the range that was new and was not written yet. */
  #keepNew(): void {
    if (!this.stale) return;
    const { iomap, inode } = this;
    const { cache } = inode.mapping;
    cache.counters.staleMappings++;
    cache.trace?.({ type: 'stale', ino: inode.ino, pos: this.pos + this.done });
    if ((iomap.flags & IOMAP_F_NEW) !== 0) {
      this.#newFrom = this.pos + this.done;
      this.#newTo = iomap.offset + iomap.length;
      this.#newMapped = iomap.type === 'mapped';
    }
  }
}

/** True while a sampled mapping holds. */
export function isValid<I extends IomapInode>(ops: IomapOps<I>, inode: I, iomap: Iomap): boolean {
  return ops.folioOps?.valid?.(inode, iomap) ?? iomap.validityCookie === inode.mapping.validityCookie;
}

/** I2: throws EUCLEAN when the mapping cannot be used for `pos`. */
export function checkIomap(iomap: Iomap, inode: IomapInode, pos: number): void {
  const { offset, length, addr } = iomap;
  const covers = offset <= pos && offset + length > pos && offset >= 0;
  if (!covers) throw bad('the mapping does not cover the position', inode, pos); // guard: mapping-covers (pitfall 16)
  if (iomap.type === 'mapped' || iomap.type === 'unwritten') {
    const { device } = iomap;
    if (device === undefined || !(addr >= 0) || addr + (pos - offset) >= device.sizeBytes) {
      throw bad('the mapping lies outside its device', inode, pos);
    }
    // What lies past the end of the device is not mapped; a later step will say so.
    if (addr + length > device.sizeBytes) iomap.length = device.sizeBytes - addr;
  } else if (iomap.type === 'inline' && iomap.inlineData === undefined) {
    throw bad('an inline mapping without data', inode, pos);
  }
}

const bad = (why: string, inode: IomapInode, pos: number): FsError => corrupt(why, { ino: inode.ino, pos });
