/**
 * The life of a mount of a block-mapped filesystem without a journal: its changes, and what makes them durable.
 *
 * - Every change checks that the mount may write, and runs guarded: a corrupt structure met by a change shuts the mount down.
 * - fsync: data, then the inode with the tree and directory blocks it owns, then those of the directories that took its newest
 *   name, then a flush. sync: all data, all inodes, what the format counts, all buffers, a flush.
 * - Evicting an inode frees it when nothing leads to it, else writes it back; what an fsync of it would have to write is then nobody's,
 *   so that one of a directory below which it was writes everything (`Evicted`).
 */
import type { BufferCache } from '@iomap/buffer-cache';
import { FsError, type Io } from '@iomap/io';
import { invalidateRange, truncatePageCache } from '@iomap/iomap-core';
import type { PageCache } from '@iomap/page-cache';
import type { DirHome } from './dir-home.js';
import { flushFile, flushFiles, type DirtyFile, type DirtyFiles } from './dirty-files.js';
import type { Evicted } from './evicted.js';
import type { InodeTable, TableInode } from './inode-table.js';
import type { StatefulDir } from './linear-dir.js';
import type { NamedInode } from './namei.js';
import type { ReservationHolder } from './reservation.js';

/** Dirty inodes in core beyond which they are encoded into their tables. */
const DIRTY_INODES_MAX = 16_384;

/** What the life of a mount needs of an inode in core. */
export type MountedInode<I> = DirtyFile & NamedInode<I> & ReservationHolder & StatefulDir & TableInode & {
  /** The vfs has let go of this object: nothing of it is written any more. */
  isGone: boolean;
};

/** What the parts of a mount share. */
export interface MountHost<I extends MountedInode<I>> extends DirtyFiles<I> {
  readonly buffers: BufferCache;
  readonly pages: PageCache;
  readonly readOnly: boolean;
  readonly shutdownError: FsError | undefined;
  readonly dirtyInodes: Set<I>;
  readonly inodeTable: InodeTable<I>;
  /** Inodes whose object was let go while their metadata was not yet on the device. */
  readonly evicted: Evicted;
  checkWritable(): void;
  dropReservation(inode: I): void;
}

/** What the format does itself. */
export interface MountFormat<I> {
  readonly home: DirHome<I>;
  /** Drops what is kept in core about a directory. */
  forgetDir(dir: I): void;
  /** Takes back an inode that no entry leads to. */
  destroyInode(inode: I): Io<void>;
  /** Puts what is counted in core into its buffers. Absent: nothing is. */
  writeCounts?(): Io<void>;
  /** Puts the state that the image had at mount into its buffer: one that was not clean does not become so. Absent: it has none. */
  restoreState?(): Io<void>;
}

/**
 * Runs a change of the image: a corrupt structure that it meets shuts the mount down.
 * @throws FsError the change's own
 */
export function* guarded<T>(host: { shutdown(error: FsError): void }, io: Io<T>): Io<T> {
  try {
    return yield* io;
  } catch (error) {
    if (error instanceof FsError && (error.code === 'EUCLEAN' || error.code === 'EBADMSG')) host.shutdown(error);
    throw error;
  }
}

/** True when evicting has no work: see `FileSystem.isEvictable` of the vfs. */
export function isEvictable<I extends MountedInode<I>>(inode: I): boolean {
  if (inode.nlink === 0 || inode.isDirty || inode.reservation !== undefined || inode.dir?.names !== undefined) return false;
  const mapping = inode.mappingIfAny;
  return mapping === undefined || (mapping.folioCount === 0 && mapping.dirtyBytes === 0);
}

export class MountLife<I extends MountedInode<I>> {
  readonly #host: MountHost<I>;
  readonly #format: MountFormat<I>;
  #isUnmounted = false;

  constructor(host: MountHost<I>, format: MountFormat<I>) {
    this.#host = host;
    this.#format = format;
  }

  /** Runs a change, then lets metadata that has piled up go out. @throws FsError EROFS; the change's own */
  *change<T>(io: Io<T>): Io<T> {
    const host = this.#host;
    host.checkWritable();
    const result = yield* guarded(host, io);
    if (host.dirtyInodes.size > DIRTY_INODES_MAX) yield* host.inodeTable.writeAll();
    if (host.buffers.overDirty) yield* host.buffers.balance();
    // Blocks of directories that live there: who changes one in place waits for no memory.
    if (host.pages.dirtyBytes > host.pages.dirtyLimitBytes) yield* host.pages.balanceDirty();
    return result;
  }

  /** Lets go of an inode that nobody refers to. @throws FsError what its writeback met */
  *evict(inode: I): Io<void> {
    const host = this.#host;
    host.dropReservation(inode);
    this.#format.forgetDir(inode);
    const canWrite = !host.readOnly && host.shutdownError === undefined;
    if (inode.nlink === 0 && canWrite) {
      if (inode.mappingIfAny !== undefined) yield* truncatePageCache(inode, 0);
      yield* guarded(host, this.#format.destroyInode(inode));
    } else if (canWrite) {
      inode.untoldError = undefined; // a sync told it, and no file is open to ask
      if (inode.mappingIfAny !== undefined) yield* flushFile(host, inode);
      if (inode.isDirty) yield* host.inodeTable.write(inode);
      host.evicted.add(inode.ino);
    }
    if (inode.mappingIfAny !== undefined) {
      if (canWrite) invalidateRange(inode, 0, Infinity);
      else yield* truncatePageCache(inode, 0);
    }
    host.dirtyFiles.delete(inode);
    host.dirtyInodes.delete(inode);
    host.buffers.disown(inode);
    inode.isGone = true;
    if (host.buffers.overDirty && canWrite) yield* host.buffers.balance();
  }

  /** Makes a file or directory durable, and its newest name. @throws FsError EIO after a shutdown; the first failure */
  *fsync(inode: I): Io<void> {
    const host = this.#host;
    if (host.readOnly) return;
    this.#checkAlive();
    if (inode.mappingIfAny !== undefined) yield* flushFile(host, inode);
    yield* this.#metadata(this.#fsyncMetadata(inode));
  }

  *#fsyncMetadata(inode: I): Io<void> {
    const { buffers, evicted, inodeTable } = this.#host;
    const { home } = this.#format;
    const evictions = evicted.count;
    /** Those that are made durable, with the count of their names then. */
    const seen = new Map<I, number>();
    let isAll = false;
    for (let at: I | undefined = inode; at !== undefined && !seen.has(at); at = at.namedIn) {
      seen.set(at, at.nameCount);
      if (at !== inode && at.isDirectory && !at.isGone) yield* home.flush(at);
      if (at.isGone || evicted.has(at.ino)) isAll = true;
      if (!at.isGone) yield* inodeTable.write(at, at);
      if (!isAll) yield* buffers.syncOwner(at);
    }
    if (isAll) {
      yield* home.flushAll();
      yield* buffers.sync();
    }
    // Orders: all of the above is durable before fsync returns.
    yield* buffers.flush();
    // Only now: another fsync on the same way must not pass by what was still in flight. What came meanwhile stays.
    for (const [at, nameCount] of seen) if (at.nameCount === nameCount) at.namedIn = undefined;
    if (isAll) evicted.forget(evictions);
  }

  /** Makes all durable. @throws FsError EIO after a shutdown; the first failure of data, once all of it was tried */
  *sync(): Io<void> {
    if (this.#host.readOnly) return;
    this.#checkAlive();
    yield* flushFiles(this.#host);
    yield* this.#metadata(this.#syncMetadata());
  }

  *#syncMetadata(): Io<void> {
    const { buffers, evicted } = this.#host;
    // What is evicted from here on may miss this sync.
    const evictions = evicted.count;
    yield* this.#host.inodeTable.writeAll();
    if (this.#format.writeCounts !== undefined) yield* this.#format.writeCounts();
    yield* buffers.sync();
    // Orders: everything that was written is durable before sync returns.
    yield* buffers.flush();
    evicted.forget(evictions);
  }

  *#markClean(): Io<void> {
    if (this.#format.restoreState === undefined) return;
    yield* this.#format.restoreState();
    yield* this.#host.buffers.sync();
    yield* this.#host.buffers.flush();
  }

  /** A sync, then the mark of a clean image; a second call does nothing. @throws FsError the first failure */
  *unmount(): Io<void> {
    const host = this.#host;
    if (this.#isUnmounted) return;
    this.#isUnmounted = true;
    if (host.readOnly || host.shutdownError !== undefined) {
      host.buffers.discardAll();
      return;
    }
    let failure: FsError | undefined;
    try {
      yield* flushFiles(host);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      failure = error; // lost data is reported, and the metadata still written
    }
    yield* this.#metadata(this.#syncMetadata());
    // Only after all else is durable does the image say that it is clean.
    yield* this.#metadata(this.#markClean());
    host.buffers.discardAll();
    if (failure !== undefined) throw failure;
  }

  #checkAlive(): void {
    const { shutdownError } = this.#host;
    if (shutdownError !== undefined) throw new FsError('EIO', { why: 'the filesystem was shut down', cause: shutdownError });
  }

  /** A metadata write that fails shuts the mount down. */
  *#metadata(io: Io<void>): Io<void> {
    try {
      yield* io;
    } catch (error) {
      if (error instanceof FsError) this.#host.shutdown(error);
      throw error;
    }
  }
}
