/**
 * A file of a small filesystem for tests: one map entry per block (hole, unwritten, delalloc, mapped), inline data while it is
 * small, over any device. Freed blocks keep their old content, so that a read of a block that was never written shows.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, roundUp, type Io } from '@iomap/io';
import { AddressSpace, type PageCache } from '@iomap/page-cache';
import {
  IOMAP_F_NEW,
  IOMAP_REPORT,
  IOMAP_WRITE,
  type Iomap,
  type IomapInode,
  type IomapOps,
  type WritebackOps,
} from '../iomap.js';
import { truncatePageCache } from '../truncate.js';
import { writeback } from '../writeback.js';
import { truncatePage } from '../zero.js';

export type BlockState = 'hole' | 'unwritten' | 'delalloc' | 'mapped';

export interface ExtentFileOptions {
  readonly cache: PageCache;
  readonly device: BlockDevice;
  readonly blockSize: number;
  /** Blocks that the file may use, in the order in which they are given out. */
  readonly freeBlocks: number[];
  /** Without `end` the core may lose what a NEW mapping said. */
  readonly withoutEnd?: boolean;
  /** New blocks are reserved by a write and allocated by writeback. */
  readonly delalloc?: boolean;
  /** New blocks are unwritten until their ioend. */
  readonly unwritten?: boolean;
  readonly inlineMaxBytes?: number;
  /** Where inline data goes when it becomes a block, at once; default `device`. */
  readonly rawDevice?: BlockDevice;
  /** Answers whether `peek` may answer; absent: never. */
  readonly peeks?: () => boolean;
  /** Called in `begin`, so that a test can wait or fail there. */
  readonly onBegin?: (pos: number, flags: number) => Io<void>;
  /** Called after the mapping was sampled: what another task does before it is used. */
  readonly onSampled?: (pos: number, flags: number) => Io<void>;
  /** The error that `end` answers with. */
  readonly endFails?: () => FsError | undefined;
  /** As `onBegin`, in `mapBlocks`. */
  readonly onMap?: (pos: number) => Io<void>;
  /** The longest mapping, in blocks. */
  readonly mapBlocksMax?: number;
}

export interface MapEntry {
  state: BlockState;
  block: number;
}

export class ExtentFile implements IomapInode {
  readonly ino = 12;
  size = 0;
  readonly blockSize: number;
  readonly mapping: AddressSpace;
  wasRead = false;
  readonly map: MapEntry[] = [];
  inline: Uint8Array | undefined;
  readonly options: ExtentFileOptions;
  readonly ops: IomapOps<ExtentFile>;
  readonly wbOps: WritebackOps<ExtentFile>;
  beginsOpen = 0;
  readonly discarded: { pos: number; length: number }[] = [];
  readonly ioendEnds: number[] = [];

  get mappingIfAny(): AddressSpace {
    return this.mapping;
  }

  constructor(options: ExtentFileOptions) {
    this.options = options;
    this.blockSize = options.blockSize;
    this.mapping = new AddressSpace(options.cache, { name: 'test file', blockSize: options.blockSize, host: this });
    if ((options.inlineMaxBytes ?? 0) > 0) this.inline = new Uint8Array(options.inlineMaxBytes ?? 0);
    const { peeks } = options;
    const ops: IomapOps<ExtentFile> = {
      *begin(inode, pos, length, flags, out) {
        if (options.onBegin !== undefined) yield* options.onBegin(pos, flags);
        inode.fill(pos, length, flags, out);
        inode.beginsOpen++;
        if (options.onSampled !== undefined) yield* options.onSampled(pos, flags);
      },
    };
    if (peeks !== undefined) {
      ops.peek = (inode, pos, length, flags, out) => {
        if (!peeks() || (flags & IOMAP_WRITE) !== 0 && inode.inline !== undefined) return false;
        inode.fill(pos, length, flags, out);
        return true;
      };
    } else if (options.withoutEnd !== true) {
      ops.end = function* (inode, pos, length, written, flags, iomap) {
        inode.beginsOpen--;
        if ((flags & IOMAP_WRITE) !== 0 && written < length) inode.takeBack(pos + written, pos + length, iomap);
        const error = options.endFails?.();
        if (error !== undefined) throw error;
      };
    }
    this.ops = ops;
    this.wbOps = {
      *mapBlocks(inode, offset, length, out) {
        if (options.onMap !== undefined) yield* options.onMap(offset);
        inode.mapDirty(offset, length, out);
      },
      endIoend(inode, ioend) {
        inode.ioendEnds.push(ioend.end);
        if (ioend.type === 'unwritten') inode.convert(ioend.pos, ioend.end);
      },
      discardRange(inode, pos, length) {
        inode.discarded.push({ pos, length });
      },
    };
  }

  writeback(range: { readonly pos: number; readonly len: number }): Io<void> {
    return writeback(this, this.wbOps, range);
  }

  writeAll(): Io<void> {
    return this.writeback({ pos: 0, len: Infinity });
  }

  entry(index: number): MapEntry {
    return this.map[index] ?? { state: 'hole', block: 0 };
  }

  setEntry(index: number, state: BlockState, block: number): void {
    while (this.map.length <= index) this.map.push({ state: 'hole', block: 0 });
    this.map[index] = { state, block };
  }

  allocBlock(): number {
    const block = this.options.freeBlocks.shift();
    if (block === undefined) throw new FsError('ENOSPC');
    return block;
  }

  /** Preallocates unwritten blocks. */
  preallocate(first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      if (this.entry(i).state === 'hole') this.setEntry(i, 'unwritten', this.allocBlock());
    }
    this.mapping.validityCookie++;
  }

  *truncate(size: number): Io<void> {
    if (this.inline !== undefined) {
      if (size <= this.inline.length) {
        this.inline.fill(0, Math.min(size, this.size));
        this.size = size;
        return;
      }
      this.outOfInline();
    }
    if (size < this.size) {
      yield* truncatePage(this, this.ops, size);
      this.size = size;
      yield* truncatePageCache(this, size);
      const keep = roundUp(size, this.blockSize) / this.blockSize;
      for (const entry of this.map.splice(keep)) freeEntry(this.options.freeBlocks, entry);
      this.mapping.validityCookie++;
    } else {
      yield* truncatePage(this, this.ops, this.size);
      this.size = size;
    }
  }

  /** What `begin` and `peek` do. */
  fill(pos: number, length: number, flags: number, out: Iomap): void {
    const { blockSize, options } = this;
    out.device = options.device;
    out.validityCookie = this.mapping.validityCookie;
    if (this.inline !== undefined) {
      const grows = (flags & IOMAP_WRITE) !== 0 && pos + length > this.inline.length;
      if (!grows) {
        out.type = 'inline';
        out.offset = 0;
        out.length = (flags & IOMAP_REPORT) !== 0 ? Math.max(1, this.size) : this.inline.length;
        out.addr = -1;
        out.inlineData = this.inline;
        if (pos < out.length) return;
        out.type = 'hole';
        out.offset = out.length;
        out.length = Infinity;
        return;
      }
      this.outOfInline();
      out.validityCookie = this.mapping.validityCookie;
    }
    const first = Math.floor(pos / blockSize);
    const want = Math.min(options.mapBlocksMax ?? Infinity, Math.ceil((pos + length) / blockSize) - first);
    if ((flags & IOMAP_WRITE) !== 0) {
      const fresh = this.allocate(first, want);
      this.describe(first, want, out);
      if (fresh > 0) {
        out.flags |= IOMAP_F_NEW;
        out.length = Math.min(out.length, fresh * blockSize);
      } else {
        // A run must end where new blocks begin.
        let n = 0;
        while (n * blockSize < out.length && this.entry(first + n).state !== 'hole') n++;
        out.length = n * blockSize;
      }
      return;
    }
    this.describe(first, want, out);
  }

  /** Gives blocks to the holes at the start of the range; the answer is how many were new. */
  allocate(first: number, want: number): number {
    let n = 0;
    for (; n < want && this.entry(first + n).state === 'hole'; n++) {
      if (this.options.delalloc === true) {
        this.setEntry(first + n, 'delalloc', 0);
        continue;
      }
      // One mapping is one run: what is not part of it must not be allocated, or it would not be NEW when its turn comes.
      if (n > 0 && this.options.freeBlocks[0] !== this.entry(first + n - 1).block + 1) break;
      this.setEntry(first + n, this.options.unwritten === true ? 'unwritten' : 'mapped', this.allocBlock());
    }
    return n;
  }

  /** The run of blocks in one state, contiguous on the device, from `first`. */
  describe(first: number, want: number, out: Iomap): void {
    const { blockSize } = this;
    const head = this.entry(first);
    let n = 1;
    const located = head.state === 'mapped' || head.state === 'unwritten';
    while (n < want) {
      const next = this.entry(first + n);
      if (next.state !== head.state || (located && next.block !== head.block + n)) break;
      n++;
    }
    out.type = head.state;
    out.offset = first * blockSize;
    out.length = n * blockSize;
    out.addr = located ? head.block * blockSize : -1;
    out.inlineData = undefined;
  }

  mapDirty(offset: number, length: number, out: Iomap): void {
    const { blockSize } = this;
    const first = offset / blockSize;
    const count = Math.ceil(length / blockSize);
    for (let i = 0; i < count; i++) {
      if (this.entry(first + i).state !== 'delalloc') continue;
      this.setEntry(first + i, 'mapped', this.allocBlock());
      // A writer may have sampled "delalloc" and not have its folio yet.
      this.mapping.validityCookie++;
    }
    out.device = this.options.device;
    out.validityCookie = this.mapping.validityCookie;
    this.describe(first, count, out);
  }

  convert(pos: number, end: number): void {
    const { blockSize } = this;
    for (let i = Math.floor(pos / blockSize); i * blockSize < end; i++) {
      const entry = this.entry(i);
      if (entry.state === 'unwritten') entry.state = 'mapped';
    }
    this.mapping.validityCookie++;
  }

  takeBack(pos: number, end: number, iomap: Iomap): void {
    if ((iomap.flags & IOMAP_F_NEW) === 0) return;
    const { blockSize } = this;
    for (let i = Math.ceil(pos / blockSize); i * blockSize < end; i++) {
      const entry = this.entry(i);
      // A block that someone dirtied meanwhile stays.
      const folio = this.mapping.lookup(i * blockSize);
      if (folio?.isDirty(i * blockSize - folio.pos, i * blockSize - folio.pos + 1) === true) continue;
      if (entry.state !== 'hole') this.setEntry(i, 'hole', 0);
    }
  }

  /** The inline bytes move into the first blocks, through the device. */
  outOfInline(): void {
    const bytes = this.inline;
    this.inline = undefined;
    this.mapping.validityCookie++;
    if (bytes === undefined || this.size === 0) return;
    const { blockSize, options } = this;
    for (let at = 0; at < this.size; at += blockSize) {
      const block = this.allocBlock();
      const data = new Uint8Array(blockSize);
      data.set(bytes.subarray(at, Math.min(this.size, at + blockSize)));
      void (options.rawDevice ?? options.device).submit({ op: 'write', pos: block * blockSize, segments: [data], lengthBytes: blockSize });
      this.setEntry(at / blockSize, 'mapped', block);
    }
  }
}

/** The next to be given out: a stale mapping of the old owner would write into the new one's block. */
function freeEntry(free: number[], entry: MapEntry): void {
  if (entry.state !== 'hole' && entry.block > 0) free.unshift(entry.block);
}
