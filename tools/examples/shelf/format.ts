/**
 * The format of the example: a "shelf" of files that are made once and then only read. Little-endian.
 *
 * - Block 0: the magic `SHELF001`, u32 block size, u32 number of inodes, u32 first block of the inode table.
 * - The table: 64 bytes an inode: u32 size, u8 kind (0 inline, 1 extents), u8 count of extents, 2 bytes of nothing, then 56 bytes: the
 *   content, or up to four extents of three u32 (block of the file, block of the device, count), in the order of the file. What no
 *   extent covers is a hole.
 * - Inode 0 is the root: its content is a list of names, each a u32 inode number, a u8 length and that many bytes.
 *
 * Everything here comes from an image and may be a lie: `decode…` checks it and throws EUCLEAN.
 */
import { corrupt, isPowerOfTwo } from '@iomap/io';

export const MAGIC = 'SHELF001';
export const SUPER_BYTES = 20;
export const INODE_BYTES = 64;
export const INLINE_MAX = 56;
export const EXTENTS_MAX = 4;

export interface Super {
  /** Bytes. */
  readonly blockSize: number;
  readonly inodeCount: number;
  /** A block of the device. */
  readonly tableBlock: number;
}

/** [start, start + count) of the file's blocks lie at `block` and after it. */
export interface Extent {
  readonly start: number;
  readonly block: number;
  readonly count: number;
}

export interface InodeFacts {
  /** Bytes. */
  readonly size: number;
  /** The content, where it lies in the inode. */
  readonly inline: Uint8Array | undefined;
  readonly extents: readonly Extent[];
}

export interface Name {
  readonly name: string;
  readonly ino: number;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @throws FsError EUCLEAN */
export function decodeSuper(bytes: Uint8Array, deviceBytes: number): Super {
  const view = viewOf(bytes);
  if (new TextDecoder().decode(bytes.subarray(0, 8)) !== MAGIC) throw corrupt('no shelf here', { field: 'magic' });
  const blockSize = view.getUint32(8, true);
  const inodeCount = view.getUint32(12, true);
  const tableBlock = view.getUint32(16, true);
  if (!isPowerOfTwo(blockSize) || blockSize < 512 || blockSize > 65_536) throw corrupt('a bad block size', { field: 'blockSize' });
  const tableEnd = tableBlock * blockSize + inodeCount * INODE_BYTES;
  if (inodeCount < 1 || tableBlock < 1 || tableEnd > deviceBytes) throw corrupt('the table is not on the device', { field: 'table' });
  return { blockSize, inodeCount, tableBlock };
}

/** @throws FsError EUCLEAN */
export function decodeInode(bytes: Uint8Array, blockSize: number, ino: number): InodeFacts {
  const view = viewOf(bytes);
  const size = view.getUint32(0, true);
  const kind = view.getUint8(4);
  const count = view.getUint8(5);
  if (kind === 0) {
    if (size > INLINE_MAX) throw corrupt('more inline data than there is room for', { ino, field: 'size' });
    return { size, inline: bytes.slice(8, 8 + size), extents: [] };
  }
  if (kind !== 1 || count > EXTENTS_MAX) throw corrupt('an unknown kind of content', { ino, field: 'kind' });
  const extents: Extent[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const at = 8 + i * 12;
    const extent = { start: view.getUint32(at, true), block: view.getUint32(at + 4, true), count: view.getUint32(at + 8, true) };
    if (extent.count === 0 || extent.start < end) throw corrupt('extents that overlap', { ino, field: 'extents' });
    end = extent.start + extent.count;
    if (end > Math.ceil(size / blockSize)) throw corrupt('an extent past the end of its file', { ino, field: 'extents' });
    extents.push(extent);
  }
  return { size, inline: undefined, extents };
}

/** @throws FsError EUCLEAN */
export function decodeNames(bytes: Uint8Array, inodeCount: number): Name[] {
  const view = viewOf(bytes);
  const names: Name[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = at + 5 <= bytes.length ? view.getUint8(at + 4) : 0;
    if (length === 0 || at + 5 + length > bytes.length) throw corrupt('a name that is cut off', { ino: 0 });
    const ino = view.getUint32(at, true);
    if (ino >= inodeCount) throw corrupt('a name of no inode', { ino: 0, field: 'ino' });
    names.push({ name: new TextDecoder().decode(bytes.subarray(at + 5, at + 5 + length)), ino });
    at += 5 + length;
  }
  return names;
}
