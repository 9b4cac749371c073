/**
 * Checks a minix filesystem without changing it, as fsck.minix does: from the root, every entry, every inode that one leads to
 * and every zone that such an inode owns; then counts and bitmaps.
 *
 * - Every value of the image is doubted; a directory is entered once and a tree block once, so the work is bounded by the device;
 *   findings are bounded by a limit.
 * - What is damaged is reported, not thrown. Thrown: sizes that we do not have, a device that fails.
 */
import { countSet, findNextSet, Findings, PagedBits, PagedCounts, testBit, type Finding } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { isCode, type FsError, type Io } from '@iomap/io';
import { CheckedImage, hasType, hasZones, isDirectory, typeOf, type RawInode } from './check/image.js';
import { findBitOrder } from './bit-order.js';
import { BITMAP_BLOCK, DIRECT_ZONES, ROOT_INO, S_IFLNK, S_IFREG, STATE_ERROR, STATE_VALID } from './ondisk.js';
import { readSuper, zoneBits, type SuperInfo } from './super.js';

const FINDINGS_MAX = 1000;

/** What a finding is about. */
export type MinixStructure = 'superblock' | 'inode' | 'zone-map' | 'directory' | 'inode-bitmap' | 'zone-bitmap' | 'tree';
export type MinixFinding = Finding<MinixStructure>;

export interface CheckOptions {
  /** Findings kept; more are only counted. Default 1000. */
  readonly maxFindings?: number;
}

export interface CheckStats {
  directories: number;
  files: number;
  symlinks: number;
  special: number;
  zonesUsed: number;
}

export interface CheckReport {
  /** No errors (there may be warnings). */
  readonly clean: boolean;
  readonly errors: number;
  readonly warnings: number;
  readonly findings: readonly MinixFinding[];
  /** Findings beyond `maxFindings`. */
  readonly omitted: number;
  /** True: the superblock is unusable and nothing else was looked at. */
  readonly fatal: boolean;
  readonly stats?: Readonly<CheckStats>;
}

function fatalReport(error: FsError): CheckReport {
  const { field } = error.detail;
  const message = `${error.why ?? error.message}${field === undefined ? '' : ` (${field})`}`;
  const finding: MinixFinding = { severity: 'error', code: 'superblock-invalid', structure: 'superblock', message };
  return { clean: false, errors: 1, warnings: 0, findings: [finding], omitted: 0, fatal: true };
}

/** Where the data begins when nothing is between the inode table and it. */
export const normalFirstZone = (info: SuperInfo): number =>
  Math.ceil(((info.tableBlock + info.tableBlocks) * info.blockSize) / info.zoneSize);

/**
 * Checks the filesystem on `device`.
 *
 * Waits on: reads of all bitmaps, of the inode table where inodes are in use, of all directories and indirect zones.
 * @throws FsError EOPNOTSUPP sizes that we do not have; the device's own
 */
export function* check(device: BlockDevice, options: CheckOptions = {}): Io<CheckReport> {
  let info: SuperInfo;
  try {
    info = yield* readSuper(device);
  } catch (error) {
    if (isCode(error, 'EUCLEAN')) return fatalReport(error);
    throw error;
  }
  return yield* checkImage(new CheckedImage(device, info, yield* findBitOrder(device, info)), options);
}

/** `check` of an image that is open already (and perhaps changed in memory). */
export function checkImage(image: CheckedImage, options: CheckOptions = {}): Io<CheckReport> {
  return new Check(image, options.maxFindings ?? FINDINGS_MAX).run();
}

/** A directory to look into. */
interface Todo {
  readonly inode: RawInode;
  readonly parent: number;
  readonly path: string;
}

class Check {
  readonly #image: CheckedImage;
  readonly #findings: Findings<MinixStructure>;
  /** Entries that lead to each inode. */
  readonly #links = new PagedCounts();
  readonly #claimed = new PagedBits();
  readonly #entered = new PagedBits();
  readonly #stats: CheckStats = { directories: 0, files: 0, symlinks: 0, special: 0, zonesUsed: 0 };
  readonly #todo: Todo[] = [];

  constructor(image: CheckedImage, findingsMax: number) {
    this.#image = image;
    this.#findings = new Findings(findingsMax);
  }

  *run(): Io<CheckReport> {
    const { info } = this.#image;
    const findings = this.#findings;
    if (info.firstDataZone !== normalFirstZone(info)) {
      findings.error('superblock', 'first-zone', `data begins at zone ${info.firstDataZone}, not at ${normalFirstZone(info)}`);
    }
    if ((info.state & STATE_VALID) === 0) findings.warning('superblock', 'not-clean', 'not unmounted cleanly');
    if ((info.state & STATE_ERROR) !== 0) findings.warning('superblock', 'errors-seen', 'marked as having errors');
    const root = yield* this.#image.inode(ROOT_INO);
    if (!isDirectory(root)) {
      findings.error('inode', 'root-not-directory', 'the root is no directory', { ino: ROOT_INO });
    } else {
      this.#entered.add(ROOT_INO);
      yield* this.#visit(root, '/');
      this.#todo.push({ inode: root, parent: ROOT_INO, path: '' });
      for (let dir = this.#todo.pop(); dir !== undefined; dir = this.#todo.pop()) yield* this.#directory(dir);
    }
    yield* this.#inodes();
    yield* this.#zones();
    return {
      clean: findings.errors === 0,
      errors: findings.errors,
      warnings: findings.warnings,
      findings: findings.list,
      omitted: findings.omitted,
      fatal: false,
      stats: this.#stats,
    };
  }

  /** An inode that an entry leads to for the first time: its bit, its type, its zones. */
  *#visit(inode: RawInode, path: string): Io<void> {
    const { ino } = inode;
    const place = { ino, path };
    const findings = this.#findings;
    if (!(yield* this.#image.inodeBit(ino))) {
      findings.error('inode-bitmap', 'inode-marked-free', `inode ${ino} is in use and marked free`, place);
    }
    if (!hasType(inode)) {
      findings.error('inode', 'mode', inode.mode === 0 ? 'an entry leads to a free inode' : `mode ${inode.mode.toString(8)}`, place);
      return;
    }
    const type = typeOf(inode);
    if (type === S_IFREG) this.#stats.files++;
    else if (type === S_IFLNK) this.#stats.symlinks++;
    else if (isDirectory(inode)) this.#stats.directories++;
    else this.#stats.special++;
    if (type === S_IFLNK) this.#symlink(inode, path);
    if (hasZones(inode)) yield* this.#map(inode, path);
  }

  #symlink(inode: RawInode, path: string): void {
    const first = inode.zones[0] ?? 0;
    if (inode.size === 0 || inode.size > this.#image.info.blockSize) {
      this.#findings.error('inode', 'symlink-size', `a symbolic link of ${inode.size} bytes`, { ino: inode.ino, path });
    } else if (!this.#image.inRange(first)) {
      this.#findings.error('inode', 'symlink-empty', 'a symbolic link without a zone', { ino: inode.ino, path });
    }
  }

  /** Claims all zones that the inode's map leads to. */
  *#map(inode: RawInode, path: string): Io<void> {
    for (let i = 0; i < inode.zones.length; i++) {
      const depth = Math.max(0, i - DIRECT_ZONES + 1);
      yield* this.#tree({ ino: inode.ino, path }, inode.zones[i] ?? 0, depth);
    }
  }

  *#tree(place: { readonly ino: number; readonly path: string }, zone: number, depth: number): Io<void> {
    if (zone === 0 || !(yield* this.#claim(place, zone)) || depth === 0) return;
    const image = this.#image;
    const pointers: number[] = [];
    const buf = yield* image.zoneBlock(zone);
    for (let i = 0; i < image.perBlock; i++) {
      const pointer = image.pointer(buf, i);
      if (pointer !== 0) pointers.push(pointer);
    }
    for (const pointer of pointers) yield* this.#tree(place, pointer, depth - 1);
  }

  *#claim(place: { readonly ino: number; readonly path: string }, zone: number): Io<boolean> {
    const findings = this.#findings;
    const where = { ...place, block: zone };
    if (!this.#image.inRange(zone)) {
      findings.error('zone-map', 'zone-range', `zone ${zone} is not a data zone`, where);
      return false;
    }
    if (!this.#claimed.add(zone)) {
      findings.error('zone-map', 'zone-twice', `zone ${zone} is in use twice`, where);
      return false;
    }
    this.#stats.zonesUsed++;
    if (!(yield* this.#image.zoneBit(zone))) {
      findings.error('zone-bitmap', 'zone-marked-free', `zone ${zone} is in use and marked free`, where);
    }
    return true;
  }

  /** All entries of a directory. */
  *#directory(dir: Todo): Io<void> {
    const { info } = this.#image;
    const { inode } = dir;
    const place = { ino: inode.ino, path: dir.path === '' ? '/' : dir.path };
    const size = info.entryBytes;
    if (inode.size < 2 * size) this.#findings.error('directory', 'dir-size', `a directory of ${inode.size} bytes`, place);
    if (inode.size % size !== 0) this.#findings.warning('directory', 'dir-size-odd', `a directory of ${inode.size} bytes`, place);
    if (inode.size > info.zonesCount * info.zoneSize) {
      this.#findings.error('directory', 'dir-size', 'a directory larger than the device', place);
      return;
    }
    const names = new Set<string>();
    const perZone = info.zoneSize / info.blockSize;
    const blocks = Math.ceil(inode.size / info.blockSize);
    for (let index = 0; index < blocks; index++) {
      const zone = yield* this.#image.mapZone(inode, Math.floor(index / perZone));
      if (zone === 0) {
        if (index === 0) this.#findings.error('directory', 'no-dots', 'a directory without a first block', place);
        continue;
      }
      const buf = (yield* this.#image.zoneBlock(zone, index % perZone)).hold();
      try {
        const limit = this.#image.entries.bytesIn(inode, index);
        for (let at = 0; at < limit; at += size) {
          const entry = { ino: this.#image.entries.rawIno(buf, at), name: this.#image.entries.nameAt(buf, at) };
          yield* this.#entry(dir, entry, index * info.blockSize + at, names);
        }
      } finally {
        buf.put();
      }
    }
  }

  *#entry(dir: Todo, entry: { readonly ino: number; readonly name: string }, offset: number, names: Set<string>): Io<void> {
    const { info } = this.#image;
    const { ino, name } = entry;
    const slot = offset / info.entryBytes;
    const dots = slot === 0 ? '.' : slot === 1 ? '..' : undefined;
    const findings = this.#findings;
    const here = { ino: dir.inode.ino, path: dir.path === '' ? '/' : dir.path };
    if (ino === 0 && dots === undefined) return;
    if (ino > info.inodesCount) {
      findings.error('directory', 'entry-inode', `'${name}' leads to inode ${ino} of ${info.inodesCount}`, here);
      return;
    }
    if (dots !== undefined) {
      const wanted = slot === 0 ? dir.inode.ino : dir.parent;
      if (ino === 0 || name !== dots) findings.error('directory', 'no-dots', `entry ${slot} is not '${dots}'`, here);
      else if (ino !== wanted) findings.error('directory', 'dots', `'${dots}' leads to inode ${ino}, not ${wanted}`, here);
      if (ino !== 0) this.#links.add(ino);
      return;
    }
    if (name === '' || name === '.' || name === '..' || name.includes('/')) {
      findings.error('directory', 'name', `the name '${name}' at byte ${offset}`, here);
    } else if (names.has(name)) {
      findings.error('directory', 'name-twice', `the name '${name}' is there twice`, here);
    }
    names.add(name);
    const path = `${dir.path}/${name}`;
    const isFirst = this.#links.add(ino) === 1 || (!this.#entered.has(ino) && !this.#met.has(ino));
    this.#met.add(ino);
    const inode = yield* this.#image.inode(ino);
    if (isFirst && ino !== ROOT_INO) yield* this.#visit(inode, path);
    if (!isDirectory(inode)) return;
    if (!this.#entered.add(ino)) {
      findings.error('tree', 'dir-twice', `inode ${ino} is a directory with two names`, { ino, path });
      return;
    }
    this.#todo.push({ inode, parent: dir.inode.ino, path });
  }

  /** Inodes that an entry other than '.' and '..' has led to. */
  readonly #met = new PagedBits();

  /** The inode bitmap against what was found, and the counts of links. */
  *#inodes(): Io<void> {
    const image = this.#image;
    const per = image.info.blockSize * 8;
    const end = image.info.inodesCount + 1;
    for (let base = 0; base < end; base += per) {
      const buf = (yield* image.block(BITMAP_BLOCK + base / per)).hold();
      try {
        const limit = Math.min(per, end - base);
        for (let bit = base === 0 ? 1 : 0; bit < limit; bit++) {
          const ino = base + bit;
          const found = this.#links.get(ino);
          if (found > 0) yield* this.#linkCount(ino, found);
          else if (testBit(buf.bytes, bit, image.flip)) yield* this.#unreferenced(ino);
        }
      } finally {
        buf.put();
      }
    }
  }

  *#unreferenced(ino: number): Io<void> {
    const inode = yield* this.#image.inode(ino);
    const isLost = hasType(inode) && inode.nlink > 0;
    this.#findings.error(
      isLost ? 'tree' : 'inode-bitmap',
      isLost ? 'inode-lost' : 'inode-marked-used',
      isLost ? `inode ${ino} has no name` : `inode ${ino} is free and marked in use`,
      { ino },
    );
  }

  *#linkCount(ino: number, found: number): Io<void> {
    const inode = yield* this.#image.inode(ino);
    if (inode.nlink !== found) {
      this.#findings.error('inode', 'link-count', `inode ${ino} has ${inode.nlink} links, found ${found}`, { ino });
    }
  }

  /** Zones marked in use that nobody owns. */
  *#zones(): Io<void> {
    const image = this.#image;
    const { info, flip } = image;
    const per = info.blockSize * 8;
    const bits = zoneBits(info);
    for (let base = 0; base < bits; base += per) {
      const buf = (yield* image.block(info.zmapBlock + base / per)).hold();
      try {
        const limit = Math.min(per, bits - base);
        if (countSet(buf.bytes, 0, limit, flip) === 0) continue;
        for (let bit = base === 0 ? 1 : 0; bit < limit; bit++) {
          if (!testBit(buf.bytes, bit, flip)) {
            bit = findNextSet(buf.bytes, bit, limit, flip) - 1;
            continue;
          }
          const zone = info.firstDataZone + base + bit - 1;
          if (!this.#claimed.has(zone) && (yield* this.#isReadable(zone))) {
            this.#findings.error('zone-bitmap', 'zone-marked-used', `zone ${zone} is nobody's and marked in use`, { block: zone });
          }
        }
      } finally {
        buf.put();
      }
    }
  }

  /** A zone that cannot be read is rightly kept from use. */
  *#isReadable(zone: number): Io<boolean> {
    try {
      yield* this.#image.zoneBlock(zone);
      return true;
    } catch (error) {
      if (isCode(error, 'EIO')) return false;
      throw error;
    }
  }
}
