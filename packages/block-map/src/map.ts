/**
 * The block map of a file: some direct blocks, then trees of one, two, … levels of indirect blocks.
 *
 * - `peek` / `read`: the run that starts at a file block: contiguous blocks, or a hole. The tree is walked once per run and
 *   the answer kept in the inode's extent cache, so that sequential I/O does not walk it again.
 * - `alloc`: maps a hole: the blocks for the whole run and the tree blocks above them in one allocation where possible,
 *   in the order tree blocks, data, as Linux lays them out.
 *
 * The map changes under the exclusive inode lock only. Writeback reads it without: after each wait it compares
 * `inode.cookie` and starts again when the map changed.
 *
 * Every pointer is checked before use, by `isDataRange`. Block n is at byte n * blockSize; a tree block is the first `treeBytes` of
 * its block (formats with zones give out more than a tree block needs).
 */
import type { Buf, BufferCache } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import type { ExtentCache, MapRun } from './extent-cache.js';
import type { AllocRequest, BlockRun } from './run-alloc.js';

/** What a format's maps look like. */
export interface MapShape {
  /** Direct blocks in the inode. */
  readonly direct: number;
  /** Trees behind them: their roots follow the direct blocks. */
  readonly levels: number;
  readonly pointerBytes: 2 | 4;
  readonly littleEndian: boolean;
  /** Bytes of what a pointer leads to. */
  readonly blockSize: number;
  /** Bytes of a tree block, at most `blockSize`. */
  readonly treeBytes: number;
}

/** What the map needs of an inode in core. */
export interface MappedInode {
  readonly ino: number;
  readonly isFile: boolean;
  /** Direct blocks, then the roots of the trees. A plain array: a typed one takes three times the heap, and there is one an inode. */
  readonly block: number[];
  /** Goes up at every change of the map. */
  readonly cookie: number;
  readonly extents: ExtentCache;
  readonly extentsIfAny: ExtentCache | undefined;
  /** Where the last allocation ended: file block and block that would come next. */
  nextFileBlock: number;
  nextBlock: number;
  /** The map changed: a new cookie. */
  mapChanged(): void;
}

/** What the map needs of its mount. */
export interface MapHost<I extends MappedInode> {
  readonly shape: MapShape;
  readonly buffers: BufferCache;
  /** Are all blocks ones that a file may own? */
  isDataRange(block: number, count: number): boolean;
  /** Where a file's first block should be. */
  firstGoal(inode: I): number;
  /** Allocates a run for `inode`, which grows in sequence or not. @throws FsError ENOSPC, EUCLEAN */
  allocRun(inode: I, request: Pick<AllocRequest, 'goal' | 'want' | 'sequential'>): Io<BlockRun>;
  /** @throws FsError EUCLEAN */
  freeRun(block: number, count: number): Io<void>;
  /** Marks a tree block dirty for the inode's fsync. @throws FsError EUCLEAN when it was let go: a block that is used twice */
  markDirty(buf: Buf, inode: I): void;
  /** The inode owns so many blocks more (or fewer); its map in the inode changed. */
  blocksChanged(inode: I, by: number): void;
  /** The inode's blocks behind some place are going: it grows there no more. */
  dropReservation(inode: I): void;
}

/** The path to a leaf entry as far as it exists. */
interface Path {
  /** The block that holds the first missing pointer (or the leaf entry), held; undefined: it is in the inode. */
  readonly buf: Buf | undefined;
  /** Index of that pointer: in `buf`, or in the inode. */
  readonly index: number;
  /** Tree blocks missing below it. */
  readonly missing: number;
  /** Index of the data block's entry in the leaf (or in the inode). */
  readonly leafIndex: number;
  /** Entries of the leaf (or direct blocks). */
  readonly leafLimit: number;
}

interface Parts {
  readonly tree: readonly number[];
  readonly data: BlockRun;
}

export class BlockMap<I extends MappedInode> {
  readonly host: MapHost<I>;
  readonly shape: MapShape;
  /** Pointers in a tree block. */
  readonly perBlock: number;
  /** One past the last file block that the map can hold. */
  readonly blocksMax: number;
  readonly #direct: number;
  readonly #blockSize: number;
  readonly #wide: boolean;
  readonly #le: boolean;
  /** Blocks that a tree of so many levels maps. */
  readonly #spans: readonly number[];

  constructor(host: MapHost<I>) {
    const { shape } = host;
    this.host = host;
    this.shape = shape;
    this.perBlock = shape.treeBytes / shape.pointerBytes;
    this.#direct = shape.direct;
    this.#blockSize = shape.blockSize;
    this.#wide = shape.pointerBytes === 4;
    this.#le = shape.littleEndian;
    this.#spans = Array.from({ length: shape.levels + 1 }, (_, depth) => this.perBlock ** depth);
    this.blocksMax = this.#spans.reduce((sum, span) => sum + span, shape.direct - 1);
  }

  /** Blocks that a tree of `depth` levels maps. */
  span(depth: number): number {
    return this.#spans[depth] ?? 0;
  }

  get(view: DataView, index: number): number {
    return this.#wide ? view.getUint32(index * 4, this.#le) : view.getUint16(index * 2, this.#le);
  }

  set(view: DataView, index: number, block: number): void {
    if (this.#wide) view.setUint32(index * 4, block, this.#le);
    else view.setUint16(index * 2, block, this.#le);
  }

  peekTree(block: number): Buf | undefined {
    return this.host.buffers.peek(block * this.#blockSize);
  }

  readTree(block: number): Io<Buf> {
    return this.host.buffers.read(block * this.#blockSize, this.shape.treeBytes);
  }

  /** @throws FsError EUCLEAN when a pointer leads elsewhere than to data blocks */
  checkPointer(inode: I, block: number, count: number): void {
    if (!this.host.isDataRange(block, count)) {
      throw corrupt('a block pointer leads outside of the data area', { ino: inode.ino, block });
    }
  }

  /** The tree that holds a file block behind the direct ones. @throws FsError EFBIG */
  #depthOf(fileBlock: number): number {
    let index = fileBlock - this.#direct;
    for (let depth = 1; depth < this.#spans.length; depth++) {
      const size = this.span(depth);
      if (index < size) return depth;
      index -= size;
    }
    throw new FsError('EFBIG');
  }

  /** The first file block of the tree of `depth` levels. */
  firstOf(depth: number): number {
    let first = this.#direct;
    for (let level = 1; level < depth; level++) first += this.span(level);
    return first;
  }

  /** The run at a direct block, from the inode itself. */
  #directRun(inode: I, fileBlock: number, out: MapRun): void {
    const { block } = inode;
    const limit = this.#direct;
    const first = block[fileBlock] ?? 0;
    let end = fileBlock + 1;
    if (first === 0) while (end < limit && block[end] === 0) end++;
    else while (end < limit && block[end] === first + (end - fileBlock)) end++;
    if (first !== 0) this.checkPointer(inode, first, end - fileBlock);
    out.block = first;
    out.count = end - fileBlock;
  }

  /** Entries of a tree block that continue the one at `index`: contiguous blocks, or zeroes. */
  #entriesFrom(view: DataView, index: number, isLeaf: boolean): number {
    const limit = this.perBlock;
    const le = this.#le;
    let end = index + 1;
    if (this.#wide) {
      const first = view.getUint32(index * 4, le);
      if (first === 0) while (end < limit && view.getUint32(end * 4, le) === 0) end++;
      else if (isLeaf) while (end < limit && view.getUint32(end * 4, le) === first + (end - index)) end++;
    } else {
      const first = view.getUint16(index * 2, le);
      if (first === 0) while (end < limit && view.getUint16(end * 2, le) === 0) end++;
      else if (isLeaf) while (end < limit && view.getUint16(end * 2, le) === first + (end - index)) end++;
    }
    return end - index;
  }

  /**
   * The run at `fileBlock` from what is in memory; `now`: or can be read within the call (the caller holds no buffer, since that may
   * evict one).
   * @returns false when a tree block must be read first: `out.block` is that block then
   * @throws FsError EUCLEAN, EFBIG
   */
  peek(inode: I, fileBlock: number, out: MapRun, now = false): boolean {
    if (fileBlock < this.#direct) {
      this.#directRun(inode, fileBlock, out);
      return true;
    }
    if (inode.extentsIfAny?.find(fileBlock, out) === true) return true;
    const depth = this.#depthOf(fileBlock);
    const { perBlock } = this;
    let pointer = inode.block[this.#direct + depth - 1] ?? 0;
    let rest = fileBlock - this.firstOf(depth);
    let span = this.span(depth);
    for (let level = depth; level > 0; level--) {
      // The whole subtree from here on is a hole.
      if (pointer === 0) return this.#remember(inode, fileBlock, 0, span - rest, out);
      this.checkPointer(inode, pointer, 1);
      const buf = now ? this.host.buffers.readNow(pointer * this.#blockSize, this.shape.treeBytes) : this.peekTree(pointer);
      if (buf === undefined) {
        out.block = pointer;
        return false;
      }
      span /= perBlock;
      const entry = Math.floor(rest / span);
      rest -= entry * span;
      pointer = this.get(buf.view, entry);
      if (level === 1 || pointer === 0) {
        const n = this.#entriesFrom(buf.view, entry, level === 1);
        if (pointer !== 0) this.checkPointer(inode, pointer, n);
        return this.#remember(inode, fileBlock, pointer, n * span - rest, out);
      }
    }
    return false;
  }

  #remember(inode: I, fileBlock: number, block: number, count: number, out: MapRun): boolean {
    inode.extents.set(fileBlock, block, count);
    out.block = block;
    out.count = count;
    return true;
  }

  /**
   * The run at `fileBlock`.
   *
   * Waits on: reads of the tree blocks on the way (again from the start when the map changes meanwhile).
   * @throws FsError EUCLEAN, EFBIG, EIO
   */
  *read(inode: I, fileBlock: number, out: MapRun): Io<void> {
    while (!this.peek(inode, fileBlock, out)) {
      const { cookie } = inode;
      const buf = (yield* this.readTree(out.block)).hold();
      try {
        // The buffer is here now; the plain walk goes one level further, unless the map moved under us.
        if (cookie === inode.cookie && this.peek(inode, fileBlock, out)) return;
      } finally {
        buf.put();
      }
    }
  }

  // Allocation -------------------------------------------------------------------------------------------------------------

  *#walk(inode: I, fileBlock: number): Io<Path> {
    const direct = this.#direct;
    if (fileBlock < direct) return { buf: undefined, index: fileBlock, missing: 0, leafIndex: fileBlock, leafLimit: direct };
    const depth = this.#depthOf(fileBlock);
    const { perBlock } = this;
    let rest = fileBlock - this.firstOf(depth);
    const leafIndex = rest % perBlock;
    let buf: Buf | undefined;
    let slot = direct + depth - 1;
    let pointer = inode.block[slot] ?? 0;
    let span = this.span(depth);
    let isDone = false;
    try {
      for (let level = depth; level > 0; level--) {
        if (pointer === 0) {
          isDone = true;
          return { buf, index: slot, missing: level, leafIndex, leafLimit: perBlock };
        }
        this.checkPointer(inode, pointer, 1);
        const next = this.peekTree(pointer) ?? (yield* this.readTree(pointer));
        next.hold();
        buf?.put();
        buf = next;
        span /= perBlock;
        slot = Math.floor(rest / span);
        rest -= slot * span;
        pointer = this.get(buf.view, slot);
      }
      isDone = true;
      return { buf, index: slot, missing: 0, leafIndex, leafLimit: perBlock };
    } finally {
      if (!isDone) buf?.put();
    }
  }

  /** Free entries of the leaf from the wanted one on, at most `want`. */
  #roomInLeaf(inode: I, path: Path, want: number): number {
    const limit = Math.min(path.leafLimit, path.leafIndex + want);
    if (path.missing > 0) return limit - path.leafIndex;
    let end = path.leafIndex;
    if (path.buf === undefined) while (end < limit && inode.block[end] === 0) end++;
    else while (end < limit && this.get(path.buf.view, end) === 0) end++;
    return end - path.leafIndex;
  }

  #findGoal(inode: I, fileBlock: number, path: Path): number {
    if (inode.nextFileBlock === fileBlock && inode.nextBlock !== 0) return inode.nextBlock;
    // The nearest mapped block before it in the same leaf, else the leaf's own place.
    if (path.missing === 0) {
      for (let at = path.leafIndex - 1; at >= 0 && at > path.leafIndex - 64; at--) {
        const block = path.buf === undefined ? (inode.block[at] ?? 0) : this.get(path.buf.view, at);
        if (block !== 0) return block + (path.leafIndex - at);
      }
    }
    if (path.buf !== undefined) return path.buf.pos / this.#blockSize + 1;
    if (path.missing > 0) {
      const before = inode.block[this.#direct - 1] ?? 0;
      if (before !== 0) return before + 1;
    }
    return this.host.firstGoal(inode);
  }

  /**
   * Maps `fileBlock` and up to `want` blocks from it on; what is mapped already stays. The new blocks' content is undefined.
   *
   * Locks: the inode, exclusive. Waits on: reads of tree blocks and bitmaps.
   * @returns true when the blocks are new
   * @throws FsError ENOSPC with nothing changed; EFBIG; EUCLEAN
   */
  *alloc(inode: I, request: { readonly fileBlock: number; readonly want: number }, out: MapRun): Io<boolean> {
    const { fileBlock } = request;
    const path = yield* this.#walk(inode, fileBlock);
    try {
      const count = this.#roomInLeaf(inode, path, request.want);
      if (count === 0) {
        yield* this.read(inode, fileBlock, out);
        return false;
      }
      const goal = this.#findGoal(inode, fileBlock, path);
      const sequential = inode.isFile && inode.nextFileBlock === fileBlock;
      const { tree, data } = yield* this.#allocParts(inode, { goal, count, missing: path.missing, sequential });
      yield* this.#link(inode, { path, fileBlock, tree, data });
      out.block = data.block;
      out.count = data.count;
      return true;
    } finally {
      path.buf?.put();
    }
  }

  /** Zeroes the `count` pointers of mapped blocks from `fileBlock` on; all of them are in one leaf. */
  *clear(inode: I, fileBlock: number, count: number): Io<void> {
    const path = yield* this.#walk(inode, fileBlock);
    try {
      if (path.missing > 0 || path.leafIndex + count > path.leafLimit) {
        throw corrupt('a run of new blocks is not mapped', { ino: inode.ino });
      }
      for (let at = path.leafIndex; at < path.leafIndex + count; at++) {
        if (path.buf === undefined) inode.block[at] = 0;
        else this.set(path.buf.view, at, 0);
      }
      if (path.buf !== undefined) this.host.markDirty(path.buf, inode);
    } finally {
      path.buf?.put();
    }
  }

  /** Blocks for the missing tree and a run of data behind them; gives everything back when it cannot have both. */
  *#allocParts(
    inode: I,
    need: { readonly goal: number; readonly count: number; readonly missing: number; readonly sequential: boolean },
  ): Io<Parts> {
    const tree: number[] = [];
    let { goal } = need;
    const { sequential } = need;
    try {
      for (;;) {
        const run = yield* this.host.allocRun(inode, { goal, want: need.missing - tree.length + need.count, sequential });
        let at = run.block;
        const end = run.block + run.count;
        while (tree.length < need.missing && at < end) tree.push(at++);
        if (at < end) return { tree, data: { block: at, count: end - at } };
        goal = end;
      }
    } catch (error) {
      for (const block of tree) yield* this.host.freeRun(block, 1);
      throw error;
    }
  }

  /** Fills the tree blocks from the leaf up and hangs them in; the pointer that makes all of it visible is set last. */
  *#link(
    inode: I,
    what: { readonly path: Path; readonly fileBlock: number; readonly tree: readonly number[]; readonly data: BlockRun },
  ): Io<void> {
    const { path, tree, data, fileBlock } = what;
    const { host } = this;
    const setRun = (view: DataView, at: number): void => {
      for (let i = 0; i < data.count; i++) this.set(view, at + i, data.block + i);
    };
    for (let level = tree.length - 1; level >= 0; level--) {
      const buf = yield* newBlock(host.buffers, (tree[level] ?? 0) * this.#blockSize, this.shape.treeBytes);
      if (level === tree.length - 1) setRun(buf.view, path.leafIndex);
      else this.set(buf.view, this.#innerIndex(fileBlock, tree.length - level - 1), tree[level + 1] ?? 0);
      host.markDirty(buf, inode);
    }
    if (path.buf === undefined) {
      if (tree.length > 0) inode.block[path.index] = tree[0] ?? 0;
      else for (let i = 0; i < data.count; i++) inode.block[path.index + i] = data.block + i;
    } else {
      if (tree.length > 0) this.set(path.buf.view, path.index, tree[0] ?? 0);
      else setRun(path.buf.view, path.leafIndex);
      host.markDirty(path.buf, inode);
    }
    if (fileBlock >= this.#direct) inode.extents.set(fileBlock, data.block, data.count);
    inode.nextFileBlock = fileBlock + data.count;
    inode.nextBlock = data.block + data.count;
    inode.mapChanged();
    host.blocksChanged(inode, tree.length + data.count);
  }

  /** Index, in the tree block `levels` above the leaf, of the pointer on the way to a file block. */
  #innerIndex(fileBlock: number, levels: number): number {
    const index = fileBlock - this.firstOf(this.#depthOf(fileBlock));
    return Math.floor(index / this.perBlock ** levels) % this.perBlock;
  }
}

/** The buffer of a block that was just allocated: zeroes, not yet dirty. Waits on: I/O of what was there before. */
export function* newBlock(buffers: BufferCache, pos: number, bytes: number): Io<Buf> {
  let buf = buffers.get(pos, bytes);
  while (buf.reading || buf.writing) {
    yield* buffers.settle(pos);
    buf = buffers.get(pos, bytes);
  }
  return buf.zero();
}

/** Drops the buffer of a metadata block that is being freed. Waits on: a write of it that is in flight. */
export function* forgetBlock(buffers: BufferCache, pos: number): Io<void> {
  if (!buffers.forget(pos)) yield* buffers.settle(pos);
}
