/**
 * Checks an ext2 filesystem without changing it, in the passes of e2fsck: superblock and descriptors, inodes and
 * their blocks,
 * directories, reachability, link counts, bitmaps and counts.
 *
 * - Every value of the image is doubted; the work is bounded by the size of the device (block-map.ts) and findings by
 *   a limit.
 * - What is damaged is reported, not thrown. Thrown: a feature that we do not have, a device that fails.
 */
import { Findings } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { isCode, type FsError, type Io } from '@iomap/io';

import { DirectoryPass } from './check/directories.js';
import { checkResizeInode, checkSuper, readGroupDescs } from './check/groups.js';
import { InodePass } from './check/inodes.js';
import type { Finding, FindingStructure } from './check/report.js';
import { withPaths } from './check/paths.js';
import { CheckState, type CheckStats } from './check/state.js';
import { checkBitmaps, checkLinks, checkTree } from './check/tree.js';
import { readOnlyFeatures, uncheckableFeatures } from './features.js';
import type { Geometry } from './geometry.js';
import { Ext2Super } from './ondisk.js';
import { decodeSuper, readSuperBytes } from './super.js';

const FINDINGS_MAX = 1000;

export interface CheckOptions {
  /** Findings kept; more are only counted. Default 1000. */
  readonly maxFindings?: number;
  /** Called as passes begin. */
  readonly onPass?: (pass: CheckPass) => void;
}

export type CheckPass = 'superblock' | 'inodes' | 'directories' | 'tree' | 'links' | 'bitmaps';

export interface CheckReport {
  /** No errors (there may be warnings). */
  readonly clean: boolean;
  readonly errors: number;
  readonly warnings: number;
  /** In the order of the passes. */
  readonly findings: readonly Finding[];
  /** Findings beyond `maxFindings`. */
  readonly omitted: number;
  /** True: the superblock is unusable and nothing else was looked at. */
  readonly fatal: boolean;
  readonly stats?: Readonly<CheckStats>;
}

const fatalReport = (why: string): CheckReport => ({
  clean: false,
  errors: 1,
  warnings: 0,
  findings: [{ severity: 'error', code: 'superblock-invalid', structure: 'superblock', message: why }],
  omitted: 0,
  fatal: true,
});

/**
 * Checks the filesystem on `device`.
 *
 * Waits on: sequential reads of all inode tables and bitmaps, one read for each directory and indirect block.
 * @throws FsError EOPNOTSUPP features that we do not have, by name; the device's own
 */
export function* check(device: BlockDevice, options: CheckOptions = {}): Io<CheckReport> {
  options.onPass?.('superblock');
  let superBytes: Uint8Array;
  let geometry: Geometry;
  try {
    superBytes = yield* readSuperBytes(device);
    geometry = decodeSuper(superBytes, device.sizeBytes);
  } catch (error) {
    if (isCode(error, 'EUCLEAN')) return fatalReport(describe(error));
    throw error;
  }
  if (geometry.blockSize < device.sectorSize) return fatalReport("blocks are smaller than the device's sectors");
  const findings = new Findings<FindingStructure>(options.maxFindings ?? FINDINGS_MAX);
  const state = new CheckState({ device, geometry, superView: Ext2Super.at(superBytes), findings });
  const uncheckable = uncheckableFeatures(geometry.compat, geometry.roCompat);
  for (const name of uncheckable) findings.error('superblock', 'feature-unknown', `the feature ${name} is not known`);
  for (const name of readOnlyFeatures(geometry.roCompat)) {
    if (uncheckable.includes(name)) continue;
    findings.warning('superblock', 'feature', `the feature ${name} is not checked`);
  }
  checkSuper(state);
  yield* readGroupDescs(state);
  yield* checkResizeInode(state);
  options.onPass?.('inodes');
  yield* new InodePass(state).run();
  options.onPass?.('directories');
  yield* new DirectoryPass(state).run();
  options.onPass?.('tree');
  checkTree(state);
  options.onPass?.('links');
  checkLinks(state);
  options.onPass?.('bitmaps');
  yield* checkBitmaps(state);
  return {
    clean: findings.errors === 0,
    errors: findings.errors,
    warnings: findings.warnings,
    findings: withPaths(state, findings.list),
    omitted: findings.omitted,
    fatal: false,
    stats: state.stats,
  };
}

const describe = (error: FsError): string => {
  const field = error.detail.field;
  return `${error.why ?? error.message}${field === undefined ? '' : ` (${field})`}`;
};
