/**
 * `ExtentFs`: the smallest filesystem that uses all of the core. Files have numbers, no names; their data has extents, delayed
 * allocation, unwritten blocks, copy on write, inline data; metadata is committed as a whole (snapshot.ts).
 *
 * - `format(device, blockSize)`, `mountExtentFs(options)`, `fs.create(ino)`, `fs.inode(ino)`, `fs.commit()`.
 * - extent-inode.ts is what a driver supplies to the core; extent-file.ts is what it does with it.
 */
import type { BlockDevice } from '@iomap/block-device';
import { assert, FsError, Mutex, type Io } from '@iomap/io';
import type { PageCache } from '@iomap/page-cache';
import { ExtentInode } from './extent-inode.js';
import type { Extent } from './extent-map.js';
import { flush, readSnapshot, writeSnapshot, type FileSnapshot, type Geometry } from './snapshot.js';
import { Space } from './space.js';

export interface ExtentFsOptions {
  readonly device: BlockDevice;
  readonly cache: PageCache;
  /** A write reserves space, or chooses blocks at once. Default `delalloc`. */
  readonly space?: 'delalloc' | 'unwritten';
  /** The longest content that new files keep in their inode; at most a block. Default 0: none. */
  readonly inlineBytes?: number;
  /** How long the next run of blocks may be; default as long as there is. */
  readonly runMax?: () => number;
  /** What a driver does that must read its map from the device; absent: it is in memory. */
  readonly readMap?: () => Io<void>;
}

export class ExtentFs {
  readonly device: BlockDevice;
  readonly cache: PageCache;
  readonly geometry: Geometry;
  readonly space: Space;
  readonly options: { readonly space: 'delalloc' | 'unwritten'; readonly inlineBytes: number; readonly readMap: (() => Io<void>) | undefined };
  readonly #inodes = new Map<number, ExtentInode>();
  readonly #commitLock = new Mutex('commit', 'buffer');
  #sequence: number;
  /** Snapshots that a crash may find: the durable one, and those whose commit failed and may have landed all the same. */
  #findable: (readonly FileSnapshot[])[];
  /** Counts changes; what the durable snapshot has seen of them. */
  #changes = 0;
  #committed = 0;

  constructor(options: ExtentFsOptions, geometry: Geometry, sequence: number, files: readonly FileSnapshot[]) {
    const { device, cache, inlineBytes = 0 } = options;
    assert(inlineBytes <= geometry.blockSize, 'inline data fits into one block');
    this.device = device;
    this.cache = cache;
    this.geometry = geometry;
    this.options = { space: options.space ?? 'delalloc', inlineBytes, readMap: options.readMap };
    this.space = new Space(geometry.firstBlock, geometry.blocks, options.runMax ?? (() => Infinity));
    this.#sequence = sequence;
    for (const file of files) this.#inodes.set(file.ino, new ExtentInode(this, file.ino, file));
    this.#findable = [files];
    this.#name(files, 1);
  }

  /** A new, empty file. @throws FsError EEXIST */
  create(ino: number): ExtentInode {
    if (this.#inodes.has(ino)) throw new FsError('EEXIST');
    const inode = new ExtentInode(this, ino);
    this.#inodes.set(ino, inode);
    this.changed();
    return inode;
  }

  /** @throws FsError ENOENT */
  inode(ino: number): ExtentInode {
    const inode = this.#inodes.get(ino);
    if (inode === undefined) throw new FsError('ENOENT');
    return inode;
  }

  get inodes(): Iterable<ExtentInode> {
    return this.#inodes.values();
  }

  /** Some metadata is not durable. */
  get dirty(): boolean {
    return this.#changes !== this.#committed;
  }

  /** Metadata changed: the next commit has something to write. */
  changed(): void {
    this.#changes++;
  }

  /**
   * Makes the metadata as it is now durable, and all data before it. Waits on: the device, a commit under way.
   * @throws FsError the device's; then nothing is committed, and the next commit tries again
   */
  *commit(): Io<void> {
    if (!this.#commitLock.tryLock()) yield* this.#commitLock.lock();
    try {
      const seen = this.#changes;
      if (seen === this.#committed) {
        // Overwrites in place changed no metadata, and are to be durable all the same.
        yield* flush(this.device);
        return;
      }
      const files = [...this.#inodes.values()].map((inode) => inode.snapshot());
      this.#findable.push(files);
      this.#name(files, 1);
      yield* writeSnapshot(this.device, this.geometry, this.#sequence + 1, files);
      this.#sequence++;
      this.#committed = seen;
      for (const old of this.#findable) if (old !== files) this.#name(old, -1);
      this.#findable = [files];
    } finally {
      this.#commitLock.unlock();
    }
  }

  /** Whatever snapshot a crash finds, it has these blocks of the file where `extent` says, and all of them inside the size. */
  isDurable(ino: number, { start, count, state, block }: Extent): boolean {
    return this.#findable.every((files) => {
      const file = files.find((one) => one.ino === ino);
      if (file === undefined || file.inline !== undefined || file.size < (start + count) * this.geometry.blockSize) return false;
      return file.extents.some((one) => one.state === state && one.start <= start && one.start + one.count >= start + count &&
        one.block - one.start === block - start);
    });
  }

  #name(files: readonly FileSnapshot[], by: 1 | -1): void {
    for (const { extents } of files) for (const extent of extents) this.space.name(extent, by);
  }
}

/** Mounts: the newest whole snapshot is what there is. @throws FsError EUCLEAN, the device's */
export function* mountExtentFs(options: ExtentFsOptions): Io<ExtentFs> {
  const { geometry, sequence, files } = yield* readSnapshot(options.device);
  return new ExtentFs(options, geometry, sequence, files);
}
