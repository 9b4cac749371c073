/** A device that counts the bios that go through it, and shows them to whoever asks. */
import type { Bio, BioOp, IoResult } from '@iomap/io';
import { z } from 'zod';
import { bioBytes } from './bio.js';
import type { BlockDevice, BlockDeviceLimits } from './device.js';
import { parseOptions } from './options.js';
import { afterAnswer } from './wait-all.js';

/** One bio as the log keeps it. */
export interface TraceEntry {
  readonly op: BioOp;
  readonly pos: number;
  readonly bytes: number;
  readonly segments: number;
  readonly fua: boolean;
  /** When it was submitted, counted in bios from 0. */
  readonly index: number;
}

export const traceDeviceOptions = z.strictObject({
  /** Called with every bio before it goes down. */
  onBio: z.custom<(entry: TraceEntry, bio: Bio) => void>((value) => typeof value === 'function').optional(),
  /** Called with every bio after it ended. */
  onEnd: z.custom<(entry: TraceEntry, result: IoResult) => void>((value) => typeof value === 'function').optional(),
  /** How many of the last bios `log` keeps; 0 = none. */
  logMax: z.int().nonnegative().default(0),
});
export type TraceDeviceOptions = z.input<typeof traceDeviceOptions>;

export interface OpCounters {
  bios: number;
  bytes: number;
  segments: number;
  errors: number;
  /** `sizes[n]`: bios of at least 2**n and under 2**(n + 1) bytes; empty bios count in 0. */
  readonly sizes: number[];
}

export type TraceCounters = Readonly<Record<BioOp, OpCounters>>;

export interface TraceDevice extends BlockDevice {
  readonly counters: TraceCounters;
  /** The last `logMax` bios, oldest first. */
  readonly log: readonly TraceEntry[];
  /** Sets all counters to zero and empties the log. */
  reset(): void;
}

const OPS: readonly BioOp[] = ['read', 'write', 'flush', 'discard', 'writeZeroes'];

const newCounters = (): OpCounters => ({ bios: 0, bytes: 0, segments: 0, errors: 0, sizes: [] });

class Tracing implements TraceDevice {
  readonly counters: TraceCounters = {
    read: newCounters(),
    write: newCounters(),
    flush: newCounters(),
    discard: newCounters(),
    writeZeroes: newCounters(),
  };
  readonly #base: BlockDevice;
  readonly #options: z.output<typeof traceDeviceOptions>;
  #log: TraceEntry[] = [];
  #index = 0;
  /** Present exactly where the base can. */
  readonly resize?: (sizeBytes: number) => void;
  readonly readNow?: (pos: number, bytes: Uint8Array) => boolean;

  constructor(base: BlockDevice, options: z.output<typeof traceDeviceOptions>) {
    this.#base = base;
    this.#options = options;
    // Without somebody to tell, a bio's worth of counting; else it takes the way that tells.
    if (base.readNow !== undefined && options.onBio === undefined && options.onEnd === undefined && options.logMax === 0) {
      this.readNow = (pos, bytes) => {
        const done = base.readNow?.(pos, bytes) === true;
        if (done) this.#count('read', bytes.length, 1);
        return done;
      };
    }
    if (base.resize !== undefined) this.resize = (sizeBytes) => base.resize?.(sizeBytes);
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
  get log(): readonly TraceEntry[] {
    return this.#log;
  }

  reset(): void {
    this.#log = [];
    for (const op of OPS) {
      const counters = this.counters[op];
      counters.bios = counters.bytes = counters.segments = counters.errors = counters.sizes.length = 0;
    }
  }

  #count(op: BioOp, bytes: number, segments: number): OpCounters {
    const counters = this.counters[op];
    counters.bios++;
    counters.bytes += bytes;
    counters.segments += segments;
    const size = bytes === 0 ? 0 : Math.floor(Math.log2(bytes));
    while (counters.sizes.length <= size) counters.sizes.push(0);
    counters.sizes[size] = (counters.sizes[size] ?? 0) + 1;
    return counters;
  }

  submit(bio: Bio): IoResult | Promise<IoResult> {
    const { onBio, onEnd, logMax } = this.#options;
    const bytes = bioBytes(bio);
    const counters = this.#count(bio.op, bytes, bio.segments.length);
    if (onBio === undefined && onEnd === undefined && logMax === 0) {
      return afterAnswer(this.#base.submit(bio), (result) => {
        if (!result.ok) counters.errors++;
        return result;
      });
    }
    const { op, pos, segments, fua } = bio;
    const entry: TraceEntry = { op, pos, bytes, segments: segments.length, fua: fua === true, index: this.#index++ };
    if (logMax > 0) {
      this.#log.push(entry);
      if (this.#log.length > logMax) this.#log.shift();
    }
    onBio?.(entry, bio);
    return afterAnswer(this.#base.submit(bio), (result) => {
      if (!result.ok) counters.errors++;
      onEnd?.(entry, result);
      return result;
    });
  }

  close(): void {
    this.#base.close();
  }
}

/**
 * `base`, counted. `close` closes it.
 * @throws FsError EINVAL on bad options
 */
export function traceDevice(base: BlockDevice, options: TraceDeviceOptions = {}): TraceDevice {
  return new Tracing(base, parseOptions(traceDeviceOptions, options));
}
