/**
 * Inodes: allocation and return.
 *
 * Directories are spread over the groups as Orlov's allocator does (Linux `fs/ext2/ialloc.c`): those of the root, and those of
 * directories marked top, go to groups with much room; others stay near their parent unless its group is full or in
 * debt. Everything else goes to its directory's group.
 */
import type { Buf } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import { clearRange, findNextZero, setRange, testBit } from '@iomap/block-map';
import { FLAG_TOPDIR, type Ext2InodeInCore } from './inode.js';
import { peekFreeSlot, readSlot } from './inode-table.js';
import { ROOT_INO } from './ondisk.js';
import type { Volume } from './volume.js';

const INODE_COST = 64;
const BLOCK_COST = 256;

/** Group of an inode number that is in range. */
export const groupOfIno = (vol: Volume, ino: number): number => Math.floor((ino - 1) / vol.info.inodesPerGroup);

/**
 * Takes a free inode. Its slot in the table is looked at first: a bitmap that calls an inode in use free must not cost it.
 *
 * Waits on: reads of inode bitmaps, at worst each once; one read of the table block.
 * @throws FsError ENOSPC when there is none; EUCLEAN when the bitmap lies, with nothing changed
 */
export function* allocInode(vol: Volume, parent: Ext2InodeInCore, isDirectory: boolean): Io<number> {
  const { groups, info } = vol;
  const start = isDirectory ? orlovGroup(vol, parent) : otherGroup(vol, parent);
  if (start < 0) throw new FsError('ENOSPC', { why: 'no free inodes' });
  for (let i = 0; i < groups.count; i++) {
    const group = (start + i) % groups.count;
    if ((groups.freeInodes[group] ?? 0) <= 0) continue;
    const { buf, bit } = yield* findFree(vol, group);
    groups.inodeHint[group] = bit < 0 ? info.inodesPerGroup : bit + 1;
    if (bit < 0) continue; // the count lied
    setRange(buf.bytes, bit, 1);
    vol.markDirty(buf);
    groups.changeFreeInodes(group, -1);
    const debt = groups.debts[group] ?? 0;
    if (isDirectory) {
      if (debt < 255) groups.debts[group] = debt + 1;
      groups.changeUsedDirs(group, 1);
    } else if (debt > 0) {
      groups.debts[group] = debt - 1;
    }
    return group * info.inodesPerGroup + bit + 1;
  }
  throw new FsError('ENOSPC', { why: 'no free inodes' });
}

/** The first free bit of a group's bitmap, from its hint on (-1: none); what it says holds until the next wait. */
function* findFree(vol: Volume, group: number): Io<{ readonly buf: Buf; readonly bit: number }> {
  const { groups, info } = vol;
  const location = groups.inodeBitmap[group] ?? 0;
  const low = group === 0 ? info.firstIno - 1 : 0;
  for (;;) {
    const buf = vol.peekBlock(location) ?? (yield* vol.readBlock(location));
    const bit = findNextZero(buf.bytes, Math.max(low, groups.inodeHint[group] ?? 0), info.inodesPerGroup);
    if (bit < 0) return { buf, bit };
    const ino = group * info.inodesPerGroup + bit + 1;
    if (peekFreeSlot(vol, ino) !== undefined) return { buf, bit };
    // Another may take the bit while we wait: look again.
    yield* readSlot(vol, ino);
  }
}

/**
 * Returns an inode to its bitmap.
 * @throws FsError EUCLEAN when it is free already
 */
export function* freeInode(vol: Volume, ino: number, isDirectory: boolean): Io<void> {
  const { groups, info } = vol;
  if (ino < info.firstIno || ino > info.inodesCount) throw corrupt('freeing a reserved inode', { ino });
  const group = groupOfIno(vol, ino);
  const location = groups.inodeBitmap[group] ?? 0;
  const buf: Buf = vol.peekBlock(location) ?? (yield* vol.readBlock(location));
  const bit = (ino - 1) % info.inodesPerGroup;
  if (!testBit(buf.bytes, bit)) throw corrupt('freeing an inode that is free', { ino });
  clearRange(buf.bytes, bit, 1);
  vol.markDirty(buf);
  groups.changeFreeInodes(group, 1);
  if (isDirectory) groups.changeUsedDirs(group, -1);
  if (bit < (groups.inodeHint[group] ?? 0)) groups.inodeHint[group] = bit;
}

/** The parent's group, else one by a quadratic hash of the parent, else any with inodes. */
function otherGroup(vol: Volume, parent: Ext2InodeInCore): number {
  const { groups } = vol;
  const n = groups.count;
  const home = groupOfIno(vol, parent.ino);
  const hasRoom = (group: number): boolean => (groups.freeInodes[group] ?? 0) > 0 && (groups.freeBlocks[group] ?? 0) > 0;
  if (hasRoom(home)) return home;
  let group = (home + parent.ino) % n;
  for (let step = 1; step < n; step *= 2) {
    group = (group + step) % n;
    if (hasRoom(group)) return group;
  }
  for (let i = 0; i < n; i++) {
    group = (home + i) % n;
    if ((groups.freeInodes[group] ?? 0) > 0) return group;
  }
  return -1;
}

function orlovGroup(vol: Volume, parent: Ext2InodeInCore): number {
  const { groups, info } = vol;
  const n = groups.count;
  const home = groupOfIno(vol, parent.ino);
  const average = {
    inodes: Math.floor(groups.freeInodesTotal / n),
    blocks: Math.floor(groups.freeBlocksTotal / n),
  };
  if (parent.ino === ROOT_INO || (parent.flags & FLAG_TOPDIR) !== 0) {
    const spread = spreadGroup(vol, average);
    if (spread >= 0) return spread;
  } else {
    const dirs = Math.max(1, groups.usedDirsTotal);
    const blocksPerDir = (info.blocksCount - groups.freeBlocksTotal) / dirs;
    const maxDirs = dirs / n + info.inodesPerGroup / 16;
    const minInodes = average.inodes - info.inodesPerGroup / 4;
    const minBlocks = average.blocks - info.blocksPerGroup / 4;
    const cost = info.blocksPerGroup / Math.max(blocksPerDir, BLOCK_COST);
    const maxDebt = Math.max(1, Math.min(255, cost, info.inodesPerGroup / INODE_COST));
    for (let i = 0; i < n; i++) {
      const group = (home + i) % n;
      const free = groups.freeInodes[group] ?? 0;
      if (free <= 0 || free < minInodes || (groups.debts[group] ?? 0) >= maxDebt) continue;
      if ((groups.usedDirs[group] ?? 0) >= maxDirs || (groups.freeBlocks[group] ?? 0) < minBlocks) continue;
      return group;
    }
  }
  for (const least of [average.inodes, 1]) {
    for (let i = 0; i < n; i++) {
      const group = (home + i) % n;
      if ((groups.freeInodes[group] ?? 0) >= Math.max(1, least)) return group;
    }
  }
  return -1;
}

/** The group with the fewest directories among those with more room than average, from a random one on. */
function spreadGroup(vol: Volume, average: { readonly inodes: number; readonly blocks: number }): number {
  const { groups, info } = vol;
  const n = groups.count;
  const start = vol.random() % n;
  let best = -1;
  let fewest = info.inodesPerGroup;
  for (let i = 0; i < n; i++) {
    const group = (start + i) % n;
    const free = groups.freeInodes[group] ?? 0;
    const dirs = groups.usedDirs[group] ?? 0;
    if (free <= 0 || dirs >= fewest || free < average.inodes || (groups.freeBlocks[group] ?? 0) < average.blocks) continue;
    best = group;
    fewest = dirs;
  }
  return best;
}
