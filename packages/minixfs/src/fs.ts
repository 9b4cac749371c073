/**
 * The mounted filesystem: what the vfs calls, joined from the parts.
 */
import { conversionOf, isEvictable, LegacyFiles, mapFiles, MountLife, newFound, readTarget, type Conversion } from '@iomap/block-map';
import { FsError, type Io, type Timespec } from '@iomap/io';
import type { DirEmit, FiemapExtent, FileSystem, FsTraits, IoHow, MappedData, Name, NewInode, SetAttr, StatFs } from '@iomap/vfs';
import { Directories } from './dir.js';
import { TIME_MAX_SEC, type MinixInode } from './inode.js';
import { checkOwner, destroyInode, namesOf, newInode } from './namei.js';
import { ROOT_INO, S_IFLNK } from './ondisk.js';
import { writeState } from './super-write.js';
import type { Volume } from './volume.js';

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
  readonly #life: MountLife<MinixInode>;
  readonly #names: ReturnType<typeof namesOf>;
  readonly #files: ReturnType<typeof mapFiles<MinixInode>>;

  constructor(volume: Volume) {
    const { info } = volume;
    this.volume = volume;
    this.readOnly = volume.readOnly;
    this.#dirs = new Directories(volume);
    this.#names = namesOf(volume, this.#dirs);
    this.#life = new MountLife(volume, {
      home: this.#dirs.home,
      forgetDir: (dir) => {
        this.#dirs.forget(dir);
      },
      destroyInode: (inode) => destroyInode(volume, inode),
      // Version 3 has no state.
      ...(info.version === 3 ? {} : { restoreState: () => writeState(volume, info.state) }),
    });
    this.#files = mapFiles(volume, (inode) => this.#life.fsync(inode));
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

  // Inodes -------------------------------------------------------------------------------------------------------------

  readInode(ino: number): Io<MinixInode> {
    return this.volume.inodeTable.read(ino);
  }

  peekInode(ino: number): MinixInode | undefined {
    return this.volume.inodeTable.peek(ino);
  }

  isEvictable(inode: MinixInode): boolean {
    return isEvictable(inode);
  }

  evictInode(inode: MinixInode): Io<void> {
    return this.#life.evict(inode);
  }

  setattr(inode: MinixInode, attr: SetAttr): Io<void> {
    return this.#life.change(this.#setattr(inode, attr));
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
    return this.#life.change(this.#names.create(dir, name, init));
  }

  symlink(dir: MinixInode, name: Name, target: Uint8Array, init: NewInode): Io<MinixInode> {
    return this.#life.change(this.#names.symlink(dir, name, target, init));
  }

  link(dir: MinixInode, name: Name, inode: MinixInode, now: Timespec): Io<void> {
    return this.#life.change(this.#names.link(dir, name, inode, now));
  }

  unlink(dir: MinixInode, name: Name, inode: MinixInode, now: Timespec): Io<void> {
    return this.#life.change(this.#names.unlink(dir, name, inode, now));
  }

  rmdir(dir: MinixInode, name: Name, inode: MinixInode, now: Timespec): Io<void> {
    return this.#life.change(this.#names.rmdir(dir, name, inode, now));
  }

  rename(
    from: { dir: MinixInode; name: Name; inode: MinixInode },
    to: { dir: MinixInode; name: Name; target: MinixInode | undefined },
    now: Timespec,
  ): Io<void> {
    return this.#life.change(this.#names.rename(from, to, now));
  }

  exchange(
    a: { dir: MinixInode; name: Name; inode: MinixInode },
    b: { dir: MinixInode; name: Name; inode: MinixInode },
    now: Timespec,
  ): Io<void> {
    return this.#life.change(this.#names.exchange(a, b, now));
  }

  tmpfile(_dir: MinixInode, init: NewInode): Io<MinixInode> {
    return this.#life.change(this.#tmpfile(init));
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

  fsync(inode: MinixInode): Io<void> {
    return this.#life.fsync(inode);
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

  sync(): Io<void> {
    return this.#life.sync();
  }

  unmount(): Io<void> {
    return this.#life.unmount();
  }
}

const noXattrs = (): FsError => new FsError('EOPNOTSUPP', { why: 'the format has no extended attributes' });
