/** What a superblock says, as candidates for a lost one say it. */
import { FsError } from '@iomap/io';
import { normalFirstZone } from '../check.js';
import { buildSuper } from '../mkfs.js';
import { VARIANTS, type Variant } from '../ondisk.js';
import { decodeSuper, mapZonesMax, shapeOf, type SuperInfo } from '../super.js';

/** Bytes of a largest file below which a superblock's limit is not believed. */
const LIMIT_MIN = 1024 * 1024;

export interface Fields {
  readonly variant: Variant;
  readonly littleEndian: boolean;
  readonly blockSize: number;
  readonly zoneSize: number;
  readonly inodes: number;
  readonly zones: number;
  readonly imap: number;
  readonly zmap: number;
  readonly first: number;
  /** The largest file; what is too small to be true is replaced by what tools say. */
  readonly max: number;
}

export const inodesMaxOf = (variant: Variant): number => (variant.version === 3 ? 2 ** 32 - 2 : 0xffff);
export const zonesMaxOf = (variant: Pick<Variant, 'version'>): number => (variant.version === 1 ? 0xffff : 2 ** 32 - 1);

/** The superblock of these fields, undefined when they do not fit one another, the format or the device. */
export function superOf(of: Fields, deviceBytes: number): { readonly info: SuperInfo; readonly bytes: Uint8Array } | undefined {
  if (of.first > 0xffff || of.imap > 0xffff || of.zmap > 0xffff) return undefined;
  const { variant } = of;
  const shape = shapeOf(variant.version, variant.nameMax, of.blockSize);
  const standard = Math.min(mapZonesMax({ ...shape, blockSize: of.blockSize }) * of.zoneSize, variant.version === 1 ? 2 ** 32 - 1 : 2 ** 31 - 1);
  const bytes = buildSuper({
    ...shape,
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
  const info = tryDecode(bytes, deviceBytes);
  return info === undefined ? undefined : { info, bytes };
}

/** The fields of a superblock that holds together, with no gap before the data; else undefined. */
export function tryDecode(bytes: Uint8Array, deviceBytes: number): SuperInfo | undefined {
  try {
    const info = decodeSuper(bytes, deviceBytes);
    return info.firstDataZone === normalFirstZone(info) ? info : undefined;
  } catch (error) {
    if (error instanceof FsError) return undefined;
    throw error;
  }
}

/** The fields that a geometry has. */
export function fieldsOf(info: SuperInfo): Fields | undefined {
  const variant = VARIANTS.find((one) => one.magic === info.magic);
  if (variant === undefined) return undefined;
  const { littleEndian, blockSize, zoneSize, inodesCount, zonesCount, imapBlocks, zmapBlocks, firstDataZone, fileSizeMax } = info;
  return {
    variant, littleEndian, blockSize, zoneSize,
    inodes: inodesCount, zones: zonesCount, imap: imapBlocks, zmap: zmapBlocks, first: firstDataZone, max: fileSizeMax,
  };
}
