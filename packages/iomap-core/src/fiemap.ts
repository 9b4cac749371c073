/**
 * Reports of a file's map: `fiemap` (merged extents) and `bmap` (one block).
 *
 * Locks: inode, shared. What is dirty and has no block yet is reported as the filesystem's mapping says (delalloc).
 */
import { roundUp, type Io } from '@iomap/io';
import { writeOut } from './invalidate.js';
import { IOMAP_F_MERGED, IOMAP_F_SHARED, IOMAP_REPORT, type Iomap, type IomapInode, type IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';

export type FiemapFlag = 'last' | 'unknown' | 'delalloc' | 'unwritten' | 'inline' | 'shared' | 'merged' | 'unaligned' | 'xattr';

/** A part of a file's map. Bytes. */
export interface FiemapExtent {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
  readonly flags: readonly FiemapFlag[];
}

export interface FiemapOptions<I extends IomapInode> {
  readonly sync?: boolean;
  readonly xattr?: IomapOps<I>;
}

interface Extent {
  logical: number;
  physical: number;
  length: number;
  readonly type: string;
  readonly shared: boolean;
  merged: boolean;
}

/**
 * Emits the extents that overlap [pos, pos + len), in order, whole (not clipped to the range), neighbours on the device merged.
 * The file's last extent has the flag `last`. `emit` answers false to stop.
 * @param options `sync`: what is dirty is written first, so nothing is delalloc. `xattr`: the extended attributes' own mappings
 * (an `IomapOps` that the filesystem has for them) instead of the data's: every extent has the flag `xattr`
 * Waits on: `begin`, past the range up to the next extent (to know `last`).
 */
export function* fiemap<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, pos: number, len: number, emit: (extent: FiemapExtent) => boolean,
  options: FiemapOptions<I> = {},
): Io<void> {
  inode.mapping.cache.trace?.({ type: 'fiemap', ino: inode.ino, pos, len });
  if (options.sync === true) yield* writeOut(inode, pos, pos + len);
  const { xattr } = options;
  if (xattr !== undefined) {
    yield* report(inode, xattr, { pos, end: pos + len, fileEnd: pos + len }, (extent) => emit({ ...extent, flags: [...extent.flags, 'xattr'] }));
    return;
  }
  const fileEnd = roundUp(inode.size, inode.blockSize);
  yield* report(inode, ops, { pos, end: Math.min(pos + len, fileEnd), fileEnd }, emit);
}

function* report<I extends IomapInode>(
  inode: I, ops: IomapOps<I>, range: { readonly pos: number; readonly end: number; readonly fileEnd: number },
  emit: (extent: FiemapExtent) => boolean,
): Io<void> {
  const { pos, end, fileEnd } = range;
  if (pos >= end) return;
  let pending: Extent | undefined;
  const iter = new IomapIter(inode, ops, pos, fileEnd - pos, IOMAP_REPORT);
  while (iter.pos < fileEnd) {
    if (!iter.peek()) yield* iter.begin();
    const { iomap } = iter;
    iter.done = iter.mapEnd - iter.pos;
    if (iomap.type !== 'hole') {
      const next = extentOf(iomap);
      if (pending === undefined) {
        if (next.logical >= end) return yield* iter.finish();
        pending = next;
      } else if (!merge(pending, next)) {
        const more = emit(described(pending, false));
        pending = next;
        if (!more || next.logical >= end) return yield* iter.finish();
      }
    }
    yield* iter.finish();
  }
  if (pending !== undefined) emit(described(pending, true));
}

function extentOf(iomap: Iomap): Extent {
  const { type, offset, length, addr, flags } = iomap;
  return {
    logical: offset,
    physical: Math.max(0, addr),
    length,
    type,
    shared: (flags & IOMAP_F_SHARED) !== 0,
    merged: (flags & IOMAP_F_MERGED) !== 0,
  };
}

function merge(to: Extent, next: Extent): boolean {
  const located = to.type === 'mapped' || to.type === 'unwritten';
  if (to.type !== next.type || to.shared !== next.shared || !located) return false;
  if (to.logical + to.length < next.logical || to.physical - to.logical !== next.physical - next.logical) return false;
  to.length = Math.max(to.length, next.logical + next.length - to.logical);
  to.merged ||= next.merged;
  return true;
}

function described(extent: Extent, last: boolean): FiemapExtent {
  const { logical, physical, length, type } = extent;
  const flags: FiemapFlag[] = [];
  if (type === 'delalloc') flags.push('delalloc', 'unknown');
  if (type === 'unwritten') flags.push('unwritten');
  if (type === 'inline') flags.push('inline', 'unaligned');
  if (extent.shared) flags.push('shared');
  if (extent.merged) flags.push('merged');
  if (last) flags.push('last');
  return { logical, physical, length, flags };
}

/** The device block (in the inode's block size) of a block of the file; 0 where there is none. */
export function* bmap<I extends IomapInode>(inode: I, ops: IomapOps<I>, fileBlock: number): Io<number> {
  const { blockSize } = inode;
  const pos = fileBlock * blockSize;
  inode.mapping.cache.trace?.({ type: 'bmap', ino: inode.ino, pos, len: blockSize });
  if (!(fileBlock >= 0) || pos >= inode.size) return 0;
  const iter = new IomapIter(inode, ops, pos, blockSize, IOMAP_REPORT);
  if (!iter.peek()) yield* iter.begin();
  const { iomap } = iter;
  const block = iomap.type === 'mapped' ? Math.floor((iomap.addr + pos - iomap.offset) / blockSize) : 0;
  iter.done = iter.mapEnd - iter.pos;
  yield* iter.finish();
  return block;
}
