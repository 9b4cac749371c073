/**
 * What the passes of a check share: the geometry, the group tables, which blocks are claimed, what every inode is.
 *
 * Memory follows what is in use, not what the image says: claims and inode facts are kept per group, from the first
 * one on.
 * - I1: a block is claimed by one owner; a second claim is a finding and answers false.
 * - I2: blocks of a group's own metadata are never claimable; they are computed, not stored.
 */
import type { BlockDevice } from '@iomap/block-device';
import { submitBio, type Io } from '@iomap/io';

import { setRange } from '@iomap/block-map';
import { groupBlocks, groupFirstBlock, groupHead, type Geometry } from '../geometry.js';
import type { Ext2SuperView } from '../ondisk.js';
import type { Findings } from './report.js';

/** The group descriptors, column by column. */
export interface GroupTable {
  readonly blockBitmap: Uint32Array;
  readonly inodeBitmap: Uint32Array;
  readonly inodeTable: Uint32Array;
  readonly freeBlocks: Uint16Array;
  readonly freeInodes: Uint16Array;
  readonly usedDirs: Uint16Array;
  /** Blocks at the group's start that hold superblock and descriptors. */
  readonly headBlocks: Uint32Array;
  /** 1: the descriptor's places are in range, so its bitmaps and table can be read. */
  readonly sane: Uint8Array;
}

/** Facts of a group's inodes, by index in the group. */
export interface GroupInodes {
  /** 0 = not in use; else USED plus the `FT_*` type, and BAD. */
  readonly kind: Uint8Array;
  readonly linksStored: Uint16Array;
  readonly linksFound: Uint32Array;
}

export const KIND_TYPE = 0x0f;
export const KIND_USED = 0x40;
export const KIND_BAD = 0x80;

/** A directory met in pass 1. */
export interface DirRecord {
  readonly ino: number;
  readonly size: number;
  readonly indexed: boolean;
  /** Pairs (block in the directory, block on the device), in order. */
  readonly blocks: number[];
  /** Who names it; 0 = nobody yet. */
  parent: number;
  /** What its ".." says. */
  dotdot: number;
  /** In `parent`, as stored. */
  name: string;
}

export interface CheckStats {
  inodesUsed: number;
  directories: number;
  files: number;
  symlinks: number;
  special: number;
  blocksUsed: number;
  indirectBlocks: number;
  xattrBlocks: number;
  entries: number;
}

export class CheckState {
  readonly device: BlockDevice;
  readonly geometry: Geometry;
  readonly superView: Ext2SuperView;
  readonly findings: Findings;
  readonly groups: GroupTable;
  readonly dirs = new Map<number, DirRecord>();
  /** A name of each inode that pass 1 found fault with, where pass 2 met one. */
  readonly names = new Map<number, { readonly parent: number; readonly name: string }>();
  readonly stats: CheckStats = {
    inodesUsed: 0,
    directories: 0,
    files: 0,
    symlinks: 0,
    special: 0,
    blocksUsed: 0,
    indirectBlocks: 0,
    xattrBlocks: 0,
    entries: 0,
  };
  /** Directories found per group, for `bg_used_dirs_count`. */
  readonly dirsInGroup = new Map<number, number>();
  largeFiles = 0;
  readonly #claims: (Uint8Array | undefined)[] = [];
  readonly #inodes: (GroupInodes | undefined)[] = [];

  constructor(init: { device: BlockDevice; geometry: Geometry; superView: Ext2SuperView; findings: Findings }) {
    this.device = init.device;
    this.geometry = init.geometry;
    this.superView = init.superView;
    this.findings = init.findings;
    const count = init.geometry.groupCount;
    this.groups = {
      blockBitmap: new Uint32Array(count),
      inodeBitmap: new Uint32Array(count),
      inodeTable: new Uint32Array(count),
      freeBlocks: new Uint16Array(count),
      freeInodes: new Uint16Array(count),
      usedDirs: new Uint16Array(count),
      headBlocks: new Uint32Array(count),
      sane: new Uint8Array(count),
    };
    for (let group = 0; group < count; group++) {
      this.groups.headBlocks[group] = groupHead(init.geometry, group).headBlocks;
    }
  }

  /** Reads whole blocks into `bytes`. The range is checked by the caller. */
  *readBlocks(block: number, bytes: Uint8Array): Io<void> {
    const pos = block * this.geometry.blockSize;
    const max = Math.max(this.geometry.blockSize, this.device.limits.maxBioBytes);
    for (let at = 0; at < bytes.length; at += max) {
      const segment = bytes.subarray(at, at + max);
      yield* submitBio(this.device, { op: 'read', pos: pos + at, segments: [segment], lengthBytes: segment.length });
    }
  }

  /** True for a block number that a file may hold. */
  inRange(block: number): boolean {
    return block >= this.geometry.firstDataBlock && block < this.geometry.blocksCount;
  }

  /** True when the block is part of its group's own metadata (I2). `block` is in range. */
  isMetadata(block: number): boolean {
    const { geometry, groups } = this;
    const group = Math.floor((block - geometry.firstDataBlock) / geometry.blocksPerGroup);
    const relative = block - geometry.firstDataBlock - group * geometry.blocksPerGroup;
    if (relative < (groups.headBlocks[group] ?? 0)) return true;
    if (groups.sane[group] !== 1) return false;
    const table = groups.inodeTable[group] ?? 0;
    return (
      block === groups.blockBitmap[group] ||
      block === groups.inodeBitmap[group] ||
      (block >= table && block < table + geometry.inodeTableBlocks)
    );
  }

  /** Claims a block (in range) for a file; false when it is taken. */
  claim(block: number): boolean {
    const { geometry } = this;
    const offset = block - geometry.firstDataBlock;
    const group = Math.floor(offset / geometry.blocksPerGroup);
    const relative = offset - group * geometry.blocksPerGroup;
    let bits = this.#claims[group];
    if (bits === undefined) this.#claims[group] = bits = new Uint8Array(Math.ceil(geometry.blocksPerGroup / 8));
    const at = relative >> 3;
    const mask = 1 << (relative & 7);
    const byte = bits[at] ?? 0;
    if ((byte & mask) !== 0 || this.isMetadata(block)) return false;
    bits[at] = byte | mask;
    this.stats.blocksUsed++;
    return true;
  }

  /** The block bitmap that a group should have, `blockSize` bytes; what is beyond the group is set. */
  expectedBlockBitmap(group: number, into: Uint8Array): void {
    const { geometry, groups } = this;
    into.fill(0);
    const claimed = this.#claims[group];
    if (claimed !== undefined) into.set(claimed.subarray(0, into.length));
    setRange(into, 0, groups.headBlocks[group] ?? 0);
    if (groups.sane[group] === 1) {
      const first = groupFirstBlock(geometry, group);
      const bitmaps = [groups.blockBitmap[group] ?? 0, groups.inodeBitmap[group] ?? 0];
      for (const block of bitmaps) setRange(into, block - first, 1);
      const table = (groups.inodeTable[group] ?? 0) - first;
      setRange(into, table, geometry.inodeTableBlocks);
    }
    const inGroup = groupBlocks(geometry, group);
    setRange(into, inGroup, into.length * 8 - inGroup);
  }

  /** Deletion times below the number of inodes are links of the orphan list, unless the clock says that it was then. */
  get orphanTimesTell(): boolean {
    const { s_wtime: wtime, s_mkfs_time: made } = this.superView;
    const { inodesCount } = this.geometry;
    return wtime >= inodesCount && (made === 0 || made >= inodesCount);
  }

  /** Facts of a group's inodes; made on demand. */
  inodes(group: number): GroupInodes {
    const known = this.#inodes[group];
    if (known !== undefined) return known;
    const count = this.geometry.inodesPerGroup;
    const made = {
      kind: new Uint8Array(count),
      linksStored: new Uint16Array(count),
      linksFound: new Uint32Array(count),
    };
    this.#inodes[group] = made;
    return made;
  }

  /** Facts of a group's inodes if there are any. */
  peekInodes(group: number): GroupInodes | undefined {
    return this.#inodes[group];
  }

  /** What inode `ino` (1..inodesCount) is: 0 = not in use. */
  kindOf(ino: number): number {
    const { inodesPerGroup } = this.geometry;
    const group = Math.floor((ino - 1) / inodesPerGroup);
    return this.#inodes[group]?.kind[ino - 1 - group * inodesPerGroup] ?? 0;
  }

  /** Counts an entry that names `ino`. */
  countLink(ino: number): void {
    const { inodesPerGroup } = this.geometry;
    const group = Math.floor((ino - 1) / inodesPerGroup);
    const { linksFound } = this.inodes(group);
    const at = ino - 1 - group * inodesPerGroup;
    linksFound[at] = (linksFound[at] ?? 0) + 1;
  }
}
