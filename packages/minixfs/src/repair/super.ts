/**
 * A damaged superblock: there is no copy of it, but its fields follow from one another, and the root directory and the ends
 * of the bitmaps tell which of two answers is right. The candidate that changes least wins.
 */
import { countSet } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, submitBio, type FsError, type Io } from '@iomap/io';
import { BITMAP_BLOCK, Minix3Super, MinixInodeV1, MinixInodeV2, MinixSuper, ROOT_INO, S_IFDIR, SUPER_POS, VARIANTS, type Variant } from '../ondisk.js';
import { readSuperBytes, shapeOf, variantOf, zoneBits, type SuperInfo } from '../super.js';
import { weigh, type Evidence } from './evidence.js';
import { fieldsOf, superOf, tryDecode, zonesMaxOf, type Fields } from './fields.js';
import { fieldsOfBitmap, fieldsOfFrame, FrameSearch } from './frames.js';
import { Peek } from './peek.js';

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
  /** Found in the image, not near the stored superblock: the image has to speak for it. */
  readonly isGuess: boolean;
  /** Magic, block and zone size are as stored. */
  readonly keepsFrame: boolean;
}

interface Weighed extends Candidate {
  readonly evidence: Evidence;
}

/** Candidates near the stored superblock that are kept, and guesses. */
const CANDIDATES_MAX = 8;
const GUESSES_MAX = 96;
/** Fields of a superblock that may be wrong before it counts as lost. */
const FIELDS_MAX = 3;
/** Inodes in use that must agree with the bitmap where there is no directory. */
const AGREED_MIN = 2;
/** The share of inodes that have to agree with the bitmap where there are directories, but no root. */
const AGREEMENT_MIN = 0.5;
/** So much more a tree has to be worth for it that the stored number of zones is taken for too small: two files. */
const BEHIND_MIN = 6;
/** Bytes of the magic, the zone size and the block size. */
const FRAME_FIELDS = { v1: [0x10, 0x11, 0x0a, 0x0b], v3: [0x18, 0x19, 0x0c, 0x0d, 0x1c, 0x1d] } as const;
/** What a search may read of the device in all. */
const READ_BYTES = 1024 * 1024 * 1024;

/** Inodes among which a directory is looked for. */
const SAMPLE_INODES = 256;
/** Bytes of a device that are searched for a superblock that has changed places. */
const SCAN_BYTES = 256 * 1024 * 1024;

const cost = (of: Candidate): number => of.distance + of.doubts;

const unique = (values: readonly number[]): number[] => [...new Set(values.filter((one) => Number.isInteger(one) && one > 0))];

class Search {
  readonly #device: BlockDevice;
  readonly #stored: Uint8Array;
  /** What lies near the stored superblock, cheapest first; and what the image itself says. */
  readonly candidates: Candidate[] = [];
  readonly guesses: Candidate[] = [];

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
    const info = tryDecode(bytes, this.#device.sizeBytes);
    // All of its fields fit one another: that is no accident.
    if (info !== undefined) this.#keep({ info, bytes, distance: 1, doubts: yield* this.#doubts(info), isGuess: true, keepsFrame: false });
  }

  /** Nothing of the superblock is left: what the directories say, and where there are none, the inode bitmap. */
  *fromImage(peek: Peek): Io<void> {
    const frames = yield* new FrameSearch(peek).run();
    for (const frame of frames) {
      for (const fields of yield* fieldsOfFrame(peek, frame)) this.#guess(fields);
    }
    if (frames.length > 0) return;
    for (const littleEndian of [true, false]) {
      for (const variant of VARIANTS) {
        for (const blockSize of variant.version === 3 ? [1024, 2048, 4096] : [1024]) {
          for (const fields of yield* fieldsOfBitmap(peek, { variant, littleEndian, blockSize })) this.#guess(fields);
        }
      }
    }
  }

  #guess(fields: Fields): void {
    const found = superOf(fields, this.#device.sizeBytes);
    if (found !== undefined) this.#keep({ ...found, distance: this.#distance(fields.variant, found.bytes), doubts: 0, isGuess: true, keepsFrame: false });
  }

  /** The same filesystem with so many zones: where the device is larger than it. */
  withZones(of: Candidate, zones: number): Candidate | undefined {
    const fields = fieldsOf(of.info);
    const found = fields === undefined ? undefined : superOf({ ...fields, zones, max: 0 }, this.#device.sizeBytes);
    return found === undefined ? undefined : { ...of, ...found };
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
                yield* this.#consider({ variant, littleEndian, blockSize, zoneSize, inodes, zones, imap, zmap, first, max: raw.max });
              }
            }
          }
        }
      }
    }
  }

  *#consider(fields: Fields): Io<void> {
    const found = superOf(fields, this.#device.sizeBytes);
    if (found === undefined) return;
    const distance = this.#distance(fields.variant, found.bytes);
    const worst = this.candidates.at(-1);
    if (worst !== undefined && this.candidates.length >= CANDIDATES_MAX && distance >= cost(worst)) return;
    const keepsFrame = FRAME_FIELDS[fields.variant.version === 3 ? 'v3' : 'v1'].every((at) => found.bytes[at] === this.#stored[at]);
    this.#keep({ ...found, distance, doubts: yield* this.#doubts(found.info), isGuess: false, keepsFrame });
  }

  /** Keeps the cheapest, guesses all (there are few). */
  #keep(one: Candidate): void {
    if (one.isGuess) {
      if (this.guesses.length < GUESSES_MAX) this.guesses.push(one);
      return;
    }
    const { candidates } = this;
    let at = candidates.length;
    while (at > 0 && cost(candidates[at - 1] ?? one) > cost(one)) at--;
    candidates.splice(at, 0, one);
    if (candidates.length > CANDIDATES_MAX) candidates.pop();
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

/** A tree's word is worth more than a field's of a superblock, and that more than a bitmap's. */
const worth = ({ evidence, distance }: Weighed): number => evidence.tree + evidence.bitmaps - 2 * distance;

/** Do two of them read the image in the same way, but for where things end? */
const isSameFrame = ({ info: a }: Candidate, { info: b }: Candidate): boolean =>
  a.magic === b.magic && a.littleEndian === b.littleEndian && a.blockSize === b.blockSize && a.zoneSize === b.zoneSize && a.tableBlock === b.tableBlock;

/** Are inodes and zones at the same bytes? Then only what lies behind an indirect zone differs. */
const isSamePlace = ({ info: a }: Candidate, { info: b }: Candidate): boolean =>
  a.magic === b.magic && a.littleEndian === b.littleEndian && a.zoneSize === b.zoneSize && a.tableBlock * a.blockSize === b.tableBlock * b.blockSize;

/**
 * Does the image itself say that the guess is right: the root and its tree; without a root directories that the bitmap agrees with;
 * without any a bitmap and inodes that agree?
 */
const isSpokenFor = ({ evidence }: Weighed): boolean => {
  const { tree, directories, hasRoot, inUse, agreement } = evidence;
  if (tree <= 0) return false;
  return hasRoot || (directories > 0 && agreement >= AGREEMENT_MIN) || (inUse >= AGREED_MIN && agreement >= 0.9);
};

/** The best of all, where it is clearly so. @throws FsError EUCLEAN when there is none, or two that differ */
function choose(all: readonly Weighed[], device: BlockDevice): Candidate {
  const lost = (why: string): FsError => corrupt(why, { device: device.name, pos: SUPER_POS });
  const isNear = (one: Weighed): boolean =>
    !one.isGuess && one.distance <= FIELDS_MAX && (one.keepsFrame || one.evidence.directories > 0);
  // What is left of a superblock is believed, unless several fields are wrong and more directories speak for another.
  const nearest = all.find(isNear);
  // Of those that change as little, the one that the image speaks for most; a directory in its place is more than inodes that are not.
  const [near] = all
    .filter((one) => isNear(one) && nearest !== undefined && isSameFrame(one, nearest) && one.distance <= nearest.distance)
    .sort((a, b) => Number(b.evidence.directories > 0) - Number(a.evidence.directories > 0) || worth(b) - worth(a));
  const isBetter = (one: Weighed): boolean =>
    near === undefined ||
    ((near.distance > 1 || (one.evidence.hasRoot && near.evidence.directories === 0)) &&
      one.evidence.directories > near.evidence.directories &&
      one.evidence.tree > near.evidence.tree);
  // Who is not spoken for is not taken, but may still be right.
  const likely = all.filter((one) => one.evidence.tree > 0 && isBetter(one)).sort((a, b) => worth(b) - worth(a));
  const best = likely.find(isSpokenFor);
  if (best === undefined) {
    if (near === undefined) throw lost('no superblock, and none that would fit');
    return near;
  }
  for (const other of likely) {
    if (isSameFrame(best, other) || (other.evidence.directories === 0 && !isSpokenFor(other))) continue;
    const margin = isSamePlace(best, other) ? 2 : Math.max(8, best.evidence.tree / 2);
    if (worth(best) - worth(other) < margin) throw lost('no superblock, and more than one that would fit');
  }
  return best;
}

/**
 * The superblock, or what it must have been.
 *
 * Waits on: a read; for a damaged one, reads for each candidate, in all at most `READ_BYTES`.
 * @throws FsError EUCLEAN when nothing fits, or more than one thing does; EIO
 */
export function* findSuper(device: BlockDevice): Io<FoundSuper> {
  const stored = yield* readSuperBytes(device);
  const search = new Search(device, stored);
  yield* search.run();
  const [nearest] = search.candidates;
  const believed = nearest?.distance === 0 && nearest.doubts <= 1 ? nearest : undefined;
  const best = believed === undefined ? yield* findBest(device, search) : ((yield* widened(device, search, believed)) ?? believed);
  const isSame = equalFields(best.bytes, stored, best.info.version);
  const bytes = stored.slice();
  bytes.set(best.bytes.subarray(0, best.info.version === 3 ? 30 : 24));
  if (best.info.version === 2) bytes.set(stored.subarray(2, 4), 2);
  if (best.info.version === 1) bytes.set(stored.subarray(20, 24), 20);
  return { info: best.info, bytes: isSame ? undefined : bytes };
}

/** A superblock that holds together may still say too few zones: files lead to those behind, on a device that has them. */
function* widened(device: BlockDevice, search: Search, of: Candidate): Io<Candidate | undefined> {
  const { zonesCount, zoneSize, version } = of.info;
  const zones = Math.min(Math.floor(device.sizeBytes / zoneSize), zonesMaxOf({ version }));
  const wider = zones > zonesCount ? search.withZones(of, zones) : undefined;
  if (wider === undefined) return undefined;
  const peek = new Peek(device, READ_BYTES);
  const now = yield* weigh(peek, of.info);
  const then = yield* weigh(peek, wider.info);
  return then.tree >= now.tree + BEHIND_MIN ? wider : undefined;
}

function* findBest(device: BlockDevice, search: Search): Io<Candidate> {
  const peek = new Peek(device, READ_BYTES);
  yield* search.fromElsewhere();
  yield* search.fromImage(peek);
  const all: Weighed[] = [];
  const seen = new Set<string>();
  for (const one of [...search.candidates, ...search.guesses]) {
    const key = `${one.isGuess} ${one.bytes.subarray(0, 32).join()}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const evidence = yield* weigh(peek, one.info);
    all.push({ ...one, evidence });
    const zones = zonesIfSmaller(one.info, evidence);
    const smaller = one.isGuess && zones !== undefined ? search.withZones(one, zones) : undefined;
    if (smaller === undefined) continue;
    const again = yield* weigh(peek, smaller.info);
    all.push({ ...smaller, evidence: { ...again, bitmaps: again.bitmaps + 4 } });
  }
  return choose(all, device);
}

/** Zones of a filesystem that is smaller than its device: where more than half of what would be its zones are nobody's and not free. */
function zonesIfSmaller(info: SuperInfo, { lastZone, lastFree }: Evidence): number | undefined {
  if (lastZone === undefined || lastFree === 0) return undefined;
  const zones = Math.max(lastZone, lastFree) + 1;
  return (info.zonesCount - zones) * 2 > info.zonesCount - info.firstDataZone ? zones : undefined;
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
