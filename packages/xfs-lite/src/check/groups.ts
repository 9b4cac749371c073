/** The check of one group: headers, trees of free space against each other, trees of inodes, the free list. */
import type { Io } from '@iomap/io';
import { checkHeader } from '../ag.js';
import { AGF_MAGIC, AGFL_MAGIC, AGI_BUCKETS, AGI_MAGIC, RO_COMPAT, XfsAgf, XfsAgfl, XfsAgi } from '../ondisk.js';
import { agLength } from '../super.js';
import type { CheckContext } from './context.js';
import { Chunks } from './inode-table.js';
import type { Structure } from './report.js';
import { OwnedRuns, OWNERS, RefRuns } from './runs.js';
import { countBits, Words } from './tables.js';
import { walkTree, type TreePlace } from './trees.js';

const F = XfsAgf.offsets;
const I = XfsAgi.offsets;
/** Set in the first block of refcount records of copy on write. */
const COW_FLAG = 2 ** 31;

export interface GroupFacts {
  readonly chunks: Chunks;
  /** What the trees say; undefined = there is none, or it cannot be followed. */
  readonly rmaps: OwnedRuns | undefined;
  readonly refs: RefRuns | undefined;
  readonly buckets: readonly number[];
  readonly counts: { readonly icount: number; readonly ifree: number; readonly fdblocks: number };
}

const NAMES = { bno: 'bnobt', cnt: 'cntbt', ino: 'inobt', fino: 'finobt', rmap: 'rmapbt', refc: 'refcountbt' } as const;
const OWNER_OF = { bno: OWNERS.AG, cnt: OWNERS.AG, ino: OWNERS.INOBT, fino: OWNERS.INOBT, rmap: OWNERS.AG, refc: OWNERS.REFC } as const;

class GroupChecker {
  readonly #context: CheckContext;
  readonly #ag: number;
  readonly #agf: DataView;
  readonly #agi: DataView;

  constructor(context: CheckContext, ag: number, agf: DataView, agi: DataView) {
    this.#context = context;
    this.#ag = ag;
    this.#agf = agf;
    this.#agi = agi;
  }

  #add(structure: Structure, code: string, message: string, block?: number): void {
    this.#context.report.add(structure, code, message, { group: this.#ag, ...(block === undefined ? {} : { block }) });
  }

  /** A field of a header against what was counted. */
  #same(structure: 'agf' | 'agi', field: string, code: string, counted: number): void {
    const at = structure === 'agf' ? F[field as keyof typeof F] : I[field as keyof typeof I];
    const stored = (structure === 'agf' ? this.#agf : this.#agi).getUint32(at);
    if (stored !== counted) this.#add(structure, code, `${field} is ${stored}, not ${counted}`);
  }

  /** Walks a tree; its blocks are its owner's. Answers how many, -1 when it is broken. */
  *#tree(place: Omit<TreePlace, 'ag'>, record: (view: DataView, at: number) => void): Io<number> {
    const { vol, report } = this.#context;
    let blocks = 0;
    try {
      yield* walkTree(vol, { ...place, ag: this.#ag }, {
        record,
        lsn: (view, at) => {
          this.#context.noteLsn(view, at);
        },
        block: (agb) => {
          blocks++;
          this.#context.claim(this.#ag, agb, 1, OWNER_OF[place.kind]);
        },
      });
      return blocks;
    } catch (error) {
      report.caught(NAMES[place.kind], error, { group: this.#ag });
      return -1;
    }
  }

  *check(): Io<GroupFacts> {
    const { info } = this.#context;
    const [agf, agi] = [this.#agf, this.#agi];
    if (info.v5) {
      this.#context.noteLsn(agf, F.agf_lsn);
      this.#context.noteLsn(agi, I.agi_lsn);
    }
    for (const [structure, view, length, version] of [['agf', agf, F.agf_length, F.agf_versionnum], ['agi', agi, I.agi_length, I.agi_versionnum]] as const) {
      if (view.getUint32(length) !== agLength(info, this.#ag)) this.#add(structure, 'length', `a length of ${view.getUint32(length)} blocks`);
      if (view.getUint32(version) !== 1) this.#add(structure, 'version', `version ${view.getUint32(version)}`);
    }
    this.#context.claim(this.#ag, 0, Math.ceil((4 * info.sectorSize) / info.blockSize), OWNERS.FS);
    let treeBlocks = yield* this.#freeSpace();
    yield* this.#freeList();
    const chunks = yield* this.#inodeTrees();
    let rmaps: OwnedRuns | undefined;
    if (info.hasRmapbt) {
      const found = yield* this.#rmaps();
      if (found.blocks >= 0) rmaps = found.runs;
      treeBlocks = found.blocks < 0 || treeBlocks < 0 ? -1 : treeBlocks + found.blocks - 1;
    }
    // Blocks of the trees that live off the free list, but for their roots.
    if (treeBlocks >= 0 && info.hasLazyCount) this.#same('agf', 'agf_btreeblks', 'btree-blocks', treeBlocks);
    const refs = info.hasReflink ? yield* this.#refs() : undefined;
    return {
      chunks,
      rmaps,
      refs,
      buckets: Array.from({ length: AGI_BUCKETS }, (_, i) => agi.getUint32(I.agi_unlinked + i * 4)),
      counts: {
        icount: agi.getUint32(I.agi_count),
        ifree: agi.getUint32(I.agi_freecount),
        fdblocks: agf.getUint32(F.agf_freeblks) + agf.getUint32(F.agf_flcount) + (info.hasLazyCount ? agf.getUint32(F.agf_btreeblks) : 0),
      },
    };
  }

  // Free space ---------------------------------------------------------------------------------------------------------

  /** Answers the blocks of both trees but their roots, -1 when one is broken. */
  *#freeSpace(): Io<number> {
    const agf = this.#agf;
    const length = agLength(this.#context.info, this.#ag);
    const starts = new Words();
    const counts = new Words();
    let end = 0;
    let free = 0;
    let longest = 0;
    let isOrdered = true;
    const bno = yield* this.#tree({ kind: 'bno', root: agf.getUint32(F.agf_bno_root), levels: agf.getUint32(F.agf_bno_level) }, (view, at) => {
      const start = view.getUint32(at);
      const count = view.getUint32(at + 4);
      // Neighbours would be one record.
      if ((start <= end && starts.length > 0) || count === 0 || start + count > length) {
        if (isOrdered) this.#add('bnobt', 'record-order', `record [${start}, ${count}]`, start);
        isOrdered = false;
        return;
      }
      end = start + count;
      starts.push(start);
      counts.push(count);
      free += count;
      longest = Math.max(longest, count);
      this.#context.claim(this.#ag, start, count, 'free');
    });
    const found = { records: 0, last: 0, lastStart: 0, isSame: true };
    const cnt = yield* this.#tree({ kind: 'cnt', root: agf.getUint32(F.agf_cnt_root), levels: agf.getUint32(F.agf_cnt_level) }, (view, at) => {
      const start = view.getUint32(at);
      const count = view.getUint32(at + 4);
      // In order and each in the other tree: as many of them are the same set.
      if (count < found.last || (count === found.last && start <= found.lastStart && found.records > 0) || count === 0 || counts.at(indexOf(starts, start)) !== count) {
        found.isSame = false;
      }
      found.records++;
      found.last = count;
      found.lastStart = start;
    });
    if (bno < 0 || cnt < 0) return -1;
    if (!found.isSame || found.records !== starts.length) this.#add('cntbt', 'free-space-differs', 'the two trees of free space differ');
    this.#same('agf', 'agf_freeblks', 'free-blocks', free);
    this.#same('agf', 'agf_longest', 'longest', longest);
    return bno - 1 + (cnt - 1);
  }

  *#freeList(): Io<void> {
    const { vol, info, report } = this.#context;
    try {
      const agfl = yield* vol.reading(() => vol.needHeader(this.#ag, 3, AGFL_MAGIC));
      if (info.v5) {
        checkHeader(agfl, this.#ag, XfsAgfl.offsets.agfl_seqno);
        this.#context.noteLsn(agfl.view, XfsAgfl.offsets.agfl_lsn);
      }
      const head = info.v5 ? XfsAgfl.size : 0;
      const slots = Math.floor((info.sectorSize - head) / 4);
      const first = this.#agf.getUint32(F.agf_flfirst);
      const last = this.#agf.getUint32(F.agf_fllast);
      const count = this.#agf.getUint32(F.agf_flcount);
      if (first >= slots || last >= slots || count > slots || (count > 0 && (last - first + slots) % slots !== count - 1)) {
        this.#add('agfl', 'free-list', `a free list of ${count} from ${first} to ${last}`);
        return;
      }
      for (let i = 0; i < count; i++) {
        const block = agfl.view.getUint32(head + ((first + i) % slots) * 4);
        if (block === 0 || block >= agLength(info, this.#ag)) this.#add('agfl', 'free-list', `block ${block} on the free list`);
        else this.#context.claim(this.#ag, block, 1, OWNERS.AG);
      }
    } catch (error) {
      report.caught('agfl', error, { group: this.#ag });
    }
  }

  // Inodes -------------------------------------------------------------------------------------------------------------

  *#inodeTrees(): Io<Chunks> {
    const { info } = this.#context;
    const agi = this.#agi;
    const chunks = new Chunks();
    const total = { count: 0, free: 0, end: 0 };
    const blocks = yield* this.#tree({ kind: 'ino', root: agi.getUint32(I.agi_root), levels: agi.getUint32(I.agi_level) }, (view, at) => {
      this.#chunk(chunks, total, view, at);
    });
    if (blocks >= 0) {
      this.#same('agi', 'agi_count', 'inode-count', total.count);
      this.#same('agi', 'agi_freecount', 'free-inodes', total.free);
    }
    const hasCounts = info.v5 && (info.roCompat & RO_COMPAT.inobtcount) !== 0;
    if (blocks >= 0 && hasCounts) this.#same('agi', 'agi_iblocks', 'tree-blocks', blocks);
    if (!info.hasFinobt) return chunks;
    let next = 0;
    let isSame = true;
    const toFree = (): void => {
      while (next < chunks.length && freeIn(chunks, next) === 0) next++;
    };
    const free = yield* this.#tree({ kind: 'fino', root: agi.getUint32(I.agi_free_root), levels: agi.getUint32(I.agi_free_level) }, (view, at) => {
      toFree();
      const holes = info.hasSparse ? view.getUint16(at + 4) : 0;
      const count = info.hasSparse ? view.getUint8(at + 7) : view.getUint32(at + 4);
      if (
        next >= chunks.length || chunks.start.at(next) !== view.getUint32(at) || chunks.holes.at(next) !== holes || freeIn(chunks, next) !== count ||
        chunks.freeHigh.at(next) !== view.getUint32(at + 8) || chunks.freeLow.at(next) !== view.getUint32(at + 12) ||
        (info.hasSparse && view.getUint8(at + 6) !== 64 - 4 * countBits(holes))
      ) {
        isSame = false;
      }
      next++;
    });
    toFree();
    if (blocks >= 0 && free >= 0 && (!isSame || next !== chunks.length)) this.#add('finobt', 'free-inodes-differ', 'the two trees of inodes differ');
    if (free >= 0 && hasCounts) this.#same('agi', 'agi_fblocks', 'tree-blocks', free);
    return chunks;
  }

  /** Takes a record of the inode tree, and the blocks that it stands for. */
  #chunk(chunks: Chunks, total: { count: number; free: number; end: number }, view: DataView, at: number): void {
    const { info } = this.#context;
    const { inodesPerBlock } = info;
    const start = view.getUint32(at);
    const holes = info.hasSparse ? view.getUint16(at + 4) : 0;
    const freeCount = info.hasSparse ? view.getUint8(at + 7) : view.getUint32(at + 4);
    const [high, low] = [view.getUint32(at + 8), view.getUint32(at + 12)];
    const present = 64 - 4 * countBits(holes);
    // The last of them that has blocks: the rest may lie beyond the group.
    const lastIn = (31 - Math.clz32(holes ^ 0xffff)) * 4 + 3;
    const isPlaced = start % Math.min(64, inodesPerBlock) === 0 && start >= inodesPerBlock && Math.floor((start + lastIn) / inodesPerBlock) < agLength(info, this.#ag);
    if (start < total.end || !isPlaced || present === 0 || (info.hasSparse && view.getUint8(at + 6) !== present)) {
      this.#add('inobt', 'record-order', `a chunk at ${start}`);
      return;
    }
    total.end = start + 64;
    const chunk = chunks.length;
    chunks.add(start, high, low, holes);
    const free = freeIn(chunks, chunk);
    if (free !== freeCount) this.#add('inobt', 'free-inodes', `the chunk at ${start} says ${freeCount} are free, its bits ${free}`);
    for (let i = 0; i < 64; i += 4) if (chunks.isHole(chunk, i) && !(chunks.isFree(chunk, i) && chunks.isFree(chunk, i + 1) && chunks.isFree(chunk, i + 2) && chunks.isFree(chunk, i + 3))) this.#add('inobt', 'sparse', `inodes of the chunk at ${start} are in use and not there`);
    total.count += present;
    total.free += free;
    this.#claimChunk(chunks, chunk);
  }

  /** Blocks of a chunk; several chunks may lie in one block. */
  #claimChunk(chunks: Chunks, chunk: number): void {
    const { inodesPerBlock } = this.#context.info;
    const start = chunks.start.at(chunk);
    const first = Math.floor(start / inodesPerBlock);
    if (inodesPerBlock >= 64) {
      const isKnown = chunk > 0 && Math.floor(chunks.start.at(chunk - 1) / inodesPerBlock) === first;
      if (!isKnown) this.#context.claim(this.#ag, first, 1, OWNERS.INODES);
    } else if (chunks.holes.at(chunk) === 0) {
      this.#context.claim(this.#ag, first, 64 / inodesPerBlock, OWNERS.INODES);
    } else {
      for (let i = 0; i < 64; i += inodesPerBlock) if (!chunks.isHole(chunk, i)) this.#context.claim(this.#ag, first + i / inodesPerBlock, 1, OWNERS.INODES);
    }
  }

  // Owners -------------------------------------------------------------------------------------------------------------

  *#rmaps(): Io<{ readonly blocks: number; readonly runs: OwnedRuns }> {
    const agf = this.#agf;
    const length = agLength(this.#context.info, this.#ag);
    const runs = new OwnedRuns();
    let last = 0;
    let isOrdered = true;
    const blocks = yield* this.#tree({ kind: 'rmap', root: agf.getUint32(F.agf_rmap_root), levels: agf.getUint32(F.agf_rmap_level) }, (view, at) => {
      const start = view.getUint32(at);
      const count = view.getUint32(at + 4);
      const high = view.getUint32(at + 16);
      if (start < last || count === 0 || start + count > length) isOrdered = false;
      last = start;
      runs.add(start, count, view.getInt32(at + 8) * 2 ** 32 + view.getUint32(at + 12), (high % 2 ** 29) * 2 ** 32 + view.getUint32(at + 20), high >>> 29);
    });
    if (!isOrdered) this.#add('rmapbt', 'record-order', 'records of the reverse map are out of order');
    if (blocks >= 0) this.#same('agf', 'agf_rmap_blocks', 'tree-blocks', blocks);
    return { blocks, runs };
  }

  *#refs(): Io<RefRuns | undefined> {
    const agf = this.#agf;
    const length = agLength(this.#context.info, this.#ag);
    const refs = new RefRuns();
    let end = 0;
    let isOrdered = true;
    const blocks = yield* this.#tree({ kind: 'refc', root: agf.getUint32(F.agf_refcount_root), levels: agf.getUint32(F.agf_refcount_level) }, (view, at) => {
      const start = view.getUint32(at);
      const count = view.getUint32(at + 4);
      const owners = view.getUint32(at + 8);
      const isCow = start >= COW_FLAG;
      const block = isCow ? start - COW_FLAG : start;
      if (start < end || count === 0 || block + count > length || owners < (isCow ? 1 : 2) || (isCow && owners !== 1)) {
        isOrdered = false;
        return;
      }
      end = start + count;
      if (isCow) this.#context.claim(this.#ag, block, count, OWNERS.COW);
      else refs.add(start, count, owners);
    });
    if (!isOrdered) this.#add('refcountbt', 'record-order', 'a record of the counts of sharing is out of order, or of nothing');
    if (blocks < 0) return undefined;
    this.#same('agf', 'agf_refcount_blocks', 'tree-blocks', blocks);
    return refs;
  }
}

/** Index of a value in an ascending list, -1 = it is not there. */
function indexOf(list: Words, value: number): number {
  const { data } = list;
  let low = 0;
  let high = list.length;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if ((data[mid] ?? 0) < value) low = mid + 1;
    else high = mid;
  }
  return low < list.length && data[low] === value ? low : -1;
}

/** Free inodes of a chunk that have blocks. */
function freeIn(chunks: Chunks, chunk: number): number {
  const holes = chunks.holes.at(chunk);
  if (holes === 0) return countBits(chunks.freeLow.at(chunk)) + countBits(chunks.freeHigh.at(chunk));
  let count = 0;
  for (let i = 0; i < 64; i++) if (chunks.isFree(chunk, i) && !chunks.isHole(chunk, i)) count++;
  return count;
}

/** Undefined: the headers cannot be read, so nothing of the group is known. @throws FsError EIO */
export function* checkGroup(context: CheckContext, ag: number): Io<GroupFacts | undefined> {
  const { vol, report } = context;
  try {
    const agf = (yield* vol.reading(() => vol.needHeader(ag, 1, AGF_MAGIC))).hold();
    try {
      checkHeader(agf, ag, F.agf_seqno);
      const agi = (yield* vol.reading(() => vol.needHeader(ag, 2, AGI_MAGIC))).hold();
      try {
        checkHeader(agi, ag, I.agi_seqno);
        return yield* new GroupChecker(context, ag, agf.view, agi.view).check();
      } finally {
        agi.put();
      }
    } finally {
      agf.put();
    }
  } catch (error) {
    report.caught('agf', error, { group: ag });
    return undefined;
  }
}
