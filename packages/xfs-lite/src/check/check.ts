/**
 * Checks an image in the manner of `xfs_repair -n`: nothing is written. A dirty log is replayed in memory first; blocks that it
 * promised to free are nobody's, and trees that lag behind its promises are warnings.
 *
 * Order: superblocks; each group's headers and trees; each inode, its forks, names and attributes; then what only all of it together
 * can say: who has each block, reverse maps and counts against that, names against inodes, lists of unlinked inodes, totals.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, type Io } from '@iomap/io';
import { findLog } from '../log/head.js';
import { LogRing } from '../log/ring.js';
import { mount } from '../mount.js';
import { agLength, fsbToAg, fsbToAgb, type SuperInfo } from '../super.js';
import { CheckContext } from './context.js';
import { checkGroup, type GroupFacts } from './groups.js';
import { InodeTable } from './inode-table.js';
import { InodeScanner } from './inodes.js';
import { checkLinks, checkUnlinked } from './links.js';
import { Report, type Finding } from './report.js';
import { firstDifference, OWNERS, RefRuns, type OwnedRun } from './runs.js';
import { checkSupers } from './supers.js';

/** Blocks of a group's trees kept: each is read once. */
const CACHE_BYTES = 4 * 2 ** 20;

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
  const context = new CheckContext(vol, report);
  yield* checkSupers(context);
  const groups: (GroupFacts | undefined)[] = [];
  context.claimFsb(info.logStart, info.logBlocks, OWNERS.LOG);
  for (const { fsb, count } of vol.pending?.frees ?? []) context.claim(fsbToAg(info, fsb), fsbToAgb(info, fsb), count, 'free');
  for (let ag = 0; ag < info.agCount; ag++) groups.push(yield* checkGroup(context, ag));
  const inodes = new InodeTable(info, groups.map((facts) => facts?.chunks));
  const scanner = new InodeScanner(context, inodes);
  for (const [ag, facts] of groups.entries()) if (facts !== undefined) yield* scanner.scan(ag, facts.chunks);
  for (const [ag, facts] of groups.entries()) if (facts !== undefined) compareSpace(context, ag, facts);
  checkLinks(inodes, info, report);
  checkLists(scanner, groups, info, fs.wasReplayed, report);
  if (info.v5) yield* checkLsn(context, device);
  if (!fs.wasReplayed) checkTotals(info, groups, report);
  yield* fs.unmount();
  return { clean: report.errors === 0, findings: report.findings, errors: report.errors, inodes: scanner.count, wasReplayed: fs.wasReplayed };
}

/** Every block of a group has one owner, or those that share it; the reverse map and the counts of sharing say the same. */
function compareSpace(context: CheckContext, ag: number, facts: GroupFacts): void {
  const { report, info } = context;
  const shared = new RefRuns();
  context.sharedIn(ag)?.sweep((start, end, owners) => {
    const taken = context.blocks.claim(ag, start, end - start);
    if (taken >= 0) report.add('space', 'blocks-twice', `block ${taken} is a file's, and somebody else's`, { group: ag, block: taken });
    if (owners > 1) shared.add(start, end - start, owners);
  });
  context.blocks.eachGap(ag, agLength(info, ag), (from, end) => {
    report.add('space', 'lost-blocks', `blocks ${from} to ${end - 1} are neither free nor anybody's`, { group: ag, block: from });
  });
  const { pending } = context.vol;
  const lags = (isLate: boolean): 'add' | 'warn' => (isLate ? 'warn' : 'add');
  if (facts.refs !== undefined) {
    const refs = lags(pending?.refs.some((change) => change.ag === ag) === true);
    const at = shared.difference(facts.refs);
    if (at >= 0) {
      const block = Math.min(...[shared, facts.refs].filter(({ start }) => at < start.length).map(({ start }) => start.at(at)));
      report[refs]('refcountbt', 'refcounts-differ', 'the refcount tree does not say what files share', { group: ag, block });
    }
  }
  const found = context.owned(ag);
  if (facts.rmaps === undefined || found === undefined) return;
  const text = ({ start, count, owner, offset, flags }: OwnedRun): string => `${start}+${count} of ${owner} at ${offset} (${flags})`;
  const rmaps = lags(pending?.rmapGroups.has(ag) === true);
  const difference = firstDifference(found, facts.rmaps);
  if (difference?.missing !== undefined) report[rmaps]('rmapbt', 'rmap-missing', `the reverse map lacks ${text(difference.missing)}`, { group: ag, block: difference.missing.start });
  if (difference?.extra !== undefined) report[rmaps]('rmapbt', 'rmap-extra', `the reverse map has ${text(difference.extra)}`, { group: ag, block: difference.extra.start });
}

function checkLists(scanner: InodeScanner, groups: readonly (GroupFacts | undefined)[], info: SuperInfo, isReplayed: boolean, report: Report): void {
  const listed = new Set<number>();
  const perGroup = 2 ** (info.agBlkLog + info.inopblog);
  for (const [ag, facts] of groups.entries()) {
    if (facts !== undefined) checkUnlinked({ ag, heads: facts.buckets, perGroup, isReplayed }, scanner.nextUnlinked, listed, report);
  }
  for (const ino of scanner.nextUnlinked.keys()) {
    if (!listed.has(ino)) report.add('unlinked', 'unlinked-lost', 'an inode without links is on no list', { ino });
  }
}

/** What carries an LSN that the log has not reached would be passed over by a later replay. */
function* checkLsn({ info, report, lsnCycle, lsnBlock }: CheckContext, device: BlockDevice): Io<void> {
  const ring = new LogRing(device, info);
  let state;
  try {
    state = yield* findLog(ring, info);
  } catch (error) {
    report.caught('log', error);
    return;
  }
  const { cycle, head } = state;
  const end = head === 0 ? ring.length : head;
  if (cycle !== 0 && (lsnCycle > cycle || (lsnCycle === cycle && lsnBlock > end))) {
    report.add('log', 'lsn-ahead', `metadata was written at ${lsnCycle}:${lsnBlock}, the log ends at ${cycle}:${end}`);
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
