/** Delta debugging: the shortest list, found in bounded time, that still fails. */
import type { Io } from '@iomap/io';

/**
 * Shrinks `items` while `fails` says that what is left still does. `items` itself is taken to fail.
 * @param timeMs when it is over, the shortest list so far is the answer
 */
export function* shrink<T>(
  items: readonly T[],
  fails: (items: readonly T[]) => Io<boolean>,
  timeMs: number,
): Io<readonly T[]> {
  const until = Date.now() + timeMs;
  let current = items;
  // Chunks of half the list, then smaller; each pass drops every chunk that is not needed.
  for (let size = Math.max(1, Math.floor(current.length / 2)); ; ) {
    let dropped = false;
    for (let at = current.length; at > 0 && Date.now() < until; at -= size) {
      const start = Math.max(0, at - size);
      const rest = [...current.slice(0, start), ...current.slice(at)];
      if (rest.length === current.length) continue;
      if (yield* fails(rest)) {
        current = rest;
        dropped = true;
      }
    }
    if (Date.now() >= until || (size === 1 && !dropped)) return current;
    if (size > 1) size = Math.max(1, Math.floor(size / 2));
  }
}
