/**
 * All inodes of a group, chunk by chunk in the order of the disk: read up to a MiB at once, looked at in place, and each one's forks,
 * names and attributes at once. What only all inodes together can say is in links.ts.
 */
import { corrupt, type Io } from '@iomap/io';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../inode.js';
import { DIFLAG2, FORMAT, NULL_AGINO, XfsDinode } from '../ondisk.js';
import { DIR_SPACE_BYTES, SymlinkRemote } from '../ondisk-trees.js';
import { agbToPos, agLength, fsbToPos } from '../super.js';
import { checkOwner } from '../verify.js';
import { FILE_BLOCKS_MAX } from '../extents.js';
import { AttributeChecker } from './attributes.js';
import type { CheckContext } from './context.js';
import { Dinode } from './dinode.js';
import { DirectoryChecker } from './directories.js';
import { ExtentTable, ForkWalker, type ForkPlace } from './forks.js';
import type { Chunks, InodeTable } from './inode-table.js';
import { NameSink } from './names.js';
import { RUN_FLAGS } from './runs.js';
import { Scratch } from './tables.js';

const READ_BYTES = 2 ** 20;
const CHUNK = 64;
/** File blocks of an attribute fork have 32 bits. */
const ATTR_BLOCKS_MAX = 2 ** 32;

export class InodeScanner {
  readonly #context: CheckContext;
  readonly #inodes: InodeTable;
  readonly #inode: Dinode;
  readonly #walker: ForkWalker;
  readonly #extents = new ExtentTable();
  readonly #directories: DirectoryChecker;
  readonly #attributes: AttributeChecker;
  readonly #chunks = new Scratch();
  readonly #link = new Scratch();
  /** Of inodes without links: who is next on the list of unlinked ones. */
  readonly nextUnlinked = new Map<number, number>();
  /** Inodes in use. */
  count = 0;

  constructor(context: CheckContext, inodes: InodeTable) {
    this.#context = context;
    this.#inodes = inodes;
    this.#inode = new Dinode(context.info);
    this.#walker = new ForkWalker(context);
    this.#directories = new DirectoryChecker(context, new NameSink(context, inodes));
    this.#attributes = new AttributeChecker(context);
  }

  /** Waits on: reads of all inodes of the group and of what they lead to. @throws FsError EIO */
  *scan(ag: number, chunks: Chunks): Io<void> {
    const { info } = this.#context;
    const chunkBytes = CHUNK * info.inodeSize;
    const groupEnd = agLength(info, ag) * info.blockSize;
    for (let first = 0; first < chunks.length; ) {
      let count = 1;
      while (first + count < chunks.length && (count + 1) * chunkBytes <= READ_BYTES && chunks.start.at(first + count) === chunks.start.at(first) + count * CHUNK) count++;
      this.#chunks.ensure(count * chunkBytes);
      const { bytes, view } = this.#chunks;
      const at = chunks.start.at(first) * info.inodeSize;
      // The rest of a sparse chunk may lie beyond the group.
      const length = Math.min(count * chunkBytes, groupEnd - at);
      yield* this.#context.read(agbToPos(info, ag, 0) + at, bytes.subarray(0, length));
      for (let n = 0; n < count; n++) yield* this.#chunk(ag, chunks, first + n, { bytes, view, at: n * chunkBytes });
      first += count;
    }
  }

  *#chunk(ag: number, chunks: Chunks, chunk: number, from: { bytes: Uint8Array; view: DataView; at: number }): Io<void> {
    const { info } = this.#context;
    const base = this.#inodes.base(ag, chunk);
    const first = ag * 2 ** (info.agBlkLog + info.inopblog) + chunks.start.at(chunk);
    for (let i = 0; i < CHUNK; i++) {
      if (chunks.isHole(chunk, i)) continue;
      this.#inode.set(from.bytes, from.view, from.at + i * info.inodeSize, first + i);
      if (this.#core(base + i, chunks.isFree(chunk, i))) yield* this.#content(base + i);
    }
  }

  /** What can be said without reading; true = go on with its forks. */
  #core(slot: number, isFree: boolean): boolean {
    const { report } = this.#context;
    const inode = this.#inode;
    const { ino } = inode;
    const other = inode.identity();
    if (other !== undefined) {
      report.add('inode', other === 'checksum' ? 'checksum' : 'corrupt', `inode: ${other}`, { ino });
      return false;
    }
    if (this.#context.info.v5) this.#context.noteLsn(inode.view, inode.at + XfsDinode.offsets.di_lsn);
    if (inode.mode === 0) {
      if (!isFree) report.add('inode', 'inode-free', 'the inode tree says that it is in use', { ino });
      const problem = inode.freeProblem();
      if (problem !== undefined) report.add('inode', 'corrupt', `${problem[0]}: ${problem[1]}`, { ino });
      return false;
    }
    if (isFree) {
      report.add('inode', 'inode-in-use', 'the inode tree says that it is free', { ino });
      return false;
    }
    const problem = inode.problem();
    if (problem !== undefined) {
      report.add('inode', 'corrupt', `${problem[0]}: ${problem[1]}`, { ino });
      return false;
    }
    this.count++;
    this.#inodes.mode[slot] = inode.mode;
    this.#inodes.nlink[slot] = inode.nlink;
    if (inode.nlink === 0) this.nextUnlinked.set(ino, inode.nextUnlinked);
    else if (inode.nextUnlinked !== NULL_AGINO) report.add('unlinked', 'unlinked-link', 'an inode with links has a place on a list of unlinked ones', { ino });
    return true;
  }

  /** Forks, and what is in them. */
  *#content(slot: number): Io<void> {
    const { report } = this.#context;
    const inode = this.#inode;
    const { ino, type } = inode;
    let blocks = 0;
    let isSound = true;
    try {
      const data = this.#dataPlace();
      yield* this.#fork(data, inode.dataAt, inode.dataLength, inode.dataFormat, inode.dataExtents, type === S_IFDIR || type === S_IFLNK);
      blocks += this.#walker.blocks;
      isSound = !this.#walker.isTwice;
    } catch (error) {
      report.caught('fork', error, { ino });
      isSound = false;
    }
    if (isSound && type === S_IFDIR) yield* this.#directory(slot);
    if (isSound && type === S_IFLNK) yield* this.#symlink();
    if (inode.attrLength > 0) {
      try {
        const place: ForkPlace = { ino, isAttr: true, mayBeUnwritten: false, mayShare: false, end: ATTR_BLOCKS_MAX };
        yield* this.#fork(place, inode.attrAt, inode.attrLength, inode.attrFormat, inode.attrExtents, true);
        blocks += this.#walker.blocks;
        if (!this.#walker.isTwice) yield* this.#attribute();
      } catch (error) {
        report.caught('fork', error, { ino });
        isSound = false;
      }
    }
    if (isSound && inode.nblocks !== blocks) report.add('inode', 'block-count', `di_nblocks is ${inode.nblocks}, not ${blocks}`, { ino });
  }

  #dataPlace(): ForkPlace {
    const { ino, type, flags2 } = this.#inode;
    const { info } = this.#context;
    const end = type === S_IFDIR ? (3 * DIR_SPACE_BYTES) / info.blockSize : FILE_BLOCKS_MAX;
    return { ino, isAttr: false, mayBeUnwritten: type === S_IFREG, mayShare: (flags2 & DIFLAG2.REFLINK) !== 0, end };
  }

  *#fork(place: ForkPlace, at: number, length: number, format: number, count: number, isKept: boolean): Io<void> {
    const walker = this.#walker;
    const { view } = this.#inode;
    walker.start(place, isKept ? this.#extents : undefined);
    const override = place.isAttr ? undefined : this.#context.vol.overrides?.get(place.ino);
    if (override !== undefined) {
      this.#overridden(place, override.list.toArray());
      return;
    }
    if (format === FORMAT.EXTENTS) walker.records(view, at, count);
    else if (format === FORMAT.BTREE) yield* walker.tree(view, at, length);
    else return;
    if (walker.extents !== count) {
      this.#context.report.add('fork', 'extent-count', `${count} extents are said to be there, ${walker.extents} are`, { ino: place.ino });
    }
  }

  /** A fork that the log promised, and that is not on the device: its blocks are taken as they will be. */
  #overridden({ ino, mayShare }: ForkPlace, extents: readonly { off: number; block: number; count: number; unwritten: boolean }[]): void {
    for (const { off, block, count, unwritten } of extents) {
      const flags = unwritten ? RUN_FLAGS.UNWRITTEN : 0;
      if (mayShare) this.#context.claimShared(block, count, ino, off, flags);
      else this.#context.claimFsb(block, count, ino, off, flags);
      this.#walker.blocks += count;
    }
  }

  *#directory(slot: number): Io<void> {
    const { ino, size, nlink, dataFormat, dataAt, dataLength, bytes, view } = this.#inode;
    // An unlinked directory that is still open has nobody's names.
    if (nlink === 0) return;
    const dir = { ino, slot, size };
    try {
      if (dataFormat === FORMAT.LOCAL) this.#directories.inline(dir, bytes, view, dataAt, dataLength);
      else yield* this.#directories.blocks(dir, this.#extents);
    } catch (error) {
      this.#context.report.caught('directory', error, { ino });
    }
  }

  *#attribute(): Io<void> {
    const { ino, attrFormat, attrAt, attrLength, attrExtents, bytes, view } = this.#inode;
    try {
      if (attrFormat === FORMAT.LOCAL) this.#attributes.inline(ino, bytes, view, attrAt, attrLength);
      else if (attrExtents > 0) yield* this.#attributes.blocks(ino, this.#extents);
    } catch (error) {
      this.#context.report.caught('attribute', error, { ino });
    }
  }

  *#symlink(): Io<void> {
    const { ino, size, dataFormat, dataAt, bytes } = this.#inode;
    const { info, vol, report } = this.#context;
    try {
      if (dataFormat === FORMAT.LOCAL) {
        if (bytes.subarray(dataAt, dataAt + size).includes(0)) throw corrupt('a symbolic link with a NUL', { ino });
        return;
      }
      const head = info.v5 ? SymlinkRemote.size : 0;
      const at = SymlinkRemote.offsets;
      let done = 0;
      for (let fileBlock = 0; done < size; ) {
        const fsb = this.#extents.find(fileBlock);
        if (fsb < 0) throw corrupt('a symbolic link with a hole', { ino, field: 'br_startoff' });
        const count = Math.min(this.#extents.runLength(fileBlock), Math.ceil((size - done + head) / info.blockSize));
        this.#link.ensure(4 * info.blockSize);
        const run = this.#link.bytes.subarray(0, count * info.blockSize);
        const pos = fsbToPos(info, fsb);
        yield* this.#context.read(pos, run);
        const view = new DataView(run.buffer, run.byteOffset, run.byteLength);
        this.#context.verify(vol.ops.symlink, view, { bytes: run, pos }, ino);
        const part = Math.min(size - done, run.length - head);
        if (info.v5) {
          checkOwner(view.getUint32(at.sl_owner) * 2 ** 32 + view.getUint32(at.sl_owner + 4), ino, pos, 'symlink block');
          if (view.getUint32(at.sl_offset) !== done || view.getUint32(at.sl_bytes) !== part) throw corrupt('a block of another part of the link', { ino, field: 'sl_offset' });
        }
        if (run.subarray(head, head + part).includes(0)) throw corrupt('a symbolic link with a NUL', { ino });
        done += part;
        fileBlock += count;
      }
    } catch (error) {
      report.caught('symlink', error, { ino });
    }
  }
}
