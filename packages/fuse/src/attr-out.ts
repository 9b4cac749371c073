/** Attributes on the wire: `fuse_attr`, `fuse_entry_out`, `fuse_attr_out`, `fuse_statx_out`. Plain and without allocation. */
import type { Inode } from '@iomap/vfs';
import { FuseAttr, FuseAttrOut, FuseEntryOut, FuseStatx, FuseStatxOut } from './abi.js';
import { FUSE_ROOT_ID } from './protocol.js';
import { encodeDevice, putCount, putSeconds } from './wire.js';

/** What a mount says in place of what the image says, and for how long the kernel may believe it. */
export interface AttrStyle {
  readonly rootIno: number;
  /** Owner and group shown for all files; undefined = each its own. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly blockSize: number;
  readonly entryValidSec: number;
  readonly attrValidSec: number;
}

const A = FuseAttr.offsets;
const E = FuseEntryOut.offsets;
const X = FuseStatx.offsets;

/** The kernel's number of an inode. */
export const nodeOf = (style: AttrStyle, ino: number): number => (ino === style.rootIno ? FUSE_ROOT_ID : ino);

export function putAttr(view: DataView, at: number, inode: Inode, style: AttrStyle): void {
  const { atime, mtime, ctime } = inode;
  putCount(view, at + A.ino, inode.ino);
  putCount(view, at + A.size, inode.size);
  putCount(view, at + A.blocks, inode.blocks);
  putSeconds(view, at + A.atime, atime.sec);
  putSeconds(view, at + A.mtime, mtime.sec);
  putSeconds(view, at + A.ctime, ctime.sec);
  view.setUint32(at + A.atimensec, atime.nsec, true);
  view.setUint32(at + A.mtimensec, mtime.nsec, true);
  view.setUint32(at + A.ctimensec, ctime.nsec, true);
  view.setUint32(at + A.mode, inode.mode, true);
  view.setUint32(at + A.nlink, inode.nlink, true);
  view.setUint32(at + A.uid, style.uid ?? inode.uid, true);
  view.setUint32(at + A.gid, style.gid ?? inode.gid, true);
  view.setUint32(at + A.rdev, encodeDevice(inode.rdev), true);
  view.setUint32(at + A.blksize, style.blockSize, true);
  view.setUint32(at + A.flags, 0, true);
}

/** @returns its length */
export function putEntry(view: DataView, at: number, inode: Inode, style: AttrStyle): number {
  putCount(view, at + E.nodeid, nodeOf(style, inode.ino));
  putCount(view, at + E.generation, inode.generation);
  putValidity(view, at, style);
  putAttr(view, at + E.attr, inode, style);
  return FuseEntryOut.size;
}

/** "There is no such name": an entry without an inode, which the kernel remembers too. @returns its length */
export function putNegative(bytes: Uint8Array, view: DataView, at: number, style: AttrStyle): number {
  bytes.fill(0, at, at + FuseEntryOut.size);
  putValidity(view, at, style);
  return FuseEntryOut.size;
}

function putValidity(view: DataView, at: number, style: AttrStyle): void {
  putCount(view, at + E.entry_valid, style.entryValidSec);
  putCount(view, at + E.attr_valid, style.attrValidSec);
  putCount(view, at + E.entry_valid_nsec, 0); // and attr_valid_nsec beside it
}

/** @returns its length */
export function putAttrOut(view: DataView, at: number, inode: Inode, style: AttrStyle): number {
  putCount(view, at + FuseAttrOut.offsets.attr_valid, style.attrValidSec);
  putCount(view, at + FuseAttrOut.offsets.attr_valid_nsec, 0); // and the padding beside it
  putAttr(view, at + FuseAttrOut.offsets.attr, inode, style);
  return FuseAttrOut.size;
}

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;

function putTime(view: DataView, at: number, time: { readonly sec: number; readonly nsec: number }): void {
  putSeconds(view, at, time.sec);
  view.setUint32(at + 8, time.nsec, true);
}

/** STATX, which has the creation time where the format has one. The answer's bytes are zero before. @returns its length */
export function putStatx(view: DataView, at: number, inode: Inode, style: AttrStyle): number {
  putCount(view, at + FuseStatxOut.offsets.attr_valid, style.attrValidSec);
  const x = at + FuseStatxOut.offsets.stat;
  view.setUint32(x + X.mask, STATX_BASIC_STATS | (inode.btime === undefined ? 0 : STATX_BTIME), true);
  view.setUint32(x + X.blksize, style.blockSize, true);
  view.setUint32(x + X.nlink, inode.nlink, true);
  view.setUint32(x + X.uid, style.uid ?? inode.uid, true);
  view.setUint32(x + X.gid, style.gid ?? inode.gid, true);
  view.setUint16(x + X.mode, inode.mode, true);
  putCount(view, x + X.ino, inode.ino);
  putCount(view, x + X.size, inode.size);
  putCount(view, x + X.blocks, inode.blocks);
  putTime(view, x + X.atime, inode.atime);
  putTime(view, x + X.mtime, inode.mtime);
  putTime(view, x + X.ctime, inode.ctime);
  if (inode.btime !== undefined) putTime(view, x + X.btime, inode.btime);
  const rdev = encodeDevice(inode.rdev);
  view.setUint32(x + X.rdev_major, Math.floor(rdev / 256) % 4096, true);
  view.setUint32(x + X.rdev_minor, (rdev % 256) + Math.floor(rdev / 2 ** 20) * 256, true);
  return FuseStatxOut.size;
}
