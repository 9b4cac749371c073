/**
 * Directories: their first two entries, sizes, entries that lead nowhere, names that cannot be, directories with two names; then
 * whatever is in use and has no name gets one in /lost+found.
 *
 * A directory is entered once. Where two entries lead to one, the entry of the directory that its '..' names goes first.
 */
import { PagedBits } from '@iomap/block-map';
import type { Io } from '@iomap/io';
import { isDirectory, type RawInode } from '../check/image.js';
import { isSlotInUse } from '../inode.js';
import { MinixInodeV1, MinixInodeV2, ROOT_INO } from '../ondisk.js';
import { DirUnderRepair, NEW_DIR_MODE, type Slot } from './dir.js';
import type { Work } from './work.js';

const LOST_FOUND = 'lost+found';

/** An entry that leads to a directory which says that another one is its parent. */
interface Deferred {
  readonly dir: DirUnderRepair;
  readonly slot: Slot;
}

export class TreePass {
  readonly #work: Work;
  readonly #entered = new PagedBits();
  #deferred: Deferred[] = [];

  constructor(work: Work) {
    this.#work = work;
  }

  *run(): Io<void> {
    const root = this.#work.inodes.get(ROOT_INO);
    if (root === undefined) return;
    yield* this.#walk(root, ROOT_INO);
    yield* this.#settleDeferred();
    yield* this.#reconnect(root);
  }

  /** Enters a directory and all below it. */
  *#walk(top: RawInode, parent: number): Io<void> {
    const todo: { readonly inode: RawInode; readonly parent: number }[] = [{ inode: top, parent }];
    this.#entered.add(top.ino);
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
      for (const below of yield* this.#directory(at.inode, at.parent)) todo.push({ inode: below, parent: at.inode.ino });
    }
  }

  *#settleDeferred(): Io<void> {
    while (this.#deferred.length > 0) {
      const list = this.#deferred;
      this.#deferred = [];
      for (const { dir, slot } of list) {
        const inode = this.#work.inodes.get(slot.ino);
        if (inode === undefined || this.#entered.has(slot.ino)) {
          this.#work.fix('dir-twice', `'${slot.name}' leads to a directory that has another name`, dir.inode.ino);
          yield* dir.clear(slot.number);
          continue;
        }
        this.#work.links.add(slot.ino);
        yield* this.#walk(inode, dir.inode.ino);
      }
    }
  }

  /** Mends one directory; the answer is the directories in it that are to be entered. */
  *#directory(inode: RawInode, parent: number): Io<RawInode[]> {
    const work = this.#work;
    const dir = new DirUnderRepair(work, inode);
    yield* this.#size(dir);
    const displaced = yield* this.#dots(dir, parent);
    work.links.add(inode.ino);
    work.links.add(parent);
    const below: RawInode[] = [];
    const names = new Set<string>();
    for (const slot of yield* dir.used(2, dir.count)) {
      const kept = yield* this.#entry(dir, slot, names);
      if (kept !== undefined) below.push(kept);
    }
    for (const slot of displaced) {
      const name = this.#freeName(slot, names);
      const number = yield* dir.add(name, slot.ino);
      if (number < 0) continue;
      const kept = yield* this.#target(dir, { ...slot, name, number });
      if (kept !== undefined) below.push(kept);
    }
    return below;
  }

  /** The size: whole entries, not behind the last zone, and not before entries that are sound. */
  *#size(dir: DirUnderRepair): Io<void> {
    const { inode } = dir;
    const { info } = this.#work.image;
    const before = inode.size;
    if (!(yield* dir.ensure(0))) return;
    const mapped = yield* dir.mappedCount();
    let count = Math.min(dir.count, mapped);
    for (const slot of yield* dir.used(Math.max(2, count), mapped)) {
      if (this.#work.inodes.has(slot.ino) && isName(slot.name)) count = slot.number + 1;
    }
    inode.size = Math.max(2, count) * info.entryBytes;
    if (inode.size === before) return;
    this.#work.fix('dir-size', `a directory of ${before} bytes: now ${inode.size}`, inode.ino);
    yield* this.#work.put(inode);
  }

  /** '.' and '..'; what was in their place is given back. */
  *#dots(dir: DirUnderRepair, parent: number): Io<Slot[]> {
    const displaced: Slot[] = [];
    for (const [number, name, ino] of [[0, '.', dir.inode.ino], [1, '..', parent]] as const) {
      const slot = yield* dir.get(number);
      if (slot.ino === ino && slot.name === name) continue;
      this.#work.fix('dots', `'${name}' is not entry ${number}, or leads elsewhere`, dir.inode.ino);
      if (slot.ino !== 0 && isName(slot.name) && this.#work.inodes.has(slot.ino)) displaced.push(slot);
      yield* dir.set(number, name, ino);
    }
    return displaced;
  }

  #freeName(slot: Slot, names: Set<string>): string {
    let name = isName(slot.name) ? slot.name : `#${slot.ino}`;
    for (let n = 1; names.has(name); n++) name = `#${slot.ino}.${n}`;
    names.add(name);
    return name;
  }

  *#entry(dir: DirUnderRepair, slot: Slot, names: Set<string>): Io<RawInode | undefined> {
    const work = this.#work;
    if (!work.inodes.has(slot.ino)) {
      work.fix('entry-inode', `'${slot.name}' leads to no inode in use (${slot.ino}): removed`, dir.inode.ino);
      yield* dir.clear(slot.number);
      return undefined;
    }
    const name = this.#freeName(slot, names);
    if (name !== slot.name) {
      work.fix('name', `the name '${slot.name}' cannot be: now '${name}'`, dir.inode.ino);
      yield* dir.set(slot.number, name, slot.ino);
    }
    return yield* this.#target(dir, { ...slot, name });
  }

  /** Counts the entry, or takes it away; a directory that is to be entered is given back. */
  *#target(dir: DirUnderRepair, slot: Slot): Io<RawInode | undefined> {
    const work = this.#work;
    const inode = work.inodes.get(slot.ino);
    if (inode === undefined) return undefined;
    if (!isDirectory(inode)) {
      if (work.links.get(slot.ino) >= work.image.info.linkMax) {
        work.fix('link-max', `'${slot.name}': more links than the format counts: removed`, slot.ino);
        yield* dir.clear(slot.number);
        return undefined;
      }
      work.links.add(slot.ino);
      return undefined;
    }
    if (this.#entered.has(slot.ino)) {
      work.fix('dir-twice', `'${slot.name}' leads to a directory that has another name`, dir.inode.ino);
      yield* dir.clear(slot.number);
      return undefined;
    }
    const dotdot = yield* new DirUnderRepair(work, inode).get(1);
    const other = dotdot.name === '..' && dotdot.ino !== dir.inode.ino ? work.inodes.get(dotdot.ino) : undefined;
    if (other !== undefined && isDirectory(other)) {
      this.#deferred.push({ dir, slot });
      return undefined;
    }
    this.#entered.add(slot.ino);
    work.links.add(slot.ino);
    return inode;
  }

  // Lost inodes ----------------------------------------------------------------------------------------------------------

  #isLost(inode: RawInode): boolean {
    return isDirectory(inode) ? !this.#entered.has(inode.ino) : this.#work.links.get(inode.ino) === 0;
  }

  *#reconnect(root: RawInode): Io<void> {
    const work = this.#work;
    const all = [...work.inodes.values()].sort((a, b) => a.ino - b.ino);
    const directories = all.filter((inode) => isDirectory(inode) && this.#isLost(inode));
    // Tops of lost trees first: those whose '..' is not lost too.
    const tops: RawInode[] = [];
    const rest: RawInode[] = [];
    const lost = new Set(directories.map((inode) => inode.ino));
    for (const inode of directories) {
      const dotdot = yield* new DirUnderRepair(work, inode).get(1);
      (lost.has(dotdot.ino) && dotdot.ino !== inode.ino ? rest : tops).push(inode);
    }
    // What is whole goes before what is damaged anyway: there may not be room for all.
    const files = all.filter((one) => !isDirectory(one));
    const order = [...tops, ...rest, ...files.filter((one) => !work.damaged.has(one)), ...files.filter((one) => work.damaged.has(one))];
    for (const inode of order) {
      if (!this.#isLost(inode)) continue;
      const into = (yield* this.#nameLost(root, inode.ino)) ?? (yield* this.#displace(inode));
      if (into === undefined) {
        work.fix('lost-no-room', `inode ${inode.ino} has no name, and there is no room for one`, inode.ino);
        continue;
      }
      work.links.add(inode.ino);
      if (!isDirectory(inode)) continue;
      yield* this.#walk(inode, into.inode.ino);
      yield* this.#settleDeferred();
    }
  }

  /** Names an inode in /lost+found; in the root, or wherever there is a free entry, where that has no room. */
  *#nameLost(root: RawInode, ino: number): Io<DirUnderRepair | undefined> {
    const work = this.#work;
    const found = yield* this.#lostFound(root);
    const others = [...work.inodes.values()].filter(isDirectory).map((inode) => new DirUnderRepair(work, inode));
    for (const dir of [...(found === undefined ? [] : [found]), new DirUnderRepair(work, root), ...others]) {
      if (!this.#entered.has(dir.inode.ino) || dir.inode.ino === ino) continue;
      const name = yield* this.#lostName(dir, ino);
      if ((yield* dir.add(name, ino)) < 0) continue;
      const where = dir === found ? `/${LOST_FOUND}` : dir.inode.ino === ROOT_INO ? '' : `directory ${dir.inode.ino}`;
      work.fix('lost', `inode ${ino} had no name: now ${where}/${name}`, ino);
      return dir;
    }
    return undefined;
  }

  /** No name leads to a damaged file any more. */
  #isAllWhole = false;

  /** Names what is whole in the place of a damaged file's name, where there is room for one of them only. */
  *#displace(inode: RawInode): Io<DirUnderRepair | undefined> {
    const work = this.#work;
    if (isDirectory(inode) || work.damaged.has(inode) || this.#isAllWhole) return undefined;
    for (const one of work.inodes.values()) {
      if (!isDirectory(one) || !this.#entered.has(one.ino)) continue;
      const dir = new DirUnderRepair(work, one);
      for (const slot of yield* dir.used(2, dir.count)) {
        const there = work.inodes.get(slot.ino);
        if (there === undefined || !work.damaged.has(there)) continue;
        const name = yield* this.#lostName(dir, inode.ino);
        yield* dir.set(slot.number, name, inode.ino);
        work.links.add(slot.ino, -1);
        work.fix('name-taken', `the place of '${slot.name}' in directory ${one.ino} is needed elsewhere, and the file is damaged`, slot.ino);
        work.fix('lost', `inode ${inode.ino} had no name: now directory ${one.ino}/${name}`, inode.ino);
        return dir;
      }
    }
    this.#isAllWhole = true;
    return undefined;
  }

  *#lostName(dir: DirUnderRepair, ino: number): Io<string> {
    const names = new Set((yield* dir.used(2, dir.count)).map((slot) => slot.name));
    let name = `#${ino}`;
    for (let n = 1; names.has(name); n++) name = `#${ino}.${n}`;
    return name;
  }

  #lostDir: DirUnderRepair | undefined;
  #isLostDirSought = false;

  /** /lost+found, made where it is missing; undefined where that cannot be. */
  *#lostFound(root: RawInode): Io<DirUnderRepair | undefined> {
    if (this.#isLostDirSought) return this.#lostDir;
    this.#isLostDirSought = true;
    const work = this.#work;
    const top = new DirUnderRepair(work, root);
    let name = LOST_FOUND;
    for (const slot of yield* top.used(2, top.count)) {
      if (slot.name !== LOST_FOUND) continue;
      const there = work.inodes.get(slot.ino);
      if (there !== undefined && isDirectory(there) && this.#entered.has(slot.ino)) {
        this.#lostDir = new DirUnderRepair(work, there);
        return this.#lostDir;
      }
      name = `${LOST_FOUND}.1`;
    }
    const ino = yield* this.#freeInode();
    if (ino === 0) return undefined;
    const { image } = work;
    const count = root.zones.length;
    const inode: RawInode = { ino, mode: NEW_DIR_MODE, nlink: 2, size: 2 * image.info.entryBytes, zones: Array.from({ length: count }, () => 0) };
    const place = image.inodePlace(ino);
    const buf = yield* image.block(place.block);
    work.change(buf);
    buf.bytes.fill(0, place.at, place.at + image.info.inodeSize);
    const dir = new DirUnderRepair(work, inode);
    if (!(yield* dir.ensure(0))) return undefined;
    yield* dir.set(0, '.', ino);
    yield* dir.set(1, '..', ROOT_INO);
    yield* work.put(inode);
    if ((yield* top.add(name, ino)) < 0) return undefined;
    work.inodes.set(ino, inode);
    this.#entered.add(ino);
    for (const one of [ino, ino, ROOT_INO]) work.links.add(one);
    yield* this.#stamp(inode, root);
    this.#lostDir = dir;
    return dir;
  }

  /** A new inode has its times from the root's: a repair knows no clock. */
  *#stamp(inode: RawInode, root: RawInode): Io<void> {
    const { image } = this.#work;
    const { info } = image;
    const from = image.inodePlace(root.ino);
    const to = image.inodePlace(inode.ino);
    const source = (yield* image.block(from.block)).hold();
    try {
      const buf = yield* image.block(to.block);
      this.#work.change(buf);
      if (info.version === 1) {
        const layout = MinixInodeV1.in(info.littleEndian);
        layout.at(buf.bytes, to.at).i_time = layout.at(source.bytes, from.at).i_time;
        return;
      }
      const layout = MinixInodeV2.in(info.littleEndian);
      const view = layout.at(buf.bytes, to.at);
      const { i_mtime: time } = layout.at(source.bytes, from.at);
      view.i_atime = time;
      view.i_mtime = time;
      view.i_ctime = time;
    } finally {
      source.put();
    }
  }

  *#freeInode(): Io<number> {
    const { image, inodes } = this.#work;
    for (let ino = ROOT_INO + 1; ino <= image.info.inodesCount; ino++) {
      if (inodes.has(ino)) continue;
      const { block, at } = image.inodePlace(ino);
      const buf = yield* image.block(block);
      if (!isSlotInUse({ view: buf.view, at }, image.info)) return ino;
    }
    return 0;
  }
}

/** May a file have this name? */
const isName = (name: string): boolean => name !== '' && name !== '.' && name !== '..' && !name.includes('/');
