/**
 * Makes an ext2 filesystem on a device, laid out as mke2fs does.
 *
 * - Only metadata is written: inode tables are one `writeZeroes` each, data blocks are left as they are.
 * - What other filesystems look for is wiped first: the first 68 KiB and the last 64 KiB.
 * - The primary superblock is written last, after a flush, so that an interrupted run leaves nothing that looks whole
 *   (I1).
 * - The same options, size and `Env` give the same bytes.
 */
import { DeviceWriter, wipeSignatures } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { FsError, systemEnv, type Env, type Io } from '@iomap/io';

import { blockPos, gdtBlock, groupHasSuper, groupHead, superPos, type Geometry } from './geometry.js';
import {
  buildBitmaps,
  buildDataBlocks,
  buildGroupDescs,
  buildInodes,
  buildReservedGdt,
  buildSuper,
  groupTables,
  type MkfsIdentity,
} from './mkfs-image.js';
import { parseMkfsOptions, type MkfsOptions, type MkfsSettings } from './mkfs-options.js';
import { planFilesystem, type MkfsPlan } from './mkfs-plan.js';
import { COMPAT, Ext2Super, featureNames, INCOMPAT, RO_COMPAT, SUPER_POS } from './ondisk.js';

/** Groups whose bitmaps are in memory at once. */
const BATCH_GROUPS = 64;

export interface MkfsResult {
  readonly blockSize: number;
  readonly blocksCount: number;
  readonly blocksFree: number;
  readonly blocksReserved: number;
  readonly inodeSize: number;
  readonly inodesCount: number;
  readonly inodesFree: number;
  readonly groupCount: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  /** Bytes of the filesystem; may be a little less than asked for. */
  readonly sizeBytes: number;
  readonly uuid: string;
  /** By name, as dumpe2fs lists them. */
  readonly features: readonly string[];
}

const uuidText = (bytes: Uint8Array): string => {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
};

/** The descriptor copies of one group. */
export function writeDescs(writer: DeviceWriter, geometry: Geometry, group: number, descs: Uint8Array): void {
  const head = groupHead(geometry, group);
  const { blockSize } = geometry;
  if (head.oldGdt > 0) {
    const blocks = Math.min(geometry.gdtBlocks, head.oldGdtCount);
    writer.write(blockPos(geometry, head.oldGdt), descs.subarray(0, blocks * blockSize));
  }
  if (head.newGdt > 0) {
    const index = Math.floor(group / geometry.descPerBlock);
    writer.write(blockPos(geometry, head.newGdt), descs.subarray(index * blockSize, (index + 1) * blockSize));
  }
}

/** A superblock copy, as a whole block where the superblock is not one. */
export function writeBackupSuper(writer: DeviceWriter, geometry: Geometry, group: number, superBytes: Uint8Array): void {
  const block = new Uint8Array(geometry.blockSize);
  block.set(superBytes);
  Ext2Super.at(block).s_block_group_nr = group % 65536;
  writer.write(superPos(geometry, group), block);
}

function* writeGroups(
  writer: DeviceWriter,
  plan: MkfsPlan,
  content: { readonly superBytes: Uint8Array; readonly descs: Uint8Array; readonly zeroTables: boolean },
): Io<void> {
  const { geometry } = plan;
  for (let group = 0; group < geometry.groupCount; group++) {
    const tables = groupTables(plan, group);
    if (group > 0 && groupHasSuper(geometry, group)) writeBackupSuper(writer, geometry, group, content.superBytes);
    writeDescs(writer, geometry, group, content.descs);
    writer.write(blockPos(geometry, tables.blockBitmap), buildBitmaps(plan, group));
    if (content.zeroTables) {
      writer.zeroes(blockPos(geometry, tables.inodeTable), geometry.inodeTableBlocks * geometry.blockSize);
    }
    if (group % BATCH_GROUPS === BATCH_GROUPS - 1) yield* writer.submit();
  }
  yield* writer.submit();
}

export function* writePrimarySuper(writer: DeviceWriter, geometry: Geometry, superBytes: Uint8Array): Io<void> {
  if (geometry.blockSize === SUPER_POS) {
    writer.write(SUPER_POS, superBytes);
  } else {
    // Block 0 was wiped, so the boot sector and the rest are zeroes; whole, for devices with large sectors.
    const block = new Uint8Array(geometry.blockSize);
    block.set(superBytes, SUPER_POS);
    writer.write(0, block);
  }
  yield* writer.submit();
}

export function resultOf(plan: MkfsPlan, free: { freeBlocks: number; freeInodes: number }, uuid: Uint8Array): MkfsResult {
  const { geometry } = plan;
  return {
    blockSize: geometry.blockSize,
    blocksCount: geometry.blocksCount,
    blocksFree: free.freeBlocks,
    blocksReserved: plan.reservedBlocks,
    inodeSize: geometry.inodeSize,
    inodesCount: geometry.inodesCount,
    inodesFree: free.freeInodes,
    groupCount: geometry.groupCount,
    blocksPerGroup: geometry.blocksPerGroup,
    inodesPerGroup: geometry.inodesPerGroup,
    sizeBytes: geometry.blocksCount * geometry.blockSize,
    uuid: uuidText(uuid),
    features: [
      ...featureNames(geometry.compat, COMPAT, 'C'),
      ...featureNames(geometry.incompat, INCOMPAT, 'I'),
      ...featureNames(geometry.roCompat, RO_COMPAT, 'R'),
    ],
  };
}

/** What is to be made: the options, checked, and all that follows from them. */
export interface MkfsJob {
  readonly settings: MkfsSettings;
  readonly plan: MkfsPlan;
  readonly identity: MkfsIdentity;
  readonly sizeBytes: number;
}

/** @throws FsError as `mkfs` */
export function prepareMkfs(device: BlockDevice, options: MkfsOptions, env: Env): MkfsJob {
  const settings = parseMkfsOptions(options);
  const sizeBytes = settings.sizeBytes ?? device.sizeBytes;
  if (device.readOnly) throw new FsError('EROFS', { detail: { device: device.name } });
  if (sizeBytes > device.sizeBytes) {
    throw new FsError('EINVAL', { why: `the device has ${device.sizeBytes} bytes`, detail: { field: 'sizeBytes' } });
  }
  const plan = planFilesystem(settings, sizeBytes);
  if (plan.geometry.blockSize < device.sectorSize) {
    throw new FsError('EINVAL', {
      why: `smaller than a sector (${device.sectorSize})`,
      detail: { field: 'blockSize' },
    });
  }
  const identity: MkfsIdentity = {
    now: env.now(),
    uuid: settings.uuid ?? env.uuid(),
    hashSeed: settings.hashSeed ?? env.uuid(),
  };
  return { settings, plan, identity, sizeBytes };
}

/**
 * Makes an ext2 filesystem; everything on the device is lost.
 *
 * Waits on: a few requests for each block group, a flush before and after the primary superblock.
 * @param env time, uuid and hash seed where options do not give them
 * @throws FsError EINVAL bad options; ENOSPC the device is too small; EFBIG too large; EROFS; the device's own
 */
export function* mkfs(device: BlockDevice, options: MkfsOptions = {}, env: Env = systemEnv()): Io<MkfsResult> {
  const { settings, plan, identity, sizeBytes } = prepareMkfs(device, options, env);
  const { geometry } = plan;
  const { bytes: descs, ...free } = buildGroupDescs(plan);
  const superBytes = buildSuper(plan, settings, identity, free);
  const tables = groupTables(plan, 0);
  const writer = new DeviceWriter(device);
  yield* wipeSignatures(writer, device, sizeBytes);
  yield* writeGroups(writer, plan, { superBytes, descs, zeroTables: !settings.assumeZeroed });
  writer.write(blockPos(geometry, tables.inodeTable), buildInodes(plan, settings, identity.now));
  writer.write(blockPos(geometry, tables.end), buildDataBlocks(plan));
  if (plan.resizeInode && geometry.reservedGdtBlocks > 0) {
    writer.write(blockPos(geometry, gdtBlock(geometry, 0) + geometry.gdtBlocks), buildReservedGdt(plan));
  }
  yield* writer.submit();
  yield* writer.flush(); // I1: everything it points to before the superblock
  yield* writePrimarySuper(writer, geometry, superBytes);
  yield* writer.flush();
  return resultOf(plan, free, identity.uuid);
}
