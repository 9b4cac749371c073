/**
 * `bulkBuild`: a whole image from a tree, written once in the order of the disk, without a mount, a log or a transaction.
 *
 * The tree is put in order first, so that every directory knows its inodes' numbers: they fill the groups' first blocks, chunk after
 * chunk. Then inode after inode gets its blocks from the space behind, and its place in the stream of inodes. Groups are sealed as the
 * space goes on to the next; the first group's head, with the superblock, comes last.
 *
 * I1  The primary superblock is written last, after a flush: an image that is not whole does not look whole.
 * I2  The same tree, options, size and `Env` give the same bytes.
 * I3  Memory does not grow with the size of files: content streams through the space's window.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, systemEnv, withContext, type Io } from '@iomap/io';
import { bulkPath, orderBulk, type BulkJob as AnyBulkJob, type BulkNode, type BulkOrder, type BulkPlace } from '@iomap/vfs';
import { INODES_USED } from '../mkfs/group.js';
import { buildInodes } from '../mkfs/image.js';
import { beginMkfs, endMkfs, prepareMkfs, type MkfsJob, type MkfsResult } from '../mkfs/mkfs.js';
import type { MkfsOptions } from '../mkfs/options.js';
import { storeAttributes, type StoredAttributes } from './attributes.js';
import { ContentWriter } from './content.js';
import { DirectoryWriter, inlineBytes, type NewEntry } from './directory.js';
import { InodeStream } from './inode-stream.js';
import { encodeDevice, ftypeOf, InodeWriter, type NewNode } from './inode-writer.js';
import { planRooms, Space } from './space.js';

const NAME_MAX = 255;
/** A target has to be shorter. */
const TARGET_MAX = 1024;

export type BulkJob<N extends BulkNode<N>> = AnyBulkJob<N, MkfsOptions>;

/**
 * Makes an XFS that holds a tree; everything on the device is lost.
 *
 * Waits on: writes of up to 2 MiB each, one after another; a flush before and after the primary superblock.
 * @throws FsError as `mkfs`, and with the path: ENOSPC, ENAMETOOLONG, EINVAL; the device's own
 */
export function* bulkBuild<N extends BulkNode<N>>(device: BlockDevice, job: BulkJob<N>): Io<MkfsResult> {
  const order = orderBulk(job.root, NAME_MAX);
  const inodes = order.places.length + INODES_USED - 1;
  const made = withRoomForInodes(prepareMkfs(device, job.format ?? {}, job.env ?? systemEnv()), inodes);
  const rooms = planRooms(made.plan, inodes);
  const stream = new InodeStream(made, rooms);
  const space = new Space(made, rooms);
  yield* beginMkfs(made);
  yield* new Builder(made, job, order, { stream, space }).run();
  yield* stream.finish();
  yield* space.finish();
  const { first } = space;
  if (first === undefined) throw new FsError('ENOSPC');
  return yield* endMkfs(made, first, { icount: stream.count, ifree: stream.count - inodes, fdblocks: space.freeBlocks });
}

/** Small files may take more of the image for their inodes than is usual: the limit gives way, or nobody could make more. */
function withRoomForInodes(made: MkfsJob, inodes: number): MkfsJob {
  const { plan } = made;
  const { inodeSize, inodesPercent } = plan.settings;
  const percent = (inodes * inodeSize * 100) / (plan.dblocks * plan.blockSize);
  if (inodesPercent !== undefined || percent * 2 < plan.imaxPct) return made;
  return { ...made, plan: { ...plan, imaxPct: Math.min(100, Math.ceil(percent * 2)) } };
}

class Builder<N extends BulkNode<N>> {
  readonly #job: BulkJob<N>;
  readonly #made: MkfsJob;
  readonly #order: BulkOrder<N>;
  readonly #stream: InodeStream;
  readonly #content: ContentWriter;
  readonly #writer: InodeWriter;
  readonly #directories: DirectoryWriter;

  constructor(made: MkfsJob, job: BulkJob<N>, order: BulkOrder<N>, places: { readonly stream: InodeStream; readonly space: Space }) {
    const { blockSize, dirBlockSize } = made.plan;
    this.#made = made;
    this.#job = job;
    this.#order = order;
    this.#stream = places.stream;
    this.#content = new ContentWriter(made, places.space);
    this.#writer = new InodeWriter(made, places.space, this.#content);
    this.#directories = new DirectoryWriter(blockSize, dirBlockSize);
  }

  /** The number of the inode in place `index`: behind the root come the two of the realtime device. */
  #ino(index: number): number {
    return this.#stream.inoOf(index === 0 ? 0 : index + INODES_USED - 1);
  }

  *run(): Io<void> {
    for (const place of this.#order.places) {
      try {
        yield* this.#place(place);
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        throw withContext(error, { path: bulkPath(place) });
      }
      if (place.index === 0) yield* this.#realtimeInodes();
    }
  }

  /** The two inodes behind the root are mkfs's. */
  *#realtimeInodes(): Io<void> {
    const { plan, identity } = this.#made;
    const { inodeSize } = plan.settings;
    const own = buildInodes(plan, identity);
    for (let i = 1; i < INODES_USED; i++) {
      const { bytes, at } = yield* this.#stream.next();
      bytes.set(own.subarray(i * inodeSize, (i + 1) * inodeSize), at);
    }
  }

  *#place(place: BulkPlace<N>): Io<void> {
    const { node, index } = place;
    const ino = this.#ino(index);
    const attrs = this.#attributes(place);
    const made: NewNode = {
      ino,
      mode: attrs.mode,
      nlink: this.#order.links.get(node) ?? 1,
      uid: node.uid,
      gid: node.gid,
      size: 0,
      rdev: undefined,
      mtime: this.#clamped(node.mtime),
      atime: this.#clamped(node.atime),
      ctime: this.#clamped(node.ctime),
      items: attrs.items,
      inline: undefined,
    };
    this.#content.open(ino);
    const whole = yield* this.#fill(place, made);
    // What it has in blocks is there: only now is it the next inode's turn.
    const slot = yield* this.#stream.next();
    yield* this.#writer.write(whole, slot);
  }

  *#fill(place: BulkPlace<N>, made: NewNode): Io<NewNode> {
    const { node } = place;
    const { data, options } = this.#job;
    switch (node.type) {
      case 'file':
        yield* this.#content.file(node, data, options?.progress);
        return { ...made, size: node.size };
      case 'directory':
        return yield* this.#directory(place, made);
      case 'symlink':
        return yield* this.#symlink(node.target ?? new Uint8Array(0), made);
      case 'char':
      case 'block':
        return { ...made, rdev: encodeDevice(node.rdev) };
      case 'fifo':
      case 'socket':
        return { ...made, rdev: 0 };
      default:
        throw new FsError('EINVAL', { why: 'unknown type of file' });
    }
  }

  *#directory({ node, parent }: BulkPlace<N>, made: NewNode): Io<NewNode> {
    const up = parent === undefined ? made.ino : this.#ino(parent.index);
    const entries: NewEntry[] = [];
    let subdirectories = 0;
    for (const { name, inode } of node.entries) {
      if (inode.type === 'directory') subdirectories++;
      entries.push({ name, ino: this.#ino(this.#order.indexes.get(inode) ?? 0), ftype: ftypeOf(inode.type) });
    }
    const nlink = 2 + subdirectories;
    const { dirBlockSize } = this.#made.plan;
    const bytes = inlineBytes(up, entries, dirBlockSize);
    if (bytes >= 0 && this.#writer.fitsInline(bytes, made.items)) {
      return { ...made, nlink, size: bytes, inline: { kind: 'directory', bytes, parent: up, entries } };
    }
    const { blocks, dataBlocks } = this.#directories.make(made.ino, up, entries);
    for (const block of blocks) yield* this.#content.block(block, 'data');
    return { ...made, nlink, size: dataBlocks * dirBlockSize };
  }

  *#symlink(target: Uint8Array, made: NewNode): Io<NewNode> {
    if (target.length === 0) throw new FsError('ENOENT', { why: 'a symlink to nothing' });
    if (target.length >= TARGET_MAX) throw new FsError('ENAMETOOLONG', { why: `a symlink's target of ${target.length} bytes` });
    if (this.#writer.fitsInline(target.length, made.items)) {
      return { ...made, size: target.length, inline: { kind: 'target', bytes: target.length, target } };
    }
    yield* this.#content.target(target);
    return { ...made, size: target.length };
  }

  #attributes(place: BulkPlace<N>): StoredAttributes {
    const { node } = place;
    if (node.xattrs === undefined || node.xattrs.size === 0) return { items: [], mode: node.mode };
    const tell = this.#job.options?.attributeFailed;
    return storeAttributes({ mode: node.mode, isDirectory: node.type === 'directory' }, node.xattrs, (name, error) => {
      if (tell === undefined) throw error;
      tell(bulkPath(place), name, error);
    });
  }

  #clamped(time: N['mtime']): N['mtime'] {
    const latest = this.#job.options?.latest;
    if (latest === undefined) return time;
    return time.sec > latest.sec || (time.sec === latest.sec && time.nsec > latest.nsec) ? latest : time;
  }
}
