/**
 * The geometry of a new filesystem: groups, log, first inodes, by the rules of mkfs.xfs 6.1 (the same numbers for the same options).
 *
 * One thing is simpler: the smallest log. mkfs.xfs adds up the largest transactions; here is a table of what it comes to. It counts
 * below 300 MiB only, where the tool makes none without being forced.
 */
import { divCeil, FsError, roundUp } from '@iomap/io';
import { BtreeShort } from '../ondisk-trees.js';
import type { MkfsSettings } from './options.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;
const AG_BYTES_MIN = 16 * MIB;
const AG_BYTES_MAX = TIB;
/** What mkfs.xfs asks for at least. */
export const SIZE_TOOL_MIN = 300 * MIB;
const LOG_BLOCKS_MIN = 512;
const LOG_BYTES_MIN = 10 * MIB;
const LOG_BYTES_MAX = 2 * GIB - LOG_BYTES_MIN;
const LOG_BLOCKS_MAX = 2 ** 20;
const LOG_BYTES_USUAL = 64 * MIB;
const LOG_RATIO = 2048;
const INODES_PER_CHUNK = 64;

export interface MkfsPlan {
  readonly settings: MkfsSettings;
  readonly blockSize: number;
  readonly blockLog: number;
  readonly sectorSize: number;
  readonly dirBlockSize: number;
  readonly dblocks: number;
  readonly agCount: number;
  readonly agBlocks: number;
  readonly agBlkLog: number;
  readonly inodesPerBlock: number;
  readonly inoAlign: number;
  readonly spinoAlign: number;
  readonly imaxPct: number;
  /** Blocks of a stripe unit and of a stripe. */
  readonly unit: number;
  readonly width: number;
  /** Headers in blocks, and the first block behind the roots of the trees of each group. */
  readonly headerBlocks: number;
  readonly firstFree: number;
  readonly logAg: number;
  /** In the group. */
  readonly logBlock: number;
  readonly logBlocks: number;
  /** Bytes, 0 = one basic block. */
  readonly logUnit: number;
  /** Blocks on each free list. */
  readonly freeListBlocks: number;
  /** Blocks of the first inodes, and where they are in group 0. */
  readonly chunkBlocks: number;
  readonly chunkBlock: number;
  readonly warnings: readonly string[];
}

const bad = (field: string, why: string): FsError => new FsError('EINVAL', { why, detail: { field } });

interface Groups {
  dblocks: number;
  agBlocks: number;
  agCount: number;
}

const agMax = (blockSize: number): number => Math.floor((AG_BYTES_MAX - 1) / blockSize);

/** The default size of a group: four of them up to 4 TiB, groups of a TiB above; more of them on stripes. */
function defaultGroups(dblocks: number, blockSize: number, isStriped: boolean): number {
  const bytes = dblocks * blockSize;
  const max = agMax(blockSize);
  let shift: number;
  if (bytes >= 32 * TIB || (!isStriped && bytes >= 4 * TIB)) return max;
  if (!isStriped && bytes >= 128 * MIB) shift = 2;
  else if (bytes > 512 * GIB) shift = 5;
  else if (bytes > 8 * GIB) shift = 4;
  else if (bytes >= 128 * MIB) shift = 3;
  else if (bytes >= 64 * MIB) shift = 2;
  else if (bytes >= 32 * MIB) shift = 1;
  else shift = 0;
  const blocks = Math.floor(dblocks / 2 ** shift);
  return dblocks % 2 ** shift !== 0 && blocks < max ? blocks + 1 : blocks;
}

/** Groups that do not all begin on the same disk of a stripe. */
function alignGroups(groups: Groups, settings: MkfsSettings, unit: number, width: number): void {
  const { blockSize } = settings;
  const recount = (): void => {
    groups.agCount = divCeil(groups.dblocks, groups.agBlocks);
  };
  if (groups.agBlocks % unit !== 0) {
    const up = roundUp(groups.agBlocks, unit);
    groups.agBlocks = up > agMax(blockSize) ? up - unit : up;
    recount();
  }
  const isChosen = settings.agCount !== undefined || settings.agSize !== undefined;
  if (groups.agBlocks % width !== 0 || width === unit || groups.agCount <= 1 || isChosen) return;
  const less = groups.agBlocks - unit;
  groups.agBlocks = less * blockSize < AG_BYTES_MIN ? groups.agBlocks + unit : less;
  recount();
}

function planGroups(settings: MkfsSettings, sizeBytes: number, unit: number, width: number): Groups {
  const { blockSize } = settings;
  const dblocks = Math.floor(sizeBytes / blockSize);
  if (sizeBytes < AG_BYTES_MIN) throw new FsError('ENOSPC', { why: 'an XFS takes 16 MiB at least', detail: { field: 'sizeBytes' } });
  const groups: Groups = { dblocks, agBlocks: 0, agCount: 1 };
  if (settings.agSize !== undefined) {
    if (settings.agSize % blockSize !== 0) throw bad('agSize', 'must be a multiple of the block size');
    groups.agBlocks = Math.min(settings.agSize / blockSize, dblocks);
  } else if (settings.agCount !== undefined) {
    groups.agBlocks = divCeil(dblocks, settings.agCount);
  } else {
    groups.agBlocks = defaultGroups(dblocks, blockSize, unit > 0);
  }
  groups.agCount = divCeil(dblocks, groups.agBlocks);
  if (unit > 0) alignGroups(groups, settings, unit, width);
  const min = AG_BYTES_MIN / blockSize;
  const rest = groups.dblocks % groups.agBlocks;
  if (rest !== 0 && rest < min && groups.agCount > 1) {
    groups.agCount--;
    groups.dblocks = groups.agCount * groups.agBlocks;
  }
  if (groups.agBlocks < min || groups.agBlocks > agMax(blockSize)) {
    throw bad(settings.agSize === undefined ? 'agCount' : 'agSize', `groups of ${groups.agBlocks} blocks`);
  }
  return groups;
}

/** The smallest logs, in blocks by block size: with the defaults, with rmapbt, with nrext64. */
const SMALLEST_LOG = {
  usual: new Map([[1024, 3527], [2048, 2484], [4096, 1368], [8192, 1128], [16_384, 1002], [32_768, 768], [65_536, 512]]),
  rmapbt: new Map([[1024, 5363], [2048, 4266], [4096, 3075], [8192, 2810], [16_384, 2671], [32_768, 2605], [65_536, 2180]]),
  nrext64: new Map([[1024, 8681], [2048, 6115], [4096, 4049], [8192, 3739], [16_384, 2600], [32_768, 1600], [65_536, 1100]]),
};
/** From this size of a group on the trees of the largest transaction may have a level more. */
const DEEP_GROUP_BYTES = 75 * MIB;
/** How many units of a striped log the padding of the largest transactions comes to. */
const LOG_PADDING_UNITS = 57;

/** What mkfs.xfs calls the smallest log, in blocks, for its defaults; at least that for others. @param unit bytes of the log's stripe */
function smallestLog(settings: MkfsSettings, dirBlockSize: number, agBytes: number, unit: number): number {
  const { blockSize, reflink, rmapbt, nrext64 } = settings;
  const isUsual = !rmapbt && !nrext64;
  let blocks = SMALLEST_LOG[rmapbt ? 'rmapbt' : nrext64 ? 'nrext64' : 'usual'].get(blockSize) ?? LOG_BLOCKS_MIN;
  if (agBytes > DEEP_GROUP_BYTES) blocks = Math.max(blocks + 200, Math.ceil(blocks * 1.2));
  else if (!reflink && isUsual && blockSize === 4096) blocks = 857;
  else if (blockSize === 2048 && isUsual) blocks = agBytes <= 16 * MIB ? 1872 : agBytes <= 32 * MIB ? 2076 : 2484;
  else if (blockSize === 16_384 && isUsual && agBytes <= 16 * MIB) blocks = 609;
  if (dirBlockSize > 16_384) blocks = Math.max(blocks, Math.ceil((9 * MIB) / blockSize));
  if (unit > 0) blocks += Math.ceil((LOG_PADDING_UNITS * unit) / blockSize);
  return Math.max(LOG_BLOCKS_MIN, blocks);
}

/** The most levels that a tree of free space can have: half-full blocks, every second block of the group free. */
function freeTreeLevels(blockSize: number, agBlocks: number): number {
  const leaf = Math.floor(Math.floor((blockSize - BtreeShort.size) / 8) / 2);
  const node = Math.floor(Math.floor((blockSize - BtreeShort.size) / 12) / 2);
  let levels = 1;
  for (let blocks = divCeil(Math.floor((agBlocks + 1) / 2), leaf); blocks > 1; blocks = divCeil(blocks, node)) levels++;
  return levels;
}

interface LogRoom {
  readonly groups: Groups;
  readonly dirBlockSize: number;
  /** First block of a group that the log may take. */
  readonly firstFree: number;
  /** Blocks that it is aligned to, 0 = none. */
  readonly align: number;
  /** Bytes of its stripe, 0 = none. */
  readonly unit: number;
  readonly freeListBlocks: number;
}

function planLog(settings: MkfsSettings, { groups, dirBlockSize, firstFree, align, unit, freeListBlocks }: LogRoom): { block: number; blocks: number } {
  const { blockSize } = settings;
  const bytes = groups.dblocks * blockSize;
  let min = smallestLog(settings, dirBlockSize, groups.agBlocks * blockSize, unit);
  if (bytes >= GIB) min = Math.max(min, LOG_BYTES_MIN / blockSize);
  const block = align > 0 ? roundUp(firstFree, align) : firstFree;
  const max = Math.min(LOG_BLOCKS_MAX, Math.floor(LOG_BYTES_MAX / blockSize), groups.agBlocks - firstFree - freeListBlocks - 5);
  let blocks: number;
  if (settings.logSize !== undefined) {
    blocks = Math.floor(settings.logSize / blockSize);
    if (blocks < min || blocks > max) throw bad('logSize', `a log of ${blocks} blocks: between ${min} and ${max} will do`);
  } else if (bytes < SIZE_TOOL_MIN) {
    blocks = min;
  } else {
    blocks = Math.max(min, Math.floor(bytes / LOG_RATIO / blockSize), LOG_BYTES_USUAL / blockSize);
  }
  blocks = Math.min(blocks, max);
  if (align > 0 && blocks % align !== 0) {
    const up = roundUp(blocks, align);
    blocks = up > max ? up - align : up;
  }
  if (blocks < min || block + blocks > groups.agBlocks) {
    throw new FsError('ENOSPC', { why: `no room for a log of ${min} blocks in a group`, detail: { field: 'sizeBytes' } });
  }
  return { block, blocks };
}

function logUnitBytes(settings: MkfsSettings, sectorSize: number, unit: number): number {
  const { blockSize, logStripe } = settings;
  if (logStripe !== undefined) {
    if (logStripe % blockSize !== 0 || logStripe > 256 * 1024) throw bad('logStripe', 'must be a multiple of the block size up to 256 KiB');
    return logStripe;
  }
  if (unit > 0) return unit * blockSize > 256 * 1024 ? roundUp(32 * 1024, blockSize) : unit * blockSize;
  return sectorSize > 512 ? blockSize : 0;
}

function defaultPercent(bytes: number): number {
  if (bytes < TIB) return 25;
  return bytes < 50 * TIB ? 5 : 1;
}

/** @throws FsError EINVAL for options that do not fit, ENOSPC */
export function planXfs(settings: MkfsSettings, sizeBytes: number, deviceSector: number): MkfsPlan {
  const { blockSize, inodeSize } = settings;
  const sectorSize = settings.sectorSize ?? Math.max(512, deviceSector);
  if (sectorSize < deviceSector) throw bad('sectorSize', `smaller than the device's (${deviceSector})`);
  if (sectorSize > blockSize) throw bad('sectorSize', 'larger than a block');
  if (inodeSize > blockSize / 2) throw bad('inodeSize', 'larger than half a block');
  const dirBlockSize = settings.dirBlockSize ?? Math.max(4096, blockSize);
  if (dirBlockSize < blockSize) throw bad('dirBlockSize', 'smaller than a block');
  const { stripeUnit, stripeWidth } = settings;
  if (stripeUnit % blockSize !== 0 || (stripeUnit === 0) !== (stripeWidth === 0) || (stripeUnit > 0 && stripeWidth % stripeUnit !== 0)) {
    throw bad('stripeWidth', 'stripes are whole blocks, and a width is a multiple of its unit');
  }
  const unit = stripeUnit / blockSize;
  const width = stripeWidth / blockSize;
  const groups = planGroups(settings, sizeBytes, unit, width);
  const headerBlocks = divCeil(4 * sectorSize, blockSize);
  const firstFree = headerBlocks + 3 + (settings.finobt ? 1 : 0) + (settings.rmapbt ? 1 : 0) + (settings.reflink ? 1 : 0);
  const freeListBlocks = 2 * Math.min(2, freeTreeLevels(blockSize, groups.agBlocks)) + (settings.rmapbt ? 2 : 0);
  const logUnit = logUnitBytes(settings, sectorSize, unit);
  const align = divCeil(logUnit, blockSize);
  const log = planLog(settings, { groups, dirBlockSize, firstFree, align, unit: logUnit, freeListBlocks });
  const logAg = Math.floor(groups.agCount / 2);
  const cluster = Math.floor((8192 * (inodeSize / 256)) / blockSize);
  const inoAlign = settings.sparse ? Math.floor((INODES_PER_CHUNK * inodeSize) / blockSize) : cluster;
  const chunkBlocks = Math.max(1, (INODES_PER_CHUNK * inodeSize) / blockSize);
  let chunkBlock = firstFree + freeListBlocks + (logAg === 0 ? log.blocks : 0);
  if (unit > 0 && unit % Math.max(1, inoAlign) === 0) chunkBlock = roundUp(chunkBlock, unit);
  else if (inoAlign > 1) chunkBlock = roundUp(chunkBlock, inoAlign);
  return {
    settings,
    blockSize,
    blockLog: Math.log2(blockSize),
    sectorSize,
    dirBlockSize,
    ...groups,
    agBlkLog: Math.ceil(Math.log2(groups.agBlocks)),
    inodesPerBlock: blockSize / inodeSize,
    inoAlign,
    spinoAlign: settings.sparse ? cluster : 0,
    imaxPct: settings.inodesPercent ?? defaultPercent(groups.dblocks * blockSize),
    unit,
    width,
    headerBlocks,
    firstFree,
    logAg,
    logBlock: log.block,
    logBlocks: log.blocks,
    logUnit,
    freeListBlocks,
    chunkBlocks,
    chunkBlock,
    warnings: sizeBytes < SIZE_TOOL_MIN ? ['smaller than the 300 MiB that mkfs.xfs asks for: space for metadata is tight'] : [],
  };
}
