/** The check of one group: headers, trees of free space against each other, trees of inodes, the free list. */
import type { Io } from '@iomap/io';
import { checkHeader } from '../ag.js';
import { AGF_MAGIC, AGFL_MAGIC, AGI_BUCKETS, AGI_MAGIC, NULL_AGINO, XfsAgf, XfsAgfl, XfsAgi } from '../ondisk.js';
import { agLength } from '../super.js';
import type { Volume } from '../volume.js';
import type { Report, Structure } from './report.js';
import { OWNER_FREE, OWNERS, type RefRun, type Space, type SpaceRun } from './space.js';
import { walkTree, type TreePlace } from './trees.js';

/** A chunk of 64 inodes. */
export interface Chunk {
  /** Its first inode in the group. */
  readonly start: number;
  /** Bits of inodes that are free, and that have no blocks. */
  readonly free: bigint;
  readonly holes: bigint;
}

export interface GroupFacts {
  readonly chunks: Chunk[];
  readonly rmaps: SpaceRun[] | undefined;
  readonly refs: RefRun[] | undefined;
  readonly buckets: number[];
  readonly counts: { readonly icount: number; readonly ifree: number; readonly fdblocks: number };
}

interface Context {
  readonly vol: Volume;
  readonly ag: number;
  readonly report: Report;
  readonly space: Space;
}

const NAMES = { bno: 'bnobt', cnt: 'cntbt', ino: 'inobt', fino: 'finobt', rmap: 'rmapbt', refc: 'refcountbt' } as const;
const OWNER_OF = { bno: OWNERS.AG, cnt: OWNERS.AG, ino: OWNERS.INOBT, fino: OWNERS.INOBT, rmap: OWNERS.AG, refc: OWNERS.REFC } as const;

/** Walks a tree; its blocks are its owner's. Answers how many, -1 when it is broken. */
function* takeTree(context: Context, place: Omit<TreePlace, 'ag'>, record: (view: DataView, at: number) => void): Io<number> {
  const { vol, ag, report, space } = context;
  let blocks = 0;
  try {
    yield* walkTree(vol, { ...place, ag }, {
      record,
      block(agb) {
        blocks++;
        space.add(ag, { start: agb, count: 1, owner: OWNER_OF[place.kind], offset: 0, flags: 0 });
      },
    });
    return blocks;
  } catch (error) {
    report.caught(NAMES[place.kind], error, { group: ag });
    return -1;
  }
}

/** Records must ascend, and not overlap. */
function inOrder(context: Context, structure: Structure, runs: readonly { start: number; count: number }[]): void {
  const { report, ag, vol } = context;
  let end = 0;
  for (const { start, count } of runs) {
    if (start < end || count === 0 || start + count > agLength(vol.info, ag)) {
      report.add(structure, 'record-order', `record [${start}, ${count}]`, { group: ag, block: start });
      return;
    }
    end = start + count;
  }
}

function* checkFreeSpace(context: Context, view: DataView): Io<number> {
  const { ag, report, space } = context;
  const at = XfsAgf.offsets;
  const byStart: { start: number; count: number }[] = [];
  const byCount: { start: number; count: number }[] = [];
  const take = (list: { start: number; count: number }[]) => (data: DataView, pos: number): void => {
    list.push({ start: data.getUint32(pos), count: data.getUint32(pos + 4) });
  };
  const bno = yield* takeTree(context, { kind: 'bno', root: view.getUint32(at.agf_bno_root), levels: view.getUint32(at.agf_bno_level) }, take(byStart));
  const cnt = yield* takeTree(context, { kind: 'cnt', root: view.getUint32(at.agf_cnt_root), levels: view.getUint32(at.agf_cnt_level) }, take(byCount));
  inOrder(context, 'bnobt', byStart);
  for (const { start, count } of byStart) space.add(ag, { start, count, owner: OWNER_FREE, offset: 0, flags: 0 });
  if (bno < 0 || cnt < 0) return 0;
  const wanted = [...byStart].sort((a, b) => a.count - b.count || a.start - b.start);
  const isSame = wanted.length === byCount.length && wanted.every(({ start, count }, i) => byCount[i]?.start === start && byCount[i]?.count === count);
  if (!isSame) report.add('cntbt', 'free-space-differs', 'the two trees of free space differ', { group: ag });
  const free = byStart.reduce((sum, { count }) => sum + count, 0);
  const longest = wanted.at(-1)?.count ?? 0;
  if (view.getUint32(at.agf_freeblks) !== free) report.add('agf', 'free-blocks', `agf_freeblks is ${view.getUint32(at.agf_freeblks)}, ${free} are free`, { group: ag });
  if (view.getUint32(at.agf_longest) !== longest) report.add('agf', 'longest', `agf_longest is ${view.getUint32(at.agf_longest)}, not ${longest}`, { group: ag });
  return bno - 1 + (cnt - 1);
}

function* checkFreeList(context: Context, agf: DataView): Io<void> {
  const { vol, ag, report, space } = context;
  const at = XfsAgf.offsets;
  const agfl = yield* vol.reading(() => vol.needHeader(ag, 3, AGFL_MAGIC));
  const head = vol.info.v5 ? XfsAgfl.size : 0;
  if (vol.info.v5) checkHeader(agfl, ag, XfsAgfl.offsets.agfl_seqno);
  const slots = Math.floor((vol.info.sectorSize - head) / 4);
  const first = agf.getUint32(at.agf_flfirst);
  const last = agf.getUint32(at.agf_fllast);
  const count = agf.getUint32(at.agf_flcount);
  if (first >= slots || last >= slots || count > slots || (count > 0 && (last - first + slots) % slots !== count - 1)) {
    report.add('agfl', 'free-list', `a free list of ${count} from ${first} to ${last}`, { group: ag });
    return;
  }
  for (let i = 0; i < count; i++) {
    const block = agfl.view.getUint32(head + ((first + i) % slots) * 4);
    if (block >= agLength(vol.info, ag)) report.add('agfl', 'free-list', `block ${block} on the free list`, { group: ag });
    else space.add(ag, { start: block, count: 1, owner: OWNERS.AG, offset: 0, flags: 0 });
  }
}

function* checkInodeTrees(context: Context, agi: DataView): Io<Chunk[]> {
  const { vol, ag, report, space } = context;
  const { info } = vol;
  const at = XfsAgi.offsets;
  const decode = (view: DataView, pos: number): Chunk & { readonly freeCount: number } => {
    let holes = 0n;
    const mask = info.hasSparse ? view.getUint16(pos + 4) : 0;
    for (let bit = 0; bit < 16; bit++) if ((mask & (1 << bit)) !== 0) holes |= 0xfn << BigInt(bit * 4);
    return { start: view.getUint32(pos), free: view.getBigUint64(pos + 8), holes, freeCount: info.hasSparse ? view.getUint8(pos + 7) : view.getUint32(pos + 4) };
  };
  const chunks: Chunk[] = [];
  const withFree: string[] = [];
  const found: string[] = [];
  let end = 0;
  const total = { count: 0, free: 0 };
  const blocks = yield* takeTree(context, { kind: 'ino', root: agi.getUint32(at.agi_root), levels: agi.getUint32(at.agi_level) }, (view, pos) => {
    const chunk = decode(view, pos);
    if (chunk.start < end || Math.floor((chunk.start + 63) / info.inodesPerBlock) >= agLength(info, ag)) {
      report.add('inobt', 'record-order', `a chunk at ${chunk.start}`, { group: ag });
      return;
    }
    end = chunk.start + 64;
    const free = countBits(chunk.free & ~chunk.holes);
    if (free !== chunk.freeCount) report.add('inobt', 'free-inodes', `the chunk at ${chunk.start} says ${chunk.freeCount} are free, its bits ${free}`, { group: ag });
    total.count += 64 - countBits(chunk.holes);
    total.free += free;
    if (free > 0) withFree.push(`${chunk.start}:${chunk.free}:${chunk.holes}`);
    chunks.push(chunk);
  });
  addChunkBlocks(context, chunks);
  void space;
  if (blocks >= 0) {
    if (agi.getUint32(at.agi_count) !== total.count) report.add('agi', 'inode-count', `agi_count is ${agi.getUint32(at.agi_count)}, not ${total.count}`, { group: ag });
    if (agi.getUint32(at.agi_freecount) !== total.free) report.add('agi', 'free-inodes', `agi_freecount is ${agi.getUint32(at.agi_freecount)}, not ${total.free}`, { group: ag });
  }
  if (!info.hasFinobt) return chunks;
  const free = yield* takeTree(context, { kind: 'fino', root: agi.getUint32(at.agi_free_root), levels: agi.getUint32(at.agi_free_level) }, (view, pos) => {
    const { start, free: bits, holes } = decode(view, pos);
    found.push(`${start}:${bits}:${holes}`);
  });
  if (blocks >= 0 && free >= 0 && found.join() !== withFree.join()) report.add('finobt', 'free-inodes-differ', 'the two trees of inodes differ', { group: ag });
  return chunks;
}

/** Blocks of chunks; several chunks may lie in one block. */
function addChunkBlocks({ vol, ag, space }: Context, chunks: readonly Chunk[]): void {
  const { inodesPerBlock } = vol.info;
  let last = -1;
  for (const { start, holes } of chunks) {
    for (let i = 0; i < 64; i += Math.min(64, inodesPerBlock)) {
      if (((holes >> BigInt(i)) & 1n) === 1n) continue;
      const block = Math.floor((start + i) / inodesPerBlock);
      if (block !== last) space.add(ag, { start: block, count: 1, owner: OWNERS.INODES, offset: 0, flags: 0 });
      last = block;
    }
  }
}

function countBits(bits: bigint): number {
  let count = 0;
  for (let rest = bits & 0xffff_ffff_ffff_ffffn; rest !== 0n; rest &= rest - 1n) count++;
  return count;
}

function* readRmaps(context: Context, agf: DataView): Io<SpaceRun[] | undefined> {
  const runs: SpaceRun[] = [];
  const at = XfsAgf.offsets;
  const blocks = yield* takeTree(context, { kind: 'rmap', root: agf.getUint32(at.agf_rmap_root), levels: agf.getUint32(at.agf_rmap_level) }, (view, pos) => {
    const high = view.getUint32(pos + 16);
    runs.push({
      start: view.getUint32(pos),
      count: view.getUint32(pos + 4),
      owner: Number(view.getBigInt64(pos + 8)),
      offset: (high % 2 ** 29) * 2 ** 32 + view.getUint32(pos + 20),
      flags: high >>> 29,
    });
  });
  return blocks < 0 ? undefined : runs;
}

function* readRefs(context: Context, agf: DataView): Io<RefRun[] | undefined> {
  const { ag, space } = context;
  const refs: RefRun[] = [];
  const at = XfsAgf.offsets;
  const blocks = yield* takeTree(context, { kind: 'refc', root: agf.getUint32(at.agf_refcount_root), levels: agf.getUint32(at.agf_refcount_level) }, (view, pos) => {
    const start = view.getUint32(pos);
    const count = view.getUint32(pos + 4);
    if (start >= 2 ** 31) space.add(ag, { start: start - 2 ** 31, count, owner: OWNERS.COW, offset: 0, flags: 0 });
    else refs.push({ start, count, owners: view.getUint32(pos + 8) });
  });
  return blocks < 0 ? undefined : refs;
}

/** Undefined: the headers cannot be read, so nothing of the group is known. */
export function* checkGroup(context: Context): Io<GroupFacts | undefined> {
  const { vol, ag, report, space } = context;
  const { info } = vol;
  try {
    const agf = yield* vol.reading(() => vol.needHeader(ag, 1, AGF_MAGIC));
    checkHeader(agf, ag, XfsAgf.offsets.agf_seqno);
    const agi = yield* vol.reading(() => vol.needHeader(ag, 2, AGI_MAGIC));
    checkHeader(agi, ag, XfsAgi.offsets.agi_seqno);
    agf.hold();
    agi.hold();
    for (const [structure, view, at] of [['agf', agf.view, XfsAgf.offsets.agf_length], ['agi', agi.view, XfsAgi.offsets.agi_length]] as const) {
      if (view.getUint32(at) !== agLength(info, ag)) report.add(structure, 'length', `a length of ${view.getUint32(at)} blocks`, { group: ag });
    }
    space.add(ag, { start: 0, count: Math.ceil((4 * info.sectorSize) / info.blockSize), owner: OWNERS.FS, offset: 0, flags: 0 });
    const treeBlocks = yield* checkFreeSpace(context, agf.view);
    yield* checkFreeList(context, agf.view);
    const chunks = yield* checkInodeTrees(context, agi.view);
    const before = info.hasRmapbt ? yield* readRmaps(context, agf.view) : undefined;
    const refs = info.hasReflink ? yield* readRefs(context, agf.view) : undefined;
    const buckets = Array.from({ length: AGI_BUCKETS }, (_, i) => agi.view.getUint32(XfsAgi.offsets.agi_unlinked + i * 4)).filter((head) => head !== NULL_AGINO);
    const at = XfsAgf.offsets;
    void treeBlocks;
    return {
      chunks,
      rmaps: before,
      refs,
      buckets,
      counts: {
        icount: agi.view.getUint32(XfsAgi.offsets.agi_count),
        ifree: agi.view.getUint32(XfsAgi.offsets.agi_freecount),
        fdblocks: agf.view.getUint32(at.agf_freeblks) + agf.view.getUint32(at.agf_flcount) + (info.hasLazyCount ? agf.view.getUint32(at.agf_btreeblks) : 0),
      },
    };
  } catch (error) {
    report.caught('agf', error, { group: ag });
    return undefined;
  }
}
