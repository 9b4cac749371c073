/**
 * Writing a tree of an image onto the host with Node alone: content, kinds that Node can make, permissions, and times as
 * far as Node has them.
 *
 * Whatever the image says, nothing is written outside the folder: names are single components, no symlink that stands
 * below the folder is followed (it is removed where a file has to be, refused where a directory has to be), files are made
 * new under names of our own and renamed.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import type { Inode, Name } from '@iomap/vfs';
import { codeOf, CommandError, isSystemError, placed, whatOf } from '../errors.js';
import { typeOf } from '../mode.js';
import { shown, toBytes, toHostPath } from '../names.js';
import { isPlainName } from '../tar/writer.js';
import type { ImageTree } from '../tree.js';

export interface HostWriteOptions {
  /** Keep modes, owners (as root) and times. */
  readonly preserve: boolean;
  /** The image's name, for messages. */
  readonly image: string;
  readonly problem: (error: unknown) => void;
  readonly progress?: (bytes: number) => void;
}

const CHUNK = 1024 * 1024;

/** What Node could not do, counted by kind. */
export interface NotCarried {
  xattrs: number;
  nodes: number;
}

export class HostWriter {
  readonly notCarried: NotCarried = { xattrs: 0, nodes: 0 };
  private readonly chunk = Buffer.allocUnsafe(CHUNK);
  private readonly firstNames = new Map<number, Name>();
  private readonly isRoot = process.getuid?.() === 0;
  private serial = 0;

  constructor(
    private readonly tree: ImageTree,
    private readonly options: HostWriteOptions,
  ) {}

  /** Writes `top` as `dest`, with all below when it is a directory. `inside` is its path in the image, for messages. */
  write(top: Inode, dest: Name, inside: Name): void {
    const seen = new Set<number>();
    const finish: { inode: Inode; path: Name }[] = [];
    const stack: { ino: number; path: Name; inside: Name; isTop: boolean }[] = [{ ino: top.ino, path: dest, inside, isTop: true }];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      try {
        const inode = this.tree.inode(at.ino);
        if (typeOf(inode.mode) !== 'directory') {
          this.leaf(inode, at.path);
          continue;
        }
        if (seen.has(at.ino)) throw new CommandError('EUCLEAN', 'this directory is in another place too; left out');
        seen.add(at.ino);
        this.directory(at.path, at.isTop);
        finish.push({ inode, path: at.path });
        this.countXattrs(inode);
        this.children(inode, at, stack);
      } catch (error) {
        this.problem(error, at.inside);
      }
    }
    // Deepest first, so that a directory without write permission is closed only when it is full.
    for (let i = finish.length - 1; i >= 0; i--) {
      const dir = finish[i];
      if (dir !== undefined) this.finishDirectory(dir.inode, dir.path);
    }
  }

  private problem(error: unknown, inside: Name): void {
    const code = codeOf(error);
    if (code === undefined) throw error;
    const what = isSystemError(error) ? `${whatOf(error)} (on the host)` : whatOf(error);
    this.options.problem(placed(new CommandError(code, what), { image: this.options.image, path: shown(inside) }));
  }

  private children(inode: Inode, at: { path: Name; inside: Name }, stack: { ino: number; path: Name; inside: Name; isTop: boolean }[]): void {
    let last: Name | undefined;
    const base = at.inside === '/' ? '' : at.inside;
    for (const { name, ino } of this.tree.list(inode)) {
      const inside = `${base}/${name}`;
      if (!isPlainName(name)) this.problem(new CommandError('EUCLEAN', 'no directory can hold this name; left out'), inside);
      else if (name === last) this.problem(new CommandError('EUCLEAN', 'this name is here twice; the first was taken'), inside);
      else stack.push({ ino, path: `${at.path}/${name}`, inside, isTop: false });
      last = name;
    }
  }

  private directory(path: Name, isTop: boolean): void {
    const host = toHostPath(path);
    // The top is what the user named: a link there is meant.
    const there = isTop ? statOrUndefined(`${path}/.`) : statOrUndefined(path);
    if (there?.isDirectory() === true) return;
    if (there !== undefined) throw new CommandError('ENOTDIR', 'something that is no directory is in its place on the host');
    mkdirSync(host, { mode: 0o700 });
  }

  private leaf(inode: Inode, path: Name): void {
    const type = typeOf(inode.mode);
    const host = toHostPath(path);
    const there = statOrUndefined(path);
    if (there?.isDirectory() === true) throw new CommandError('EISDIR', 'a directory is in its place on the host');
    if (there !== undefined && !there.isFile() && !there.isSymbolicLink()) {
      throw new CommandError('EEXIST', 'a device, fifo or socket is in its place on the host');
    }
    const first = inode.nlink > 1 ? this.firstNames.get(inode.ino) : undefined;
    if (first !== undefined) {
      if (there !== undefined) unlinkSync(host);
      linkSync(toHostPath(first), host);
      return;
    }
    if (type === 'file') this.file(inode, path);
    else if (type === 'symlink') {
      if (there !== undefined) unlinkSync(host);
      symlinkSync(toBytes(this.tree.link(inode)), host);
      if (this.options.preserve) this.finishLink(inode, path);
    } else {
      this.notCarried.nodes++;
      return;
    }
    this.countXattrs(inode);
    if (inode.nlink > 1) this.firstNames.set(inode.ino, path);
  }

  /** A name of our own beside `path`, for a file that is not whole yet. */
  private temporary(path: Name): Name {
    const slash = path.lastIndexOf('/');
    return `${path.slice(0, slash + 1)}.iomap-${process.pid}-${this.serial++}`;
  }

  private file(inode: Inode, path: Name): void {
    const temporary = toHostPath(this.temporary(path));
    const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      try {
        copyOut(this.tree, inode, this.chunk, (bytes, pos) => {
          for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, pos + done);
          this.options.progress?.(bytes.length);
        });
        ftruncateSync(fd, inode.size);
        if (this.options.preserve) {
          if (this.isRoot) fchownSync(fd, inode.uid, inode.gid);
          fchmodSync(fd, inode.mode & (this.isRoot ? 0o7777 : 0o777));
          futimesSync(fd, hostTime(inode.atime), hostTime(inode.mtime));
        } else fchmodSync(fd, inode.mode & 0o777 & ~process.umask());
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, toHostPath(path));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  private finishLink(inode: Inode, path: Name): void {
    const host = toHostPath(path);
    if (this.isRoot) lchownSync(host, inode.uid, inode.gid);
    lutimesSync(host, hostTime(inode.atime), hostTime(inode.mtime));
  }

  private finishDirectory(inode: Inode, path: Name): void {
    const host = toHostPath(path);
    try {
      if (!this.options.preserve) {
        chmodSync(host, inode.mode & 0o777 & ~process.umask());
        return;
      }
      if (this.isRoot) lchownSync(host, inode.uid, inode.gid);
      chmodSync(host, inode.mode & (this.isRoot ? 0o7777 : 0o777));
      lutimesSync(host, hostTime(inode.atime), hostTime(inode.mtime));
    } catch (error) {
      this.problem(error, path);
    }
  }

  private countXattrs(inode: Inode): void {
    if (this.options.preserve && this.tree.xattrs(inode).size > 0) this.notCarried.xattrs++;
  }
}

/** For Node's utimes: it takes a negative number for "now", but a date for what it is. */
const hostTime = (time: { readonly sec: number; readonly nsec: number }): number | Date => {
  const seconds = time.sec + time.nsec / 1e9;
  return seconds < 0 ? new Date(seconds * 1000) : seconds;
};

const statOrUndefined = (path: Name): ReturnType<typeof lstatSync> | undefined =>
  lstatSync(toHostPath(path), { throwIfNoEntry: false });

/** Reads a file's data, holes left out. */
export function copyOut(tree: ImageTree, inode: Inode, chunk: Uint8Array, emit: (bytes: Uint8Array, pos: number) => void): void {
  for (const run of tree.data(inode)) {
    for (let done = 0; done < run.length; ) {
      const want = Math.min(chunk.length, run.length - done);
      const got = tree.read(inode, run.pos + done, chunk.subarray(0, want));
      if (got === 0) throw new CommandError('EIO', 'the file ended before its size');
      emit(chunk.subarray(0, got), run.pos + done);
      done += got;
    }
  }
}
