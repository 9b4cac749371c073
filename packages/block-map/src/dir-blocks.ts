/**
 * Where a directory's blocks live: here, the buffer cache. Directory code asks this interface only, so that another home
 * (the page cache, through iomap) can be put under it and measured.
 *
 * - `peek` is the hit, a plain call; `read` waits; `append` adds a block of zeroes behind the last.
 */
import { Buf, type BufferCache } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import type { MapRun } from './extent-cache.js';
import { forgetBlock, newBlock, type BlockMap, type MappedInode } from './map.js';
import { truncateBlocks } from './map-truncate.js';

/** Blocks of a directory read ahead at once. */
const READAHEAD_BLOCKS = 32;

export interface DirBlocks<I> {
  /** @throws FsError EUCLEAN when the size cannot be a directory's */
  count(dir: I): number;
  peek(dir: I, index: number): Buf | undefined;
  /** The block of a directory that has one, read within the call where that can be; the caller holds no other buffer. */
  only(dir: I): Buf | undefined;
  read(dir: I, index: number): Io<Buf>;
  /** The block is mapped and zero; the directory's size and the block's first entries are the format's business. @throws FsError ENOSPC, EFBIG */
  append(dir: I): Io<Buf>;
  /** Takes back the blocks from `count` on; the caller has set the size. `before`: how many there were. */
  shrink(dir: I, count: number, before: number): Io<void>;
}

/** A directory's inode. */
export type MappedDir = MappedInode & { size: number };

export interface DirHost<I extends MappedDir> {
  readonly map: BlockMap<I>;
  readonly buffers: BufferCache;
  /** Bytes of a directory block: the map's block size, or a part of it where space is given out in larger zones. */
  readonly dirBytes: number;
  /** Directory blocks that the size says. @throws FsError EUCLEAN */
  blockCount(dir: I): number;
  /** Most blocks of a directory. */
  readonly blocksMax: number;
  /** What a block that is not mapped is: 'corrupt' throws EUCLEAN, 'empty' reads as zeroes (see `isHole`). */
  readonly hole: 'corrupt' | 'empty';
}

/** Is this the stand-in for a block that is not mapped? It may be read only. */
export const isHole = (buf: Buf): boolean => buf.pos < 0;

function emptyHole(bytes: number): Buf {
  const host = {
    bufDirtied(): void {
      throw corrupt('a hole in a directory');
    },
    bufReleased(): void {},
  };
  return new Buf(host, -1, new Uint8Array(bytes)).initialise();
}

export function bufferDirBlocks<I extends MappedDir>(host: DirHost<I>): DirBlocks<I> {
  const { map, buffers, dirBytes } = host;
  const { blockSize } = map.shape;
  /** Directory blocks in a block of the map. */
  const per = blockSize / dirBytes;
  const scratch: MapRun = { block: 0, count: 0 };
  const empty = host.hole === 'empty' ? emptyHole(dirBytes) : undefined;
  const atHole = (dir: I, index: number): Buf => {
    if (empty !== undefined) return empty;
    throw corrupt('a hole in a directory', { ino: dir.ino, pos: index * dirBytes });
  };
  const posIn = (block: number, index: number): number => block * blockSize + (index % per) * dirBytes;
  return {
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
      const ahead = Math.min(run.count * per - (index % per), READAHEAD_BLOCKS, host.blockCount(dir) - index);
      if (ahead > 1 && buffers.peek(pos) === undefined) yield* buffers.readahead(pos, dirBytes, undefined, ahead);
      return yield* buffers.read(pos, dirBytes);
    },
    *append(dir) {
      const index = host.blockCount(dir);
      if (index >= host.blocksMax) throw new FsError('EFBIG');
      const run: MapRun = { block: 0, count: 0 };
      yield* map.alloc(dir, { fileBlock: Math.floor(index / per), want: 1 }, run);
      return yield* newBlock(buffers, posIn(run.block, index), dirBytes);
    },
    *shrink(dir, count, before) {
      const run: MapRun = { block: 0, count: 0 };
      for (let index = count; index < before; index++) {
        yield* map.read(dir, Math.floor(index / per), run);
        if (run.block !== 0) yield* forgetBlock(buffers, posIn(run.block, index));
      }
      yield* truncateBlocks(map, dir, Math.ceil(count / per));
    },
  };
}

/**
 * Drops the buffers of all blocks of a file that lives in the buffer cache in pieces of `bytes` (a directory, a link), before they
 * are freed.
 */
export function* forgetBlocks<I extends MappedDir>(map: BlockMap<I>, inode: I, bytes: number): Io<void> {
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
