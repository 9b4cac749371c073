/** Pass 0: the superblock's lesser fields, the group descriptors, the resize inode's tree. */
import { isPowerOfTwo, type Io } from '@iomap/io';

import { gdtBlock, groupBlocks, groupFirstBlock } from '../geometry.js';
import { backupGroups } from '../mkfs-image.js';
import {
  COMPAT,
  DIND_BLOCK,
  Ext2GroupDesc,
  Ext2Inode,
  IFMT,
  IFREG,
  JOURNAL_INO,
  RESIZE_INO,
  STATE_ERROR,
  STATE_VALID,
} from '../ondisk.js';
import type { CheckState } from './state.js';

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Superblock fields that `decodeSuper` lets pass. */
export function checkSuper(state: CheckState): void {
  const { superView: view, geometry, findings } = state;
  const bad = (code: string, message: string): void => findings.error('superblock', code, message);
  if (view.s_r_blocks_count > geometry.blocksCount / 2)
    bad('reserved-blocks', 'more than half of the blocks are reserved');
  if (isZero(view.s_uuid)) findings.warning('superblock', 'uuid-zero', 'the uuid is zero');
  if ((view.s_state & STATE_ERROR) !== 0) {
    findings.warning('superblock', 'state-error', 'the superblock says that the filesystem has errors');
  } else if ((view.s_state & STATE_VALID) === 0) {
    findings.warning('superblock', 'not-clean', 'it was not unmounted cleanly');
  }
  if (geometry.revision === 0) return;
  if (geometry.inodeSize > 128) {
    const room = geometry.inodeSize - 128;
    const { s_min_extra_isize: least, s_want_extra_isize: want } = view;
    if (least > room || least % 4 !== 0 || want > room || want % 4 !== 0) {
      const message = `extra inode sizes ${least} and ${want} in inodes of ${geometry.inodeSize}`;
      findings.warning('superblock', 'extra-isize', message);
    }
  }
  if ((geometry.compat & COMPAT.resize_inode) === 0 && view.s_reserved_gdt_blocks !== 0) {
    bad('reserved-gdt', 'reserved descriptor blocks without resize_inode');
  }
  const descOk = view.s_desc_size === 0 || (isPowerOfTwo(view.s_desc_size) && view.s_desc_size <= 1024);
  if (!descOk) bad('desc-size', `descriptors of ${view.s_desc_size} bytes`);
  if (view.s_log_groups_per_flex > 31) bad('flex-groups', `2^${view.s_log_groups_per_flex} groups in a flex group`);
  checkJournalFields(state);
}

function checkJournalFields({ superView: view, geometry, findings }: CheckState): void {
  const bad = (code: string, message: string): void => findings.error('superblock', code, message);
  if ((geometry.compat & COMPAT.has_journal) !== 0) {
    if (view.s_journal_inum !== JOURNAL_INO) bad('journal-inode', `the journal is inode ${view.s_journal_inum}`);
    return;
  }
  if (view.s_journal_inum !== 0) bad('journal-unexpected', 'a journal inode without has_journal');
  if (view.s_journal_dev !== 0 || !isZero(view.s_journal_uuid))
    bad('journal-unexpected', 'an external journal without has_journal');
}

/** Reads all group descriptors into the state's columns and checks their places. */
export function* readGroupDescs(state: CheckState): Io<void> {
  const { geometry, groups, findings } = state;
  const bytes = new Uint8Array(geometry.blockSize);
  const view = Ext2GroupDesc.at(bytes);
  for (let index = 0; index < geometry.gdtBlocks; index++) {
    yield* state.readBlocks(gdtBlock(geometry, index), bytes);
    const first = index * geometry.descPerBlock;
    const end = Math.min(first + geometry.descPerBlock, geometry.groupCount);
    for (let group = first; group < end; group++) {
      view.$set(bytes, (group - first) * Ext2GroupDesc.size);
      groups.blockBitmap[group] = view.bg_block_bitmap;
      groups.inodeBitmap[group] = view.bg_inode_bitmap;
      groups.inodeTable[group] = view.bg_inode_table;
      groups.freeBlocks[group] = view.bg_free_blocks_count;
      groups.freeInodes[group] = view.bg_free_inodes_count;
      groups.usedDirs[group] = view.bg_used_dirs_count;
      groups.sane[group] = checkPlaces(state, group) ? 1 : 0;
      if (view.bg_flags % 4 !== 0 || view.bg_itable_unused !== 0) {
        findings.error('group-descriptor', 'group-flags', 'marked uninitialised without the feature', { group });
      }
      if (view.bg_free_blocks_count > groupBlocks(geometry, group)) {
        findings.error('group-descriptor', 'group-free-blocks', 'more free blocks than blocks', { group });
      }
      if (view.bg_free_inodes_count > geometry.inodesPerGroup) {
        findings.error('group-descriptor', 'group-free-inodes', 'more free inodes than inodes', { group });
      }
    }
  }
}

function checkPlaces(state: CheckState, group: number): boolean {
  const { geometry, groups, findings } = state;
  const first = groupFirstBlock(geometry, group) + (groups.headBlocks[group] ?? 0);
  const end = groupFirstBlock(geometry, group) + groupBlocks(geometry, group);
  const blockBitmap = groups.blockBitmap[group] ?? 0;
  const inodeBitmap = groups.inodeBitmap[group] ?? 0;
  const table = groups.inodeTable[group] ?? 0;
  const tableEnd = table + geometry.inodeTableBlocks;
  let sane = true;
  const place = (code: string, name: string, block: number, blockEnd: number): void => {
    if (block >= first && blockEnd <= end) return;
    sane = false;
    findings.error('group-descriptor', code, `the ${name} is outside its group`, { group, block });
  };
  place('block-bitmap-place', 'block bitmap', blockBitmap, blockBitmap + 1);
  place('inode-bitmap-place', 'inode bitmap', inodeBitmap, inodeBitmap + 1);
  place('inode-table-place', 'inode table', table, tableEnd);
  const inTable = (block: number): boolean => block >= table && block < tableEnd;
  if (blockBitmap === inodeBitmap || inTable(blockBitmap) || inTable(inodeBitmap)) {
    sane = false;
    findings.error('group-descriptor', 'group-tables-overlap', 'bitmaps and inode table overlap', { group });
  }
  return sane;
}

/**
 * The resize inode must map exactly the reserved descriptor blocks and their copies; its double-indirect block is
 * claimed.
 */
export function* checkResizeInode(state: CheckState): Io<void> {
  const { geometry, groups, findings } = state;
  if ((geometry.compat & COMPAT.resize_inode) === 0 || groups.sane[0] !== 1) return;
  const { blockSize, inodeSize, reservedGdtBlocks } = geometry;
  const bytes = new Uint8Array(blockSize);
  const at = (RESIZE_INO - 1) * inodeSize;
  yield* state.readBlocks((groups.inodeTable[0] ?? 0) + Math.floor(at / blockSize), bytes);
  const inode = Ext2Inode.at(bytes, at % blockSize);
  const bad = (why: string): void =>
    findings.error('inode', 'resize-inode', `resize inode: ${why}`, { ino: RESIZE_INO });
  if (inode.i_size_high > 0 || inode.i_size >= 2 ** 31) state.largeFiles++;
  const pointers = inode.i_block.toArray();
  const blocks = inode.i_blocks;
  const dind = pointers[DIND_BLOCK] ?? 0;
  if ((inode.i_mode & IFMT) !== IFREG || inode.i_links_count === 0) {
    // With nothing reserved, mke2fs makes no resize inode at all.
    if (reservedGdtBlocks > 0 || inode.i_links_count !== 0 || inode.i_mode !== 0) bad('not a regular file');
    return;
  }
  if (pointers.some((block, slot) => slot !== DIND_BLOCK && block !== 0))
    return bad('has other blocks than a double-indirect one');
  if (!state.inRange(dind)) return bad(`its double-indirect block is ${dind}`);
  if (!state.claim(dind)) bad('its double-indirect block is in use otherwise');
  yield* state.readBlocks(dind, bytes);
  const table = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const first = geometry.firstDataBlock + 1 + geometry.gdtBlocks;
  const expected = new Map<number, number>();
  for (let i = 0; i < reservedGdtBlocks; i++) expected.set((geometry.gdtBlocks + i) % geometry.addrPerBlock, first + i);
  for (let slot = 0; slot < geometry.addrPerBlock; slot++) {
    if (table.getUint32(slot * 4, true) !== (expected.get(slot) ?? 0))
      return bad('does not list the reserved descriptor blocks');
  }
  const backups = backupGroups(geometry);
  for (let i = 0; i < reservedGdtBlocks; i++) {
    yield* state.readBlocks(first + i, bytes);
    for (let slot = 0; slot < geometry.addrPerBlock; slot++) {
      const group = backups[slot];
      const want = group === undefined ? 0 : first + i + group * geometry.blocksPerGroup;
      if (table.getUint32(slot * 4, true) !== want) return bad('a reserved descriptor block does not list its copies');
    }
  }
  const wanted = (1 + reservedGdtBlocks * (1 + backups.length)) * (blockSize / 512);
  if (blocks !== wanted) bad(`i_blocks is ${blocks}, not ${wanted}`);
}
