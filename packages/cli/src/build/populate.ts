/**
 * Writes a source's tree into a filesystem that mkfs has just made, at the driver's own face: no path is walked, nothing is
 * looked up.
 *
 * Order: a directory's entries in the order of their names, then what is in its subdirectories; so the inodes and blocks of
 * a directory lie together and equal sources give equal images. The builder is the mount's one user, so it holds no
 * inode but those it works on: files are let go as they are written (but those with more names to come).
 */
import { FsError, runSync, type Timespec } from '@iomap/io';
import type { FileSystem, Inode, Name } from '@iomap/vfs';
import { codeOf, CommandError, whatOf } from '../errors.js';
import { shown } from '../names.js';
import type { Source, SourceInode } from '../source/source.js';
import { isLater } from '../source/source.js';

export interface PopulateOptions {
  readonly blockBytes: number;
  /** No time is later than this (SOURCE_DATE_EPOCH). */
  readonly latest: Timespec | undefined;
  /** What the image is called, for messages. */
  readonly image: string;
  /** So many more bytes of data are in. */
  readonly progress: (bytes: number) => void;
  /** A file of the source that could not be read, or an attribute that the format cannot hold; the rest goes on. */
  readonly problem: (line: string) => void;
}

/** Scratch for file data: most files fit whole, large ones stream. */
const SCRATCH_BYTES = 1024 * 1024;

export function populate(fs: FileSystem, source: Source, options: PopulateOptions): void {
  new Builder(fs, source, options).run();
}

class Builder {
  private readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  /** Inodes with names still to come. */
  private readonly linked = new Map<SourceInode, { inode: Inode; left: number }>();

  constructor(
    private readonly fs: FileSystem,
    private readonly source: Source,
    private readonly options: PopulateOptions,
  ) {}

  run(): void {
    const { fs, source } = this;
    const root = runSync(fs.readInode(fs.rootIno));
    const top = source.root;
    const stack: { inode: Inode; from: SourceInode; path: Name }[] = [{ inode: root, from: top, path: '' }];
    runSync(fs.setattr(root, { mode: top.mode, uid: top.uid, gid: top.gid }));
    this.xattrs(root, top, '/');
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      const below: typeof stack = [];
      for (const entry of at.from.entries) {
        const path = `${at.path}/${entry.name}`;
        let made: Inode | undefined;
        try {
          made = this.entry(at.inode, entry.name, entry.inode, path, at.path === '');
        } catch (error) {
          throw this.placed(error, path);
        }
        if (made !== undefined) below.push({ inode: made, from: entry.inode, path });
      }
      // Entering names has changed the directory's times.
      fs.touch(at.inode, this.times(at.from));
      runSync(fs.evictInode(at.inode));
      for (let i = below.length - 1; i >= 0; i--) {
        const next = below[i];
        if (next !== undefined) stack.push(next);
      }
    }
    runSync(fs.sync());
    runSync(fs.unmount());
  }

  /** An error that the image causes says where. */
  private placed(error: unknown, path: Name): unknown {
    if (!(error instanceof FsError)) return error;
    return new CommandError(error.code, whatOf(error), { image: this.options.image, path: shown(path) });
  }

  /** Makes one entry. @returns the inode of a directory, to go on with */
  private entry(dir: Inode, name: Name, from: SourceInode, path: Name, inRoot: boolean): Inode | undefined {
    const { fs } = this;
    if (from.links > 1 && from.type !== 'directory') {
      const known = this.linked.get(from);
      if (known !== undefined) {
        runSync(fs.link(dir, name, known.inode, from.ctime));
        fs.touch(known.inode, this.times(from));
        if (--known.left === 0) {
          this.linked.delete(from);
          runSync(fs.evictInode(known.inode));
        }
        return undefined;
      }
    }
    const inode = inRoot && name === 'lost+found' ? this.lostAndFound(dir, name, from) : this.make(dir, name, from);
    if (from.xattrs !== undefined) this.xattrs(inode, from, path);
    if (from.type === 'directory') return inode;
    if (from.type === 'file') this.data(inode, from, path);
    fs.touch(inode, this.times(from));
    if (from.links > 1) this.linked.set(from, { inode, left: from.links - 1 });
    else runSync(fs.evictInode(inode));
    return undefined;
  }

  private make(dir: Inode, name: Name, from: SourceInode): Inode {
    const init = { mode: from.mode, uid: from.uid, gid: from.gid, rdev: from.rdev, now: this.clamped(from.mtime) };
    return runSync(
      from.type === 'symlink' ? this.fs.symlink(dir, name, from.target ?? new Uint8Array(0), init) : this.fs.create(dir, name, init),
    );
  }

  /** mkfs has made it already; a source that has one too gives it its attributes. */
  private lostAndFound(dir: Inode, name: Name, from: SourceInode): Inode {
    const ino = runSync(this.fs.lookup(dir, name));
    if (ino === 0) return this.make(dir, name, from);
    if (from.type !== 'directory') throw new FsError('EEXIST', { why: 'lost+found has to be a directory' });
    const inode = runSync(this.fs.readInode(ino));
    runSync(this.fs.setattr(inode, { mode: from.mode, uid: from.uid, gid: from.gid }));
    return inode;
  }

  private data(inode: Inode, from: SourceInode, path: Name): void {
    const { fs, options } = this;
    try {
      this.source.copyData(from, path, this.scratch, options.blockBytes, (pos, bytes) => {
        this.write(inode, pos, bytes);
        options.progress(bytes.length);
      });
    } catch (error) {
      // What the host could not give is a problem of this one file; what the image could not take ends the build.
      if (!(error instanceof CommandError)) throw error;
      options.problem(`${error.where.image ?? this.source.name}: ${error.where.path === undefined ? '' : `${error.where.path}: `}${error.code}: ${error.what}`);
    }
    if (inode.size < from.size) runSync(fs.setattr(inode, { size: from.size }));
  }

  private write(inode: Inode, pos: number, bytes: Uint8Array): void {
    const { fs } = this;
    // Not `peekWrite`: a new file has no block yet that it could write to without allocating.
    const written = runSync<number>(fs.write(inode, pos, bytes));
    if (written !== bytes.length) throw new FsError('ENOSPC');
  }

  private xattrs(inode: Inode, from: SourceInode, path: Name): void {
    if (from.xattrs === undefined) return;
    for (const [name, value] of [...from.xattrs].sort(([a], [b]) => (a < b ? -1 : 1))) {
      try {
        runSync(this.fs.setxattr(inode, name, value, 'any', this.clamped(from.ctime)));
      } catch (error) {
        const code = codeOf(error);
        if (code === undefined || code === 'EIO' || code === 'EUCLEAN') throw error;
        this.options.problem(`${this.options.image}: ${shown(path)}: ${code}: attribute ${shown(name)}: ${whatOf(error)}; left out`);
      }
    }
  }

  private clamped(time: Timespec): Timespec {
    const { latest } = this.options;
    return latest !== undefined && isLater(time, latest) ? latest : time;
  }

  private times(from: SourceInode): { atime: Timespec; mtime: Timespec; ctime: Timespec } {
    if (this.options.latest === undefined) return from;
    return { atime: this.clamped(from.atime), mtime: this.clamped(from.mtime), ctime: this.clamped(from.ctime) };
  }
}
