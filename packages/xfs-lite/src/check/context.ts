/** What all parts of one check share: the volume, the findings, and who has which blocks. */
import type { BufOps } from '@iomap/buffer-cache';
import { corrupt, FsError, submitBio, type Io } from '@iomap/io';
import { fsbToAg, fsbToAgb, type SuperInfo } from '../super.js';
import type { Volume } from '../volume.js';
import { BlockMap } from './block-map.js';
import type { InodeTable } from './inode-table.js';
import type { Report } from './report.js';
import { OwnedRuns, SharedRuns } from './runs.js';

export class CheckContext {
  readonly vol: Volume;
  readonly info: SuperInfo;
  readonly report: Report;
  readonly blocks: BlockMap;
  /** Per group: all runs, where a reverse map is to be compared. */
  readonly #owned: OwnedRuns[] = [];
  /** Per group: data of files that may share their blocks. */
  readonly #shared = new Map<number, SharedRuns>();
  inodes: InodeTable | undefined;

  constructor(vol: Volume, report: Report) {
    this.vol = vol;
    this.info = vol.info;
    this.report = report;
    this.blocks = new BlockMap(vol.info.agBlocks);
  }

  /** Runs of a group as found in files and trees; undefined where there is no reverse map to compare with. */
  owned(ag: number): OwnedRuns | undefined {
    return this.info.hasRmapbt ? (this.#owned[ag] ??= new OwnedRuns()) : undefined;
  }

  sharedIn(ag: number): SharedRuns | undefined {
    return this.#shared.get(ag);
  }

  /** Takes blocks of a group for an owner; `free` for nobody. False: some were taken before, which is a finding. */
  claim(ag: number, start: number, count: number, owner: number | 'free', offset = 0, flags = 0): boolean {
    const taken = this.blocks.claim(ag, start, count);
    if (taken >= 0) this.#twice(ag, taken, owner);
    if (owner !== 'free') this.owned(ag)?.add(start, count, owner, offset, flags);
    return taken < 0;
  }

  #twice(ag: number, block: number, owner: number | 'free'): void {
    const who = owner === 'free' ? 'is free, and somebody has it' : `is taken twice, by ${owner} too`;
    this.report.add('space', 'blocks-twice', `block ${block} ${who}`, { group: ag, block, ...(typeof owner === 'number' && owner > 0 ? { ino: owner } : {}) });
  }

  /** `claim` by a filesystem block number that is in one group. */
  claimFsb(fsb: number, count: number, owner: number, offset = 0, flags = 0): boolean {
    return this.claim(fsbToAg(this.info, fsb), fsbToAgb(this.info, fsb), count, owner, offset, flags);
  }

  /** Takes data of a file that may share it: who else has it is compared when all files are known. */
  claimShared(fsb: number, count: number, owner: number, offset: number, flags: number): void {
    const ag = fsbToAg(this.info, fsb);
    const start = fsbToAgb(this.info, fsb);
    let runs = this.#shared.get(ag);
    if (runs === undefined) {
      runs = new SharedRuns();
      this.#shared.set(ag, runs);
    }
    runs.add(start, count);
    this.owned(ag)?.add(start, count, owner, offset, flags);
  }

  /** Reads bytes, past all caches. Waits on: a read, in as many bios as the device wants. @throws FsError EIO */
  *read(pos: number, bytes: Uint8Array): Io<void> {
    const { device } = this.vol;
    const step = Math.max(device.limits.maxBioBytes - (device.limits.maxBioBytes % device.sectorSize), device.sectorSize);
    for (let at = 0; at < bytes.length; at += step) {
      const segment = at === 0 && bytes.length <= step ? bytes : bytes.subarray(at, Math.min(bytes.length, at + step));
      yield* submitBio(device, { op: 'read', pos: pos + at, segments: [segment], lengthBytes: segment.length });
    }
  }
}

/** Runs a verifier over a block. @throws FsError EUCLEAN, EBADMSG */
export function verify(ops: BufOps, view: DataView, where: { readonly bytes: Uint8Array; readonly pos: number }, ino: number): void {
  const fault = ops.verifyRead?.(view, where);
  if (fault === undefined) return;
  const detail = { ino, pos: where.pos, field: fault.field };
  if (fault.checksum === true) throw new FsError('EBADMSG', { why: `${ops.name}: ${fault.why}`, detail });
  throw corrupt(`${ops.name}: ${fault.why}`, detail);
}
