/** One directory under repair: its slots, wherever their blocks are; growing it. */
import type { Buf } from '@iomap/buffer-cache';
import type { Io } from '@iomap/io';
import type { RawInode } from '../check/image.js';
import { DIRECT_ZONES, S_IFDIR } from '../ondisk.js';
import { depthOf } from './zones.js';
import type { Work } from './work.js';

export interface Slot {
  /** Number of the entry in its directory. */
  readonly number: number;
  readonly ino: number;
  readonly name: string;
}

export class DirUnderRepair {
  readonly inode: RawInode;
  readonly #work: Work;
  readonly #entryBytes: number;
  readonly #perBlock: number;
  readonly #perZone: number;

  constructor(work: Work, inode: RawInode) {
    const { info } = work.image;
    this.inode = inode;
    this.#work = work;
    this.#entryBytes = info.entryBytes;
    this.#perBlock = info.blockSize / info.entryBytes;
    this.#perZone = info.zoneSize / info.blockSize;
  }

  /** Entries that the size says. */
  get count(): number {
    return Math.floor(this.inode.size / this.#entryBytes);
  }

  /** The block that a slot is in; undefined where nothing is mapped. */
  *#block(number: number): Io<{ readonly buf: Buf; readonly at: number } | undefined> {
    const index = Math.floor(number / this.#perBlock);
    const zone = yield* this.#work.image.mapZone(this.inode, Math.floor(index / this.#perZone));
    if (zone === 0) return undefined;
    const buf = yield* this.#work.image.zoneBlock(zone, index % this.#perZone);
    return { buf, at: (number % this.#perBlock) * this.#entryBytes };
  }

  /** A slot; an unmapped one is free. */
  *get(number: number): Io<Slot> {
    const place = yield* this.#block(number);
    if (place === undefined) return { number, ino: 0, name: '' };
    const { entries } = this.#work.image;
    return { number, ino: entries.rawIno(place.buf, place.at), name: entries.nameAt(place.buf, place.at) };
  }

  /** All used slots from `first` on, up to `end` entries. */
  *used(first: number, end: number): Io<Slot[]> {
    const slots: Slot[] = [];
    for (let number = first; number < end; number++) {
      const place = yield* this.#block(number);
      if (place === undefined) {
        // On to the next zone.
        const perZone = this.#perBlock * this.#perZone;
        number = (Math.floor(number / perZone) + 1) * perZone - 1;
        continue;
      }
      const { entries } = this.#work.image;
      const ino = entries.rawIno(place.buf, place.at);
      if (ino !== 0) slots.push({ number, ino, name: entries.nameAt(place.buf, place.at) });
    }
    return slots;
  }

  /** Writes a slot that is mapped; false where it is not. */
  *set(number: number, name: string, ino: number): Io<boolean> {
    const place = yield* this.#block(number);
    if (place === undefined) return false;
    this.#work.change(place.buf);
    this.#work.image.entries.write(place.buf, place.at, { name, ino });
    return true;
  }

  *clear(number: number): Io<void> {
    const place = yield* this.#block(number);
    if (place === undefined) return;
    this.#work.change(place.buf);
    this.#work.image.entries.setIno(place.buf, place.at, 0);
  }

  /** Entries up to the end of the last mapped zone. */
  *mappedCount(): Io<number> {
    const last = yield* this.#lastZone();
    return (last + 1) * this.#perZone * this.#perBlock;
  }

  /** Number in the file of the last mapped zone, -1 when there is none. */
  *#lastZone(): Io<number> {
    const { image } = this.#work;
    const inside = function* (zone: number, depth: number): Io<number> {
      if (depth === 0) return 0;
      const buf = yield* image.zoneBlock(zone);
      const span = image.perBlock ** (depth - 1);
      for (let i = image.perBlock - 1; i >= 0; i--) {
        const pointer = image.pointer(buf, i);
        if (!image.inRange(pointer)) continue;
        const rest = yield* inside(pointer, depth - 1);
        if (rest >= 0) return i * span + rest;
      }
      return -1;
    };
    const { zones } = this.inode;
    for (let i = zones.length - 1; i >= 0; i--) {
      const zone = zones[i] ?? 0;
      const depth = depthOf(i);
      if (!image.inRange(zone)) continue;
      const rest = yield* inside(zone, depth);
      if (rest < 0) continue;
      if (depth === 0) return i;
      let first = DIRECT_ZONES;
      for (let level = 1; level < depth; level++) first += image.perBlock ** level;
      return first + rest;
    }
    return -1;
  }

  /** Enters a name in the first free slot behind the dots; the slot's number, or -1 when there is no room. */
  *add(name: string, ino: number): Io<number> {
    for (let number = 2; number < this.count; number++) {
      const slot = yield* this.get(number);
      if (slot.ino === 0 && (yield* this.set(number, name, ino))) return number;
    }
    const number = Math.max(2, this.count);
    if (!(yield* this.ensure(number))) return -1;
    this.inode.size = (number + 1) * this.#entryBytes;
    yield* this.#work.put(this.inode);
    return (yield* this.set(number, name, ino)) ? number : -1;
  }

  /** Maps the zone of a slot; false when there is no room. */
  *ensure(number: number): Io<boolean> {
    const index = Math.floor(number / this.#perBlock / this.#perZone);
    const work = this.#work;
    const { image } = work;
    if ((yield* image.mapZone(this.inode, index)) !== 0) return true;
    if (index < DIRECT_ZONES) {
      const zone = yield* work.newZone();
      if (zone === 0) return false;
      this.inode.zones[index] = zone;
      yield* work.put(this.inode);
      return true;
    }
    let rest = index - DIRECT_ZONES;
    let depth = 1;
    while (depth <= image.info.levels && rest >= image.perBlock ** depth) rest -= image.perBlock ** depth++;
    if (depth > image.info.levels) return false;
    const at = DIRECT_ZONES + depth - 1;
    let zone = this.inode.zones[at] ?? 0;
    if (zone === 0) {
      zone = yield* work.newZone();
      if (zone === 0) return false;
      this.inode.zones[at] = zone;
      yield* work.put(this.inode);
    }
    for (let level = depth; level > 0; level--) {
      const span = image.perBlock ** (level - 1);
      const entry = Math.floor(rest / span);
      rest -= entry * span;
      const buf = (yield* image.zoneBlock(zone)).hold();
      try {
        let next = image.pointer(buf, entry);
        if (next === 0) {
          next = yield* work.newZone();
          if (next === 0) return false;
          work.change(buf);
          image.setPointer(buf, entry, next);
        }
        zone = next;
      } finally {
        buf.put();
      }
    }
    return true;
  }
}

/** Mode of directories that a repair makes. */
export const NEW_DIR_MODE = S_IFDIR | 0o700;
