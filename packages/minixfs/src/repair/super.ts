/**
 * A damaged superblock: there is no copy of it, but its fields follow from one another, and the root directory and the ends
 * of the bitmaps tell which of two answers is right. The candidate that changes least wins.
 */
import { countSet } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, FsError, submitBio, type Io } from '@iomap/io';
import { normalFirstZone } from '../check.js';
import { buildSuper } from '../mkfs.js';
import { BITMAP_BLOCK, Minix3Super, MinixInodeV1, MinixInodeV2, MinixSuper, ROOT_INO, S_IFDIR, SUPER_POS, VARIANTS, type Variant } from '../ondisk.js';
import { decodeSuper, readSuperBytes, shapeOf, variantOf, zoneBits, type SuperInfo } from '../super.js';

/** Bytes of a largest file below which a superblock's limit is not believed. */
const LIMIT_MIN = 1024 * 1024;

export interface FoundSuper {
  readonly info: SuperInfo;
  /** The superblock's 1024 bytes as they should be; undefined: as they are. */
  readonly bytes: Uint8Array | undefined;
}

interface Candidate {
  readonly info: SuperInfo;
  readonly bytes: Uint8Array;
  /** Fields that differ from what is stored. */
  readonly distance: number;
  /** Signs that it is not right, weighed. */
  readonly doubts: number;
}

/** Inode bitmaps of more blocks are not looked for where nothing of a superblock is left. */
const IMAP_BLOCKS_MAX = 64;

/** Inodes among which a directory is looked for. */
const SAMPLE_INODES = 256;
/** Bytes of a device that are searched for a superblock that has changed places. */
const SCAN_BYTES = 256 * 1024 * 1024;

const cost = (of: Candidate): number => of.distance + of.doubts;

const unique = (values: readonly number[]): number[] => [...new Set(values.filter((one) => Number.isInteger(one) && one > 0))];

class Search {
  readonly #device: BlockDevice;
  readonly #stored: Uint8Array;
  best: Candidate | undefined;

  constructor(device: BlockDevice, stored: Uint8Array) {
    this.#device = device;
    this.#stored = stored;
  }

  *run(): Io<void> {
    const said = variantOf(this.#stored);
    for (const littleEndian of [true, false]) {
      for (const variant of VARIANTS) {
        const isSaid = said?.variant === variant && said.littleEndian === littleEndian;
        // With the magic intact nothing else is likelier.
        if (said !== undefined && !isSaid && said.littleEndian !== littleEndian) continue;
        const sizes = variant.version === 3 ? unique([this.#raw(variant, littleEndian).blockSize, 1024, 2048, 4096]) : [1024];
        for (const blockSize of sizes) {
          if (blockSize !== 1024 && blockSize !== 2048 && blockSize !== 4096) continue;
          yield* this.#variant(variant, littleEndian, blockSize);
        }
      }
    }
  }

  /**
   * Nothing of the superblock is left: looks for the root's inode where the table would begin behind bitmaps of so many blocks. The
   * root's first zone is the first there is, which says how long the table is.
   */
  *fromRoot(): Io<void> {
    for (const littleEndian of [true, false]) {
      for (const variant of VARIANTS) {
        for (const blockSize of variant.version === 3 ? [1024, 2048, 4096] : [1024]) {
          for (let log = 0; blockSize * 2 ** log <= 65_536; log++) yield* this.#fromRootOf(variant, littleEndian, blockSize, log);
        }
      }
    }
  }

  /** The superblock may be whole and somewhere else: a block that was written to the wrong place. */
  *fromElsewhere(): Io<void> {
    const step = Math.max(512, this.#device.sectorSize);
    const end = Math.min(SCAN_BYTES, this.#device.sizeBytes);
    const chunk = new Uint8Array(256 * 1024);
    for (let pos = 0; pos < end; pos += chunk.length) {
      const bytes = chunk.subarray(0, Math.min(chunk.length, end - pos));
      const whole = bytes.length - (bytes.length % step);
      if (whole === 0) return;
      yield* submitBio(this.#device, { op: 'read', pos, segments: [bytes.subarray(0, whole)], lengthBytes: whole });
      for (let at = 0; at + 64 <= whole; at += 512) {
        const found = bytes.subarray(at, at + 64);
        if (variantOf(found) === undefined) continue;
        yield* this.#asFound(found.slice());
      }
    }
  }

  *#asFound(bytes: Uint8Array): Io<void> {
    let info: SuperInfo;
    try {
      info = decodeSuper(bytes, this.#device.sizeBytes);
    } catch (error) {
      if (error instanceof FsError) return;
      throw error;
    }
    if (info.firstDataZone !== normalFirstZone(info)) return;
    // All of its fields fit one another: that is no accident, so less is asked of what they lead to.
    const candidate = { info, bytes, distance: 1, doubts: yield* this.#doubts(info) };
    if (this.best === undefined || cost(candidate) < cost(this.best)) this.best = candidate;
  }

  /**
   * Nothing of the superblock and of the root is left: the last clear bit of the inode bitmap is the last free inode, which says
   * how long the table is.
   */
  *fromBitmaps(): Io<void> {
    for (const littleEndian of [true, false]) {
      for (const variant of VARIANTS) {
        for (const blockSize of variant.version === 3 ? [1024, 2048, 4096] : [1024]) {
          for (let log = 0; blockSize * 2 ** log <= 65_536; log++) yield* this.#fromBitmapsOf(variant, littleEndian, blockSize, log);
        }
      }
    }
  }

  *#fromBitmapsOf(variant: Variant, littleEndian: boolean, blockSize: number, log: number): Io<void> {
    const zoneSize = blockSize * 2 ** log;
    const bits = blockSize * 8;
    const { inodesPerBlock } = shapeOf(variant.version, variant.nameMax, blockSize);
    const zones = Math.min(Math.floor(this.#device.sizeBytes / zoneSize), variant.version === 1 ? 0xffff : 2 ** 32 - 1);
    for (let imap = 1; imap <= 8; imap++) {
      const pos = (1 + imap) * blockSize;
      if (pos + blockSize > this.#device.sizeBytes) return;
      const block = new Uint8Array(blockSize);
      yield* submitBio(this.#device, { op: 'read', pos, segments: [block], lengthBytes: blockSize });
      let last = blockSize - 1;
      while (last >= 0 && block[last] === 0xff) last--;
      if (last < 0) continue;
      // To whole blocks of the table; the order of bits inside words is not known yet.
      const about = (imap - 1) * bits + last * 8;
      for (const guess of littleEndian ? [about] : [about, about + 64, about - 64]) {
        const inodes = Math.ceil(Math.max(1, guess) / inodesPerBlock) * inodesPerBlock;
        const table = inodes / inodesPerBlock;
        for (const zmap of unique([Math.ceil(zones / bits), Math.ceil(zones / bits) - 1])) {
          const first = Math.ceil((2 + imap + zmap + table) / 2 ** log);
          yield* this.#consider(variant, { littleEndian, blockSize, zoneSize, inodes, zones, imap, zmap, first, max: 0 });
        }
      }
    }
  }

  *#fromRootOf(variant: Variant, littleEndian: boolean, blockSize: number, log: number): Io<void> {
    const zoneSize = blockSize * 2 ** log;
    const bits = blockSize * 8;
    const shape = shapeOf(variant.version, variant.nameMax, blockSize);
    const zones = Math.min(Math.floor(this.#device.sizeBytes / zoneSize), variant.version === 1 ? 0xffff : 2 ** 32 - 1);
    const layout = variant.version === 1 ? MinixInodeV1 : MinixInodeV2;
    for (let imap = 1; imap <= IMAP_BLOCKS_MAX; imap++) {
      for (const zmap of unique([Math.ceil(zones / bits), Math.ceil(zones / bits) - 1])) {
        const pos = (2 + imap + zmap) * blockSize;
        if (pos + blockSize > this.#device.sizeBytes) return;
        const table = new Uint8Array(blockSize);
        yield* submitBio(this.#device, { op: 'read', pos, segments: [table], lengthBytes: blockSize });
        const root = layout.in(littleEndian).at(table);
        if ((root.i_mode & 0o170000) !== S_IFDIR || root.i_nlinks < 2) continue;
        const first = root.i_zone.get(0);
        if (first > 0xffff) continue;
        const inodes = Math.min((first * 2 ** log - 2 - imap - zmap) * shape.inodesPerBlock, variant.version === 3 ? 2 ** 32 - 2 : 0xffff);
        if (inodes < 1 || Math.ceil((inodes + 1) / bits) !== imap) continue;
        yield* this.#consider(variant, { littleEndian, blockSize, zoneSize, inodes, zones, imap, zmap, first, max: 0 });
      }
    }
  }

  #raw(variant: Variant, littleEndian: boolean): { inodes: number; zones: number; imap: number; zmap: number; first: number; log: number; blockSize: number; max: number } {
    if (variant.version === 3) {
      const s = Minix3Super.in(littleEndian).at(this.#stored);
      return { inodes: s.s_ninodes, zones: s.s_zones, imap: s.s_imap_blocks, zmap: s.s_zmap_blocks, first: s.s_firstdatazone, log: s.s_log_zone_size, blockSize: s.s_blocksize, max: s.s_max_size };
    }
    const s = MinixSuper.in(littleEndian).at(this.#stored);
    const zones = variant.version === 1 ? s.s_nzones : s.s_zones;
    return { inodes: s.s_ninodes, zones, imap: s.s_imap_blocks, zmap: s.s_zmap_blocks, first: s.s_firstdatazone, log: s.s_log_zone_size, blockSize: 1024, max: s.s_max_size };
  }

  *#variant(variant: Variant, littleEndian: boolean, blockSize: number): Io<void> {
    const raw = this.#raw(variant, littleEndian);
    const shape = shapeOf(variant.version, variant.nameMax, blockSize);
    const bits = blockSize * 8;
    for (const log of [...new Set([raw.log, 0, 1, 2, 3, 4, 5, 6])]) {
      const zoneSize = blockSize * 2 ** log;
      if (log > 6 || zoneSize > 65_536) continue;
      const per = 2 ** log;
      const whole = Math.floor(this.#device.sizeBytes / zoneSize);
      const zonesMax = variant.version === 1 ? 0xffff : 2 ** 32 - 1;
      for (const zones of unique([Math.min(raw.zones, whole), Math.min(whole, zonesMax)])) {
        for (const imap of unique([raw.imap, Math.ceil((raw.inodes + 1) / bits), 1])) {
          for (const zmap of unique([raw.zmap, Math.ceil((zones - raw.first + 1) / bits)])) {
            // As many inodes as fill the table between the bitmaps and the data.
            const filled = (raw.first * per - 2 - imap - zmap) * shape.inodesPerBlock;
            const inodesMax = variant.version === 3 ? 2 ** 32 - 2 : 0xffff;
            for (const inodes of unique([raw.inodes, Math.min(filled, inodesMax)])) {
              const table = Math.ceil(inodes / shape.inodesPerBlock);
              for (const first of unique([raw.first, Math.ceil((2 + imap + zmap + table) / per)])) {
                yield* this.#consider(variant, { littleEndian, blockSize, zoneSize, inodes, zones, imap, zmap, first, max: raw.max });
              }
            }
          }
        }
      }
    }
  }

  *#consider(
    variant: Variant,
    of: { littleEndian: boolean; blockSize: number; zoneSize: number; inodes: number; zones: number; imap: number; zmap: number; first: number; max: number },
  ): Io<void> {
    if (of.first > 0xffff || of.imap > 0xffff || of.zmap > 0xffff) return;
    const standard = variant.version === 1 ? 268_966_912 : 2 ** 31 - 1;
    const built = buildSuper({
      ...shapeOf(variant.version, variant.nameMax, of.blockSize),
      ...variant,
      littleEndian: of.littleEndian,
      blockSize: of.blockSize,
      zoneSize: of.zoneSize,
      inodesCount: of.inodes,
      zonesCount: of.zones,
      firstDataZone: of.first,
      imapBlocks: of.imap,
      zmapBlocks: of.zmap,
      zmapBlock: 0,
      tableBlock: 0,
      tableBlocks: 0,
      fileSizeMax: of.max < LIMIT_MIN ? standard : of.max,
    });
    let info: SuperInfo;
    try {
      info = decodeSuper(built, this.#device.sizeBytes);
    } catch (error) {
      if (error instanceof FsError) return;
      throw error;
    }
    if (info.firstDataZone !== normalFirstZone(info)) return;
    const distance = this.#distance(variant, built);
    if (this.best !== undefined && distance >= cost(this.best)) return;
    const candidate = { info, bytes: built, distance, doubts: yield* this.#doubts(info) };
    if (this.best === undefined || cost(candidate) < cost(this.best)) this.best = candidate;
  }

  /** Fields of the stored superblock that would change; state and padding do not count. */
  #distance(variant: Variant, built: Uint8Array): number {
    const fields = variant.version === 3 ? Minix3Super.le.fields : MinixSuper.le.fields;
    let cost = 0;
    for (const { name, offset, length } of fields) {
      if (name.startsWith('s_pad') || name === 's_state' || name === 's_disk_version') continue;
      for (let i = offset; i < offset + length; i++) {
        if (built[i] !== this.#stored[i]) {
          cost++;
          break;
        }
      }
    }
    return cost;
  }

  *#read(block: number, info: SuperInfo): Io<Uint8Array> {
    const bytes = new Uint8Array(info.blockSize);
    yield* submitBio(this.#device, { op: 'read', pos: block * info.blockSize, segments: [bytes], lengthBytes: bytes.length });
    return bytes;
  }

  /** Signs against a candidate: bits behind the ends of the bitmaps that are clear, a root that is not where it would be. */
  *#doubts(info: SuperInfo): Io<number> {
    let doubts = 0;
    const bits = info.blockSize * 8;
    const ends: readonly (readonly [firstBlock: number, blocks: number, used: number])[] = [
      [BITMAP_BLOCK, info.imapBlocks, info.inodesCount + 1],
      [info.zmapBlock, info.zmapBlocks, zoneBits(info)],
    ];
    for (const [firstBlock, blocks, used] of ends) {
      const index = Math.floor(used / bits);
      if (index >= blocks) continue;
      const bytes = yield* this.#read(firstBlock + index, info);
      // Whole bytes, so that the order of the bits does not count.
      const from = Math.ceil((used % bits) / 64) * 64;
      const clear = bits - from - countSet(bytes, from, bits - from);
      // A few may be damage of their own.
      // So may all of them be where the device has become shorter: it has no more zones than that.
      const isWhole = firstBlock === info.zmapBlock && info.zonesCount === Math.floor(this.#device.sizeBytes / info.zoneSize);
      if (clear > 0) doubts += clear <= 16 || isWhole ? 0.5 : 2;
    }
    return doubts + (yield* this.#directoryDoubts(info));
  }

  /** Is there a directory where one should be: the root, or at least one of the first inodes? */
  *#directoryDoubts(info: SuperInfo): Io<number> {
    const layout = (info.version === 1 ? MinixInodeV1 : MinixInodeV2).in(info.littleEndian);
    const last = Math.min(SAMPLE_INODES, info.inodesCount);
    let table: Uint8Array = new Uint8Array(0);
    for (let ino = ROOT_INO; ino <= last; ino++) {
      const index = (ino - 1) % info.inodesPerBlock;
      if (index === 0) table = yield* this.#read(info.tableBlock + (ino - 1) / info.inodesPerBlock, info);
      const inode = layout.at(table, index * info.inodeSize);
      const zone = inode.i_zone.get(0);
      if ((inode.i_mode & 0o170000) !== S_IFDIR || zone < info.firstDataZone || zone >= info.zonesCount) continue;
      const entries = yield* this.#read((zone * info.zoneSize) / info.blockSize, info);
      const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
      const dot = info.inoBytes === 4 ? view.getUint32(0, info.littleEndian) : view.getUint16(0, info.littleEndian);
      const name = info.inoBytes;
      const dotdot = info.entryBytes + info.inoBytes;
      const areDots = entries[name] === 0x2e && entries[name + 1] === 0 && entries[dotdot] === 0x2e && entries[dotdot + 1] === 0x2e;
      if (dot === ino && areDots) return ino === ROOT_INO ? 0 : 0.5;
    }
    return 3;
  }
}

/**
 * The superblock, or what it must have been.
 *
 * Waits on: a read; for a damaged one, a few reads for each candidate.
 * @throws FsError EUCLEAN when nothing fits; EIO
 */
export function* findSuper(device: BlockDevice): Io<FoundSuper> {
  const stored = yield* readSuperBytes(device);
  const search = new Search(device, stored);
  yield* search.run();
  const isLikely = (one: Candidate | undefined): one is Candidate => one !== undefined && (one.doubts <= 1 || one.distance <= 3);
  for (const next of [() => search.fromElsewhere(), () => search.fromRoot(), () => search.fromBitmaps()]) {
    if (isLikely(search.best)) break;
    search.best = undefined;
    yield* next();
  }
  const { best } = search;
  if (!isLikely(best)) throw corrupt('no superblock, and none that would fit', { device: device.name, pos: SUPER_POS });
  const isSame = equalFields(best.bytes, stored, best.info.version);
  const bytes = stored.slice();
  bytes.set(best.bytes.subarray(0, best.info.version === 3 ? 30 : 24));
  if (best.info.version === 2) bytes.set(stored.subarray(2, 4), 2);
  if (best.info.version === 1) bytes.set(stored.subarray(20, 24), 20);
  return { info: best.info, bytes: isSame ? undefined : bytes };
}

function equalFields(built: Uint8Array, stored: Uint8Array, version: number): boolean {
  const fields = version === 3 ? Minix3Super.le.fields : MinixSuper.le.fields;
  return fields.every(({ name, offset, length }) => {
    if (name.startsWith('s_pad') || name === 's_disk_version') return true;
    if ((version === 2 && name === 's_nzones') || (version === 1 && name === 's_zones')) return true;
    for (let i = offset; i < offset + length; i++) if (built[i] !== stored[i]) return false;
    return true;
  });
}
