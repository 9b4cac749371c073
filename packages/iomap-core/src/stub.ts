import type { Io } from '@iomap/io';
import type { IomapInode, IomapOps, WritebackOps } from './iomap.js';
export declare function bufferedRead<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, bytes: Uint8Array): Io<number>;
export declare function peekBufferedRead(inode: IomapInode, pos: number, bytes: Uint8Array): number;
export declare function bufferedWrite<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, bytes: Uint8Array): Io<number>;
export declare function peekBufferedWrite<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, bytes: Uint8Array): number;
export declare function zeroRange<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number, len: number): Io<boolean>;
export declare function truncatePage<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number): Io<boolean>;
export declare function truncatePageCache(inode: IomapInode, newSize: number): Io<void>;
export declare function punchPageCache(inode: IomapInode, pos: number, len: number): Io<void>;
/** Drops clean folios; false: something dirty or in use stays. */
export declare function invalidateRange(inode: IomapInode, pos: number, len: number): Io<boolean>;
export declare function writeback<I extends IomapInode>(inode: I, ops: WritebackOps<I>, range: { readonly pos: number; readonly len: number }): Io<void>;
export declare function seekData<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number): Io<number>;
export declare function seekHole<I extends IomapInode>(inode: I, ops: IomapOps<I>, pos: number): Io<number>;
