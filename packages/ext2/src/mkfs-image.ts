/**
 * The content of a new filesystem's metadata blocks, as plain functions from a plan to bytes.
 *
 * Group 0 holds, right after its inode table: the root directory's block, lost+found's blocks, the resize inode's
 * double-indirect block, in this order.
 */
import type { Timespec } from '@iomap/io';

import { setRange } from '@iomap/block-map';
import { groupBlocks, groupFirstBlock, groupHasSuper, groupHead, type Geometry } from './geometry.js';
import type { MkfsSettings } from './mkfs-options.js';
import { resizeInodeBytes, type MkfsPlan } from './mkfs-plan.js';
import {
  COMPAT,
  DIND_BLOCK,
  dirRecLen,
  DYNAMIC_REV,
  ERRORS_CONTINUE,
  EXT2_MAGIC,
  Ext2DirEntry,
  Ext2GroupDesc,
  Ext2Inode,
  Ext2InodeLarge,
  Ext2Super,
  FLAGS_SIGNED_HASH,
  FT_DIR,
  HASH_HALF_MD4,
  IFDIR,
  IFREG,
  recLenToDisk,
  RESIZE_INO,
  ROOT_INO,
  STATE_VALID,
  type Ext2InodeView,
} from './ondisk.js';

/** Bytes that `i_extra_isize` covers: up to `i_projid`. */
const EXTRA_ISIZE = 32;
/** acl and user_xattr. */
const DEFAULT_MOUNT_OPTS = 0xc;

export interface MkfsIdentity {
  readonly now: Timespec;
  readonly uuid: Uint8Array;
  readonly hashSeed: Uint8Array;
}

/** Where a group's tables are. */
export interface GroupTables {
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  /** First block after the tables. */
  readonly end: number;
  /** Blocks in use: a run from the group's first block. */
  readonly usedBlocks: number;
  readonly usedInodes: number;
}

const dataBlocks = (plan: MkfsPlan): number => 1 + plan.lostFoundBlocks + (plan.resizeInode ? 1 : 0);
const usedInodesOf = (plan: MkfsPlan): number => plan.geometry.firstIno - 1 + (plan.lostFoundBlocks > 0 ? 1 : 0);

export function groupTables(plan: MkfsPlan, group: number): GroupTables {
  const { geometry } = plan;
  const first = groupFirstBlock(geometry, group);
  const blockBitmap = first + groupHead(geometry, group).headBlocks;
  const end = blockBitmap + 2 + geometry.inodeTableBlocks;
  return {
    blockBitmap,
    inodeBitmap: blockBitmap + 1,
    inodeTable: blockBitmap + 2,
    end,
    usedBlocks: end - first + (group === 0 ? dataBlocks(plan) : 0),
    usedInodes: group === 0 ? usedInodesOf(plan) : 0,
  };
}

/** The whole descriptor table, padded to blocks; also answers the free counts for the superblock. */
export function buildGroupDescs(plan: MkfsPlan): { bytes: Uint8Array; freeBlocks: number; freeInodes: number } {
  const { geometry } = plan;
  const bytes = new Uint8Array(geometry.gdtBlocks * geometry.blockSize);
  const desc = Ext2GroupDesc.at(bytes);
  let freeBlocks = 0;
  let freeInodes = 0;
  for (let group = 0; group < geometry.groupCount; group++) {
    const tables = groupTables(plan, group);
    desc.$set(bytes, group * Ext2GroupDesc.size);
    desc.bg_block_bitmap = tables.blockBitmap;
    desc.bg_inode_bitmap = tables.inodeBitmap;
    desc.bg_inode_table = tables.inodeTable;
    desc.bg_free_blocks_count = groupBlocks(geometry, group) - tables.usedBlocks;
    desc.bg_free_inodes_count = geometry.inodesPerGroup - tables.usedInodes;
    desc.bg_used_dirs_count = group === 0 ? 1 + (plan.lostFoundBlocks > 0 ? 1 : 0) : 0;
    freeBlocks += desc.bg_free_blocks_count;
    freeInodes += desc.bg_free_inodes_count;
  }
  return { bytes, freeBlocks, freeInodes };
}

/** Both bitmaps of a group, block bitmap first; what is beyond the group is in use. */
export function buildBitmaps(plan: MkfsPlan, group: number): Uint8Array {
  const { geometry } = plan;
  const { blockSize } = geometry;
  const bytes = new Uint8Array(2 * blockSize);
  const tables = groupTables(plan, group);
  const blocks = bytes.subarray(0, blockSize);
  setRange(blocks, 0, tables.usedBlocks);
  const inGroup = groupBlocks(geometry, group);
  setRange(blocks, inGroup, 8 * blockSize - inGroup);
  const inodes = bytes.subarray(blockSize);
  setRange(inodes, 0, tables.usedInodes);
  setRange(inodes, geometry.inodesPerGroup, 8 * blockSize - geometry.inodesPerGroup);
  return bytes;
}

/** The superblock, as group 0 has it. */
export function buildSuper(
  plan: MkfsPlan,
  settings: MkfsSettings,
  identity: MkfsIdentity,
  free: { readonly freeBlocks: number; readonly freeInodes: number },
): Uint8Array {
  const { geometry } = plan;
  const bytes = new Uint8Array(Ext2Super.size);
  const view = Ext2Super.at(bytes);
  const seconds = clampSeconds(identity.now);
  view.s_inodes_count = geometry.inodesCount;
  view.s_blocks_count = geometry.blocksCount;
  view.s_r_blocks_count = plan.reservedBlocks;
  view.s_free_blocks_count = free.freeBlocks;
  view.s_free_inodes_count = free.freeInodes;
  view.s_first_data_block = geometry.firstDataBlock;
  view.s_log_block_size = Math.log2(geometry.blockSize) - 10;
  view.s_log_frag_size = view.s_log_block_size;
  view.s_blocks_per_group = geometry.blocksPerGroup;
  view.s_frags_per_group = geometry.blocksPerGroup;
  view.s_inodes_per_group = geometry.inodesPerGroup;
  view.s_wtime = seconds;
  view.s_max_mnt_count = -1;
  view.s_magic = EXT2_MAGIC;
  view.s_state = STATE_VALID;
  view.s_errors = ERRORS_CONTINUE;
  view.s_lastcheck = seconds;
  view.s_rev_level = geometry.revision;
  view.s_uuid = identity.uuid;
  view.s_volume_name = settings.label;
  view.s_last_mounted = settings.lastMounted;
  view.s_mkfs_time = seconds;
  if (geometry.revision === DYNAMIC_REV) {
    view.s_first_ino = geometry.firstIno;
    view.s_inode_size = geometry.inodeSize;
    view.s_feature_compat = geometry.compat;
    view.s_feature_incompat = geometry.incompat;
    view.s_feature_ro_compat = geometry.roCompat;
    view.s_reserved_gdt_blocks = geometry.reservedGdtBlocks;
    const seed = new DataView(identity.hashSeed.buffer, identity.hashSeed.byteOffset, 16);
    for (let i = 0; i < 4; i++) view.s_hash_seed.set(i, seed.getUint32(i * 4, true));
    view.s_def_hash_version = HASH_HALF_MD4;
    view.s_flags = FLAGS_SIGNED_HASH;
    if ((geometry.compat & COMPAT.ext_attr) !== 0) view.s_default_mount_opts = DEFAULT_MOUNT_OPTS;
    if (geometry.inodeSize > 128) {
      view.s_min_extra_isize = EXTRA_ISIZE;
      view.s_want_extra_isize = EXTRA_ISIZE;
    }
  }
  return bytes;
}

/** Superblock times are unsigned 32-bit seconds. */
const clampSeconds = (time: Timespec): number => Math.min(0xffffffff, Math.max(0, time.sec));

function stampInode(bytes: Uint8Array, at: number, inodeSize: number, now: Timespec): void {
  const data = new DataView(bytes.buffer, bytes.byteOffset + at, inodeSize);
  const o = Ext2InodeLarge.offsets;
  const low = Math.min(0x37fffffff, Math.max(-0x80000000, now.sec)) | 0;
  for (const offset of [o.i_atime, o.i_ctime, o.i_mtime]) data.setInt32(offset, low, true);
  if (inodeSize === 128) return;
  // Two bits beyond 2038, thirty of nanoseconds.
  const epoch = Math.floor((now.sec - low) / 2 ** 32) & 3;
  const extra = ((now.nsec << 2) | epoch) >>> 0;
  data.setUint16(o.i_extra_isize, EXTRA_ISIZE, true);
  data.setInt32(o.i_crtime, low, true);
  for (const offset of [o.i_atime_extra, o.i_ctime_extra, o.i_mtime_extra, o.i_crtime_extra]) {
    data.setUint32(offset, extra, true);
  }
}

function fillDirectory(
  inode: Ext2InodeView,
  geometry: Geometry,
  place: { block: number; count: number; links: number },
): void {
  inode.i_links_count = place.links;
  inode.i_size = place.count * geometry.blockSize;
  inode.i_blocks = (place.count * geometry.blockSize) / 512;
  for (let i = 0; i < place.count; i++) inode.i_block.set(i, place.block + i);
}

/** The first inodes of group 0's table, up to lost+found: whole blocks. */
export function buildInodes(plan: MkfsPlan, settings: MkfsSettings, now: Timespec): Uint8Array {
  const { geometry } = plan;
  const { inodeSize, blockSize } = geometry;
  const blocks = Math.ceil((geometry.firstIno * inodeSize) / blockSize);
  const bytes = new Uint8Array(blocks * blockSize);
  const root = groupTables(plan, 0).end;
  const at = (ino: number): number => (ino - 1) * inodeSize;
  // Every inode has at least the 128 bytes of this view; times go by their own function.
  const inode = Ext2Inode.at(bytes, at(ROOT_INO));
  stampInode(bytes, at(ROOT_INO), inodeSize, now);
  inode.i_mode = IFDIR | settings.rootMode;
  setOwner(inode, settings);
  const hasLostFound = plan.lostFoundBlocks > 0;
  fillDirectory(inode, geometry, { block: root, count: 1, links: hasLostFound ? 3 : 2 });
  if (hasLostFound) {
    inode.$set(bytes, at(geometry.firstIno));
    stampInode(bytes, at(geometry.firstIno), inodeSize, now);
    inode.i_mode = IFDIR | 0o700;
    setOwner(inode, settings);
    fillDirectory(inode, geometry, { block: root + 1, count: plan.lostFoundBlocks, links: 2 });
  }
  if (plan.resizeInode) {
    inode.$set(bytes, at(RESIZE_INO));
    stampInode(bytes, at(RESIZE_INO), inodeSize, now);
    const size = resizeInodeBytes(geometry);
    inode.i_mode = IFREG | 0o600;
    inode.i_links_count = 1;
    inode.i_size = size % 2 ** 32;
    inode.i_size_high = Math.floor(size / 2 ** 32);
    inode.i_block.set(DIND_BLOCK, root + 1 + plan.lostFoundBlocks);
    const backups = backupGroups(geometry).length;
    inode.i_blocks = (1 + geometry.reservedGdtBlocks * (1 + backups)) * (blockSize / 512);
  }
  return bytes;
}

function setOwner(inode: Ext2InodeView, settings: MkfsSettings): void {
  inode.i_uid = settings.rootUid % 65536;
  inode.l_i_uid_high = Math.floor(settings.rootUid / 65536);
  inode.i_gid = settings.rootGid % 65536;
  inode.l_i_gid_high = Math.floor(settings.rootGid / 65536);
}

/** Groups after 0 that hold copies of the superblock and the descriptors. */
export function backupGroups(geometry: Geometry): number[] {
  const groups: number[] = [];
  for (let group = 1; group < geometry.groupCount; group++) if (groupHasSuper(geometry, group)) groups.push(group);
  return groups;
}

function putEntry(
  bytes: Uint8Array,
  at: number,
  entry: { ino: number; name: string; recLen: number; type: number },
): void {
  const view = Ext2DirEntry.at(bytes, at);
  view.inode = entry.ino;
  view.rec_len = recLenToDisk(entry.recLen);
  view.name_len = entry.name.length;
  view.file_type = entry.type;
  for (let i = 0; i < entry.name.length; i++) bytes[at + 8 + i] = entry.name.charCodeAt(i);
}

/** Group 0's data blocks: the root directory, lost+found, the resize inode's double-indirect block. */
export function buildDataBlocks(plan: MkfsPlan): Uint8Array {
  const { geometry, lostFoundBlocks } = plan;
  const { blockSize, firstIno } = geometry;
  const bytes = new Uint8Array(dataBlocks(plan) * blockSize);
  const type = geometry.filetype ? FT_DIR : 0;
  const dots = (at: number, ino: number, last: boolean): void => {
    putEntry(bytes, at, { ino, name: '.', recLen: dirRecLen(1), type });
    putEntry(bytes, at + 12, { ino: ROOT_INO, name: '..', recLen: last ? blockSize - 12 : dirRecLen(2), type });
  };
  dots(0, ROOT_INO, lostFoundBlocks === 0);
  if (lostFoundBlocks > 0) {
    putEntry(bytes, 24, { ino: firstIno, name: 'lost+found', recLen: blockSize - 24, type });
    dots(blockSize, firstIno, true);
    for (let i = 1; i < lostFoundBlocks; i++) {
      putEntry(bytes, (1 + i) * blockSize, { ino: 0, name: '', recLen: blockSize, type: 0 });
    }
  }
  if (plan.resizeInode) {
    const data = new DataView(bytes.buffer, bytes.byteOffset + (1 + lostFoundBlocks) * blockSize, blockSize);
    const first = geometry.firstDataBlock + 1 + geometry.gdtBlocks;
    for (let i = 0; i < geometry.reservedGdtBlocks; i++) {
      data.setUint32(((geometry.gdtBlocks + i) % geometry.addrPerBlock) * 4, first + i, true);
    }
  }
  return bytes;
}

/** The primary reserved descriptor blocks: each is an indirect block that lists its copies in the backup groups. */
export function buildReservedGdt(plan: MkfsPlan): Uint8Array {
  const { geometry } = plan;
  const { blockSize, reservedGdtBlocks } = geometry;
  const bytes = new Uint8Array(reservedGdtBlocks * blockSize);
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const backups = backupGroups(geometry);
  const first = geometry.firstDataBlock + 1 + geometry.gdtBlocks;
  for (let i = 0; i < reservedGdtBlocks; i++) {
    backups.forEach((group, slot) => {
      data.setUint32(i * blockSize + slot * 4, first + i + group * geometry.blocksPerGroup, true);
    });
  }
  return bytes;
}
