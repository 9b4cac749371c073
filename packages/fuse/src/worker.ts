/**
 * The thread that serves: it opens the image, waits until the supervisor has mounted, runs the loop, and unmounts the image.
 *
 * Messages to the supervisor: `ready` (the image is open), `served` (INIT is answered), `wake` (it waits for requests of
 * the supervisor's own: full-wait.ts), `busy` (requests come thick: pace.ts), `done` (all is on the image, or
 * why it is not), `failed` (the image could not be opened).
 */
import type { MessagePort } from 'node:worker_threads';
import type { BlockDevice } from '@iomap/block-device';
import { FsError, runAsync, runSync } from '@iomap/io';
import { createVfs } from '@iomap/vfs';
import { CONTROL_MOUNTED } from './control.js';
import { fuseTransport } from './fuse-transport.js';
import { openImage, type Runner } from './image.js';
import { Pace } from './pace.js';
import type { ServeOptions } from './options.js';
import { serveAsync } from './serve-async.js';
import { serveSync } from './serve-sync.js';
import { Session } from './session.js';

/** What the supervisor gives the thread. */
export interface WorkerTask {
  readonly image: string;
  readonly options: ServeOptions;
  /** The descriptor of /dev/fuse: descriptors are the process's, so the thread may use it. */
  readonly fd: number;
  /** The words of control.ts. */
  readonly control: Int32Array;
}

export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'served'; readonly minor: number }
  | { readonly kind: 'wake' }
  | { readonly kind: 'busy' }
  | { readonly kind: 'complaint'; readonly text: string }
  | { readonly kind: 'failed'; readonly code: string; readonly text: string }
  | { readonly kind: 'done'; readonly error: string | undefined };

/** Kept small: the kernel has caches of its own before ours. */
const INODES_MAX = 8192;
const DENTRIES_MAX = 8192;

const textOf = (error: unknown): string =>
  error instanceof FsError ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);

/** What an error says beside its code: whoever gets it makes an error of that code anew. */
const whyOf = (error: unknown): string => {
  const text = textOf(error);
  return error instanceof FsError ? (/^[^(]*\((.*)\)/s.exec(text)?.[1] ?? text.replace(/^[A-Z0-9]+: /, '')) : text;
};

interface Served {
  readonly session: Session;
  readonly device: BlockDevice;
}

async function open(task: WorkerTask, run: Runner, say: (message: WorkerMessage) => void): Promise<Served> {
  const { fs, device } = await openImage(task.image, task.options, run);
  const vfs = createVfs(fs, {
    umask: 0,
    atime: task.options.atime,
    inodesMax: INODES_MAX,
    dentriesMax: DENTRIES_MAX,
  });
  await run(vfs.core.root());
  const { blockSize } = await run(fs.statfs());
  const session = new Session(vfs, task.options, blockSize, (what, error) => {
    say({ kind: 'complaint', text: `${what}: ${textOf(error)}` });
  });
  return { session, device };
}

async function serve(task: WorkerTask, { session, device }: Served, say: (message: WorkerMessage) => void): Promise<void> {
  const served = (): void => {
    say({ kind: 'served', minor: session.agreed?.minor ?? 0 });
  };
  const pace = new Pace(task.control, () => say({ kind: 'busy' }), () => performance.now());
  if (device.synchronous) serveSync(task.fd, session, task.control, { served, wake: () => say({ kind: 'wake' }), pace });
  else await serveAsync(fuseTransport(task.fd, session), session, task.control, served, pace);
}

/** Runs the thread's whole life. Never throws. */
export async function runWorker(task: WorkerTask, port: MessagePort): Promise<void> {
  const say = (message: WorkerMessage): void => port.postMessage(message);
  const run: Runner = task.options.asyncDevice ? runAsync : (io) => Promise.resolve(runSync(io));
  let opened: Served;
  try {
    opened = await open(task, run, say);
  } catch (error) {
    say({ kind: 'failed', code: error instanceof FsError ? error.code : 'EIO', text: whyOf(error) });
    return;
  }
  say({ kind: 'ready' });
  Atomics.wait(task.control, CONTROL_MOUNTED, 0);
  // Errors are answers here, many of them expected: their stacks are seldom looked at and cost more than all else.
  Error.stackTraceLimit = 0;
  let failure: string | undefined;
  try {
    if (Atomics.load(task.control, CONTROL_MOUNTED) > 0) await serve(task, opened, say);
  } catch (error) {
    failure = textOf(error);
  }
  try {
    await run(opened.session.forgetAll());
    await run(opened.session.vfs.unmount());
  } catch (error) {
    failure ??= textOf(error);
  }
  opened.device.close();
  say({ kind: 'done', error: failure });
}
