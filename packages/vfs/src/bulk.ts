/**
 * Building a whole image at once: the contract between a driver that can, and whoever has a tree to put into one.
 *
 * Everything is known before the first block is written (names, sizes, owners, times), so a driver lays the image out and
 * writes it once, in the order of the disk, without a mount. Types alone; a driver exports `bulkBuild`.
 *
 * - `BulkNode`: one inode of the tree. An object is one inode: entries that name the same object are hard links.
 * - `BulkData`: file content, read straight into the driver's buffer.
 * - `BulkJob`: all that is asked for; `BulkOptions`: how.
 */
import type { Env, FsError, Timespec } from '@iomap/io';
import type { FileType, Name } from './filesystem.js';

/** A name in a directory. */
export interface BulkEntry<N> {
  readonly name: Name;
  readonly inode: N;
}

/** One inode. Directories have no cycle and one name each; entries are sorted by the bytes of their names. */
export interface BulkNode<N> {
  readonly type: FileType;
  /** Type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** As `makedev(3)`; 0 for what is no device. */
  readonly rdev: number;
  /** Bytes. */
  readonly size: number;
  /** Bytes that are allocated in the source; below `size` the file may have holes: its blocks of zeros become such. */
  readonly dataBytes: number;
  readonly mtime: Timespec;
  readonly atime: Timespec;
  readonly ctime: Timespec;
  /** A directory's entries; empty for others. */
  readonly entries: readonly BulkEntry<N>[];
  /** A symlink's target. */
  readonly target: Uint8Array | undefined;
  readonly xattrs: ReadonlyMap<Name, Uint8Array> | undefined;
}

/** Where file content comes from. Plain calls: reading waits for nothing but the host. */
export interface BulkData<N> {
  /**
   * Fills `bytes` with content from `pos`. One file after another, `pos` ascending, never beyond `size`.
   * @returns bytes that were read; fewer than `bytes.length`: the file has no more to give (whoever reads has said so), the
   * rest of it becomes a hole
   */
  read(node: N, pos: number, bytes: Uint8Array): number;
  /**
   * Where the next data at or after `pos` starts, for a file with holes; `size` = nowhere. Without it every byte of such
   * a file is read.
   */
  nextData?(node: N, pos: number): number;
}

export interface BulkOptions {
  /** No time in the image is later than this. */
  readonly latest?: Timespec | undefined;
  /** So many more bytes of content are in. */
  readonly progress?: ((bytes: number) => void) | undefined;
  /** An attribute that the format cannot hold is left out; without this it is an error. */
  readonly attributeFailed?: ((path: Name, name: Name, error: FsError) => void) | undefined;
}

/** What is asked for; `Format` is what the driver's `mkfs` takes. */
export interface BulkJob<N extends BulkNode<N>, Format> {
  readonly root: N;
  readonly data: BulkData<N>;
  readonly format?: Format;
  readonly env?: Env;
  readonly options?: BulkOptions;
}
