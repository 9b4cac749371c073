/**
 * The simulator: many tasks on simulated disks, one event at a time, everything decided by a seed.
 *
 * - At every yield the task is set aside. What happens next - a runnable task goes on, a bio in flight completes or fails,
 *   a sleeper's time comes - is picked from the seed. So two tasks interleave at any pair of waits, and a run that fails
 *   is a seed that anyone can replay.
 * - Time is virtual: each completion takes some; with nothing else to do it jumps to the next sleeper.
 * - When nothing can happen and tasks are left, that is a deadlock: it says who waits for what and holds what.
 * - The lock-order check is on while it runs.
 * - A `SimDevice` gets its bios in two steps (begin, complete), so that a crash finds writes in flight. Any other device,
 *   a wrapper around a `SimDevice` too, gets them at their completion.
 */
import { assert } from '../assert.js';
import type { Env, Timespec } from '../env.js';
import { FsError, isCode, type FsCode } from '../error.js';
import { LockOrder, lockOrder } from '../lock-order.js';
import { SeededRandom } from '../random.js';
import { IO_OK, type Bio, type BioRequest, type Io, type IoRequest, type IoResult } from '../request.js';
import { submit } from '../submit.js';
import { Task } from '../task.js';
import { WaitQueue } from '../wait-queue.js';
import { SimDevice, type InFlight } from './sim-device.js';

export interface SimulatorOptions {
  /** Decides everything. */
  readonly seed: number;
  /** How many events a run may have before it counts as a hang. Default 10,000,000. */
  readonly stepsMax?: number;
  /** Chosen requests fail: the code to fail with, or undefined. `index` counts bios from 0. */
  readonly fault?: (bio: Bio, index: number) => FsCode | undefined;
  /** Each bio fails (EIO) with this probability. Default 0. */
  readonly faultProbability?: number;
  /** Called before every event, between tasks. */
  readonly onStep?: (simulator: Simulator) => void;
}

/** A simulation that went wrong: its message starts with the seed to replay it with. */
export class SimulationError extends Error {
  override readonly name = 'SimulationError';
  readonly seed: number;
  readonly step: number;

  constructor(seed: number, step: number, what: string, cause?: unknown) {
    super(`seed ${seed}, step ${step}: ${what}`, cause === undefined ? undefined : { cause });
    this.seed = seed;
    this.step = step;
  }
}

interface SimTask {
  readonly name: string;
  readonly io: Io<unknown>;
  state: 'ready' | 'bio' | 'parked' | 'ended';
  /** What it is resumed with. */
  result: IoResult;
  /** Bios that it still waits for. */
  pending: number;
  cancelled: boolean;
  waitsFor: WaitQueue | undefined;
  leave: (() => void) | undefined;
}

interface SimBio {
  readonly request: BioRequest;
  readonly inFlight: InFlight | undefined;
  readonly code: FsCode | undefined;
  readonly done: () => void;
}

interface Sleeper {
  readonly atNs: number;
  readonly queue: WaitQueue;
}

const STEP_NS = 1000;
const BIO_NS_MAX = 200_000;

export class Simulator {
  readonly seed: number;
  /** Virtual nanoseconds since the start. */
  nowNs = 0;
  /** Events so far. */
  step = 0;
  readonly #random: SeededRandom;
  readonly #options: SimulatorOptions;
  readonly #order = new LockOrder();
  readonly #tasks = new Set<SimTask>();
  readonly #ready: SimTask[] = [];
  readonly #bios: SimBio[] = [];
  readonly #sleepers: Sleeper[] = [];
  readonly #spawned: Task<unknown>[] = [];
  #bioIndex = 0;

  constructor(options: SimulatorOptions) {
    this.seed = options.seed;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
  }

  /** Bios that have started and not ended. */
  get inFlight(): number {
    return this.#bios.length;
  }

  /** Adds a task; `run` runs it. A failure that nobody joins fails the run. */
  spawn<T>(io: Io<T>, name = `task ${this.#spawned.length}`): Task<T> {
    const task = new Task<T>(name);
    const request = task.request(io);
    this.#spawned.push(task);
    this.#add(request.io, name, request.handle);
    return task;
  }

  /**
   * Runs until no task is left.
   * @throws SimulationError with the seed: a deadlock, too many steps, a task's error (its `cause`)
   */
  run(): void {
    const outer = lockOrder.active;
    lockOrder.active = this.#order;
    try {
      while (this.#tasks.size > 0 || this.#bios.length > 0) this.#event();
    } finally {
      lockOrder.active = outer;
    }
    for (const task of this.#spawned) {
      if (task.state === 'failed' && !task.joined) this.#fail(`${task.name} failed`, task.error);
    }
  }

  /** Runs one task, and what it spawns, to the end; its value. Throws as `run`. */
  runOne<T>(io: Io<T>, name = 'main'): T {
    const task = this.spawn(io, name);
    this.run();
    const end = task.join().next();
    assert(end.done, 'a task that has ended is joined without waiting');
    return end.value;
  }

  /** Sleeps for some virtual time. */
  *sleep(ns: number): Io<void> {
    const queue = new WaitQueue(`${ns} ns`);
    this.#sleepers.push({ atNs: this.nowNs + ns, queue });
    yield* submit({ kind: 'wait', queue });
  }

  /** The world as the simulation has it: virtual time from `start` on, random bytes from the seed. */
  env(start: Timespec = { sec: 1_000_000_000, nsec: 0 }): Env {
    const random = new SeededRandom(this.seed + 1);
    const fill = (bytes: Uint8Array): void => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
    };
    return {
      now: () => {
        const ns = start.nsec + this.nowNs;
        return { sec: start.sec + Math.floor(ns / 1e9), nsec: ns % 1e9 };
      },
      random: fill,
      uuid: () => {
        const bytes = new Uint8Array(16);
        fill(bytes);
        bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
        bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
        return bytes;
      },
    };
  }

  #add(io: Io<unknown>, name: string, handle?: { cancel?: () => void }): void {
    const task: SimTask = {
      name,
      io,
      state: 'ready',
      result: IO_OK,
      pending: 0,
      cancelled: false,
      waitsFor: undefined,
      leave: undefined,
    };
    if (handle !== undefined) {
      handle.cancel = () => {
        this.#cancel(task);
      };
    }
    this.#tasks.add(task);
    this.#ready.push(task);
  }

  #cancel(task: SimTask): void {
    if (task.state === 'ended' || task.cancelled) return;
    task.cancelled = true;
    if (task.state === 'parked') {
      task.leave?.();
      this.#wake(task, IO_OK);
    }
  }

  #wake(task: SimTask, result: IoResult): void {
    task.state = 'ready';
    task.result = result;
    task.waitsFor = undefined;
    task.leave = undefined;
    this.#ready.push(task);
  }

  /** One thing happens. */
  #event(): void {
    if (++this.step > (this.#options.stepsMax ?? 10_000_000)) this.#fail('too many steps: a hang');
    this.#options.onStep?.(this);
    this.nowNs += STEP_NS;
    this.#wakeSleepers();
    const choices = this.#ready.length + this.#bios.length;
    if (choices === 0) {
      this.#jump();
      return;
    }
    const choice = this.#random.below(choices);
    if (choice < this.#ready.length) {
      const task = takeOut(this.#ready, choice);
      this.#go(task);
    } else {
      this.#endBio(takeOut(this.#bios, choice - this.#ready.length));
    }
  }

  #wakeSleepers(): void {
    for (let i = this.#sleepers.length - 1; i >= 0; i--) {
      const sleeper = this.#sleepers[i];
      if (sleeper === undefined || sleeper.atNs > this.nowNs) continue;
      this.#sleepers.splice(i, 1);
      sleeper.queue.wakeAll();
    }
  }

  /** Nothing can happen now: the next sleeper's time comes, or it is a deadlock. */
  #jump(): void {
    // A cancelled sleeper has nobody in its queue.
    const times = this.#sleepers.filter((one) => one.queue.length > 0).map((one) => one.atNs);
    if (times.length > 0) {
      this.nowNs = Math.max(this.nowNs, Math.min(...times));
      return;
    }
    const lines = [...this.#tasks].map((task) => {
      const held = this.#order.heldBy(task);
      const holding = held.length === 0 ? '' : `, holds ${held.join(', ')}`;
      return `${task.name} waits for ${task.waitsFor?.name ?? 'nothing'}${holding}`;
    });
    this.#fail(`deadlock: ${lines.join('; ')}`);
  }

  /** Runs a task up to its next yield. */
  #go(task: SimTask): void {
    this.#order.task = task;
    try {
      const step = task.cancelled ? task.io.return(undefined) : task.io.next(task.result);
      if (step.done === true) this.#ended(task);
      else if (task.cancelled) this.#fail(`${task.name} waits in a finally block after it was cancelled`);
      else this.#begin(task, step.value);
    } catch (cause) {
      this.#ended(task);
      if (cause instanceof SimulationError) throw cause;
      if (!isCode(cause, 'ECANCELED')) this.#fail(`${task.name} failed`, cause);
    } finally {
      this.#order.task = undefined;
    }
  }

  #ended(task: SimTask): void {
    task.state = 'ended';
    this.#tasks.delete(task);
  }

  #begin(task: SimTask, request: IoRequest): void {
    switch (request.kind) {
      case 'bio':
        task.state = 'bio';
        task.pending = 1;
        this.#beginBio(request, () => {
          this.#wake(task, request.result ?? IO_OK);
        });
        return;
      case 'batch':
        this.#beginBatch(task, request.requests, request.detached);
        return;
      case 'wait': {
        task.state = 'parked';
        task.waitsFor = request.queue;
        task.leave = request.queue.add(() => {
          this.#wake(task, IO_OK);
        });
        return;
      }
      case 'spawn':
        this.#add(request.io, request.handle?.name ?? `child of ${task.name}`, request.handle);
        this.#wake(task, IO_OK);
    }
  }

  #beginBatch(task: SimTask, requests: readonly BioRequest[], detached: boolean): void {
    if (detached || requests.length === 0) {
      for (const one of requests) this.#beginBio(one, () => undefined);
      this.#wake(task, IO_OK);
      return;
    }
    task.state = 'bio';
    task.pending = requests.length;
    const done = (): void => {
      task.pending--;
      if (task.pending > 0) return;
      this.#wake(task, requests.find((one) => one.result?.ok === false)?.result ?? IO_OK);
    };
    for (const one of requests) this.#beginBio(one, done);
  }

  #beginBio(request: BioRequest, done: () => void): void {
    const { target, bio } = request;
    const { fault, faultProbability = 0 } = this.#options;
    let code = fault?.(bio, this.#bioIndex++);
    if (code === undefined && faultProbability > 0 && this.#random.chance(faultProbability)) code = 'EIO';
    const inFlight = target instanceof SimDevice ? target.begin(bio) : undefined;
    this.#bios.push({ request, inFlight, code, done });
  }

  #endBio({ request, inFlight, code, done }: SimBio): void {
    this.nowNs += this.#random.below(BIO_NS_MAX);
    const { target, bio } = request;
    let result: IoResult;
    if (target instanceof SimDevice && inFlight !== undefined) {
      const sectors = (inFlight.write?.length ?? 0) / target.sectorSize;
      result = code === undefined ? target.complete(inFlight) : target.fail(inFlight, code, this.#random.below(sectors + 1));
    } else if (code !== undefined) {
      result = { ok: false, error: new FsError(code, { why: `simulated fault, ${bio.op}`, detail: { pos: bio.pos } }) };
    } else {
      const answer = target.submit(bio);
      result =
        answer instanceof Promise
          ? { ok: false, error: new FsError('ENOTSUP', { why: 'an asynchronous device in the simulator' }) }
          : answer;
    }
    request.result = result;
    request.end?.(result);
    done();
  }

  #fail(what: string, cause?: unknown): never {
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    throw new SimulationError(this.seed, this.step, what + why, cause);
  }
}

/** Takes one element out; the last takes its place. */
function takeOut<T>(list: T[], at: number): T {
  const one = list[at] as T;
  const last = list.pop() as T;
  if (at < list.length) list[at] = last;
  return one;
}
