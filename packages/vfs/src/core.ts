/**
 * What all users of one mount share: the filesystem, the caches, the rename lock, the open files, the clock; and `Caller`,
 * what differs between them (credentials, umask).
 *
 * The operations are functions over a `Caller` in files of their own (namei, rename, attr, file, xattr, path).
 */
import { FsError, Mutex, type Env, type Io, type Timespec } from '@iomap/io';
import { DentryCache, stateOf } from './dentry-cache.js';
import type { FileSystem, Inode } from './filesystem.js';
import { InodeCache } from './inode-cache.js';
import { FS_NOATIME_FL, isDirectory } from './modes.js';
import type { VfsSettings } from './options.js';
import type { OpenFile } from './open-file.js';
import { FileTable } from './open-file.js';
import type { Credentials } from './permission.js';
import type { LastPlace, Walk } from './walk.js';

const DAY_SEC = 86_400;

export class VfsCore {
  readonly fs: FileSystem;
  readonly env: Env;
  readonly settings: VfsSettings;
  readonly dentries: DentryCache;
  readonly inodes: InodeCache;
  readonly files: FileTable<OpenFile>;
  /** Outermost lock: renames between directories, one at a time, so that the tree holds still for loop checks. */
  readonly renameLock = new Mutex('rename', 'rename');
  /** Files made without a name (O_TMPFILE) that may still be given one. */
  readonly tmpfiles = new WeakSet<Inode>();
  /** Set when unmounting begins. */
  isUnmounted = false;
  /** The one object that all fast walks use (walk.ts): they are plain, so they never overlap. */
  scratchWalk: Walk | undefined = undefined;
  /** Where the last of them found its file. */
  lastPlace: LastPlace | undefined = undefined;
  #root: Inode | undefined = undefined;
  #coarseNow: Timespec;
  #coarseUses = 0;

  constructor(fs: FileSystem, settings: VfsSettings) {
    this.fs = fs;
    this.env = settings.env;
    this.settings = settings;
    this.dentries = new DentryCache(settings.dentriesMax);
    this.inodes = new InodeCache(fs, this.dentries, settings.inodesMax);
    this.files = new FileTable(settings.filesMax);
    this.#coarseNow = settings.env.now();
  }

  /** The root, once somebody has read it; it stays in core until unmount. */
  peekRoot(): Inode | undefined {
    return this.#root;
  }

  *root(): Io<Inode> {
    if (this.#root !== undefined) return this.#root;
    const inode = yield* this.inodes.get(this.fs.rootIno);
    if (this.#root !== undefined) {
      // Another task was faster while this one waited.
      this.inodes.put(inode);
      return this.#root;
    }
    if (!isDirectory(inode.mode)) {
      this.inodes.put(inode);
      throw new FsError('EUCLEAN', { why: 'the root is not a directory', detail: { ino: inode.ino } });
    }
    stateOf(inode).parent = inode.ino;
    this.#root = inode;
    return inode;
  }

  /** Lets the root go (unmount). */
  dropRoot(): void {
    if (this.#root !== undefined) this.inodes.put(this.#root);
    this.#root = undefined;
    this.lastPlace = undefined;
  }

  /** The current time as the format can hold it. */
  now(): Timespec {
    return this.fit(this.env.now());
  }

  /** A time cut to the format's granularity and range. */
  fit(time: Timespec): Timespec {
    const { timeGranularityNs, timeMinSec, timeMaxSec } = this.fs.traits;
    const { sec, nsec } = time;
    if (sec < timeMinSec) return { sec: timeMinSec, nsec: 0 };
    if (sec > timeMaxSec) return { sec: timeMaxSec, nsec: 0 };
    const rest = timeGranularityNs === 1 ? 0 : nsec % timeGranularityNs;
    return rest === 0 ? time : { sec, nsec: nsec - rest };
  }

  /** Stamps atime after a read of data, entries or a link's target, as the atime option says. */
  accessed(inode: Inode): void {
    const mode = this.settings.atime;
    if (mode === 'noatime' || this.fs.readOnly || (inode.flags & FS_NOATIME_FL) !== 0) return;
    if (mode === 'relatime' && !this.#atimeIsOld(inode)) return;
    const now = this.now();
    if (inode.atime.sec === now.sec && inode.atime.nsec === now.nsec) return;
    this.fs.touch(inode, { atime: now });
  }

  #atimeIsOld(inode: Inode): boolean {
    const { atime, mtime, ctime } = inode;
    if (!isAfter(atime, mtime) || !isAfter(atime, ctime)) return true;
    // A clock a few reads old will do to tell whether a day has passed.
    if ((this.#coarseUses++ & 63) === 0) this.#coarseNow = this.env.now();
    return this.#coarseNow.sec - atime.sec >= DAY_SEC;
  }

  /** @throws FsError EROFS on a read-only mount; EIO after a failure that stopped writing */
  checkWritable(): void {
    const { shutdownError } = this.fs;
    if (shutdownError !== undefined) throw new FsError('EIO', { why: 'the mount is shut down', cause: shutdownError });
    if (this.fs.readOnly) throw new FsError('EROFS');
  }
}

const isAfter = (a: Timespec, b: Timespec): boolean => a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec);

/** On whose behalf an operation runs, over which mount. */
export interface Caller {
  readonly core: VfsCore;
  readonly cred: Credentials;
  readonly umask: number;
}
