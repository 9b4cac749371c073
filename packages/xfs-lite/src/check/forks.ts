/**
 * The extents of a fork, each checked and taken: an array of records in the inode, or a tree of them. Extents are not kept but
 * where the caller wants to follow them (directories, attributes, symbolic links).
 */
import { corrupt, type FsError, type Io } from '@iomap/io';
import { FILE_BLOCKS_MAX } from '../extents.js';
import { BMBT_REC_BYTES } from '../ondisk.js';
import { BTREE_LONG_V4_BYTES, BtreeLong } from '../ondisk-trees.js';
import { fsbToPos, isFsBlock } from '../super.js';
import { checkOwner } from '../verify.js';
import type { CheckContext } from './context.js';
import { RUN_FLAGS } from './runs.js';
import { Numbers, Scratch } from './tables.js';

const LEVELS_MAX = 9;
const NULL_HALF = 0xffff_ffff;

/** Extents that are followed. */
export class ExtentTable {
  readonly off = new Numbers();
  readonly block = new Numbers();
  readonly count = new Numbers();

  get length(): number {
    return this.off.length;
  }

  clear(): void {
    this.off.clear();
    this.block.clear();
    this.count.clear();
  }

  /** The filesystem block at `fileBlock`, -1 = a hole. */
  find(fileBlock: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (this.off.at(mid) <= fileBlock) low = mid + 1;
      else high = mid;
    }
    if (low === 0) return -1;
    const skip = fileBlock - this.off.at(low - 1);
    return skip < this.count.at(low - 1) ? this.block.at(low - 1) + skip : -1;
  }

  /** Blocks that follow one another on the device from `fileBlock` on. */
  runLength(fileBlock: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (this.off.at(mid) <= fileBlock) low = mid + 1;
      else high = mid;
    }
    return low === 0 ? 0 : Math.max(0, this.off.at(low - 1) + this.count.at(low - 1) - fileBlock);
  }
}

export interface ForkPlace {
  readonly ino: number;
  readonly isAttr: boolean;
  /** Only the data of a file may be unwritten. */
  readonly mayBeUnwritten: boolean;
  /** May its blocks be another file's too? */
  readonly mayShare: boolean;
  /** First file block that it cannot have. */
  readonly end: number;
}

/** Walks one fork after another; what it counts is of the last. */
export class ForkWalker {
  readonly #context: CheckContext;
  readonly #scratch = new Scratch();
  #place: ForkPlace = { ino: 0, isAttr: false, mayBeUnwritten: false, mayShare: false, end: 0 };
  #end = 0;
  #keep: ExtentTable | undefined;
  /** Extents met, and blocks, those of the tree too. */
  extents = 0;
  blocks = 0;
  /** File block behind the last extent. */
  endBlock = 0;
  /** Some block was somebody else's: what is in it is not looked at again. */
  isTwice = false;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  start(place: ForkPlace, keep: ExtentTable | undefined): void {
    this.#place = place;
    this.#keep = keep;
    this.#end = 0;
    this.extents = 0;
    this.blocks = 0;
    this.endBlock = 0;
    this.isTwice = false;
    keep?.clear();
  }

  #bad(why: string, field: string): FsError {
    return corrupt(why, { ino: this.#place.ino, field });
  }

  /** Takes `count` records at `at`. @throws FsError EUCLEAN at the first that is wrong */
  records(view: DataView, at: number, count: number): void {
    const { info } = this.#context;
    const { ino, isAttr, mayBeUnwritten, mayShare, end } = this.#place;
    for (let i = 0; i < count; i++) {
      const pos = at + i * BMBT_REC_BYTES;
      const w0 = view.getUint32(pos);
      const w1 = view.getUint32(pos + 4);
      const w3 = view.getUint32(pos + 12);
      const off = (w0 & 0x7fff_ffff) * 2 ** 23 + (w1 >>> 9);
      const block = (w1 & 0x1ff) * 2 ** 43 + view.getUint32(pos + 8) * 2 ** 11 + (w3 >>> 21);
      const length = w3 & 0x1f_ffff;
      const isUnwritten = w0 >>> 31 === 1;
      if (off < this.#end) throw this.#bad('mappings of a fork are out of order', 'br_startoff');
      if (length === 0 || off + length > Math.min(end, FILE_BLOCKS_MAX)) throw this.#bad(`an extent of ${length} blocks at ${off}`, 'br_blockcount');
      if (block === 0 || !isFsBlock(info, block, length)) throw this.#bad('an extent of a fork leaves its group', 'br_startblock');
      if (isUnwritten && !mayBeUnwritten) throw this.#bad('an unwritten extent where none can be', 'br_state');
      const flags = (isAttr ? RUN_FLAGS.ATTR : 0) + (isUnwritten ? RUN_FLAGS.UNWRITTEN : 0);
      if (mayShare) this.#context.claimShared(block, length, ino, off, flags);
      else if (!this.#context.claimFsb(block, length, ino, off, flags)) this.isTwice = true;
      this.#end = off + length;
      this.extents++;
      this.blocks += length;
      if (this.#keep !== undefined) {
        this.#keep.off.push(off);
        this.#keep.block.push(block);
        this.#keep.count.push(length);
      }
    }
    this.endBlock = this.#end;
  }

  /**
   * Takes all of the tree whose root is the `length` bytes at `at`.
   *
   * Waits on: a read of each block of the tree.
   * @throws FsError EUCLEAN, EBADMSG, EIO
   */
  *tree(view: DataView, at: number, length: number): Io<void> {
    const { info } = this.#context;
    const level = length < 4 ? 0 : view.getUint16(at);
    const count = length < 4 ? 0 : view.getUint16(at + 2);
    const room = Math.floor((length - 4) / 16);
    if (level < 1 || level > LEVELS_MAX || count < 1 || count > room) throw this.#bad(`root of an extent tree with level ${level} and ${count} records`, 'bb_level');
    const todo: { fsb: number; level: number; key: number }[] = [];
    const push = (from: DataView, keys: number, pointers: number, records: number, below: number): void => {
      for (let i = records - 1; i >= 0; i--) {
        const pointer = pointers + i * 8;
        const key = keys + i * 8;
        todo.push({ fsb: from.getUint32(pointer) * 2 ** 32 + from.getUint32(pointer + 4), level: below, key: from.getUint32(key) * 2 ** 32 + from.getUint32(key + 4) });
      }
    };
    push(view, at + 4, at + 4 + room * 8, count, level - 1);
    /** Of each level: the block before, and whom it names as its right neighbour. */
    const before: ({ fsb: number; right: number } | undefined)[] = [];
    const seen = new Set<number>();
    const head = info.v5 ? BtreeLong.size : BTREE_LONG_V4_BYTES;
    const max = Math.floor((info.blockSize - head) / 16);
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const { fsb } = next;
      if (seen.has(fsb)) throw this.#bad('an extent tree points at a block twice', 'bb_ptr');
      seen.add(fsb);
      const node = yield* this.#block(fsb);
      const records = node.getUint16(6);
      if (node.getUint16(4) !== next.level || records < 1 || records > max) throw this.#bad(`an extent tree block with level ${node.getUint16(4)} and ${records} records`, 'bb_level');
      const left = siblingAt(node, BtreeLong.offsets.bb_leftsib);
      const last = before[next.level];
      if (left !== (last?.fsb ?? -1) || (last !== undefined && last.right !== fsb)) throw this.#bad('extent tree siblings', 'bb_leftsib');
      before[next.level] = { fsb, right: siblingAt(node, BtreeLong.offsets.bb_rightsib) };
      const first = next.level === 0
        ? (node.getUint32(head) & 0x7fff_ffff) * 2 ** 23 + (node.getUint32(head + 4) >>> 9)
        : node.getUint32(head) * 2 ** 32 + node.getUint32(head + 4);
      if (first !== next.key) throw this.#bad('a key of an extent tree is not that of its block', 'br_startoff');
      if (next.level === 0) this.records(node, head, records);
      else push(node, head, head + max * 8, records, next.level - 1);
    }
    for (const last of before) if (last !== undefined && last.right !== -1) throw this.#bad('extent tree siblings', 'bb_rightsib');
  }

  *#block(fsb: number): Io<DataView> {
    const { info, vol } = this.#context;
    const { ino, isAttr } = this.#place;
    if (fsb === 0 || !isFsBlock(info, fsb)) throw this.#bad('an extent tree leaves its group', 'bb_ptr');
    if (!this.#context.claimFsb(fsb, 1, ino, 0, RUN_FLAGS.TREE + (isAttr ? RUN_FLAGS.ATTR : 0))) throw this.#bad('a block of an extent tree is taken twice', 'bb_ptr');
    this.blocks++;
    this.#scratch.ensure(info.blockSize);
    const { bytes, view } = this.#scratch;
    const pos = fsbToPos(info, fsb);
    yield* this.#context.read(pos, bytes);
    this.#context.verify(vol.ops.bmap, view, { bytes, pos }, ino);
    const owner = BtreeLong.offsets.bb_owner;
    if (info.v5) checkOwner(view.getUint32(owner) * 2 ** 32 + view.getUint32(owner + 4), ino, pos, 'extent btree block');
    return view;
  }
}

/** A neighbour, -1 = none. */
function siblingAt(view: DataView, at: number): number {
  const high = view.getUint32(at);
  const low = view.getUint32(at + 4);
  return high === NULL_HALF && low === NULL_HALF ? -1 : high * 2 ** 32 + low;
}
