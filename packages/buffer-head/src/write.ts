/**
 * Buffered writes in the old way: `generic_perform_write` with `block_write_begin` and `block_write_end`, one page at a time, one
 * `get_block` call for each block that the page does not have mapped yet.
 *
 * - `fileWrite(inode, ops, pos, bytes)`; `peekFileWrite` is its plain twin for a write inside one page.
 *
 * Locks: inode, exclusive; the page's.
 */
import { FsError, submitAll, type BioRequest, type Io } from '@iomap/io';
import type { AddressSpace, Folio } from '@iomap/page-cache';
import {
  allHave, BH_BOUNDARY, BH_DIRTY, BH_MAPPED, BH_NEW, BH_UPTODATE, makeBuffers, PAGE_BYTES, type BufferHead,
} from './buffer-head.js';
import { mapBlock, newResult, peekBlock, type BlockResult, type BufferInode, type BufferOps } from './get-block.js';

/** The page of `pos`, locked; made where there is none. */
export function* lockPage(mapping: AddressSpace, pos: number): Io<Folio> {
  for (;;) {
    const found = mapping.lookup(pos);
    if (found === undefined) {
      const made = mapping.tryAlloc(pos - (pos % PAGE_BYTES), PAGE_BYTES);
      if (made !== undefined) return made;
      yield* mapping.cache.makeRoom(PAGE_BYTES);
    } else {
      if (!found.tryLock()) yield* found.lock();
      if (found.mapping === mapping) return found;
      found.unlock();
    }
  }
}

/** Records what `get_block` said of one block. */
export function setMapped(bh: BufferHead, out: BlockResult): void {
  bh.addr = out.addr;
  bh.set((out.boundary ? BH_BOUNDARY : 0) | (out.isNew ? BH_NEW : 0) | BH_MAPPED);
}

/** Reads blocks of a locked page and waits. @throws FsError the first failure */
export function* readBuffers<I extends BufferInode>(inode: I, ops: BufferOps<I>, reads: readonly BufferHead[]): Io<void> {
  const { cache } = inode.mapping;
  const requests = reads.map((bh): BioRequest => {
    cache.counters.readBios++;
    cache.counters.readBioBytes += bh.size;
    cache.trace?.({ type: 'bio', ino: inode.ino, op: 'read', addr: bh.addr, len: bh.size, segments: 1 });
    const bio = { op: 'read' as const, pos: bh.addr, segments: [bh.data], lengthBytes: bh.size };
    return { kind: 'bio', target: ops.getBlock.device, bio };
  });
  yield* submitAll(requests);
  for (const bh of reads) bh.set(BH_UPTODATE);
}

const WAIT = 'wait';

/**
 * The plain part of `__block_write_begin` for one buffer head that [from, to) of its page touches.
 * @returns the buffer head's block must be mapped first (`WAIT`), or be read (true); false = it is ready
 */
function prepare<I extends BufferInode>(
  inode: I, ops: BufferOps<I>, bh: BufferHead, range: { readonly from: number; readonly to: number }, out: BlockResult,
): boolean | typeof WAIT {
  if (!bh.has(BH_MAPPED)) {
    const block = (bh.folio.pos + bh.offset) / bh.size;
    if (!peekBlock(inode, ops.getBlock, block, bh.size, true, out) || out.addr === -1) return WAIT;
    setMapped(bh, out);
  }
  return settle(inode, bh, range);
}

/** What a mapped block needs before [from, to) of its page is written: zeroes around it, or (true) a read. */
function settle<I extends BufferInode>(inode: I, bh: BufferHead, { from, to }: { readonly from: number; readonly to: number }): boolean {
  const { folio, offset, size } = bh;
  if (folio.uptodate || bh.has(BH_UPTODATE)) {
    bh.set(BH_UPTODATE);
    return false;
  }
  if (from <= offset && to >= offset + size) return false;
  // Nothing of the file is in a new block, or in one behind its end.
  if (bh.has(BH_NEW) || folio.pos + offset >= inode.size) {
    if (from > offset) folio.data.fill(0, offset, from);
    if (to < offset + size) folio.data.fill(0, to, offset + size);
    return false;
  }
  return true;
}

/**
 * `__block_write_begin`: every block that [from, to) of the locked page touches is mapped, and whole but for those bytes.
 * Waits on: `get_block`, reads of at most two blocks.
 * @throws FsError of `get_block` or of a read; new blocks hold zeroes then, and are dirty
 */
export function* writeBegin<I extends BufferInode>(inode: I, ops: BufferOps<I>, folio: Folio, from: number, to: number): Io<void> {
  const head = makeBuffers(folio, inode.blockSize);
  const range = { from, to };
  const out = newResult();
  let reads: BufferHead[] | undefined;
  let bh = head;
  let over = false;
  try {
    do {
      if (bh.offset < to && bh.offset + bh.size > from) {
        let needsRead = prepare(inode, ops, bh, range, out);
        if (needsRead === WAIT) {
          yield* mapBlock(inode, ops.getBlock, (folio.pos + bh.offset) / bh.size, bh.size, true, out);
          if (out.addr === -1) throw new FsError('EUCLEAN', { why: 'a write was mapped to a hole', detail: { ino: inode.ino } });
          setMapped(bh, out);
          needsRead = settle(inode, bh, range);
        }
        if (needsRead) (reads ??= []).push(bh);
      }
      bh = bh.next;
    } while (bh !== head);
    if (reads !== undefined) {
      yield* readBuffers(inode, ops, reads);
      zeroPastEnd(inode, reads);
    }
    over = true;
  } finally {
    if (!over) zeroNewBuffers(folio, head, from, to);
  }
}

/** What the device holds behind the end of the file is none of it. */
export function zeroPastEnd(inode: BufferInode, reads: readonly BufferHead[]): void {
  for (const { folio, offset, size } of reads) {
    const inside = inode.size - folio.pos;
    if (inside < offset + size) folio.data.fill(0, Math.max(offset, inside), offset + size);
  }
}

/** `folio_zero_new_buffers`: a failed write leaves no old content in the blocks that it got. */
function zeroNewBuffers(folio: Folio, head: BufferHead, from: number, to: number): void {
  let bh = head;
  do {
    if (bh.offset < to && bh.offset + bh.size > from && bh.has(BH_NEW)) {
      bh.clear(BH_NEW);
      if (!bh.has(BH_UPTODATE)) bh.data.fill(0);
      bh.set(BH_UPTODATE | BH_DIRTY);
      folio.markDirty(0, folio.size);
    }
    bh = bh.next;
  } while (bh !== head);
}

/** `block_commit_write`: [from, to) of the page was changed. */
export function commitWrite(folio: Folio, head: BufferHead, from: number, to: number): void {
  let bh = head;
  do {
    if (bh.offset < to && bh.offset + bh.size > from) {
      bh.set(BH_UPTODATE | BH_DIRTY);
      bh.clear(BH_NEW);
    }
    bh = bh.next;
  } while (bh !== head);
  if (!folio.uptodate && allHave(head, BH_UPTODATE)) folio.setUptodate(0, folio.size);
  folio.markDirty(0, folio.size);
}

/** `generic_write_end` up to the unlock: the change itself. */
function writeEnd(inode: BufferInode, folio: Folio, from: number, bytes: Uint8Array): void {
  const to = from + bytes.length;
  folio.data.set(bytes, from);
  commitWrite(folio, makeBuffers(folio, inode.blockSize), from, to);
  if (folio.pos + to > inode.size) inode.size = folio.pos + to;
  if (folio.touched < 2) folio.touched++;
  inode.mapping.cache.counters.foliosTouched++;
}

/**
 * Writes `bytes` at `pos`; the bytes between the size and `pos` are the caller's to zero (`blockTruncatePage`).
 * @returns bytes written: all, or fewer when a failure came after whole pages
 * Waits on: page locks, `get_block`, edge block reads, writeback when much is dirty.
 * @throws FsError ENOSPC and others of `get_block`, EIO, ENOMEM
 */
export function* fileWrite<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number, bytes: Uint8Array): Io<number> {
  const { mapping } = inode;
  const { cache } = mapping;
  let done = 0;
  try {
    while (done < bytes.length) {
      if (cache.mustThrottle(mapping)) yield* cache.throttle(mapping);
      const at = pos + done;
      const n = Math.min(bytes.length - done, PAGE_BYTES - (at % PAGE_BYTES));
      const part = n === bytes.length ? bytes : bytes.subarray(done, done + n);
      const found = mapping.lookup(at);
      const folio = found?.tryLock() === true ? found : yield* lockPage(mapping, at);
      const from = at - folio.pos;
      try {
        if (!beginNow(inode, ops, folio, from, from + n)) yield* writeBegin(inode, ops, folio, from, from + n);
        writeEnd(inode, folio, from, part);
      } finally {
        folio.unlock();
      }
      done += n;
    }
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    if (ops.writeFailed !== undefined) yield* ops.writeFailed(inode);
    if (done === 0) throw error;
  }
  cache.counters.writeBytes += done;
  cache.trace?.({ type: 'write', ino: inode.ino, pos, len: bytes.length, done });
  return done;
}

/** `writeBegin` where it needs no wait; false = nothing is settled yet (what is mapped stays mapped). */
function beginNow<I extends BufferInode>(inode: I, ops: BufferOps<I>, folio: Folio, from: number, to: number): boolean {
  const head = makeBuffers(folio, inode.blockSize);
  const range = { from, to };
  const out = newResult();
  let bh = head;
  do {
    if (bh.offset < to && bh.offset + bh.size > from && prepare(inode, ops, bh, range, out) !== false) return false;
    bh = bh.next;
  } while (bh !== head);
  return true;
}

/** A write inside one page that needs no wait. @returns `bytes.length`, or -1: take `fileWrite` */
export function peekFileWrite<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number, bytes: Uint8Array): number {
  const mapping = inode.mappingIfAny;
  const n = bytes.length;
  if (n === 0) return 0;
  if (mapping === undefined || pos > inode.size || (pos % PAGE_BYTES) + n > PAGE_BYTES) return -1;
  if (mapping.cache.dirtyBytes > mapping.cache.dirtyLimitBytes) return -1;
  const folio = mapping.lookup(pos);
  if (folio === undefined || folio.locked) return -1;
  const from = pos - folio.pos;
  if (!beginNow(inode, ops, folio, from, from + n)) return -1;
  writeEnd(inode, folio, from, bytes);
  mapping.cache.counters.writeBytes += n;
  return n;
}
