/**
 * One group of a new filesystem: what is where in it, its headers, and the roots of its trees with all that is below them.
 *
 * `layoutGroup` says what mkfs puts where. `sealGroup` takes the blocks that the trees need behind their roots (an empty filesystem's need
 * none) and makes the bytes.
 */
import { assert, divCeil } from '@iomap/io';
import { loadTree, treeBlocks, treeShape, type TreePlace, type TreeRecords } from '../build/load-tree.js';
import { OWNER, RmapList } from '../build/rmaps.js';
import { putSum } from '../crc32c.js';
import { AGF_MAGIC, AGFL_MAGIC, AGI_BUCKETS, AGI_MAGIC, NULL_AGBLOCK, NULL_AGINO, XfsAgf, XfsAgfl, XfsAgi } from '../ondisk.js';
import type { BtreeKind } from '../ondisk-trees.js';
import type { MkfsIdentity } from './image.js';
import type { MkfsPlan } from './plan.js';

/** A run of blocks in a group. */
export interface Run {
  readonly start: number;
  readonly count: number;
}

/** Inodes of a group, one run of chunks. Those in use come first. */
export interface GroupInodes extends Run {
  readonly used: number;
}

/** What is where in one group. */
export interface GroupLayout {
  readonly ag: number;
  readonly length: number;
  /** By start. */
  readonly free: readonly Run[];
  readonly freeList: Run;
  readonly hasLog: boolean;
  readonly inodes: GroupInodes | undefined;
}

/** A group that is made. */
export interface SealedGroup {
  /** Its first `firstFree` blocks; sector 0 is yet to come. */
  readonly head: Uint8Array;
  /** Blocks of trees behind the roots, from block `extraStart` of the group on. */
  readonly extra: Uint8Array;
  readonly extraStart: number;
  /** What counts as free in the superblock: free blocks, those of the free list and of the trees of space but their roots. */
  readonly freeBlocks: number;
}

/** Root, and the two inodes of the realtime device that is not there. */
export const INODES_USED = 3;
/** Inodes of the first allocation. */
export const chunkInodes = (plan: MkfsPlan): number => plan.chunkBlocks * plan.inodesPerBlock;

/** Takes `count` blocks of the smallest run that has them. */
function takeSmallest(free: Run[], count: number): Run {
  let best = -1;
  free.forEach((run, i) => {
    if (run.count >= count && (best < 0 || run.count < (free[best]?.count ?? 0))) best = i;
  });
  const run = free[best] ?? { start: 0, count: 0 };
  free.splice(best, 1, ...(run.count > count ? [{ start: run.start + count, count: run.count - count }] : []));
  return { start: run.start, count };
}

function takeAt(free: Run[], start: number, count: number): void {
  const at = free.findIndex((run) => run.start <= start && start + count <= run.start + run.count);
  const run = free[at];
  assert(run !== undefined, 'what is taken was free');
  const before = { start: run.start, count: start - run.start };
  const after = { start: start + count, count: run.start + run.count - start - count };
  free.splice(at, 1, ...[before, after].filter((one) => one.count > 0));
}

/** The group with `run` no longer free. */
export function withTaken(group: GroupLayout, start: number, count: number): GroupLayout {
  if (count === 0) return group;
  const free = [...group.free];
  takeAt(free, start, count);
  return { ...group, free };
}

export function layoutGroup(plan: MkfsPlan, ag: number): GroupLayout {
  const length = ag === plan.agCount - 1 ? plan.dblocks - ag * plan.agBlocks : plan.agBlocks;
  const free: Run[] = [{ start: plan.firstFree, count: length - plan.firstFree }];
  const hasLog = ag === plan.logAg;
  if (hasLog) takeAt(free, plan.logBlock, plan.logBlocks);
  const freeList = takeSmallest(free, plan.freeListBlocks);
  const bare = { ag, length, free, freeList, hasLog, inodes: undefined };
  if (ag !== 0) return bare;
  const inodes = { start: plan.chunkBlock, count: plan.chunkBlocks, used: INODES_USED };
  return { ...withTaken(bare, inodes.start, inodes.count), inodes };
}

// Trees --------------------------------------------------------------------------------------------------------------------

type ShortKind = Exclude<BtreeKind, 'bmap'>;

/** Blocks of the roots, one after the other; 0 = no such tree. */
function rootsOf({ headerBlocks, settings }: MkfsPlan): Record<ShortKind, number> {
  let next = headerBlocks + 3;
  const take = (isThere: boolean): number => (isThere ? next++ : 0);
  const fino = take(settings.finobt);
  const rmap = take(settings.rmapbt);
  const refc = take(settings.reflink);
  return { bno: headerBlocks, cnt: headerBlocks + 1, ino: headerBlocks + 2, fino, rmap, refc };
}

function freeRecords(runs: readonly Run[]): TreeRecords {
  const put = (view: DataView, at: number, index: number): void => {
    view.setUint32(at, runs[index]?.start ?? 0);
    view.setUint32(at + 4, runs[index]?.count ?? 0);
  };
  return { count: runs.length, put, putKey: put };
}

/** Chunks of 64 inodes, from the one with inode `from` of the run on. */
function chunkRecords(plan: MkfsPlan, inodes: GroupInodes | undefined, from: number): TreeRecords {
  const { start = 0, count = 0, used = 0 } = inodes ?? {};
  const { inodesPerBlock, settings } = plan;
  const skipped = Math.floor(from / 64);
  const first = start * inodesPerBlock;
  const putKey = (view: DataView, at: number, index: number): void => view.setUint32(at, first + (skipped + index) * 64);
  const put = (view: DataView, at: number, index: number): void => {
    const inUse = Math.max(0, Math.min(64, used - (skipped + index) * 64));
    putKey(view, at, index);
    if (settings.sparse) {
      view.setUint16(at + 4, 0);
      view.setUint8(at + 6, 64);
      view.setUint8(at + 7, 64 - inUse);
    } else {
      view.setUint32(at + 4, 64 - inUse);
    }
    const free = (n: number): number => (n <= 0 ? 0xffff_ffff : n >= 32 ? 0 : (0xffff_ffff << n) >>> 0);
    view.setUint32(at + 8, free(inUse - 32));
    view.setUint32(at + 12, free(inUse));
  };
  return { count: (count * inodesPerBlock) / 64 - skipped, put, putKey };
}

const NO_RECORDS: TreeRecords = { count: 0, put: () => undefined, putKey: () => undefined };

/** Blocks that the inode trees of a group take behind their roots. */
export function inodeTreeExtra(plan: MkfsPlan, inodes: GroupInodes | undefined): number {
  const { blockSize, settings } = plan;
  const all = treeBlocks(treeShape('ino', blockSize), chunkRecords(plan, inodes, 0).count) - 1;
  const free = settings.finobt ? treeBlocks(treeShape('fino', blockSize), chunkRecords(plan, inodes, inodes?.used ?? 0).count) - 1 : 0;
  return all + free;
}

/** What the trees behind their roots take, by who has it. */
interface Extra {
  readonly space: number;
  readonly inodes: number;
}

/** Blocks and who has them, by start. */
function rmapRecords(plan: MkfsPlan, group: GroupLayout, files: RmapList | undefined, extraStart: number, extra: Extra): RmapList {
  const roots = rootsOf(plan);
  const fixed: [start: number, count: number, owner: number][] = [
    [0, plan.headerBlocks, OWNER.FS],
    [roots.bno, 2, OWNER.AG],
    [roots.ino, roots.fino === 0 ? 1 : 2, OWNER.INOBT],
    [roots.rmap, 1, OWNER.AG],
    [group.freeList.start, group.freeList.count, OWNER.AG],
  ];
  if (roots.refc !== 0) fixed.push([roots.refc, 1, OWNER.REFC]);
  if (group.hasLog) fixed.push([plan.logBlock, plan.logBlocks, OWNER.LOG]);
  if (group.inodes !== undefined) fixed.push([group.inodes.start, group.inodes.count, OWNER.INODES]);
  fixed.sort(([a], [b]) => a - b);
  const list = new RmapList();
  for (const [start, count, owner] of fixed) list.add(start, count, owner);
  if (files !== undefined) list.addAll(files);
  if (extra.space > 0) list.add(extraStart, extra.space, OWNER.AG);
  if (extra.inodes > 0) list.add(extraStart + extra.space, extra.inodes, OWNER.INOBT);
  return list;
}

/** Blocks that a reverse map tree of `records` takes behind its root. */
export const rmapTreeExtra = (plan: MkfsPlan, records: number): number => treeBlocks(treeShape('rmap', plan.blockSize), records) - 1;

/** Records of a group's reverse maps that are not files': at most. */
export const RMAPS_FIXED = 12;

interface BuiltTree {
  readonly blocks: number;
  readonly levels: number;
}

/**
 * Makes a group.
 * @param files reverse maps of what lies behind the inodes
 * @param extraStart where blocks of trees can be taken; as many as needed are free there
 */
export function sealGroup(plan: MkfsPlan, identity: MkfsIdentity, layout: GroupLayout, files?: RmapList, extraStart = 0): SealedGroup {
  const { blockSize, settings } = plan;
  const roots = rootsOf(plan);
  const extraInodes = inodeTreeExtra(plan, layout.inodes);
  // The trees of space take blocks, which they then describe.
  const runs = layout.free.length + 1;
  const spaceTrees = 2 * (treeBlocks(treeShape('bno', blockSize), runs) - 1);
  let extra: Extra = { space: spaceTrees, inodes: extraInodes };
  let rmaps = NO_RECORDS;
  if (settings.rmapbt) {
    for (;;) {
      rmaps = rmapRecords(plan, layout, files, extraStart, extra);
      const space = spaceTrees + rmapTreeExtra(plan, rmaps.count);
      if (space <= extra.space) break;
      extra = { space, inodes: extraInodes };
    }
  }
  const group = withTaken(layout, extraStart, extra.space + extra.inodes);
  const head = new Uint8Array(plan.firstFree * blockSize);
  const behind = new Uint8Array((extra.space + extra.inodes) * blockSize);
  const headView = new DataView(head.buffer);
  const behindView = new DataView(behind.buffer);
  let taken = 0;
  const load = (kind: ShortKind, records: TreeRecords): BuiltTree => {
    const root = roots[kind];
    if (root === 0) return { blocks: 0, levels: 0 };
    const shape = treeShape(kind, blockSize);
    const blocks = treeBlocks(shape, records.count);
    const base = taken;
    taken += blocks - 1;
    const placeOf = (index: number): TreePlace => {
      const isRoot = index === blocks - 1;
      const address = isRoot ? root : extraStart + base + index;
      const pos = (group.ag * plan.agBlocks + address) * blockSize;
      return isRoot
        ? { bytes: head, view: headView, at: root * blockSize, address, pos }
        : { bytes: behind, view: behindView, at: (base + index) * blockSize, address, pos };
    };
    return { blocks, levels: loadTree(shape, records, { uuid: identity.uuid, owner: group.ag }, placeOf).level };
  };
  const bySize = [...group.free].sort((a, b) => a.count - b.count || a.start - b.start);
  // In the order of their blocks: trees of space, then trees of inodes.
  const bno = load('bno', freeRecords(group.free));
  const cnt = load('cnt', freeRecords(bySize));
  const rmap = load('rmap', rmaps);
  assert(taken === extra.space, 'the trees of space take what was set aside for them');
  const ino = load('ino', chunkRecords(plan, group.inodes, 0));
  const fino = load('fino', chunkRecords(plan, group.inodes, group.inodes?.used ?? 0));
  const trees = { bno, cnt, rmap, ino, fino, refc: load('refc', NO_RECORDS) };
  const freeBlocks = putHeaders(plan, identity, group, trees, head);
  return { head, extra: behind, extraStart, freeBlocks };
}

// Headers ------------------------------------------------------------------------------------------------------------------

/** @returns what counts as free in the superblock */
function putHeaders(
  plan: MkfsPlan, identity: MkfsIdentity, group: GroupLayout, trees: Record<ShortKind, BuiltTree>, bytes: Uint8Array,
): number {
  const { sectorSize } = plan;
  const roots = rootsOf(plan);
  const agf = XfsAgf.at(bytes, sectorSize);
  const free = group.free.reduce((sum, { count }) => sum + count, 0);
  agf.agf_magicnum = AGF_MAGIC;
  agf.agf_versionnum = 1;
  agf.agf_seqno = group.ag;
  agf.agf_length = group.length;
  agf.agf_bno_root = roots.bno;
  agf.agf_cnt_root = roots.cnt;
  agf.agf_rmap_root = roots.rmap;
  agf.agf_bno_level = trees.bno.levels;
  agf.agf_cnt_level = trees.cnt.levels;
  agf.agf_rmap_level = trees.rmap.levels;
  agf.agf_flfirst = 1;
  agf.agf_fllast = group.freeList.count;
  agf.agf_flcount = group.freeList.count;
  agf.agf_freeblks = free;
  agf.agf_longest = group.free.reduce((most, { count }) => Math.max(most, count), 0);
  agf.agf_btreeblks = trees.bno.blocks + trees.cnt.blocks - 2 + Math.max(0, trees.rmap.blocks - 1);
  agf.agf_uuid = identity.uuid;
  agf.agf_rmap_blocks = trees.rmap.blocks;
  agf.agf_refcount_blocks = trees.refc.blocks;
  agf.agf_refcount_root = roots.refc;
  agf.agf_refcount_level = trees.refc.levels;
  putSum(bytes, sectorSize, 2 * sectorSize, XfsAgf.offsets.agf_crc);
  putAgi(plan, identity, group, trees, bytes);
  putFreeList(plan, identity, group, bytes);
  return free + group.freeList.count + agf.agf_btreeblks;
}

function putAgi(plan: MkfsPlan, identity: MkfsIdentity, group: GroupLayout, trees: Record<ShortKind, BuiltTree>, bytes: Uint8Array): void {
  const { sectorSize, settings, inodesPerBlock } = plan;
  const { inodes } = group;
  const roots = rootsOf(plan);
  const agi = XfsAgi.at(bytes, 2 * sectorSize);
  const count = inodes === undefined ? 0 : inodes.count * inodesPerBlock;
  const perAllocation = chunkInodes(plan);
  agi.agi_magicnum = AGI_MAGIC;
  agi.agi_versionnum = 1;
  agi.agi_seqno = group.ag;
  agi.agi_length = group.length;
  agi.agi_count = count;
  agi.agi_root = roots.ino;
  agi.agi_level = trees.ino.levels;
  agi.agi_freecount = count - (inodes?.used ?? 0);
  agi.agi_newino = inodes === undefined ? NULL_AGINO : inodes.start * inodesPerBlock + (divCeil(count, perAllocation) - 1) * perAllocation;
  agi.agi_dirino = NULL_AGINO;
  for (let i = 0; i < AGI_BUCKETS; i++) agi.agi_unlinked.set(i, NULL_AGINO);
  agi.agi_uuid = identity.uuid;
  agi.agi_free_root = roots.fino;
  agi.agi_free_level = trees.fino.levels;
  if (settings.inobtcount && settings.finobt) {
    agi.agi_iblocks = trees.ino.blocks;
    agi.agi_fblocks = trees.fino.blocks;
  }
  putSum(bytes, 2 * sectorSize, 3 * sectorSize, XfsAgi.offsets.agi_crc);
}

function putFreeList(plan: MkfsPlan, identity: MkfsIdentity, group: GroupLayout, bytes: Uint8Array): void {
  const { sectorSize } = plan;
  const at = 3 * sectorSize;
  const agfl = XfsAgfl.at(bytes, at);
  agfl.agfl_magicnum = AGFL_MAGIC;
  agfl.agfl_seqno = group.ag;
  agfl.agfl_uuid = identity.uuid;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let pos = at + XfsAgfl.size; pos + 4 <= at + sectorSize; pos += 4) view.setUint32(pos, NULL_AGBLOCK);
  for (let i = 0; i < group.freeList.count; i++) view.setUint32(at + XfsAgfl.size + (1 + i) * 4, group.freeList.start + i);
  putSum(bytes, at, at + sectorSize, XfsAgfl.offsets.agfl_crc);
}
