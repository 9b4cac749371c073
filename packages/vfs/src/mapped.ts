/**
 * Mapped files and swap areas: what goes past read and write.
 *
 * Locks: a mapping is made under the inode's lock (shared) and refers to the inode until it is closed; its loads and stores take
 * none of the vfs's locks.
 */
import { FsError, type Io } from '@iomap/io';
import type { Caller } from './core.js';
import type { Inode, IoHow, MappedData, SwapMap } from './filesystem.js';
import { checkReadable, holding, readAt, writeAt } from './file.js';
import { isRegular } from './modes.js';

/** A file mapped into memory, until `munmap`. */
export interface Mapping {
  readonly inode: Inode;
  readonly data: MappedData;
  /** Stores mark times as writes do, once per mapping and msync (as a kernel does at write faults). */
  stamped: boolean;
  closed: boolean;
}

/** Reads with options; see preadv2(2). @throws FsError EOPNOTSUPP, EAGAIN, EINVAL (alignment), and as `read` */
export function* pread2(caller: Caller, fd: number, bytes: Uint8Array, pos: number, how: IoHow): Io<number> {
  return yield* readAt(caller.core, caller.core.files.get(fd), bytes, pos, how);
}

/** Writes with options; see pwritev2(2). @throws FsError EOPNOTSUPP, EAGAIN, EINVAL (alignment, atomic), and as `write` */
export function* pwrite2(caller: Caller, fd: number, bytes: Uint8Array, pos: number, how: IoHow): Io<number> {
  return yield* writeAt(caller, caller.core.files.get(fd), bytes, pos, false, how);
}

/** Maps an open file, to be given back with `munmap`. @throws FsError EACCES, ENODEV (the filesystem cannot) */
export function* mmap(caller: Caller, fd: number, writable = true): Io<Mapping> {
  const { core } = caller;
  const file = core.files.get(fd);
  checkReadable(file);
  const { inode } = file;
  if (!isRegular(inode.mode) || core.fs.map === undefined) throw new FsError('ENODEV');
  if (writable && !file.writable) throw new FsError('EACCES');
  if (!inode.lock.tryRead()) yield* inode.lock.read();
  try {
    const data = core.fs.map(inode, writable);
    inode.refs++;
    return { inode, data, stamped: false, closed: false };
  } finally {
    inode.lock.unlockRead();
  }
}

/** Loads from a mapping. @throws FsError EFAULT (past the end), EIO, EBADF */
export function* mread({ core }: Caller, mapping: Mapping, pos: number, bytes: Uint8Array): Io<number> {
  check(mapping);
  return yield* holding(core, mapping.inode, mapping.data.read(pos, bytes));
}

/** Stores into a mapping: whole, or as far as the exception says nothing of. @throws FsError EFAULT, EACCES, ENOSPC, EIO, EBADF */
export function* mwrite({ core }: Caller, mapping: Mapping, pos: number, bytes: Uint8Array): Io<number> {
  check(mapping);
  const { inode, data } = mapping;
  if (!mapping.stamped) {
    core.checkWritable();
    const now = core.now();
    core.fs.touch(inode, { mtime: now, ctime: now });
    mapping.stamped = true;
  }
  return yield* holding(core, inode, data.write(pos, bytes));
}

/** Makes the stores to a range durable (MS_SYNC), with what is needed to find them. @throws FsError the failure of writing back */
export function* msync({ core }: Caller, mapping: Mapping, pos = 0, len = Infinity): Io<void> {
  check(mapping);
  const { inode, data } = mapping;
  mapping.stamped = false;
  yield* holding(core, inode, (function* sync(): Io<void> {
    yield* data.msync(pos, len);
    if (!inode.lock.tryWrite()) yield* inode.lock.write();
    try {
      yield* core.fs.fsync(inode, true);
    } finally {
      inode.lock.unlockWrite();
    }
  })());
}

/** Gives a mapping back; what was stored stays in the cache. A second call does nothing. */
export function* munmap({ core }: Caller, mapping: Mapping): Io<void> {
  if (mapping.closed) return;
  mapping.closed = true;
  mapping.data.close();
  core.inodes.put(mapping.inode);
  yield* core.inodes.reap();
}

/** Where an open file's pages lie on the device (swapon(2)). @throws FsError EINVAL with why it is no swap area */
export function* swapMap({ core }: Caller, fd: number): Io<SwapMap> {
  const { inode } = core.files.get(fd);
  const { fs } = core;
  if (!isRegular(inode.mode) || fs.swapMap === undefined) throw new FsError('EINVAL', { why: 'no swap areas here' });
  if (!inode.lock.tryRead()) yield* inode.lock.read();
  try {
    return yield* holding(core, inode, fs.swapMap(inode));
  } finally {
    inode.lock.unlockRead();
  }
}

function check(mapping: Mapping): void {
  if (mapping.closed) throw new FsError('EBADF', { why: 'the mapping is closed' });
}
