/**
 * The lock-order check: a debug facility that test runners switch on.
 *
 * Locks are taken outermost first, in the order of `LOCK_RANKS`; two locks of one rank may be held together (the owner
 * of the rank orders them, as parents before children). An inversion that the running schedule got away with is still a
 * deadlock in some other schedule, so it throws at once.
 *
 * - A runner that checks makes one `LockOrder`, puts it in `lockOrder.active` and sets its `task` around every resume.
 * - Off (the default) it costs a lock one property read. It is the one ambient object of this package: a lock cannot know
 *   who runs it, and a check that had to be handed down would change the signatures that it checks.
 */
import { AssertionError } from './assert.js';

/** What a lock guards, outermost first. */
export const LOCK_RANKS = Object.freeze({ rename: 1, inode: 2, invalidate: 3, folio: 4, mapping: 5, buffer: 6 });

export type LockRank = keyof typeof LOCK_RANKS;

/** What the check needs to know of a lock. */
export interface RankedLock {
  readonly name: string;
  readonly rank: LockRank | undefined;
}

interface Held {
  readonly lock: RankedLock;
  readonly task: object;
}

/** Who holds what. One per checking runner. */
export class LockOrder {
  /** The task that is being resumed; `undefined` outside tasks (completions), where nothing is checked. */
  task: object | undefined = undefined;
  readonly #held: Held[] = [];

  /**
   * Called by a lock before it is taken or waited for.
   * @throws AssertionError when the task holds a lock that must come after this one, or this very lock
   */
  check(lock: RankedLock): void {
    const { task } = this;
    if (task === undefined) return;
    for (const held of this.#held) {
      if (held.task !== task) continue;
      if (held.lock === lock) throw new AssertionError(`lock order: ${lock.name} is taken twice by one task`);
      if (lock.rank === undefined || held.lock.rank === undefined) continue;
      if (LOCK_RANKS[lock.rank] < LOCK_RANKS[held.lock.rank]) {
        throw new AssertionError(
          `lock order: ${lock.name} (${lock.rank}) is taken while ${held.lock.name} (${held.lock.rank}) is held`,
        );
      }
    }
  }

  /** Called by a lock when the current task got it. */
  acquired(lock: RankedLock): void {
    if (this.task !== undefined) this.#held.push({ lock, task: this.task });
  }

  /** Called by a lock when one hold ends; a completion may end what a task began, so the current task only goes first. */
  released(lock: RankedLock): void {
    let at = this.#held.findLastIndex((held) => held.lock === lock && held.task === this.task);
    if (at < 0) at = this.#held.findLastIndex((held) => held.lock === lock);
    if (at >= 0) this.#held.splice(at, 1);
  }

  /** The names of what `task` holds, for deadlock reports. */
  heldBy(task: object): string[] {
    return this.#held.filter((held) => held.task === task).map((held) => held.lock.name);
  }
}

/** The switch. */
export const lockOrder: { active: LockOrder | undefined } = { active: undefined };
