/**
 * Intents: work that a transaction promised and a later one reports done. What was not reported done by the end of the log is
 * finished here, as far as a reader can see it: mappings of files (BUI) and exchanges of ranges (XMI) become overrides of forks in
 * memory. Those of space (freeing, reverse maps, counts of sharing) are in pending.ts; those of parent pointers change nothing that
 * a reader sees, and are counted only.
 */
import { corrupt, FsError, type Io } from '@iomap/io';
import { ExtentList, FILE_BLOCKS_MAX, type Extent, type MapRun } from '../extents.js';
import { mapFork, type ForkOverride } from '../fork.js';
import type { XfsInode } from '../inode.js';
import { ExchangeFormat, IntentFormat, ITEM, MapExtent, ME } from '../ondisk-log.js';
import { isFsBlock, type SuperInfo } from '../super.js';
import type { Volume } from '../volume.js';
import { pendingOf, type Pending } from './pending.js';
import type { LogItem } from './transactions.js';

/** Extents of a file that an unfinished intent touches. */
const EXTENTS_MAX = 4_000_000;

/** The intent that each kind of done item finishes. */
const DONE: ReadonlyMap<number, number> = new Map([
  [ITEM.EFD, ITEM.EFI],
  [ITEM.RUD, ITEM.RUI],
  [ITEM.CUD, ITEM.CUI],
  [ITEM.BUD, ITEM.BUI],
  [ITEM.ATTRD, ITEM.ATTRI],
  [ITEM.XMD, ITEM.XMI],
]);
const INTENTS = new Set<number>(DONE.values());
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(ITEM).map(([name, type]) => [type, name]));

/** `alfi_op_flags`: operations on parent pointers, which no reader is shown. */
const ATTR_OP_AT = 24;
const PARENT_OPS = new Set([4, 5, 6]);

/** `xmi_flags`. */
const XMI = { ATTR_FORK: 1, SET_SIZES: 2, INO1_WRITTEN: 4 } as const;

export class Intents {
  /** In the order of the log. */
  readonly #open = new Map<string, LogItem>();

  /** Takes an intent or a done item; false = it is neither. @throws FsError EUCLEAN */
  take(item: LogItem): boolean {
    const done = DONE.get(item.type);
    if (done === undefined && !INTENTS.has(item.type)) return false;
    const region = item.regions[0];
    if (region === undefined || region.length < IntentFormat.size) throw corrupt('log: an intent is cut short', { field: 'id' });
    const id = IntentFormat.at(region).id.toString(16);
    if (done === undefined) this.#open.set(`${item.type}:${id}`, item);
    else this.#open.delete(`${done}:${id}`);
    return true;
  }

  /** How many of each kind are left. */
  counts(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { type } of this.#open.values()) {
      const name = NAMES.get(type) ?? 'unknown';
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  /** What is left of space. @throws FsError EUCLEAN */
  pending(info: SuperInfo): Pending | undefined {
    return pendingOf(this.#open.values(), info);
  }

  /**
   * Finishes what is left.
   * @throws FsError EUCLEAN; EOPNOTSUPP for an attribute that was being changed through the log (larp)
   */
  *finish(vol: Volume, read: (ino: number) => Io<XfsInode>): Io<Map<number, ForkOverride>> {
    const overrides = new Map<number, ForkOverride>();
    const forkOf = function* (ino: number): Io<Edit> {
      const known = overrides.get(ino);
      if (known !== undefined) return { extents: known.list.toArray(), size: known.size };
      return { extents: yield* allExtents(vol, yield* read(ino)), size: undefined };
    };
    const put = (ino: number, edit: Edit): void => {
      overrides.set(ino, { list: ExtentList.of(edit.extents), size: edit.size });
    };
    for (const item of this.#open.values()) {
      if (item.type === ITEM.BUI) yield* ifInUse(finishMap(vol, item, forkOf, put));
      else if (item.type === ITEM.XMI) yield* ifInUse(finishExchange(item, forkOf, put));
      else if (item.type === ITEM.ATTRI && !isParentOp(item)) {
        throw new FsError('EOPNOTSUPP', { why: 'log: an attribute was being changed through the log (larp)' });
      }
    }
    return overrides;
  }
}

interface Edit {
  extents: Extent[];
  size: number | undefined;
}

type ForkOf = (ino: number) => Io<Edit>;
type Put = (ino: number, edit: Edit) => void;

/** A file that was unlinked meanwhile has nobody to see what becomes of it. */
function* ifInUse(io: Io<void>): Io<void> {
  try {
    yield* io;
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== 'ESTALE') throw error;
  }
}

function isParentOp(item: LogItem): boolean {
  const region = item.regions[0] ?? new Uint8Array(0);
  if (region.length < ATTR_OP_AT + 4) return false;
  return PARENT_OPS.has(new DataView(region.buffer, region.byteOffset).getUint32(ATTR_OP_AT, true) % 256);
}

function* allExtents(vol: Volume, inode: XfsInode): Io<Extent[]> {
  const extents: Extent[] = [];
  const run: MapRun = { block: -1, count: 0, unwritten: false };
  for (let at = 0; at < FILE_BLOCKS_MAX; at += run.count) {
    const off = at;
    yield* vol.reading(() => (mapFork(vol, inode.ino, inode.data, off, run) ? true : undefined));
    if (run.block >= 0) extents.push({ off, block: run.block, count: run.count, unwritten: run.unwritten });
    if (extents.length > EXTENTS_MAX || run.count <= 0) throw corrupt('a fork that does not end', { ino: inode.ino });
  }
  return extents;
}

// Ranges of a list of extents ---------------------------------------------------------------------------------------------------

/** Takes [from, end) out of `extents`; answers what was there, cut to it. */
export function takeRange(extents: Extent[], from: number, end: number): Extent[] {
  const taken: Extent[] = [];
  const kept: Extent[] = [];
  for (const extent of extents) {
    const { off, block, count, unwritten } = extent;
    const stop = off + count;
    if (stop <= from || off >= end) {
      kept.push(extent);
      continue;
    }
    if (off < from) kept.push({ off, block, count: from - off, unwritten });
    const a = Math.max(off, from);
    const b = Math.min(stop, end);
    taken.push({ off: a, block: block + (a - off), count: b - a, unwritten });
    if (stop > end) kept.push({ off: end, block: block + (end - off), count: stop - end, unwritten });
  }
  extents.splice(0, extents.length, ...kept);
  return taken;
}

/** Puts extents in, moved by `shift` file blocks, in order. */
export function putRange(extents: Extent[], more: readonly Extent[], shift: number): void {
  for (const extent of more) extents.push({ ...extent, off: extent.off + shift });
  extents.sort((a, b) => a.off - b.off);
}

// The two kinds that a reader sees ------------------------------------------------------------------------------------------------

function* finishMap(vol: Volume, item: LogItem, forkOf: ForkOf, put: Put): Io<void> {
  const region = item.regions[0] ?? new Uint8Array(0);
  const { nextents } = IntentFormat.at(region);
  for (let i = 0; i < nextents; i++) {
    const map = MapExtent.at(region, IntentFormat.size + i * MapExtent.size);
    const { me_owner: ino, me_startblock: block, me_startoff: off, me_len: count, me_flags: flags } = map;
    const type = flags & ME.TYPE;
    if (count === 0 || off + count > FILE_BLOCKS_MAX || !isFsBlock(vol.info, block, count) || (type !== ME.MAP && type !== ME.UNMAP)) {
      throw corrupt('log: a mapping intent', { ino, field: 'me_startblock' });
    }
    if (flags >= ME.ATTR_FORK) throw corrupt('log: a mapping intent for attributes', { ino, field: 'me_flags' });
    const edit = yield* forkOf(ino);
    takeRange(edit.extents, off, off + count);
    if (type === ME.MAP) putRange(edit.extents, [{ off, block, count, unwritten: Math.floor(flags / ME.UNWRITTEN) % 2 === 1 }], 0);
    put(ino, edit);
  }
}

function* finishExchange(item: LogItem, forkOf: ForkOf, put: Put): Io<void> {
  const region = item.regions[0] ?? new Uint8Array(0);
  const view = ExchangeFormat.at(region);
  const { xmi_inode1: one, xmi_inode2: two, xmi_startoff1: from1, xmi_startoff2: from2, xmi_blockcount: count, xmi_flags: flags } = view;
  if (from1 + count > FILE_BLOCKS_MAX || from2 + count > FILE_BLOCKS_MAX || one === two) {
    throw corrupt('log: an exchange intent', { ino: one, field: 'xmi_blockcount' });
  }
  if ((flags & XMI.ATTR_FORK) !== 0) throw new FsError('EOPNOTSUPP', { why: 'log: an exchange of attribute forks' });
  const a = yield* forkOf(one);
  const b = yield* forkOf(two);
  if ((flags & XMI.INO1_WRITTEN) === 0) {
    const fromA = takeRange(a.extents, from1, from1 + count);
    const fromB = takeRange(b.extents, from2, from2 + count);
    putRange(a.extents, fromB, from1 - from2);
    putRange(b.extents, fromA, from2 - from1);
  } else {
    exchangeWritten(a, b, from1, from2, count);
  }
  if ((flags & XMI.SET_SIZES) !== 0) {
    a.size = view.xmi_isize1;
    b.size = view.xmi_isize2;
  }
  put(one, a);
  put(two, b);
}

/** Only what the first file has written changes places. */
function exchangeWritten(a: Edit, b: Edit, from1: number, from2: number, count: number): void {
  const written = takeRange(a.extents, from1, from1 + count);
  for (const extent of written) {
    if (extent.unwritten) {
      putRange(a.extents, [extent], 0);
      continue;
    }
    const start = extent.off - from1 + from2;
    const back = takeRange(b.extents, start, start + extent.count);
    putRange(b.extents, [extent], from2 - from1);
    putRange(a.extents, back, from1 - from2);
  }
}
