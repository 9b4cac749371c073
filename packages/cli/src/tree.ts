/**
 * Reading a mounted image at the driver's own face, for commands that only look: one user, no open files, no permission
 * checks (whoever can read the image can read all of it).
 *
 * - `resolve` walks a path, `list` reads a directory, `data` says where a file has data
 * - everything that an image says is bounded: links followed, entries of a directory, inodes kept
 */
import { FsError, runSync } from '@iomap/io';
import type { FileSystem, FileType, Inode, Name } from '@iomap/vfs';
import { typeOf } from './mode.js';

export interface TreeEntry {
  readonly name: Name;
  readonly ino: number;
  /** As the directory says it; `unknown` where it does not. */
  readonly type: FileType;
}

const SYMLINKS_MAX = 40;
const INODES_MAX = 4096;
const ENTRIES_MAX = 20_000_000;

/** Where inodes come from and go to, where the driver alone is not it (a vfs that counts references). */
export interface InodeSource {
  load(ino: number): Inode;
  drop(inode: Inode): void;
}

const driverInodes = (fs: FileSystem): InodeSource => ({
  load: (ino) => runSync(fs.readInode(ino)),
  // An inode without links is an image's lie or an orphan: evicting would free it.
  drop: (inode) => {
    if (inode.nlink > 0) runSync(fs.evictInode(inode));
  },
});

export class ImageTree {
  private readonly inodes = new Map<number, Inode>();
  /** -1: not asked yet. */
  private capacityBytes = -1;
  private readonly source: InodeSource;

  constructor(
    readonly fs: FileSystem,
    source?: InodeSource,
  ) {
    this.source = source ?? driverInodes(fs);
  }

  /** The inode by number. @throws FsError ESTALE, EUCLEAN, EIO */
  inode(ino: number): Inode {
    const known = this.inodes.get(ino);
    if (known !== undefined) return known;
    if (this.inodes.size >= INODES_MAX) this.forget();
    const inode = this.source.load(ino);
    this.inodes.set(ino, inode);
    return inode;
  }

  root(): Inode {
    return this.inode(this.fs.rootIno);
  }

  /** Lets all inodes go. */
  forget(): void {
    for (const inode of this.inodes.values()) this.source.drop(inode);
    this.inodes.clear();
  }

  /**
   * The inode at an absolute path.
   * @param follow follow a symlink at the end too
   * @throws FsError ENOENT, ENOTDIR, ELOOP
   */
  resolve(path: Name, follow = true): Inode {
    let here: Inode = this.root();
    const trail: Inode[] = [];
    let rest = path.split('/').filter((part) => part !== '');
    let links = 0;
    while (rest.length > 0) {
      const [name = '', ...after] = rest;
      if (typeOf(here.mode) !== 'directory') throw new FsError('ENOTDIR');
      rest = after;
      if (name === '.') continue;
      if (name === '..') {
        here = trail.pop() ?? here;
        continue;
      }
      if (name.length > this.fs.traits.nameMaxBytes) throw new FsError('ENAMETOOLONG');
      const ino = runSync(this.fs.lookup(here, name));
      if (ino === 0) throw new FsError('ENOENT');
      const next = this.inode(ino);
      if (typeOf(next.mode) === 'symlink' && (follow || rest.length > 0 || path.endsWith('/'))) {
        if (++links > SYMLINKS_MAX) throw new FsError('ELOOP');
        const target = this.link(next);
        if (target.startsWith('/')) {
          trail.length = 0;
          here = this.root();
        }
        rest = [...target.split('/').filter((part) => part !== ''), ...rest];
        continue;
      }
      trail.push(here);
      here = next;
    }
    if (path.endsWith('/') && typeOf(here.mode) !== 'directory') throw new FsError('ENOTDIR');
    return here;
  }

  /** A directory's entries without '.' and '..', in byte order. @throws FsError EUCLEAN when it does not end */
  list(dir: Inode): TreeEntry[] {
    const entries: TreeEntry[] = [];
    let cookie = 0;
    for (;;) {
      const before = cookie;
      let taken = 0;
      runSync(
        this.fs.readdir(dir, cookie, (name, ino, type, next) => {
          if (name !== '.' && name !== '..') entries.push({ name, ino, type });
          cookie = next;
          taken++;
          return true;
        }),
      );
      if (entries.length > ENTRIES_MAX) throw new FsError('EUCLEAN', { why: 'the directory does not end' });
      if (taken === 0 || cookie === before) break;
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  /** Bytes that the filesystem can hold. */
  private capacity(): number {
    if (this.capacityBytes < 0) {
      const { blocks, blockSize } = runSync(this.fs.statfs());
      this.capacityBytes = blocks * blockSize;
    }
    return this.capacityBytes;
  }

  /** A symlink's target, as bytes. */
  link(inode: Inode): Name {
    return Buffer.from(runSync(this.fs.readlink(inode))).toString('latin1');
  }

  xattrs(inode: Inode): Map<Name, Uint8Array> {
    const found = new Map<Name, Uint8Array>();
    if (!this.fs.traits.xattrs) return found;
    for (const name of runSync(this.fs.listxattr(inode)).sort()) {
      found.set(name, runSync(this.fs.getxattr(inode, name)));
    }
    return found;
  }

  /** Fills `bytes` from `pos`. @returns how many there were */
  read(inode: Inode, pos: number, bytes: Uint8Array): number {
    const quick = this.fs.peekRead?.(inode, pos, bytes) ?? -1;
    return quick >= 0 ? quick : runSync(this.fs.read(inode, pos, bytes));
  }

  /** Where a file has data, in rising order, cut to its size; all of it for a file without holes. Bytes. */
  data(inode: Inode): { readonly pos: number; readonly length: number }[] {
    const { size } = inode;
    if (size === 0) return [];
    // As many blocks as the size needs: no holes (and no need to walk the map). A count that the device could not hold lies,
    // and would have a few bytes of image fill the host's disk.
    if (inode.blocks * 512 >= size && size <= this.capacity()) return [{ pos: 0, length: size }];
    const runs: { pos: number; length: number }[] = [];
    for (let pos = 0; pos < size; ) {
      let start: number;
      try {
        start = runSync(this.fs.seek(inode, pos, 'data'));
      } catch (error) {
        if (error instanceof FsError && error.code === 'ENXIO') break;
        throw error;
      }
      if (start >= size) break;
      const end = Math.min(size, runSync(this.fs.seek(inode, start, 'hole')));
      if (end <= start || start < pos) throw new FsError('EUCLEAN', { why: 'the map makes no progress', detail: { ino: inode.ino } });
      runs.push({ pos: start, length: end - start });
      pos = end;
    }
    return runs;
  }
}
