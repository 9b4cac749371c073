/**
 * Reading pages: `block_read_full_folio`, a bio per buffer head; and `mpage_readahead`, whole bios over runs of pages.
 *
 * - A `PageReader` takes locked pages, one after another, and unlocks each when its last read has ended; `errorAt(pos)` says why one
 *   is not uptodate then.
 * - mpage gives up ("confused") on a page that has buffer heads, holes before data, or blocks that are not in one run; such a page goes
 *   to `block_read_full_folio`. A boundary (`BH_BOUNDARY`) sends the bio, so that the metadata block after it is read in disk order.
 *
 * Locks: inode, shared; the pages', which pass to the reads in flight.
 */
import { FsError, roundUp, type Io, type IoResult } from '@iomap/io';
import type { Folio } from '@iomap/page-cache';
import { allHave, BH_BOUNDARY, BH_MAPPED, BH_UPTODATE, buffersOf, makeBuffers, PAGE_BYTES, type BufferHead } from './buffer-head.js';
import { mapBlock, newResult, peekBlock, type BlockResult, type BufferInode, type BufferOps } from './get-block.js';
import { BIO_VECS_MAX, Plug } from './plug.js';

/** A bio of mpage's that may grow. */
interface OpenBio {
  readonly addr: number;
  readonly folios: Folio[];
  readonly segments: Uint8Array[];
  bytes: number;
}

export class PageReader<I extends BufferInode> {
  readonly #inode: I;
  readonly #ops: BufferOps<I>;
  readonly #plug: Plug;
  readonly #bioBytesMax: number;
  #open: OpenBio | undefined;
  /** The run that `get_block` answered last, and the block that it began at. */
  readonly #run: BlockResult = newResult();
  #runBlock = 0;
  #failed: { readonly pos: number; readonly error: FsError }[] | undefined;

  constructor(inode: I, ops: BufferOps<I>) {
    const { device } = ops.getBlock;
    this.#inode = inode;
    this.#ops = ops;
    this.#plug = new Plug(device);
    this.#bioBytesMax = Math.min(BIO_VECS_MAX * PAGE_BYTES, device.limits.maxBioBytes);
  }

  errorAt(pos: number): FsError | undefined {
    return this.#failed?.find((one) => pos >= one.pos && pos < one.pos + PAGE_BYTES)?.error;
  }

  /**
   * Has a locked page read; it unlocks with its last read.
   * @param ahead bytes from the page on that will be asked for too: how far one `get_block` may reach
   */
  *read(folio: Folio, ahead = PAGE_BYTES): Io<void> {
    const { counters } = this.#inode.mapping.cache;
    counters.foliosTouched++;
    try {
      if (!this.#ops.mpage || buffersOf(folio) !== undefined) yield* this.#full(folio);
      else yield* this.#mpage(folio, ahead);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#fail(folio, error);
      folio.unlock();
    }
    if (this.#plug.full) yield* this.#plug.flush();
  }

  /** Sends everything. */
  *flush(): Io<void> {
    this.#close();
    yield* this.#plug.flush();
  }

  /** Gives up what was not sent. Plain, for `finally`. */
  abort(): void {
    this.#close();
    this.#plug.abort();
  }

  #fail(folio: Folio, error: FsError): void {
    (this.#failed ??= []).push({ pos: folio.pos, error });
  }

  *#map(block: number, bytes: number, out: BlockResult): Io<void> {
    const { getBlock } = this.#ops;
    if (peekBlock(this.#inode, getBlock, block, bytes, false, out)) return;
    // As the kernel's plug does when its task sleeps: what is mapped goes out first.
    yield* this.flush();
    yield* mapBlock(this.#inode, getBlock, block, bytes, false, out);
  }

  // mpage ----------------------------------------------------------------------------------------------------------------

  /** `do_mpage_readpage`. */
  *#mpage(folio: Folio, ahead: number): Io<void> {
    const inode = this.#inode;
    const { blockSize, size } = inode;
    const run = this.#run;
    const limit = Math.min(folio.pos + Math.max(ahead, PAGE_BYTES), roundUp(size, blockSize));
    let addr = -1;
    let mapped = 0;
    let hole = -1;
    let boundary = false;
    for (let at = 0; at < folio.size && folio.pos + at < limit; ) {
      const pos = folio.pos + at;
      const runPos = this.#runBlock * blockSize;
      if (pos < runPos || pos >= runPos + run.bytes) {
        const block = pos / blockSize;
        run.bytes = 0;
        yield* this.#map(block, limit - pos, run);
        this.#runBlock = block;
      }
      const inside = pos - this.#runBlock * blockSize;
      const n = Math.min(folio.size - at, run.bytes - inside);
      if (run.addr === -1) {
        if (hole < 0) hole = at;
      } else {
        if (hole >= 0 || (mapped > 0 && addr + mapped !== run.addr + inside)) return yield* this.#confused(folio);
        if (mapped === 0) addr = run.addr + inside;
        mapped += n;
        boundary = run.boundary && inside + n === run.bytes;
      }
      at += n;
    }
    if (mapped < folio.size) folio.data.fill(0, mapped);
    if (mapped === 0) {
      folio.setUptodate(0, folio.size);
      folio.unlock();
      return;
    }
    this.#add(folio, addr, mapped);
    if (boundary || mapped < folio.size) this.#close();
  }

  *#confused(folio: Folio): Io<void> {
    this.#close();
    yield* this.#full(folio);
  }

  #add(folio: Folio, addr: number, bytes: number): void {
    let open = this.#open;
    if (open === undefined || open.addr + open.bytes !== addr || open.bytes + bytes > this.#bioBytesMax) {
      this.#close();
      open = { addr, folios: [], segments: [], bytes: 0 };
      this.#open = open;
    }
    open.folios.push(folio);
    open.segments.push(bytes === folio.size ? folio.data : folio.data.subarray(0, bytes));
    open.bytes += bytes;
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const { folios, addr, segments, bytes } = open;
    this.#plug.add(this.#inode, {
      op: 'read', addr, segments, bytes,
      end: (result) => {
        for (const folio of folios) {
          if (result.ok) folio.setUptodate(0, folio.size);
          else this.#fail(folio, result.error);
          folio.unlock();
        }
      },
    });
  }

  // block_read_full_folio ---------------------------------------------------------------------------------------------------

  *#full(folio: Folio): Io<void> {
    const { blockSize, size } = this.#inode;
    const head = makeBuffers(folio, blockSize);
    const reads: BufferHead[] = [];
    let bh = head;
    do {
      const pos = folio.pos + bh.offset;
      if (!bh.has(BH_UPTODATE)) {
        if (!bh.has(BH_MAPPED) && pos < size) yield* this.#mapOne(bh, pos / blockSize);
        if (bh.has(BH_MAPPED) && pos < size) reads.push(bh);
        else {
          bh.data.fill(0);
          bh.set(BH_UPTODATE);
        }
      }
      bh = bh.next;
    } while (bh !== head);
    if (reads.length === 0) {
      folio.setUptodate(0, folio.size);
      folio.unlock();
      return;
    }
    let left = reads.length;
    for (const one of reads) {
      this.#plug.add(this.#inode, {
        op: 'read', addr: one.addr, segments: [one.data], bytes: one.size,
        end: (result) => {
          left--;
          this.#endOne(one, result, left === 0 ? head : undefined);
        },
      });
    }
  }

  *#mapOne(bh: BufferHead, block: number): Io<void> {
    const out = newResult();
    yield* this.#map(block, bh.size, out);
    if (out.addr === -1) return;
    bh.addr = out.addr;
    bh.set(out.boundary ? BH_MAPPED | BH_BOUNDARY : BH_MAPPED);
  }

  /** `end_buffer_async_read`: the last of the page's reads unlocks it. */
  #endOne(bh: BufferHead, result: IoResult, head: BufferHead | undefined): void {
    const { folio } = bh;
    if (result.ok) bh.set(BH_UPTODATE);
    else this.#fail(folio, result.error);
    if (head === undefined) return;
    if (allHave(head, BH_UPTODATE)) folio.setUptodate(0, folio.size);
    folio.unlock();
  }
}
