/**
 * What the log promised of space and did not bring to its end: extents to free (EFI), counts of sharing to change (CUI), reverse maps
 * to change (RUI). A reader counts with the sharing that was promised; a check knows whose blocks are in between.
 */
import { corrupt, type FsError } from '@iomap/io';
import { IntentFormat, ITEM, PE, PhysExtent } from '../ondisk-log.js';
import { fsbToAg, fsbToAgb, isFsBlock, type SuperInfo } from '../super.js';
import type { LogItem } from './transactions.js';

/** Extents of unfinished intents: a mount leaves a handful. */
const EXTENTS_MAX = 4096;
/** Bytes of an extent of an EFI as 32-bit machines log it. */
const PACKED_BYTES = 12;

/** An extent of a RUI: owner, first block, offset, length, flags. */
const RUI_BYTES = 32;
const RUI_BLOCK_AT = 8;
const RUI_LENGTH_AT = 24;

/** A run of blocks of a group, and by how many owners its count changes. */
export interface RefChange {
  readonly ag: number;
  readonly start: number;
  readonly end: number;
  readonly delta: number;
}

export interface Pending {
  /** In the order of the log. */
  readonly refs: readonly RefChange[];
  /** Filesystem blocks that are nobody's, and not free yet. */
  readonly frees: readonly { readonly fsb: number; readonly count: number }[];
  /** Groups whose reverse map lags behind. */
  readonly rmapGroups: ReadonlySet<number>;
}

const bad = (field: string): FsError => corrupt('log: an intent of space', { field });

/**
 * Reads unfinished intents; undefined = there are none of space.
 * @throws FsError EUCLEAN
 */
export function pendingOf(items: Iterable<LogItem>, info: SuperInfo): Pending | undefined {
  const refs: RefChange[] = [];
  const frees: { fsb: number; count: number }[] = [];
  const rmapGroups = new Set<number>();
  let any = 0;
  for (const item of items) {
    const region = item.regions[0] ?? new Uint8Array(0);
    if (item.type !== ITEM.EFI && item.type !== ITEM.CUI && item.type !== ITEM.RUI) continue;
    const { nextents } = IntentFormat.at(region);
    const room = region.length - IntentFormat.size;
    const width = item.type === ITEM.RUI ? RUI_BYTES : nextents * PhysExtent.size > room ? PACKED_BYTES : PhysExtent.size;
    any += nextents;
    if (nextents * width > room || any > EXTENTS_MAX) throw bad('nextents');
    const view = new DataView(region.buffer, region.byteOffset, region.byteLength);
    for (let i = 0; i < nextents; i++) {
      const at = IntentFormat.size + i * width + (item.type === ITEM.RUI ? RUI_BLOCK_AT : 0);
      const fsb = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
      const count = view.getUint32(item.type === ITEM.RUI ? at + RUI_LENGTH_AT - RUI_BLOCK_AT : at + 8, true);
      if (count === 0 || !isFsBlock(info, fsb, count)) throw bad('ext_start');
      const ag = fsbToAg(info, fsb);
      if (item.type === ITEM.EFI) frees.push({ fsb, count });
      else if (item.type === ITEM.RUI) rmapGroups.add(ag);
      else {
        const type = view.getUint32(at + 12, true) & PE.TYPE;
        const start = fsbToAgb(info, fsb);
        // The two other types set blocks aside for copies, which no file has.
        if (type === PE.INCREASE || type === PE.DECREASE) refs.push({ ag, start, end: start + count, delta: type === PE.INCREASE ? 1 : -1 });
      }
    }
  }
  return any === 0 ? undefined : { refs, frees, rmapGroups };
}
