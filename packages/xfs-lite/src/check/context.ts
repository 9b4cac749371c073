/** What all parts of one check share: the volume, the findings, and who has which blocks. */
import type { BufOps } from '@iomap/buffer-cache';
import { corrupt, FsError, submitBio, type Io } from '@iomap/io';
import { AttrRemote, BtreeLong, Da3BlkInfo, Dir3BlkHdr, SymlinkRemote } from '../ondisk-trees.js';
import { fsbToAg, fsbToAgb, type SuperInfo } from '../super.js';
import type { Volume } from '../volume.js';
import { BlockMap } from './block-map.js';
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
  /** Where each type of block has its LSN. */
  readonly #lsnAt: ReadonlyMap<BufOps, number>;
  /** The newest LSN met: cycle and basic block of the log. */
  lsnCycle = 0;
  lsnBlock = 0;

  constructor(vol: Volume, report: Report) {
    this.vol = vol;
    this.info = vol.info;
    this.report = report;
    this.blocks = new BlockMap(vol.info.agBlocks);
    const { ops } = vol;
    this.#lsnAt = new Map([
      [ops.dirData, Dir3BlkHdr.offsets.lsn],
      [ops.dirFree, Dir3BlkHdr.offsets.lsn],
      [ops.dirTree, Da3BlkInfo.offsets.lsn],
      [ops.attrTree, Da3BlkInfo.offsets.lsn],
      [ops.bmap, BtreeLong.offsets.bb_lsn],
      [ops.attrRemote, AttrRemote.offsets.rm_lsn],
      [ops.symlink, SymlinkRemote.offsets.sl_lsn],
    ]);
  }

  /** Notes an LSN of version 5: none may be newer than the log. */
  noteLsn(view: DataView, at: number): void {
    const cycle = view.getUint32(at);
    const block = view.getUint32(at + 4);
    if (cycle < this.lsnCycle || (cycle === this.lsnCycle && block <= this.lsnBlock)) return;
    // All ones: none.
    if (cycle === 0xffff_ffff && block === 0xffff_ffff) return;
    this.lsnCycle = cycle;
    this.lsnBlock = block;
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

  /** Runs a verifier over a block. @throws FsError EUCLEAN, EBADMSG */
  verify(ops: BufOps, view: DataView, where: { readonly bytes: Uint8Array; readonly pos: number }, ino: number): void {
    const fault = ops.verifyRead?.(view, where);
    if (fault === undefined) {
      const at = this.#lsnAt.get(ops);
      if (this.info.v5 && at !== undefined) this.noteLsn(view, at);
      return;
    }
    const detail = { ino, pos: where.pos, field: fault.field };
    if (fault.checksum === true) throw new FsError('EBADMSG', { why: `${ops.name}: ${fault.why}`, detail });
    throw corrupt(`${ops.name}: ${fault.why}`, detail);
  }
}
