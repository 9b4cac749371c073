/**
 * Makes an XFS on a device, laid out as mkfs.xfs does.
 *
 * - Only metadata is written: a few blocks for each group, the first inodes, the log as one `writeZeroes`.
 * - What other filesystems look for is wiped first: the first and the last 128 KiB.
 * - The first group, whose superblock is the primary, is written last, after a flush, so that an interrupted run leaves nothing that
 *   looks whole (I1).
 * - The same options, size and `Env` give the same bytes.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, roundDown, submitBio, systemEnv, type Env, type Io } from '@iomap/io';
import { chunkInodes, INODES_USED, layoutGroup, sealGroup, type SealedGroup } from './group.js';
import { buildInodes, buildLog, buildSuper, type MkfsIdentity, type SuperCounts } from './image.js';
import { parseMkfsOptions, type MkfsOptions } from './options.js';
import { planXfs, type MkfsPlan } from './plan.js';

const WIPE_BYTES = 128 * 1024;

export interface MkfsResult {
  readonly blockSize: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly agCount: number;
  readonly agBlocks: number;
  readonly logBlocks: number;
  readonly inodeSize: number;
  /** Bytes of the filesystem; may be a little less than asked for. */
  readonly sizeBytes: number;
  readonly uuid: Uint8Array;
  /** What is unusual about it. */
  readonly warnings: readonly string[];
}

/** A device that may be written, what is to be on it, and as whom. */
export interface MkfsJob {
  readonly device: BlockDevice;
  readonly plan: MkfsPlan;
  readonly identity: MkfsIdentity;
  readonly sizeBytes: number;
}

/** @throws FsError EINVAL, ENOSPC, EROFS */
export function prepareMkfs(device: BlockDevice, options: MkfsOptions, env: Env): MkfsJob {
  const settings = parseMkfsOptions(options);
  if (device.readOnly) throw new FsError('EROFS', { detail: { device: device.name } });
  const sizeBytes = settings.sizeBytes ?? device.sizeBytes;
  if (sizeBytes > device.sizeBytes) {
    throw new FsError('EINVAL', { why: `the device has ${device.sizeBytes} bytes`, detail: { field: 'sizeBytes' } });
  }
  const plan = planXfs(settings, sizeBytes, device.sectorSize);
  return { device, plan, identity: { now: env.now(), uuid: settings.uuid ?? env.uuid() }, sizeBytes };
}

/** Writes `bytes` in pieces that the device takes. Waits on: those writes, one after another. */
export function* writeBytes(device: BlockDevice, pos: number, bytes: Uint8Array): Io<void> {
  const step = roundDown(device.limits.maxBioBytes, device.sectorSize);
  for (let at = 0; at < bytes.length; at += step) {
    const segment = bytes.length <= step ? bytes : bytes.subarray(at, at + step);
    yield* submitBio(device, { op: 'write', pos: pos + at, segments: [segment], lengthBytes: segment.length });
  }
}

function* zeroes(device: BlockDevice, pos: number, lengthBytes: number): Io<void> {
  if (lengthBytes > 0) yield* submitBio(device, { op: 'writeZeroes', pos, segments: [], lengthBytes });
}

function* flush(device: BlockDevice): Io<void> {
  yield* submitBio(device, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 });
}

/** Wipes what was there, and makes the log. */
export function* beginMkfs({ device, plan, identity, sizeBytes }: MkfsJob): Io<void> {
  const end = roundDown(sizeBytes, device.sectorSize);
  yield* zeroes(device, 0, Math.min(WIPE_BYTES, end));
  const tail = Math.max(WIPE_BYTES, end - WIPE_BYTES);
  yield* zeroes(device, tail, end - tail);
  const logPos = (plan.logAg * plan.agBlocks + plan.logBlock) * plan.blockSize;
  if (!plan.settings.assumeZeroed) yield* zeroes(device, logPos, plan.logBlocks * plan.blockSize);
  yield* writeBytes(device, logPos, buildLog(plan, identity));
}

/** Writes a group that is whole, but for the head of the first, which comes last of all. */
export function* writeGroup({ device, plan, identity }: MkfsJob, ag: number, group: SealedGroup): Io<void> {
  const pos = ag * plan.agBlocks * plan.blockSize;
  if (group.extra.length > 0) yield* writeBytes(device, pos + group.extraStart * plan.blockSize, group.extra);
  if (ag === 0) return;
  group.head.set(buildSuper(plan, identity, ag));
  yield* writeBytes(device, pos, group.head);
}

/** Writes the head of the first group, with the primary superblock (I1). */
export function* endMkfs({ device, plan, identity }: MkfsJob, first: SealedGroup, counts: SuperCounts): Io<MkfsResult> {
  yield* flush(device); // I1: everything it points to before the superblock
  first.head.set(buildSuper(plan, identity, 0, counts));
  yield* writeBytes(device, 0, first.head);
  yield* flush(device);
  return {
    blockSize: plan.blockSize,
    blocks: plan.dblocks,
    blocksFree: counts.fdblocks,
    agCount: plan.agCount,
    agBlocks: plan.agBlocks,
    logBlocks: plan.logBlocks,
    inodeSize: plan.settings.inodeSize,
    sizeBytes: plan.dblocks * plan.blockSize,
    uuid: identity.uuid,
    warnings: plan.warnings,
  };
}

/**
 * Makes an XFS (version 5); everything on the device is lost.
 *
 * Waits on: one write for each group, the log, a flush before and after the primary superblock.
 * @param env time and uuid where options do not give them
 * @throws FsError EINVAL bad options; ENOSPC the device is too small; EROFS; the device's own
 */
export function* mkfs(device: BlockDevice, options: MkfsOptions = {}, env: Env = systemEnv()): Io<MkfsResult> {
  const job = prepareMkfs(device, options, env);
  const { plan, identity } = job;
  yield* beginMkfs(job);
  yield* writeBytes(device, plan.chunkBlock * plan.blockSize, buildInodes(plan, identity));
  const first = sealGroup(plan, identity, layoutGroup(plan, 0));
  let fdblocks = first.freeBlocks;
  for (let ag = 1; ag < plan.agCount; ag++) {
    const group = sealGroup(plan, identity, layoutGroup(plan, ag));
    fdblocks += group.freeBlocks;
    yield* writeGroup(job, ag, group);
  }
  const icount = chunkInodes(plan);
  return yield* endMkfs(job, first, { icount, ifree: icount - INODES_USED, fdblocks });
}
