/** When to write back: at once when nobody asked for anything since the last look, else when it has been put off long enough. */
import type { Io } from '@iomap/io';
import type { Session } from './session.js';

/** A busy mount is written back at every sixth look: as Linux, which looks every 5 s for what is 30 s old. */
const TICKS_BUSY = 6;

export class Writeback {
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
  *tick(): Io<void> {
    this.#ticks++;
    const isDue = this.#requests <= 1 || this.#ticks >= TICKS_BUSY;
    this.#requests = 0;
    if (isDue) yield* this.#run();
  }

  /** A failure is kept by the files that lost data, for their next fsync; and told. */
  *#run(): Io<void> {
    this.#ticks = 0;
    const session = this.#session;
    if (!session.dirty || session.fs.readOnly) return;
    session.dirty = false;
    try {
      yield* session.vfs.sync();
    } catch (error) {
      session.complain('writeback', error);
    }
  }
}
