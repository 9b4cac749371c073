/**
 * Writeback in the old way: `write_cache_pages` over dirty pages, each by `mpage_writepages` where its blocks are one dirty run, else
 * by `block_write_full_folio`, a bio per dirty buffer head.
 *
 * - `writePages(inode, ops, range, plug)` puts them into a plug, which may be that of many files; `mapping.waitInFlight` waits.
 *   `writeAndWait` is all of that for one file.
 * - Runs without the inode lock: where a dirty block is, its buffer head says (I1 of buffer-head.ts), under the page lock.
 * - Only blocks inside the size are written; in the last one the bytes past the size are zeroed first.
 * - A failure is kept in the mapping and its blocks stay clean, as in iomap-core; one that says nothing of the medium (ENOTSUP,
 *   EAGAIN, ECANCELED) makes them dirty again.
 */
import { type FsError, isCode, roundUp, type Io, type IoResult } from '@iomap/io';
import type { AddressSpace, Folio, InFlight } from '@iomap/page-cache';
import { BH_BOUNDARY, BH_DIRTY, BH_MAPPED, BH_UPTODATE, makeBuffers, PAGE_BYTES, type BufferHead } from './buffer-head.js';
import type { BufferInode, BufferOps } from './get-block.js';
import { BIO_VECS_MAX, Plug } from './plug.js';

export interface PageRange {
  readonly pos: number;
  readonly len: number;
}

/** One bio of file data in flight, or the bios of one page. */
interface Write extends InFlight {
  end: number;
  done: boolean;
}

interface OpenBio {
  readonly addr: number;
  readonly pos: number;
  readonly folios: Folio[];
  readonly heads: BufferHead[];
  readonly segments: Uint8Array[];
  bytes: number;
}

/** A page's blocks as mpage wants them: `bytes` from the page's start, dirty, in one run from `addr`. */
interface Run {
  readonly addr: number;
  readonly bytes: number;
  readonly boundary: boolean;
}

const isTransient = (error: FsError): boolean => isCode(error, 'ENOTSUP', 'EAGAIN', 'ECANCELED');

class PageWriter<I extends BufferInode> {
  readonly #inode: I;
  readonly #ops: BufferOps<I>;
  readonly #mapping: AddressSpace;
  /** Flushed before any wait, by its owner at the end. */
  readonly #plug: Plug;
  readonly #bioBytesMax: number;
  #open: OpenBio | undefined;

  constructor(inode: I, ops: BufferOps<I>, plug: Plug) {
    const { device } = ops.getBlock;
    this.#inode = inode;
    this.#ops = ops;
    this.#mapping = inode.mapping;
    this.#plug = plug;
    this.#bioBytesMax = Math.min(BIO_VECS_MAX * PAGE_BYTES, device.limits.maxBioBytes);
  }

  /** `write_cache_pages`. */
  *run(pos: number, end: number): Io<void> {
    const mapping = this.#mapping;
    try {
      for (let at = pos; ; ) {
        const folio = mapping.nextDirty(at, end);
        if (folio === undefined) break;
        if (!folio.tryLock()) {
          yield* this.#flush();
          yield* folio.lock();
        }
        try {
          if (folio.mapping === mapping && folio.writebacks > 0) {
            yield* this.#flush();
            yield* folio.waitWriteback();
          }
          if (folio.mapping === mapping && folio.dirty) this.#page(folio);
        } finally {
          folio.unlock();
        }
        at = folio.end;
        if (this.#plug.full) yield* this.#flush();
      }
    } finally {
      this.#close();
    }
  }

  *#flush(): Io<void> {
    this.#close();
    yield* this.#plug.flush();
  }

  #page(folio: Folio): void {
    const { mapping, size, blockSize } = this.#inode;
    mapping.cache.counters.foliosTouched++;
    const head = makeBuffers(folio, blockSize);
    const inside = Math.max(0, Math.min(folio.size, size - folio.pos));
    if (inside < folio.size) folio.data.fill(0, inside);
    const limit = roundUp(inside, blockSize);
    const run = this.#ops.mpage ? mpageRun(head, limit) : undefined;
    folio.clearDirty(0, folio.size);
    if (run !== undefined) this.#add(folio, head, run);
    else {
      this.#close();
      this.#full(folio, head, limit);
    }
  }

  // mpage ----------------------------------------------------------------------------------------------------------------

  /** `do_mpage_writepage`, for a page that is not confused. */
  #add(folio: Folio, head: BufferHead, run: Run): void {
    const { addr, bytes } = run;
    let open = this.#open;
    const joins = open !== undefined && open.addr + open.bytes === addr && open.pos + open.bytes === folio.pos &&
      open.bytes + bytes <= this.#bioBytesMax;
    if (open === undefined || !joins) {
      this.#close();
      open = { addr, pos: folio.pos, folios: [], heads: [], segments: [], bytes: 0 };
      this.#open = open;
    }
    eachUpTo(head, bytes, (bh) => bh.clear(BH_DIRTY));
    folio.startWriteback();
    open.folios.push(folio);
    open.heads.push(head);
    open.segments.push(bytes === folio.size ? folio.data : folio.data.subarray(0, bytes));
    open.bytes += bytes;
    if (run.boundary || bytes < folio.size) this.#close();
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const mapping = this.#mapping;
    const { folios, heads, segments, addr, pos, bytes } = open;
    const write: Write = { pos, end: pos + bytes, done: false };
    mapping.addInFlight(write);
    mapping.cache.counters.ioends++;
    this.#plug.add(this.#inode, {
      op: 'write', addr, segments, bytes,
      end: (result) => {
        if (!result.ok) {
          this.#note(result.error);
          if (isTransient(result.error)) {
            let left = bytes;
            for (const [i, folio] of folios.entries()) {
              redirty(folio, heads[i], left);
              left -= PAGE_BYTES;
            }
          }
        }
        for (const folio of folios) folio.endWriteback();
        write.done = true;
        mapping.endInFlight(write);
      },
    });
  }

  // block_write_full_folio -------------------------------------------------------------------------------------------------

  #full(folio: Folio, head: BufferHead, limit: number): void {
    const dirty: BufferHead[] = [];
    eachUpTo(head, folio.size, (bh) => {
      if (!bh.has(BH_DIRTY)) return;
      bh.clear(BH_DIRTY);
      // What is behind the block of the file's end is nobody's.
      if (bh.offset < limit) dirty.push(bh);
    });
    const first = dirty[0];
    const last = dirty.at(-1);
    if (first === undefined || last === undefined) return;
    const mapping = this.#mapping;
    const write: Write = { pos: folio.pos + first.offset, end: folio.pos + last.offset + last.size, done: false };
    mapping.addInFlight(write);
    folio.startWriteback();
    let left = dirty.length;
    for (const bh of dirty) {
      mapping.cache.counters.ioends++;
      this.#plug.add(this.#inode, {
        op: 'write', addr: bh.addr, segments: [bh.data], bytes: bh.size,
        end: (result) => {
          left--;
          this.#endOne(bh, result);
          if (left > 0) return;
          folio.endWriteback();
          write.done = true;
          mapping.endInFlight(write);
        },
      });
    }
  }

  /** `end_buffer_async_write`. */
  #endOne(bh: BufferHead, result: IoResult): void {
    if (result.ok) return;
    this.#note(result.error);
    if (!isTransient(result.error)) return;
    bh.set(BH_DIRTY);
    bh.folio.markDirty(0, PAGE_BYTES);
  }

  #note(error: FsError): void {
    if (error.code !== 'ECANCELED') this.#mapping.setError(error);
    this.#mapping.cache.counters.writebackErrors++;
  }
}

function redirty(folio: Folio, head: BufferHead | undefined, bytes: number): void {
  if (head === undefined) return;
  eachUpTo(head, Math.min(bytes, folio.size), (bh) => bh.set(BH_DIRTY));
  folio.markDirty(0, folio.size);
}

function eachUpTo(head: BufferHead, limit: number, visit: (bh: BufferHead) => void): void {
  let bh = head;
  do {
    if (bh.offset < limit) visit(bh);
    bh = bh.next;
  } while (bh !== head);
}

/** The page's blocks up to `limit`, if all are dirty and in one run; undefined = confused. */
function mpageRun(head: BufferHead, limit: number): Run | undefined {
  if (limit === 0) return undefined;
  let boundary = false;
  let bh = head;
  do {
    if (bh.offset < limit) {
      if (!bh.has(BH_DIRTY | BH_MAPPED | BH_UPTODATE) || bh.addr !== head.addr + bh.offset) return undefined;
      boundary = bh.has(BH_BOUNDARY);
    }
    bh = bh.next;
  } while (bh !== head);
  return { addr: head.addr, bytes: limit, boundary };
}

/**
 * Puts the dirty blocks of the pages in the range into a plug, of one file or of many: the caller flushes it (it is also flushed on
 * the way, before any wait), and aborts it in `finally`.
 * Locks: none of the inode's. Waits on: page locks, writes of the same pages in flight.
 */
export function* writePages<I extends BufferInode>(inode: I, ops: BufferOps<I>, range: PageRange, plug: Plug): Io<void> {
  const end = range.pos + range.len;
  if (inode.mapping.nextDirty(range.pos, end) === undefined) return;
  inode.mapping.cache.trace?.({ type: 'writeback', ino: inode.ino, pos: range.pos, len: range.len });
  yield* new PageWriter(inode, ops, plug).run(range.pos, end);
}

/** Writes the dirty blocks of the pages in the range, and waits for these and for earlier writes of the range. Failures are in `mapping.takeError()`. */
export function* writeAndWait<I extends BufferInode>(inode: I, ops: BufferOps<I>, range: PageRange): Io<void> {
  const plug = new Plug(ops.getBlock.device);
  try {
    yield* writePages(inode, ops, range, plug);
    yield* plug.flush();
  } finally {
    plug.abort();
  }
  yield* inode.mapping.waitInFlight(range.pos, range.pos + range.len);
}
