/**
 * `bulkBuild`: a whole image from a tree, written once in the order of the disk, without a mount.
 *
 * The tree is numbered first (number.ts), so that every directory knows its inodes. Then inode after inode gets its blocks
 * from the stage, content behind its indirect block where it needs one, and its place in the inode table. What is
 * in use is a run of blocks from the start of each group; bitmaps, descriptors and the superblocks are written at the end.
 *
 * I1  The primary superblock is written last, after a flush: an image that is not whole does not look whole.
 * I2  The same tree, options, size and `Env` give the same bytes.
 */
import { DeviceWriter, wipeSignatures } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { divCeil, FsError, systemEnv, withContext, type Io, type Timespec } from '@iomap/io';
import { bulkPath, readSparse, type BulkJob as AnyBulkJob, type BulkNode, type BulkPlace } from '@iomap/vfs';
import type { NewEntry } from '../dir-block.js';
import { blockPos, gdtBlock, groupHasSuper, groupOfInode, maxFileBytes, type Geometry } from '../geometry.js';
import { encodeDev, encodeInode, Ext2InodeInCore, FAST_SYMLINK_MAX, FLAG_INDEX } from '../inode.js';
import { buildDataBlocks, buildGroupDescs, buildInodes, buildReservedGdt, buildSuper, groupTables } from '../mkfs-image.js';
import type { MkfsOptions } from '../mkfs-options.js';
import { prepareMkfs, resultOf, writeBackupSuper, writeDescs, writePrimarySuper, type MkfsJob, type MkfsResult } from '../mkfs.js';
import { COMPAT, DYNAMIC_REV, fileTypeOfMode, NDIR_BLOCKS, RO_COMPAT } from '../ondisk.js';
import { AttributeWriter } from './attributes.js';
import { BlockMap } from './block-map.js';
import { DirectoryWriter } from './directory.js';
import { countGroups, groupBitmaps, groupUsage, type Usage } from './head.js';
import { InodeTables } from './inode-tables.js';
import { LOST_FOUND, numberTree, type Numbering } from './number.js';
import { Stage } from './stage.js';

/** Large fields of a new inode, up to `i_projid`. */
const EXTRA_ISIZE = 32;
/** A file with holes is read in pieces of so many bytes. */
const SPARSE_BYTES = 1024 * 1024;
const LARGE_FILE_BYTES = 2 ** 31;
const BATCH_GROUPS = 64;

export type BulkJob<N extends BulkNode<N>> = AnyBulkJob<N, MkfsOptions>;

/**
 * Makes an ext2 filesystem that holds a tree; everything on the device is lost.
 *
 * Waits on: writes of some MiB each, one after another; a flush before and after the primary superblock.
 * @throws FsError as `mkfs`, and with the path: ENOSPC, EFBIG, ENAMETOOLONG, EMLINK, EEXIST, EINVAL; the device's own
 */
export function* bulkBuild<N extends BulkNode<N>>(device: BlockDevice, job: BulkJob<N>): Io<MkfsResult> {
  const made = prepareMkfs(device, job.format ?? {}, job.env ?? systemEnv());
  const builder = new Builder(device, made, job);
  const writer = new DeviceWriter(device);
  yield* wipeSignatures(writer, device, made.sizeBytes);
  yield* builder.run();
  return yield* writeHeads(writer, made, builder);
}

class Builder<N extends BulkNode<N>> {
  readonly directories: Uint32Array;
  readonly attributes: AttributeWriter;
  readonly stage: Stage;
  isLarge = false;
  readonly #job: BulkJob<N>;
  readonly #made: MkfsJob;
  readonly #geometry: Geometry;
  readonly #tree: Numbering<N>;
  readonly #tables: InodeTables;
  readonly #map: BlockMap;
  readonly #inode: Ext2InodeInCore;
  readonly #writer: DirectoryWriter;
  readonly #lostFound: number;
  #scratch: Uint8Array | undefined;

  constructor(device: BlockDevice, made: MkfsJob, job: BulkJob<N>) {
    const { plan, settings, identity } = made;
    const { geometry } = plan;
    const { blockSize, inodeSize } = geometry;
    this.#job = job;
    this.#made = made;
    this.#geometry = geometry;
    this.#lostFound = plan.lostFoundBlocks > 0 ? geometry.firstIno : 0;
    this.#tree = numberTree(job.root, {
      first: geometry.firstIno + (this.#lostFound > 0 ? 1 : 0),
      count: geometry.inodesCount,
      lostFound: this.#lostFound,
    });
    this.stage = new Stage(device, plan);
    this.#tables = new InodeTables(device, plan, { first: buildInodes(plan, settings, identity.now), fresh: settings.assumeZeroed });
    // One object for all inodes: the codec is the driver's, the map is this file's.
    this.#inode = new Ext2InodeInCore(0, blockSize, () => {
      throw new FsError('EINVAL');
    });
    this.#inode.isNew = true;
    this.#inode.extraIsize = inodeSize > 128 ? EXTRA_ISIZE : 0;
    this.#map = new BlockMap(this.stage, blockSize, this.#inode.block);
    this.attributes = new AttributeWriter(this.stage, { blockSize, room: Math.max(0, inodeSize - 128 - EXTRA_ISIZE) });
    const seed = new DataView(identity.hashSeed.buffer, identity.hashSeed.byteOffset, 16);
    this.#writer = new DirectoryWriter({
      blockSize,
      filetype: geometry.filetype,
      index: (geometry.compat & COMPAT.dir_index) !== 0,
      hashSeed: [0, 4, 8, 12].map((at) => seed.getUint32(at, true)),
    });
    this.directories = new Uint32Array(geometry.groupCount);
    if (this.#lostFound > 0 && !this.#tree.hasLostFound) this.directories[0] = 1;
  }

  /** The first inode that is free. */
  get nextIno(): number {
    let last = this.#geometry.firstIno - (this.#lostFound > 0 ? 0 : 1);
    for (const ino of this.#tree.inos.values()) if (ino > last) last = ino;
    return last + 1;
  }

  #ino(node: N): number {
    return this.#tree.inos.get(node) ?? 0;
  }

  *run(): Io<void> {
    const { plan } = this.#made;
    const { stage } = this;
    // lost+found and the resize inode have their blocks from mkfs; the root's is written again below.
    const first = groupTables(plan, 0).end;
    const own = buildDataBlocks(plan);
    const { blockSize } = this.#geometry;
    for (let i = 0; i * blockSize < own.length; i++) {
      yield* stage.patch(first + i, own.subarray(i * blockSize, (i + 1) * blockSize));
    }
    for (const place of this.#tree.places) {
      try {
        yield* this.#place(place);
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        throw withContext(error, { path: bulkPath(place) });
      }
    }
    yield* this.attributes.finish();
    yield* stage.finish();
    yield* this.#tables.finish();
  }

  *#place(place: BulkPlace<N>): Io<void> {
    const { node } = place;
    const ino = this.#ino(node);
    const inode = this.#inode;
    this.#map.open();
    inode.mode = node.mode;
    inode.uid = node.uid;
    inode.gid = node.gid;
    inode.size = node.size;
    inode.flags = 0;
    inode.nlink = this.#tree.links.get(node) ?? 1;
    this.#times(node);
    switch (node.type) {
      case 'file':
        yield* this.#file(node);
        break;
      case 'directory':
        yield* this.#directory(place);
        break;
      case 'symlink':
        yield* this.#symlink(node.target ?? new Uint8Array(0));
        break;
      case 'char':
      case 'block':
        encodeDev(inode.block, node.rdev);
        break;
      case 'unknown':
        throw new FsError('EINVAL', { why: 'unknown type of file' });
      default:
    }
    if (node.type !== 'file' && node.type !== 'directory' && node.type !== 'symlink') inode.size = 0;
    yield* this.#attributes(place);
    inode.blocks = this.#map.count * (this.#geometry.blockSize / 512);
    if (!this.#tables.has(ino)) yield* this.#tables.advance(ino);
    encodeInode(inode, this.#tables.slot(ino), this.#geometry);
  }

  #times(node: N): void {
    const inode = this.#inode;
    inode.mtime = this.#clamped(node.mtime);
    inode.atime = this.#clamped(node.atime);
    inode.ctime = this.#clamped(node.ctime);
    inode.btime = inode.mtime;
  }

  #clamped(time: Timespec): Timespec {
    const latest = this.#job.options?.latest;
    if (latest === undefined) return time;
    return time.sec > latest.sec || (time.sec === latest.sec && time.nsec > latest.nsec) ? latest : time;
  }

  *#attributes(place: BulkPlace<N>): Io<void> {
    const { node } = place;
    const inode = this.#inode;
    inode.fileAcl = 0;
    inode.ibody = undefined;
    if (node.xattrs === undefined || node.xattrs.size === 0) return;
    const tell = this.#job.options?.attributeFailed;
    const stored = yield* this.attributes.store({ mode: inode.mode, isDirectory: node.type === 'directory' }, node.xattrs, (name, error) => {
      if (tell === undefined) throw error;
      tell(bulkPath(place), name, error);
    });
    inode.mode = stored.mode;
    inode.ibody = stored.ibody;
    inode.fileAcl = stored.block;
    if (stored.block !== 0) this.#map.count++;
  }

  // Content ------------------------------------------------------------------------------------------------------------

  *#file(node: N): Io<void> {
    const { size } = node;
    if (size === 0) return;
    if (size > maxFileBytes(this.#geometry)) throw new FsError('EFBIG');
    if (size >= LARGE_FILE_BYTES) this.isLarge = true;
    if (node.dataBytes < size) yield* this.#sparse(node);
    else yield* this.#dense(node);
    yield* this.#map.close();
  }

  /** Reads a file without holes straight into the blocks it gets. */
  *#dense(node: N): Io<void> {
    const { data, options } = this.#job;
    const { blockSize } = this.#geometry;
    const { size } = node;
    const total = divCeil(size, blockSize);
    const map = this.#map;
    const { stage } = this;
    // The first indirect block goes before all content, so that this is one run.
    if (total > NDIR_BLOCKS) yield* map.prepare(NDIR_BLOCKS);
    for (let at = 0; at < total; ) {
      if (map.needs(at)) yield* map.prepare(at);
      if (stage.room === 0) yield* stage.ready();
      const span = at < NDIR_BLOCKS ? NDIR_BLOCKS - at + map.span(NDIR_BLOCKS) : map.span(at);
      const blocks = Math.min(stage.room, total - at, span);
      const bytes = stage.at(blocks);
      const pos = at * blockSize;
      const want = Math.min(bytes.length, size - pos);
      const got = data.read(node, pos, want === bytes.length ? bytes : bytes.subarray(0, want));
      const used = got === want ? blocks : divCeil(got, blockSize);
      bytes.fill(0, got, used * blockSize);
      if (used > 0) map.set(at, stage.take(used), used);
      options?.progress?.(got);
      if (got < want) return;
      at += blocks;
    }
  }

  /** Reads a file with holes; blocks of zeros become holes. */
  #sparse(node: N): Io<void> {
    const scratch = (this.#scratch ??= new Uint8Array(SPARSE_BYTES));
    const file = { node, data: this.#job.data, blockSize: this.#geometry.blockSize, scratch, progress: this.#job.options?.progress };
    return readSparse(file, (block, bytes) => this.#append(block, bytes));
  }

  /** Writes whole blocks at file block `at`. */
  *#append(first: number, bytes: Uint8Array): Io<void> {
    const { blockSize } = this.#geometry;
    const end = first + bytes.length / blockSize;
    const map = this.#map;
    const { stage } = this;
    for (let at = first; at < end; ) {
      if (map.needs(at)) yield* map.prepare(at);
      if (stage.room === 0) yield* stage.ready();
      const blocks = Math.min(stage.room, end - at, map.span(at));
      const from = (at - first) * blockSize;
      stage.at(blocks).set(bytes.subarray(from, from + blocks * blockSize));
      map.set(at, stage.take(blocks), blocks);
      at += blocks;
    }
  }

  *#symlink(target: Uint8Array): Io<void> {
    const { blockSize } = this.#geometry;
    const inode = this.#inode;
    if (target.length === 0) throw new FsError('ENOENT', { why: 'a symlink to nothing' });
    if (target.length >= blockSize) throw new FsError('ENAMETOOLONG', { why: `a symlink's target of ${target.length} bytes` });
    inode.size = target.length;
    if (target.length > FAST_SYMLINK_MAX) {
      const block = new Uint8Array(blockSize);
      block.set(target);
      yield* this.#append(0, block);
      return;
    }
    // The words of i_block, little-endian.
    target.forEach((byte, i) => {
      inode.block[i >> 2] = ((inode.block[i >> 2] ?? 0) | (byte << (8 * (i & 3)))) >>> 0;
    });
  }

  *#directory(place: BulkPlace<N>): Io<void> {
    const { node, parent } = place;
    const ino = this.#ino(node);
    const { blockSize, filetype } = this.#geometry;
    const inode = this.#inode;
    const isRoot = parent === undefined;
    const entries: NewEntry[] = [];
    let subdirectories = 0;
    if (isRoot && this.#lostFound > 0 && !this.#tree.hasLostFound) {
      entries.push({ name: LOST_FOUND, ino: this.#lostFound, fileType: filetype ? fileTypeOfMode(0o040000) : 0 });
      subdirectories++;
    }
    for (const { name, inode: child } of node.entries) {
      if (child.type === 'directory') subdirectories++;
      entries.push({ name, ino: this.#ino(child), fileType: filetype ? fileTypeOfMode(child.mode) : 0 });
    }
    const isLostFound = ino === this.#lostFound;
    const { bytes, indexed } = this.#writer.make({
      ino,
      parent: parent === undefined ? ino : this.#ino(parent.node),
      entries,
      blocksMin: isLostFound ? this.#made.plan.lostFoundBlocks : 1,
      // fsck enters names there in a hurry.
      linear: isLostFound,
    });
    const kept = isRoot ? 1 : isLostFound ? this.#made.plan.lostFoundBlocks : 0;
    const first = groupTables(this.#made.plan, 0).end + (isRoot ? 0 : 1);
    for (let i = 0; i < kept; i++) {
      this.#map.set(i, first + i, 1);
      yield* this.stage.patch(first + i, bytes.subarray(i * blockSize, (i + 1) * blockSize));
    }
    if (bytes.length > kept * blockSize) yield* this.#append(kept, bytes.subarray(kept * blockSize));
    yield* this.#map.close();
    inode.size = bytes.length;
    inode.nlink = 2 + subdirectories;
    if (indexed) inode.flags = FLAG_INDEX;
    const group = groupOfInode(this.#geometry, ino);
    this.directories[group] = (this.directories[group] ?? 0) + 1;
  }
}

/** Writes all that says what is in use; the primary superblock last. */
function* writeHeads<N extends BulkNode<N>>(writer: DeviceWriter, made: MkfsJob, builder: Builder<N>): Io<MkfsResult> {
  const { settings, identity } = made;
  const compat = builder.attributes.usesBlocks ? COMPAT.ext_attr : 0;
  const roCompat = builder.isLarge ? RO_COMPAT.large_file : 0;
  const base = made.plan.geometry;
  const geometry: Geometry = {
    ...base,
    compat: base.compat | compat,
    roCompat: base.roCompat | roCompat,
    revision: compat !== 0 || roCompat !== 0 ? DYNAMIC_REV : base.revision,
  };
  const plan = { ...made.plan, geometry };
  const usage: Usage = { nextBlock: builder.stage.cursor, nextIno: builder.nextIno, directories: builder.directories };
  const { bytes: descs } = buildGroupDescs(plan);
  const free = countGroups(plan, usage, descs);
  const superBytes = buildSuper(plan, settings, identity, free);
  for (let group = 0; group < geometry.groupCount; group++) {
    if (group > 0 && groupHasSuper(geometry, group)) writeBackupSuper(writer, geometry, group, superBytes);
    writeDescs(writer, geometry, group, descs);
    writer.write(blockPos(geometry, groupTables(plan, group).blockBitmap), groupBitmaps(geometry, group, groupUsage(plan, usage, group)));
    if (group % BATCH_GROUPS === BATCH_GROUPS - 1) yield* writer.submit();
  }
  if (plan.resizeInode && geometry.reservedGdtBlocks > 0) {
    writer.write(blockPos(geometry, gdtBlock(geometry, 0) + geometry.gdtBlocks), buildReservedGdt(plan));
  }
  yield* writer.submit();
  yield* writer.flush(); // I1: everything it points to before the superblock
  yield* writePrimarySuper(writer, geometry, superBytes);
  yield* writer.flush();
  return resultOf(plan, free, identity.uuid);
}
