/**
 * The server process: `main` opens /dev/fuse, starts the thread that serves (worker.ts), mounts, and then supervises.
 *
 * - SIGTERM and SIGINT unmount: gently, else (somebody still uses it) lazily, with all that is dirty written first.
 * - Every five seconds, when something was changed, the loop is woken to write it back.
 * - It ends when the image is unmounted, with code 0 if all is on the image.
 *
 * The event loop lives in this thread; the other one blocks in read(2). To wake it, a FUSE_NOTIFY_RETRIEVE is written to
 * the device, to which the kernel answers with a request.
 */
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { FsError } from '@iomap/io';
import { FuseNotifyRetrieveOut, FuseOutHeader } from './abi.js';
import { FS_TYPE, run } from './mountpoint.js';
import { kernelOptions, type ServeOptions } from './options.js';
import { FUSE_NOTIFY_RETRIEVE, FUSE_ROOT_ID } from './protocol.js';
import { CONTROL_STOP, CONTROL_WRITEBACK } from './serve-sync.js';
import type { WorkerMessage, WorkerTask } from './worker.js';

/** As Linux: `dirty_writeback_centisecs`. */
const WRITEBACK_MS = 5000;

export interface ServerTask {
  /** Absolute. */
  readonly image: string;
  /** Absolute, without links. */
  readonly dir: string;
  readonly options: ServeOptions;
}

/** What the server tells whoever started it, once. */
export type ServerReport =
  | { readonly ok: true; readonly minor: number }
  | { readonly ok: false; readonly code: string; readonly text: string };

/** Wakes the loop: the kernel answers this notification with a request (NOTIFY_REPLY). */
function wake(fd: number): void {
  const bytes = new Uint8Array(FuseOutHeader.size + FuseNotifyRetrieveOut.size);
  const header = FuseOutHeader.at(bytes);
  header.len = bytes.length;
  header.error = FUSE_NOTIFY_RETRIEVE;
  FuseNotifyRetrieveOut.at(bytes, FuseOutHeader.size).nodeid = FUSE_ROOT_ID;
  try {
    writeSync(fd, bytes);
  } catch {
    // The connection is gone: the loop has seen that.
  }
}

function openFuse(): number {
  try {
    return openSync('/dev/fuse', 'r+');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'EIO';
    const why =
      code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO'
        ? 'no /dev/fuse: the kernel module "fuse" is not there'
        : '/dev/fuse cannot be opened: mounting needs root';
    throw new FsError(code === 'EACCES' || code === 'EPERM' ? code : 'ENODEV', { why });
  }
}

/** What mount(8) said, as an error: without the right to mount, with the ways that there are. */
function mountError(text: string): FsError {
  if (/superuser|permission denied|not permitted|only root/i.test(text)) {
    return new FsError('EPERM', {
      why: `${text}; mounting needs root or a user namespace: unshare --user --map-root-user --mount`,
    });
  }
  return new FsError('EINVAL', { why: text === '' ? 'mount(8) failed' : text });
}

class Supervisor {
  readonly #task: ServerTask;
  readonly #fd: number;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #worker: Worker;
  readonly #report: (report: ServerReport) => void;
  #isMounted = false;
  #isStopping = false;
  #exitCode = 1;

  constructor(task: ServerTask, entry: URL, report: (report: ServerReport) => void) {
    this.#task = task;
    this.#report = report;
    this.#fd = openFuse();
    this.#control = new Int32Array(new SharedArrayBuffer(8));
    const workerData: WorkerTask = { image: task.image, options: task.options, fd: this.#fd, control: this.#control };
    this.#worker = new Worker(entry, { workerData, resourceLimits: { maxYoungGenerationSizeMb: 16 } });
  }

  /** The exit code, when all is over. */
  run(): Promise<number> {
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        this.#ask(CONTROL_WRITEBACK);
      }, WRITEBACK_MS);
      const stop = (): void => {
        void this.#stop();
      };
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);
      this.#worker.on('message', (message: WorkerMessage) => {
        this.#hear(message);
      });
      this.#worker.once('error', (error) => {
        this.#fail('EIO', error instanceof Error ? (error.stack ?? error.message) : String(error));
      });
      this.#worker.once('exit', () => {
        clearInterval(timer);
        closeSync(this.#fd);
        resolve(this.#exitCode);
      });
    });
  }

  #hear(message: WorkerMessage): void {
    switch (message.kind) {
      case 'ready':
        void this.#mount();
        break;
      case 'served':
        this.#tune();
        this.#report({ ok: true, minor: message.minor });
        break;
      case 'complaint':
        process.stderr.write(`iomap: ${this.#task.image}: ${message.text}\n`);
        break;
      case 'failed':
        this.#fail(message.code, message.text);
        break;
      case 'done':
        if (message.error === undefined) this.#exitCode = 0;
        else this.#fail('EIO', message.error);
        break;
    }
  }

  #fail(code: string, text: string): void {
    this.#exitCode = 1;
    this.#report({ ok: false, code, text });
  }

  async #mount(): Promise<void> {
    const { image, dir, options } = this.#task;
    const who = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const list = ['fd=3', ...kernelOptions(options, who)].join(',');
    const { code, text } = await run('mount', ['-i', '-t', FS_TYPE, '-o', list, image, dir], this.#fd);
    this.#isMounted = code === 0;
    if (!this.#isMounted) {
      const error = mountError(text);
      this.#fail(error.code, error.message);
    }
    Atomics.store(this.#control, 1, this.#isMounted ? 1 : -1);
    Atomics.notify(this.#control, 1);
  }

  /**
   * The kernel reads ahead 128 KiB and lets a FUSE mount have 1 % of the dirty memory; root may ask for more. Best effort.
   */
  #tune(): void {
    try {
      const { dev } = statSync(this.#task.dir);
      const name = `${Math.floor(dev / 256) % 4096}:${(dev % 256) + Math.floor(dev / 2 ** 20) * 256}`;
      process.title = `iomap-fuse ${name} ${this.#task.dir}`;
      for (const [file, value] of [['read_ahead_kb', '1024'], ['max_ratio', '50'], ['strict_limit', '0']] as const) {
        try {
          const fd = openSync(`/sys/class/bdi/${name}/${file}`, 'w');
          try {
            writeSync(fd, value);
          } finally {
            closeSync(fd);
          }
        } catch {
          // Not root, no sysfs, or an older kernel.
        }
      }
    } catch {
      // Unmounted already.
    }
  }

  #ask(bits: number): void {
    if (!this.#isMounted) return;
    Atomics.or(this.#control, 0, bits);
    wake(this.#fd);
  }

  /** Unmounts; the loop ends when the kernel closes the connection, or when it is told to. */
  async #stop(): Promise<void> {
    if (this.#isStopping || !this.#isMounted) return;
    this.#isStopping = true;
    const { dir } = this.#task;
    const gentle = await run('umount', ['-i', dir]);
    if (gentle.code === 0) return;
    // In use: what its users wrote goes to the image, then they lose it.
    await run('sync', ['-f', dir]);
    await run('umount', ['-i', '-l', dir]);
    this.#ask(CONTROL_STOP);
  }
}

/**
 * Serves an image until it is unmounted.
 * @param entry the module that runs `runWorker` in a thread
 * @param report called when the mount is there, or when it could not be made, or when it ended badly
 * @returns the exit code
 */
export async function serve(task: ServerTask, entry: URL, report: (report: ServerReport) => void): Promise<number> {
  try {
    return await new Supervisor(task, entry, report).run();
  } catch (error) {
    const code = error instanceof FsError ? error.code : 'EIO';
    report({ ok: false, code, text: error instanceof Error ? error.message : String(error) });
    return 1;
  }
}
