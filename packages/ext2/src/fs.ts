/**
 * The mounted filesystem: what the vfs calls, joined from the parts.
 */
import { conversionOf, isEvictable, LegacyFiles, mapFiles, MountLife, newFound, readTarget, type Conversion } from '@iomap/block-map';
import { FsError, type Io, type Timespec } from '@iomap/io';
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
import { groupHead } from './geometry.js';
import { S_IFLNK, TIME_MAX_SEC_LARGE, TIME_MAX_SEC_SMALL, TIME_MIN_SEC, type Ext2InodeInCore } from './inode.js';
import { destroyInode, keepIndexFlag, namesOf, newInode } from './namei.js';
import { EXT2_MAGIC, LINK_MAX, NAME_LEN_MAX, ROOT_INO } from './ondisk.js';
import { writeSuper } from './super-write.js';
import type { Volume } from './volume.js';
import { changeXattr, chmodXattr, getXattr, listXattr } from './xattr.js';

export class Ext2FileSystem implements FileSystem<Ext2InodeInCore> {
  readonly traits: FsTraits;
  readonly readOnly: boolean;
  readonly rootIno = ROOT_INO;
  readonly uuid: Uint8Array;
  readonly label: string;
  /** What the parts share; for tests, checkers and figures. */
  readonly volume: Volume;
  readonly #dirs: Directories;
  readonly #life: MountLife<Ext2InodeInCore>;
  readonly #names: ReturnType<typeof namesOf>;
  readonly #files: ReturnType<typeof mapFiles<Ext2InodeInCore>>;
  readonly #found = newFound();

  constructor(volume: Volume) {
    this.volume = volume;
    this.readOnly = volume.readOnly;
    this.uuid = volume.info.uuid;
    this.label = volume.info.label;
    this.#dirs = new Directories(volume, ext2DirHome(volume, volume.directories));
    this.#names = namesOf(volume, this.#dirs);
    this.#life = new MountLife(volume, {
      home: this.#dirs.home,
      forgetDir: (dir) => {
        this.#dirs.forget(dir);
      },
      destroyInode: (inode) => destroyInode(volume, inode, volume.env.now()),
      *writeCounts() {
        yield* volume.groups.writeBack(volume.buffers);
        yield* writeSuper(volume, {});
      },
      restoreState: () => writeSuper(volume, { state: volume.info.state }),
    });
    this.#files = mapFiles(volume, (inode) => this.#life.fsync(inode));
    const isLarge = volume.info.extraIsize >= 16;
    this.traits = {
      type: 'ext2',
      nameMaxBytes: NAME_LEN_MAX,
      linkMax: LINK_MAX,
      fileSizeMax: volume.fileSizeMax,
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

  // Inodes -------------------------------------------------------------------------------------------------------------

  readInode(ino: number): Io<Ext2InodeInCore> {
    return this.volume.inodeTable.read(ino);
  }

  peekInode(ino: number): Ext2InodeInCore | undefined {
    return this.volume.inodeTable.peek(ino);
  }

  isEvictable(inode: Ext2InodeInCore): boolean {
    return isEvictable(inode);
  }

  evictInode(inode: Ext2InodeInCore): Io<void> {
    return this.#life.evict(inode);
  }

  setattr(inode: Ext2InodeInCore, attr: SetAttr): Io<void> {
    return this.#life.change(this.#setattr(inode, attr));
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
    return this.#life.change(this.#names.create(dir, name, init));
  }

  symlink(dir: Ext2InodeInCore, name: Name, target: Uint8Array, init: NewInode): Io<Ext2InodeInCore> {
    return this.#life.change(this.#names.symlink(dir, name, target, init));
  }

  link(dir: Ext2InodeInCore, name: Name, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    return this.#life.change(this.#names.link(dir, name, inode, now));
  }

  unlink(dir: Ext2InodeInCore, name: Name, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    return this.#life.change(this.#names.unlink(dir, name, inode, now));
  }

  rmdir(dir: Ext2InodeInCore, name: Name, inode: Ext2InodeInCore, now: Timespec): Io<void> {
    return this.#life.change(this.#names.rmdir(dir, name, inode, now));
  }

  rename(
    from: { dir: Ext2InodeInCore; name: Name; inode: Ext2InodeInCore },
    to: { dir: Ext2InodeInCore; name: Name; target: Ext2InodeInCore | undefined },
    now: Timespec,
  ): Io<void> {
    return this.#life.change(this.#names.rename(from, to, now));
  }

  exchange(
    a: { dir: Ext2InodeInCore; name: Name; inode: Ext2InodeInCore },
    b: { dir: Ext2InodeInCore; name: Name; inode: Ext2InodeInCore },
    now: Timespec,
  ): Io<void> {
    return this.#life.change(this.#names.exchange(a, b, now));
  }

  tmpfile(dir: Ext2InodeInCore, init: NewInode): Io<Ext2InodeInCore> {
    return this.#life.change(newInode(this.volume, dir, init, 0));
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

  fsync(inode: Ext2InodeInCore): Io<void> {
    return this.#life.fsync(inode);
  }

  // Extended attributes --------------------------------------------------------------------------------------------------

  getxattr(inode: Ext2InodeInCore, name: Name): Io<Uint8Array> {
    return getXattr(this.volume, inode, name);
  }

  setxattr(inode: Ext2InodeInCore, name: Name, value: Uint8Array, mode: 'any' | 'create' | 'replace', now: Timespec): Io<void> {
    return this.#life.change(changeXattr(this.volume, inode, { name, value, mode, now }));
  }

  removexattr(inode: Ext2InodeInCore, name: Name, now: Timespec): Io<void> {
    return this.#life.change(changeXattr(this.volume, inode, { name, value: undefined, mode: 'replace', now }));
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

  sync(): Io<void> {
    return this.#life.sync();
  }

  unmount(): Io<void> {
    return this.#life.unmount();
  }
}
