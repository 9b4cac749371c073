/**
 * What speaks for a geometry: a directory whose '.' is its own number, entries that lead to files, maps that stay within the data, bitmaps
 * that agree with the inodes. One guess is weighed like another, so the weights of two can be compared.
 *
 * The tree says which geometry it is (`tree`); bitmaps, which damage may have met, only tell siblings apart (`bitmaps`, at most 9).
 * The work is bounded: so many inodes, entries and indirect zones, in the order of their numbers.
 */
import { countSet, testBit } from '@iomap/block-map';
import type { Io } from '@iomap/io';
import { hasType, hasZones, isDirectory } from '../check/image.js';
import { BITMAP_BLOCK, DIRECT_ZONES, MinixInodeV1, MinixInodeV2, ROOT_INO } from '../ondisk.js';
import { BIT_ORDERS } from '../options.js';
import { zoneBits, type SuperInfo } from '../super.js';
import type { Peek } from './peek.js';

/** At most so many inodes, directory entries and indirect zones are looked at. */
const INODES_MAX = 32_768;
const ENTRIES_MAX = 20_000;
const TREES_MAX = 1024;
/** A tree below this is not looked at further. */
const HOPELESS = -4000;

export interface Evidence {
  /** Directories, entries and files that are as they should be, less those that are not. */
  readonly tree: number;
  readonly bitmaps: number;
  /** Directories with '.' and '..' where they belong. */
  readonly directories: number;
  /** Is the root one of them? */
  readonly hasRoot: boolean;
  /** Inodes in use, and the share of those in use or marked so that are both. */
  readonly inUse: number;
  readonly agreement: number;
  /** The last zone that a file leads to; undefined where not all were looked at. */
  readonly lastZone: number | undefined;
  /** The last zone that the bitmap has as free, 0 for none. */
  readonly lastFree: number;
}

interface Slot {
  readonly ino: number;
  readonly mode: number;
  readonly size: number;
  readonly zones: readonly number[];
}

/** What an inode's slot holds. */
const FREE = 0;
const SOUND = 1;
const BROKEN = 2;

class Weighing {
  readonly #peek: Peek;
  readonly #info: SuperInfo;
  readonly #sample: number;
  readonly #states: Uint8Array;
  readonly #zones: number[] = [];
  readonly #directories: Slot[] = [];
  #inUse = 0;
  #tree = 0;
  #sound = 0;
  #hasRoot = false;
  #trees = 0;
  #entries = 0;
  #lastZone = 0;
  #isWhole = true;
  /** Has the inode at hand lost data with the end of the device? */
  #isCut = false;

  constructor(peek: Peek, info: SuperInfo) {
    this.#peek = peek;
    this.#info = info;
    this.#sample = Math.min(INODES_MAX, info.inodesCount);
    this.#isWhole = this.#sample === info.inodesCount;
    this.#states = new Uint8Array(this.#sample + 1);
  }

  *run(): Io<Evidence> {
    yield* this.#inodes();
    for (const dir of this.#directories) if (this.#tree >= HOPELESS) yield* this.#directory(dir);
    const { agreement, flip } = yield* this.#agreement();
    const info = this.#info;
    const tails =
      (yield* this.#tail(BITMAP_BLOCK, info.imapBlocks, info.inodesCount + 1, flip)) +
      // The device may have become shorter: it has no more zones than that.
      (yield* this.#tail(info.zmapBlock, info.zmapBlocks, zoneBits(info), flip)) * (this.#fillsDevice() ? 0.25 : 1);
    const { marked, lastFree } = yield* this.#zoneMarks(flip);
    return {
      tree: this.#tree,
      bitmaps: 6 * agreement + 3 * marked - tails,
      directories: this.#sound,
      hasRoot: this.#hasRoot,
      inUse: this.#inUse,
      agreement,
      lastZone: this.#isWhole ? this.#lastZone : undefined,
      lastFree,
    };
  }

  #fillsDevice(): boolean {
    return this.#info.zonesCount === Math.floor(this.#peek.device.sizeBytes / this.#info.zoneSize);
  }

  #inRange(zone: number): boolean {
    return zone >= this.#info.firstDataZone && zone < this.#info.zonesCount;
  }

  /** A zone that the bitmap has and the device has no more: that is no fault of the geometry. */
  #isBehindEnd(zone: number): boolean {
    const { zonesCount, firstDataZone, zmapBlocks, blockSize } = this.#info;
    return zone >= zonesCount && zone < firstDataZone + zmapBlocks * blockSize * 8 - 1 && this.#fillsDevice();
  }

  *#inodes(): Io<void> {
    const info = this.#info;
    for (let ino = 1; ino <= this.#sample; ino++) {
      const index = (ino - 1) % info.inodesPerBlock;
      if (index !== 0 || this.#tree < HOPELESS) continue;
      const block = info.tableBlock + (ino - 1) / info.inodesPerBlock;
      const table = yield* this.#peek.bytes(block * info.blockSize, info.blockSize);
      const last = Math.min(this.#sample, ino + info.inodesPerBlock - 1);
      if (table.every((byte) => byte === 0)) continue;
      for (let one = ino; one <= last; one++) {
        const slot = this.#slot(one, table, (one - ino) * info.inodeSize);
        if (slot !== undefined) yield* this.#inode(slot);
      }
    }
  }

  /** The inode in a slot that is in use. */
  #slot(ino: number, table: Uint8Array, at: number): Slot | undefined {
    const info = this.#info;
    const layout = info.version === 1 ? MinixInodeV1 : MinixInodeV2;
    const view = layout.in(info.littleEndian).at(table, at);
    if (view.i_mode === 0 || view.i_nlinks === 0) return undefined;
    const zones = Array.from({ length: DIRECT_ZONES + info.levels }, (_, i) => view.i_zone.get(i));
    return { ino, mode: view.i_mode, size: view.i_size, zones };
  }

  *#inode(slot: Slot): Io<void> {
    this.#inUse++;
    this.#isCut = false;
    const isSound = hasType(slot) && slot.size <= this.#info.fileSizeMax && (!hasZones(slot) || (yield* this.#map(slot)));
    this.#states[slot.ino] = isSound && !this.#isCut ? SOUND : BROKEN;
    if (!isSound) this.#tree -= 2;
    else if (!this.#isCut) this.#tree += 1;
    if (isDirectory(slot)) this.#directories.push(slot);
  }

  /** Do all pointers lead to data? */
  *#map(slot: Slot): Io<boolean> {
    const { blockSize, pointerBytes, zoneSize } = this.#info;
    for (let i = 0; i < slot.zones.length; i++) {
      if (!(yield* this.#walk(slot.zones[i] ?? 0, Math.max(0, i - DIRECT_ZONES + 1)))) return false;
    }
    // A map that reaches further than its file tells blocks of one size from blocks of another.
    const spare = slot.zones[DIRECT_ZONES + 1] ?? 0;
    if (spare !== 0 && slot.size <= (DIRECT_ZONES + blockSize / pointerBytes) * zoneSize) this.#tree -= 1;
    return true;
  }

  *#walk(zone: number, depth: number): Io<boolean> {
    if (!this.#note(zone)) return false;
    if (zone === 0 || depth === 0 || !this.#inRange(zone)) return true;
    if (this.#trees >= TREES_MAX) {
      this.#isWhole = false;
      return true;
    }
    this.#trees++;
    const { blockSize, pointerBytes, littleEndian, zoneSize } = this.#info;
    const block = (yield* this.#peek.bytes(zone * zoneSize, blockSize)).slice();
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    for (let at = 0; at < blockSize; at += pointerBytes) {
      const pointer = pointerBytes === 2 ? view.getUint16(at, littleEndian) : view.getUint32(at, littleEndian);
      if (depth > 1 ? !(yield* this.#walk(pointer, depth - 1)) : !this.#note(pointer)) return false;
    }
    return true;
  }

  /** Is it a hole or a zone of data (or would be, were the device longer)? */
  #note(zone: number): boolean {
    if (zone === 0) return true;
    if (!this.#inRange(zone)) {
      if (!this.#isBehindEnd(zone)) return false;
      this.#isCut = true;
      return true;
    }
    if (this.#zones.length < INODES_MAX) this.#zones.push(zone);
    if (zone > this.#lastZone) this.#lastZone = zone;
    return true;
  }

  /** '.' and '..', and where the entries of the direct zones lead. */
  *#directory(dir: Slot): Io<void> {
    const info = this.#info;
    const zone = dir.zones[0] ?? 0;
    if (this.#isBehindEnd(zone)) return;
    const dots = this.#inRange(zone) ? dotsAt(yield* this.#peek.bytes(zone * info.zoneSize, 2 * info.entryBytes), info) : undefined;
    if (dots?.self !== dir.ino || dots.parent > info.inodesCount) {
      this.#tree -= 4;
      return;
    }
    const isRoot = dir.ino === ROOT_INO;
    this.#sound++;
    this.#hasRoot ||= isRoot;
    this.#tree += isRoot ? 8 : 4;
    const end = Math.min(dir.size, DIRECT_ZONES * info.zoneSize);
    for (let at = 2 * info.entryBytes; at < end && this.#entries < ENTRIES_MAX; at += info.entryBytes) {
      const there = dir.zones[Math.floor(at / info.zoneSize)] ?? 0;
      if (!this.#inRange(there)) continue;
      this.#entries++;
      this.#entry(yield* this.#peek.bytes(there * info.zoneSize + (at % info.zoneSize), info.entryBytes));
    }
  }

  #entry(entry: Uint8Array): void {
    const info = this.#info;
    const ino = inoAt(entry, 0, info);
    if (ino === 0) return;
    const isName = entry[info.inoBytes] !== 0 && !entry.includes(0x2f, info.inoBytes);
    if (ino > info.inodesCount || !isName) this.#tree -= 1;
    else if (ino <= this.#sample) this.#tree += this.#states[ino] === SOUND ? 1 : this.#states[ino] === FREE ? -1 : 0;
  }

  /** Under the order of bits that agrees best. */
  *#agreement(): Io<{ readonly agreement: number; readonly flip: number }> {
    const info = this.#info;
    const bits = info.blockSize * 8;
    let best = { agreement: -1, flip: 0 };
    for (const flip of info.littleEndian ? [BIT_ORDERS.bytes] : Object.values(BIT_ORDERS)) {
      let both = 0;
      let either = 0;
      let map: Uint8Array = new Uint8Array(0);
      for (let ino = 1; ino <= this.#sample; ino++) {
        if (ino === 1 || ino % bits === 0) {
          map = (yield* this.#peek.bytes((BITMAP_BLOCK + Math.floor(ino / bits)) * info.blockSize, info.blockSize)).slice();
        }
        const isMarked = testBit(map, ino % bits, flip);
        const isUsed = this.#states[ino] !== FREE;
        if (isMarked && isUsed) both++;
        if (isMarked || isUsed) either++;
      }
      const agreement = either === 0 ? 0 : both / either;
      if (agreement > best.agreement) best = { agreement, flip };
    }
    return best;
  }

  /** Doubts by clear bits behind a bitmap's end: 0 to 3. */
  *#tail(firstBlock: number, blocks: number, used: number, flip: number): Io<number> {
    const { blockSize } = this.#info;
    const bits = blockSize * 8;
    const index = Math.floor(used / bits);
    if (index >= blocks) return 0;
    const bytes = yield* this.#peek.bytes((firstBlock + index) * blockSize, blockSize);
    const from = used % bits;
    return Math.min(3, (bits - from - countSet(bytes, from, bits - from, flip)) / 8);
  }

  /** The share of zones in use that are marked so, and the last free one. */
  *#zoneMarks(flip: number): Io<{ readonly marked: number; readonly lastFree: number }> {
    const info = this.#info;
    const bits = info.blockSize * 8;
    let marked = 0;
    for (const zone of this.#zones) {
      const bit = zone - info.firstDataZone + 1;
      const byte = yield* this.#peek.bytes(info.zmapBlock * info.blockSize + Math.floor(bit / bits) * info.blockSize, info.blockSize);
      if (testBit(byte, bit % bits, flip)) marked++;
    }
    const total = zoneBits(info);
    let lastFree = 0;
    for (let index = Math.floor((total - 1) / bits); index >= 0 && lastFree === 0; index--) {
      const map = yield* this.#peek.bytes((info.zmapBlock + index) * info.blockSize, info.blockSize);
      for (let bit = Math.min(bits, total - index * bits) - 1; bit >= 0 && lastFree === 0; bit--) {
        if (!testBit(map, bit, flip)) lastFree = info.firstDataZone + index * bits + bit - 1;
      }
    }
    return { marked: this.#zones.length === 0 ? 0 : marked / this.#zones.length, lastFree };
  }
}

/** Weighs a geometry that fits the device. */
export const weigh = (peek: Peek, info: SuperInfo): Io<Evidence> => new Weighing(peek, info).run();

/** What tells one kind of directory entry from another. */
export type EntryShape = Pick<SuperInfo, 'littleEndian' | 'inoBytes' | 'entryBytes'>;

const inoAt = (bytes: Uint8Array, at: number, of: EntryShape): number => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return of.inoBytes === 4 ? view.getUint32(at, of.littleEndian) : view.getUint16(at, of.littleEndian);
};

/** Where '.' and '..' at the start of a directory lead; undefined when they are not there. */
export function dotsAt(bytes: Uint8Array, of: EntryShape): { readonly self: number; readonly parent: number } | undefined {
  const one = of.inoBytes;
  const two = of.entryBytes + one;
  if (bytes[one] !== 0x2e || bytes[one + 1] !== 0 || bytes[two] !== 0x2e || bytes[two + 1] !== 0x2e || bytes[two + 2] !== 0) return undefined;
  const self = inoAt(bytes, 0, of);
  const parent = inoAt(bytes, of.entryBytes, of);
  return self === 0 || parent === 0 ? undefined : { self, parent };
}
