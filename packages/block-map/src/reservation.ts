/**
 * Reservation windows: blocks that a growing file is expected to want next, kept in core alone so that writers who take turns do
 * not cut each other's files into pieces.
 *
 * - A window is a promise among writers of this mount, nothing on disk: blocks in it are free, and whoever finds no other may
 *   take them.
 * - A file gets one when it grows for the second time in sequence; each time it uses one up, the next is twice as large.
 * - Bounded: the longest unused window goes first.
 */
export const WINDOW_FIRST = 8;
export const WINDOW_MAX = 1024;
const WINDOWS_MAX = 256;

/** Blocks [start, end) of one group, in the numbers of the filesystem. */
export interface Reservation {
  readonly group: number;
  readonly start: number;
  readonly end: number;
  /** Blocks of the next window. */
  readonly nextSize: number;
}

/** Whoever may hold a window: an inode in core. */
export interface ReservationHolder {
  reservation: Reservation | undefined;
}

export class Reservations {
  /** In order of use, the longest unused first. */
  readonly #holders = new Set<ReservationHolder>();
  readonly #perGroup = new Map<number, Set<ReservationHolder>>();

  get size(): number {
    return this.#holders.size;
  }

  /** Gives `holder` the window, in place of its old one. */
  set(holder: ReservationHolder, window: Reservation): void {
    this.drop(holder);
    if (this.#holders.size >= WINDOWS_MAX) {
      for (const oldest of this.#holders) {
        this.drop(oldest);
        break;
      }
    }
    holder.reservation = window;
    this.#holders.add(holder);
    let group = this.#perGroup.get(window.group);
    if (group === undefined) this.#perGroup.set(window.group, (group = new Set()));
    group.add(holder);
  }

  drop(holder: ReservationHolder): void {
    const window = holder.reservation;
    if (window === undefined) return;
    holder.reservation = undefined;
    this.#holders.delete(holder);
    const group = this.#perGroup.get(window.group);
    group?.delete(holder);
    if (group?.size === 0) this.#perGroup.delete(window.group);
  }

  /** Drops every window: space is short. */
  clear(): void {
    for (const holder of this.#holders) holder.reservation = undefined;
    this.#holders.clear();
    this.#perGroup.clear();
  }

  /** Does anyone but `holder` have a window in `group`? */
  othersIn(group: number, holder: ReservationHolder | undefined): boolean {
    const set = this.#perGroup.get(group);
    if (set === undefined) return false;
    return set.size > 1 || holder === undefined || !set.has(holder);
  }

  /** The end of another's window that covers `block`, or -1 when none does. */
  covering(group: number, block: number, holder: ReservationHolder | undefined): number {
    for (const other of this.#perGroup.get(group) ?? []) {
      const window = other.reservation;
      if (other !== holder && window !== undefined && block >= window.start && block < window.end) return window.end;
    }
    return -1;
  }

  /** The start of the first window of another at or after `block`, or `limit`. */
  nextStart(group: number, block: number, limit: number, holder: ReservationHolder | undefined): number {
    let next = limit;
    for (const other of this.#perGroup.get(group) ?? []) {
      const window = other.reservation;
      if (other !== holder && window !== undefined && window.start >= block && window.start < next) next = window.start;
    }
    return next;
  }
}
