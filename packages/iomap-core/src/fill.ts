/**
 * One fill: goes through the mappings of a range and has the blocks that are not uptodate read into folios, those that a
 * reader waits for and those ahead of it. Holes and inline data at the reader's position go to its buffer at once.
 *
 * `run()`, then: `delivered` bytes of the demand are in the caller's buffer; the rest is (being) read into folios, which are
 * locked until then; `errorAt(pos)` says why a block could not be read.
 * Locks: inode, shared. It never waits for a folio lock; before any wait it submits what it has.
 */
import { corrupt, FsError, roundUp, type Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import { bypassRead } from './bypass.js';
import type { Iomap, IomapInode, IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';
import { ReadBatch } from './read-batch.js';

/** What a reader still wants: [pos, pos + want) of the file, into `bytes` from `at`. */
export interface Demand {
  readonly pos: number;
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly want: number;
}

export interface FillRange {
  /** Block-aligned. */
  readonly start: number;
  /** The reader waits for what is before it; the rest is ahead. */
  readonly demandEnd: number;
  /** Block-aligned. */
  readonly end: number;
  readonly demand: Demand | undefined;
  /** New folios go when their reader is done with them. */
  readonly dropBehind?: boolean;
}

export class Fill<I extends IomapInode> {
  /** Bytes of the demand, from its start, that are in the caller's buffer already. */
  delivered = 0;
  readonly #inode: I;
  readonly #mapping: AddressSpace;
  readonly #iter: IomapIter<I>;
  readonly #batch: ReadBatch;
  readonly #range: FillRange;
  /** Where to go to: the end of the range, or of the demand once that bypasses the cache. */
  #end: number;
  #bypassing = false;
  #markWanted: boolean;
  #stopped = false;
  #roomWanted = false;
  #pinned: Folio | undefined;

  constructor(inode: I, ops: IomapOps<I>, range: FillRange) {
    this.#inode = inode;
    this.#mapping = inode.mapping;
    this.#iter = new IomapIter(inode, ops, range.start, range.end - range.start, 0);
    this.#batch = new ReadBatch(inode);
    this.#range = range;
    this.#end = range.end;
    this.#markWanted = range.end > range.demandEnd;
  }

  errorAt(pos: number): FsError | undefined {
    return this.#batch.errorAt(pos);
  }

  /** Lets the first folio of the demand go, which stays in memory until the reader has copied it: it always comes further. */
  unpin(): void {
    const folio = this.#pinned;
    if (folio === undefined) return;
    this.#pinned = undefined;
    folio.pins--;
    this.#mapping.cache.wakeMemory();
  }

  *run(): Io<void> {
    const iter = this.#iter;
    const batch = this.#batch;
    try {
      while (iter.pos < this.#end && !this.#stopped) {
        if (!(yield* this.#sample())) break;
        let failure: { error: unknown } | undefined;
        try {
          const direct = this.#bypassLength();
          iter.stale = !iter.valid(); // guard: stale-read-mapping (pitfall 14, 17)
          if (iter.stale) iter.done = 0;
          else if (direct > 0) yield* this.#bypass(direct);
          else this.#step();
        } catch (error) {
          failure = { error };
        }
        // A stop before any progress is no lack of progress of the mapping.
        if (this.#stopped && iter.done === 0 && failure === undefined && iter.ops.end === undefined) break;
        yield* batch.plug(iter.finish(failure));
      }
      batch.release();
      yield* batch.submit();
    } finally {
      batch.abort();
      iter.cancelled();
    }
    if (this.#roomWanted) yield* this.#mapping.cache.makeRoom(this.#mapping.blockSize);
  }

  /** Samples the mapping at the position; false = it fails, and that concerns only bytes that nobody has come to yet. */
  *#sample(): Io<boolean> {
    const iter = this.#iter;
    try {
      if (iter.peek()) return true;
      // What is mapped goes out before the metadata read that maps the rest, or with it where that lies next to it.
      yield* this.#batch.plug(iter.begin()); // guard: submit-before-metadata (pitfall 23) | without: yield* iter.begin();
      return true;
    } catch (error) {
      const met = iter.pos === this.#range.start && this.#range.demand !== undefined;
      if (met || !(error instanceof FsError)) throw error;
      return false;
    }
  }

  /** Goes through the current mapping. */
  #step(): void {
    const iter = this.#iter;
    const batch = this.#batch;
    if (iter.iomap.type === 'inline') {
      this.#inline();
      return;
    }
    const mapEnd = Math.min(iter.mapEnd, this.#end);
    let pos = iter.pos;
    while (pos < mapEnd && !this.#stopped) {
      if (batch.current === undefined) pos = this.#enter(pos, mapEnd);
      const folio = batch.current;
      if (folio === undefined) continue;
      const end = Math.min(folio.end, mapEnd);
      this.#fillBlocks(folio, pos, end);
      pos = end;
      if (pos === folio.end) batch.release();
    }
    iter.done = Math.min(pos, mapEnd) - iter.pos;
  }

  /** Makes the folio at `pos` the current one, or moves past what needs none; the answer is the new position. */
  #enter(pos: number, mapEnd: number): number {
    const mapping = this.#mapping;
    const { demandEnd, start } = this.#range;
    const { iomap } = this.#iter;
    let folio = mapping.lookup(pos);
    if (folio === undefined) {
      if (iomap.type !== 'mapped') return this.#skipHole(pos, mapEnd);
      const want = pos < demandEnd ? roundUp(demandEnd - pos, mapping.blockSize) : this.#end - pos;
      folio = mapping.tryAlloc(pos, want);
      if (folio === undefined) {
        this.#stopped = true;
        this.#roomWanted = pos === start && this.#range.demand !== undefined;
        return pos;
      }
      folio.dropBehind = this.#range.dropBehind === true;
      if (this.#markWanted && pos >= demandEnd) {
        folio.readaheadMark = true;
        this.#markWanted = false;
        // The reader need not wait for what is ahead of it.
        if (iomap.device?.synchronous !== true) this.#batch.cut();
      }
    } else {
      // One that is locked is being read (or written) by another, who will unlock it: the reader waits then.
      const end = Math.min(folio.end, this.#end);
      if (folio.isUptodate(pos - folio.pos, end - folio.pos) || !folio.tryLock(true)) return folio.end;
    }
    this.#batch.take(folio);
    if (pos === start && this.#range.demand !== undefined) {
      folio.pins++;
      this.#pinned = folio;
    }
    mapping.cache.counters.foliosTouched++;
    return pos;
  }

  /** Nothing is cached or stored at `pos`: the reader gets zeroes without a folio. */
  #skipHole(pos: number, mapEnd: number): number {
    const next = this.#mapping.nextFolio(pos, mapEnd);
    const end = Math.min(mapEnd, next === undefined ? mapEnd : next.pos);
    const { demand } = this.#range;
    if (demand !== undefined) {
      const from = demand.pos + this.delivered;
      if (Math.max(pos, demand.pos) === from && from < end) {
        const n = Math.min(end - from, demand.want - this.delivered);
        demand.bytes.fill(0, demand.at + this.delivered, demand.at + this.delivered + n);
        this.delivered += n;
      }
    }
    return end;
  }

  /** Has the blocks of [pos, end), which the current mapping covers, read or zeroed where they are not uptodate. */
  #fillBlocks(folio: Folio, pos: number, end: number): void {
    const { iomap } = this.#iter;
    const last = end - folio.pos;
    for (let from = pos - folio.pos; from < last; ) {
      from = folio.nextNotUptodate(from, last);
      if (from >= last) break;
      const to = folio.nextUptodate(from, last);
      if (iomap.type === 'mapped') this.#addRead(iomap, folio, from, to);
      else {
        folio.data.fill(0, from, to);
        folio.setUptodate(from, to);
      }
      from = to;
    }
  }

  #addRead(iomap: Iomap, folio: Folio, from: number, to: number): void {
    const { device } = iomap;
    if (device !== undefined) this.#batch.add(device, iomap.addr + (folio.pos + from - iomap.offset), from, to);
  }

  #inline(): void {
    const iter = this.#iter;
    const { iomap } = iter;
    const { demand, start } = this.#range;
    this.#stopped = true;
    // Only the reader's own position: nothing inline is read ahead.
    if (demand === undefined || iter.pos !== start) return;
    const data = iomap.inlineData;
    const from = demand.pos - iomap.offset;
    const n = Math.min(demand.want, Math.min(iomap.length, data?.length ?? 0) - from);
    if (data === undefined || n <= 0) {
      throw corrupt('inline data ends before the file does', { ino: this.#inode.ino, pos: demand.pos }); // inline-answers (pitfall 16)
    }
    demand.bytes.set(data.subarray(from, from + n), demand.at);
    this.delivered = n;
    iter.done = Math.min(demand.pos + n, iter.mapEnd) - iter.pos;
  }

  /** How many bytes at the position may go straight to the caller (see bypass.ts); 0 = none. */
  #bypassLength(): number {
    const { demand } = this.#range;
    const { iomap, pos, mapEnd } = this.#iter;
    const mapping = this.#mapping;
    if (demand === undefined || iomap.type !== 'mapped' || this.#batch.current !== undefined) return 0;
    if (iomap.device?.synchronous !== true || pos !== demand.pos + this.delivered) return 0;
    const want = demand.want - this.delivered;
    if (!this.#bypassing && want < mapping.cache.bypassReadBytes) return 0;
    let n = Math.min(mapEnd - pos, want);
    const next = mapping.nextFolio(pos, pos + n);
    if (next !== undefined) n = Math.max(0, next.pos - pos);
    return n - (n % mapping.blockSize);
  }

  *#bypass(n: number): Io<void> {
    const { demand, demandEnd } = this.#range;
    const iter = this.#iter;
    if (demand === undefined) return;
    this.#bypassing = true;
    this.#markWanted = false;
    // A reader of large pieces from a device that answers at once gains nothing from readahead.
    this.#end = Math.min(this.#end, roundUp(demandEnd, this.#mapping.blockSize));
    const at = demand.at + this.delivered;
    yield* bypassRead(this.#inode, iter.iomap, iter.pos, demand.bytes.subarray(at, at + n));
    // A store that gave a shared block another place meanwhile: the old one may be another file's by now.
    iter.stale = !iter.valid(); // guard: bypass-read-checks-map (pitfall 14, 17)
    if (iter.stale) return;
    this.delivered += n;
    iter.done = n;
  }
}
