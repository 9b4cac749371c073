/**
 * Write faults in the old way (`block_page_mkwrite`): before a store through a memory mapping changes a page, all of its blocks
 * inside the file are mapped, whole and dirty.
 *
 * Locks: the caller keeps truncates out. The size never grows.
 */
import { FsError, roundUp, type Io } from '@iomap/io';
import type { Folio } from '@iomap/page-cache';
import { makeBuffers, PAGE_BYTES } from './buffer-head.js';
import type { BufferInode, BufferOps } from './get-block.js';
import { readFolio } from './read.js';
import { commitWrite, lockPage, writeBegin } from './write.js';

/**
 * Makes the pages of [pos, pos + len) writable, and stores into each in the same turn.
 * @param store called once per page, in order, with its part of the range
 * Waits on: page locks, reads of the pages, `get_block`, memory.
 * @throws FsError EFAULT past the block that holds the end of the file; ENOSPC, EIO
 */
export function* blockPageMkwrite<I extends BufferInode>(
  inode: I, ops: BufferOps<I>, pos: number, len: number, store?: (folio: Folio, from: number, to: number) => void,
): Io<void> {
  const { blockSize, mapping } = inode;
  const fileEnd = roundUp(inode.size, blockSize);
  if (!(pos >= 0) || pos + len > fileEnd) {
    throw new FsError('EFAULT', { why: 'past the end of the mapped file', detail: { ino: inode.ino, pos } });
  }
  for (let at = pos; at < pos + len; ) {
    mapping.cache.counters.writeFaults++;
    let folio = yield* lockPage(mapping, at);
    while (!folio.uptodate) {
      folio.unlock();
      const error = yield* readFolio(inode, ops, folio);
      if (error !== undefined) throw error;
      folio = yield* lockPage(mapping, at);
    }
    const to = Math.min(pos + len, folio.end);
    try {
      const inside = Math.min(PAGE_BYTES, fileEnd - folio.pos);
      yield* writeBegin(inode, ops, folio, 0, inside);
      store?.(folio, at - folio.pos, to - folio.pos);
      commitWrite(folio, makeBuffers(folio, blockSize), 0, inside);
    } finally {
      folio.unlock();
    }
    at = to;
  }
}
