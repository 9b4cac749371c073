/** What all inodes together say: names against inodes and their counts of links, directories against the root, lists of unlinked inodes. */
import type { SuperInfo } from '../super.js';
import { NULL_AGINO } from '../ondisk.js';
import { CLAIM_MIXED, type InodeTable } from './inode-table.js';
import type { Report } from './report.js';

/** `ftype` of a directory entry by the type in the mode (its upper four bits). */
const FTYPE_OF: Readonly<Record<number, number>> = { 0o01: 5, 0o02: 3, 0o04: 2, 0o06: 4, 0o10: 1, 0o12: 7, 0o14: 6 };
const TYPE_DIRECTORY = 0o04;

/** Compares what names said of inodes with the inodes. */
export function checkLinks(inodes: InodeTable, info: SuperInfo, report: Report): void {
  const { mode, nlink, links, claim, namedIn, parent } = inodes;
  const internal = new Set(info.internalInos);
  const root = inodes.slot(info.rootIno);
  for (let slot = 0; slot < inodes.length; slot++) {
    const named = claim[slot] ?? 0;
    if (mode[slot] === 0) {
      if (named !== 0) report.add('directory', 'dangling-name', `an entry leads to inode ${inodes.ino(slot)}, which is free`, { ino: inodes.ino((namedIn[slot] ?? 1) - 1) });
      continue;
    }
    const type = (mode[slot] ?? 0) >>> 12;
    if (info.hasFtype && named !== 0 && named !== (FTYPE_OF[type] ?? 0) + 1) {
      const what = named === CLAIM_MIXED ? 'entries say different types' : `an entry says type ${named - 1}`;
      report.add('directory', 'ftype', `${what} of inode ${inodes.ino(slot)}`, { ino: inodes.ino((namedIn[slot] ?? 1) - 1) });
    }
    const found = links[slot] ?? 0;
    const stored = nlink[slot] ?? 0;
    if (found !== stored || (named === 0 && slot !== root && stored !== 0)) {
      const ino = inodes.ino(slot);
      if (internal.has(ino)) continue;
      if (named === 0 && slot !== root && stored > 0) report.add('links', 'disconnected', 'no name leads to the inode', { ino });
      else report.add('links', 'link-count', `di_nlink is ${stored}, ${found} names lead to it`, { ino });
    }
    if (type === TYPE_DIRECTORY && stored > 0 && (named !== 0 || slot === root)) {
      const from = slot === root ? root + 1 : (namedIn[slot] ?? 0);
      const up = parent[slot] ?? 0;
      if (up !== from) report.add('directory', 'dot-dot', `'..' leads to ${up === 0 ? 'nothing' : inodes.ino(up - 1)}, not to ${inodes.ino(from - 1)}`, { ino: inodes.ino(slot) });
    }
  }
  if (root < 0 || (mode[root] ?? 0) >>> 12 !== TYPE_DIRECTORY) report.add('superblock', 'root', 'the root is no directory', { ino: info.rootIno });
  else checkRooted(inodes, root, report);
}

/** Every directory must be below the root, not in a ring of its own. */
function checkRooted(inodes: InodeTable, root: number, report: Report): void {
  const { mode, namedIn, claim } = inodes;
  /** 0 = not looked at, 1 = on the way up that is walked, 2 = leads to the root or was told. */
  const state = new Uint8Array(inodes.length);
  state[root] = 2;
  for (let slot = 0; slot < inodes.length; slot++) {
    if ((mode[slot] ?? 0) >>> 12 !== TYPE_DIRECTORY || claim[slot] === 0) continue;
    let at = slot;
    while (state[at] === 0 && (claim[at] ?? 0) !== 0) {
      state[at] = 1;
      at = (namedIn[at] ?? 1) - 1;
    }
    if (state[at] === 1) report.add('links', 'disconnected', 'directories are in a ring', { ino: inodes.ino(at) });
    for (let back = slot; state[back] === 1; back = (namedIn[back] ?? 1) - 1) state[back] = 2;
  }
}

/**
 * Follows the lists of unlinked inodes of one group.
 * @param next by inode without links: who follows it in its group
 * @param isReplayed a dirty log was replayed: then lists may have members
 */
export function checkUnlinked(
  at: { readonly ag: number; readonly heads: readonly number[]; readonly perGroup: number; readonly isReplayed: boolean },
  next: ReadonlyMap<number, number>, listed: Set<number>, report: Report,
): void {
  for (const [bucket, head] of at.heads.entries()) {
    for (let inGroup = head; inGroup !== NULL_AGINO; ) {
      const ino = at.ag * at.perGroup + inGroup;
      const after = next.get(ino);
      if (after === undefined || listed.has(ino) || inGroup % at.heads.length !== bucket) {
        report.add('unlinked', 'unlinked-list', `inode ${ino} on a list of unlinked inodes`, { group: at.ag, ino });
        break;
      }
      if (!at.isReplayed) report.add('unlinked', 'unlinked-left', 'an inode without links was never freed', { group: at.ag, ino });
      listed.add(ino);
      inGroup = after;
    }
  }
}
