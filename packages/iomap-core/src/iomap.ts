/**
 * The mapping, and what a filesystem supplies. Names and meaning follow Linux `include/linux/iomap.h`; all positions and
 * lengths are bytes.
 */
import type { BlockDevice } from '@iomap/block-device';
import type { BioRequest, FsError, Io } from '@iomap/io';
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
/**
 * The device takes this range as one atomic bio (`IOMAP_ATOMIC`); without it the filesystem makes the write atomic itself. The size
 * and the mapping that make the range the file's must be durable, or a crash that loses them leaves a part of the write.
 */
export const IOMAP_F_ATOMIC_BIO = 64;
/** Direct I/O cannot go to this range: the core goes through the cache instead (a sub-block write over a shared block). */
export const IOMAP_F_BUFFERED = 128;

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
  /** `end` has work only where less was done than a mapping with IOMAP_F_NEW has: the core calls it only then. */
  readonly endIfShort?: boolean;
  /** In place of `end` where the task was cancelled in the step: gives back what `begin` took. A plain function: nobody can wait. */
  cancel?(inode: I, pos: number, length: number, written: number, flags: number, iomap: Iomap): void;
  /** `begin` obeys `IOMAP_NOWAIT`: it throws EAGAIN, with nothing changed, rather than wait. Absent: only `peek` serves no-wait calls. */
  readonly nowait?: boolean;
  /**
   * What a write maps anew is delalloc or unwritten until its data is there, never `mapped`: who reads the map meanwhile (a fault,
   * which has no inode lock) finds zeroes. Absent: writes to a file that is mapped into memory keep faults out.
   */
  readonly newIsUnwritten?: boolean;
  /**
   * The longest atomic write of this inode, in bytes (a power of two); absent or 0 = none, and `begin` never sees `IOMAP_ATOMIC`.
   * With that flag `begin` throws (EINVAL) where the write could not reach the device whole; a buffered write may be mapped in parts.
   */
  atomicWriteMax?(inode: I): number;
  /** Absent: a mapping is valid while its `validityCookie` is that of `inode.mapping` (both 0 where nobody uses them). */
  readonly folioOps?: FolioOps<I>;
}

/** What a filesystem does around the folios of a write, a zeroing, an unsharing or a write fault. */
export interface FolioOps<I extends IomapInode> {
  /** Before the folio of [pos, pos + len) is locked: a transaction may start here. May wait; a failure ends the step. */
  getFolio?(inode: I, pos: number, len: number): Io<void>;
  /** After it was unlocked, for every `getFolio` that succeeded: `copied` bytes from `pos` were changed. Plain; also after a cancel. */
  putFolio?(inode: I, pos: number, copied: number): void;
  /** Under the folio lock: is the sampled mapping still true? */
  valid?(inode: I, iomap: Iomap): boolean;
}

/** A write of file data to the device, of one run in the file and on the device, as the filesystem sees it. */
export interface IoendInfo {
  readonly pos: number;
  /** Exact end in the file, at most the size: what may count as on disk (append). */
  readonly end: number;
  readonly type: IomapType;
  /** Of the mapping: NEW, SHARED, … */
  readonly flags: number;
  /** Byte position on the device. */
  readonly addr: number;
  /** A whole atomic write (or several that nest): see `IOMAP_ATOMIC` at `mapBlocks`. */
  readonly atomic: boolean;
  /** Of the mapping. */
  readonly private: unknown;
}

export interface WritebackOps<I extends IomapInode> {
  /**
   * Fills `out` with a mapping that covers `offset`, for `length` dirty bytes (it may be longer or shorter; nothing is allocated past
   * them). A hole is a bug for a dirty block. Where it turns delalloc (or `endIoend` unwritten) into mapped, it bumps
   * `mapping.validityCookie`: a writer may have sampled the old state and not have its folio yet.
   *
   * `flags` has `IOMAP_ATOMIC` where the bytes are an atomic write: answer with `IOMAP_F_ATOMIC_BIO` for all of them in one run
   * that the device can write so, or with new blocks that count as the file's only from `endIoend` on (copy on write; runs of any
   * length, `endIoend` comes once, for all of the write). Throw EOPNOTSUPP where neither can be done.
   */
  mapBlocks(inode: I, offset: number, length: number, out: Iomap, flags?: number): Io<void>;
  peekBlocks?(inode: I, offset: number, length: number, out: Iomap): boolean;
  /** Under the folio lock: is the mapping still true? Absent: by `validityCookie`, as for `IomapOps.folioOps`. */
  valid?(inode: I, iomap: Iomap): boolean;
  /** Before an ioend's bio is sent; may wait (reserve, convert). A failure is the ioend's: its blocks are discarded. */
  submitIoend?(inode: I, ioend: IoendInfo): Io<void>;
  /** A write ended well; a plain function, called at once when the bio ends. */
  endIoend?(inode: I, ioend: IoendInfo): void;
  /**
   * As `endIoend`, where completion has to wait (a transaction): ioends of one batch, sorted by position, neighbours of one type
   * and flags merged up to a bound. Runs in a task of its own; the folios count as under writeback until it ends. A failure is
   * that of the data: kept for fsync, its blocks discarded.
   */
  finishIoend?(inode: I, ioend: IoendInfo): Io<void>;
  /**
   * A failed mapping or write (the kernel's discard_folio): drops what the filesystem reserved for exactly these bytes. What was dirtied
   * again meanwhile is not among them.
   */
  discardRange?(inode: I, pos: number, length: number): void;
}

/** How a direct call ended, for `DioOps.endIo`. */
export interface DioEnd {
  readonly pos: number;
  /** Bytes from `pos` that were transferred well. */
  readonly done: number;
  readonly write: boolean;
  /** Some of it went to unwritten blocks. */
  readonly unwritten: boolean;
  /** Some of it went to blocks other than those that it replaces (IOMAP_F_SHARED). */
  readonly shared: boolean;
  /** An atomic write: `done` is all of it or 0. */
  readonly atomic: boolean;
  /** What `begin` mapped anew (NEW): beyond `done` it holds what the device held before. */
  readonly fresh: readonly { readonly pos: number; readonly end: number }[];
  /** What failed, if anything did. */
  readonly error: FsError | undefined;
}

/** What a filesystem adds to direct I/O. All optional. */
export interface DioOps<I extends IomapInode> {
  /** Each bio before it is sent: answer it, or another in its place (another device, a copy with checksums). Plain. */
  submitIo?(inode: I, request: BioRequest, pos: number): BioRequest;
  /**
   * After all bios of the call ended, before the size grows and the cache is invalidated: unwritten blocks become written, new blocks
   * of a copy on write become the file's. Called for failures too: new blocks past `done` hold what the device held before, and
   * are to be taken back. Its own failure is the call's where that has none.
   */
  endIo?(inode: I, end: DioEnd): Io<void>;
  /** Makes what the call changed of the file's metadata durable, and flushes the device (O_DSYNC). Absent: a flush of the device. */
  sync?(inode: I, pos: number, len: number): Io<void>;
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
