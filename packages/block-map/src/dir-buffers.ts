/**
 * Directories in the buffer cache: a block is the metadata buffer at its place on the device, owned by the directory for its fsync.
 *
 * A look-up is a walk of the block map (from the extent cache) and one of the cache. Blocks outlive the directory's inode in core.
 */
import { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import { DIR_READAHEAD_BLOCKS, holeBlock } from './dir-block.js';
import type { DirHome, DirHost, MappedDir } from './dir-home.js';
import type { MapRun } from './extent-cache.js';
import { forgetBlock, newBlock, type BlockMap, type MappedInode } from './map.js';
import { truncateBlocks } from './map-truncate.js';

export function bufferDirHome<I extends MappedDir>(host: DirHost<I>): DirHome<I> {
  const { map, buffers, dirBytes } = host;
  const { blockSize } = map.shape;
  /** Directory blocks in a block of the map. */
  const per = blockSize / dirBytes;
  const scratch: MapRun = { block: 0, count: 0 };
  const atHole = holeBlock(host.hole, dirBytes);
  const posIn = (block: number, index: number): number => block * blockSize + (index % per) * dirBytes;
  return {
    kind: 'buffer-cache',
    count: (dir) => host.blockCount(dir),
    peek(dir, index) {
      if (!map.peek(dir, per === 1 ? index : Math.floor(index / per), scratch)) return undefined;
      if (scratch.block === 0) return atHole(dir, index);
      return buffers.peek(posIn(scratch.block, index));
    },
    only(dir) {
      if (!map.peek(dir, 0, scratch, true)) return undefined;
      return scratch.block === 0 ? atHole(dir, 0) : buffers.readNow(scratch.block * blockSize, dirBytes);
    },
    *read(dir, index) {
      const run: MapRun = { block: 0, count: 0 };
      yield* map.read(dir, Math.floor(index / per), run);
      if (run.block === 0) return atHole(dir, index);
      const pos = posIn(run.block, index);
      const ahead = Math.min(run.count * per - (index % per), DIR_READAHEAD_BLOCKS, host.blockCount(dir) - index);
      if (ahead > 1 && buffers.peek(pos) === undefined) yield* buffers.readahead(pos, dirBytes, undefined, ahead);
      return yield* buffers.read(pos, dirBytes);
    },
    markDirty(block, dir) {
      if (!(block instanceof Buf)) throw corrupt('a hole in a directory', { ino: dir.ino });
      host.markDirty(block, dir);
    },
    *append(dir) {
      const index = host.blockCount(dir);
      if (index >= host.blocksMax) throw new FsError('EFBIG');
      const run: MapRun = { block: 0, count: 0 };
      yield* map.alloc(dir, { fileBlock: Math.floor(index / per), want: 1 }, run);
      const buf = yield* newBlock(buffers, posIn(run.block, index), dirBytes);
      buf.bytes.set(host.fresh);
      host.markDirty(buf, dir);
      dir.size = (index + 1) * dirBytes;
      return buf;
    },
    *shrink(dir, count) {
      const before = host.blockCount(dir);
      const run: MapRun = { block: 0, count: 0 };
      dir.size = count * dirBytes;
      for (let index = count; index < before; index++) {
        yield* map.read(dir, Math.floor(index / per), run);
        if (run.block !== 0) yield* forgetBlock(buffers, posIn(run.block, index));
      }
      yield* truncateBlocks(map, dir, Math.ceil(count / per));
    },
    // All of it is the directory's in the buffer cache.
    *flush() {},
    *flushAll() {},
  };
}

/**
 * Drops the buffers of all blocks of a file that lives in the buffer cache in pieces of `bytes` (a directory, a link), before they
 * are freed.
 */
export function* forgetBlocks<I extends MappedInode & { size: number }>(map: BlockMap<I>, inode: I, bytes: number): Io<void> {
  const run: MapRun = { block: 0, count: 0 };
  const { blockSize } = map.shape;
  const total = Math.min(map.blocksMax, Math.ceil(inode.size / blockSize));
  for (let at = 0; at < total; at += run.count) {
    yield* map.read(inode, at, run);
    const n = run.block === 0 ? 0 : Math.min(run.count, total - at);
    const end = (run.block + n) * blockSize;
    for (let pos = run.block * blockSize; pos < end; pos += bytes) yield* forgetBlock(map.host.buffers, pos);
  }
}
