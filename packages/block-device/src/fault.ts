/**
 * A device that goes wrong on purpose: it fails, tears, corrupts or loses the bios that a plan chooses. The same plan and
 * seed choose the same bios at every run.
 */
import { FsError, fsCodeOf, IO_OK, SeededRandom, type Bio, type FsCode, type IoResult } from '@iomap/io';
import { z } from 'zod';
import { bioBytes, checkBio } from './bio.js';
import type { BlockDevice, BlockDeviceLimits } from './device.js';
import { parseOptions } from './options.js';
import { sliceSegments } from './slice.js';
import { afterAnswer } from './wait-all.js';

const bioOp = z.enum(['read', 'write', 'flush', 'discard', 'writeZeroes']);

export const faultSchema = z.strictObject({
  /**
   * - `fail`: nothing is done, the answer is `code`.
   * - `tear`: of a write, only the first `keepSectors` land (default: a seeded number, fewer than all); the answer is `code`.
   * - `corrupt`: `bits` seeded bits are flipped, in what a read returns or in what a write lands; the answer is success.
   * - `lose`: nothing is done, the answer is success: a write that a lying disk dropped.
   */
  kind: z.enum(['fail', 'tear', 'corrupt', 'lose']),
  /** Which operations count; default: all. */
  ops: z.array(bioOp).optional(),
  /** Only bios that touch these bytes. */
  range: z.strictObject({ pos: z.int().nonnegative(), length: z.int().positive() }).optional(),
  /** Any other condition. */
  when: z.custom<(bio: Bio) => boolean>((value) => typeof value === 'function').optional(),
  /** The first of the matching bios that is hit, from 1. */
  nth: z.int().positive().default(1),
  /** How many matching bios are hit from then on; 0 = all. */
  count: z.int().nonnegative().default(1),
  /** Each of them is hit with this probability. */
  probability: z.number().min(0).max(1).default(1),
  code: z.custom<FsCode>((value) => fsCodeOf(value) === value).default('EIO'),
  keepSectors: z.int().nonnegative().optional(),
  bits: z.int().positive().default(1),
});

export const faultPlanSchema = z.strictObject({
  faults: z.array(faultSchema),
  /** Picks torn lengths, flipped bits and chances. */
  seed: z.int().default(1),
});
export type Fault = z.input<typeof faultSchema>;
export type FaultPlan = z.input<typeof faultPlanSchema>;
type ParsedFault = z.output<typeof faultSchema>;

export interface FaultDevice extends BlockDevice {
  /** How many bios were hit so far. */
  readonly hits: number;
  /** From now on everything is left alone (true), or the plan goes on (false). */
  paused: boolean;
}

class Faulty implements FaultDevice {
  paused = false;
  hits = 0;
  readonly #base: BlockDevice;
  readonly #faults: readonly { readonly fault: ParsedFault; matched: number }[];
  readonly #random: SeededRandom;

  constructor(base: BlockDevice, faults: readonly ParsedFault[], seed: number) {
    this.#base = base;
    this.#faults = faults.map((fault) => ({ fault, matched: 0 }));
    this.#random = new SeededRandom(seed);
  }

  get name(): string {
    return this.#base.name;
  }
  get synchronous(): boolean {
    return this.#base.synchronous;
  }
  get sizeBytes(): number {
    return this.#base.sizeBytes;
  }
  get sectorSize(): number {
    return this.#base.sectorSize;
  }
  get readOnly(): boolean {
    return this.#base.readOnly;
  }
  get limits(): BlockDeviceLimits {
    return this.#base.limits;
  }

  submit(bio: Bio): IoResult | Promise<IoResult> {
    const bad = checkBio(this, bio);
    if (bad !== undefined) return bad;
    const fault = this.paused ? undefined : this.#choose(bio);
    if (fault === undefined) return this.#base.submit(bio);
    this.hits++;
    switch (fault.kind) {
      case 'fail':
        return this.#failed(fault, bio);
      case 'lose':
        return IO_OK;
      case 'tear':
        return this.#tear(fault, bio);
      case 'corrupt':
        return this.#corrupt(fault, bio);
    }
  }

  close(): void {
    this.#base.close();
  }

  /** The first fault that hits; every fault counts every bio that it matches. */
  #choose(bio: Bio): ParsedFault | undefined {
    let chosen: ParsedFault | undefined;
    for (const entry of this.#faults) {
      const { fault } = entry;
      if (!matches(fault, bio)) continue;
      entry.matched++;
      const due = entry.matched >= fault.nth && (fault.count === 0 || entry.matched < fault.nth + fault.count);
      if (due && chosen === undefined && (fault.probability === 1 || this.#random.chance(fault.probability))) {
        chosen = fault;
      }
    }
    return chosen;
  }

  #failed(fault: ParsedFault, bio: Bio): IoResult {
    const detail = { device: this.name, pos: bio.pos };
    return { ok: false, error: new FsError(fault.code, { why: `planned fault, ${bio.op}`, detail }) };
  }

  #tear(fault: ParsedFault, bio: Bio): IoResult | Promise<IoResult> {
    const sectors = bioBytes(bio) / this.sectorSize;
    const keep = Math.min(fault.keepSectors ?? this.#random.below(Math.max(1, sectors)), sectors);
    const failed = this.#failed(fault, bio);
    if (bio.op !== 'write' || keep === 0) return failed;
    const lengthBytes = keep * this.sectorSize;
    const part = { ...bio, segments: sliceSegments(bio.segments, 0, lengthBytes), lengthBytes };
    return afterAnswer(this.#base.submit(part), () => failed);
  }

  #corrupt(fault: ParsedFault, bio: Bio): IoResult | Promise<IoResult> {
    if (bio.op === 'read') {
      return afterAnswer(this.#base.submit(bio), (result) => {
        if (result.ok) this.#flip(bio.segments, fault.bits);
        return result;
      });
    }
    if (bio.op !== 'write') return this.#base.submit(bio);
    // The caller's buffers stay as they are: it is the medium that is wrong.
    const segments = bio.segments.map((segment) => segment.slice());
    this.#flip(segments, fault.bits);
    return this.#base.submit({ ...bio, segments });
  }

  #flip(segments: readonly Uint8Array[], bits: number): void {
    const total = segments.reduce((sum, segment) => sum + segment.length, 0);
    if (total === 0) return;
    for (let n = 0; n < bits; n++) {
      const [byte] = sliceSegments(segments, this.#random.below(total), 1);
      if (byte !== undefined) byte[0] = (byte[0] ?? 0) ^ (2 ** this.#random.below(8));
    }
  }
}

function matches(fault: ParsedFault, bio: Bio): boolean {
  if (fault.ops !== undefined && !fault.ops.includes(bio.op)) return false;
  const { range } = fault;
  if (range !== undefined) {
    if (bio.op === 'flush') return false;
    if (bio.pos >= range.pos + range.length || bio.pos + bioBytes(bio) <= range.pos) return false;
  }
  return fault.when === undefined || fault.when(bio);
}

/**
 * `base`, with the faults of `plan`. `close` closes it.
 * @throws FsError EINVAL on a bad plan
 */
export function faultDevice(base: BlockDevice, plan: FaultPlan): FaultDevice {
  const { faults, seed } = parseOptions(faultPlanSchema, plan);
  return new Faulty(base, faults, seed);
}
