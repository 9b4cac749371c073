/**
 * The loop for devices that answer later: each request is a task of its own, so that while one waits for the device others go
 * on. Requests that touch the same inode order themselves by the vfs's locks.
 *
 * One reader: it takes the next request as soon as the last is a task, and reading costs far less than a device that is
 * worth waiting for. A request has its own buffers (a `Channel`); there are at most `CHANNELS_MAX`, kept for reuse. With all of
 * them in use the kernel's queue holds the rest.
 *
 * Invariants
 * - V1 a channel belongs to one request from its read to its reply.
 * - V2 at the end no task is left: `serveAsync` returns when the last has answered.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { runAsync } from '@iomap/io';
import { Channel } from './channel.js';
import { CONTROL_DIRTY, CONTROL_STOP, CONTROL_WISHES, CONTROL_WRITEBACK } from './control.js';
import { handle } from './dispatch.js';
import { mayFit } from './full-wait.js';
import type { Pace } from './pace.js';
import { NO_REPLY, type Session } from './session.js';
import { Writeback } from './writeback.js';

/** Requests in flight, and pairs of buffers at the most. */
export const CHANNELS_MAX = 16;

/** For a request that met a full image while unlinked files are still to be forgotten: how often it is tried again, and when. */
const FULL_TRIES = 3;
const FULL_PAUSE_MS = 10;

/** Where requests come from and replies go to: /dev/fuse, or a test. */
export interface Transport {
  /** Reads one request into the channel; its length, 0 = none this time, -1 = the connection is gone. */
  receive(channel: Channel): Promise<number>;
  /** Sends the first `length` bytes of the reply; false = the kernel did not take it. */
  send(channel: Channel, length: number): boolean;
}

class Server {
  readonly #transport: Transport;
  readonly #session: Session;
  readonly #control: Int32Array;
  readonly #writeback: Writeback;
  readonly #served: () => void;
  readonly #pace: Pace | undefined;
  readonly #idle: Channel[] = [];
  #channels = 0;
  #isServed = false;
  /** Tasks that have not ended. */
  #tasks = 0;
  /** Wakes who waits for a task to end. */
  #ended: () => void = () => undefined;

  constructor(transport: Transport, session: Session, control: Int32Array, served: () => void, pace?: Pace) {
    this.#pace = pace;
    this.#transport = transport;
    this.#session = session;
    this.#control = control;
    this.#served = served;
    this.#writeback = new Writeback(session);
  }

  async run(): Promise<void> {
    for (;;) {
      const channel = await this.#channel();
      const length = await this.#transport.receive(channel);
      if (length < 0) break;
      if (length > 0 && channel.begin(length)) this.#start(this.#answer(channel));
      else this.#idle.push(channel);
      const asked = Atomics.load(this.#control, CONTROL_WISHES);
      if (asked === 0) continue;
      Atomics.and(this.#control, CONTROL_WISHES, ~CONTROL_WRITEBACK);
      if ((asked & CONTROL_STOP) !== 0) break;
      if ((asked & CONTROL_WRITEBACK) !== 0) this.#start(runAsync(this.#writeback.tick()));
    }
    while (this.#tasks > 0) await this.#oneEnd();
  }

  #oneEnd(): Promise<void> {
    return new Promise((resolve) => {
      this.#ended = resolve;
    });
  }

  async #channel(): Promise<Channel> {
    while (this.#idle.length === 0 && this.#channels >= CHANNELS_MAX) await this.#oneEnd();
    const channel = this.#idle.pop();
    if (channel !== undefined) return channel;
    this.#channels++;
    return new Channel(this.#session.options.requestBytes);
  }

  #start(task: Promise<void>): void {
    this.#tasks++;
    const end = (): void => {
      this.#tasks--;
      this.#control[CONTROL_DIRTY] = this.#session.dirty ? 1 : 0;
      this.#ended();
    };
    void task.then(end, (error: unknown) => {
      this.#session.complain('a request', error);
      end();
    });
  }

  async #answer(channel: Channel): Promise<void> {
    const session = this.#session;
    try {
      let reply = await runAsync(handle(session, channel));
      // Room that a forget may bring back, see full-wait.ts; here others are served while this one sleeps.
      for (let left = FULL_TRIES; left > 0 && mayFit(session, channel); left--) {
        await sleep(FULL_PAUSE_MS);
        channel.entered.length = 0;
        reply = await runAsync(handle(session, channel));
      }
      if (reply !== NO_REPLY && !this.#transport.send(channel, reply)) await runAsync(session.takeBack(channel));
      this.#writeback.count();
      this.#pace?.count();
      if (!this.#isServed && session.agreed !== undefined) {
        this.#isServed = true;
        this.#served();
      }
    } finally {
      this.#idle.push(channel);
    }
  }
}

/**
 * Serves until the connection is gone or the supervisor says stop, and all that was begun is answered.
 * @param control shared with the supervisor (control.ts)
 * @param served called once, after INIT has been answered
 * @param pace told of every request, see pace.ts
 */
export const serveAsync = (transport: Transport, session: Session, control: Int32Array, served: () => void, pace?: Pace): Promise<void> =>
  new Server(transport, session, control, served, pace).run();
