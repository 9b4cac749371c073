/**
 * The mounted filesystem: what the vfs calls, joined from the parts.
 *
 * - Every change checks that the mount may write, and runs guarded: a corrupt structure met by a change shuts the mount down.
 * - fsync: data, then the inode with the tree and directory blocks it owns, then those of the directories that took its
 *   newest name, then a flush. sync: all data, all inodes, counts and superblock, all buffers, a flush.
 */
import { conversionOf, flushFiles, LegacyFiles, newFound, readTarget, type Conversion } from '@iomap/block-map';
import { FsError, type Io, type Timespec } from '@iomap/io';
import { invalidateRange, truncatePageCache } from '@iomap/iomap-core';
import type {
  DirEmit,
  FiemapExtent,
  FileSystem,
  FsTraits,
  IoHow,
  MappedData,
  Name,
  NewInode,
  SetAttr,
  StatFs,
  SwapMap,
} from '@iomap/vfs';
import { Directories } from './dir.js';
import { ext2DirHome } from './dir-home.js';
import { fileOps, fileSizeMax } from './file-ops.js';
import { groupHead } from './geometry.js';
import { S_IFLNK, TIME_MAX_SEC_LARGE, TIME_MAX_SEC_SMALL, TIME_MIN_SEC, type Ext2InodeInCore } from './inode.js';
import { peekInode, readInode, writeInode, writeInodes } from './inode-table.js';
import { destroyInode, keepIndexFlag, namesOf, newInode } from './namei.js';
import { EXT2_MAGIC, LINK_MAX, NAME_LEN_MAX, ROOT_INO } from './ondisk.js';
import { writeSuper } from './super-write.js';
import { guarded, type Volume } from './volume.js';
import { changeXattr, chmodXattr, getXattr, listXattr } from './xattr.js';

/** Dirty inodes in core beyond which they are encoded into their tables. */
const DIRTY_INODES_MAX = 16_384;

export class Ext2FileSystem implements FileSystem<Ext2InodeInCore> {
  readonly traits: FsTraits;
  readonly readOnly: boolean;
  readonly rootIno = ROOT_INO;
  readonly uuid: Uint8Array;
  readonly label: string;
  /** What the parts share; for tests, checkers and figures. */
  readonly volume: Volume;
  readonly #dirs: Directories;
  readonly #names: ReturnType<typeof namesOf>;
  readonly #files: ReturnType<typeof fileOps>;
  readonly #found = newFound();
  #isUnmounted = false;

  constructor(volume: Volume) {
    this.volume = volume;
    this.readOnly = volume.readOnly;
    this.uuid = volume.info.uuid;
    this.label = volume.info.label;
    this.#dirs = new Directories(volume, ext2DirHome(volume, volume.directories));
    this.#names = namesOf(volume, this.#dirs);
    this.#files = fileOps(volume, (inode) => this.fsync(inode, true));
    const isLarge = volume.info.extraIsize >= 16;
    this.traits = {
      type: 'ext2',
      nameMaxBytes: NAME_LEN_MAX,
      linkMax: LINK_MAX,
      fileSizeMax: fileSizeMax(volume),
      symlinkMaxBytes: Math.min(volume.blockSize - 1, 4095),
      blockSize: volume.blockSize,
      timeGranularityNs: isLarge ? 1 : 1_000_000_000,
      timeMinSec: TIME_MIN_SEC,
      timeMaxSec: isLarge ? TIME_MAX_SEC_LARGE : TIME_MAX_SEC_SMALL,
      xattrs: true,
    };
  }

  get counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(Object.entries(this.volume.pages.counters));
  }

  /** How this mount does each operation. */
  get operations(): Conversion {
    const files = this.#files instanceof LegacyFiles ? 'legacy' : 'iomap';
    return conversionOf({ files, swap: files === 'iomap', home: this.#dirs.home.kind });
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

  readInode(ino: number): Io<Ext2InodeInCore> {
    return readInode(this.volume, ino);
  }

  peekInode(ino: number): Ext2InodeInCore | undefined {
    return peekInode(this.volume, ino);
  }

  isEvictable(inode: Ext2InodeInCore): boolean {
    if (inode.nlink === 0 || inode.isDirty || inode.reservation !== undefined || inode.dir?.names !== undefined) return false;
    const mapping = inode.mappingIfAny;
    return mapping === undefined || (mapping.folioCount === 0 && mapping.dirtyBytes === 0);
  }

  *evictInode(inode: Ext2InodeInCore): Io<void> {
    const vol = this.volume;
    vol.reservations.drop(inode);
    this.#dirs.forget(inode);
    const canWrite = !vol.readOnly && vol.shutdownError === undefined;
    if (inode.nlink === 0 && canWrite) {
      if (inode.mappingIfAny !== undefined) yield* truncatePageCache(inode, 0);
      yield* guarded(vol, destroyInode(vol, inode, vol.env.now()));
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

  setattr(inode: Ext2InodeInCore, attr: SetAttr): Io<void> {
    return this.#change(this.#setattr(inode, attr));
  }

  *#setattr(inode: Ext2InodeInCore, attr: SetAttr): Io<void> {
    const vol = this.volume;
    if (attr.size !== undefined) {
      if (!inode.isFile) throw new FsError(inode.isDirectory ? 'EISDIR' : 'EINVAL');
      yield* this.#files.setSize(inode, attr.size);
    }
    if (attr.uid !== undefined) inode.uid = attr.uid;
    if (attr.gid !== undefined) inode.gid = attr.gid;
    if (attr.flags !== undefined) inode.flags = keepIndexFlag(inode.flags, attr.flags);
    if (attr.mode !== undefined) {
      inode.mode = inode.type | (attr.mode & 0o7777);
      yield* chmodXattr(vol, inode, attr.ctime ?? inode.ctime);
    }
    this.#times(inode, attr);
    vol.markInodeDirty(inode);
  }

  #times(inode: Ext2InodeInCore, times: { readonly atime?: Timespec; readonly mtime?: Timespec; readonly ctime?: Timespec }): void {
    const vol = this.volume;
    if (times.atime !== undefined) inode.atime = vol.stamp(times.atime, inode);
    if (times.mtime !== undefined) inode.mtime = vol.stamp(times.mtime, inode);
    if (times.ctime !== undefined) inode.ctime = vol.stamp(times.ctime, inode);
  }

  touch(inode: Ext2InodeInCore, times: { readonly atime?: Timespec; readonly mtime?: Timespec; readonly ctime?: Timespec }): void {
    if (this.readOnly) return;
    this.#times(inode, times);
    this.volume.markInodeDirty(inode);
  }

  // Names --------------------------------------------------------------------------------------------------------------

  peekLookup(dir: Ext2InodeInCore, name: Name): number | undefined {
    return this.#dirs.peekFind(dir, name, this.#found) ? this.#found.ino : undefined;
  }

  *lookup(dir: Ext2InodeInCore, name: Name): Io<number> {
    const found = newFound();
    yield* this.#dirs.find(dir, name, found);
    return found.ino;
  }

  readdir(dir: Ext2InodeInCore, cookie: number, emit: DirEmit): Io<void> {
    return this.#dirs.readdir(dir, cookie, emit);
  }

  list(dir: Ext2InodeInCore, emit: DirEmit): Io<void> {
    return this.#dirs.list(dir, emit);
  }

  peekList(dir: Ext2InodeInCore, emit: DirEmit): boolean {
    return this.#dirs.peekList(dir, emit);
  }

  create(dir: Ext2InodeInCore, name: Name, init: NewInode): Io<Ext2InodeInCore> {
    return this.#change(this.#names.create(dir, name, init));
  }

  symlink(dir: Ext2InodeInCore, name: Name, target: Uint8Array, init: NewInode): Io<Ext2InodeInCore> {
    return this.#change(this.#names.symlink(dir, name, target, init));
  }

  link(dir: Ext2InodeInCore, name: Name, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    return this.#change(this.#names.link(dir, name, inode, now));
  }

  unlink(dir: Ext2InodeInCore, name: Name, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    return this.#change(this.#names.unlink(dir, name, inode, now));
  }

  rmdir(dir: Ext2InodeInCore, name: Name, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    return this.#change(this.#names.rmdir(dir, name, inode, now));
  }

  rename(
    from: { dir: Ext2InodeInCore; name: Name; inode: Ext2InodeInCore },
    to: { dir: Ext2InodeInCore; name: Name; target: Ext2InodeInCore | undefined },
    now: Timespec,
  ): Io<void> {
    return this.#change(this.#names.rename(from, to, now));
  }

  exchange(
    a: { dir: Ext2InodeInCore; name: Name; inode: Ext2InodeInCore },
    b: { dir: Ext2InodeInCore; name: Name; inode: Ext2InodeInCore },
    now: Timespec,
  ): Io<void> {
    return this.#change(this.#names.exchange(a, b, now));
  }

  tmpfile(dir: Ext2InodeInCore, init: NewInode): Io<Ext2InodeInCore> {
    return this.#change(newInode(this.volume, dir, init, 0));
  }

  *readlink(inode: Ext2InodeInCore): Io<Uint8Array> {
    if (inode.type !== S_IFLNK) throw new FsError('EINVAL');
    if (inode.isFastSymlink()) {
      const bytes = new Uint8Array(60);
      const view = new DataView(bytes.buffer);
      inode.block.forEach((word, i) => {
        view.setUint32(i * 4, word, true);
      });
      return bytes.subarray(0, inode.size);
    }
    return yield* readTarget(this.volume.map, inode);
  }

  // Data ---------------------------------------------------------------------------------------------------------------

  read(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): Io<number> {
    return this.#files.read(inode, pos, bytes);
  }

  peekRead(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): number {
    return this.#files.peekRead(inode, pos, bytes);
  }

  *write(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): Io<number> {
    const done = yield* this.#files.write(inode, pos, bytes);
    if (this.volume.buffers.overDirty) yield* this.volume.buffers.balance();
    return done;
  }

  readHow(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array, how: IoHow): Io<number> {
    return this.#files.read(inode, pos, bytes, how);
  }

  *writeHow(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array, how: IoHow): Io<number> {
    const done = yield* this.#files.write(inode, pos, bytes, how);
    if (this.volume.buffers.overDirty) yield* this.volume.buffers.balance();
    return done;
  }

  map(inode: Ext2InodeInCore, writable: boolean): MappedData {
    return this.#files.map(inode, writable);
  }

  swapMap(inode: Ext2InodeInCore): Io<SwapMap> {
    return this.#files.swapMap(inode);
  }

  peekWrite(inode: Ext2InodeInCore, pos: number, bytes: Uint8Array): number {
    return this.#files.peekWrite(inode, pos, bytes);
  }

  seek(inode: Ext2InodeInCore, pos: number, whence: 'data' | 'hole'): Io<number> {
    return this.#files.seek(inode, pos, whence);
  }

  fiemap(inode: Ext2InodeInCore, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void> {
    return this.#files.fiemap(inode, pos, len, emit);
  }

  bmap(inode: Ext2InodeInCore, fileBlock: number): Io<number> {
    return this.#files.bmap(inode, fileBlock);
  }

  *fsync(inode: Ext2InodeInCore, _dataOnly: boolean): Io<void> {
    const vol = this.volume;
    if (vol.readOnly) return;
    if (vol.shutdownError !== undefined) throw new FsError('EIO', { why: 'the filesystem was shut down', cause: vol.shutdownError });
    if (inode.mappingIfAny !== undefined) yield* this.#files.flush(inode);
    yield* this.#metadata(this.#fsyncMetadata(inode));
  }

  *#fsyncMetadata(inode: Ext2InodeInCore): Io<void> {
    const vol = this.volume;
    const { home } = this.#dirs;
    const evicted = vol.evicted.count;
    /** Those that are made durable, with the count of their names then. */
    const seen = new Map<Ext2InodeInCore, number>();
    let isAll = false;
    for (let at: Ext2InodeInCore | undefined = inode; at !== undefined && !seen.has(at); at = at.namedIn) {
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

  // Extended attributes --------------------------------------------------------------------------------------------------

  getxattr(inode: Ext2InodeInCore, name: Name): Io<Uint8Array> {
    return getXattr(this.volume, inode, name);
  }

  setxattr(inode: Ext2InodeInCore, name: Name, value: Uint8Array, mode: 'any' | 'create' | 'replace', now: Timespec): Io<void> {
    return this.#change(changeXattr(this.volume, inode, { name, value, mode, now }));
  }

  removexattr(inode: Ext2InodeInCore, name: Name, now: Timespec): Io<void> {
    return this.#change(changeXattr(this.volume, inode, { name, value: undefined, mode: 'replace', now }));
  }

  listxattr(inode: Ext2InodeInCore): Io<Name[]> {
    return listXattr(this.volume, inode);
  }

  // The whole ----------------------------------------------------------------------------------------------------------

  *statfs(): Io<StatFs> {
    const { info, groups } = this.volume;
    // Linux's "minixdf": metadata does not count as space.
    let overhead = info.firstDataBlock + groups.count * (2 + info.inodeTableBlocks);
    for (let group = 0; group < groups.count; group++) {
      overhead += groupHead(info, group).headBlocks;
    }
    return {
      type: EXT2_MAGIC,
      blockSize: info.blockSize,
      blocks: Math.max(0, info.blocksCount - overhead),
      blocksFree: groups.freeBlocksTotal,
      blocksAvailable: Math.max(0, groups.freeBlocksTotal - info.reservedBlocks),
      files: info.inodesCount,
      filesFree: groups.freeInodesTotal,
      nameMax: NAME_LEN_MAX,
    };
  }

  *sync(): Io<void> {
    const vol = this.volume;
    if (vol.readOnly) return;
    if (vol.shutdownError !== undefined) throw new FsError('EIO', { why: 'the filesystem was shut down', cause: vol.shutdownError });
    yield* flushFiles(vol);
    yield* this.#metadata(this.#syncMetadata());
  }

  /** The state goes back to what it was at mount: an image that was not clean does not become so. */
  *#markClean(): Io<void> {
    const { volume } = this;
    yield* writeSuper(volume, { state: volume.info.state });
    yield* volume.buffers.sync();
    yield* volume.buffers.flush();
  }

  *#syncMetadata(): Io<void> {
    const vol = this.volume;
    // What is evicted from here on may miss this sync.
    const evicted = vol.evicted.count;
    yield* writeInodes(vol);
    yield* vol.groups.writeBack(vol.buffers);
    yield* writeSuper(vol, {});
    yield* vol.buffers.sync();
    // Orders: everything that was written is durable before sync returns.
    yield* vol.buffers.flush();
    vol.evicted.forget(evicted);
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
