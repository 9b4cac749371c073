/** Walks over whole btrees for a check: every block's place, level, owner, order of keys and siblings. */
import { corrupt, type Io } from '@iomap/io';
import { mapFork, type Fork } from '../fork.js';
import { FILE_BLOCKS_MAX, type Extent, type MapRun } from '../extents.js';
import { FORMAT, NULL_AGBLOCK } from '../ondisk.js';
import { BTREE_LONG_V4_BYTES, BTREE_SHORT_V4_BYTES, BtreeLong, BtreeShort, type BtreeKind } from '../ondisk-trees.js';
import { agbToFsb, agLength } from '../super.js';
import { checkOwner } from '../verify.js';
import type { Volume } from '../volume.js';

type ShortKind = Exclude<BtreeKind, 'bmap'>;

/** Bytes of a record, of a key, and of the keys of a child (low and high where trees overlap). */
const WIDTHS: Readonly<Record<ShortKind, readonly [record: number, keys: number]>> = {
  bno: [8, 8],
  cnt: [8, 8],
  ino: [16, 4],
  fino: [16, 4],
  rmap: [24, 40],
  refc: [12, 4],
};
const LEVELS_MAX = 16;

export interface TreePlace {
  readonly kind: ShortKind;
  readonly ag: number;
  readonly root: number;
  readonly levels: number;
}

export interface TreeVisitor {
  record(view: DataView, at: number): void;
  block(agb: number): void;
}

/** @throws FsError EUCLEAN, EBADMSG, EIO at the first block that is wrong */
export function* walkTree(vol: Volume, place: TreePlace, visitor: TreeVisitor): Io<void> {
  const { kind, ag, root, levels } = place;
  if (levels < 1 || levels > LEVELS_MAX) throw corrupt(`${kind} btree of ${levels} levels`, { block: root });
  const { info } = vol;
  const head = info.v5 ? BtreeShort.size : BTREE_SHORT_V4_BYTES;
  const [recordBytes, keyBytes] = WIDTHS[kind];
  const seen = new Set<number>();
  const lastOf = new Map<number, { agb: number; right: number }>();
  const todo: { agb: number; level: number }[] = [{ agb: root, level: levels - 1 }];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const { agb, level } = at;
    if (agb === 0 || agb >= agLength(info, ag) || seen.has(agb)) throw corrupt(`${kind} btree points at a block twice, or outside its group`, { block: agb });
    seen.add(agb);
    visitor.block(agb);
    const buf = yield* vol.reading(() => vol.needFsb(agbToFsb(info, ag, agb), vol.ops.trees[kind]));
    const { view } = buf;
    const count = view.getUint16(6);
    const max = Math.floor((info.blockSize - head) / (level === 0 ? recordBytes : keyBytes + 4));
    if (view.getUint16(4) !== level || count > max || (count === 0 && levels > 1)) {
      throw corrupt(`${kind} btree block with level ${view.getUint16(4)} and ${count} records`, { block: agb });
    }
    if (info.v5) checkOwner(view.getUint32(BtreeShort.offsets.bb_owner), ag, buf.pos, `${kind} btree block`);
    // From left to right, a level's blocks name each other.
    const before = lastOf.get(level);
    if (view.getUint32(8) !== (before?.agb ?? NULL_AGBLOCK) || (before !== undefined && before.right !== agb)) {
      throw corrupt(`${kind} btree siblings`, { block: agb });
    }
    lastOf.set(level, { agb, right: view.getUint32(12) });
    if (level === 0) {
      for (let i = 0; i < count; i++) visitor.record(view, head + i * recordBytes);
    } else {
      const pointers = head + max * keyBytes;
      for (let i = count - 1; i >= 0; i--) todo.push({ agb: view.getUint32(pointers + i * 4), level: level - 1 });
    }
  }
  for (const { agb, right } of lastOf.values()) if (right !== NULL_AGBLOCK) throw corrupt(`${kind} btree siblings`, { block: agb });
}

/** All extents of a fork, in order. @throws FsError EUCLEAN, EBADMSG, EIO */
export function* forkExtents(vol: Volume, ino: number, fork: Fork): Io<Extent[]> {
  const extents: Extent[] = [];
  if (fork.format !== FORMAT.EXTENTS && fork.format !== FORMAT.BTREE) return extents;
  const run: MapRun = { block: -1, count: 0, unwritten: false };
  for (let off = 0; off < FILE_BLOCKS_MAX; off += run.count) {
    yield* vol.reading(() => (mapFork(vol, ino, fork, off, run) ? true : undefined));
    if (run.block >= 0) extents.push({ off, block: run.block, count: run.count, unwritten: run.unwritten });
    if (run.count <= 0) throw corrupt('a fork that does not go on', { ino });
  }
  return extents;
}

/** Blocks of a fork's own tree. @throws FsError EUCLEAN, EBADMSG, EIO */
export function* forkTreeBlocks(vol: Volume, ino: number, fork: Fork): Io<number[]> {
  const blocks: number[] = [];
  if (fork.format !== FORMAT.BTREE) return blocks;
  const { info } = vol;
  const head = info.v5 ? BtreeLong.size : BTREE_LONG_V4_BYTES;
  const u64 = (view: DataView, at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  const rootRoom = Math.floor((fork.bytes.length - 4) / 16);
  const todo: { fsb: number; level: number }[] = [];
  const rootCount = Math.min(rootRoom, fork.view.getUint16(2));
  for (let i = 0; i < rootCount; i++) todo.push({ fsb: u64(fork.view, 4 + rootRoom * 8 + i * 8), level: fork.view.getUint16(0) - 1 });
  const seen = new Set<number>();
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const { fsb, level } = at;
    if (seen.has(fsb)) throw corrupt('an extent tree points at a block twice', { ino, block: fsb });
    seen.add(fsb);
    blocks.push(fsb);
    const { view } = yield* vol.reading(() => vol.needFsb(fsb, vol.ops.bmap));
    const max = Math.floor((info.blockSize - head) / 16);
    if (view.getUint16(4) !== level || view.getUint16(6) > max) throw corrupt('an extent tree block of another level', { ino, block: fsb });
    if (level > 0) for (let i = 0; i < view.getUint16(6); i++) todo.push({ fsb: u64(view, head + max * 8 + i * 8), level: level - 1 });
  }
  return blocks;
}
