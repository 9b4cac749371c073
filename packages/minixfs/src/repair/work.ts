/**
 * What the passes of a repair share: the image through a cache in which changes pile up, the old bytes of all that changes,
 * the inodes in use, which zones are taken.
 *
 * Nothing is written before the repair's end: a dry run is one that stops there.
 */
import { PagedBits, PagedCounts } from '@iomap/block-map';
import type { Buf } from '@iomap/buffer-cache';
import { isCode, type Io } from '@iomap/io';
import type { CheckedImage, RawInode } from '../check/image.js';
import { DIRECT_ZONES } from '../ondisk.js';

/** One thing that was mended. */
export interface Fix {
  /** Stable, for programs: kebab-case. */
  readonly code: string;
  readonly message: string;
  readonly ino?: number;
}

const FIXES_MAX = 10_000;

export class Work {
  readonly image: CheckedImage;
  readonly fixes: Fix[] = [];
  /** Fixes beyond those kept. */
  omitted = 0;
  /** Inodes in use, as they will be. */
  readonly inodes = new Map<number, RawInode>();
  /** Zones that some inode owned at the start, or owns now: not to be given out. */
  readonly claimed = new PagedBits();
  /** Zones that are somebody's for good. */
  readonly kept = new PagedBits();
  /** Entries that lead to each inode. */
  readonly links = new PagedCounts();
  /** Files with pointers that led nowhere: where there is no room for what is whole, they give some. */
  readonly damaged = new Set<RawInode>();
  /** Those of them that may have a zone left. */
  readonly #givers: RawInode[] = [];
  /** Old bytes by position. */
  readonly old = new Map<number, Uint8Array>();
  #nextZone: number;

  constructor(image: CheckedImage) {
    this.image = image;
    this.#nextZone = image.info.firstDataZone;
  }

  fix(code: string, message: string, ino?: number): void {
    if (this.fixes.length >= FIXES_MAX) this.omitted++;
    else this.fixes.push({ code, message, ...(ino === undefined ? {} : { ino }) });
  }

  addDamaged(inode: RawInode): void {
    this.damaged.add(inode);
    this.#givers.push(inode);
  }

  /** Before each change of a buffer: its old bytes are kept, and it will be written. */
  change(buf: Buf): void {
    if (!this.old.has(buf.pos)) this.old.set(buf.pos, buf.bytes.slice());
    buf.markDirty();
  }

  /** Puts an inode's fields back into its slot. */
  *put(inode: RawInode): Io<void> {
    const { block, at } = this.image.inodePlace(inode.ino);
    const buf = yield* this.image.block(block);
    this.change(buf);
    this.image.encode(inode, buf, at);
  }

  /** Takes a zone that nobody owns, 0 when there is none. Its content is as it was. */
  *takeZone(): Io<number> {
    const { info } = this.image;
    for (; this.#nextZone < info.zonesCount; this.#nextZone++) {
      const zone = this.#nextZone;
      if (this.claimed.has(zone)) continue;
      try {
        yield* this.image.zoneBlock(zone);
      } catch (error) {
        if (isCode(error, 'EIO')) continue; // a bad one
        throw error;
      }
      this.claimed.add(zone);
      this.kept.add(zone);
      return zone;
    }
    return yield* this.#takeFromDamaged();
  }

  /** A direct zone of a file that is damaged anyway. */
  *#takeFromDamaged(): Io<number> {
    for (let inode = this.#givers.at(-1); inode !== undefined; inode = this.#givers.at(-1)) {
      for (let i = DIRECT_ZONES - 1; i >= 0; i--) {
        const zone = inode.zones[i] ?? 0;
        if (zone === 0 || !this.kept.has(zone)) continue;
        inode.zones[i] = 0;
        yield* this.put(inode);
        this.fix('zone-taken', `zone ${zone} is needed elsewhere, and the file is damaged`, inode.ino);
        return zone;
      }
      this.#givers.pop();
    }
    return 0;
  }

  /** A new zone of zeroes, 0 when there is none. */
  *newZone(): Io<number> {
    const zone = yield* this.takeZone();
    if (zone === 0) return 0;
    const { zoneSize, blockSize } = this.image.info;
    for (let sub = 0; sub < zoneSize / blockSize; sub++) {
      const buf = yield* this.image.zoneBlock(zone, sub);
      this.change(buf);
      buf.bytes.fill(0);
    }
    return zone;
  }

  /** A new zone with what `from` held before the repair, 0 when there is none. */
  *copyZone(from: number): Io<number> {
    const zone = yield* this.takeZone();
    if (zone === 0) return 0;
    const { zoneSize, blockSize } = this.image.info;
    for (let sub = 0; sub < zoneSize / blockSize; sub++) {
      const source = yield* this.image.zoneBlock(from, sub);
      const bytes = (this.old.get(source.pos) ?? source.bytes).slice();
      const buf = yield* this.image.zoneBlock(zone, sub);
      this.change(buf);
      buf.bytes.set(bytes);
    }
    return zone;
  }
}
