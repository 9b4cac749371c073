/**
 * Requests that met a full image although room is about to come back.
 *
 * What an unlinked file had is freed when the kernel forgets the inode. unlink(2) queues that FORGET before it returns, but the kernel
 * may hand out several other requests first; so "remove, then write" would meet ENOSPC where Linux's own drivers have room.
 * Such a request is put aside, with its buffers, while others are served; it is run again when an inode was freed, and answered
 * for good when it succeeds or when what was queued before it must have come by.
 *
 * How that is known: the kernel alternates between requests and forgets, and hands out forgets whenever there is no request. The
 * supervisor is asked for three statfs(2), one after the other: between two of them nothing else waits, or `REQUESTS_MAX` others did. Two
 * would do, were not one from before, of the periodic writeback or of somebody's df, taken for the first.
 *
 * Invariants
 * - W1 a request is run again only if its failure changed nothing (`RETRIED`): an error that is told once, as fsync's, is told.
 * - W2 every request put aside is answered: at the latest by `end`.
 */
import { errnoOf, type Io } from '@iomap/io';
import { Channel } from './channel.js';
import { WAKES } from './control.js';
import { handle } from './dispatch.js';
import { OP } from './protocol.js';
import type { Session } from './session.js';

const ENOSPC = -errnoOf('ENOSPC');

const RETRIED = new Set<number>([
  OP.WRITE, OP.MKNOD, OP.MKDIR, OP.SYMLINK, OP.LINK, OP.RENAME, OP.RENAME2, OP.CREATE, OP.TMPFILE, OP.SETATTR, OP.SETXATTR,
  OP.FALLOCATE, OP.COPY_FILE_RANGE, OP.COPY_FILE_RANGE_64,
]);

/** Put aside at a time; each has buffers of its own. More are told ENOSPC at once. */
const ASIDE_MAX = 4;
/** Other requests served meanwhile: the kernel lets a forget wait for eight. */
export const REQUESTS_MAX = 32;

/** True when the request in `channel` has failed for want of room that a forget may bring back. */
export const mayFit = (session: Session, channel: Channel): boolean =>
  channel.error === ENOSPC && session.orphanCount > 0 && RETRIED.has(channel.opcode);

export class FullWait {
  readonly #session: Session;
  readonly #wake: () => void;
  #aside: Channel[] = [];
  readonly #spare: Channel[] = [];
  #requests = 0;
  #wakes = 0;
  #orphans = 0;

  /** @param wake asks the supervisor for `WAKES` statfs(2) of the mount, one after the other; returns at once */
  constructor(session: Session, wake: () => void) {
    this.#session = session;
    this.#wake = wake;
  }

  /** Some request is aside. */
  get waits(): boolean {
    return this.#aside.length > 0;
  }

  /**
   * Puts the request aside if it may succeed later: then its channel is ours.
   * @returns the channel to go on with; the same one when the answer is to be sent
   */
  take(channel: Channel): Channel {
    if (this.#aside.length >= ASIDE_MAX || !mayFit(this.#session, channel)) return channel;
    this.#aside.push(channel);
    // Each gets the whole patience.
    this.#requests = 0;
    this.#wakes = 0;
    this.#orphans = this.#session.orphanCount;
    this.#wake();
    return this.#spare.pop() ?? new Channel(this.#session.options.requestBytes);
  }

  /**
   * After another request (`opcode`) was served: runs what is aside again if that may help.
   * @param answer sends an answer of `length` bytes
   */
  *next(opcode: number, answer: (channel: Channel, length: number) => void): Io<void> {
    this.#requests++;
    if (opcode === OP.STATFS) this.#wakes++;
    const isOver = this.#wakes >= WAKES || this.#requests >= REQUESTS_MAX;
    const hasRoom = this.#session.orphanCount < this.#orphans;
    this.#orphans = this.#session.orphanCount;
    if (isOver || hasRoom) yield* this.#again(isOver, answer);
  }

  /** Answers all that is aside, as it is now. */
  *end(answer: (channel: Channel, length: number) => void): Io<void> {
    yield* this.#again(true, answer);
  }

  *#again(isLast: boolean, answer: (channel: Channel, length: number) => void): Io<void> {
    const waiting = this.#aside;
    this.#aside = [];
    for (const channel of waiting) {
      channel.entered.length = 0;
      const length = yield* handle(this.#session, channel);
      if (!isLast && mayFit(this.#session, channel)) {
        this.#aside.push(channel);
        continue;
      }
      answer(channel, length);
      this.#spare.push(channel);
    }
  }
}
