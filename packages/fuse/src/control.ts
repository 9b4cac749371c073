/** What both loops share with the supervisor (a few words of memory) and know about /dev/fuse (which errors mean what). */

/**
 * Places in the shared words: wishes, 1 = mounted (-1 = not to be), 1 = something is dirty, requests served (it may turn
 * over), 1 = requests come thick (pace.ts).
 */
export const CONTROL_WISHES = 0;
export const CONTROL_MOUNTED = 1;
export const CONTROL_DIRTY = 2;
export const CONTROL_REQUESTS = 3;
export const CONTROL_BUSY = 4;
export const CONTROL_BYTES = 20;

/** Wishes: set by the supervisor, taken by the loop. */
export const CONTROL_WRITEBACK = 1;
export const CONTROL_STOP = 2;

/** The supervisor's statfs(2) calls for requests that wait for room: see full-wait.ts. */
export const WAKES = 3;

const codeOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** A request that ended before it could be read or answered; a signal. */
const PASSING = new Set(['EINTR', 'ENOENT', 'EAGAIN']);
/** The connection is gone: unmounted, or aborted. */
const GONE = new Set(['ENODEV', 'ECONNABORTED', 'ENOTCONN']);

/** What a failed read(2) or write(2) of /dev/fuse means. */
export function meaningOf(error: unknown): 'passing' | 'gone' | 'failure' {
  const code = codeOf(error);
  return PASSING.has(code) ? 'passing' : GONE.has(code) ? 'gone' : 'failure';
}
