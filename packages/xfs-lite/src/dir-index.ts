/**
 * The index of a large directory in core: what its hash tree says above the leaves, and where its blocks lie on the device. It is made
 * for a directory in node form that is looked up more than a few times, so that a look-up there touches two blocks, whatever its
 * depth and however scattered it is.
 *
 * Random names of a large directory are in no cache of the processor: what a look-up takes is the places in memory it has to fetch.
 * So the index also has shortcuts to the blocks that the buffer cache holds (no table, no owner compared again: `Reach`) and a line
 * of each leaf's hashes (`STEPS`). In all 90 bytes a leaf and 16 a data block: 350 KB for a million names.
 *
 * I1  An index says what the walk says: it is made only of a tree whose keys are in order and equal their children's last.
 * I2  A directory that changes loses its index.
 * I3  A block in reach was verified as what it is, its owner was compared, and it is still the buffer cache's: `Shortcut`.
 */
import { Buf, type Shortcut } from '@iomap/buffer-cache';
import { corrupt } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import { DEPTH_MAX, lowerBound, nodeOf, requireTree, wordAt } from './da-tree.js';
import { isHole, needDirData, needTree } from './dir-blocks.js';
import { leafOf, nameAt } from './dir-entries.js';
import { mapFork } from './fork.js';
import type { XfsInode } from './inode.js';
import { Da3BlkInfo, DA_MAGIC, Dir3BlkHdr, DIR_ADDRESS_UNIT, DIR_LEAF, DIR_SPACE_BYTES } from './ondisk-trees.js';
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

/**
 * Places that an index keeps of each leaf for the hash of every so manieth entry, in 16 bits: all in one line of the processor's
 * caches, where a search of the leaf itself would fetch one line for each of its first steps.
 */
const STEPS = 32;

/** Blocks of a directory by number, with a shortcut to each that is in the cache. */
class Reach {
  /** Where each lies on the device, bytes; -1 = in pieces, or not there at all. */
  readonly places: Float64Array;
  /** What the cache holds of them. Their bytes alone: each object more on the way is one more place in memory to fetch. */
  readonly bytes: (Uint8Array | undefined)[];

  constructor(places: Float64Array) {
    this.places = places;
    this.bytes = new Array<Uint8Array | undefined>(places.length).fill(undefined);
  }

  /** Keeps the way to a buffer for as long as the cache keeps it among those used of late. */
  take(at: number, buf: Buf): void {
    this.bytes[at] = buf.bytes;
    buf.shorten(new Way(this.bytes, at));
  }
}

class Way implements Shortcut {
  readonly #bytes: (Uint8Array | undefined)[];
  readonly #at: number;

  constructor(bytes: (Uint8Array | undefined)[], at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  cut(): void {
    this.#bytes[this.#at] = undefined;
  }
}

export class DirIndex {
  /** The last hash of each leaf, in order. */
  readonly #hashes: Uint32Array;
  readonly #leaves: Reach;
  readonly #data: Reach;
  /** File block of each leaf. */
  readonly #fileBlocks: Uint32Array;
  /** Entries of each leaf that is in reach. */
  readonly #counts: Uint16Array;
  /** Of each leaf in reach the steps: the hash of every `#stride`th entry, as `stepOf` has it. */
  readonly #steps: Uint16Array;
  readonly #stride: number;
  /** Where entries begin in a leaf. */
  readonly #entries: number;
  readonly #blockBytes: number;

  constructor(vol: Volume, hashes: readonly number[], fileBlocks: readonly number[], leaves: Float64Array, data: Float64Array) {
    const { v5, dirBlockSize } = vol.info;
    this.#hashes = Uint32Array.from(hashes);
    this.#fileBlocks = Uint32Array.from(fileBlocks);
    this.#leaves = new Reach(leaves);
    this.#data = new Reach(data);
    this.#counts = new Uint16Array(leaves.length);
    this.#entries = DIR_LEAF.entries[v5 ? 1 : 0];
    this.#blockBytes = dirBlockSize;
    this.#stride = Math.ceil((dirBlockSize - this.#entries) / 8 / STEPS);
    this.#steps = new Uint16Array(leaves.length * STEPS);
  }

  get bytes(): number {
    return this.#hashes.length * (26 + STEPS * 2) + this.#data.places.length * 16;
  }

  /**
   * The inode number under `name`: 0 = none, -1 = look without the index (the hash may go on in the next leaf, or a leaf is not as
   * it should be), undefined = a block is missing.
   * @throws FsError EUCLEAN, EBADMSG
   */
  find(vol: Volume, inode: XfsInode, hash: number, name: Name): number | undefined {
    const hashes = this.#hashes;
    let low = 0;
    let high = hashes.length - 1;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((hashes[mid] ?? 0) < hash) low = mid + 1;
      else high = mid;
    }
    const leaf = low;
    const bytes = this.#leaves.bytes[leaf] ?? this.#reachLeaf(vol, inode, leaf);
    if (typeof bytes !== 'object') return bytes;
    // Also asks for the leaf early, so that its fetching goes on beside that of the steps.
    if (bytes.length !== this.#blockBytes) return -1;
    const count = this.#counts[leaf] ?? 0;
    for (let i = this.#lowerBound(leaf, bytes, count, hash); i < count; i++) {
      const at = this.#entries + i * 8;
      if (wordAt(bytes, at) !== hash) return 0;
      const address = wordAt(bytes, at + 4);
      if (address === 0) continue; // removed
      const ino = this.#compare(vol, inode, address, name);
      if (ino !== 0) return ino;
    }
    return -1;
  }

  /**
   * A hash as the steps of a leaf have it: between the last of the leaf before and its own last, in 16 bits, and cut off at both
   * ends. It never falls as the hash rises, whatever the leaf holds.
   */
  #stepOf(leaf: number, hash: number): number {
    const from = leaf === 0 ? 0 : (this.#hashes[leaf - 1] ?? 0);
    const span = (this.#hashes[leaf] ?? 0) - from;
    const shift = Math.max(0, 16 - Math.clz32(span));
    return hash <= from ? 0 : Math.min((hash - from) >>> shift, 0xffff);
  }

  /** Index of the first entry of a leaf whose hash is at least `hash`. */
  #lowerBound(leaf: number, bytes: Uint8Array, count: number, hash: number): number {
    const steps = this.#steps;
    const stride = this.#stride;
    const first = leaf * STEPS;
    const last = first + Math.ceil(count / stride);
    const step = this.#stepOf(leaf, hash);
    let low = first;
    let high = last;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((steps[mid] ?? 0) < step) low = mid + 1;
      else high = mid;
    }
    // Entries of lower steps have lower hashes, and those of higher ones higher; in between, the hashes themselves tell.
    while (high < last && steps[high] === step) high++;
    const from = low === first ? 0 : (low - first - 1) * stride + 1;
    const end = Math.min((high - first) * stride, count);
    return from + lowerBound(bytes, this.#entries + from * 8, end - from, hash);
  }

  /** As `find`, of one address. */
  #compare(vol: Volume, inode: XfsInode, address: number, name: Name): number | undefined {
    const offset = address * DIR_ADDRESS_UNIT;
    const number = Math.floor(offset / this.#blockBytes);
    const bytes = this.#data.bytes[number] ?? this.#reachData(vol, inode, number);
    return typeof bytes === 'object' ? nameAt(vol, inode, bytes, offset - number * this.#blockBytes, name) : bytes;
  }

  /** Brings a leaf into reach; the answers of `find` where it cannot be. */
  #reachLeaf(vol: Volume, inode: XfsInode, leaf: number): Uint8Array | undefined | -1 {
    const pos = this.#leaves.places[leaf] ?? -1;
    const block = pos < 0 ? requireTree(vol, inode, inode.data, this.#fileBlocks[leaf] ?? 0) : ownedBlock(vol, inode, pos, true);
    if (block === undefined) return undefined;
    const { bytes } = block;
    const { entries, count } = leafOf(vol, inode, bytes);
    const isNode = wordAt(bytes, 8) >>> 16 === DA_MAGIC.node[vol.info.v5 ? 1 : 0];
    if (isNode || !isSorted(bytes, entries, count)) return -1;
    this.#counts[leaf] = count;
    for (let i = 0; i * this.#stride < count; i++) {
      this.#steps[leaf * STEPS + i] = this.#stepOf(leaf, wordAt(bytes, entries + i * this.#stride * 8));
    }
    if (block instanceof Buf) this.#leaves.take(leaf, block);
    return bytes;
  }

  #reachData(vol: Volume, inode: XfsInode, number: number): Uint8Array | undefined {
    const pos = this.#data.places[number] ?? -1;
    const block = pos < 0 ? needDirData(vol, inode, number) : ownedBlock(vol, inode, pos, false);
    if (isHole(block)) throw corrupt('a leaf entry points into a hole', { ino: inode.ino, field: 'address' });
    if (block instanceof Buf) this.#data.take(number, block);
    return block?.bytes;
  }

  /** Lets go of all buffers: an index that is not used any more keeps none alive. */
  close(): void {
    this.#leaves.bytes.length = 0;
    this.#data.bytes.length = 0;
  }
}

function isSorted(bytes: Uint8Array, entries: number, count: number): boolean {
  let last = 0;
  for (let at = entries; at < entries + count * 8; at += 8) {
    const hash = wordAt(bytes, at);
    if (hash < last) return false;
    last = hash;
  }
  return true;
}

/** A whole directory block at a known place. */
function ownedBlock(vol: Volume, inode: XfsInode, pos: number, isTree: boolean): Buf | undefined {
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
      oldest.index?.close();
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
  return data === null ? null : new DirIndex(vol, level.hashes, level.fileBlocks, leaves, data);
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
