/**
 * The thread that serves: it opens the image, waits until the supervisor has mounted, runs the loop, and unmounts the image.
 *
 * Messages to the supervisor: `ready` (the image is open), `served` (INIT is answered), `done` (all is on the image, or
 * why it is not), `failed` (the image could not be opened).
 */
import { setPriority } from 'node:os';
import type { MessagePort } from 'node:worker_threads';
import { FsError, runSync } from '@iomap/io';
import { createVfs } from '@iomap/vfs';
import { openImage } from './image.js';
import type { ServeOptions } from './options.js';
import { CONTROL_MOUNTED, serveSync } from './serve-sync.js';
import { Session } from './session.js';

/** What the supervisor gives the thread. */
export interface WorkerTask {
  readonly image: string;
  readonly options: ServeOptions;
  /** The descriptor of /dev/fuse: descriptors are the process's, so the thread may use it. */
  readonly fd: number;
  /** The words of serve-sync.ts. */
  readonly control: Int32Array;
}

export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'served'; readonly minor: number }
  | { readonly kind: 'complaint'; readonly text: string }
  | { readonly kind: 'failed'; readonly code: string; readonly text: string }
  | { readonly kind: 'done'; readonly error: string | undefined };

/** Kept small: the kernel has caches of its own before ours. */
const INODES_MAX = 16_384;
const DENTRIES_MAX = 65_536;

const textOf = (error: unknown): string =>
  error instanceof FsError ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);

/** Of this thread alone. */
const NICE = -15;

/**
 * Whoever waits for an answer waits for this thread to be scheduled, twice a request if it is not at once: with other work on
 * all processors that made a request take 45 µs in place of 9. Best effort: root may.
 */
function raisePriority(): void {
  try {
    setPriority(0, NICE);
  } catch {
    // Not root: as it is.
  }
}

/** What an error says beside its code: whoever gets it makes an error of that code anew. */
const whyOf = (error: unknown): string => {
  const text = textOf(error);
  return error instanceof FsError ? (/^[^(]*\((.*)\)/s.exec(text)?.[1] ?? text.replace(/^[A-Z0-9]+: /, '')) : text;
};

/** Runs the thread's whole life. Never throws. */
export function runWorker(task: WorkerTask, port: MessagePort): void {
  const say = (message: WorkerMessage): void => port.postMessage(message);
  let session: Session;
  let opened: ReturnType<typeof openImage>;
  try {
    opened = openImage(task.image, task.options);
    const vfs = createVfs(opened.fs, {
      umask: 0,
      atime: task.options.atime,
      inodesMax: INODES_MAX,
      dentriesMax: DENTRIES_MAX,
    });
    runSync(vfs.core.root());
    const { blockSize } = runSync(opened.fs.statfs());
    session = new Session(vfs, task.options, blockSize, (what, error) => {
      say({ kind: 'complaint', text: `${what}: ${textOf(error)}` });
    });
  } catch (error) {
    say({ kind: 'failed', code: error instanceof FsError ? error.code : 'EIO', text: whyOf(error) });
    return;
  }
  say({ kind: 'ready' });
  Atomics.wait(task.control, CONTROL_MOUNTED, 0);
  // Errors are answers here, many of them expected: their stacks are seldom looked at and cost more than all else.
  Error.stackTraceLimit = 0;
  raisePriority();
  let failure: string | undefined;
  try {
    if (Atomics.load(task.control, CONTROL_MOUNTED) > 0) {
      serveSync(task.fd, session, task.control, () => {
        say({ kind: 'served', minor: session.agreed?.minor ?? 0 });
      });
    }
  } catch (error) {
    failure = textOf(error);
  }
  try {
    runSync(session.forgetAll());
    runSync(session.vfs.unmount());
  } catch (error) {
    failure ??= textOf(error);
  }
  opened.device.close();
  say({ kind: 'done', error: failure });
}
