/**
 * Checks an image in the manner of `xfs_repair -n`: nothing is written. A dirty log is replayed in memory first, and what it left
 * half-done (freeing space, counts) may then show as findings.
 *
 * Order: superblocks; each group's headers and trees; each inode, its forks, names and attributes; then what only all of it together
 * can say: who has each block, reverse maps and counts against that, names against inodes, lists of unlinked inodes, totals.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, submitBio, type Io } from '@iomap/io';
import { makeMapping } from '../file-ops.js';
import { XfsInode } from '../inode.js';
import { mount } from '../mount.js';
import { NULL_AGINO, XfsSuper } from '../ondisk.js';
import { isXfs, type SuperInfo } from '../super.js';
import { sumMatches } from '../crc32c.js';
import { checkGroup, type GroupFacts } from './groups.js';
import { checkChunks, type InodeContext, type InodeFacts } from './inodes.js';
import { Report, type Finding } from './report.js';
import { mergeRuns, OWNERS, Space, type RefRun, type SpaceRun } from './space.js';

/** Metadata kept: names are looked up in the order of the disk, which jumps about in the index. */
const CACHE_BYTES = 128 * 2 ** 20;

export interface CheckReport {
  /** No errors; there may be warnings. */
  readonly clean: boolean;
  readonly findings: readonly Finding[];
  /** Errors in all, those not kept in `findings` too. */
  readonly errors: number;
  readonly inodes: number;
  /** The log was dirty and was replayed in memory. */
  readonly wasReplayed: boolean;
}

/** @throws FsError EIO; EUCLEAN, EBADMSG and EOPNOTSUPP where there is no XFS that can be looked at */
export function* check(device: BlockDevice): Io<CheckReport> {
  const report = new Report();
  let fs;
  try {
    fs = yield* mount(device, { readOnly: true, bufferCacheBytes: CACHE_BYTES });
  } catch (error) {
    // A superblock or root that cannot be read is a verdict too; what we do not support is none.
    if (error instanceof FsError && error.code === 'EOPNOTSUPP') throw error;
    if (error instanceof FsError && error.detail.field === 'sb_magicnum') throw error;
    report.caught('superblock', error);
    return { clean: false, findings: report.findings, errors: report.errors, inodes: 0, wasReplayed: false };
  }
  const vol = fs.volume;
  const { info } = vol;
  if (fs.wasReplayed) report.warn('log', 'dirty-log', 'the log was dirty: it was replayed in memory');
  yield* checkCopies(vol.device, info, report);
  const space = new Space(info);
  const inodes: InodeContext = {
    vol,
    report,
    space,
    make: (ino) => new XfsInode(ino, info.blockSize, (inode) => makeMapping(vol, inode)),
    inodes: new Map(),
    names: [],
  };
  const groups: (GroupFacts | undefined)[] = [];
  for (let ag = 0; ag < info.agCount; ag++) {
    const facts = yield* checkGroup({ vol, ag, report, space });
    groups.push(facts);
  }
  space.addFsb(info.logStart, info.logBlocks, OWNERS.LOG);
  for (const [ag, facts] of groups.entries()) if (facts !== undefined) yield* checkChunks(inodes, ag, facts.chunks);
  for (const [ag, facts] of groups.entries()) if (facts !== undefined) compareSpace(space, ag, facts, report);
  checkNames(inodes, info);
  checkUnlinked(inodes, info, groups);
  if (!fs.wasReplayed) checkTotals(info, groups, report);
  yield* fs.unmount();
  return { clean: report.errors === 0, findings: report.findings, errors: report.errors, inodes: inodes.inodes.size, wasReplayed: fs.wasReplayed };
}

/** Fields that all copies of the superblock share. */
const SHARED_FIELDS = [
  'sb_blocksize', 'sb_dblocks', 'sb_logstart', 'sb_agblocks', 'sb_agcount', 'sb_logblocks', 'sb_sectsize', 'sb_inodesize',
  'sb_inopblock', 'sb_blocklog', 'sb_agblklog', 'sb_imax_pct', 'sb_inoalignmt', 'sb_dirblklog',
] as const;

function* checkCopies(device: BlockDevice, info: SuperInfo, report: Report): Io<void> {
  const primary = new Uint8Array(info.sectorSize);
  yield* submitBio(device, { op: 'read', pos: 0, segments: [primary], lengthBytes: primary.length });
  const wanted = XfsSuper.at(primary);
  for (let ag = 1; ag < info.agCount; ag++) {
    const bytes = new Uint8Array(info.sectorSize);
    yield* submitBio(device, { op: 'read', pos: ag * info.agBlocks * info.blockSize, segments: [bytes], lengthBytes: bytes.length });
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (!isXfs(bytes)) {
      report.add('superblock', 'copy-magic', 'no copy of the superblock', { group: ag });
      continue;
    }
    if (info.v5 && !sumMatches(view, 0, bytes.length, XfsSuper.offsets.sb_crc)) report.add('superblock', 'checksum', 'checksum of a copy', { group: ag });
    try {
      const copy = XfsSuper.at(bytes);
      for (const field of SHARED_FIELDS) {
        if (copy[field] !== wanted[field]) report.add('superblock', 'copy-differs', `${field} is ${copy[field]} in a copy, ${wanted[field]} in the first`, { group: ag });
      }
    } catch (error) {
      report.caught('superblock', error, { group: ag });
    }
  }
}

function compareSpace(space: Space, ag: number, facts: GroupFacts, report: Report): void {
  const shared = space.checkGroup(ag, report);
  if (facts.refs !== undefined && !sameRefs(shared, facts.refs)) report.add('refcountbt', 'refcounts-differ', 'the refcount tree does not say what files share', { group: ag });
  if (facts.rmaps === undefined) return;
  const wanted = space.expectedRmap(ag);
  const found = mergeRuns(facts.rmaps);
  const text = ({ start, count, owner, offset, flags }: SpaceRun): string => `${start}+${count} of ${owner} at ${offset} (${flags})`;
  const inTree = new Set(found.map(text));
  const inFiles = new Set(wanted.map(text));
  const missing = wanted.find((run) => !inTree.has(text(run)));
  const extra = found.find((run) => !inFiles.has(text(run)));
  if (missing !== undefined) report.add('rmapbt', 'rmap-missing', `the reverse map lacks ${text(missing)}`, { group: ag, block: missing.start });
  if (extra !== undefined) report.add('rmapbt', 'rmap-extra', `the reverse map has ${text(extra)}`, { group: ag, block: extra.start });
}

/** Records of the tree may be split where counts are equal. */
function sameRefs(wanted: readonly RefRun[], found: readonly RefRun[]): boolean {
  const merged: RefRun[] = [];
  for (const run of found) {
    const last = merged.at(-1);
    if (last !== undefined && last.owners === run.owners && last.start + last.count === run.start) merged.splice(-1, 1, { ...last, count: last.count + run.count });
    else merged.push(run);
  }
  return merged.length === wanted.length && merged.every(({ start, count, owners }, i) => wanted[i]?.start === start && wanted[i]?.count === count && wanted[i]?.owners === owners);
}

const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [0o010000, 'fifo'],
  [0o020000, 'char'],
  [0o040000, 'directory'],
  [0o060000, 'block'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o140000, 'socket'],
]);

/** Inodes that the superblock names: nobody else does. */
const isInternal = (info: SuperInfo, ino: number): boolean => info.internalInos.includes(ino);

function checkNames({ inodes, names, report }: InodeContext, info: SuperInfo): void {
  for (const { dir, ino, type, name } of names) {
    const facts = inodes.get(ino);
    if (facts === undefined) {
      report.add('directory', 'dangling-name', `an entry of ${name.length} bytes leads to inode ${ino}, which is free`, { ino: dir });
      continue;
    }
    if (info.hasFtype && TYPE_NAMES.get(facts.type) !== type) report.add('directory', 'ftype', `an entry says ${type} of inode ${ino}`, { ino: dir });
    facts.links++;
    if (!facts.isDirectory) continue;
    facts.links++; // its '.'
    const parent = inodes.get(dir);
    if (parent !== undefined) parent.links++;
    if (facts.namedIn !== 0) report.add('directory', 'directory-twice', 'a directory has two names', { ino });
    facts.namedIn = dir;
    if (facts.parent !== dir) report.add('directory', 'dot-dot', `'..' leads to ${facts.parent}, not to ${dir}`, { ino });
  }
  const root = inodes.get(info.rootIno);
  if (root !== undefined) root.links += 2;
  for (const [ino, facts] of inodes) checkLinks(info, ino, facts, report);
}

function checkLinks(info: SuperInfo, ino: number, facts: InodeFacts, report: Report): void {
  if (isInternal(info, ino)) return;
  if (facts.links === 0 && facts.nlink > 0) report.add('links', 'disconnected', 'no name leads to the inode', { ino });
  else if (facts.links !== facts.nlink) report.add('links', 'link-count', `di_nlink is ${facts.nlink}, ${facts.links} names lead to it`, { ino });
}

function checkUnlinked({ inodes, report }: InodeContext, info: SuperInfo, groups: readonly (GroupFacts | undefined)[]): void {
  const listed = new Set<number>();
  const perGroup = 2 ** (info.agBlkLog + info.inopblog);
  for (const [ag, facts] of groups.entries()) {
    for (const head of facts?.buckets ?? []) {
      for (let at = head; at !== NULL_AGINO; ) {
        const ino = ag * perGroup + at;
        const inode = inodes.get(ino);
        if (inode === undefined || inode.nlink !== 0 || listed.has(ino)) {
          report.add('unlinked', 'unlinked-list', `inode ${ino} on a list of unlinked inodes`, { group: ag, ino });
          break;
        }
        listed.add(ino);
        at = inode.nextUnlinked;
      }
    }
  }
  for (const [ino, { nlink }] of inodes) {
    if (nlink === 0 && !listed.has(ino)) report.add('unlinked', 'unlinked-lost', 'an inode without links is on no list', { ino });
  }
}

function checkTotals(info: SuperInfo, groups: readonly (GroupFacts | undefined)[], report: Report): void {
  const sum = { icount: 0, ifree: 0, fdblocks: 0 };
  for (const facts of groups) {
    if (facts === undefined) return;
    sum.icount += facts.counts.icount;
    sum.ifree += facts.counts.ifree;
    sum.fdblocks += facts.counts.fdblocks;
  }
  for (const field of ['icount', 'ifree', 'fdblocks'] as const) {
    if (info[field] !== sum[field]) report.add('superblock', 'totals', `sb_${field} is ${info[field]}, the groups have ${sum[field]}`);
  }
}
