/** Attributes as a value: what stat(2) answers. */
import type { Timespec } from '@iomap/io';
import type { Inode } from './filesystem.js';

/** A copy of an inode's attributes. An `Inode` has the same fields, so code that only reads takes either. */
export interface Attr {
  readonly ino: number;
  readonly generation: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly size: number;
  readonly blocks: number;
  readonly rdev: number;
  readonly atime: Timespec;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  readonly btime?: Timespec | undefined;
  readonly flags: number;
}

export const attrOf = (inode: Inode): Attr => ({
  ino: inode.ino,
  generation: inode.generation,
  mode: inode.mode,
  uid: inode.uid,
  gid: inode.gid,
  nlink: inode.nlink,
  size: inode.size,
  blocks: inode.blocks,
  rdev: inode.rdev,
  atime: inode.atime,
  mtime: inode.mtime,
  ctime: inode.ctime,
  btime: inode.btime,
  flags: inode.flags,
});
