/**
 * Btrees made at once from sorted records: every block is written once, as full as even sharing allows.
 *
 * - `TreeShape` says what a kind of tree looks like; `TreeRecords` what goes into one.
 * - `levelBlocks` says how many blocks each level takes, before any address is known.
 * - `loadTree` fills the blocks. They are numbered from the leftmost leaf, level by level; whoever calls says where each one is.
 *
 * I1  Each level but the top shares its entries evenly, so that no block is less than half full.
 */
import { divCeil } from '@iomap/io';
import { putSum } from '../crc32c.js';
import { NULL_AGBLOCK } from '../ondisk.js';
import { BTREE_MAGIC, BtreeLong, BtreeShort, type BtreeKind } from '../ondisk-trees.js';

const RECORD_BYTES: Readonly<Record<BtreeKind, number>> = { bno: 8, cnt: 8, ino: 16, fino: 16, rmap: 24, refc: 12, bmap: 16 };
/** Of an entry in a node; a reverse map has a low and a high key. */
const KEY_BYTES: Readonly<Record<BtreeKind, number>> = { bno: 8, cnt: 8, ino: 4, fino: 4, rmap: 40, refc: 4, bmap: 8 };

export interface TreeShape {
  readonly kind: BtreeKind;
  readonly blockSize: number;
  readonly headBytes: number;
  readonly recordBytes: number;
  readonly keyBytes: number;
  readonly pointerBytes: number;
  readonly leafMax: number;
  readonly nodeMax: number;
}

export function treeShape(kind: BtreeKind, blockSize: number): TreeShape {
  const isLong = kind === 'bmap';
  const headBytes = isLong ? BtreeLong.size : BtreeShort.size;
  const pointerBytes = isLong ? 8 : 4;
  const recordBytes = RECORD_BYTES[kind];
  const keyBytes = KEY_BYTES[kind];
  const room = blockSize - headBytes;
  return {
    kind, blockSize, headBytes, recordBytes, keyBytes, pointerBytes,
    leafMax: Math.floor(room / recordBytes),
    nodeMax: Math.floor(room / (keyBytes + pointerBytes)),
  };
}

/** Sorted records, and how they are written. */
export interface TreeRecords {
  readonly count: number;
  put(view: DataView, at: number, index: number): void;
  /** The key of an entry above the records `first` to `last`. */
  putKey(view: DataView, at: number, first: number, last: number): void;
}

/** Blocks of each level, leaves first. The top one has a block (`rootMax` absent), or its entries fit the root elsewhere. */
export function levelBlocks(shape: TreeShape, count: number, rootMax?: number): number[] {
  const levels = [Math.max(1, divCeil(count, shape.leafMax))];
  for (let top = levels[0] ?? 1; top > (rootMax ?? 1); ) {
    top = divCeil(top, shape.nodeMax);
    levels.push(top);
  }
  return levels;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
export const treeBlocks = (shape: TreeShape, count: number): number => sum(levelBlocks(shape, count));

/** The most blocks that so many records can take: half-full blocks, as the kernel reckons when it sets space aside. */
export function treeBlocksMost(shape: TreeShape, count: number): number {
  const leaf = Math.max(1, Math.floor(shape.leafMax / 2));
  const node = Math.max(2, Math.floor(shape.nodeMax / 2));
  let blocks = divCeil(Math.max(1, count), leaf);
  let all = blocks;
  while (blocks > 1) {
    blocks = divCeil(blocks, node);
    all += blocks;
  }
  return all;
}

/** What blocks of one tree say of themselves. */
export interface TreeIdentity {
  readonly uuid: Uint8Array;
  /** An inode, or a group. */
  readonly owner: number;
}

/** Where a block of a new tree is. */
export interface TreePlace {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** In `bytes`. */
  readonly at: number;
  /** As pointers say it. */
  readonly address: number;
  /** The byte position on the device. */
  readonly pos: number;
}

/** Entries of the level below the root, for a root that lies elsewhere. */
export interface TopEntries {
  /** Levels below the root. */
  readonly level: number;
  readonly count: number;
  /** First and last record below each, and the addresses. */
  readonly first: readonly number[];
  readonly last: readonly number[];
  readonly address: readonly number[];
}

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
}

function putPointer(view: DataView, at: number, bytes: number, value: number): void {
  if (bytes === 8) put64(view, at, value);
  else view.setUint32(at, value);
}

interface Head {
  readonly level: number;
  readonly count: number;
  /** Addresses; undefined: none. */
  readonly left: number | undefined;
  readonly right: number | undefined;
}

function putHead(shape: TreeShape, identity: TreeIdentity, place: TreePlace, head: Head): void {
  const { view, at, bytes } = place;
  const isLong = shape.pointerBytes === 8;
  view.setUint32(at, BTREE_MAGIC[shape.kind][1]);
  view.setUint16(at + 4, head.level);
  view.setUint16(at + 6, head.count);
  const sides = [head.left, head.right];
  sides.forEach((side, i) => {
    const field = at + 8 + i * shape.pointerBytes;
    if (side !== undefined) putPointer(view, field, shape.pointerBytes, side);
    else for (let word = 0; word < shape.pointerBytes; word += 4) view.setUint32(field + word, NULL_AGBLOCK);
  });
  const o = isLong ? BtreeLong.offsets : BtreeShort.offsets;
  put64(view, at + o.bb_blkno, place.pos / 512);
  bytes.set(identity.uuid, at + o.bb_uuid);
  if (isLong) put64(view, at + o.bb_owner, identity.owner);
  else view.setUint32(at + o.bb_owner, identity.owner);
  putSum(bytes, at, at + shape.blockSize, o.bb_crc);
}

/**
 * Fills a tree's blocks, which read as zeroes.
 * @param placeOf where block `index` is; asked several times
 * @param rootMax entries that a root elsewhere has room for; absent: the root is the last block
 */
export function loadTree(
  shape: TreeShape, records: TreeRecords, identity: TreeIdentity, placeOf: (index: number) => TreePlace, rootMax?: number,
): TopEntries {
  const levels = levelBlocks(shape, records.count, rootMax);
  let below: { first: number[]; last: number[]; address: number[] } = { first: [], last: [], address: [] };
  let base = 0;
  levels.forEach((blocks, level) => {
    const entries = level === 0 ? records.count : below.address.length;
    const share = Math.floor(entries / blocks);
    const more = entries % blocks;
    const made: typeof below = { first: [], last: [], address: [] };
    for (let block = 0, from = 0; block < blocks; block++) {
      const place = placeOf(base + block);
      const { view, at } = place;
      const count = share + (block < more ? 1 : 0);
      const body = at + shape.headBytes;
      if (level === 0) {
        for (let i = 0; i < count; i++) records.put(view, body + i * shape.recordBytes, from + i);
      } else {
        const pointers = body + shape.nodeMax * shape.keyBytes;
        for (let i = 0; i < count; i++) {
          records.putKey(view, body + i * shape.keyBytes, below.first[from + i] ?? 0, below.last[from + i] ?? 0);
          putPointer(view, pointers + i * shape.pointerBytes, shape.pointerBytes, below.address[from + i] ?? 0);
        }
      }
      made.first.push(level === 0 ? from : (below.first[from] ?? 0));
      made.last.push(level === 0 ? from + count - 1 : (below.last[from + count - 1] ?? 0));
      made.address.push(place.address);
      from += count;
      const left = block === 0 ? undefined : made.address[block - 1];
      const right = block === blocks - 1 ? undefined : placeOf(base + block + 1).address;
      putHead(shape, identity, place, { level, count, left, right });
    }
    below = made;
    base += blocks;
  });
  return { level: levels.length, count: below.address.length, ...below };
}
