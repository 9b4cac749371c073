/**
 * Reports of a file's map by `get_block`: `bmap`, `fiemap` (`generic_block_fiemap`), data and holes.
 *
 * Linux's ext2 and minix had no seek of their own before: every byte was data. Here holes are told, by the map, so that both ways
 * give one answer; and neighbours that `get_block` told apart are one extent, as FIEMAP's readers expect.
 * Locks: inode, shared.
 */
import { FsError, roundUp, type Io } from '@iomap/io';
import { mapBlock, newResult, type BufferInode, type BufferOps } from './get-block.js';

/** As `FiemapExtent` of the vfs. Bytes. */
export interface BlockExtent {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
  readonly flags: readonly 'last'[];
}

/** The device block (in the inode's block size) of a block of the file; 0 where there is none (`generic_block_bmap`). */
export function* blockBmap<I extends BufferInode>(inode: I, ops: BufferOps<I>, fileBlock: number): Io<number> {
  const { blockSize, size } = inode;
  if (!(fileBlock >= 0) || fileBlock * blockSize >= size) return 0;
  const out = newResult();
  yield* mapBlock(inode, ops.getBlock, fileBlock, blockSize, false, out);
  return out.addr === -1 ? 0 : Math.floor(out.addr / blockSize);
}

/** Emits the extents that overlap [pos, pos + len), whole, in order. `emit` answers false to stop. */
export function* blockFiemap<I extends BufferInode>(
  inode: I, ops: BufferOps<I>, pos: number, len: number, emit: (extent: BlockExtent) => boolean,
): Io<void> {
  const { blockSize } = inode;
  const fileEnd = roundUp(inode.size, blockSize);
  const end = Math.min(pos + len, fileEnd);
  if (pos >= end) return;
  const out = newResult();
  let pending: { logical: number; physical: number; length: number } | undefined;
  let at = (yield* extentStart(inode, ops, pos)) ?? pos - (pos % blockSize);
  for (; at < fileEnd; at += out.bytes) {
    yield* mapBlock(inode, ops.getBlock, at / blockSize, fileEnd - at, false, out);
    if (out.addr === -1) continue;
    if (pending !== undefined && pending.logical + pending.length === at && pending.physical + pending.length === out.addr) {
      pending.length += out.bytes;
      continue;
    }
    if (pending !== undefined && !emit({ ...pending, flags: [] })) return;
    if (at >= end) return;
    pending = { logical: at, physical: out.addr, length: out.bytes };
  }
  if (pending !== undefined) emit({ ...pending, flags: ['last'] });
}

/** Where the extent that holds `pos` begins, one block at a time; undefined = `pos` is in a hole. */
function* extentStart<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number): Io<number | undefined> {
  const { blockSize } = inode;
  const out = newResult();
  let block = Math.floor(pos / blockSize);
  yield* mapBlock(inode, ops.getBlock, block, blockSize, false, out);
  if (out.addr === -1) return undefined;
  let { addr } = out;
  for (; block > 0; block--) {
    yield* mapBlock(inode, ops.getBlock, block - 1, blockSize, false, out);
    if (out.addr === -1 || out.addr + blockSize !== addr) break;
    addr = out.addr;
  }
  return block * blockSize;
}

/** The first data (or hole) at or after `pos`; the size is where the last hole begins. @throws FsError ENXIO */
export function* blockSeek<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number, whence: 'data' | 'hole'): Io<number> {
  const { blockSize, size } = inode;
  if (!(pos >= 0) || pos >= size) throw new FsError('ENXIO');
  const out = newResult();
  const end = roundUp(size, blockSize);
  for (let at = pos - (pos % blockSize); at < end; at += out.bytes) {
    yield* mapBlock(inode, ops.getBlock, at / blockSize, end - at, false, out);
    if ((out.addr !== -1) === (whence === 'data')) return Math.max(pos, at);
  }
  if (whence === 'data') throw new FsError('ENXIO');
  return size;
}
