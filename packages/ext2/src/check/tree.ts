/** Passes 3 to 5: that every directory hangs from the root, link counts, bitmaps and free counts. */
import type { Io } from '@iomap/io';

import { countSet, setRange } from '@iomap/block-map';
import { groupBlocks } from '../geometry.js';
import { ROOT_INO } from '../ondisk.js';
import { KIND_USED, type CheckState, type DirRecord } from './state.js';

/** Pass 3: follows parents up; a chain that does not end at the root is a loop or hangs loose. */
export function checkTree(state: CheckState): void {
  const { dirs, findings } = state;
  const root = dirs.get(ROOT_INO);
  if (root === undefined) return findings.error('tree', 'no-root', 'there is no root directory', { ino: ROOT_INO });
  const connected = new Set<number>([ROOT_INO]);
  for (const dir of dirs.values()) {
    const chain: DirRecord[] = [];
    const inChain = new Set<number>();
    let at: DirRecord | undefined = dir;
    while (at !== undefined && !connected.has(at.ino) && !inChain.has(at.ino)) {
      chain.push(at);
      inChain.add(at.ino);
      at = at.parent === 0 ? undefined : dirs.get(at.parent);
    }
    const whole = at !== undefined && connected.has(at.ino);
    // Each chain is judged once: what hangs from a loose directory is reported with it.
    for (const one of chain) connected.add(one.ino);
    if (!whole && chain.length > 0) {
      const top = chain.at(-1) ?? dir;
      findings.error('tree', 'unconnected-directory', 'the directory cannot be reached from the root', {
        ino: top.ino,
      });
    }
    const parent = dir.ino === ROOT_INO ? ROOT_INO : dir.parent;
    if (parent !== 0 && dir.dotdot !== 0 && dir.dotdot !== parent) {
      findings.error('tree', 'dotdot', `'..' is inode ${dir.dotdot}, not ${parent}`, { ino: dir.ino });
    }
  }
}

/** Pass 4: links stored against entries found. */
export function checkLinks(state: CheckState): void {
  const { geometry, findings } = state;
  for (let group = 0; group < geometry.groupCount; group++) {
    const facts = state.peekInodes(group);
    if (facts === undefined) continue;
    for (let i = 0; i < geometry.inodesPerGroup; i++) {
      const kind = facts.kind[i] ?? 0;
      if (kind === 0) continue;
      const ino = group * geometry.inodesPerGroup + i + 1;
      if (ino < geometry.firstIno && ino !== ROOT_INO) continue;
      const stored = facts.linksStored[i] ?? 0;
      const found = facts.linksFound[i] ?? 0;
      // A loose directory still has its own '.', and perhaps its children's '..'.
      if (found === 0) findings.error('inode', 'unattached', 'in use, but nothing names it', { ino });
      else if (stored !== found) findings.error('inode', 'link-count', `${stored} links, ${found} found`, { ino });
    }
  }
}

/** The first bit in which two bitmaps differ, from bit `from` up to `end`; -1 = none. */
function firstDifference(a: Uint8Array, b: Uint8Array, from: number, end: number): number {
  for (let at = from; at < end;) {
    if (at % 8 === 0 && at + 8 <= end && a[at >> 3] === b[at >> 3]) {
      at += 8;
      continue;
    }
    const mask = 1 << (at & 7);
    if (((a[at >> 3] ?? 0) & mask) !== ((b[at >> 3] ?? 0) & mask)) return at;
    at++;
  }
  return -1;
}

const countZeroes = (bits: Uint8Array, end: number): number => end - countSet(bits, 0, end);

/** The inode bitmap that a group should have. */
function expectedInodeBitmap(state: CheckState, group: number, into: Uint8Array): void {
  const { inodesPerGroup, firstIno } = state.geometry;
  into.fill(0);
  const facts = state.peekInodes(group);
  if (facts !== undefined) {
    for (let i = 0; i < inodesPerGroup; i++) {
      if (((facts.kind[i] ?? 0) & KIND_USED) !== 0) into[i >> 3] = (into[i >> 3] ?? 0) | (1 << (i & 7));
    }
  }
  const first = group * inodesPerGroup + 1;
  if (first < firstIno) setRange(into, 0, Math.min(inodesPerGroup, firstIno - first));
  setRange(into, inodesPerGroup, into.length * 8 - inodesPerGroup);
}

/** Pass 5: bitmaps group by group, then the counts. */
export function* checkBitmaps(state: CheckState): Io<void> {
  const { geometry, groups, findings, superView } = state;
  const { blockSize, inodesPerGroup } = geometry;
  const stored = new Uint8Array(blockSize);
  const expected = new Uint8Array(blockSize);
  let freeBlocks = 0;
  let freeInodes = 0;
  for (let group = 0; group < geometry.groupCount; group++) {
    if (groups.sane[group] !== 1) continue;
    const compare = (structure: 'block-bitmap' | 'inode-bitmap', bits: number): void => {
      const at = firstDifference(stored, expected, 0, bits);
      const isSet = at >= 0 && ((stored[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
      const how = isSet ? 'marked in use, but is free' : 'in use, but marked free';
      if (at >= 0) findings.error(structure, `${structure}-differs`, `bit ${at} is ${how}`, { group });
      const padding = firstDifference(stored, expected, bits, blockSize * 8);
      if (padding >= 0) findings.error(structure, `${structure}-padding`, `padding bit ${padding} is clear`, { group });
    };
    const blocks = groupBlocks(geometry, group);
    yield* state.readBlocks(groups.blockBitmap[group] ?? 0, stored);
    state.expectedBlockBitmap(group, expected);
    compare('block-bitmap', blocks);
    const freeHere = countZeroes(expected, blocks);
    yield* state.readBlocks(groups.inodeBitmap[group] ?? 0, stored);
    expectedInodeBitmap(state, group, expected);
    compare('inode-bitmap', inodesPerGroup);
    const freeInodesHere = countZeroes(expected, inodesPerGroup);
    checkCount(state, group, 'free-blocks', groups.freeBlocks[group] ?? 0, freeHere);
    checkCount(state, group, 'free-inodes', groups.freeInodes[group] ?? 0, freeInodesHere);
    checkCount(state, group, 'used-dirs', groups.usedDirs[group] ?? 0, state.dirsInGroup.get(group) ?? 0);
    freeBlocks += freeHere;
    freeInodes += freeInodesHere;
  }
  const total = (code: string, what: string, found: number, right: number): void => {
    // Every mount sums the groups' counts anew, and e2fsck takes these over without a word.
    if (found !== right) findings.warning('superblock', code, `${found} ${what}, not ${right}`);
  };
  total('free-blocks', 'free blocks', superView.s_free_blocks_count, freeBlocks);
  total('free-inodes', 'free inodes', superView.s_free_inodes_count, freeInodes);
}

function checkCount(state: CheckState, group: number, code: string, stored: number, right: number): void {
  if (stored === right) return;
  state.findings.error('group-descriptor', `group-${code}`, `${code.replace('-', ' ')}: ${stored}, not ${right}`, {
    group,
  });
}
