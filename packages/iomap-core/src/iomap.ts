/**
 * The mapping, and what a filesystem supplies. Names and meaning follow Linux `include/linux/iomap.h`; all positions and
 * lengths are bytes.
 */
import type { BlockDevice } from '@iomap/block-device';
import type { Io } from '@iomap/io';
import type { AddressSpace } from '@iomap/page-cache';

export type IomapType = 'hole' | 'delalloc' | 'mapped' | 'unwritten' | 'inline';

/** `begin`'s flags: what the mapping is for (bits of `flags`). */
export const IOMAP_WRITE = 1;
export const IOMAP_ZERO = 2;
export const IOMAP_REPORT = 4;
export const IOMAP_FAULT = 8;
export const IOMAP_DIRECT = 16;
export const IOMAP_NOWAIT = 32;
export const IOMAP_OVERWRITE_ONLY = 64;
export const IOMAP_UNSHARE = 128;
export const IOMAP_ATOMIC = 256;

/** Bits of `Iomap.flags`. */
export const IOMAP_F_NEW = 1;
export const IOMAP_F_DIRTY = 2;
export const IOMAP_F_SHARED = 4;
export const IOMAP_F_MERGED = 8;
export const IOMAP_F_SIZE_CHANGED = 16;
export const IOMAP_F_STALE = 32;

/** One mapping: the bytes [offset, offset + length) of a file and where they are. An out-parameter, reused by the iterator. */
export interface Iomap {
  type: IomapType;
  offset: number;
  length: number;
  /** Byte position on `device`; -1 where there is none (hole, delalloc, inline). */
  addr: number;
  flags: number;
  device: BlockDevice | undefined;
  inlineData: Uint8Array | undefined;
  /** What the filesystem compares in `FolioOps.valid`. */
  validityCookie: number;
  private: unknown;
}

/** What the core needs of an inode. `size` is i_size in bytes; the core sets it when a write grows the file. */
export interface IomapInode {
  readonly ino: number;
  size: number;
  readonly blockSize: number;
  readonly mapping: AddressSpace;
  /** `mapping` if there is one yet, where it is made when it is first needed. */
  readonly mappingIfAny: AddressSpace | undefined;
  /** The core's: the whole file was read once without a folio, so the next read is worth caching (read-whole.ts). */
  wasRead: boolean;
}

export interface IomapOps<I extends IomapInode> {
  /** Plain fast path: fills `out` without I/O and returns true, or leaves it and returns false. Same contract as `begin`. */
  peek?(inode: I, pos: number, length: number, flags: number, out: Iomap, src: Iomap): boolean;
  /** Fills `out` with a mapping that covers `pos` (and, for writes, allocates). May be longer or shorter than asked. */
  begin(inode: I, pos: number, length: number, flags: number, out: Iomap, src: Iomap): Io<void>;
  /**
   * Called for every `begin` when present, and for a true `peek` of a write or zeroing (`peek` for a read takes nothing that
   * would have to be given back): `written` bytes of `length` were done.
   */
  end?(inode: I, pos: number, length: number, written: number, flags: number, iomap: Iomap): Io<void>;
  /** Absent: a mapping is valid while its `validityCookie` is that of `inode.mapping` (both 0 where nobody uses them). */
  readonly folioOps?: FolioOps<I>;
}

export interface FolioOps<I extends IomapInode> {
  /** Under the folio lock: is the sampled mapping still true? */
  valid?(inode: I, iomap: Iomap): boolean;
}

export interface WritebackOps<I extends IomapInode> {
  /**
   * Fills `out` with a mapping that covers `offset`, for `length` dirty bytes (it may be longer or shorter; nothing is allocated past
   * them). A hole is a bug for a dirty block. Where it turns delalloc (or `endIoend` unwritten) into mapped, it bumps
   * `mapping.validityCookie`: a writer may have sampled the old state and not have its folio yet.
   */
  mapBlocks(inode: I, offset: number, length: number, out: Iomap): Io<void>;
  peekBlocks?(inode: I, offset: number, length: number, out: Iomap): boolean;
  /** Under the folio lock: is the mapping still true? Absent: by `validityCookie`, as for `IomapOps.folioOps`. */
  valid?(inode: I, iomap: Iomap): boolean;
  /** A write ended well; a plain function. `end` is its exact end, at most the size: what may count as on disk (append). */
  endIoend?(inode: I, ioend: { readonly pos: number; readonly end: number; readonly type: IomapType }): void;
  /** A failed mapping or write: drops what the filesystem reserved for exactly these bytes. */
  discardRange?(inode: I, pos: number, length: number): void;
}

/** An empty mapping, to be filled by `begin`. */
export function newIomap(): Iomap {
  return {
    type: 'hole',
    offset: 0,
    length: 0,
    addr: -1,
    flags: 0,
    device: undefined,
    inlineData: undefined,
    validityCookie: 0,
    private: undefined,
  };
}
