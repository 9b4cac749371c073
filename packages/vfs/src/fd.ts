/** Operations on descriptors, and what else completes the table: whole files, copies, the mount. */
import { FsError, withContext, type Io } from '@iomap/io';
import { setattrAt, type AttrChange } from './attr.js';
import type { Caller, VfsCore } from './core.js';
import { stateOf } from './dentry-cache.js';
import {
  checkReadable,
  closeFile,
  fallocateAt,
  fiemapAt,
  fsyncFile,
  holding,
  listAt,
  peekListAt,
  peekReadAt,
  peekWriteAt,
  readAt,
  readdirAt,
  releaseFile,
  seekAt,
  truncateFile,
  writeAt,
  type FallocateMode,
} from './file.js';
import type { DirEmit, FiemapExtent, FileType, Inode, Name, StatFs } from './filesystem.js';
import {
  isDirectory,
  isRegular,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,

  O_RDONLY,
  O_RDWR,

  O_WRONLY,
  R_OK,
  W_OK,
} from './modes.js';
import { checkAccess, mayAccess } from './permission.js';
import { openPath, withFile, withInode } from './path.js';
import { attrOf, type Attr } from './stat.js';
import { peekWalk, walkTo } from './walk.js';

/** Opens a path; the answer is a descriptor, to be closed. `mode` before the umask. */
export function* open(caller: Caller, path: string, flags: number, mode = 0o666): Io<number> {
  const { files } = caller.core;
  if (files.count >= files.max) throw new FsError('EMFILE');
  const file = yield* openPath(caller, path, flags, mode);
  try {
    return files.add(file);
  } catch (error) {
    // Others have taken the last descriptors meanwhile.
    yield* releaseFile(caller.core, file);
    throw error;
  }
}

/** `open` for reading or writing what is there, when the caches know the path; -1 = take `open`. */
export function peekOpen(caller: Caller, path: string, flags: number): number {
  if (flags !== O_RDONLY && flags !== O_WRONLY && flags !== O_RDWR) return -1;
  const inode = peekWalk(caller, path, true);
  const { core, cred } = caller;
  if (inode === null || inode === undefined || (inode.mode & 0o170000) !== 0o100000 || inode.flags !== 0) return -1;
  const writable = flags !== O_RDONLY;
  if (writable && (core.fs.readOnly || core.fs.shutdownError !== undefined)) return -1;
  const readable = flags !== O_WRONLY;
  if (!mayAccess(cred, inode, (readable ? R_OK : 0) | (writable ? W_OK : 0))) return -1;
  if (core.files.count >= core.files.max) return -1;
  inode.refs++;
  return core.files.add({ inode, flags, readable, writable, pos: 0, errorsSeen: stateOf(inode).writeErrors, closed: false });
}

/** Closes a descriptor. */
export function* close(caller: Caller, fd: number): Io<void> {
  yield* releaseFile(caller.core, caller.core.files.remove(fd));
}

/** `close` when the file lives on; false = the rest of `close` is to be run: `reap`. */
export function peekClose(caller: Caller, fd: number): boolean {
  const { core } = caller;
  return !closeFile(core, core.files.remove(fd));
}

/** `read` from cached data; -1 = take `read`. `pos` null: at the file's own position, which moves. */
export function peekRead(caller: Caller, fd: number, bytes: Uint8Array, pos: number | null): number {
  const { core } = caller;
  const file = core.files.peek(fd);
  if (file === undefined) return -1;
  const got = peekReadAt(core, file, bytes, pos ?? file.pos);
  if (pos === null && got > 0) file.pos += got;
  return got;
}

/** Reads into `bytes`. `pos` null: at the file's own position, which moves. */
export function* read(caller: Caller, fd: number, bytes: Uint8Array, pos: number | null = null): Io<number> {
  const { core } = caller;
  const file = core.files.get(fd);
  const at = pos ?? file.pos;
  const got = yield* readAt(core, file, bytes, at);
  if (pos === null) file.pos = at + got;
  return got;
}

/** `write` without a wait; -1 = take `write`. */
export function peekWrite(caller: Caller, fd: number, bytes: Uint8Array, pos: number | null): number {
  const file = caller.core.files.peek(fd);
  if (file === undefined) return -1;
  const put = peekWriteAt(caller, file, bytes, pos ?? file.pos);
  if (pos === null && put > 0) file.pos += put;
  return put;
}

/** Writes `bytes`. `pos` null: at the file's own position, which moves. */
export function* write(caller: Caller, fd: number, bytes: Uint8Array, pos: number | null = null): Io<number> {
  const file = caller.core.files.get(fd);
  return yield* writeAt(caller, file, bytes, pos ?? file.pos, pos === null);
}

/** Reads into several buffers in turn; short at the end of the file. */
export function* readv(caller: Caller, fd: number, buffers: readonly Uint8Array[], pos: number | null = null): Io<number> {
  let total = 0;
  for (const bytes of buffers) {
    const got = yield* read(caller, fd, bytes, pos === null ? null : pos + total);
    total += got;
    if (got < bytes.length) break;
  }
  return total;
}

/** Writes several buffers in turn. */
export function* writev(caller: Caller, fd: number, buffers: readonly Uint8Array[], pos: number | null = null): Io<number> {
  let total = 0;
  for (const bytes of buffers) {
    const put = yield* write(caller, fd, bytes, pos === null ? null : pos + total);
    total += put;
    if (put < bytes.length) break;
  }
  return total;
}

 
export function* fstat(caller: Caller, fd: number): Io<Attr> {
  return attrOf(caller.core.files.get(fd).inode);
}

export function* fsync(caller: Caller, fd: number): Io<void> {
  yield* fsyncFile(caller.core, caller.core.files.get(fd), false);
}

export function* fdatasync(caller: Caller, fd: number): Io<void> {
  yield* fsyncFile(caller.core, caller.core.files.get(fd), true);
}

export function* ftruncate(caller: Caller, fd: number, size = 0): Io<void> {
  yield* truncateFile(caller, caller.core.files.get(fd), size);
}

/** Changes attributes of an open file. */
export function* fsetattr(caller: Caller, fd: number, change: AttrChange): Io<void> {
  const { inode } = caller.core.files.get(fd);
  yield* holding(caller.core, inode, setattrAt(caller, inode, change));
}

/** Moves the file's own position; `data` and `hole` search. Answers the new position. */
export function* seek(
  caller: Caller,
  fd: number,
  pos: number,
  whence: 'set' | 'cur' | 'end' | 'data' | 'hole' = 'set',
): Io<number> {
  const { core } = caller;
  const file = core.files.get(fd);
  let to = pos;
  if (whence === 'cur') to = file.pos + pos;
  else if (whence === 'end') to = file.inode.size + pos;
  else if (whence !== 'set') to = yield* seekAt(core, file.inode, pos, whence);
  if (!Number.isSafeInteger(to) || to < 0) throw new FsError('EINVAL');
  file.pos = to;
  return to;
}

export function* fallocate(caller: Caller, fd: number, mode: FallocateMode, pos: number, len: number): Io<void> {
  yield* fallocateAt(caller, caller.core.files.get(fd), mode, pos, len);
}

export function* ffiemap(caller: Caller, fd: number, pos = 0, len: number = Number.MAX_SAFE_INTEGER): Io<FiemapExtent[]> {
  return yield* fiemapAt(caller.core, caller.core.files.get(fd).inode, pos, len);
}

/** An entry as `readdir` answers it. */
export interface DirEntry {
  readonly name: Name;
  readonly ino: number;
  readonly type: FileType;
}

/** Entries of one listing that the dentry cache learns. */
const LEARN_MAX = 1024;

/** Collects entries but '.' and '..'. */
function collecting(core: VfsCore, dir: Inode, entries: DirEntry[]): DirEmit {
  return (name, ino, type) => {
    if (name === '.' || name === '..') return true;
    // Who lists a folder mostly asks for what is in it next; a huge one has an index to ask.
    if (entries.length < LEARN_MAX) core.dentries.learn(dir, name, ino);
    entries.push({ name, ino, type });
    return true;
  };
}

/** All entries of a directory, but '.' and '..', in the directory's order. */
export function* readdir(caller: Caller, path: string): Io<DirEntry[]> {
  return yield* withInode(caller, path, true, function* (dir) {
    if (!isDirectory(dir.mode)) throw new FsError('ENOTDIR');
    checkAccess(caller.cred, dir, R_OK);
    const entries: DirEntry[] = [];
    yield* listAt(caller.core, dir, collecting(caller.core, dir, entries));
    return entries;
  });
}

/** `readdir` of a directory whose path is cached, and that can be read without a wait; undefined = take `readdir`. */
export function peekReaddir(caller: Caller, path: string): DirEntry[] | undefined {
  const { core, cred } = caller;
  const dir = peekWalk(caller, path, true);
  if (dir === null || dir === undefined || !isDirectory(dir.mode) || !mayAccess(cred, dir, R_OK)) return undefined;
  const entries: DirEntry[] = [];
  return peekListAt(core, dir, collecting(core, dir, entries)) ? entries : undefined;
}

/** Entries of an open directory after `cookie`. */
export function* getdents(caller: Caller, fd: number, cookie: number, emit: DirEmit): Io<void> {
  const { core } = caller;
  const file = core.files.get(fd);
  if (!file.readable) throw new FsError('EBADF');
  yield* readdirAt(core, file.inode, cookie, emit);
}

/** Bytes that a whole-file read adds at a time when the size is not known beforehand. */
const CHUNK_BYTES = 65_536;

/** The whole of an open file from its position on. `allocate` makes the buffer. */
export function* readToEnd(
  caller: Caller,
  fd: number,
  allocate: (size: number) => Uint8Array = (size) => new Uint8Array(size),
): Io<Uint8Array> {
  const { core } = caller;
  const file = core.files.get(fd);
  checkReadable(file);
  const start = file.pos;
  // The size comes from the image: a buffer of it is only made where data or holes to that end really are readable.
  const expected = Math.max(0, file.inode.size - start);
  if (expected > 2 ** 31) throw new FsError('EFBIG', { why: 'too large for one buffer' });
  let bytes = allocate(expected);
  let got = 0;
  for (;;) {
    if (got === bytes.length) {
      if (got >= file.inode.size - start) break;
      const larger = allocate(got + CHUNK_BYTES);
      larger.set(bytes);
      bytes = larger;
    }
    const more = yield* readAt(core, file, got === 0 ? bytes : bytes.subarray(got), start + got);
    if (more === 0) break;
    got += more;
  }
  file.pos = start + got;
  return got === bytes.length ? bytes : bytes.subarray(0, got);
}

/**
 * A whole regular file by its path, without a descriptor: `readFile`. `allocate` may give more room than it is asked for.
 * @throws FsError as `open` and `read` do
 */
export function* readPath(caller: Caller, path: string, allocate: (size: number) => Uint8Array): Io<Uint8Array> {
  const { core } = caller;
  const inode = yield* walkTo(caller, path, true);
  try {
    if (isDirectory(inode.mode)) throw new FsError('EISDIR', { syscall: 'read' });
    if (!isRegular(inode.mode)) throw new FsError('ENXIO');
    checkAccess(caller.cred, inode, R_OK);
    if (!inode.lock.tryRead()) yield* inode.lock.read();
    try {
      const { size } = inode;
      if (size > 2 ** 31) throw new FsError('EFBIG', { why: 'too large for one buffer' });
      const bytes = allocate(size);
      let got = 0;
      while (got < size) {
        const more = yield* core.fs.read(inode, got, got === 0 ? bytes : bytes.subarray(got, size));
        if (more === 0) break;
        got += more;
      }
      core.accessed(inode);
      return got === bytes.length ? bytes : bytes.subarray(0, got);
    } catch (error) {
      throw error instanceof FsError ? withContext(error, { syscall: 'read' }) : error;
    } finally {
      inode.lock.unlockRead();
    }
  } finally {
    core.inodes.put(inode);
  }
}

/** Writes all of `bytes`, however many calls the driver takes. */
export function* writeAll(caller: Caller, fd: number, bytes: Uint8Array, pos: number | null = null): Io<void> {
  for (let done = 0; done < bytes.length; ) {
    const part = done === 0 ? bytes : bytes.subarray(done);
    const put = yield* write(caller, fd, part, pos === null ? null : pos + done);
    if (put === 0) throw new FsError('EIO', { why: 'nothing was written' });
    done += put;
  }
}

const COPY_BYTES = 1_048_576;

/** Copies a regular file within the image, holes kept. `exclusive`: EEXIST when `dest` is there. */
export function* copyFile(caller: Caller, path: string, dest: string, exclusive = false): Io<void> {
  const { core } = caller;
  yield* withFile(caller, path, O_RDONLY, 0, function* (source) {
    const { inode, size } = { inode: source.inode, size: source.inode.size };
    if (isDirectory(inode.mode)) throw new FsError('EISDIR');
    const flags = O_WRONLY | O_CREAT | (exclusive ? O_EXCL : 0);
    yield* withFile(caller, dest, flags, inode.mode & 0o777, function* (target) {
      if (target.inode === inode) return;
      yield* truncateFile(caller, target, 0);
      const buffer = new Uint8Array(Math.min(COPY_BYTES, Math.max(1, size)));
      for (let pos = 0; pos < size; ) {
        const data = yield* dataFrom(caller, source.inode, pos);
        if (data === undefined) break;
        const end = Math.min(data.end, size);
        for (pos = data.start; pos < end; ) {
          const part = buffer.subarray(0, Math.min(buffer.length, end - pos));
          const got = yield* readAt(core, source, part, pos);
          if (got === 0) return;
          for (let done = 0; done < got; ) done += yield* writeAt(caller, target, part.subarray(done, got), pos + done);
          pos += got;
        }
      }
      if (target.inode.size < size) yield* truncateFile(caller, target, size);
      const mode = inode.mode & 0o7777;
      if ((target.inode.mode & 0o7777) !== mode) yield* setattrAt(caller, target.inode, { mode });
    });
  });
}

/** The next run of data at or after `pos`, undefined when only a hole is left. */
function* dataFrom(
  caller: Caller,
  inode: Parameters<typeof seekAt>[1],
  pos: number,
): Io<{ start: number; end: number } | undefined> {
  try {
    const start = yield* seekAt(caller.core, inode, pos, 'data');
    return { start, end: yield* seekAt(caller.core, inode, start, 'hole') };
  } catch (error) {
    if (error instanceof FsError && error.code === 'ENXIO') return undefined;
    throw error;
  }
}

export function* statfs(caller: Caller, path = '/'): Io<StatFs> {
  return yield* withInode(caller, path, true, () => caller.core.fs.statfs());
}

/** Writes everything dirty and flushes. @throws FsError also for data that was lost since, when an inode was evicted */
export function* sync(caller: Caller): Io<void> {
  yield* caller.core.fs.sync();
  caller.core.inodes.throwLost();
}

/**
 * Evicts all inodes and unmounts; afterwards every operation is ENODEV.
 * @throws FsError EBUSY while files are open (nothing is done then); the driver's, the first of them, when all is done
 */
export function* unmount(caller: Caller): Io<void> {
  const { core } = caller;
  if (core.files.count > 0) throw new FsError('EBUSY');
  const root = core.peekRoot();
  if (root !== undefined && root.refs === 1) core.dropRoot();
  core.inodes.checkIdle();
  core.isUnmounted = true;
  // One file's lost data must not cost the rest of the image: everything else is written, then the loss is told.
  yield* core.inodes.clear();
  yield* core.fs.unmount();
  core.inodes.throwLost();
}

/** Opens a directory for `getdents`. */
export function opendir(caller: Caller, path: string): Io<number> {
  return open(caller, path, O_RDONLY | O_DIRECTORY);
}

/** Evicts all inodes that nobody uses, and with them what is known of their names: for measurements from cold. */
export function* dropCaches(caller: Caller): Io<void> {
  const { core } = caller;
  const root = core.peekRoot();
  if (root !== undefined) core.dentries.drop(root);
  yield* core.inodes.prune();
  core.inodes.throwLost();
}
