/**
 * What a filesystem supplies in the old way: `get_block`, which says where a block of a file is.
 *
 * - `mapBlock` asks it (and counts), `peekBlock` is its plain twin; both check the answer.
 * - How many blocks one call may cover is up to the caller's `bytes`: reads ask for the rest of their window, writes for one block.
 */
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, type Io } from '@iomap/io';
import type { AddressSpace } from '@iomap/page-cache';

/** What the old way needs of an inode. `size` is i_size in bytes; a write that grows the file sets it. */
export interface BufferInode {
  readonly ino: number;
  size: number;
  /** At most `PAGE_BYTES`. */
  readonly blockSize: number;
  /** Its blocks are pages (`newPages`). */
  readonly mapping: AddressSpace;
  readonly mappingIfAny: AddressSpace | undefined;
}

/** The answer of `get_block` (the kernel's `bh_result`): an out-parameter, used again and again. */
export interface BlockResult {
  /** In: bytes wanted, whole blocks. Out: bytes of the run, at least a block and at most as many; of a hole too. */
  bytes: number;
  /** Byte position on the device; -1 = a hole. */
  addr: number;
  /** It was mapped by this call. */
  isNew: boolean;
  /** What follows the run is mapped by another metadata block. */
  boundary: boolean;
}

export const newResult = (): BlockResult => ({ bytes: 0, addr: -1, isNew: false, boundary: false });

export interface GetBlock<I extends BufferInode> {
  readonly device: BlockDevice;
  /**
   * Maps `block` (a number of blocks from the file's start). `create`: a hole gets a block (the caller holds the inode lock).
   * @throws FsError ENOSPC, EFBIG, EUCLEAN, EIO
   */
  get(inode: I, block: number, create: boolean, out: BlockResult): Io<void>;
  /** `get` without a wait; false = call `get`. */
  peek?(inode: I, block: number, create: boolean, out: BlockResult): boolean;
}

/** The address-space operations of a filesystem in the old way. */
export interface BufferOps<I extends BufferInode> {
  readonly getBlock: GetBlock<I>;
  /** Reads and writes pages by fs/mpage.c where it can: whole bios, a `get_block` call per run. False: a bio per buffer head. */
  readonly mpage: boolean;
  /** A write failed: blocks past the size that it got go back. */
  writeFailed?(inode: I): Io<void>;
}

function check<I extends BufferInode>(inode: I, ops: GetBlock<I>, want: number, out: BlockResult): void {
  const { blockSize } = inode;
  const { bytes, addr } = out;
  const fits = bytes >= blockSize && bytes <= want && bytes % blockSize === 0;
  if (!fits || (addr !== -1 && (addr < 0 || addr + bytes > ops.device.sizeBytes))) {
    throw corrupt('a block outside of the device', { ino: inode.ino, pos: addr });
  }
}

/** Where `block` is, without a wait; false = ask `mapBlock`. `bytes`: how far the answer may reach. */
export function peekBlock<I extends BufferInode>(
  inode: I, ops: GetBlock<I>, block: number, bytes: number, create: boolean, out: BlockResult,
): boolean {
  if (ops.peek === undefined) return false;
  out.bytes = bytes;
  out.isNew = false;
  out.boundary = false;
  if (!ops.peek(inode, block, create, out)) return false;
  inode.mapping.cache.counters.beginPeeks++;
  check(inode, ops, bytes, out);
  return true;
}

/** As `peekBlock`, and waits. @throws FsError of `get_block` */
export function* mapBlock<I extends BufferInode>(
  inode: I, ops: GetBlock<I>, block: number, bytes: number, create: boolean, out: BlockResult,
): Io<void> {
  if (peekBlock(inode, ops, block, bytes, create, out)) return;
  out.bytes = bytes;
  out.isNew = false;
  out.boundary = false;
  yield* ops.get(inode, block, create, out);
  inode.mapping.cache.counters.begins++;
  check(inode, ops, bytes, out);
}
