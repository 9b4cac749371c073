/** The mounted filesystem: what the vfs calls, joined from the parts. Reads only: every change is EROFS. */
import { FsError, type Io } from '@iomap/io';
import { bmap, fiemap, invalidateRange, seekData, seekHole, truncatePageCache } from '@iomap/iomap-core';
import type { DirEmit, FiemapExtent, FileSystem, FsTraits, Name, StatFs } from '@iomap/vfs';
import { getXattr, listXattr } from './attr.js';
import { findName, peekList, readdir } from './dir.js';
import { FileOps, makeMapping } from './file-ops.js';
import { BIGTIME_EPOCH, BIGTIME_MAX_SEC, findInode, XfsInode } from './inode.js';
import { SB_MAGIC } from './ondisk.js';
import { readlink } from './symlink.js';
import type { Counts } from './summary.js';
import type { Volume } from './volume.js';

const readOnlyFs = (): FsError => new FsError('EROFS', { why: 'xfs-lite only reads' });

export class XfsFileSystem implements FileSystem<XfsInode> {
  readonly traits: FsTraits;
  readonly readOnly = true;
  readonly rootIno: number;
  readonly uuid: Uint8Array;
  readonly label: string;
  readonly shutdownError = undefined;
  /** What the parts share; for tests, checkers and figures. */
  readonly volume: Volume;
  /** True when the log held changes that were replayed in memory. */
  readonly wasReplayed: boolean;
  readonly #counts: Counts;
  readonly #files: FileOps;
  readonly #make: (ino: number) => XfsInode;

  constructor(volume: Volume, counts: Counts, wasReplayed: boolean) {
    const { info } = volume;
    this.volume = volume;
    this.wasReplayed = wasReplayed;
    this.rootIno = info.rootIno;
    this.uuid = info.uuid;
    this.label = info.label;
    this.#counts = counts;
    this.#files = new FileOps(volume);
    const mapping = (inode: XfsInode): ReturnType<typeof makeMapping> => makeMapping(volume, inode);
    this.#make = (ino) => new XfsInode(ino, info.blockSize, mapping);
    this.traits = {
      type: 'xfs',
      nameMaxBytes: 255,
      linkMax: 2 ** 31 - 1,
      fileSizeMax: Number.MAX_SAFE_INTEGER,
      symlinkMaxBytes: 1023,
      blockSize: info.blockSize,
      timeGranularityNs: 1,
      timeMinSec: -BIGTIME_EPOCH,
      timeMaxSec: info.hasBigtime ? BIGTIME_MAX_SEC : 2 ** 31 - 1,
      xattrs: true,
    };
  }

  get counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(Object.entries(this.volume.pages.counters));
  }

  // Inodes -------------------------------------------------------------------------------------------------------------

  peekInode(ino: number): XfsInode | undefined {
    try {
      return findInode(this.volume, ino, this.#make);
    } catch (error) {
      if (error instanceof FsError) return undefined;
      throw error;
    }
  }

  readInode(ino: number): Io<XfsInode> {
    return this.volume.reading(() => findInode(this.volume, ino, this.#make));
  }

  isEvictable(inode: XfsInode): boolean {
    const mapping = inode.mappingIfAny;
    return mapping === undefined || mapping.folioCount === 0;
  }

  *evictInode(inode: XfsInode): Io<void> {
    if (inode.mappingIfAny !== undefined) yield* truncatePageCache(inode, 0);
  }

  // Names --------------------------------------------------------------------------------------------------------------

  peekLookup(dir: XfsInode, name: Name): number | undefined {
    try {
      return findName(this.volume, dir, name);
    } catch (error) {
      if (error instanceof FsError) return undefined;
      throw error;
    }
  }

  *lookup(dir: XfsInode, name: Name): Io<number> {
    return yield* this.volume.reading(() => findName(this.volume, dir, name));
  }

  readdir(dir: XfsInode, cookie: number, emit: DirEmit): Io<void> {
    return readdir(this.volume, dir, cookie, emit);
  }

  peekList(dir: XfsInode, emit: DirEmit): boolean {
    return peekList(this.volume, dir, emit);
  }

  readlink(inode: XfsInode): Io<Uint8Array> {
    return readlink(this.volume, inode);
  }

  // Data ---------------------------------------------------------------------------------------------------------------

  read(inode: XfsInode, pos: number, bytes: Uint8Array): Io<number> {
    return this.#files.read(inode, pos, bytes);
  }

  peekRead(inode: XfsInode, pos: number, bytes: Uint8Array): number {
    return this.#files.peekRead(inode, pos, bytes);
  }

  seek(inode: XfsInode, pos: number, whence: 'data' | 'hole'): Io<number> {
    const { iomap } = this.#files;
    return whence === 'data' ? seekData(inode, iomap, pos) : seekHole(inode, iomap, pos);
  }

  fiemap(inode: XfsInode, pos: number, len: number, emit: (extent: FiemapExtent) => boolean): Io<void> {
    return fiemap(inode, this.#files.iomap, pos, len, emit);
  }

  bmap(inode: XfsInode, fileBlock: number): Io<number> {
    return bmap(inode, this.#files.iomap, fileBlock);
  }

  // Extended attributes --------------------------------------------------------------------------------------------------

  getxattr(inode: XfsInode, name: Name): Io<Uint8Array> {
    return getXattr(this.volume, inode, name);
  }

  listxattr(inode: XfsInode): Io<Name[]> {
    return listXattr(this.volume, inode);
  }

  // The whole ----------------------------------------------------------------------------------------------------------

  *statfs(): Io<StatFs> {
    const { info } = this.volume;
    const { icount, ifree, fdblocks } = this.#counts;
    // The kernel keeps eight blocks a group from its free space, so that the free lists can always be filled.
    const free = Math.max(0, fdblocks - 8 * info.agCount);
    const possible = Math.min(icount + free * info.inodesPerBlock, Number.MAX_SAFE_INTEGER);
    const limit = info.imaxPct === 0 ? possible : Math.floor((info.dblocks * info.imaxPct) / 100) * info.inodesPerBlock;
    const files = Math.max(icount, Math.min(possible, limit));
    return {
      type: SB_MAGIC,
      blockSize: info.blockSize,
      blocks: info.dblocks - info.logBlocks,
      blocksFree: free,
      blocksAvailable: free,
      files,
      filesFree: Math.max(0, files - (icount - ifree)),
      nameMax: 255,
    };
  }

  *sync(): Io<void> {
    // Nothing is ever dirty.
  }

  *fsync(_inode: XfsInode, _dataOnly: boolean): Io<void> {
    // Nothing is ever dirty.
  }

  *unmount(): Io<void> {
    this.volume.buffers.discardAll();
  }

  /** Drops what is cached of a file's data. */
  forgetData(inode: XfsInode): void {
    if (inode.mappingIfAny !== undefined) invalidateRange(inode, 0, Infinity);
  }

  // Changes ------------------------------------------------------------------------------------------------------------

  touch(): void {
    // Reads stamp nothing here.
  }

  *setattr(): Io<void> {
    throw readOnlyFs();
  }

  *create(): Io<XfsInode> {
    throw readOnlyFs();
  }

  *symlink(): Io<XfsInode> {
    throw readOnlyFs();
  }

  *link(): Io<void> {
    throw readOnlyFs();
  }

  *unlink(): Io<void> {
    throw readOnlyFs();
  }

  *rmdir(): Io<void> {
    throw readOnlyFs();
  }

  *rename(): Io<void> {
    throw readOnlyFs();
  }

  *write(): Io<number> {
    throw readOnlyFs();
  }

  *setxattr(): Io<void> {
    throw readOnlyFs();
  }

  *removexattr(): Io<void> {
    throw readOnlyFs();
  }
}
