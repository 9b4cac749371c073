/**
 * Inode tables: reading an inode, and putting dirty ones back, a block of them at a time. Where an inode is and what it looks like is
 * the format's (`InodeTableFormat`).
 *
 * A dirty inode is encoded into its table's buffer when the mount syncs, when the vfs evicts it, or when too many are
 * dirty; the buffer goes to the device with the other metadata.
 */
import type { Buf, BufferCache } from '@iomap/buffer-cache';
import { FsError, withContext, type Io } from '@iomap/io';

/** Table blocks read ahead when inodes are read one after another. */
const READAHEAD_BLOCKS = 8;

/** What the tables need of an inode in core. */
export interface TableInode {
  readonly ino: number;
  readonly nlink: number;
  readonly mode: number;
  isDirty: boolean;
}

/** A place in a table. */
export interface TablePlace {
  readonly block: number;
  /** Bytes from the start of the block. */
  readonly at: number;
}

/** What the tables need of a mount. */
export interface InodeTableHost<I> {
  readonly buffers: BufferCache;
  /** Bytes of a table block. */
  readonly blockSize: number;
  readonly dirtyInodes: Set<I>;
  /** Marks a table block dirty, for the owner's fsync. @throws FsError EUCLEAN when it was let go: a block that is used twice */
  markDirty(buf: Buf, owner?: object): void;
}

export interface InodeTableFormat<I> {
  /** @throws FsError ESTALE for a number that no inode has */
  locate(ino: number): TablePlace;
  /** Table blocks that follow `block` in its table, itself included. */
  blocksFrom(block: number): number;
  /** A new inode in core from its slot. @throws FsError EUCLEAN for fields that cannot be */
  decode(ino: number, buf: Buf, at: number): I;
  /** Puts an inode into its slot. */
  encode(inode: I, buf: Buf, at: number): void;
}

export class InodeTable<I extends TableInode> {
  readonly #host: InodeTableHost<I>;
  readonly #format: InodeTableFormat<I>;

  constructor(host: InodeTableHost<I>, format: InodeTableFormat<I>) {
    this.#host = host;
    this.#format = format;
  }

  /** The table block of a number, if it is cached. */
  peekBlock(block: number): Buf | undefined {
    return this.#host.buffers.peek(block * this.#host.blockSize);
  }

  /** Reads a table block, and ahead. */
  *readBlock(block: number): Io<Buf> {
    const { buffers, blockSize } = this.#host;
    const count = Math.min(READAHEAD_BLOCKS, this.#format.blocksFrom(block));
    if (count > 1) yield* buffers.readahead(block * blockSize, blockSize, undefined, count);
    return yield* buffers.read(block * blockSize, blockSize);
  }

  /**
   * Reads an inode.
   *
   * Waits on: one read of its table block.
   * @throws FsError ESTALE when it is free; EUCLEAN
   */
  *read(ino: number): Io<I> {
    const { block, at } = this.#format.locate(ino);
    return this.#decode(ino, this.peekBlock(block) ?? (yield* this.readBlock(block)), at);
  }

  /**
   * `read` when its table block is cached or can be read within the call; undefined = take `read`, which also says what is wrong.
   * The caller holds no buffer.
   */
  peek(ino: number): I | undefined {
    const { buffers, blockSize } = this.#host;
    try {
      const { block, at } = this.#format.locate(ino);
      const buf = buffers.readNow(block * blockSize, blockSize);
      return buf === undefined ? undefined : this.#decode(ino, buf, at);
    } catch (error) {
      if (error instanceof FsError) return undefined;
      throw error;
    }
  }

  #decode(ino: number, buf: Buf, at: number): I {
    let inode: I;
    try {
      inode = this.#format.decode(ino, buf, at);
    } catch (error) {
      throw error instanceof FsError ? withContext(error, { detail: { ino } }) : error;
    }
    // One that was unlinked while open stays in core until it is freed; on disk, an inode without links is nobody's, whatever a
    // corrupt entry says. (Linux would take it, and delete its data when the last user goes.)
    if (inode.nlink === 0 || inode.mode === 0) throw new FsError('ESTALE', { why: 'the inode is free', detail: { ino } });
    return inode;
  }

  #put(inode: I, buf: Buf, at: number, owner: object | undefined): void {
    this.#format.encode(inode, buf, at);
    inode.isDirty = false;
    this.#host.dirtyInodes.delete(inode);
    this.#host.markDirty(buf, owner);
  }

  /**
   * Encodes one dirty inode into its table; `owner`: whose fsync must write that block.
   *
   * Waits on: one read of the table block; for an owner, a write of it that another task has in flight.
   */
  *write(inode: I, owner?: object): Io<void> {
    const { block, at } = this.#format.locate(inode.ino);
    const { buffers, blockSize } = this.#host;
    for (;;) {
      const buf = this.peekBlock(block) ?? (yield* buffers.read(block * blockSize, blockSize));
      // It may be clean with its block still dirty: encoded earlier, for nobody's fsync.
      if (inode.isDirty || (owner !== undefined && buf.dirty)) {
        this.#put(inode, buf, at, owner);
        return;
      }
      // Or on its way to the device, where the owner's flush must not overtake it. A write that fails leaves the block dirty.
      if (owner === undefined || !buf.writing) return;
      yield* buffers.settle(buf.pos);
    }
  }

  /** Encodes all dirty inodes, in the order of the tables. */
  *writeAll(): Io<void> {
    const { buffers, dirtyInodes } = this.#host;
    if (dirtyInodes.size === 0) return;
    for (const inode of [...dirtyInodes].sort((a, b) => a.ino - b.ino)) {
      if (!inode.isDirty) continue;
      const { block, at } = this.#format.locate(inode.ino);
      const buf = this.peekBlock(block) ?? (yield* this.readBlock(block));
      if (inode.isDirty) this.#put(inode, buf, at, undefined);
      if (buffers.overDirty) yield* buffers.balance();
    }
  }
}
