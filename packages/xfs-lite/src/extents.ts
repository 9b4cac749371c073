/** Mappings of a fork, decoded and checked: sorted by file block, without overlap, inside their groups. */
import { corrupt } from '@iomap/io';
import { BMBT_REC_BYTES, VERSION } from './ondisk.js';
import { isFsBlock, type SuperInfo } from './super.js';

/** File blocks end here: beyond it a position is no safe integer. */
export const FILE_BLOCKS_MAX = 2 ** 53;

/** A piece of a fork from the block asked for. `block` is a filesystem block number, -1 in a hole. */
export interface MapRun {
  block: number;
  count: number;
  unwritten: boolean;
}

export interface Extent {
  readonly off: number;
  readonly block: number;
  readonly count: number;
  readonly unwritten: boolean;
}

/** Unpacks the 128 bits at `at`. No checks. */
export function unpackExtent(view: DataView, at: number): Extent {
  const w0 = view.getUint32(at);
  const w1 = view.getUint32(at + 4);
  const w2 = view.getUint32(at + 8);
  const w3 = view.getUint32(at + 12);
  return {
    off: (w0 & 0x7fff_ffff) * 2 ** 23 + (w1 >>> 9),
    block: (w1 & 0x1ff) * 2 ** 43 + w2 * 2 ** 11 + (w3 >>> 21),
    count: w3 & 0x1f_ffff,
    unwritten: w0 >>> 31 === 1,
  };
}

/** Packs an extent into the 16 bytes at `at`. */
export function packExtent(view: DataView, at: number, { off, block, count, unwritten }: Extent): void {
  const offHigh = Math.floor(off / 2 ** 23);
  view.setUint32(at, offHigh + (unwritten ? 2 ** 31 : 0));
  view.setUint32(at + 4, (off % 2 ** 23) * 2 ** 9 + Math.floor(block / 2 ** 43));
  view.setUint32(at + 8, Math.floor(block / 2 ** 11) % 2 ** 32);
  view.setUint32(at + 12, (block % 2 ** 11) * 2 ** 21 + count);
}

/** One extent by itself. @throws FsError EUCLEAN */
export function checkExtent(extent: Extent, info: SuperInfo, ino: number): void {
  const { off, block, count } = extent;
  if (count === 0 || off + count > FILE_BLOCKS_MAX) throw corrupt('an extent of a fork has no length', { ino, field: 'br_blockcount' });
  if (block === 0 || !isFsBlock(info, block, count)) throw corrupt('an extent of a fork leaves its group', { ino, field: 'br_startblock', block });
  if (extent.unwritten && !info.v5 && (info.versionnum & VERSION.EXTFLG) === 0) {
    throw corrupt('an unwritten extent in a filesystem without them', { ino });
  }
}

export class ExtentList {
  readonly off: Float64Array;
  readonly block: Float64Array;
  readonly count: Float64Array;
  readonly unwritten: Uint8Array;
  readonly length: number;
  #last = 0;

  constructor(length: number) {
    this.length = length;
    this.off = new Float64Array(length);
    this.block = new Float64Array(length);
    this.count = new Float64Array(length);
    this.unwritten = new Uint8Array(length);
  }

  /**
   * Decodes `count` records.
   * @throws FsError EUCLEAN
   */
  static decode(view: DataView, at: number, count: number, info: SuperInfo, ino: number): ExtentList {
    const list = new ExtentList(count);
    let end = 0;
    for (let i = 0; i < count; i++) {
      const extent = unpackExtent(view, at + i * BMBT_REC_BYTES);
      const { off } = extent;
      if (off < end) throw corrupt(`mapping ${i} of a fork is out of order`, { ino, field: 'br_startoff' });
      checkExtent(extent, info, ino);
      list.set(i, extent);
      end = off + extent.count;
    }
    return list;
  }

  static of(extents: readonly Extent[]): ExtentList {
    const list = new ExtentList(extents.length);
    extents.forEach((extent, i) => {
      list.set(i, extent);
    });
    return list;
  }

  set(i: number, { off, block, count, unwritten }: Extent): void {
    this.off[i] = off;
    this.block[i] = block;
    this.count[i] = count;
    this.unwritten[i] = unwritten ? 1 : 0;
  }

  get(i: number): Extent {
    return { off: this.off[i] ?? 0, block: this.block[i] ?? 0, count: this.count[i] ?? 0, unwritten: this.unwritten[i] === 1 };
  }

  toArray(): Extent[] {
    return Array.from({ length: this.length }, (_, i) => this.get(i));
  }

  /** Index of the last extent that starts at or before `fileBlock`, or -1. */
  #locate(fileBlock: number): number {
    const { off } = this;
    const hint = this.#last;
    if ((off[hint] ?? Infinity) <= fileBlock && (off[hint + 1] ?? Infinity) > fileBlock) return hint;
    let low = 0;
    let high = this.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((off[mid] ?? 0) <= fileBlock) low = mid + 1;
      else high = mid;
    }
    if (low > 0) this.#last = low - 1;
    return low - 1;
  }

  /** Fills `out` with what is at `fileBlock`; a hole ends at the next extent, or at `end`. */
  find(fileBlock: number, end: number, out: MapRun): void {
    const at = this.#locate(fileBlock);
    if (at >= 0) {
      const skip = fileBlock - (this.off[at] ?? 0);
      const count = (this.count[at] ?? 0) - skip;
      if (count > 0) {
        out.block = (this.block[at] ?? 0) + skip;
        out.count = count;
        out.unwritten = this.unwritten[at] === 1;
        return;
      }
    }
    out.block = -1;
    out.count = (at + 1 < this.length ? (this.off[at + 1] ?? end) : end) - fileBlock;
    out.unwritten = false;
  }
}
