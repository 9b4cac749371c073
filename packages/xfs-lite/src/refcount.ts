/**
 * Which blocks are shared: look-ups in the refcount tree of a group. It has a record for each run of blocks with two owners or
 * more (and, in a domain of its own, runs that a copy on write has set aside; those are nobody's yet).
 */
import { corrupt } from '@iomap/io';
import { AGF_MAGIC, XfsAgf } from './ondisk.js';
import { BtreeShort } from './ondisk-trees.js';
import { checkHeader } from './ag.js';
import type { RefChange } from './log/pending.js';
import { agbToFsb, agLength, fsbToAg, fsbToAgb } from './super.js';
import { checkOwner } from './verify.js';
import type { Volume } from './volume.js';

/** Set in the first block of records of copy on write. */
const COW_FLAG = 2 ** 31;
const LEVELS_MAX = 16;
const REC_BYTES = 12;

/** A run of blocks in a group. */
export interface SharedRun {
  block: number;
  count: number;
  /** Files that have it, as the tree says. */
  owners?: number;
}

/**
 * The first shared run in blocks [block, end) of a group, clipped to it; `count` 0 = none. False: a block is missing.
 * @throws FsError EUCLEAN, EBADMSG
 */
export function findShared(vol: Volume, fsb: number, count: number, out: SharedRun): boolean {
  const ag = fsbToAg(vol.info, fsb);
  const changes = vol.pending?.refs.filter((change) => change.ag === ag) ?? [];
  return changes.length === 0 ? findInTree(vol, fsb, count, out) : findChanged(vol, changes, fsb, count, out);
}

/** `findShared` where the log promised other counts than the tree has: piece by piece, each with one count. */
function findChanged(vol: Volume, changes: readonly RefChange[], fsb: number, count: number, out: SharedRun): boolean {
  const from = fsbToAgb(vol.info, fsb);
  const base = fsb - from;
  const end = from + count;
  const found: SharedRun = { block: 0, count: 0 };
  for (let at = from; at < end; ) {
    if (!findInTree(vol, base + at, end - at, found)) return false;
    const first = found.count === 0 ? end : found.block - base;
    const isInTree = first <= at;
    let stop = isInTree ? first + found.count : first;
    let owners = isInTree ? (found.owners ?? 1) : 1;
    for (const change of changes) {
      if (change.start <= at && at < change.end) owners += change.delta;
      if (change.start > at) stop = Math.min(stop, change.start);
      else if (change.end > at) stop = Math.min(stop, change.end);
    }
    if (owners > 1) {
      out.block = base + at;
      out.count = stop - at;
      return true;
    }
    at = stop;
  }
  out.count = 0;
  return true;
}

function findInTree(vol: Volume, fsb: number, count: number, out: SharedRun): boolean {
  const ag = fsbToAg(vol.info, fsb);
  const from = fsbToAgb(vol.info, fsb);
  const end = from + count;
  const agf = vol.needHeader(ag, 1, AGF_MAGIC);
  if (agf === undefined) return false;
  const { view } = agf;
  checkHeader(agf, ag, XfsAgf.offsets.agf_seqno);
  const root = view.getUint32(XfsAgf.offsets.agf_refcount_root);
  const levels = view.getUint32(XfsAgf.offsets.agf_refcount_level);
  if (levels < 1 || levels > LEVELS_MAX) throw corrupt(`a refcount tree of ${levels} levels`, { field: 'agf_refcount_level' });
  out.count = 0;
  for (let at = from; at < end; ) {
    const next = searchTree(vol, { ag, root, levels }, at, out);
    if (next === undefined) return false;
    if (out.count > 0) {
      const first = Math.max(out.block, from);
      out.count = Math.min(out.block + out.count, end) - first;
      out.block = agbToFsb(vol.info, ag, first);
      if (out.count < 0 || fsbToAgb(vol.info, out.block) >= end) out.count = 0;
      return true;
    }
    if (next <= at) throw corrupt('keys of a refcount tree are out of order', { field: 'rc_startblock' });
    at = next;
  }
  return true;
}

/**
 * Finds the first record that ends after `block` in one leaf; `out.count` 0 = none there, and the answer is where to go on.
 */
function searchTree(
  vol: Volume, tree: { readonly ag: number; readonly root: number; readonly levels: number }, block: number, out: SharedRun,
): number | undefined {
  const { info } = vol;
  let agb = tree.root;
  let next = Infinity;
  for (let level = tree.levels - 1; level >= 0; level--) {
    if (agb === 0 || agb >= agLength(info, tree.ag)) throw corrupt('a refcount tree leaves its group', { block: agb });
    const buf = vol.needFsb(agbToFsb(info, tree.ag, agb), vol.ops.trees.refc);
    if (buf === undefined) return undefined;
    const { view } = buf;
    const width = level === 0 ? REC_BYTES : 8;
    const max = Math.floor((info.blockSize - BtreeShort.size) / width);
    const count = view.getUint16(6);
    if (view.getUint16(4) !== level || count > max || (count === 0 && tree.levels > 1)) {
      throw corrupt('a block of a refcount tree', { pos: buf.pos, field: 'bb_level' });
    }
    checkOwner(view.getUint32(BtreeShort.offsets.bb_owner), tree.ag, buf.pos, 'refcount btree block');
    if (level === 0) {
      searchLeaf(view, count, block, out);
      if (out.count === 0) return next;
      if (out.block + out.count > agLength(info, tree.ag)) throw corrupt('a shared run leaves its group', { pos: buf.pos, field: 'rc_blockcount' });
      return 0;
    }
    let at = 0;
    for (let i = 0; i < count; i++) if (view.getUint32(BtreeShort.size + i * 4) <= block) at = i;
    if (at + 1 < count) next = Math.min(next, view.getUint32(BtreeShort.size + (at + 1) * 4));
    agb = view.getUint32(BtreeShort.size + max * 4 + at * 4);
  }
  return next;
}

function searchLeaf(view: DataView, count: number, block: number, out: SharedRun): void {
  out.count = 0;
  for (let i = 0; i < count; i++) {
    const at = BtreeShort.size + i * REC_BYTES;
    const start = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (start >= COW_FLAG) return;
    if (start + length <= block || view.getUint32(at + 8) < 2) continue;
    out.block = start;
    out.count = length;
    out.owners = view.getUint32(at + 8);
    return;
  }
}
