/**
 * Where a directory's blocks live. Directory code works on bytes (`DirBlock`) and asks this interface only; two homes are behind it:
 *
 * - the buffer cache (dir-buffers.ts): a block of a directory is a metadata buffer, found by its place on the device;
 * - the page cache (dir-pages.ts): a directory is a file, read, extended and written back through iomap.
 *
 * `peek` is the hit, a plain call; `read` waits; `append` adds a block behind the last; whoever changes bytes says `markDirty` in the
 * same turn. A block that must outlive a wait is held.
 *
 * Locks: the directory's inode lock, shared to look, exclusive to change.
 */
import type { BlockDevice } from '@iomap/block-device';
import type { Buf, BufferCache } from '@iomap/buffer-cache';
import type { Io } from '@iomap/io';
import type { DirBlock } from './dir-block.js';
import type { DirtyFile, DirtyFiles } from './dirty-files.js';
import { bufferDirHome } from './dir-buffers.js';
import { pageDirHome } from './dir-pages.js';
import type { BlockMap } from './map.js';

/** The mount option. */
export type DirHomeKind = 'buffer-cache' | 'page-cache';

/** In words. */
export const DIR_HOME_NAMES = { 'buffer-cache': 'buffer cache', 'page-cache': 'page cache, by iomap' } as const;

export interface DirHome<I> {
  readonly kind: DirHomeKind;
  /** @throws FsError EUCLEAN when the size cannot be a directory's */
  count(dir: I): number;
  peek(dir: I, index: number): DirBlock | undefined;
  /** The block of a directory that has one, read within the call where that can be; the caller holds no other block. */
  only(dir: I): DirBlock | undefined;
  /** Reads ahead where blocks are asked for in order. @throws FsError EUCLEAN, EIO */
  read(dir: I, index: number): Io<DirBlock>;
  /** The block's bytes were changed. @throws FsError EUCLEAN on a corrupt image: a hole, or a block that is in use twice */
  markDirty(block: DirBlock, dir: I): void;
  /** A block behind the last, which holds `host.fresh`; the size covers it. @throws FsError ENOSPC, EFBIG */
  append(dir: I): Io<DirBlock>;
  /** Takes back the blocks from `count` on; the size becomes `count` blocks. */
  shrink(dir: I, count: number): Io<void>;
  /** Sends what `BufferCache.syncOwner(dir)` does not, and waits for it. @throws FsError the first failure */
  flush(dir: I): Io<void>;
  /** The same for all directories. */
  flushAll(): Io<void>;
}

/** A directory's inode. */
export type MappedDir = DirtyFile;

export interface DirHost<I extends MappedDir> extends DirtyFiles<I> {
  readonly map: BlockMap<I>;
  readonly buffers: BufferCache;
  readonly device: BlockDevice;
  /** Bytes of a directory block: the map's block size, or a part of it where space is given out in larger zones. */
  readonly dirBytes: number;
  /** Directory blocks that the size says. @throws FsError EUCLEAN */
  blockCount(dir: I): number;
  /** Most blocks of a directory. */
  readonly blocksMax: number;
  /** What a block that is not mapped is: 'corrupt' throws EUCLEAN, 'empty' reads as zeroes (see `isHole`). */
  readonly hole: 'corrupt' | 'empty';
  /** What a new block holds, `dirBytes` long. */
  readonly fresh: Uint8Array;
  /** Marks a buffer dirty for the directory's fsync. @throws FsError EUCLEAN when it was let go: a block that is used twice */
  markDirty(buf: Buf, dir: I): void;
}

export function dirHome<I extends MappedDir>(kind: DirHomeKind, host: DirHost<I>): DirHome<I> {
  return kind === 'page-cache' ? pageDirHome(host) : bufferDirHome(host);
}
