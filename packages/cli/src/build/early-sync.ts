/**
 * Starts writing an image to its disk while it is still being made: the thread pool syncs what is there, every so many
 * bytes, so that the sync at the end, which makes it durable, finds little left to do.
 *
 * It promises nothing itself: a failure shows again at the end's sync, on a descriptor of its own.
 */
import { closeSync, fdatasync, openSync } from 'node:fs';

const STEP_BYTES = 24 * 2 ** 20;

export interface EarlySync {
  /** So many more bytes were written. */
  note(bytes: number): void;
  /** Waits for what was started. */
  finish(): Promise<void>;
}

/** @param path a file that exists */
export function earlySync(path: string): EarlySync {
  const fd = openSync(path, 'r');
  const started: Promise<void>[] = [];
  let since = 0;
  return {
    note(bytes) {
      since += bytes;
      if (since < STEP_BYTES) return;
      since = 0;
      started.push(new Promise((resolve) => fdatasync(fd, () => resolve())));
    },
    async finish() {
      await Promise.all(started);
      closeSync(fd);
    },
  };
}
