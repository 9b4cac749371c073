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
import { buildGroup, buildInodes, buildLog, buildSuper, chunkInodes, freeBlocks, layoutGroup, type MkfsIdentity } from './image.js';
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

function* write(device: BlockDevice, pos: number, bytes: Uint8Array): Io<void> {
  const step = roundDown(device.limits.maxBioBytes, device.sectorSize);
  for (let at = 0; at < bytes.length; at += step) {
    const segment = bytes.subarray(at, at + step);
    yield* submitBio(device, { op: 'write', pos: pos + at, segments: [segment], lengthBytes: segment.length });
  }
}

function* zeroes(device: BlockDevice, pos: number, lengthBytes: number): Io<void> {
  if (lengthBytes > 0) yield* submitBio(device, { op: 'writeZeroes', pos, segments: [], lengthBytes });
}

function* flush(device: BlockDevice): Io<void> {
  yield* submitBio(device, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 });
}

function* wipe(device: BlockDevice, sizeBytes: number): Io<void> {
  const end = roundDown(sizeBytes, device.sectorSize);
  yield* zeroes(device, 0, Math.min(WIPE_BYTES, end));
  const tail = Math.max(WIPE_BYTES, end - WIPE_BYTES);
  yield* zeroes(device, tail, end - tail);
}

function* writeGroups(device: BlockDevice, plan: MkfsPlan, identity: MkfsIdentity): Io<number> {
  let free = 0;
  for (let ag = 0; ag < plan.agCount; ag++) {
    const group = layoutGroup(plan, ag);
    free += freeBlocks(group) + plan.freeListBlocks;
    if (ag > 0) yield* write(device, ag * plan.agBlocks * plan.blockSize, buildGroup(plan, identity, group, buildSuper(plan, identity, ag)));
  }
  return free;
}

/**
 * Makes an XFS (version 5); everything on the device is lost.
 *
 * Waits on: one write for each group, the log, a flush before and after the primary superblock.
 * @param env time and uuid where options do not give them
 * @throws FsError EINVAL bad options; ENOSPC the device is too small; EROFS; the device's own
 */
export function* mkfs(device: BlockDevice, options: MkfsOptions = {}, env: Env = systemEnv()): Io<MkfsResult> {
  const settings = parseMkfsOptions(options);
  if (device.readOnly) throw new FsError('EROFS', { detail: { device: device.name } });
  const sizeBytes = settings.sizeBytes ?? device.sizeBytes;
  if (sizeBytes > device.sizeBytes) {
    throw new FsError('EINVAL', { why: `the device has ${device.sizeBytes} bytes`, detail: { field: 'sizeBytes' } });
  }
  const plan = planXfs(settings, sizeBytes, device.sectorSize);
  const identity: MkfsIdentity = { now: env.now(), uuid: settings.uuid ?? env.uuid() };
  yield* wipe(device, sizeBytes);
  const fdblocks = yield* writeGroups(device, plan, identity);
  const logPos = (plan.logAg * plan.agBlocks + plan.logBlock) * plan.blockSize;
  if (!settings.assumeZeroed) yield* zeroes(device, logPos, plan.logBlocks * plan.blockSize);
  yield* write(device, logPos, buildLog(plan, identity));
  yield* write(device, plan.chunkBlock * plan.blockSize, buildInodes(plan, identity));
  yield* flush(device); // I1: everything it points to before the superblock
  const icount = chunkInodes(plan);
  const primary = buildSuper(plan, identity, 0, { icount, ifree: icount - 3, fdblocks });
  yield* write(device, 0, buildGroup(plan, identity, layoutGroup(plan, 0), primary));
  yield* flush(device);
  return {
    blockSize: plan.blockSize,
    blocks: plan.dblocks,
    blocksFree: fdblocks,
    agCount: plan.agCount,
    agBlocks: plan.agBlocks,
    logBlocks: plan.logBlocks,
    inodeSize: settings.inodeSize,
    sizeBytes: plan.dblocks * plan.blockSize,
    uuid: identity.uuid,
    warnings: plan.warnings,
  };
}
