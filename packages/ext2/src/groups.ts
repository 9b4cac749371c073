/**
 * The block groups in core: where each keeps its bitmaps and inode table, how much of it is free.
 *
 * - Read once at mount, checked against the group's bounds. Counts are changed here and encoded into the descriptor
 *   blocks by `writeBack`: a run of blocks costs one addition, not a descriptor update.
 * - A count is a hint that steers the search. It is never believed about a single block: the bitmap decides.
 */
import { corrupt, type Io } from '@iomap/io';
import type { BufferCache } from '@iomap/buffer-cache';
import { gdtBlock, groupBlocks, groupFirstBlock, groupHeadCore } from './geometry.js';
import { DESC_BYTES, Ext2GroupDesc } from './ondisk.js';
import type { SuperInfo } from './super.js';

export class Groups {
  readonly count: number;
  readonly blockBitmap: Uint32Array;
  readonly inodeBitmap: Uint32Array;
  readonly inodeTable: Uint32Array;
  readonly freeBlocks: Int32Array;
  readonly freeInodes: Int32Array;
  readonly usedDirs: Int32Array;
  /** Orlov's debt: how many directories without files a group has taken lately. */
  readonly debts: Uint8Array;
  /** 1: the block bitmap was seen to claim the group's own metadata. */
  readonly bitmapChecked: Uint8Array;
  /** No bit below is free in the inode bitmap, the block bitmap. */
  readonly inodeHint: Int32Array;
  readonly blockHint: Int32Array;
  freeBlocksTotal = 0;
  freeInodesTotal = 0;
  usedDirsTotal = 0;
  /** First block behind each group's superblock copy and descriptors. */
  readonly #headEnd: Uint32Array;
  readonly #dirty = new Set<number>();
  readonly #info: SuperInfo;

  constructor(info: SuperInfo) {
    const n = info.groupCount;
    this.#info = info;
    this.count = n;
    this.blockBitmap = new Uint32Array(n);
    this.inodeBitmap = new Uint32Array(n);
    this.inodeTable = new Uint32Array(n);
    this.freeBlocks = new Int32Array(n);
    this.freeInodes = new Int32Array(n);
    this.usedDirs = new Int32Array(n);
    this.debts = new Uint8Array(n);
    this.bitmapChecked = new Uint8Array(n);
    this.inodeHint = new Int32Array(n);
    this.blockHint = new Int32Array(n);
    this.#headEnd = Uint32Array.from({ length: n }, (_, group) => groupFirstBlock(info, group) + groupHeadCore(info, group));
  }

  /** Group of a block that is inside the filesystem. */
  groupOf(block: number): number {
    return Math.floor((block - this.#info.firstDataBlock) / this.#info.blocksPerGroup);
  }

  changeFreeBlocks(group: number, by: number): void {
    const old = this.freeBlocks[group] ?? 0;
    const now = Math.max(0, Math.min(old + by, groupBlocks(this.#info, group)));
    this.freeBlocks[group] = now;
    this.freeBlocksTotal += now - old;
    this.#dirty.add(Math.floor(group / this.#info.descPerBlock));
  }

  changeFreeInodes(group: number, by: number): void {
    const old = this.freeInodes[group] ?? 0;
    const now = Math.max(0, Math.min(old + by, this.#info.inodesPerGroup));
    this.freeInodes[group] = now;
    this.freeInodesTotal += now - old;
    this.#dirty.add(Math.floor(group / this.#info.descPerBlock));
  }

  changeUsedDirs(group: number, by: number): void {
    const old = this.usedDirs[group] ?? 0;
    const now = Math.max(0, Math.min(old + by, this.#info.inodesPerGroup));
    this.usedDirs[group] = now;
    this.usedDirsTotal += now - old;
    this.#dirty.add(Math.floor(group / this.#info.descPerBlock));
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Are all of [block, block + count) inside the filesystem and outside of any group's metadata? */
  isDataRange(block: number, count: number): boolean {
    const info = this.#info;
    if (block <= info.firstDataBlock || count < 1 || block + count > info.blocksCount) return false;
    for (let at = block; at < block + count; ) {
      const group = this.groupOf(at);
      const end = Math.min(block + count, groupFirstBlock(info, group) + info.blocksPerGroup);
      if (this.overlapsMetadata(group, at, end)) return false;
      at = end;
    }
    return true;
  }

  /** Does [from, end), inside `group`, touch the group's superblock copy, descriptors, bitmaps or inode table? */
  overlapsMetadata(group: number, from: number, end: number): boolean {
    const info = this.#info;
    const table = this.inodeTable[group] ?? 0;
    const blockBitmap = this.blockBitmap[group] ?? 0;
    const inodeBitmap = this.inodeBitmap[group] ?? 0;
    return (
      (from < table + info.inodeTableBlocks && end > table) ||
      (blockBitmap >= from && blockBitmap < end) ||
      (inodeBitmap >= from && inodeBitmap < end) ||
      from < (this.#headEnd[group] ?? 0)
    );
  }

  /** Encodes changed counts into the descriptor blocks and marks those dirty. */
  *writeBack(buffers: BufferCache): Io<void> {
    const info = this.#info;
    const list = [...this.#dirty];
    this.#dirty.clear();
    for (const nr of list) {
      const pos = gdtBlock(info, nr) * info.blockSize;
      const buf = buffers.peek(pos) ?? (yield* buffers.read(pos, info.blockSize));
      const first = nr * info.descPerBlock;
      const last = Math.min(first + info.descPerBlock, this.count);
      const desc = Ext2GroupDesc.at(buf.bytes, 0);
      for (let group = first; group < last; group++) {
        desc.$set(buf.bytes, (group - first) * DESC_BYTES);
        desc.bg_free_blocks_count = this.freeBlocks[group] ?? 0;
        desc.bg_free_inodes_count = this.freeInodes[group] ?? 0;
        desc.bg_used_dirs_count = this.usedDirs[group] ?? 0;
      }
      buf.markDirty();
    }
  }
}

/**
 * Reads the group descriptors.
 * @throws FsError EUCLEAN when a bitmap or an inode table is not inside its group
 */
export function* readGroups(buffers: BufferCache, info: SuperInfo): Io<Groups> {
  const groups = new Groups(info);
  for (let nr = 0; nr < info.gdtBlocks; nr++) {
    const location = gdtBlock(info, nr);
    if (location >= info.blocksCount) throw corrupt('descriptors end beyond the filesystem', { field: 's_blocks_count' });
    const pos = location * info.blockSize;
    const buf = buffers.peek(pos) ?? (yield* buffers.read(pos, info.blockSize));
    const last = Math.min((nr + 1) * info.descPerBlock, info.groupCount);
    for (let group = nr * info.descPerBlock; group < last; group++) {
      decodeDesc(groups, info, group, buf.bytes, (group % info.descPerBlock) * DESC_BYTES);
    }
  }
  return groups;
}

function decodeDesc(groups: Groups, info: SuperInfo, group: number, bytes: Uint8Array, offset: number): void {
  const desc = Ext2GroupDesc.at(bytes, offset);
  const first = groupFirstBlock(info, group);
  const end = first + groupBlocks(info, group);
  const inside = (block: number, count: number, field: string): number => {
    if (block < first || block + count > end) throw corrupt(`group ${group}: outside of the group`, { field, block });
    return block;
  };
  groups.blockBitmap[group] = inside(desc.bg_block_bitmap, 1, 'bg_block_bitmap');
  groups.inodeBitmap[group] = inside(desc.bg_inode_bitmap, 1, 'bg_inode_bitmap');
  groups.inodeTable[group] = inside(desc.bg_inode_table, info.inodeTableBlocks, 'bg_inode_table');
  const freeBlocks = Math.min(desc.bg_free_blocks_count, end - first);
  const freeInodes = Math.min(desc.bg_free_inodes_count, info.inodesPerGroup);
  groups.freeBlocks[group] = freeBlocks;
  groups.freeInodes[group] = freeInodes;
  groups.usedDirs[group] = desc.bg_used_dirs_count;
  groups.freeBlocksTotal += freeBlocks;
  groups.freeInodesTotal += freeInodes;
  groups.usedDirsTotal += desc.bg_used_dirs_count;
}
