/**
 * The index of a large directory in core: what its hash tree says above the leaves, and where its blocks lie on the device. It is made
 * for a directory in node form that is looked up more than a few times, so that a look-up there touches two blocks, whatever its
 * depth and however scattered it is: 12 bytes a leaf and 8 a block (80 KB for a million names).
 *
 * I1  An index says what the walk says: it is made only of a tree whose keys are in order and equal their children's last.
 * I2  A directory that changes loses its index.
 */
import { corrupt } from '@iomap/io';
import { DEPTH_MAX, nodeOf, requireTree, wordAt, type DaLeaf } from './da-tree.js';
import { isHole, needDirData, needTree, type DirBlock, type Needed } from './dir-blocks.js';
import { mapFork } from './fork.js';
import type { XfsInode } from './inode.js';
import { Da3BlkInfo, DA_MAGIC, Dir3BlkHdr, DIR_SPACE_BYTES } from './ondisk-trees.js';
import { fsbPos } from './super.js';
import { checkOwner } from './verify.js';
import type { Volume } from './volume.js';

/** Look-ups before an index is made. */
const PATIENCE = 4;
/** Leaves and data blocks of a directory that gets an index: a hundred million names. */
const BLOCKS_MAX = 2 ** 18;
/** Nodes of one level that are read for an index; they stay in memory while it is made. Twenty million names have a few hundred. */
const NODES_MAX = 4096;
/** Indexes kept, and their bytes in all. */
const KEPT_MAX = 64;
const KEPT_BYTES_MAX = 8 * 2 ** 20;

export class DirIndex {
  /** The last hash of each leaf, in order. */
  readonly #hashes: Uint32Array;
  /** Where each leaf and each data block lies on the device, bytes; -1 = in pieces, or not there at all. */
  readonly #leaves: Float64Array;
  readonly #data: Float64Array;
  /** File block of each leaf. */
  readonly #fileBlocks: Uint32Array;

  constructor(hashes: readonly number[], fileBlocks: readonly number[], leaves: Float64Array, data: Float64Array) {
    this.#hashes = Uint32Array.from(hashes);
    this.#fileBlocks = Uint32Array.from(fileBlocks);
    this.#leaves = leaves;
    this.#data = data;
  }

  get bytes(): number {
    return this.#leaves.length * 16 + this.#data.length * 8;
  }

  /** The leaf where a hash is looked for first; undefined = missing. @throws FsError EUCLEAN, EBADMSG */
  leaf(vol: Volume, inode: XfsInode, hash: number): DaLeaf | undefined {
    const hashes = this.#hashes;
    let low = 0;
    let high = hashes.length - 1;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((hashes[mid] ?? 0) < hash) low = mid + 1;
      else high = mid;
    }
    const pos = this.#leaves[low] ?? -1;
    const fileBlock = this.#fileBlocks[low] ?? 0;
    const block = pos < 0 ? requireTree(vol, inode, inode.data, fileBlock) : ownedBlock(vol, inode, pos, true);
    if (block === undefined) return undefined;
    const magic = wordAt(block.bytes, 8) >>> 16;
    if (magic === DA_MAGIC.node[vol.info.v5 ? 1 : 0]) throw corrupt('a hash tree of uneven depth', { ino: inode.ino, pos: block.pos });
    return { block, fileBlock, magic };
  }

  /** `needDirData`. */
  data(vol: Volume, inode: XfsInode, index: number): Needed {
    const pos = this.#data[index] ?? -1;
    return pos < 0 ? needDirData(vol, inode, index) : ownedBlock(vol, inode, pos, false);
  }
}

/** A whole directory block at a known place. */
function ownedBlock(vol: Volume, inode: XfsInode, pos: number, isTree: boolean): DirBlock | undefined {
  const { info, ops } = vol;
  const type = isTree ? ops.dirTree : ops.dirData;
  const block = vol.need(pos, info.dirBlockSize, type);
  if (block !== undefined && info.v5) {
    const at = isTree ? Da3BlkInfo.offsets.owner : Dir3BlkHdr.offsets.owner;
    checkOwner(wordAt(block.bytes, at) * 2 ** 32 + wordAt(block.bytes, at + 4), inode.ino, pos, type.name);
  }
  return block;
}

/** The indexes of one mount, the longest unused first. */
export class DirIndexes {
  readonly #kept = new Map<XfsInode, DirIndex>();
  #bytes = 0;

  /**
   * The index of a directory, made when it is due and everything is in order; undefined = look up without (or a block is missing,
   * which the look-up will tell).
   */
  of(vol: Volume, inode: XfsInode): DirIndex | undefined {
    if (inode.index !== undefined) return inode.index;
    if (inode.indexPatience > PATIENCE) return undefined;
    if (inode.indexPatience < PATIENCE) {
      inode.indexPatience++;
      return undefined;
    }
    const made = makeIndex(vol, inode);
    if (made === undefined) return undefined;
    if (made === null || made.bytes > KEPT_BYTES_MAX / 2) {
      inode.indexPatience++; // never
      return undefined;
    }
    inode.index = made;
    this.#kept.set(inode, made);
    this.#bytes += made.bytes;
    for (const [oldest, { bytes }] of this.#kept) {
      if (this.#kept.size <= KEPT_MAX && this.#bytes <= KEPT_BYTES_MAX) break;
      this.#kept.delete(oldest);
      this.#bytes -= bytes;
      oldest.index = undefined;
      oldest.indexPatience = 0;
    }
    return made;
  }
}

/** Leaves as the level above them names them, or a level of the tree itself. */
interface Level {
  readonly hashes: number[];
  readonly fileBlocks: number[];
  /** Of the blocks that `fileBlocks` names; 0 = leaves. */
  readonly level: number;
}

/** Undefined = a block is missing, null = no index can be made. @throws FsError EUCLEAN, EBADMSG */
function makeIndex(vol: Volume, inode: XfsInode): DirIndex | null | undefined {
  let level: Level | null | undefined = { hashes: [], fileBlocks: [DIR_SPACE_BYTES / vol.info.blockSize], level: -1 };
  do {
    if (level.fileBlocks.length > NODES_MAX) return null;
    level = levelBelow(vol, inode, level);
    if (level === null || level === undefined) return level;
  } while (level.level > 0);
  const leaves = leafPlaces(vol, inode, level.fileBlocks);
  const data = dataPlaces(vol, inode);
  if (leaves === undefined || data === undefined) return undefined;
  return data === null ? null : new DirIndex(level.hashes, level.fileBlocks, leaves, data);
}

/** What the nodes of one level name. `level` -1: the root, whose level nobody says. */
function levelBelow(vol: Volume, inode: XfsInode, above: Level): Level | null | undefined {
  const hashes: number[] = [];
  const fileBlocks: number[] = [];
  let { level } = above;
  let last = 0;
  for (const [i, fileBlock] of above.fileBlocks.entries()) {
    const block = needTree(vol, inode, inode.data, fileBlock);
    if (block === undefined) return undefined;
    const node = isHole(block) ? undefined : nodeOf(vol, block);
    if (node === undefined || (level >= 0 && node.level !== level) || node.level > DEPTH_MAX) return null;
    level = node.level;
    const { view, entries, count } = node;
    for (let at = entries; at < entries + count * 8; at += 8) {
      const hash = view.getUint32(at);
      if (hash < last) return null;
      last = hash;
      hashes.push(hash);
      fileBlocks.push(view.getUint32(at + 4));
    }
    if (above.hashes.length > 0 && last !== above.hashes[i]) return null;
    if (fileBlocks.length > BLOCKS_MAX) return null;
  }
  return { hashes, fileBlocks, level: level - 1 };
}

/** Positions of whole blocks; undefined = a block of the fork's own tree is missing. */
function leafPlaces(vol: Volume, inode: XfsInode, fileBlocks: readonly number[]): Float64Array | undefined {
  const { run, info } = vol;
  const places = new Float64Array(fileBlocks.length);
  for (const [i, fileBlock] of fileBlocks.entries()) {
    if (!mapFork(vol, inode.ino, inode.data, fileBlock, run)) return undefined;
    places[i] = run.block >= 0 && run.count >= info.dirBlockFsbs ? fsbPos(info, run.block, info.dirBlockFsbs) : -1;
  }
  return places;
}

/** As `leafPlaces`, of all data blocks; null = too many. */
function dataPlaces(vol: Volume, inode: XfsInode): Float64Array | null | undefined {
  const { run, info } = vol;
  const { dirBlockFsbs: step } = info;
  const count = Math.ceil(inode.size / info.dirBlockSize);
  if (count > BLOCKS_MAX) return null;
  const places = new Float64Array(count).fill(-1);
  for (let at = 0; at < count; ) {
    if (!mapFork(vol, inode.ino, inode.data, at * step, run)) return undefined;
    const whole = Math.floor(run.count / step);
    const first = run.block < 0 ? -1 : fsbPos(info, run.block, whole * step);
    if (first >= 0) for (let i = 0; i < whole && at + i < count; i++) places[at + i] = first + i * info.dirBlockSize;
    at += Math.max(1, whole);
  }
  return places;
}
