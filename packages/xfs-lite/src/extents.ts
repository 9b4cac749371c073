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

/** Numbers that a list keeps of an extent: file block, block, count, 1 where it is unwritten. */
const STRIDE = 4;

export class ExtentList {
  readonly length: number;
  /** A plain array: most forks have an extent or two, for which typed ones would take ten times the memory. */
  readonly #words: number[];
  #last = 0;

  private constructor(length: number, words: number[]) {
    this.length = length;
    this.#words = words;
  }

  /** Takes `count` records from `at`, as they stand: `check` looks at them. */
  static unpack(view: DataView, at: number, count: number): ExtentList {
    if (count === 1) {
      const { off, block, count: blocks, unwritten } = unpackExtent(view, at);
      return new ExtentList(1, [off, block, blocks, unwritten ? 1 : 0]);
    }
    const words = new Array<number>(count * STRIDE).fill(0);
    for (let i = 0; i < count; i++) put(words, i * STRIDE, unpackExtent(view, at + i * BMBT_REC_BYTES));
    return new ExtentList(count, words);
  }

  static of(extents: readonly Extent[]): ExtentList {
    const words = new Array<number>(extents.length * STRIDE).fill(0);
    extents.forEach((extent, i) => {
      put(words, i * STRIDE, extent);
    });
    return new ExtentList(extents.length, words);
  }

  /** @throws FsError EUCLEAN when an extent cannot be, or they are out of order */
  check(info: SuperInfo, ino: number): void {
    let end = 0;
    for (let i = 0; i < this.length; i++) {
      const extent = this.get(i);
      if (extent.off < end) throw corrupt(`mapping ${i} of a fork is out of order`, { ino, field: 'br_startoff' });
      checkExtent(extent, info, ino);
      end = extent.off + extent.count;
    }
  }

  get(i: number): Extent {
    const words = this.#words;
    const at = i * STRIDE;
    return { off: words[at] ?? 0, block: words[at + 1] ?? 0, count: words[at + 2] ?? 0, unwritten: words[at + 3] === 1 };
  }

  toArray(): Extent[] {
    return Array.from({ length: this.length }, (_, i) => this.get(i));
  }

  /** Index of the last extent that starts at or before `fileBlock`, or -1. */
  #locate(fileBlock: number): number {
    const words = this.#words;
    const hint = this.#last * STRIDE;
    if ((words[hint] ?? Infinity) <= fileBlock && (hint + STRIDE >= words.length || (words[hint + STRIDE] ?? 0) > fileBlock)) return this.#last;
    let low = 0;
    let high = this.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((words[mid * STRIDE] ?? 0) <= fileBlock) low = mid + 1;
      else high = mid;
    }
    if (low > 0) this.#last = low - 1;
    return low - 1;
  }

  /** Fills `out` with what is at `fileBlock`; a hole ends at the next extent, or at `end`. */
  find(fileBlock: number, end: number, out: MapRun): void {
    const words = this.#words;
    const at = this.#locate(fileBlock);
    if (at >= 0) {
      const skip = fileBlock - (words[at * STRIDE] ?? 0);
      const count = (words[at * STRIDE + 2] ?? 0) - skip;
      if (count > 0) {
        out.block = (words[at * STRIDE + 1] ?? 0) + skip;
        out.count = count;
        out.unwritten = words[at * STRIDE + 3] === 1;
        return;
      }
    }
    out.block = -1;
    out.count = (at + 1 < this.length ? (words[(at + 1) * STRIDE] ?? end) : end) - fileBlock;
    out.unwritten = false;
  }
}

function put(words: number[], at: number, { off, block, count, unwritten }: Extent): void {
  words[at] = off;
  words[at + 1] = block;
  words[at + 2] = count;
  words[at + 3] = unwritten ? 1 : 0;
}
