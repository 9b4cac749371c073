/**
 * A mount that is asked one small thing after the other is as fast as two processors wake one another: each request wakes the
 * serving thread, each answer the program. A processor that has gone to sleep takes long to wake (in a virtual machine, where it
 * goes by the host, 30 µs and more; the request itself takes 5). So while requests come thick, the machine is asked not to let its
 * idle processors sleep: the kernel's own interface for that, /dev/cpu_dma_latency, for as long as it is open.
 *
 * - `Pace` (the serving thread) sees that requests come thick, and says so once.
 * - `WakeLatency` (the supervisor) then holds the device open, and looks every `LOOK_MS` whether it is still worth it. It ends with
 *   the process, however that ends.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { CONTROL_BUSY, CONTROL_REQUESTS } from './control.js';

const DEVICE = '/dev/cpu_dma_latency';
/** Requests come thick: so many of them in so many ms. */
const BURST = 64;
const BURST_MS = 16;
/** Held open while at least this many come in each `LOOK_MS`. */
const LOOK_MS = 25;
const LOOK_REQUESTS = 50;

export class Pace {
  readonly #control: Int32Array;
  readonly #busy: () => void;
  readonly #now: () => number;
  #left = BURST;
  #since: number;

  /**
   * @param control shared with the supervisor (control.ts)
   * @param busy tells the supervisor; not called again before it has set `CONTROL_BUSY` back
   * @param now milliseconds
   */
  constructor(control: Int32Array, busy: () => void, now: () => number) {
    this.#control = control;
    this.#busy = busy;
    this.#now = now;
    this.#since = now();
  }

  /** A request was served. */
  count(): void {
    this.#control[CONTROL_REQUESTS] = ((this.#control[CONTROL_REQUESTS] ?? 0) + 1) | 0;
    if (--this.#left > 0) return;
    this.#left = BURST;
    const now = this.#now();
    const isThick = now - this.#since <= BURST_MS;
    this.#since = now;
    if (!isThick || this.#control[CONTROL_BUSY] !== 0) return;
    this.#control[CONTROL_BUSY] = 1;
    this.#busy();
  }
}

/** Opens the device; undefined where it is not there or not ours to open. */
function holdDevice(): number | undefined {
  let fd: number;
  try {
    fd = openSync(DEVICE, 'w');
  } catch {
    return undefined;
  }
  try {
    writeSync(fd, new Uint8Array(4)); // 0 µs
    return fd;
  } catch {
    closeSync(fd);
    return undefined;
  }
}

/** What `WakeLatency` needs of the machine. */
export interface LatencyHost {
  /** From now on processors wake fast; undefined = that is not to be had. */
  hold(): number | undefined;
  release(held: number): void;
}

const MACHINE: LatencyHost = { hold: holdDevice, release: closeSync };

export class WakeLatency {
  readonly #control: Int32Array;
  readonly #host: LatencyHost;
  #held: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #requests = 0;

  constructor(control: Int32Array, host: LatencyHost = MACHINE) {
    this.#control = control;
    this.#host = host;
  }

  /** Requests come thick. Where the device cannot be had `CONTROL_BUSY` stays set, so that nobody asks again. */
  begin(): void {
    if (this.#held !== undefined) return;
    this.#held = this.#host.hold();
    if (this.#held === undefined) return;
    this.#requests = this.#control[CONTROL_REQUESTS] ?? 0;
    this.#timer = setInterval(() => {
      this.#look();
    }, LOOK_MS);
  }

  #look(): void {
    const requests = this.#control[CONTROL_REQUESTS] ?? 0;
    const came = (requests - this.#requests) | 0;
    this.#requests = requests;
    if (came < LOOK_REQUESTS) this.end();
  }

  /** Lets the processors sleep again. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#held !== undefined) this.#host.release(this.#held);
    this.#held = undefined;
    this.#control[CONTROL_BUSY] = 0;
  }
}
