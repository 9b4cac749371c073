/**
 * What an inode has in blocks: file content, directory and attribute blocks, values and targets; with the mappings of both forks.
 *
 * Blocks of metadata get their address, owner and sum here, where their place is known.
 */
import { divCeil, FsError, type Io } from '@iomap/io';
import { readSparse, type BulkData, type BulkNode } from '@iomap/vfs';
import { putSum } from '../crc32c.js';
import type { MkfsJob } from '../mkfs/mkfs.js';
import { ATTR_REMOTE_MAGIC, AttrRemote, Da3BlkInfo, Dir3BlkHdr, SYMLINK_MAGIC, SymlinkRemote } from '../ondisk-trees.js';
import type { NewAttributes } from './attributes.js';
import { ExtentWriter } from './extent-writer.js';
import { viewOf, type NewBlock } from './hash-tree.js';
import { RMAP_FORK } from './rmaps.js';
import type { Space } from './space.js';

/** A file with holes is read in pieces of so many bytes. */
const SPARSE_BYTES = 1024 * 1024;
/** Longer files have positions that are no safe integers. */
const FILE_BYTES_MAX = Number.MAX_SAFE_INTEGER;

export type ForkName = 'data' | 'attr';

const put64 = (view: DataView, at: number, value: number): void => {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
};

export class ContentWriter {
  readonly data: ExtentWriter;
  readonly attr: ExtentWriter;
  readonly #job: MkfsJob;
  readonly #space: Space;
  #ino = 0;
  #scratch: Uint8Array | undefined;

  constructor(job: MkfsJob, space: Space) {
    this.#job = job;
    this.#space = space;
    this.data = new ExtentWriter(job.plan.blockSize);
    this.attr = new ExtentWriter(job.plan.blockSize);
  }

  /** Starts another inode. */
  open(ino: number): void {
    this.#ino = ino;
    this.data.open();
    this.attr.open();
  }

  // Files --------------------------------------------------------------------------------------------------------------

  /** Reads a file's content into blocks. */
  *file<N extends BulkNode<N>>(node: N, data: BulkData<N>, progress: ((bytes: number) => void) | undefined): Io<void> {
    if (node.size > FILE_BYTES_MAX) throw new FsError('EFBIG');
    if (node.size === 0) return;
    if (node.dataBytes < node.size) yield* this.#sparse(node, data, progress);
    else yield* this.#dense(node, data, progress);
  }

  #take(off: number, blocks: number): void {
    this.data.add(off, this.#space.take(blocks, this.#ino, off, RMAP_FORK.DATA), blocks);
  }

  /** Reads a file without holes straight into the blocks it gets. */
  *#dense<N extends BulkNode<N>>(node: N, data: BulkData<N>, progress: ((bytes: number) => void) | undefined): Io<void> {
    const { blockSize } = this.#job.plan;
    const space = this.#space;
    const { size } = node;
    const total = divCeil(size, blockSize);
    for (let at = 0; at < total; ) {
      if (space.room === 0) yield* space.ready();
      const blocks = Math.min(space.room, total - at);
      const bytes = space.at(blocks);
      const pos = at * blockSize;
      const want = Math.min(bytes.length, size - pos);
      const got = data.read(node, pos, want === bytes.length ? bytes : bytes.subarray(0, want));
      const used = got === want ? blocks : divCeil(got, blockSize);
      bytes.fill(0, got, used * blockSize);
      if (used > 0) this.#take(at, used);
      progress?.(got);
      if (got < want) return;
      at += blocks;
    }
  }

  /** Reads a file with holes; blocks of zeros become holes. */
  #sparse<N extends BulkNode<N>>(node: N, data: BulkData<N>, progress: ((bytes: number) => void) | undefined): Io<void> {
    const scratch = (this.#scratch ??= new Uint8Array(SPARSE_BYTES));
    const file = { node, data, blockSize: this.#job.plan.blockSize, scratch, progress };
    return readSparse(file, (block, bytes) => this.#append(block, bytes));
  }

  /** Writes whole blocks of the file at block `first`. */
  *#append(first: number, bytes: Uint8Array): Io<void> {
    const { blockSize } = this.#job.plan;
    const space = this.#space;
    const total = bytes.length / blockSize;
    for (let at = 0; at < total; ) {
      if (space.room === 0) yield* space.ready();
      const blocks = Math.min(space.room, total - at);
      space.at(blocks).set(bytes.subarray(at * blockSize, (at + blocks) * blockSize));
      this.#take(first + at, blocks);
      at += blocks;
    }
  }

  // Metadata -----------------------------------------------------------------------------------------------------------

  /** Puts a block that follows on itself in a fork: `head` fills in what it has to say of its place. */
  *#place(fork: ForkName, fileBlock: number, bytes: Uint8Array, head: (pos: number) => void): Io<void> {
    const blocks = bytes.length / this.#job.plan.blockSize;
    const space = this.#space;
    if (space.room < blocks) yield* space.ready(blocks);
    head(space.pos);
    space.at(blocks).set(bytes);
    const isData = fork === 'data';
    const first = space.take(blocks, this.#ino, fileBlock, isData ? RMAP_FORK.DATA : RMAP_FORK.ATTR);
    (isData ? this.data : this.attr).add(fileBlock, first, blocks);
  }

  /** A block of a directory or of attributes. */
  *block({ fileBlock, bytes, kind }: NewBlock, fork: ForkName): Io<void> {
    const view = viewOf(bytes);
    const o = kind === 'data' ? Dir3BlkHdr.offsets : Da3BlkInfo.offsets;
    yield* this.#place(fork, fileBlock, bytes, (pos) => {
      put64(view, o.blkno, pos / 512);
      put64(view, o.owner, this.#ino);
      bytes.set(this.#job.identity.uuid, o.uuid);
      putSum(bytes, 0, bytes.length, o.crc);
    });
  }

  /** All of an inode's attributes that are not inline. */
  *attributes({ blocks, values }: NewAttributes): Io<void> {
    for (const block of blocks) yield* this.block(block, 'attr');
    for (const { first, value } of values) yield* this.#value(first, value);
  }

  *#value(first: number, value: Uint8Array): Io<void> {
    const { blockSize } = this.#job.plan;
    const bytes = new Uint8Array(blockSize);
    const view = viewOf(bytes);
    const o = AttrRemote.offsets;
    const room = blockSize - AttrRemote.size;
    for (let done = 0, i = 0; done < value.length; done += room, i++) {
      const part = value.subarray(done, done + room);
      bytes.fill(0);
      view.setUint32(o.rm_magic, ATTR_REMOTE_MAGIC);
      view.setUint32(o.rm_offset, done);
      view.setUint32(o.rm_bytes, part.length);
      bytes.set(this.#job.identity.uuid, o.rm_uuid);
      put64(view, o.rm_owner, this.#ino);
      bytes.set(part, AttrRemote.size);
      yield* this.#place('attr', first + i, bytes, (pos) => {
        put64(view, o.rm_blkno, pos / 512);
        putSum(bytes, 0, blockSize, o.rm_crc);
      });
    }
  }

  /** A symlink's target: one run of blocks with one head. */
  *target(target: Uint8Array): Io<void> {
    const { blockSize } = this.#job.plan;
    const bytes = new Uint8Array(divCeil(target.length, blockSize - SymlinkRemote.size) * blockSize);
    const view = viewOf(bytes);
    const o = SymlinkRemote.offsets;
    view.setUint32(o.sl_magic, SYMLINK_MAGIC);
    view.setUint32(o.sl_bytes, target.length);
    bytes.set(this.#job.identity.uuid, o.sl_uuid);
    put64(view, o.sl_owner, this.#ino);
    bytes.set(target, SymlinkRemote.size);
    yield* this.#place('data', 0, bytes, (pos) => {
      put64(view, o.sl_blkno, pos / 512);
      putSum(bytes, 0, bytes.length, o.sl_crc);
    });
  }
}
