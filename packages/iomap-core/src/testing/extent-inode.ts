/**
 * A file of `ExtentFs` as the core sees it: its size, its two maps, and the functions that a filesystem supplies.
 *
 * - A write takes a reservation (`delalloc`), writeback chooses blocks (`unwritten`), the end of the I/O makes them `mapped`. So
 *   what a crash finds mapped was written.
 * - A block that two files share is not overwritten: the new content has a place in `cow`, and the end of the I/O moves it to
 *   `map`. Until then `map` says where the old content is (the source map).
 * - Every change that could make a sampled mapping wrong bumps `mapping.validityCookie`.
 * - Plain code between two waits is atomic, so there is no lock around the maps; what was read before a wait is read again.
 */
import { FsError, roundDown, RwLock, type Io } from '@iomap/io';
import { AddressSpace } from '@iomap/page-cache';
import {
  IOMAP_ATOMIC, IOMAP_DIRECT, IOMAP_F_ATOMIC_BIO, IOMAP_F_DIRTY, IOMAP_F_NEW, IOMAP_F_SHARED, IOMAP_NOWAIT,
  IOMAP_OVERWRITE_ONLY, IOMAP_REPORT, IOMAP_UNSHARE, IOMAP_WRITE, IOMAP_ZERO, type DioOps, type Iomap, type IomapInode, type IomapOps, type WritebackOps,
} from '../iomap.js';
import { punchDelalloc } from '../delalloc.js';
import { startWriteback, writeback } from '../writeback.js';
import { ExtentMap, type Extent } from './extent-map.js';
import type { ExtentFs } from './extent-fs.js';
import type { FileSnapshot } from './snapshot.js';

export class ExtentInode implements IomapInode {
  readonly fs: ExtentFs;
  readonly ino: number;
  size = 0;
  /** What a crash leaves of the size: it grows when the bytes are on the device. */
  diskSize = 0;
  /** How often it became shorter. */
  shrinks = 0;
  #writtenEnd = 0;
  readonly blockSize: number;
  readonly mapping: AddressSpace;
  wasRead = false;
  readonly map = new ExtentMap();
  readonly cow = new ExtentMap();
  /** The content of a small file. */
  inline: Uint8Array | undefined;
  /** Inline content that is on its way into a block: a crash still finds it here. */
  leaving: Uint8Array | undefined;
  readonly lock: RwLock;

  constructor(fs: ExtentFs, ino: number, from?: FileSnapshot) {
    this.fs = fs;
    this.ino = ino;
    this.blockSize = fs.geometry.blockSize;
    this.lock = new RwLock(`file ${ino}`, 'inode');
    this.mapping = new AddressSpace(fs.cache, { name: `file ${ino}`, blockSize: this.blockSize, host: this });
    if (from === undefined) {
      if (fs.options.inlineBytes > 0) this.inline = new Uint8Array(fs.options.inlineBytes);
      return;
    }
    this.size = this.diskSize = from.size;
    this.inline = from.inline;
    for (const extent of from.extents) {
      this.map.set(extent);
      fs.space.use(extent);
    }
  }

  get mappingIfAny(): AddressSpace {
    return this.mapping;
  }

  /** The cache's way to write dirty data: under memory pressure, with no inode lock. */
  writeback(range: { readonly pos: number; readonly len: number }): Io<void> {
    return writeback(this, writebackOps, range);
  }

  startWriteback(range: { readonly pos: number; readonly len: number }): Io<void> {
    return startWriteback(this, writebackOps, range);
  }

  /** Frees [first, end) in both maps. */
  forget(first: number, end: number): void {
    for (const extent of this.map.remove(first, end)) this.#give(extent);
    for (const extent of this.cow.remove(first, end)) this.#give(extent);
    this.mapping.validityCookie++;
    this.fs.changed();
  }

  /** Takes [first, first + count) out of the map; what follows moves there. Nothing of it is cached. */
  collapse(first: number, count: number): void {
    this.forget(first, first + count);
    for (const map of [this.map, this.cow]) {
      for (const extent of map.remove(first + count, Infinity)) map.set({ ...extent, start: extent.start - count });
    }
  }

  /** Where there is nothing in [first, end), chooses blocks that read as zero. Waits on: a commit when space is short. */
  *preallocate(first: number, end: number): Io<void> {
    for (let at = first; at < end; ) {
      const extent = this.map.find(at);
      if (extent === undefined) at = yield* this.#choose(this.map, at, Math.min(end, this.map.nextStart(at)) - at, false);
      else if (extent.state === 'delalloc') at = yield* this.#choose(this.map, at, extent.start + extent.count - at, true);
      else at = extent.start + extent.count;
    }
  }

  snapshot(): FileSnapshot {
    const { ino, inline = this.leaving } = this;
    const size = inline === undefined ? this.diskSize : Math.min(this.size, inline.length);
    return { ino, size, inline: inline?.slice(), extents: this.map.extents.filter(({ state }) => state !== 'delalloc') };
  }

  // The mapping functions -------------------------------------------------------------------------------------------------------

  /** Fills `out` (and `src`) for `count` blocks from `first`; true, or false where blocks must be chosen first. */
  describe(first: number, count: number, flags: number, out: Iomap, src: Iomap): boolean {
    const { blockSize, cow, map } = this;
    const changes = (flags & (IOMAP_WRITE | IOMAP_ZERO | IOMAP_UNSHARE)) !== 0;
    const direct = (flags & IOMAP_DIRECT) !== 0;
    const held = map.find(first);
    if (changes && held?.state === 'mapped') {
      const run = this.#sharedRun(held, first, first + count);
      if (run.shared) {
        const copy = cow.find(first) ?? (direct ? undefined : this.#promiseCopy(first, Math.min(run.end, cow.nextStart(first)) - first));
        if (copy === undefined || (direct && copy.state === 'delalloc')) return false;
        this.#put(held, first, run.end, src);
        this.#put(copy, first, run.end, out);
        out.flags |= IOMAP_F_SHARED;
        return true;
      }
      this.#put(held, first, run.end, out);
      return true;
    }
    if (held === undefined) {
      const end = Math.min(first + Math.max(count, 1), map.nextStart(first));
      if ((flags & IOMAP_WRITE) !== 0 && (flags & IOMAP_UNSHARE) === 0) {
        if (direct || this.fs.options.space === 'unwritten') return false;
        this.#put(this.#promise(first, end - first), first, Infinity, out);
        out.flags |= IOMAP_F_NEW;
        return true;
      }
      out.type = 'hole';
      out.offset = first * blockSize;
      out.length = (end - first) * blockSize;
      out.addr = -1;
      return true;
    }
    if (direct && (flags & IOMAP_WRITE) !== 0 && held.state === 'delalloc') return false;
    const end = (flags & IOMAP_REPORT) !== 0 && held.state === 'mapped' ? this.#sharedRun(held, first, Infinity).end : Infinity;
    this.#put(held, first, end, out);
    if (held.state === 'mapped' && this.fs.space.isShared(held.block + first - held.start)) out.flags |= IOMAP_F_SHARED;
    return true;
  }

  /** The inline data as a mapping; false when `pos` is past it. */
  describeInline(pos: number, flags: number, out: Iomap): boolean {
    const { inline } = this;
    if (inline === undefined) return false;
    out.type = 'inline';
    out.offset = 0;
    out.length = (flags & IOMAP_REPORT) !== 0 ? Math.max(1, this.size) : inline.length;
    out.addr = -1;
    out.inlineData = inline;
    if (pos < out.length) return true;
    out.type = 'hole';
    out.offset = out.length;
    out.length = Number.MAX_SAFE_INTEGER - out.offset;
    out.inlineData = undefined;
    return true;
  }

  /** Chooses blocks where `describe` could not. */
  *chooseFor(first: number, count: number): Io<number> {
    const held = this.map.find(first);
    if (held?.state === 'mapped') {
      const copy = this.cow.find(first);
      const end = copy === undefined ? Math.min(this.#sharedRun(held, first, first + count).end, this.cow.nextStart(first)) : copy.start + copy.count;
      return yield* this.#choose(this.cow, first, end - first, copy !== undefined);
    }
    const end = held === undefined ? Math.min(first + count, this.map.nextStart(first)) : held.start + held.count;
    return yield* this.#choose(this.map, first, end - first, held !== undefined);
  }

  /** For writeback: which map has the place of the dirty block `first`, and what it says. */
  placeOf(first: number): { map: ExtentMap; extent: Extent } | undefined {
    const copy = this.cow.find(first);
    if (copy !== undefined) return { map: this.cow, extent: copy };
    const extent = this.map.find(first);
    return extent === undefined ? undefined : { map: this.map, extent };
  }

  /** Turns the delayed allocation at `first` into blocks. */
  *settle(map: ExtentMap, first: number, count: number): Io<void> {
    const extent = map.find(first);
    if (extent?.state === 'delalloc') yield* this.#choose(map, first, Math.min(count, extent.start + extent.count - first), true);
  }

  /**
   * The bytes [pos, end) are on the device, in the blocks that were chosen for them.
   * @param size of the file, where that is about to grow
   */
  written(pos: number, end: number, size = this.size): void {
    const { blockSize } = this;
    const first = Math.floor(pos / blockSize);
    const last = Math.ceil(end / blockSize);
    for (const copy of this.cow.within(first, last)) {
      if (copy.state !== 'unwritten') continue;
      this.cow.remove(copy.start, copy.start + copy.count);
      for (const old of this.map.set({ ...copy, state: 'mapped' })) this.#give(old);
      this.mapping.validityCookie++;
    }
    for (const extent of this.map.within(first, last)) {
      if (extent.state !== 'unwritten') continue;
      this.map.set({ ...extent, state: 'mapped' });
      this.mapping.validityCookie++;
    }
    this.#growOnDisk(pos, Math.min(end, size));
    this.fs.changed();
  }

  /** The size on the device covers no byte that is still on its way there: it waits for those before. */
  #growOnDisk(pos: number, end: number): void {
    const target = Math.max(end, this.#writtenEnd);
    if (target <= this.diskSize) return;
    this.#writtenEnd = target;
    if (this.#isPending(this.diskSize, pos) || this.#isPending(end, target)) return;
    this.diskSize = target;
  }

  /** All data before `end` was written, or told as lost: the size on the device covers it. */
  coverOnDisk(end: number): void {
    if (Math.min(end, this.size) <= this.diskSize) return;
    this.diskSize = Math.min(end, this.size);
    this.fs.changed();
  }

  #isPending(pos: number, end: number): boolean {
    return pos < end && (this.mapping.isInFlight(pos, end) || this.mapping.nextDirty(pos, end) !== undefined);
  }

  /** A new size, all of which is on the device (or a hole). */
  setSize(size: number): void {
    if (size < this.size) this.shrinks++;
    this.size = size;
    this.diskSize = size;
    this.#writtenEnd = 0;
    this.fs.changed();
  }

  /**
   * Frees the places of copies in [pos, end) that a direct write chose and did not write. Left there, they would become the file's with the
   * next write in place, once nobody shares the old blocks. Those that dirty data is to go to, or is on its way to, stay.
   */
  dropCopies(pos: number, end: number): void {
    const { blockSize, mapping } = this;
    for (const extent of this.cow.within(Math.floor(pos / blockSize), Math.ceil(end / blockSize))) {
      if (extent.state !== 'unwritten') continue;
      for (let at = extent.start; at < extent.start + extent.count; at++) {
        const from = at * blockSize;
        const folio = mapping.lookup(from);
        const isDirty = folio?.isDirty(from - folio.pos, from - folio.pos + blockSize) === true;
        if (isDirty || mapping.isInFlight(from, from + blockSize)) continue;
        for (const one of this.cow.remove(at, at + 1)) this.#give(one);
      }
    }
    mapping.validityCookie++;
  }

  /** Takes back the promises for [pos, end), of which nothing was written, in blocks that nobody else dirtied. */
  takeBack(pos: number, end: number): void {
    const { blockSize } = this;
    punchDelalloc(this, pos, end, (from, to) => {
      for (const map of [this.map, this.cow]) {
        for (const extent of map.within(from / blockSize, to / blockSize)) {
          if (extent.state !== 'delalloc') continue;
          map.remove(extent.start, extent.start + extent.count);
          this.#give(extent);
        }
      }
    });
  }

  /**
   * A place for an atomic write of [first, end), which counts when all of it is written: a block that holds content gets a copy.
   * @throws FsError ENOSPC, with nothing promised
   */
  promiseAtomic(first: number, end: number): void {
    try {
      for (let at = first; at < end; ) {
        const held = this.map.find(at);
        const copy = held?.state === 'mapped' ? this.cow.find(at) : held;
        if (copy !== undefined) at = copy.start + copy.count;
        else if (held !== undefined) at += this.#promiseCopy(at, Math.min(end, held.start + held.count, this.cow.nextStart(at)) - at).count;
        else at += this.#promise(at, Math.min(end, this.map.nextStart(at)) - at).count;
      }
    } catch (error) {
      this.takeBack(first * this.blockSize, end * this.blockSize);
      throw error;
    }
  }

  /**
   * True where [first, end) is one run on the device that is written in place, by one bio that is whole or not at all. What says so
   * must be durable, and stay so with the next commit: a crash that finds another size, or an older place of some of it, would find a
   * part of the write.
   */
  isOneBio(first: number, end: number): boolean {
    const held = this.map.find(first);
    if (end * this.blockSize > this.diskSize) return false;
    if (held?.state !== 'mapped' || held.start + held.count < end || this.cow.within(first, end).length > 0) return false;
    const block = held.block + first - held.start;
    const bytes = (end - first) * this.blockSize;
    return bytes <= this.fs.device.limits.atomicWriteBytes && !this.#sharedRun(held, first, end).shared &&
      this.#sharedRun(held, first, end).end === end && this.fs.isDurable(this.ino, { start: first, count: end - first, state: 'mapped', block });
  }

  /** Gives up what writeback could not write: its promises, and its places for copies. The old content stays. */
  discard(pos: number, length: number): void {
    const first = Math.floor(pos / this.blockSize);
    const last = Math.ceil((pos + length) / this.blockSize);
    for (const extent of this.cow.remove(first, last)) this.#give(extent);
    for (const extent of this.map.within(first, last)) {
      if (extent.state !== 'delalloc') continue;
      this.map.remove(extent.start, extent.start + extent.count);
      this.#give(extent);
    }
    this.mapping.validityCookie++;
    this.fs.changed();
  }

  #give(extent: Extent): void {
    if (extent.state === 'delalloc') this.fs.space.unreserve(extent.count);
    else this.fs.space.release(extent);
  }

  /** How far from `first`, and at most to `end`, the blocks of an extent are all shared, or all not. */
  #sharedRun(held: Extent, first: number, end: number): { shared: boolean; end: number } {
    const { space } = this.fs;
    const block = (at: number): number => held.block + at - held.start;
    const stop = Math.min(end, held.start + held.count);
    const shared = space.isShared(block(first));
    let at = first + 1;
    while (at < stop && space.isShared(block(at)) === shared) at++;
    return { shared, end: at };
  }

  #promise(start: number, count: number): Extent {
    const extent: Extent = { start, count: this.fs.space.reserve(count), state: 'delalloc', block: -1 };
    this.map.set(extent);
    return extent;
  }

  #promiseCopy(first: number, count: number): Extent {
    const extent: Extent = { start: first, count: this.fs.space.reserve(count), state: 'delalloc', block: -1 };
    this.cow.set(extent);
    return extent;
  }

  /** Chooses blocks for up to `count` from `first`; the answer is where it stopped: `first` where another was faster. */
  *#choose(map: ExtentMap, first: number, count: number, reserved: boolean): Io<number> {
    let run = this.fs.space.take(count, reserved);
    while (run === undefined) {
      // Free blocks are still named by the metadata on the device.
      yield* this.fs.commit();
      const held = map.find(first);
      if ((held === undefined) === reserved || (reserved && held?.state !== 'delalloc')) return first;
      count = Math.min(count, (held === undefined ? map.nextStart(first) : held.start + held.count) - first);
      run = this.fs.space.take(count, reserved);
    }
    map.set({ start: first, count: run.count, state: 'unwritten', block: run.block });
    this.mapping.validityCookie++;
    this.fs.changed();
    return first + run.count;
  }

  #put(extent: Extent, first: number, end: number, out: Iomap): void {
    const { blockSize, fs } = this;
    out.type = extent.state;
    out.offset = first * blockSize;
    out.length = (Math.min(extent.start + extent.count, end) - first) * blockSize;
    out.addr = extent.block < 0 ? -1 : (extent.block + first - extent.start) * blockSize;
    out.device = fs.device;
  }
}

function sample(inode: ExtentInode, pos: number, length: number, flags: number, out: Iomap, src: Iomap): boolean {
  out.device = inode.fs.device;
  out.validityCookie = inode.mapping.validityCookie;
  if (inode.describeInline(pos, flags, out)) return true;
  const first = Math.floor(pos / inode.blockSize);
  const isDirect = (flags & IOMAP_DIRECT) !== 0;
  // FUA alone does not make an overwrite durable while the metadata that it needs is not.
  if (inode.fs.dirty || pos + length > inode.diskSize) out.flags |= IOMAP_F_DIRTY;
  if ((flags & IOMAP_ATOMIC) !== 0 && !inode.isOneBio(first, (pos + length) / inode.blockSize)) {
    if (isDirect) throw new FsError('EOPNOTSUPP', { why: 'not one run that the device writes whole' });
    inode.promiseAtomic(first, (pos + length) / inode.blockSize);
    out.type = 'delalloc';
    out.offset = pos;
    out.length = length;
    out.addr = -1;
    out.flags |= IOMAP_F_SHARED;
    return true;
  }
  if ((flags & IOMAP_ATOMIC) !== 0) out.flags |= IOMAP_F_ATOMIC_BIO;
  const done = inode.describe(first, Math.ceil((pos + length) / inode.blockSize) - first, flags, out, src);
  out.validityCookie = inode.mapping.validityCookie;
  return done;
}

/** What the core calls for reads, writes and reports. */
export const extentOps: IomapOps<ExtentInode> = {
  nowait: true,
  newIsUnwritten: true,
  atomicWriteMax: (inode) => (inode.inline === undefined ? inode.blockSize * 16 : 0),
  peek(inode, pos, length, flags, out, src) {
    if (inode.fs.options.readMap !== undefined || (flags & (IOMAP_WRITE | IOMAP_ZERO | IOMAP_UNSHARE)) !== 0) return false;
    return sample(inode, pos, length, flags, out, src);
  },
  *begin(inode, pos, length, flags, out, src) {
    const mayWait = (flags & IOMAP_NOWAIT) === 0;
    if (inode.fs.options.readMap !== undefined && mayWait) yield* inode.fs.options.readMap();
    const first = Math.floor(pos / inode.blockSize);
    let isNew = false;
    while (!sample(inode, pos, length, flags, out, src)) {
      if (!mayWait || (flags & IOMAP_OVERWRITE_ONLY) !== 0) throw new FsError('EAGAIN');
      isNew ||= inode.map.find(first) === undefined;
      const end = yield* inode.chooseFor(first, Math.ceil((pos + length) / inode.blockSize) - first);
      length = Math.min(length, Math.max(end, first + 1) * inode.blockSize - pos);
    }
    // Not more than was asked for: what follows may be older, and hold something.
    out.length = Math.min(out.length, (Math.ceil((pos + length) / inode.blockSize) - first) * inode.blockSize);
    if (isNew) out.flags |= IOMAP_F_NEW;
  },
  *end(inode, pos, length, written, flags, iomap) {
    giveBack(inode, pos, length, written, flags, iomap);
  },
  cancel: giveBack,
};

/** A step of a write is over: what it took and did not use goes back. */
function giveBack(inode: ExtentInode, pos: number, length: number, written: number, flags: number, iomap: Iomap): void {
  if ((flags & (IOMAP_WRITE | IOMAP_ZERO | IOMAP_UNSHARE)) === 0) return;
  if (iomap.type === 'inline' && written > 0) inode.fs.changed();
  if (iomap.type === 'delalloc' && written < length) inode.takeBack(pos + written, pos + length);
  if ((flags & IOMAP_DIRECT) !== 0 && written < length) inode.dropCopies(pos + written, pos + length);
}

/** What the core calls for writeback. */
export const writebackOps: WritebackOps<ExtentInode> = {
  *mapBlocks(inode, offset, length, out, flags = 0) {
    if (inode.fs.options.readMap !== undefined) yield* inode.fs.options.readMap();
    const { blockSize } = inode;
    const first = offset / blockSize;
    const place = inode.placeOf(first);
    if (place !== undefined) yield* inode.settle(place.map, first, Math.ceil(length / blockSize));
    const found = inode.placeOf(first)?.extent;
    out.validityCookie = inode.mapping.validityCookie;
    out.type = found?.state ?? 'hole';
    out.offset = offset;
    out.length = found === undefined ? blockSize : (found.start + found.count - first) * blockSize;
    out.addr = found === undefined ? -1 : (found.block + first - found.start) * blockSize;
    out.device = inode.fs.device;
    // What the copy replaces ends where the copy does; beside it, no block of the file is written in its old place.
    if (found !== undefined) out.length = Math.min(out.length, (inode.cow.nextStart(first) - first) * blockSize);
    if ((flags & IOMAP_ATOMIC) !== 0 && found?.state === 'mapped') out.flags |= IOMAP_F_ATOMIC_BIO;
  },
  endIoend(inode, ioend) {
    inode.written(ioend.pos, ioend.end);
  },
  discardRange(inode, pos, length) {
    inode.discard(pos, length);
  },
};

/** What the core calls for direct I/O. */
export const directOps: DioOps<ExtentInode> = {
  *endIo(inode, { pos, done, write, error }) {
    if (!write) return;
    // After a failure, of the last block only a part may be there.
    const end = error === undefined ? pos + done : roundDown(pos + done, inode.blockSize);
    if (end > pos) inode.written(pos, end, Math.max(inode.size, end));
    if (error !== undefined) inode.dropCopies(Math.max(pos, end), Infinity);
  },
  *sync(inode, pos, len) {
    // The size that covers it covers what is before it, too.
    yield* inode.writeback({ pos: inode.diskSize, len: Math.max(0, pos + len - inode.diskSize) });
    inode.coverOnDisk(pos + len);
    yield* inode.fs.commit();
  },
};
