/**
 * The zone bitmap as a space to allocate from, and counts of what is free.
 *
 * The format keeps no counts: they are found by counting bits, once, when somebody asks (`countFree`), and kept current from
 * then on. Mounting a large image does not read its bitmaps.
 */
import { countSet, Reservations, setRange, testBit, type BitmapSpace } from '@iomap/block-map';
import type { Buf, BufferCache } from '@iomap/buffer-cache';
import type { Io } from '@iomap/io';
import { BITMAP_BLOCK } from './ondisk.js';
import { zoneBits, type SuperInfo } from './super.js';

/** Bits of a bitmap that starts at some block, read one block at a time. */
interface Bitmap {
  readonly buffers: BufferCache;
  readonly blockSize: number;
  readonly firstBlock: number;
  /** Bits in use, from 0. */
  readonly bits: number;
  readonly flip: number;
}

/** Bits of block `index`. */
const bitsInBlock = (map: Bitmap, index: number): number =>
  Math.min(map.blockSize * 8, map.bits - index * map.blockSize * 8);

export const peekBits = (map: Bitmap, index: number): Buf | undefined =>
  map.buffers.peek((map.firstBlock + index) * map.blockSize);

export const readBits = (map: Bitmap, index: number): Io<Buf> =>
  map.buffers.read((map.firstBlock + index) * map.blockSize, map.blockSize);

/** Clear bits of the whole bitmap; bit 0 is nobody's and does not count. Waits on: reads of all its blocks. */
function* countClear(map: Bitmap): Io<number> {
  let free = 0;
  for (let index = 0; bitsInBlock(map, index) > 0; index++) {
    if (index % 32 === 0) {
      const left = Math.ceil(map.bits / (map.blockSize * 8)) - index;
      yield* map.buffers.readahead((map.firstBlock + index) * map.blockSize, map.blockSize, undefined, Math.min(32, left));
    }
    const buf = peekBits(map, index) ?? (yield* readBits(map, index));
    const bits = bitsInBlock(map, index);
    free += bits - countSet(buf.bytes, 0, bits, map.flip);
    if (index === 0 && !testBit(buf.bytes, 0, map.flip)) free--;
  }
  return free;
}

export class ZoneSpace implements BitmapSpace {
  readonly groupCount: number;
  readonly blocksPerGroup: number;
  readonly firstBlock: number;
  readonly flip: number;
  readonly reservations = new Reservations();
  readonly hints: Int32Array;
  /** Free zones, -1 = not counted yet. */
  free = -1;
  readonly #info: SuperInfo;
  readonly #map: Bitmap;
  /** Changes of the count while it is being counted. */
  #delta = 0;

  constructor(info: SuperInfo, buffers: BufferCache, flip: number) {
    const bits = zoneBits(info);
    this.#info = info;
    this.flip = flip;
    this.blocksPerGroup = info.blockSize * 8;
    this.groupCount = Math.ceil(bits / this.blocksPerGroup);
    this.firstBlock = info.firstDataZone - 1;
    this.hints = new Int32Array(this.groupCount);
    this.#map = { buffers, blockSize: info.blockSize, firstBlock: info.zmapBlock, bits, flip };
  }

  bitsIn(group: number): number {
    return bitsInBlock(this.#map, group);
  }

  mayHaveFree(group: number): boolean {
    return (this.hints[group] ?? 0) < this.bitsIn(group);
  }

  available(): number {
    return this.free < 0 ? Infinity : this.free;
  }

  peekBitmap(group: number): Buf | undefined {
    return peekBits(this.#map, group);
  }

  readBitmap(group: number): Io<Buf> {
    return readBits(this.#map, group);
  }

  checkBitmap(group: number, bits: Uint8Array): void {
    // Some tools leave the bit that is nobody's clear; Linux sets it at mount.
    if (group === 0) setRange(bits, 0, 1, this.flip);
  }

  overlapsMetadata(): boolean {
    return false;
  }

  isDataRange(zone: number, count: number): boolean {
    return zone >= this.#info.firstDataZone && count >= 1 && zone + count <= this.#info.zonesCount;
  }

  markDirty(buf: Buf): void {
    buf.markDirty();
  }

  changed(_group: number, by: number): void {
    this.#delta += by;
    if (this.free >= 0) this.free = Math.max(0, this.free + by);
  }

  /** How many zones are free. Waits on: reads of the whole bitmap, the first time. */
  *countFree(): Io<number> {
    if (this.free >= 0) return this.free;
    for (let tries = 0; ; tries++) {
      const before = this.#delta;
      const free = yield* countClear(this.#map);
      // Somebody allocated while we counted: count again (and at last take what there is: the bitmap grants anyway).
      if (before !== this.#delta && tries < 3) continue;
      if (this.free < 0) this.free = free;
      return this.free;
    }
  }
}

/** The inode bitmap: bit n is inode n. */
export class InodeSpace {
  readonly map: Bitmap;
  readonly perBlock: number;
  readonly blockCount: number;
  /** No bit below is free. */
  hint = 1;
  free = -1;

  constructor(info: SuperInfo, buffers: BufferCache, flip: number) {
    this.perBlock = info.blockSize * 8;
    this.map = { buffers, blockSize: info.blockSize, firstBlock: BITMAP_BLOCK, bits: info.inodesCount + 1, flip };
    this.blockCount = Math.ceil(this.map.bits / this.perBlock);
  }

  bitsIn(index: number): number {
    return bitsInBlock(this.map, index);
  }

  changed(by: number): void {
    if (this.free >= 0) this.free = Math.max(0, this.free + by);
  }

  *countFree(): Io<number> {
    if (this.free < 0) {
      const free = yield* countClear(this.map);
      if (this.free < 0) this.free = free;
    }
    return this.free;
  }
}
