/**
 * Pointers out of range and zones that two inodes own.
 *
 * A zone in use twice stays with one of them and the other gets a copy, so that whichever of the two is the thief, the victim keeps
 * its data. It stays with whom it is an indirect zone or a directory for, else with the one whose map is sound otherwise.
 */
import { PagedBits } from '@iomap/block-map';
import type { Io } from '@iomap/io';
import { hasZones, isDirectory, type RawInode } from '../check/image.js';
import { DIRECT_ZONES } from '../ondisk.js';
import type { Work } from './work.js';

export class ZonePass {
  readonly #work: Work;
  /** Zones with more than one claim; zones that are an indirect zone or a directory's to somebody. */
  readonly #multi = new PagedBits();
  readonly #meta = new PagedBits();
  readonly #trees = new PagedBits();
  /** Inodes with pointers out of range. */
  readonly #suspicious = new Set<number>();

  constructor(work: Work) {
    this.#work = work;
  }

  /** @param doubtful inodes that may be remains: they give way and get no copies */
  *run(doubtful: ReadonlySet<number>): Io<void> {
    const owners = [...this.#work.inodes.values()].filter(hasZones);
    const seen = new PagedBits();
    for (const inode of owners) {
      for (let i = 0; i < inode.zones.length; i++) yield* this.#suspect(inode, inode.zones[i] ?? 0, depthOf(i), seen);
    }
    for (const inode of owners) {
      for (let i = 0; i < inode.zones.length; i++) yield* this.#claim(inode, inode.zones[i] ?? 0, depthOf(i));
      if (this.#suspicious.has(inode.ino) && !isDirectory(inode)) this.#work.addDamaged(inode);
    }
    const rank = (inode: RawInode): number =>
      (doubtful.has(inode.ino) ? 4 : 0) + (this.#suspicious.has(inode.ino) ? 2 : 0) + (isDirectory(inode) ? 0 : 1);
    owners.sort((a, b) => rank(a) - rank(b) || a.ino - b.ino);
    for (const inode of owners) {
      const mayCopy = rank(inode) < 2;
      let isChanged = false;
      for (let i = 0; i < inode.zones.length; i++) {
        const before = inode.zones[i] ?? 0;
        const after = yield* this.#settle(inode, before, depthOf(i), mayCopy);
        if (after === before) continue;
        inode.zones[i] = after;
        isChanged = true;
      }
      if (isChanged) yield* this.#work.put(inode);
    }
  }

  /** Which inodes have pointers that lead nowhere. A tree block is looked at once for each inode that it may be of. */
  *#suspect(inode: RawInode, zone: number, depth: number, seen: PagedBits): Io<void> {
    if (zone === 0 || this.#suspicious.has(inode.ino)) return;
    if (!this.#work.image.inRange(zone)) {
      this.#suspicious.add(inode.ino);
      return;
    }
    // A block of garbage is garbage for all: one look at its pointers, none below them.
    if (depth === 0) return;
    const isFirst = seen.add(zone);
    for (const [, pointer] of yield* this.#pointers(zone)) {
      if (!this.#work.image.inRange(pointer)) {
        this.#suspicious.add(inode.ino);
        return;
      }
      if (isFirst) yield* this.#suspect(inode, pointer, depth - 1, seen);
    }
  }

  /** First round: who claims what. */
  *#claim(inode: RawInode, zone: number, depth: number): Io<void> {
    const { image, claimed } = this.#work;
    if (zone === 0 || !image.inRange(zone)) return;
    if (!claimed.add(zone)) this.#multi.add(zone);
    if ((depth > 0 || isDirectory(inode)) && !this.#suspicious.has(inode.ino)) this.#meta.add(zone);
    if (depth === 0 || !this.#trees.add(zone)) return;
    for (const [, pointer] of yield* this.#pointers(zone)) yield* this.#claim(inode, pointer, depth - 1);
  }

  *#pointers(zone: number): Io<[index: number, pointer: number][]> {
    const { image } = this.#work;
    const buf = yield* image.zoneBlock(zone);
    const found: [number, number][] = [];
    for (let i = 0; i < image.perBlock; i++) {
      const pointer = image.pointer(buf, i);
      if (pointer !== 0) found.push([i, pointer]);
    }
    return found;
  }

  /** Second round: what the pointer is to be. */
  *#settle(inode: RawInode, zone: number, depth: number, mayCopy: boolean): Io<number> {
    if (zone === 0) return 0;
    const work = this.#work;
    const { image, kept } = work;
    if (!image.inRange(zone)) {
      work.fix('zone-range', `zone ${zone} is not a data zone`, inode.ino);
      return 0;
    }
    const isMeta = depth > 0 || isDirectory(inode);
    let now = zone;
    if (kept.has(zone) || (!isMeta && this.#multi.has(zone) && this.#meta.has(zone))) {
      now = mayCopy ? yield* work.copyZone(zone) : 0;
      work.fix('zone-twice', now === 0 ? `zone ${zone} is another's: taken away` : `zone ${zone} is another's: copied to ${now}`, inode.ino);
      if (now === 0) return 0;
    } else {
      kept.add(zone);
    }
    if (depth === 0) return now;
    for (const [index, pointer] of yield* this.#pointers(now)) {
      const after = yield* this.#settle(inode, pointer, depth - 1, mayCopy);
      if (after === pointer) continue;
      const buf = yield* image.zoneBlock(now);
      work.change(buf);
      image.setPointer(buf, index, after);
    }
    return now;
  }
}

/** Levels of indirect zones under an inode's pointer. */
export const depthOf = (index: number): number => Math.max(0, index - DIRECT_ZONES + 1);
