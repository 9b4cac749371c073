/**
 * A filesystem whose superblock is lost, found by its directories: an inode of a directory says where its first block is, and the '.' in
 * there says which inode it is, hence where the inode table begins. Wherever several directories say the same is a frame: version,
 * names, byte order, zone size, place of the table. Bitmaps and the first zones then say how long the table is.
 *
 * The work is bounded: so many bytes of the device, so many looks at what may be a directory.
 */
import { submitBio, isCode, type Io } from '@iomap/io';
import { testBit } from '@iomap/block-map';
import { BITMAP_BLOCK, MinixInodeV1, MinixInodeV2, ROOT_INO, VARIANTS, type Variant } from '../ondisk.js';
import { BIT_ORDERS } from '../options.js';
import { shapeOf } from '../super.js';
import { dotsAt } from './evidence.js';
import { inodesMaxOf, zonesMaxOf, type Fields } from './fields.js';
import type { Peek } from './peek.js';

/** Bytes of the device in which an inode table may be looked for, and looks at what may be a directory. */
const SCAN_BYTES = 128 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
const LOOKS_MAX = 100_000;
/** Frames that are followed. */
const FRAMES_MAX = 6;
/** Where the table begins at the least: behind boot block, superblock and two bitmaps. */
const TABLE_MIN = 4 * 1024;

export interface Frame {
  readonly variant: Variant;
  readonly littleEndian: boolean;
  readonly zoneSize: number;
  readonly tablePos: number;
  /** Directories that say so. */
  votes: number;
  /** The least first zone of a directory, and the root's, 0 when it is not among them. */
  leastZone: number;
  rootZone: number;
  lastIno: number;
}

export class FrameSearch {
  readonly #peek: Peek;
  readonly #frames = new Map<string, Frame>();
  #looks = 0;

  constructor(peek: Peek) {
    this.#peek = peek;
  }

  /** The frames that most directories speak for. */
  *run(): Io<Frame[]> {
    const { device } = this.#peek;
    const end = Math.min(SCAN_BYTES, device.sizeBytes - (device.sizeBytes % Math.max(512, device.sectorSize)));
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (let pos = 0; pos < end && this.#looks < LOOKS_MAX; pos += CHUNK_BYTES) {
      const bytes = chunk.subarray(0, Math.min(CHUNK_BYTES, end - pos));
      try {
        yield* submitBio(device, { op: 'read', pos, segments: [bytes], lengthBytes: bytes.length });
      } catch (error) {
        if (!isCode(error, 'EIO')) throw error;
        continue;
      }
      for (let at = pos === 0 ? TABLE_MIN : 0; at + 64 <= bytes.length; at += 32) {
        for (const littleEndian of [true, false]) {
          if ((((bytes[at + (littleEndian ? 1 : 0)] ?? 0) >> 4) & 15) !== 4) continue;
          yield* this.#version1(bytes, at, pos + at, littleEndian);
          if (at % 64 === 0) yield* this.#version2(bytes, at, pos + at, littleEndian);
        }
      }
    }
    return [...this.#frames.values()].sort((a, b) => b.votes - a.votes).slice(0, FRAMES_MAX);
  }

  *#version1(bytes: Uint8Array, at: number, pos: number, littleEndian: boolean): Io<void> {
    const inode = MinixInodeV1.in(littleEndian).at(bytes, at);
    if (inode.i_nlinks < 1 || inode.i_size < 32) return;
    yield* this.#directory(1, inode.i_zone.get(0), pos, littleEndian);
  }

  *#version2(bytes: Uint8Array, at: number, pos: number, littleEndian: boolean): Io<void> {
    const inode = MinixInodeV2.in(littleEndian).at(bytes, at);
    if (inode.i_nlinks < 1 || inode.i_size < 32) return;
    yield* this.#directory(2, inode.i_zone.get(0), pos, littleEndian);
  }

  /** What may be a directory's inode at `pos`: where would its table begin? */
  *#directory(inodes: 1 | 2, zone: number, pos: number, littleEndian: boolean): Io<void> {
    const { sizeBytes } = this.#peek.device;
    for (let zoneSize = 1024; zoneSize <= 65_536 && zone > 1 && (zone + 1) * zoneSize <= sizeBytes; zoneSize *= 2) {
      if (this.#looks++ >= LOOKS_MAX) return;
      const bytes = yield* this.#peek.bytes(zone * zoneSize, 128);
      for (const variant of VARIANTS) {
        if ((variant.version === 1) !== (inodes === 1)) continue;
        const shape = shapeOf(variant.version, variant.nameMax, 1024);
        const dots = dotsAt(bytes, { ...shape, littleEndian });
        if (dots === undefined) continue;
        const tablePos = pos - (dots.self - 1) * shape.inodeSize;
        if (tablePos < TABLE_MIN || tablePos % 1024 !== 0 || zone * zoneSize <= tablePos) continue;
        this.#vote({ variant, littleEndian, zoneSize, tablePos }, dots.self, zone);
      }
    }
  }

  #vote(of: Pick<Frame, 'variant' | 'littleEndian' | 'zoneSize' | 'tablePos'>, ino: number, zone: number): void {
    const key = `${of.variant.magic} ${of.littleEndian} ${of.zoneSize} ${of.tablePos}`;
    let frame = this.#frames.get(key);
    if (frame === undefined) this.#frames.set(key, (frame = { ...of, votes: 0, leastZone: Infinity, rootZone: 0, lastIno: 0 }));
    frame.votes++;
    frame.leastZone = Math.min(frame.leastZone, zone);
    frame.lastIno = Math.max(frame.lastIno, ino);
    if (ino === ROOT_INO) frame.rootZone = zone;
  }
}

/** The geometries that a frame may have: with each block size, by the first zone of the data or by the inode bitmap's end. */
export function* fieldsOfFrame(peek: Peek, frame: Frame): Io<Fields[]> {
  const { variant, zoneSize, tablePos } = frame;
  const found: Fields[] = [];
  for (const blockSize of variant.version === 3 ? [1024, 2048, 4096] : [1024]) {
    if (zoneSize < blockSize || tablePos % blockSize !== 0) continue;
    const table = tablePos / blockSize;
    const per = zoneSize / blockSize;
    const { inodesPerBlock } = shapeOf(variant.version, variant.nameMax, blockSize);
    const bits = blockSize * 8;
    // The root has the first zone there is.
    const firsts = new Set([frame.rootZone, frame.leastZone, yield* leastZone(peek, frame)].filter((one) => one > 0));
    const counts = new Set<number>();
    for (const first of firsts) counts.add((first * per - table) * inodesPerBlock);
    for (let imap = 1; imap <= Math.min(8, table - BITMAP_BLOCK - 1); imap++) {
      for (const about of yield* bitmapEnds(peek, { blockSize, imap, littleEndian: frame.littleEndian })) {
        counts.add(Math.ceil(about / inodesPerBlock) * inodesPerBlock);
      }
    }
    for (const count of counts) {
      const inodes = Math.min(count, inodesMaxOf(variant));
      if (inodes < frame.lastIno) continue;
      const imap = Math.ceil((inodes + 1) / bits);
      const zmap = table - BITMAP_BLOCK - imap;
      if (zmap < 1) continue;
      const first = Math.ceil((table + Math.ceil(inodes / inodesPerBlock)) / per);
      const zones = Math.min(Math.floor(peek.device.sizeBytes / zoneSize), zonesMaxOf(variant), zmap * bits + first - 1);
      found.push({ variant, littleEndian: frame.littleEndian, blockSize, zoneSize, inodes, zones, imap, zmap, first, max: 0 });
    }
  }
  return found;
}

/** The least zone of an inode from the table's start on: where the table ends at the latest. */
function* leastZone(peek: Peek, frame: Frame): Io<number> {
  const { variant, littleEndian, tablePos, zoneSize } = frame;
  const layout = (variant.version === 1 ? MinixInodeV1 : MinixInodeV2).in(littleEndian);
  const size = variant.version === 1 ? 32 : 64;
  let least = frame.rootZone === 0 ? frame.leastZone : Math.min(frame.rootZone, frame.leastZone);
  for (let pos = tablePos; pos + size <= least * zoneSize && !peek.isSpent; pos += size) {
    const inode = layout.at(yield* peek.bytes(pos, size));
    const type = inode.i_mode & 0o170000;
    if (inode.i_nlinks === 0 || (type !== 0o100000 && type !== 0o040000)) continue;
    for (let i = 0; i < 7; i++) {
      const zone = inode.i_zone.get(i);
      // What leads into the part of the table that was seen is damage.
      if (zone * zoneSize > pos) least = Math.min(least, zone);
    }
  }
  return least === Infinity ? 0 : least;
}

/** Inodes that a bitmap of `imap` blocks may be for, by its last clear bit, in each order of bits. */
function* bitmapEnds(
  peek: Peek,
  of: { readonly blockSize: number; readonly imap: number; readonly littleEndian: boolean },
): Io<Set<number>> {
  const bits = of.blockSize * 8;
  const block = yield* peek.bytes((BITMAP_BLOCK + of.imap - 1) * of.blockSize, of.blockSize);
  const ends = new Set<number>();
  for (const flip of of.littleEndian ? [BIT_ORDERS.bytes] : Object.values(BIT_ORDERS)) {
    let last = bits - 1;
    while (last >= 0 && testBit(block, last, flip)) last--;
    const ino = (of.imap - 1) * bits + last;
    if (last >= 0 && ino > 0) ends.add(ino);
  }
  return ends;
}

/** Without a directory: the geometries that an inode bitmap of few blocks may belong to. */
export function* fieldsOfBitmap(
  peek: Peek,
  of: { readonly variant: Variant; readonly littleEndian: boolean; readonly blockSize: number },
): Io<Fields[]> {
  const { variant, blockSize } = of;
  const bits = blockSize * 8;
  const { inodesPerBlock } = shapeOf(variant.version, variant.nameMax, blockSize);
  const found: Fields[] = [];
  for (let imap = 1; imap <= 8; imap++) {
    for (const about of yield* bitmapEnds(peek, { ...of, imap })) {
      const table = Math.ceil(about / inodesPerBlock);
      for (let zoneSize = blockSize; zoneSize <= 65_536; zoneSize *= 2) {
        const zones = Math.min(Math.floor(peek.device.sizeBytes / zoneSize), zonesMaxOf(variant));
        const most = Math.ceil(zones / bits);
        for (const zmap of [most, most - 1]) {
          const first = Math.ceil(((BITMAP_BLOCK + imap + zmap + table) * blockSize) / zoneSize);
          if (zmap > 0) found.push({ ...of, zoneSize, inodes: table * inodesPerBlock, zones, imap, zmap, first, max: 0 });
        }
      }
    }
  }
  return found;
}
