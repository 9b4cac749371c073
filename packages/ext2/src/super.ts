/**
 * The superblock in core: what a mount, a check and a tool need of it, checked.
 *
 * `decodeSuper` is the only reader of the on-disk superblock, and `encodeSuper` the only writer beside mkfs. A value that
 * is here is in range, consistent with the others and fits the device; counts that change (free blocks, free inodes) live
 * in `Groups`.
 */
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, isPowerOfTwo, roundUp, submitBio, unsupported, type Io } from '@iomap/io';
import { checkIncompatFeatures, readOnlyFeatures } from './features.js';
import { makeGeometry, oldGdtBlocks, type Geometry } from './geometry.js';
import {
  BLOCK_SIZE_MIN,
  COMPAT,
  DYNAMIC_REV,
  EXT2_MAGIC,
  Ext2Super,
  GOOD_OLD_FIRST_INO,
  GOOD_OLD_INODE_SIZE,
  GOOD_OLD_REV,
  SUPER_BYTES,
  SUPER_POS,
  type Ext2SuperView,
} from './ondisk.js';

/** A Web API that Node and browsers share; core packages compile without either's globals. */
declare const TextDecoder: new () => { decode(bytes: Uint8Array): string };

/** `s_flags`: the hash is over unsigned characters. */
const FLAGS_UNSIGNED_HASH = 2;
/** Twice what the smallest usual groups (8 MiB) of the largest filesystem (2^32 blocks of 1 KiB) come to. */
const GROUPS_MAX = 2 ** 20;

export interface SuperInfo extends Geometry {
  readonly reservedBlocks: number;
  // These grow under a mount, when a feature that changes no layout is first needed.
  revision: number;
  compat: number;
  roCompat: number;
  readonly uuid: Uint8Array;
  readonly label: string;
  readonly hashSeed: readonly number[];
  /** The default hash for new indexes, with 3 added for unsigned characters. */
  readonly hashVersion: number;
  readonly hashUnsigned: boolean;
  /** Bytes of large inode fields in new inodes (0 in 128-byte inodes). */
  readonly extraIsize: number;
  readonly state: number;
  /** Names of features that allow reading only. */
  readonly readOnlyFor: readonly string[];
}

const need = (condition: boolean, field: string, why: string): void => {
  if (!condition) throw corrupt(why, { field });
};

function decodeSizes(view: Ext2SuperView): { blockSize: number; inodeSize: number; firstIno: number } {
  need(view.s_log_block_size <= 6, 's_log_block_size', `log block size ${view.s_log_block_size} is beyond 6`);
  need(view.s_log_frag_size === view.s_log_block_size, 's_log_frag_size', 'fragments differ from blocks');
  const blockSize = BLOCK_SIZE_MIN * 2 ** view.s_log_block_size;
  if (view.s_rev_level === GOOD_OLD_REV) {
    return { blockSize, inodeSize: GOOD_OLD_INODE_SIZE, firstIno: GOOD_OLD_FIRST_INO };
  }
  const inodeSize = view.s_inode_size;
  const sane = isPowerOfTwo(inodeSize) && inodeSize >= GOOD_OLD_INODE_SIZE && inodeSize <= blockSize;
  need(sane, 's_inode_size', `inode size ${inodeSize}`);
  return { blockSize, inodeSize, firstIno: view.s_first_ino };
}

function checkGroups(view: Ext2SuperView, geometry: Geometry): void {
  const { blockSize, blocksCount, blocksPerGroup, inodesPerGroup, groupCount } = geometry;
  const bits = 8 * blockSize;
  need(
    view.s_frags_per_group === blocksPerGroup,
    's_frags_per_group',
    'fragments per group differ from blocks per group',
  );
  need(groupCount <= GROUPS_MAX, 's_blocks_per_group', `${groupCount} groups`);
  need(inodesPerGroup > 0 && inodesPerGroup <= bits, 's_inodes_per_group', `${inodesPerGroup} inodes per group`);
  need(
    inodesPerGroup >= geometry.inodesPerBlock && geometry.inodeTableBlocks + 2 < blocksPerGroup,
    's_inodes_per_group',
    `an inode table of ${geometry.inodeTableBlocks} blocks in groups of ${blocksPerGroup}`,
  );
  need(
    view.s_inodes_count === geometry.inodesCount,
    's_inodes_count',
    `${view.s_inodes_count} inodes, not ${groupCount} groups of ${inodesPerGroup}`,
  );
  need(
    geometry.firstIno >= GOOD_OLD_FIRST_INO && geometry.firstIno <= geometry.inodesCount,
    's_first_ino',
    `first inode ${geometry.firstIno}`,
  );
  need(
    geometry.reservedGdtBlocks <= geometry.addrPerBlock,
    's_reserved_gdt_blocks',
    'too many reserved descriptor blocks',
  );
  // A descriptor table longer than its group cannot be where the rules say; with meta_bg only the old part counts.
  need(
    !geometry.metaBg || geometry.firstMetaBg <= geometry.gdtBlocks,
    's_first_meta_bg',
    `first meta block group ${geometry.firstMetaBg} of ${geometry.gdtBlocks}`,
  );
  need(
    oldGdtBlocks(geometry) < blocksPerGroup && oldGdtBlocks(geometry) < blocksCount,
    's_blocks_per_group',
    'the group descriptors do not fit their group',
  );
}

/**
 * The bytes of the primary superblock, `SUPER_BYTES` of them.
 *
 * Waits on: one read.
 * @throws FsError EUCLEAN the device is too small for one; EIO
 */
export function* readSuperBytes(device: BlockDevice): Io<Uint8Array> {
  // Whole sectors around the superblock.
  const start = SUPER_POS - (SUPER_POS % device.sectorSize);
  const length = roundUp(SUPER_POS + SUPER_BYTES, device.sectorSize) - start;
  if (device.sizeBytes < start + length) {
    throw corrupt('the device is too small for a superblock', { device: device.name });
  }
  const bytes = new Uint8Array(length);
  yield* submitBio(device, { op: 'read', pos: start, segments: [bytes], lengthBytes: length });
  return bytes.subarray(SUPER_POS - start, SUPER_POS - start + SUPER_BYTES);
}

/** The geometry that a superblock with the ext2 magic says. @throws as `decodeSuper` */
function decodeGeometry(view: Ext2SuperView, deviceBytes: number): Geometry {
  const dynamic = view.s_rev_level === DYNAMIC_REV;
  const compat = dynamic ? view.s_feature_compat : 0;
  const incompat = dynamic ? view.s_feature_incompat : 0;
  checkIncompatFeatures(compat, incompat);
  const { blockSize, inodeSize, firstIno } = decodeSizes(view);
  const firstDataBlock = blockSize === BLOCK_SIZE_MIN ? 1 : 0;
  const { s_blocks_count: blocksCount, s_blocks_per_group: blocksPerGroup } = view;
  need(view.s_first_data_block === firstDataBlock, 's_first_data_block', `first data block ${view.s_first_data_block}`);
  need(
    blocksPerGroup >= 8 && blocksPerGroup <= 8 * blockSize,
    's_blocks_per_group',
    `${blocksPerGroup} blocks per group`,
  );
  need(blocksCount > firstDataBlock + 3, 's_blocks_count', `${blocksCount} blocks`);
  need(
    blocksCount * blockSize <= deviceBytes,
    's_blocks_count',
    `the filesystem is larger than its device: ${blocksCount} blocks in ${deviceBytes} bytes`,
  );
  const geometry = makeGeometry({
    blockSize,
    blocksCount,
    blocksPerGroup,
    inodesPerGroup: view.s_inodes_per_group,
    inodeSize,
    firstIno,
    revision: view.s_rev_level,
    compat,
    incompat,
    roCompat: dynamic ? view.s_feature_ro_compat : 0,
    reservedGdtBlocks: (compat & COMPAT.resize_inode) !== 0 ? view.s_reserved_gdt_blocks : 0,
    firstMetaBg: view.s_first_meta_bg,
  });
  checkGroups(view, geometry);
  need(view.s_r_blocks_count <= blocksCount, 's_r_blocks_count', `${view.s_r_blocks_count} reserved blocks`);
  return geometry;
}

/**
 * Reads and validates a superblock.
 * @param bytes at least 1024 bytes, the superblock first
 * @param deviceBytes size of the device; a filesystem that is longer is corrupt
 * @throws FsError EUCLEAN `s_magic` no ext2 at all, or anything inconsistent; EOPNOTSUPP features that we do not have, by name
 */
export function decodeSuper(bytes: Uint8Array, deviceBytes = Infinity): SuperInfo {
  const view = Ext2Super.at(bytes);
  need(view.s_magic === EXT2_MAGIC, 's_magic', 'not an ext2 filesystem: bad magic number');
  if (view.s_rev_level > DYNAMIC_REV) {
    throw unsupported(`revision ${view.s_rev_level} is not supported`, { field: 's_rev_level' });
  }
  const geometry = decodeGeometry(view, deviceBytes);
  const isUnsigned = (view.s_flags & FLAGS_UNSIGNED_HASH) !== 0;
  const hashVersion = view.s_def_hash_version;
  const wantExtra = view.s_want_extra_isize;
  const room = geometry.inodeSize - GOOD_OLD_INODE_SIZE;
  return {
    ...geometry,
    reservedBlocks: view.s_r_blocks_count,
    uuid: view.s_uuid.slice(),
    label: labelOf(view.s_volume_name),
    hashSeed: readSeed(view.$bytes, view.$offset),
    hashVersion: (hashVersion <= 2 ? hashVersion : 1) + (isUnsigned ? 3 : 0),
    hashUnsigned: isUnsigned,
    extraIsize: room < 32 ? 0 : wantExtra >= 32 && wantExtra <= room && wantExtra % 4 === 0 ? wantExtra : 32,
    state: view.s_state,
    readOnlyFor: readOnlyFeatures(geometry.roCompat),
  };
}

function labelOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function readSeed(bytes: Uint8Array, offset: number): number[] {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [0, 1, 2, 3].map((word) => data.getUint32(offset + Ext2Super.offsets.s_hash_seed + word * 4, true));
}

/** What a mount writes into the superblock. Absent: left as it is. */
export interface SuperChange {
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly state?: number;
  readonly wtimeSec: number;
  /** Counts this mount: the mount count goes up and the mount time is set. */
  readonly countMount?: boolean;
}

/** Writes the counts, the state and the features into a superblock's bytes. Backups are not touched. */
export function encodeSuper(info: SuperInfo, bytes: Uint8Array, offset: number, change: SuperChange): void {
  const s = Ext2Super.at(bytes, offset);
  s.s_free_blocks_count = change.freeBlocks;
  s.s_free_inodes_count = change.freeInodes;
  s.s_wtime = change.wtimeSec;
  if (change.state !== undefined) s.s_state = change.state;
  if (change.countMount === true) {
    s.s_mnt_count = (s.s_mnt_count + 1) % 0x1_0000;
    s.s_mtime = change.wtimeSec;
  }
  if (info.revision >= 1) {
    if (s.s_rev_level === 0) {
      // As Linux does when a feature is first needed: the fields of revision 1 get revision 0's values.
      s.s_rev_level = 1;
      s.s_first_ino = 11;
      s.s_inode_size = 128;
    }
    s.s_feature_compat = info.compat;
    s.s_feature_ro_compat = info.roCompat;
  }
}
