/**
 * The one effect of the house: `Io<T>`, a generator that yields requests and is resumed with a status.
 *
 * - A request carries its buffers; the answer is only a status, like a bio's `bi_status`.
 * - Devices return failures and never throw; only `submit` (submit.ts) throws.
 * - Crash = the generator is never resumed; cancel = `return()`, so `finally` may unlock and never yields.
 */
import type { FsError } from './error.js';
import type { WaitQueue } from './wait-queue.js';

/** Code that may wait: yields requests, is resumed with a status. */
export type Io<T> = Generator<IoRequest, T, IoResult>;

/** How a request ended. */
export type IoResult = { readonly ok: true } | { readonly ok: false; readonly error: FsError };

/** The one success value, so that a fast device allocates nothing. */
export const IO_OK: IoResult = Object.freeze({ ok: true });

export type BioOp = 'read' | 'write' | 'flush' | 'discard' | 'writeZeroes';

/**
 * One block I/O. `pos` and the sum of the segments' lengths are bytes, multiples of the device's sector size.
 * `lengthBytes` counts for `discard` and `writeZeroes`, which carry no segments (`segments` is empty).
 * `fua`: the write is durable when it completes. `atomic`: all of it or nothing survives a crash.
 */
export interface Bio {
  readonly op: BioOp;
  readonly pos: number;
  readonly segments: readonly Uint8Array[];
  readonly lengthBytes: number;
  readonly fua?: boolean;
  readonly atomic?: boolean;
}

/** What a bio goes to. Every block device is one (`@iomap/block-device`). */
export interface BioTarget {
  /** True: `submit` answers at once. False: it may answer with a promise, and `runSync` refuses the target. */
  readonly synchronous: boolean;
  /** Never throws and never rejects: a failure is a result. */
  submit(bio: Bio): IoResult | Promise<IoResult>;
}

/** One bio for one target. The runner sets `result`, then calls `end`, when it completes (`bi_status`, `bi_end_io`). */
export interface BioRequest {
  readonly kind: 'bio';
  readonly target: BioTarget;
  readonly bio: Bio;
  /** A plain function (it cannot wait): unlocks, counts, records the error. Runs before the submitter is resumed. */
  readonly end?: ((result: IoResult) => void) | undefined;
  result?: IoResult;
}

/**
 * A plug: all bios are in flight together and the task is resumed when the last has ended, with the first error in list
 * order. `detached`: the task is resumed at once and each bio reports by its `end` alone (readahead, background writeback).
 */
export interface BatchRequest {
  readonly kind: 'batch';
  readonly requests: readonly BioRequest[];
  readonly detached: boolean;
}

/** Parks the task until the queue wakes it. */
export interface WaitRequest {
  readonly kind: 'wait';
  readonly queue: WaitQueue;
}

/** What the runner and the spawner of a task share. */
export interface TaskHandle {
  /** For messages. */
  readonly name: string;
  /** Set by a runner that can cancel the task: it leaves its queue, its `finally` blocks run, it ends. */
  cancel?: () => void;
}

/**
 * Starts another task; the asker goes on at once. `runSync` runs the child to its end first.
 * An error that escapes the child has nobody to go to but the host: `spawn` (task.ts) keeps it for `join`.
 */
export interface SpawnRequest {
  readonly kind: 'spawn';
  readonly io: Io<unknown>;
  readonly handle?: TaskHandle | undefined;
}

export type IoRequest = BioRequest | BatchRequest | WaitRequest | SpawnRequest;
