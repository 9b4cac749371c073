import type { Io } from '@iomap/io';
import type { IomapInode, IomapOps } from './iomap.js';
export type FiemapFlag = 'last' | 'unknown' | 'delalloc' | 'unwritten' | 'inline' | 'shared' | 'merged' | 'unaligned';
/** A part of a file's map. Bytes. */
export interface FiemapExtent {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
  readonly flags: readonly FiemapFlag[];
}
export declare function fiemap<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void>;
export declare function bmap<I extends IomapInode>(inode: I, ops: IomapOps<I>, fileBlock: number): Io<number>;
