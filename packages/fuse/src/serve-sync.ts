/**
 * The loop for devices that answer at once: read(2) a request, serve it, write(2) the reply. Two system calls a request, no
 * turn of an event loop. The thread does nothing else; the supervisor (server.ts) reaches it through `control` and
 * wakes it with a request of its own.
 */
import { readSync, writeSync } from 'node:fs';
import { runSync } from '@iomap/io';
import { Channel, REPLY_AT, REQUEST_AT } from './channel.js';
import { handle } from './dispatch.js';
import { NO_REPLY, type Session } from './session.js';

/** Places in the words that supervisor and loop share: wishes, 1 = mounted (-1 = not to be), 1 = something is dirty. */
export const CONTROL_WISHES = 0;
export const CONTROL_MOUNTED = 1;
export const CONTROL_DIRTY = 2;

/** Wishes: set by the supervisor, taken by the loop. */
export const CONTROL_WRITEBACK = 1;
export const CONTROL_STOP = 2;

const codeOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** A request that ended before it could be read or answered; a signal. */
const PASSING = new Set(['EINTR', 'ENOENT', 'EAGAIN']);
/** The connection is gone: unmounted, or aborted. */
const GONE = new Set(['ENODEV', 'ECONNABORTED', 'ENOTCONN']);

/** Reads one request; its length, 0 = none this time, -1 = the connection is gone. */
function receive(fd: number, channel: Channel): number {
  try {
    return readSync(fd, channel.input, REQUEST_AT, channel.roomBytes, null);
  } catch (error) {
    const code = codeOf(error);
    if (PASSING.has(code)) return 0;
    if (GONE.has(code)) return -1;
    throw error;
  }
}

/** Sends the reply; what the kernel does not take was not told. */
function send(fd: number, session: Session, channel: Channel, length: number): void {
  try {
    writeSync(fd, channel.reply, REPLY_AT, length, null);
  } catch (error) {
    const code = codeOf(error);
    runSync(session.takeBack(channel));
    if (!PASSING.has(code) && !GONE.has(code)) session.complain(`answer to operation ${channel.opcode}`, error);
  }
}

/** A busy mount is written back at every sixth look: as Linux, which looks every 5 s for what is 30 s old. */
const TICKS_BUSY = 6;

/** When to write back: at once when nobody asked for anything since the last look, else when it has been put off long enough. */
class Writeback {
  readonly #session: Session;
  #ticks = 0;
  #requests = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** A request was served. */
  count(): void {
    this.#requests++;
  }

  /** The supervisor looked; the request that woke the loop is one. */
  tick(): void {
    this.#ticks++;
    if (this.#requests <= 1 || this.#ticks >= TICKS_BUSY) this.#run();
    this.#requests = 0;
  }

  /** A failure is kept by the files that lost data, for their next fsync; and told. */
  #run(): void {
    this.#ticks = 0;
    const session = this.#session;
    if (!session.dirty || session.fs.readOnly) return;
    session.dirty = false;
    try {
      runSync(session.vfs.sync());
    } catch (error) {
      session.complain('writeback', error);
    }
  }
}

/**
 * Serves until the connection is gone or the supervisor says stop.
 * @param control shared with the supervisor
 * @param served called once, after INIT has been answered
 */
export function serveSync(fd: number, session: Session, control: Int32Array, served: () => void): void {
  const channel = new Channel(session.options.requestBytes);
  const writeback = new Writeback(session);
  let isServed = false;
  for (;;) {
    const length = receive(fd, channel);
    if (length < 0) return;
    if (length > 0 && channel.begin(length)) {
      const reply = runSync(handle(session, channel));
      if (reply !== NO_REPLY) send(fd, session, channel, reply);
      writeback.count();
      if (!isServed && session.agreed !== undefined) {
        isServed = true;
        served();
      }
    }
    control[CONTROL_DIRTY] = session.dirty ? 1 : 0;
    const asked = Atomics.load(control, CONTROL_WISHES);
    if (asked === 0) continue;
    Atomics.and(control, CONTROL_WISHES, ~CONTROL_WRITEBACK);
    if ((asked & CONTROL_STOP) !== 0) return;
    if ((asked & CONTROL_WRITEBACK) !== 0) writeback.tick();
    control[CONTROL_DIRTY] = session.dirty ? 1 : 0;
  }
}
