/**
 * The loop for devices that answer at once: read(2) a request, serve it, write(2) the reply. Two system calls a request, no
 * turn of an event loop. The thread does nothing else; the supervisor (server.ts) reaches it through `control` and
 * wakes it with a request of its own.
 */
import { readSync, writeSync } from 'node:fs';
import { runSync } from '@iomap/io';
import { Channel, REPLY_AT, REQUEST_AT } from './channel.js';
import { CONTROL_DIRTY, CONTROL_STOP, CONTROL_WISHES, CONTROL_WRITEBACK, meaningOf } from './control.js';
import { handle } from './dispatch.js';
import { FullWait } from './full-wait.js';
import type { Pace } from './pace.js';
import { NO_REPLY, type Session } from './session.js';
import { Writeback } from './writeback.js';

/** Reads one request; its length, 0 = none this time, -1 = the connection is gone. */
function receive(fd: number, channel: Channel): number {
  try {
    return readSync(fd, channel.input, REQUEST_AT, channel.roomBytes, null);
  } catch (error) {
    const meaning = meaningOf(error);
    if (meaning === 'failure') throw error;
    return meaning === 'gone' ? -1 : 0;
  }
}

/** Sends the reply; what the kernel does not take was not told. */
function send(fd: number, session: Session, channel: Channel, length: number): void {
  try {
    writeSync(fd, channel.reply, REPLY_AT, length, null);
  } catch (error) {
    runSync(session.takeBack(channel));
    if (meaningOf(error) === 'failure') session.complain(`answer to operation ${channel.opcode}`, error);
  }
}

/** How the loop speaks to the supervisor. */
export interface Calls {
  readonly served: () => void;
  readonly wake: () => void;
  /** Told of every request. */
  readonly pace: Pace;
}

/**
 * Serves until the connection is gone or the supervisor says stop.
 * @param control shared with the supervisor (control.ts)
 * @param served called once, after INIT has been answered
 * @param wake asks the supervisor for requests of its own: see full-wait.ts
 * @param pace see pace.ts
 */
export function serveSync(fd: number, session: Session, control: Int32Array, { served, wake, pace }: Calls): void {
  let channel = new Channel(session.options.requestBytes);
  const full = new FullWait(session, wake);
  const answer = (answered: Channel, length: number): void => {
    if (length !== NO_REPLY) send(fd, session, answered, length);
  };
  const writeback = new Writeback(session);
  let isServed = false;
  for (;;) {
    const length = receive(fd, channel);
    if (length < 0) return;
    if (length > 0 && channel.begin(length)) {
      const length = runSync(handle(session, channel));
      const { opcode } = channel;
      const next = channel.error === 0 ? channel : full.take(channel);
      if (next === channel) {
        answer(channel, length);
        if (full.waits) runSync(full.next(opcode, answer));
      } else {
        channel = next;
      }
      writeback.count();
      pace.count();
      if (!isServed && session.agreed !== undefined) {
        isServed = true;
        served();
      }
    }
    control[CONTROL_DIRTY] = session.dirty ? 1 : 0;
    const asked = Atomics.load(control, CONTROL_WISHES);
    if (asked === 0) continue;
    Atomics.and(control, CONTROL_WISHES, ~CONTROL_WRITEBACK);
    if ((asked & CONTROL_STOP) !== 0) {
      runSync(full.end(answer));
      return;
    }
    if ((asked & CONTROL_WRITEBACK) !== 0) runSync(writeback.tick());
    control[CONTROL_DIRTY] = session.dirty ? 1 : 0;
  }
}
