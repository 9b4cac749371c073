/** Directories of a mount: the shared linear directory over minix entries, and what is minix's own about '.' and '..'. */
import { dirHome, LinearDirs, newFound, type DirHome, type Found } from '@iomap/block-map';
import { corrupt, FsError, type Io } from '@iomap/io';
import type { DirEmit } from '@iomap/vfs';
import { Entries, type NewEntry } from './dir-entry.js';
import type { MinixInode } from './inode.js';
import type { Volume } from './volume.js';

export class Directories {
  readonly home: DirHome<MinixInode>;
  readonly linear: LinearDirs<MinixInode, NewEntry>;
  readonly entries: Entries;
  readonly #vol: Volume;
  readonly #found = newFound();

  constructor(vol: Volume) {
    const { info, blockSize } = vol;
    this.#vol = vol;
    this.entries = new Entries(info);
    this.home = dirHome<MinixInode>(vol.directories, {
      map: vol.map,
      buffers: vol.buffers,
      device: vol.device,
      writebackOps: vol.writebackOps,
      dirtyFiles: vol.dirtyFiles,
      dirBytes: blockSize,
      blockCount: (dir) => Math.ceil(dir.size / blockSize),
      blocksMax: Math.floor(info.fileSizeMax / blockSize),
      // Linux and fsck.minix read such a block as free entries.
      hole: 'empty',
      fresh: new Uint8Array(blockSize),
      markDirty: (buf, dir) => {
        vol.markDirty(buf, dir);
      },
      shutdown: (error) => {
        vol.shutdown(error);
      },
    });
    this.linear = new LinearDirs<MinixInode, NewEntry>(this.home, blockSize, this.entries);
  }

  /** The inode under `name` from cached blocks: 0 = none, undefined = a read is needed. */
  peek(dir: MinixInode, name: string): number | undefined {
    return this.linear.peekFind(dir, name, this.#found) ? this.#found.ino : undefined;
  }

  /** Finds a name; `out.ino` is 0 where there is none. */
  find(dir: MinixInode, name: string, out: Found): Io<void> {
    return this.linear.find(dir, name, out);
  }

  /** Removes the entry at `found`, which was found under the same lock. */
  remove(dir: MinixInode, found: Found): Io<void> {
    return this.linear.remove(dir, found);
  }

  /** Has it entries beside '.' and '..'? */
  isEmpty(dir: MinixInode): Io<boolean> {
    return this.linear.isEmpty(dir);
  }

  /** Drops what is kept in core about a directory. */
  forget(dir: MinixInode): void {
    this.linear.forget(dir);
  }

  /**
   * Enters a name that is not there.
   *
   * Lock: the directory, exclusive.
   * @throws FsError ENOSPC with nothing changed, ENAMETOOLONG, EFBIG, EUCLEAN
   */
  *add(dir: MinixInode, name: string, inode: MinixInode): Io<void> {
    if (name.length > this.#vol.info.nameMax) throw new FsError('ENAMETOOLONG');
    const entry = { name, ino: inode.ino };
    if (!(yield* this.linear.addInside(dir, entry))) {
      const { size } = dir;
      const index = this.home.count(dir);
      const buf = yield* this.home.append(dir);
      // The size counts entries, not blocks: that of the first one follows.
      dir.size = size;
      if (!this.linear.put(dir, buf, index, entry)) throw corrupt('a new block of a directory has no room', { ino: dir.ino });
    }
    this.#vol.markInodeDirty(dir);
  }

  /** Points the entry at `found` to another inode. */
  *retarget(dir: MinixInode, found: Found, inode: MinixInode): Io<void> {
    const { home } = this;
    const buf = home.peek(dir, found.index) ?? (yield* home.read(dir, found.index));
    this.entries.setIno(buf, found.offset, inode.ino);
    this.home.markDirty(buf, dir);
  }

  /** The first entries of a new directory. @throws FsError ENOSPC */
  *makeEmpty(dir: MinixInode, parentIno: number): Io<void> {
    const buf = yield* this.home.append(dir);
    const size = this.#vol.info.entryBytes;
    this.entries.write(buf, 0, { name: '.', ino: dir.ino });
    this.entries.write(buf, size, { name: '..', ino: parentIno });
    dir.size = 2 * size;
    this.home.markDirty(buf, dir);
    this.#vol.markInodeDirty(dir);
  }

  /** `list` of all of a directory of one block, within the call; false = nothing was emitted. */
  peekList(dir: MinixInode, emit: DirEmit): boolean {
    return this.linear.peekList(dir, (buf, offset, name, next) => emit(name, this.entries.inoAt(dir, buf, offset), 'unknown', next));
  }

  /** Entries from `cookie` on; the format does not say their types. */
  list(dir: MinixInode, cookie: number, emit: DirEmit): Io<void> {
    return this.linear.list(dir, cookie, (buf, offset, name, next) =>
      emit(name, this.entries.inoAt(dir, buf, offset), 'unknown', next));
  }
}
