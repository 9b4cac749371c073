/**
 * A filesystem in memory: the smallest honest driver of the contract, and the reference model that others are compared to.
 *
 * Sparse files in pages of 4 KiB, extended attributes, device nodes, O_TMPFILE, exchange, a size limit (ENOSPC), hard
 * limits like a real format's. `wait` is run at the start of every Io method, so that a test can make each of them wait.
 */
import { FsError, RwLock, type Io, type Timespec } from '@iomap/io';
import {
  type DirEmit,
  type FiemapExtent,
  type FileSystem,
  type FsTraits,
  type Inode,
  type Name,
  type NewInode,
  type SetAttr,
  type StatFs,
} from '../filesystem.js';
import { fileTypeOf, isDirectory, S_IFDIR, S_IFLNK } from '../modes.js';

const PAGE = 4096;

interface MemEntry {
  readonly ino: number;
  readonly cookie: number;
}

class MemInode implements Inode {
  readonly ino: number;
  readonly generation = 1;
  mode: number;
  uid: number;
  gid: number;
  nlink = 1;
  size = 0;
  rdev: number;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  btime: Timespec;
  flags = 0;
  readonly lock: RwLock;
  refs = 0;
  vfs: unknown = undefined;
  readonly pages = new Map<number, Uint8Array>();
  readonly entries = new Map<Name, MemEntry>();
  readonly xattrs = new Map<Name, Uint8Array>();
  target = new Uint8Array(0);
  parent = 0;
  cookies = 2;

  constructor(ino: number, init: NewInode) {
    this.ino = ino;
    this.mode = init.mode;
    this.uid = init.uid;
    this.gid = init.gid;
    this.rdev = init.rdev;
    this.atime = this.mtime = this.ctime = this.btime = init.now;
    this.lock = new RwLock(`inode ${ino}`, 'inode');
  }

  get blocks(): number {
    return this.pages.size * (PAGE / 512);
  }
}

/** Options of `memoryFs`. */
export interface MemoryFsOptions {
  readonly readOnly?: boolean;
  /** Data pages of 4 KiB that fit; default: no limit. */
  readonly pagesMax?: number;
  readonly traits?: Partial<FsTraits>;
  /** Time of the root directory. */
  readonly now?: Timespec;
  /** Run at the start of every Io method. */
  readonly wait?: () => Io<void>;
  /** False: no `peek…` methods, so that every call takes the waiting way. */
  readonly peeks?: boolean;
}

/** A memory filesystem, with what a test wants to look at. */
export interface MemoryFs extends FileSystem {
  /** Inodes that exist, linked or not. */
  readonly inodeCount: number;
  /** Data pages in use. */
  readonly pageCount: number;
}

const TRAITS: FsTraits = {
  type: 'memory',
  nameMaxBytes: 255,
  linkMax: 32_000,
  fileSizeMax: 2 ** 44,
  symlinkMaxBytes: 4095,
  blockSize: PAGE,
  timeGranularityNs: 1,
  timeMinSec: -(2 ** 40),
  timeMaxSec: 2 ** 40,
  xattrs: true,
};

/** A new, empty filesystem: a root directory of mode 0755 that belongs to root. */
export function memoryFs(options: MemoryFsOptions = {}): MemoryFs {
  const fs = new MemFs(options);
  if (options.peeks === false) {
    Object.assign(fs, { peekLookup: undefined, peekRead: undefined, peekWrite: undefined });
  }
  return fs;
}

class MemFs implements FileSystem<MemInode>, MemoryFs {
  readonly traits: FsTraits;
  readonly readOnly: boolean;
  readonly rootIno = 2;
  readonly uuid = new Uint8Array(16);
  readonly label = '';
  readonly shutdownError = undefined;
  readonly #inodes = new Map<number, MemInode>();
  readonly #wait: (() => Io<void>) | undefined;
  readonly #pagesMax: number;
  #pages = 0;
  #nextIno = 11;

  constructor(options: MemoryFsOptions) {
    this.traits = { ...TRAITS, ...options.traits };
    this.readOnly = options.readOnly ?? false;
    this.#wait = options.wait;
    this.#pagesMax = options.pagesMax ?? Infinity;
    const now = options.now ?? { sec: 0, nsec: 0 };
    const root = new MemInode(this.rootIno, { mode: S_IFDIR | 0o755, uid: 0, gid: 0, rdev: 0, now });
    root.nlink = 2;
    root.parent = this.rootIno;
    this.#inodes.set(root.ino, root);
  }

  get inodeCount(): number {
    return this.#inodes.size;
  }

  get pageCount(): number {
    return this.#pages;
  }

  *#pause(): Io<void> {
    if (this.#wait !== undefined) yield* this.#wait();
  }

  *readInode(ino: number): Io<MemInode> {
    yield* this.#pause();
    const inode = this.#inodes.get(ino);
    if (inode === undefined) throw new FsError('ESTALE', { detail: { ino } });
    return inode;
  }

  *evictInode(inode: MemInode): Io<void> {
    yield* this.#pause();
    if (inode.nlink > 0) return;
    this.#dropPages(inode, 0);
    this.#inodes.delete(inode.ino);
  }

  isEvictable(inode: MemInode): boolean {
    return inode.nlink > 0;
  }

  *setattr(inode: MemInode, attr: SetAttr): Io<void> {
    yield* this.#pause();
    const { size, ...rest } = attr;
    if (size !== undefined && size !== inode.size) {
      if (size < inode.size) {
        this.#dropPages(inode, Math.ceil(size / PAGE));
        inode.pages.get(Math.floor(size / PAGE))?.fill(0, size % PAGE);
      }
      inode.size = size;
    }
    Object.assign(inode, rest);
  }

  touch(inode: MemInode, times: { atime?: Timespec; mtime?: Timespec; ctime?: Timespec }): void {
    if (times.atime !== undefined) inode.atime = times.atime;
    if (times.mtime !== undefined) inode.mtime = times.mtime;
    if (times.ctime !== undefined) inode.ctime = times.ctime;
  }

  *lookup(dir: MemInode, name: Name): Io<number> {
    yield* this.#pause();
    return dir.entries.get(name)?.ino ?? 0;
  }

  peekLookup(dir: MemInode, name: Name): number | undefined {
    return dir.entries.get(name)?.ino ?? 0;
  }

  *readdir(dir: MemInode, cookie: number, emit: DirEmit): Io<void> {
    yield* this.#pause();
    if (cookie < 1 && !emit('.', dir.ino, 'directory', 1)) return;
    if (cookie < 2 && !emit('..', dir.parent, 'directory', 2)) return;
    for (const [name, entry] of dir.entries) {
      if (entry.cookie <= cookie) continue;
      const mode = this.#inodes.get(entry.ino)?.mode ?? 0;
      if (!emit(name, entry.ino, fileTypeOf(mode), entry.cookie)) return;
    }
  }

  #make(init: NewInode): MemInode {
    const inode = new MemInode(this.#nextIno++, init);
    this.#inodes.set(inode.ino, inode);
    return inode;
  }

  #enter(dir: MemInode, name: Name, inode: MemInode, now: Timespec): void {
    if (dir.entries.has(name)) throw new Error(`the vfs entered ${name} twice`);
    dir.entries.set(name, { ino: inode.ino, cookie: ++dir.cookies });
    if (isDirectory(inode.mode)) {
      dir.nlink++;
      inode.parent = dir.ino;
    }
    dir.mtime = dir.ctime = now;
  }

  #leave(dir: MemInode, name: Name, inode: MemInode, now: Timespec): void {
    if (dir.entries.get(name)?.ino !== inode.ino) throw new Error(`the vfs removed ${name}, which is not there`);
    dir.entries.delete(name);
    if (isDirectory(inode.mode)) dir.nlink--;
    dir.mtime = dir.ctime = now;
  }

  *create(dir: MemInode, name: Name, init: NewInode): Io<MemInode> {
    yield* this.#pause();
    const inode = this.#make(init);
    if (isDirectory(init.mode)) inode.nlink = 2;
    this.#enter(dir, name, inode, init.now);
    return inode;
  }

  *symlink(dir: MemInode, name: Name, target: Uint8Array, init: NewInode): Io<MemInode> {
    yield* this.#pause();
    const inode = this.#make({ ...init, mode: S_IFLNK | 0o777 });
    inode.target = target.slice();
    inode.size = target.length;
    this.#enter(dir, name, inode, init.now);
    return inode;
  }

  *tmpfile(_dir: MemInode, init: NewInode): Io<MemInode> {
    yield* this.#pause();
    const inode = this.#make(init);
    inode.nlink = 0;
    return inode;
  }

  *link(dir: MemInode, name: Name, inode: MemInode, now: Timespec): Io<void> {
    yield* this.#pause();
    this.#enter(dir, name, inode, now);
    inode.nlink++;
    inode.ctime = now;
  }

  *unlink(dir: MemInode, name: Name, inode: MemInode, now: Timespec): Io<void> {
    yield* this.#pause();
    if (!inode.lock.writeLocked || !dir.lock.writeLocked) throw new Error('unlink without the locks');
    this.#leave(dir, name, inode, now);
    inode.nlink--;
    inode.ctime = now;
  }

  *rmdir(dir: MemInode, name: Name, inode: MemInode, now: Timespec): Io<void> {
    yield* this.#pause();
    if (inode.entries.size > 0) throw new FsError('ENOTEMPTY');
    this.#leave(dir, name, inode, now);
    inode.nlink = 0;
    inode.ctime = now;
  }

  *rename(
    from: { dir: MemInode; name: Name; inode: MemInode },
    to: { dir: MemInode; name: Name; target: MemInode | undefined },
    now: Timespec,
  ): Io<void> {
    yield* this.#pause();
    if (!from.dir.lock.writeLocked || !to.dir.lock.writeLocked) throw new Error('rename without the locks');
    if (to.target !== undefined) {
      this.#leave(to.dir, to.name, to.target, now);
      to.target.nlink = isDirectory(to.target.mode) ? 0 : to.target.nlink - 1;
      to.target.ctime = now;
    }
    this.#leave(from.dir, from.name, from.inode, now);
    this.#enter(to.dir, to.name, from.inode, now);
    from.inode.ctime = now;
  }

  *exchange(
    a: { dir: MemInode; name: Name; inode: MemInode },
    b: { dir: MemInode; name: Name; inode: MemInode },
    now: Timespec,
  ): Io<void> {
    yield* this.#pause();
    this.#leave(a.dir, a.name, a.inode, now);
    this.#leave(b.dir, b.name, b.inode, now);
    this.#enter(a.dir, a.name, b.inode, now);
    this.#enter(b.dir, b.name, a.inode, now);
    a.inode.ctime = b.inode.ctime = now;
  }

  *readlink(inode: MemInode): Io<Uint8Array> {
    yield* this.#pause();
    return inode.target;
  }

  *read(inode: MemInode, pos: number, bytes: Uint8Array): Io<number> {
    yield* this.#pause();
    return this.#read(inode, pos, bytes);
  }

  peekRead(inode: MemInode, pos: number, bytes: Uint8Array): number {
    return this.#read(inode, pos, bytes);
  }

  #read(inode: MemInode, pos: number, bytes: Uint8Array): number {
    const length = Math.max(0, Math.min(bytes.length, inode.size - pos));
    for (let done = 0; done < length; ) {
      const at = (pos + done) % PAGE;
      const part = Math.min(PAGE - at, length - done);
      const page = inode.pages.get(Math.floor((pos + done) / PAGE));
      if (page === undefined) bytes.fill(0, done, done + part);
      else bytes.set(part === PAGE ? page : page.subarray(at, at + part), done);
      done += part;
    }
    return length;
  }

  *write(inode: MemInode, pos: number, bytes: Uint8Array): Io<number> {
    yield* this.#pause();
    return this.#write(inode, pos, bytes);
  }

  peekWrite(inode: MemInode, pos: number, bytes: Uint8Array): number {
    return this.#write(inode, pos, bytes);
  }

  #write(inode: MemInode, pos: number, bytes: Uint8Array): number {
    if (!inode.lock.writeLocked) throw new Error('write without the lock');
    let done = 0;
    while (done < bytes.length) {
      const index = Math.floor((pos + done) / PAGE);
      const at = (pos + done) % PAGE;
      const part = Math.min(PAGE - at, bytes.length - done);
      let page = inode.pages.get(index);
      if (page === undefined) {
        if (this.#pages >= this.#pagesMax) break;
        page = new Uint8Array(PAGE);
        inode.pages.set(index, page);
        this.#pages++;
      }
      page.set(bytes.subarray(done, done + part), at);
      done += part;
    }
    if (done === 0 && bytes.length > 0) throw new FsError('ENOSPC');
    inode.size = Math.max(inode.size, pos + done);
    return done;
  }

  *fallocate(
    inode: MemInode,
    mode: { keepSize?: boolean; punchHole?: boolean; zeroRange?: boolean },
    pos: number,
    len: number,
  ): Io<void> {
    yield* this.#pause();
    const end = pos + len;
    if (mode.punchHole === true || mode.zeroRange === true) {
      for (const [index, page] of inode.pages) {
        const from = Math.max(pos, index * PAGE) - index * PAGE;
        const to = Math.min(end, (index + 1) * PAGE) - index * PAGE;
        if (from < to) page.fill(0, from, to);
      }
    }
    if (mode.keepSize !== true && mode.punchHole !== true && end > inode.size) inode.size = end;
  }

  #dropPages(inode: MemInode, from: number): void {
    for (const index of [...inode.pages.keys()]) {
      if (index < from) continue;
      inode.pages.delete(index);
      this.#pages--;
    }
  }

  *seek(inode: MemInode, pos: number, whence: 'data' | 'hole'): Io<number> {
    yield* this.#pause();
    const wanted = whence === 'data';
    for (let at = pos; at < inode.size; at = (Math.floor(at / PAGE) + 1) * PAGE) {
      if (inode.pages.has(Math.floor(at / PAGE)) === wanted) return at;
    }
    if (wanted) throw new FsError('ENXIO');
    return inode.size;
  }

  *fiemap(inode: MemInode, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void> {
    yield* this.#pause();
    for (const index of [...inode.pages.keys()].sort((a, b) => a - b)) {
      const logical = index * PAGE;
      if (logical + PAGE <= pos || logical >= pos + len) continue;
      if (!emit({ logical, physical: inode.ino * 2 ** 32 + logical, length: PAGE, flags: [] })) return;
    }
  }

  *bmap(): Io<number> {
    yield* this.#pause();
    return 0;
  }

  *fsync(): Io<void> {
    yield* this.#pause();
  }

  *getxattr(inode: MemInode, name: Name): Io<Uint8Array> {
    yield* this.#pause();
    const value = inode.xattrs.get(name);
    if (value === undefined) throw new FsError('ENODATA');
    return value.slice();
  }

  *setxattr(inode: MemInode, name: Name, value: Uint8Array, mode: string, now: Timespec): Io<void> {
    yield* this.#pause();
    const has = inode.xattrs.has(name);
    if (mode === 'create' && has) throw new FsError('EEXIST');
    if (mode === 'replace' && !has) throw new FsError('ENODATA');
    inode.xattrs.set(name, value.slice());
    inode.ctime = now;
  }

  *removexattr(inode: MemInode, name: Name, now: Timespec): Io<void> {
    yield* this.#pause();
    if (!inode.xattrs.delete(name)) throw new FsError('ENODATA');
    inode.ctime = now;
  }

  *listxattr(inode: MemInode): Io<Name[]> {
    yield* this.#pause();
    return [...inode.xattrs.keys()];
  }

  *statfs(): Io<StatFs> {
    yield* this.#pause();
    const blocks = Number.isFinite(this.#pagesMax) ? this.#pagesMax : 2 ** 32;
    const blocksFree = blocks - this.#pages;
    return {
      type: 0x01021994,
      blockSize: PAGE,
      blocks,
      blocksFree,
      blocksAvailable: blocksFree,
      files: 2 ** 32,
      filesFree: 2 ** 32 - this.#inodes.size,
      nameMax: this.traits.nameMaxBytes,
    };
  }

  *sync(): Io<void> {
    yield* this.#pause();
  }

  *unmount(): Io<void> {
    yield* this.#pause();
  }
}

