/**
 * Open files and their data: open by inode, read, write, positions, directories' entries, fsync, seek, map.
 *
 * Locks: the inode, shared for reads, exclusive for writes. Each hot call has a `peek…` twin: plain, -1 = take the Io one.
 * What waits holds a reference of its own: a `close` meanwhile does not take the inode away from under it.
 */
import { FsError, type Io } from '@iomap/io';
import { checkTruncate } from './attr.js';
import type { Caller, VfsCore } from './core.js';
import { stateOf } from './dentry-cache.js';
import type { DirEmit, FiemapExtent, Inode, IoHow } from './filesystem.js';
import {
  FS_APPEND_FL,
  FS_IMMUTABLE_FL,
  isDirectory,
  isRegular,
  isSymlink,
  O_ACCMODE,
  O_APPEND,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_DSYNC,
  O_EXCL,
  O_NOATIME,
  O_NOCTTY,
  O_PATH,
  O_RDONLY,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
  R_OK,
  W_OK,
} from './modes.js';
import type { OpenFile } from './open-file.js';
import { checkAccess, checkOwner, withoutPrivileges } from './permission.js';

/** O_SYNC's own bit, beside O_DSYNC's. */
const SYNC_ALL = O_SYNC & ~O_DSYNC;

/**
 * Opens an inode: checks type and permission, truncates for O_TRUNC. The file takes a reference of its own.
 * @throws FsError EISDIR, ENOTDIR, ELOOP (a symbolic link), ENXIO (fifo, socket, device), EACCES, EPERM, EROFS
 */
export function* openInode(caller: Caller, inode: Inode, flags: number, created = false): Io<OpenFile> {
  const { core, cred } = caller;
  const access = flags & O_ACCMODE;
  const pathOnly = (flags & O_PATH) !== 0;
  const readable = !pathOnly && access !== O_WRONLY;
  const writable = !pathOnly && access !== O_RDONLY;
  if ((flags & O_DIRECTORY) !== 0 && !isDirectory(inode.mode)) throw new FsError('ENOTDIR');
  if (!pathOnly) {
    if (isSymlink(inode.mode)) throw new FsError('ELOOP');
    if (isDirectory(inode.mode)) {
      if (writable || (flags & (O_CREAT | O_TRUNC)) !== 0) throw new FsError('EISDIR');
    } else if (!isRegular(inode.mode)) {
      // What stands behind a fifo, a socket or a device is not in the image.
      throw new FsError('ENXIO');
    }
    if ((flags & O_DIRECT) !== 0 && core.fs.readHow === undefined) throw new FsError('EINVAL', { why: 'no direct I/O here' });
    const truncates = (flags & O_TRUNC) !== 0 && !created;
    if (writable || truncates) core.checkWritable();
    if (!created) {
      const mask = (readable ? R_OK : 0) | (writable || truncates ? W_OK : 0);
      checkAccess(cred, inode, mask);
    }
    if ((inode.flags & FS_APPEND_FL) !== 0) {
      if ((writable && (flags & O_APPEND) === 0) || truncates) throw new FsError('EPERM');
    }
    if ((flags & O_NOATIME) !== 0) checkOwner(cred, inode);
    if (truncates) yield* truncateOpen(caller, inode, 0);
  }
  inode.refs++;
  const kept = flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY);
  return { inode, flags: kept, readable, writable, pos: 0, errorsSeen: stateOf(inode).writeErrors, closed: false };
}

/**
 * Lets an open file go, and with its last user an inode without links.
 * @throws FsError what freeing it says
 */
export function* releaseFile(core: VfsCore, file: OpenFile): Io<void> {
  closeFile(core, file);
  if (core.inodes.pressed) yield* core.inodes.reap();
}

/** The plain part of `releaseFile`; true when `reap` has work. */
export function closeFile(core: VfsCore, file: OpenFile): boolean {
  if (file.closed) throw new FsError('EBADF');
  file.closed = true;
  core.inodes.put(file.inode);
  return core.inodes.pressed;
}

/** @throws FsError EBADF, EISDIR, EINVAL */
export const checkReadable = (file: OpenFile): void => {
  if (!file.readable) throw new FsError('EBADF');
  if (!isRegular(file.inode.mode)) throw new FsError(isDirectory(file.inode.mode) ? 'EISDIR' : 'EINVAL');
};

/** Runs `io` with the inode referenced, so that nobody evicts (and frees) it before `io` has ended. */
export function* holding<T>(core: VfsCore, inode: Inode, io: Io<T>): Io<T> {
  inode.refs++;
  try {
    return yield* io;
  } finally {
    core.inodes.put(inode);
  }
}

const checkPos = (pos: number): void => {
  if (!Number.isSafeInteger(pos) || pos < 0) throw new FsError('EINVAL');
};

/** `readFile` from cached data alone; -1 = take `readAt`. */
export function peekReadAt(core: VfsCore, file: OpenFile, bytes: Uint8Array, pos: number): number {
  const { inode } = file;
  const { fs } = core;
  if (fs.peekRead === undefined || !file.readable || (file.flags & O_DIRECT) !== 0 || !(pos >= 0) || !isRegular(inode.mode)) return -1;
  if (!inode.lock.tryRead(true)) return -1;
  let got: number;
  try {
    got = fs.peekRead(inode, pos, bytes);
  } finally {
    inode.lock.unlockRead();
  }
  if (got >= 0 && (file.flags & O_NOATIME) === 0) core.accessed(inode);
  return got;
}

/**
 * Reads at a position; short at the end of the file only.
 * @throws FsError EBADF, EISDIR, EINVAL, EIO
 */
export function* readAt(core: VfsCore, file: OpenFile, bytes: Uint8Array, pos: number, how?: IoHow): Io<number> {
  checkReadable(file);
  checkPos(pos);
  if (how !== undefined || (file.flags & O_DIRECT) !== 0) {
    return yield* holding(core, file.inode, readHowLocked(core, file, bytes, pos, howOf(file, how)));
  }
  const hit = peekReadAt(core, file, bytes, pos);
  return hit >= 0 ? hit : yield* holding(core, file.inode, readLocked(core, file, bytes, pos));
}

function* readLocked(core: VfsCore, file: OpenFile, bytes: Uint8Array, pos: number): Io<number> {
  const { inode } = file;
  if (!inode.lock.tryRead()) yield* inode.lock.read();
  let got: number;
  try {
    got = yield* core.fs.read(inode, pos, bytes);
  } finally {
    inode.lock.unlockRead();
  }
  if ((file.flags & O_NOATIME) === 0) core.accessed(inode);
  return got;
}

/** What the call asks for, and what the file was opened for. */
function howOf(file: OpenFile, how: IoHow | undefined): IoHow {
  const direct = (file.flags & O_DIRECT) !== 0 || how?.direct === true;
  const dsync = (file.flags & O_DSYNC) !== 0 || how?.dsync === true;
  return { ...how, direct, dsync };
}

function* readHowLocked(core: VfsCore, file: OpenFile, bytes: Uint8Array, pos: number, how: IoHow): Io<number> {
  const { inode } = file;
  const { fs } = core;
  if (fs.readHow === undefined) throw new FsError('EOPNOTSUPP');
  if (!isRegular(inode.mode)) throw new FsError('EISDIR');
  if (!inode.lock.tryRead()) {
    if (how.nowait === true) throw new FsError('EAGAIN');
    yield* inode.lock.read();
  }
  let got: number;
  try {
    got = yield* fs.readHow(inode, pos, bytes, how);
  } finally {
    inode.lock.unlockRead();
  }
  if ((file.flags & O_NOATIME) === 0) core.accessed(inode);
  return got;
}

function checkWrite(caller: Caller, file: OpenFile): void {
  if (!file.writable) throw new FsError('EBADF');
  caller.core.checkWritable();
  if ((file.inode.flags & FS_IMMUTABLE_FL) !== 0) throw new FsError('EPERM');
}

/** How many of `length` bytes at `pos` fit below the format's largest size. @throws FsError EFBIG when none does */
function clip(core: VfsCore, pos: number, length: number): number {
  const room = core.fs.traits.fileSizeMax - pos;
  if (room <= 0 && length > 0) throw new FsError('EFBIG');
  return Math.min(length, room);
}

/** `writeAt` when no wait is needed; -1 = take `writeAt`. */
export function peekWriteAt(caller: Caller, file: OpenFile, bytes: Uint8Array, pos: number): number {
  const { core, cred } = caller;
  const { inode, flags } = file;
  if (core.fs.peekWrite === undefined || (flags & (O_DSYNC | O_APPEND | O_DIRECT)) !== 0 || !file.writable) return -1;
  if (!(pos >= 0) || pos + bytes.length > core.fs.traits.fileSizeMax || bytes.length === 0) return -1;
  if (inode.flags !== 0 || (cred.uid !== 0 && withoutPrivileges(cred, inode) !== inode.mode)) return -1;
  if (core.fs.readOnly || core.fs.shutdownError !== undefined || !inode.lock.tryWrite(true)) return -1;
  let put: number;
  try {
    put = core.fs.peekWrite(inode, pos, bytes);
    if (put > 0) stampWrite(core, inode);
  } finally {
    inode.lock.unlockWrite();
  }
  return put;
}

function stampWrite(core: VfsCore, inode: Inode): void {
  const now = core.now();
  const { mtime, ctime } = inode;
  if (mtime.sec === now.sec && mtime.nsec === now.nsec && ctime.sec === now.sec && ctime.nsec === now.nsec) return;
  core.fs.touch(inode, { mtime: now, ctime: now });
}

/** What a write changes of the inode besides data, before the data: privileges go, times move. Lock: exclusive. */
function* prepareWrite(caller: Caller, inode: Inode): Io<void> {
  const { core, cred } = caller;
  if (cred.uid !== 0) {
    const mode = withoutPrivileges(cred, inode);
    if (mode !== inode.mode) yield* core.fs.setattr(inode, { mode, ctime: core.now() });
  }
  stampWrite(core, inode);
}

/**
 * Writes at a position (O_APPEND: at the end, wherever that is). Answers how many bytes, and where they ended in
 * `file.pos` when `moves`.
 * @throws FsError EBADF, EPERM, EFBIG, ENOSPC, EROFS, EIO
 */
export function* writeAt(
  caller: Caller,
  file: OpenFile,
  bytes: Uint8Array,
  pos: number,
  moves = false,
  how?: IoHow,
): Io<number> {
  checkWrite(caller, file);
  checkPos(pos);
  if (!isRegular(file.inode.mode)) throw new FsError('EINVAL');
  const asked = how !== undefined || (file.flags & O_DIRECT) !== 0 ? howOf(file, how) : undefined;
  return yield* holding(caller.core, file.inode, writeLocked(caller, file, { bytes, pos, moves, how: asked }));
}

interface WriteCall {
  readonly bytes: Uint8Array;
  readonly pos: number;
  readonly moves: boolean;
  readonly how: IoHow | undefined;
}

function* writeLocked(caller: Caller, file: OpenFile, { bytes, pos, moves, how }: WriteCall): Io<number> {
  const { core } = caller;
  const { inode } = file;
  let put = 0;
  if (!inode.lock.tryWrite()) {
    if (how?.nowait === true) throw new FsError('EAGAIN');
    yield* inode.lock.write();
  }
  try {
    const at = (file.flags & O_APPEND) !== 0 ? inode.size : pos;
    const length = clip(core, at, bytes.length);
    if (length > 0) {
      yield* prepareWrite(caller, inode);
      put = yield* writeData(core, inode, at, length === bytes.length ? bytes : bytes.subarray(0, length), how);
    }
    if (moves) file.pos = at + put;
    // A direct write was made durable by the driver, but for O_SYNC's times.
    const syncs = how === undefined
      ? (file.flags & O_DSYNC) !== 0
      : how.dsync === true && (how.direct !== true || (file.flags & SYNC_ALL) !== 0);
    if (syncs && put > 0) yield* core.fs.fsync(inode, (file.flags & SYNC_ALL) === 0);
  } finally {
    inode.lock.unlockWrite();
  }
  return put;
}

function writeData(core: VfsCore, inode: Inode, pos: number, bytes: Uint8Array, how: IoHow | undefined): Io<number> {
  if (how === undefined) return core.fs.write(inode, pos, bytes);
  if (core.fs.writeHow === undefined) throw new FsError('EOPNOTSUPP');
  return core.fs.writeHow(inode, pos, bytes, how);
}

/** Sets the size of a file open for writing. @throws FsError EINVAL, EPERM, EFBIG, ENOSPC, EROFS */
export function* truncateFile(caller: Caller, file: OpenFile, size: number): Io<void> {
  if (!file.writable) throw new FsError('EINVAL');
  yield* holding(caller.core, file.inode, truncateOpen(caller, file.inode, size));
}

function* truncateOpen(caller: Caller, inode: Inode, size: number): Io<void> {
  const { core, cred } = caller;
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  try {
    core.checkWritable();
    checkTruncate(caller, inode, size, true);
    const now = core.now();
    const mode = cred.uid === 0 ? inode.mode : withoutPrivileges(cred, inode);
    const times = { mtime: now, ctime: now };
    yield* core.fs.setattr(inode, mode === inode.mode ? { size, ...times } : { size, mode, ...times });
  } finally {
    inode.lock.unlockWrite();
  }
}

/**
 * Lists a directory from `cookie` on (0: from the start), '.' and '..' included; see `DirEmit`.
 * @throws FsError ENOTDIR, ENOENT (removed), the driver's
 */
export function* readdirAt(core: VfsCore, dir: Inode, cookie: number, emit: DirEmit): Io<void> {
  if (!isDirectory(dir.mode)) throw new FsError('ENOTDIR');
  yield* holding(core, dir, readdirLocked(core, dir, cookie, emit));
}

/** `readdirAt` of a whole directory at once, where nobody needs the cookies. */
export function* listAt(core: VfsCore, dir: Inode, emit: DirEmit): Io<void> {
  if (!isDirectory(dir.mode)) throw new FsError('ENOTDIR');
  yield* holding(core, dir, readdirLocked(core, dir, undefined, emit));
}

/** `listAt` without a wait; false = take that (which also says what is wrong). The emitted may be part of the listing then. */
export function peekListAt(core: VfsCore, dir: Inode, emit: DirEmit): boolean {
  if (core.fs.peekList === undefined || dir.nlink === 0 || !dir.lock.tryRead(true)) return false;
  try {
    if (!core.fs.peekList(dir, checkedNames(dir, emit))) return false;
  } catch (error) {
    if (error instanceof FsError) return false;
    throw error;
  } finally {
    dir.lock.unlockRead();
  }
  core.accessed(dir);
  return true;
}

/** Whoever copies out of an image joins these names to paths, so none may reach them that is a path itself. */
const checkedNames =
  (dir: Inode, emit: DirEmit): DirEmit =>
  (name, ino, type, next) => {
    if (BAD_NAME.test(name)) throw new FsError('EUCLEAN', { why: 'bad name in a directory', detail: { ino: dir.ino } });
    return emit(name, ino, type, next);
  };

const BAD_NAME = /^$|[/\0]/;

/** `cookie` undefined: all of it, in any order. */
function* readdirLocked(core: VfsCore, dir: Inode, cookie: number | undefined, emit: DirEmit): Io<void> {
  if (!dir.lock.tryRead()) yield* dir.lock.read();
  try {
    if (dir.nlink === 0) throw new FsError('ENOENT');
    const checked = checkedNames(dir, emit);
    yield* cookie === undefined && core.fs.list !== undefined
      ? core.fs.list(dir, checked)
      : core.fs.readdir(dir, cookie ?? 0, checked);
  } finally {
    dir.lock.unlockRead();
  }
  core.accessed(dir);
}

/** Makes a file durable (fsync, fdatasync). Lock: the inode, exclusive, as the driver may write its fields. */
export function fsyncAt(core: VfsCore, inode: Inode, dataOnly: boolean): Io<void> {
  return holding(core, inode, exclusively(inode, () => core.fs.fsync(inode, dataOnly)));
}


/**
 * `fsyncAt` for an open file. The driver tells a failure of writing back once; every file that was open then is told of it
 * by its own next fsync, once each.
 */
export function* fsyncFile(core: VfsCore, file: OpenFile, dataOnly: boolean): Io<void> {
  const state = stateOf(file.inode);
  try {
    yield* fsyncAt(core, file.inode, dataOnly);
  } catch (error) {
    if (error instanceof FsError) {
      state.writeErrors++;
      state.writeError = error;
      file.errorsSeen = state.writeErrors;
    }
    throw error;
  }
  if ((file.errorsSeen ?? 0) === state.writeErrors) return;
  file.errorsSeen = state.writeErrors;
  if (state.writeError !== undefined) throw state.writeError;
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE: the position. @throws FsError ENXIO */
export function* seekAt(core: VfsCore, inode: Inode, pos: number, whence: 'data' | 'hole'): Io<number> {
  if (!isRegular(inode.mode)) throw new FsError('EINVAL');
  if (!Number.isSafeInteger(pos) || pos < 0 || pos >= inode.size) throw new FsError('ENXIO');
  return yield* holding(core, inode, seekLocked(core, inode, pos, whence));
}

function* seekLocked(core: VfsCore, inode: Inode, pos: number, whence: 'data' | 'hole'): Io<number> {
  if (!inode.lock.tryRead()) yield* inode.lock.read();
  try {
    return yield* core.fs.seek(inode, pos, whence);
  } finally {
    inode.lock.unlockRead();
  }
}

/** The file's extents in [pos, pos + len). */
export function fiemapAt(core: VfsCore, inode: Inode, pos: number, len: number): Io<FiemapExtent[]> {
  return holding(core, inode, fiemapLocked(core, inode, pos, len));
}

function* fiemapLocked(core: VfsCore, inode: Inode, pos: number, len: number): Io<FiemapExtent[]> {
  const extents: FiemapExtent[] = [];
  if (!inode.lock.tryRead()) yield* inode.lock.read();
  try {
    yield* core.fs.fiemap(inode, pos, len, (extent) => {
      extents.push(extent);
      return true;
    });
    return extents;
  } finally {
    inode.lock.unlockRead();
  }
}

/** How `fallocateAt` allocates. */
export interface FallocateMode {
  readonly keepSize?: boolean;
  readonly punchHole?: boolean;
  readonly zeroRange?: boolean;
}

/** fallocate(2). @throws FsError EOPNOTSUPP, EBADF, EINVAL, EFBIG, ENOSPC, EPERM */
export function* fallocateAt(
  caller: Caller,
  file: OpenFile,
  mode: FallocateMode,
  pos: number,
  len: number,
): Io<void> {
  const { core } = caller;
  checkWrite(caller, file);
  const { inode } = file;
  if (!Number.isSafeInteger(pos) || pos < 0 || !Number.isSafeInteger(len) || len <= 0) throw new FsError('EINVAL');
  if (pos + len > core.fs.traits.fileSizeMax) throw new FsError('EFBIG');
  if (core.fs.fallocate === undefined) throw new FsError('EOPNOTSUPP');
  const allocate = core.fs.fallocate.bind(core.fs);
  yield* holding(core, inode, exclusively(inode, function* () {
    yield* prepareWrite(caller, inode);
    yield* allocate(inode, mode, pos, len);
  }));
}

/** Runs `body` with the inode's lock held, exclusive. */
function* exclusively(inode: Inode, body: () => Io<void>): Io<void> {
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  try {
    yield* body();
  } finally {
    inode.lock.unlockWrite();
  }
}
