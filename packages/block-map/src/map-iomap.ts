/**
 * What iomap-core needs of a file with a block map: mappings for reads, writes and writeback.
 *
 * A write allocates in `begin`, the whole run that the write wants; there is no delayed allocation. A mapping carries the cookie
 * of the block map it was sampled from, so a truncate in between makes it stale.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, roundDown, type Io } from '@iomap/io';
import {
  IOMAP_ATOMIC,
  IOMAP_F_NEW,
  IOMAP_WRITE,
  IOMAP_ZERO,
  punchPageCache,
  type Iomap,
  type IomapInode,
  type IomapOps,
  type WritebackOps,
} from '@iomap/iomap-core';
import type { MapRun } from './extent-cache.js';
import { atomicWriteMax, DurablePlaces, markAtomic } from './map-direct.js';
import type { BlockMap, MappedInode } from './map.js';
import { truncateBlocks, unmapRun } from './map-truncate.js';

/** Blocks asked for in one `begin` at most, when the length is unbounded. */
const WANT_MAX = 2 ** 20;

/** A file that has a block map and a page cache. */
export type MappedFile = MappedInode & IomapInode;

export interface MapIo<I extends MappedFile> {
  readonly map: BlockMap<I>;
  readonly device: BlockDevice;
  /** Runs a change of the image: a corrupt structure that it meets shuts the mount down. */
  guarded<T>(io: Io<T>): Io<T>;
  /** fsync of a file, data first. Absent: no atomic writes. */
  sync?(inode: I): Io<void>;
}

/** Fills `out` from a run of the block map that starts at `fileBlock`. */
function fill<I extends MappedFile>(io: MapIo<I>, inode: I, fileBlock: number, run: MapRun, out: Iomap): void {
  const { blockSize } = io.map.shape;
  out.type = run.block === 0 ? 'hole' : 'mapped';
  out.offset = fileBlock * blockSize;
  out.length = run.count * blockSize;
  out.addr = run.block === 0 ? -1 : run.block * blockSize;
  out.flags = 0;
  out.device = io.device;
  out.inlineData = undefined;
  out.validityCookie = inode.cookie;
}

const isCreate = (flags: number): boolean => (flags & IOMAP_WRITE) !== 0 && (flags & IOMAP_ZERO) === 0;

/** The operations of a mount's files. */
export function mapIomapOps<I extends MappedFile>(io: MapIo<I>): IomapOps<I> {
  const { map } = io;
  const { blockSize } = map.shape;
  const { blocksMax } = map;
  const scratch: MapRun = { block: 0, count: 0 };
  /** The run at `fileBlock`, or a hole where the format ends. */
  const beyond = (inode: I, fileBlock: number, length: number, flags: number, out: Iomap): boolean => {
    if (fileBlock < blocksMax) return false;
    if (isCreate(flags)) throw new FsError('EFBIG');
    fill(io, inode, fileBlock, { block: 0, count: Math.max(1, Math.ceil(length / blockSize)) }, out);
    return true;
  };
  const atomicMax = atomicWriteMax(io);
  const durable = new DurablePlaces<I>((inode) => io.sync?.(inode) ?? nothing());
  return {
    atomicWriteMax: () => atomicMax,
    endIfShort: true,
    peek(inode, pos, length, flags, out) {
      const fileBlock = Math.floor(pos / blockSize);
      if (beyond(inode, fileBlock, length, flags, out)) return true;
      // A plain read holds no buffer, so one may be read within the call, which may evict another.
      if (!map.peek(inode, fileBlock, scratch, flags === 0)) return false;
      if (scratch.block === 0 && isCreate(flags)) return false;
      fill(io, inode, fileBlock, scratch, out);
      if ((flags & IOMAP_ATOMIC) === 0) return true;
      if (!durable.has(inode, pos + length)) return false;
      markAtomic(out, pos, length, flags);
      return true;
    },
    *begin(inode, pos, length, flags, out) {
      const fileBlock = Math.floor(pos / blockSize);
      if (beyond(inode, fileBlock, length, flags, out)) return;
      const run: MapRun = { block: 0, count: 0 };
      yield* map.read(inode, fileBlock, run);
      let isNew = false;
      // An atomic write is of blocks that are there: `markAtomic` refuses the rest.
      if (run.block === 0 && isCreate(flags) && (flags & IOMAP_ATOMIC) === 0) {
        const want = Math.min(WANT_MAX, Math.ceil((pos + length) / blockSize) - fileBlock, run.count);
        isNew = yield* io.guarded(map.alloc(inode, { fileBlock, want }, run));
      }
      fill(io, inode, fileBlock, run, out);
      if (isNew) out.flags = IOMAP_F_NEW;
      markAtomic(out, pos, length, flags);
      if ((flags & IOMAP_ATOMIC) !== 0) yield* durable.settle(inode, pos + length);
    },
    *end(inode, pos, length, written, flags, iomap) {
      if ((iomap.flags & IOMAP_F_NEW) === 0 || written >= length || !isCreate(flags)) return;
      // A short write into new blocks: those that nothing was written to hold what others had there. They go back.
      const from = written === 0 ? roundDown(pos, blockSize) : pos + written;
      yield* takeBack(io, inode, from, iomap.offset + iomap.length);
    },
  };
}

function* nothing(): Io<void> {
  // Nobody to ask: there are no atomic writes then.
}

/** Frees the blocks of [pos, end) that were new and that nothing was written to; the block of `pos` stays where it lies inside. */
export function* takeBack<I extends MappedFile>(io: MapIo<I>, inode: I, pos: number, end: number): Io<void> {
  const { map } = io;
  const { blockSize } = map.shape;
  const first = Math.ceil(pos / blockSize);
  const count = Math.ceil(end / blockSize) - first;
  if (count <= 0) return;
  yield* punchPageCache(inode, first * blockSize, count * blockSize);
  // Behind the end of file, tree blocks that become empty go too; a hole inside keeps them for the next write.
  const isBehind = first * blockSize >= inode.size;
  yield* io.guarded(isBehind ? truncateBlocks(map, inode, first) : unmapRun(map, inode, first, count));
}

/** Writeback of a mount's files. */
export function mapWritebackOps<I extends MappedFile>(io: MapIo<I>): WritebackOps<I> {
  const { map } = io;
  const { blockSize } = map.shape;
  const scratch: MapRun = { block: 0, count: 0 };
  return {
    peekBlocks(inode, offset, _length, out) {
      const fileBlock = Math.floor(offset / blockSize);
      if (!map.peek(inode, fileBlock, scratch)) return false;
      fill(io, inode, fileBlock, scratch, out);
      return true;
    },
    *mapBlocks(inode, offset, length, out, flags = 0) {
      const fileBlock = Math.floor(offset / blockSize);
      const run: MapRun = { block: 0, count: 0 };
      yield* map.read(inode, fileBlock, run);
      fill(io, inode, fileBlock, run, out);
      markAtomic(out, offset, length, flags);
    },
  };
}
