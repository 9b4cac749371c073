/** Reading and checking the superblock: what is where, in one byte order or the other. */
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, divCeil, FsError, roundUp, submitBio, unsupported, type Io } from '@iomap/io';
import {
  BITMAP_BLOCK,
  DIRECT_ZONES,
  LINK_MAX_V1,
  LINK_MAX_V2,
  Minix3Super,
  MinixSuper,
  SUPER_BYTES,
  SUPER_POS,
  VARIANTS,
  type Variant,
  type Version,
} from './ondisk.js';

const MAGIC_AT = MinixSuper.le.offsets.s_magic;
const MAGIC3_AT = Minix3Super.le.offsets.s_magic;

/** What is where. Blocks are of `blockSize` bytes, zones of `zoneSize`; block n and zone n start at n times theirs. */
export interface Geometry {
  readonly version: Version;
  readonly nameMax: number;
  readonly magic: number;
  readonly littleEndian: boolean;
  readonly blockSize: number;
  readonly zoneSize: number;
  readonly inodesCount: number;
  readonly zonesCount: number;
  readonly firstDataZone: number;
  readonly imapBlocks: number;
  readonly zmapBlocks: number;
  /** First block of the zone bitmap, of the inode table. */
  readonly zmapBlock: number;
  readonly tableBlock: number;
  readonly tableBlocks: number;
  readonly inodeSize: number;
  readonly inodesPerBlock: number;
  /** Bytes of a directory entry, and of the inode number in it. */
  readonly entryBytes: number;
  readonly inoBytes: 2 | 4;
  /** Trees of indirect zones, and bytes of a pointer in them. */
  readonly levels: number;
  readonly pointerBytes: 2 | 4;
  readonly linkMax: number;
  readonly gidMax: number;
  /** The limit that the superblock says, at most what the map can hold. */
  readonly fileSizeMax: number;
}

export interface SuperInfo extends Geometry {
  /** As it was at mount; 1 (valid) in version 3, which has none. */
  readonly state: number;
}

/** What a version says of its structures. */
export function shapeOf(version: Version, nameMax: number, blockSize: number): Pick<
  Geometry, 'inodeSize' | 'inodesPerBlock' | 'entryBytes' | 'inoBytes' | 'levels' | 'pointerBytes' | 'linkMax' | 'gidMax'
> {
  const inodeSize = version === 1 ? 32 : 64;
  const inoBytes = version === 3 ? 4 : 2;
  return {
    inodeSize,
    inodesPerBlock: blockSize / inodeSize,
    entryBytes: nameMax + inoBytes,
    inoBytes,
    levels: version === 1 ? 2 : 3,
    pointerBytes: version === 1 ? 2 : 4,
    linkMax: version === 1 ? LINK_MAX_V1 : LINK_MAX_V2,
    gidMax: version === 1 ? 0xff : 0xffff,
  };
}

/** Zones that the map of a file can hold. */
export function mapZonesMax(of: Pick<Geometry, 'blockSize' | 'levels' | 'pointerBytes'>): number {
  const per = of.blockSize / of.pointerBytes;
  let zones = DIRECT_ZONES;
  for (let level = 1; level <= of.levels; level++) zones += per ** level;
  return zones;
}

/** Zones in use of the bitmap's bits: bit n is zone `firstDataZone` + n - 1, bit 0 is nobody's. */
export const zoneBits = (info: Geometry): number => info.zonesCount - info.firstDataZone + 1;

const need = (condition: boolean, field: string, why: string): void => {
  if (!condition) throw corrupt(why, { field });
};

/** The variant and byte order that a superblock's magic says; undefined when it is no minix filesystem. */
export function variantOf(bytes: Uint8Array): { readonly variant: Variant; readonly littleEndian: boolean } | undefined {
  if (bytes.length < 32) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const littleEndian of [true, false]) {
    const old = view.getUint16(MAGIC_AT, littleEndian);
    const variant = VARIANTS.find((one) => one.version !== 3 && one.magic === old);
    if (variant !== undefined) return { variant, littleEndian };
  }
  for (const littleEndian of [true, false]) {
    const magic = view.getUint16(MAGIC3_AT, littleEndian);
    const variant = VARIANTS.find((one) => one.version === 3 && one.magic === magic);
    if (variant !== undefined) return { variant, littleEndian };
  }
  return undefined;
}

interface RawSuper {
  readonly inodes: number;
  readonly zones: number;
  readonly imapBlocks: number;
  readonly zmapBlocks: number;
  readonly firstDataZone: number;
  readonly logZoneSize: number;
  readonly maxSize: number;
  readonly state: number;
  readonly blockSize: number;
}

function rawSuper(bytes: Uint8Array, version: Version, littleEndian: boolean): RawSuper {
  if (version === 3) {
    const s = Minix3Super.in(littleEndian).at(bytes);
    return {
      inodes: s.s_ninodes,
      zones: s.s_zones,
      imapBlocks: s.s_imap_blocks,
      zmapBlocks: s.s_zmap_blocks,
      firstDataZone: s.s_firstdatazone,
      logZoneSize: s.s_log_zone_size,
      maxSize: s.s_max_size,
      state: 1,
      blockSize: s.s_blocksize,
    };
  }
  const s = MinixSuper.in(littleEndian).at(bytes);
  return {
    inodes: s.s_ninodes,
    zones: version === 1 ? s.s_nzones : s.s_zones,
    imapBlocks: s.s_imap_blocks,
    zmapBlocks: s.s_zmap_blocks,
    firstDataZone: s.s_firstdatazone,
    logZoneSize: s.s_log_zone_size,
    maxSize: s.s_max_size,
    state: s.s_state,
    blockSize: 1024,
  };
}

/**
 * Reads and validates a superblock.
 * @param bytes the superblock first
 * @param deviceBytes size of the device; a filesystem that is longer is corrupt
 * @throws FsError EUCLEAN `s_magic` no minix at all, or anything inconsistent; EOPNOTSUPP sizes that we do not have
 */
export function decodeSuper(bytes: Uint8Array, deviceBytes = Infinity): SuperInfo {
  const found = variantOf(bytes);
  if (found === undefined) throw corrupt('not a minix filesystem: bad magic number', { field: 's_magic' });
  const { variant, littleEndian } = found;
  const { version, nameMax, magic } = variant;
  const raw = rawSuper(bytes, version, littleEndian);
  const { blockSize, logZoneSize } = raw;
  if (blockSize !== 1024 && blockSize !== 2048 && blockSize !== 4096) {
    throw unsupported(`blocks of ${blockSize} bytes`, { field: 's_blocksize' });
  }
  need(logZoneSize <= 16, 's_log_zone_size', `log zone size ${logZoneSize}`);
  const zoneSize = blockSize * 2 ** logZoneSize;
  if (zoneSize > 65_536) throw unsupported(`zones of ${zoneSize} bytes`, { field: 's_log_zone_size' });
  const shape = shapeOf(version, nameMax, blockSize);
  const bits = 8 * blockSize;
  need(raw.inodes > 0 && raw.inodes < 2 ** 32 - 1, 's_ninodes', `${raw.inodes} inodes`);
  need(raw.imapBlocks * bits >= raw.inodes + 1, 's_imap_blocks', `${raw.imapBlocks} bitmap blocks for ${raw.inodes} inodes`);
  const zmapBlock = BITMAP_BLOCK + raw.imapBlocks;
  const tableBlock = zmapBlock + raw.zmapBlocks;
  const tableBlocks = divCeil(raw.inodes, shape.inodesPerBlock);
  const leastZone = divCeil((tableBlock + tableBlocks) * blockSize, zoneSize);
  need(raw.firstDataZone >= leastZone, 's_firstdatazone', `data from zone ${raw.firstDataZone} in the inode table`);
  need(raw.firstDataZone < raw.zones, 's_firstdatazone', `data from zone ${raw.firstDataZone} of ${raw.zones}`);
  const dataBits = raw.zones - raw.firstDataZone + 1;
  need(raw.zmapBlocks * bits >= dataBits, 's_zmap_blocks', `${raw.zmapBlocks} bitmap blocks for ${raw.zones} zones`);
  need(
    raw.zones * zoneSize <= deviceBytes,
    's_zones',
    `the filesystem is larger than its device: ${raw.zones} zones in ${deviceBytes} bytes`,
  );
  const mapMax = mapZonesMax({ blockSize, ...shape }) * zoneSize;
  return {
    version,
    nameMax,
    magic,
    littleEndian,
    blockSize,
    zoneSize,
    inodesCount: raw.inodes,
    zonesCount: raw.zones,
    firstDataZone: raw.firstDataZone,
    imapBlocks: raw.imapBlocks,
    zmapBlocks: raw.zmapBlocks,
    zmapBlock,
    tableBlock,
    tableBlocks,
    ...shape,
    fileSizeMax: Math.min(raw.maxSize, mapMax),
    state: raw.state,
  };
}

/**
 * The bytes of the superblock, `SUPER_BYTES` of them.
 *
 * Waits on: one read.
 * @throws FsError EUCLEAN the device is too small for one; EIO
 */
export function* readSuperBytes(device: BlockDevice): Io<Uint8Array> {
  const start = SUPER_POS - (SUPER_POS % device.sectorSize);
  const length = roundUp(SUPER_POS + SUPER_BYTES, device.sectorSize) - start;
  if (device.sizeBytes < start + length) throw corrupt('the device is too small for a superblock', { device: device.name });
  const bytes = new Uint8Array(length);
  yield* submitBio(device, { op: 'read', pos: start, segments: [bytes], lengthBytes: length });
  return bytes.subarray(SUPER_POS - start, SUPER_POS - start + SUPER_BYTES);
}

/** Reads the superblock. @throws FsError EUCLEAN, EOPNOTSUPP, EIO; EUCLEAN `s_magic` when it is no minix at all */
export function* readSuper(device: BlockDevice): Io<SuperInfo> {
  const info = decodeSuper(yield* readSuperBytes(device), device.sizeBytes);
  if (info.blockSize % device.sectorSize !== 0) {
    throw new FsError('EOPNOTSUPP', { why: `blocks of ${info.blockSize} bytes on sectors of ${device.sectorSize}` });
  }
  return info;
}
