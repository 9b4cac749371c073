/**
 * The mounted filesystem: what the vfs calls, joined from the parts.
 *
 * - Every change checks that the mount may write, and runs guarded: a corrupt structure met by a change shuts the mount down.
 * - fsync: data, then the inode with the tree and directory blocks it owns, then those of the directories that took its
 *   newest name, then a flush. sync: all data, all inodes, all buffers, a flush.
 */
import { conversionOf, flushFiles, LegacyFiles, newFound, readTarget, type Conversion } from '@iomap/block-map';
import { FsError, type Io, type Timespec } from '@iomap/io';
import { invalidateRange, truncatePageCache } from '@iomap/iomap-core';
import type { DirEmit, FiemapExtent, FileSystem, FsTraits, IoHow, MappedData, Name, NewInode, SetAttr, StatFs } from '@iomap/vfs';
import { Directories } from './dir.js';
import { FileOps } from './file-ops.js';
import { TIME_MAX_SEC, type MinixInode } from './inode.js';
import { peekInode, readInode, writeInode, writeInodes } from './inode-table.js';
import { checkOwner, destroyInode, namesOf, newInode } from './namei.js';
import { ROOT_INO, S_IFLNK } from './ondisk.js';
import { writeState } from './super-write.js';
import { guarded, type Volume } from './volume.js';

/** Dirty inodes in core beyond which they are encoded into their table. */
const DIRTY_INODES_MAX = 16_384;

type Times = Pick<SetAttr, 'atime' | 'mtime' | 'ctime'>;

export class MinixFileSystem implements FileSystem<MinixInode> {
  readonly traits: FsTraits;
  readonly readOnly: boolean;
  readonly rootIno = ROOT_INO;
  /** The format has neither: zeroes, nothing. */
  readonly uuid = new Uint8Array(16);
  readonly label = '';
  /** What the parts share; for tests, checkers and figures. */
  readonly volume: Volume;
  readonly #dirs: Directories;
  readonly #names: ReturnType<typeof namesOf>;
  readonly #files: FileOps | LegacyFiles<MinixInode>;
  #isUnmounted = false;

  constructor(volume: Volume) {
    const { info } = volume;
    this.volume = volume;
    this.readOnly = volume.readOnly;
    this.#dirs = new Directories(volume);
    this.#names = namesOf(volume, this.#dirs);
    const { bufferOps } = volume;
    this.#files = bufferOps === undefined ? new FileOps(volume, (inode) => this.fsync(inode, true)) : new LegacyFiles(volume, bufferOps, (inode) => this.fsync(inode, true));
    this.traits = {
      type: 'minix',
      nameMaxBytes: info.nameMax,
      linkMax: info.linkMax,
      fileSizeMax: info.fileSizeMax,
      symlinkMaxBytes: volume.blockSize - 1,
      blockSize: info.zoneSize,
      timeGranularityNs: 1_000_000_000,
      timeMinSec: 0,
      timeMaxSec: TIME_MAX_SEC,
      xattrs: false,
    };
  }

  get counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(Object.entries(this.volume.pages.counters));
  }

  /** How this mount does each operation. */
  get operations(): Conversion {
    const files = this.#files instanceof LegacyFiles ? 'legacy' : 'iomap';
    return conversionOf({ files, swap: false, home: this.#dirs.home.kind });
  }

  get shutdownError(): Error | undefined {
    return this.volume.shutdownError;
  }

  /** Runs a change, then lets metadata that has piled up go out. */
  *#change<T>(io: Io<T>): Io<T> {
    const vol = this.volume;
    vol.checkWritable();
    const result = yield* guarded(vol, io);
    if (vol.dirtyInodes.size > DIRTY_INODES_MAX) yield* writeInodes(vol);
    if (vol.buffers.overDirty) yield* vol.buffers.balance();
    // Blocks of directories that live there: who changes one in place waits for no memory.
    if (vol.pages.dirtyBytes > vol.pages.dirtyLimitBytes) yield* vol.pages.balanceDirty();
    return result;
  }

  // Inodes -------------------------------------------------------------------------------------------------------------

  readInode(ino: number): Io<MinixInode> {
    return readInode(this.volume, ino);
  }

  peekInode(ino: number): MinixInode | undefined {
    return peekInode(this.volume, ino);
  }

  isEvictable(inode: MinixInode): boolean {
    if (inode.nlink === 0 || inode.isDirty || inode.reservation !== undefined || inode.dir?.names !== undefined) return false;
    const mapping = inode.mappingIfAny;
    return mapping === undefined || (mapping.folioCount === 0 && mapping.dirtyBytes === 0);
  }

  *evictInode(inode: MinixInode): Io<void> {
    const vol = this.volume;
    vol.dropReservation(inode);
    this.#dirs.linear.forget(inode);
    const canWrite = !vol.readOnly && vol.shutdownError === undefined;
    if (inode.nlink === 0 && canWrite) {
      if (inode.mappingIfAny !== undefined) yield* truncatePageCache(inode, 0);
      yield* guarded(vol, destroyInode(vol, inode));
    } else if (canWrite) {
      inode.untoldError = undefined; // a sync told it, and no file is open to ask
      if (inode.mappingIfAny !== undefined) yield* this.#files.flush(inode);
      if (inode.isDirty) yield* writeInode(vol, inode);
      vol.evicted.add(inode.ino);
    }
    if (inode.mappingIfAny !== undefined) {
      if (canWrite) invalidateRange(inode, 0, Infinity);
      else yield* truncatePageCache(inode, 0);
    }
    vol.dirtyFiles.delete(inode);
    vol.dirtyInodes.delete(inode);
    vol.buffers.disown(inode);
    inode.isGone = true;
    if (vol.buffers.overDirty && canWrite) yield* vol.buffers.balance();
  }

  setattr(inode: MinixInode, attr: SetAttr): Io<void> {
    return this.#change(this.#setattr(inode, attr));
  }

  *#setattr(inode: MinixInode, attr: SetAttr): Io<void> {
    checkOwner(this.volume, attr.uid, attr.gid);
    if (attr.flags !== undefined && attr.flags !== 0) throw new FsError('EOPNOTSUPP', { why: 'inode flags' });
    if (attr.size !== undefined) {
      if (!inode.isFile) throw new FsError(inode.isDirectory ? 'EISDIR' : 'EINVAL');
      yield* this.#files.setSize(inode, attr.size);
    }
    if (attr.uid !== undefined) inode.uid = attr.uid;
    if (attr.gid !== undefined) inode.gid = attr.gid;
    if (attr.mode !== undefined) inode.mode = inode.type | (attr.mode & 0o7777);
    this.touch(inode, attr);
    this.volume.markInodeDirty(inode);
  }

  touch(inode: MinixInode, times: Times): void {
    if (this.readOnly) return;
    const vol = this.volume;
    if (times.atime !== undefined) inode.atime = vol.stamp(times.atime);
    if (times.mtime !== undefined) inode.mtime = vol.stamp(times.mtime);
    if (times.ctime !== undefined) inode.ctime = vol.stamp(times.ctime);
    vol.markInodeDirty(inode);
  }

  // Names --------------------------------------------------------------------------------------------------------------

  peekLookup(dir: MinixInode, name: Name): number | undefined {
    return this.#dirs.peek(dir, name);
  }

  *lookup(dir: MinixInode, name: Name): Io<number> {
    const found = newFound();
    yield* this.#dirs.find(dir, name, found);
    return found.ino;
  }

  readdir(dir: MinixInode, cookie: number, emit: DirEmit): Io<void> {
    return this.#dirs.list(dir, cookie, emit);
  }

  list(dir: MinixInode, emit: DirEmit): Io<void> {
    return this.#dirs.list(dir, 0, emit);
  }

  peekList(dir: MinixInode, emit: DirEmit): boolean {
    return this.#dirs.peekList(dir, emit);
  }

  create(dir: MinixInode, name: Name, init: NewInode): Io<MinixInode> {
    return this.#change(this.#names.create(dir, name, init));
  }

  symlink(dir: MinixInode, name: Name, target: Uint8Array, init: NewInode): Io<MinixInode> {
    return this.#change(this.#names.symlink(dir, name, target, init));
  }

  link(dir: MinixInode, name: Name, inode: MinixInode, now: Timespec): Io<void> {
    return this.#change(this.#names.link(dir, name, inode, now));
  }

  unlink(dir: MinixInode, name: Name, inode: MinixInode, now: Timespec): Io<void> {
    return this.#change(this.#names.unlink(dir, name, inode, now));
  }

  rmdir(dir: MinixInode, name: Name, inode: MinixInode, now: Timespec): Io<void> {
    return this.#change(this.#names.rmdir(dir, name, inode, now));
  }

  rename(
    from: { dir: MinixInode; name: Name; inode: MinixInode },
    to: { dir: MinixInode; name: Name; target: MinixInode | undefined },
    now: Timespec,
  ): Io<void> {
    return this.#change(this.#names.rename(from, to, now));
  }

  exchange(
    a: { dir: MinixInode; name: Name; inode: MinixInode },
    b: { dir: MinixInode; name: Name; inode: MinixInode },
    now: Timespec,
  ): Io<void> {
    return this.#change(this.#names.exchange(a, b, now));
  }

  tmpfile(_dir: MinixInode, init: NewInode): Io<MinixInode> {
    return this.#change(this.#tmpfile(init));
  }

  *#tmpfile(init: NewInode): Io<MinixInode> {
    const inode = yield* newInode(this.volume, init);
    inode.nlink = 0;
    return inode;
  }

  *readlink(inode: MinixInode): Io<Uint8Array> {
    if (inode.type !== S_IFLNK) throw new FsError('EINVAL');
    return yield* readTarget(this.volume.map, inode);
  }

  // Data ---------------------------------------------------------------------------------------------------------------

  read(inode: MinixInode, pos: number, bytes: Uint8Array): Io<number> {
    return this.#files.read(inode, pos, bytes);
  }

  peekRead(inode: MinixInode, pos: number, bytes: Uint8Array): number {
    return this.#files.peekRead(inode, pos, bytes);
  }

  *write(inode: MinixInode, pos: number, bytes: Uint8Array): Io<number> {
    const done = yield* this.#files.write(inode, pos, bytes);
    if (this.volume.buffers.overDirty) yield* this.volume.buffers.balance();
    return done;
  }

  readHow(inode: MinixInode, pos: number, bytes: Uint8Array, how: IoHow): Io<number> {
    return this.#files.read(inode, pos, bytes, how);
  }

  *writeHow(inode: MinixInode, pos: number, bytes: Uint8Array, how: IoHow): Io<number> {
    const done = yield* this.#files.write(inode, pos, bytes, how);
    if (this.volume.buffers.overDirty) yield* this.volume.buffers.balance();
    return done;
  }

  map(inode: MinixInode, writable: boolean): MappedData {
    return this.#files.map(inode, writable);
  }

  peekWrite(inode: MinixInode, pos: number, bytes: Uint8Array): number {
    return this.#files.peekWrite(inode, pos, bytes);
  }

  seek(inode: MinixInode, pos: number, whence: 'data' | 'hole'): Io<number> {
    return this.#files.seek(inode, pos, whence);
  }

  fiemap(inode: MinixInode, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void> {
    return this.#files.fiemap(inode, pos, len, emit);
  }

  bmap(inode: MinixInode, fileBlock: number): Io<number> {
    return this.#files.bmap(inode, fileBlock);
  }

  *fsync(inode: MinixInode, _dataOnly: boolean): Io<void> {
    const vol = this.volume;
    if (vol.readOnly) return;
    this.#checkAlive();
    if (inode.mappingIfAny !== undefined) yield* this.#files.flush(inode);
    yield* this.#metadata(this.#fsyncMetadata(inode));
  }

  #checkAlive(): void {
    const { shutdownError } = this.volume;
    if (shutdownError !== undefined) throw new FsError('EIO', { why: 'the filesystem was shut down', cause: shutdownError });
  }

  *#fsyncMetadata(inode: MinixInode): Io<void> {
    const vol = this.volume;
    const { home } = this.#dirs;
    const evicted = vol.evicted.count;
    /** Those that are made durable, with the count of their names then. */
    const seen = new Map<MinixInode, number>();
    let isAll = false;
    for (let at: MinixInode | undefined = inode; at !== undefined && !seen.has(at); at = at.namedIn) {
      seen.set(at, at.nameCount);
      if (at !== inode && at.isDirectory && !at.isGone) yield* home.flush(at);
      if (at.isGone || vol.evicted.has(at.ino)) isAll = true;
      if (!at.isGone) yield* writeInode(vol, at, at);
      if (!isAll) yield* vol.buffers.syncOwner(at);
    }
    if (isAll) {
      yield* home.flushAll();
      yield* vol.buffers.sync();
    }
    // Orders: all of the above is durable before fsync returns.
    yield* vol.buffers.flush();
    // Only now: another fsync on the same way must not pass by what was still in flight. What came meanwhile stays.
    for (const [at, nameCount] of seen) if (at.nameCount === nameCount) at.namedIn = undefined;
    if (isAll) vol.evicted.forget(evicted);
  }

  /** A metadata write that fails shuts the mount down. */
  *#metadata(io: Io<void>): Io<void> {
    try {
      yield* io;
    } catch (error) {
      if (error instanceof FsError) this.volume.shutdown(error);
      throw error;
    }
  }

  // Extended attributes: the format has none ---------------------------------------------------------------------------

  *getxattr(): Io<Uint8Array> {
    throw noXattrs();
  }

  *setxattr(): Io<void> {
    throw noXattrs();
  }

  *removexattr(): Io<void> {
    throw noXattrs();
  }

  *listxattr(): Io<Name[]> {
    return [];
  }

  // The whole ----------------------------------------------------------------------------------------------------------

  *statfs(): Io<StatFs> {
    const { info, zones, inodes } = this.volume;
    const blocksFree = yield* zones.countFree();
    return {
      type: info.magic,
      blockSize: info.zoneSize,
      blocks: info.zonesCount - info.firstDataZone,
      blocksFree,
      blocksAvailable: blocksFree,
      files: info.inodesCount,
      filesFree: yield* inodes.countFree(),
      nameMax: info.nameMax,
    };
  }

  *sync(): Io<void> {
    const vol = this.volume;
    if (vol.readOnly) return;
    this.#checkAlive();
    yield* flushFiles(vol);
    yield* this.#metadata(this.#syncMetadata());
  }

  *#syncMetadata(): Io<void> {
    const vol = this.volume;
    // What is evicted from here on may miss this sync.
    const evicted = vol.evicted.count;
    yield* writeInodes(vol);
    yield* vol.buffers.sync();
    // Orders: everything that was written is durable before sync returns.
    yield* vol.buffers.flush();
    vol.evicted.forget(evicted);
  }

  /** The state goes back to what it was at mount: an image that was not clean does not become so. */
  *#markClean(): Io<void> {
    const vol = this.volume;
    if (vol.info.version === 3) return;
    yield* writeState(vol, vol.info.state);
    yield* vol.buffers.sync();
    yield* vol.buffers.flush();
  }

  *unmount(): Io<void> {
    const vol = this.volume;
    if (this.#isUnmounted) return;
    this.#isUnmounted = true;
    if (vol.readOnly || vol.shutdownError !== undefined) {
      vol.buffers.discardAll();
      return;
    }
    let failure: FsError | undefined;
    try {
      yield* flushFiles(vol);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      failure = error; // lost data is reported, and the metadata still written
    }
    yield* this.#metadata(this.#syncMetadata());
    // Only after all else is durable does the image say that it is clean.
    yield* this.#metadata(this.#markClean());
    vol.buffers.discardAll();
    if (failure !== undefined) throw failure;
  }
}

const noXattrs = (): FsError => new FsError('EOPNOTSUPP', { why: 'the format has no extended attributes' });
