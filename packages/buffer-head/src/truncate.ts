/**
 * Truncation in the old way: `block_truncate_page`, then `truncate_inode_pages` with `block_invalidate_folio`.
 *
 * Order in a truncate: `blockTruncatePage`, set the size, `truncatePages`, free the blocks.
 * Locks: inode, exclusive.
 */
import { roundUp, type Io } from '@iomap/io';
import { AddressSpace, type AddressSpaceHost, type Folio, type PageCache } from '@iomap/page-cache';
import { anyHas, BH_BOUNDARY, BH_DIRTY, BH_MAPPED, BH_NEW, BH_UPTODATE, buffersOf, makeBuffers, PAGE_BYTES } from './buffer-head.js';
import { mapBlock, newResult, type BufferInode, type BufferOps } from './get-block.js';
import { lockPage, readBuffers, setMapped, zeroPastEnd } from './write.js';

/** The address space of a file in the old way: pages, whatever the filesystem's block size is. */
export function newPages(cache: PageCache, name: string, host: AddressSpaceHost): AddressSpace {
  return new AddressSpace(cache, { name, blockSize: PAGE_BYTES, host });
}

/**
 * Zeroes from `pos` to the end of its block (`block_truncate_page`), where there is one.
 * Waits on: the page lock, `get_block`, a read of the block. @returns true when it was zeroed
 * @throws FsError EIO, EUCLEAN
 */
export function* blockTruncatePage<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number): Io<boolean> {
  const { blockSize, mapping } = inode;
  const inside = pos % blockSize;
  if (inside === 0) return false;
  const start = pos - inside;
  const out = newResult();
  if (mapping.lookup(start) === undefined) {
    yield* mapBlock(inode, ops.getBlock, start / blockSize, blockSize, false, out);
    if (out.addr === -1) return false;
  }
  const folio = yield* lockPage(mapping, start);
  try {
    const offset = start - folio.pos;
    let bh = makeBuffers(folio, blockSize);
    while (bh.offset !== offset) bh = bh.next;
    if (!bh.has(BH_MAPPED)) {
      yield* mapBlock(inode, ops.getBlock, start / blockSize, blockSize, false, out);
      if (out.addr === -1) return false;
      setMapped(bh, out);
    }
    if (folio.uptodate) bh.set(BH_UPTODATE);
    if (!bh.has(BH_UPTODATE)) {
      yield* readBuffers(inode, ops, [bh]);
      zeroPastEnd(inode, [bh]);
    }
    folio.data.fill(0, offset + inside, offset + blockSize);
    bh.set(BH_DIRTY);
    folio.markDirty(0, folio.size);
    mapping.cache.counters.zeroBytes += blockSize - inside;
    return true;
  } finally {
    folio.unlock();
  }
}

/** `block_invalidate_folio`: forgets the blocks of a locked page from offset `from` on (a multiple of the block size). */
function invalidateFrom(folio: Folio, from: number): void {
  const head = buffersOf(folio);
  if (head === undefined) return;
  let bh = head;
  do {
    if (bh.offset >= from) {
      bh.clear(BH_DIRTY | BH_MAPPED | BH_NEW | BH_BOUNDARY);
      bh.addr = -1;
    }
    bh = bh.next;
  } while (bh !== head);
  if (!anyHas(head, BH_DIRTY)) folio.clearDirty(0, folio.size);
}

/**
 * Drops the pages past `newSize`, dirty or not; the one that it lies in reads as zero from there on.
 * Waits on: page locks, writes in flight (their blocks may be given to another file next).
 */
export function* truncatePages(inode: BufferInode, newSize: number): Io<void> {
  const { mapping, blockSize } = inode;
  mapping.cache.trace?.({ type: 'drop', ino: inode.ino, pos: newSize, len: Infinity });
  for (let at = newSize; ; ) {
    const folio = mapping.nextFolio(at, Infinity);
    if (folio === undefined) return;
    if (!folio.tryLock()) yield* folio.lock();
    try {
      while (folio.mapping === mapping && folio.writebacks > 0) yield* folio.waitWriteback();
      if (folio.mapping !== mapping) continue;
      const keep = newSize - folio.pos;
      if (keep <= 0) mapping.drop(folio);
      else {
        folio.data.fill(0, keep);
        invalidateFrom(folio, roundUp(keep, blockSize));
      }
      at = folio.end;
    } finally {
      folio.unlock();
    }
  }
}

/**
 * Drops the pages that overlap [pos, end) (`invalidate_inode_pages2_range`).
 * Waits on: page locks, writes in flight. @returns false when a dirty page stays
 */
export function* invalidatePages(inode: BufferInode, pos: number, end: number): Io<boolean> {
  const { mapping } = inode;
  let all = true;
  for (let at = pos; ; ) {
    const folio = mapping.nextFolio(at, end);
    if (folio === undefined) return all;
    if (!folio.tryLock()) yield* folio.lock();
    try {
      while (folio.mapping === mapping && folio.writebacks > 0) yield* folio.waitWriteback();
      if (folio.mapping !== mapping) continue;
      if (folio.dirty) all = false;
      else mapping.drop(folio);
      at = folio.end;
    } finally {
      folio.unlock();
    }
  }
}
