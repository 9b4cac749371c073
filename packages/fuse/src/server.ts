/**
 * The server process: `main` opens /dev/fuse, starts the thread that serves (worker.ts), mounts, and then supervises.
 *
 * - SIGTERM and SIGINT unmount: gently, else (somebody still uses it) lazily, with all that is dirty written first.
 * - From time to time, while something is dirty, the loop is woken to write it back.
 * - It ends when the image is unmounted, with code 0 if all is on the image.
 *
 * The event loop lives in this thread; the other one blocks in read(2). To wake it, this one asks for the mount's own
 * statfs(2), which is never answered from a cache.
 */
import { closeSync, openSync, readFileSync, stat, statfs, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { FsError } from '@iomap/io';
import { CONTROL_BYTES, CONTROL_DIRTY, CONTROL_MOUNTED, CONTROL_STOP, CONTROL_WISHES, CONTROL_WRITEBACK, WAKES } from './control.js';
import { deviceName, FS_TYPE, run, SERVER_TITLE } from './mountpoint.js';
import { kernelOptions, permissionsOf, type Mounter, type ServeOptions } from './options.js';
import { WakeLatency } from './pace.js';
import type { WorkerMessage, WorkerTask } from './worker.js';

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

/** Who we are, and whether our root is the machine's: the first user namespace maps every id to itself. */
function mounter(): Mounter {
  let map = '';
  try {
    map = readFileSync('/proc/self/uid_map', 'latin1');
  } catch {
    // No /proc: as if we were in a namespace.
  }
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, isInitial: /^\s*0\s+0\s+4294967295\s*$/.test(map) };
}

const BDI_LIMITS = [
  ['read_ahead_kb', '1024'],
  ['max_ratio', '50'],
  ['strict_limit', '0'],
] as const;

/** Writes a file of sysfs; not root, no sysfs or an older kernel: nothing happens. */
function writeFile(path: string, value: string): void {
  try {
    const fd = openSync(path, 'w');
    try {
      writeSync(fd, value);
    } finally {
      closeSync(fd);
    }
  } catch {
    // As said.
  }
}

/** More processors than this are not kept awake by default: it would cost more than one mount is worth. */
const LOW_LATENCY_CPUS_MAX = 8;

/**
 * Where the kernel groups processes by session for its scheduler (autogroup), a nice value counts within the group alone, and the
 * group has its own: so the server is served before others' work, and V8's compiler with it. Best effort: root may.
 */
function raisePriority(): void {
  writeFile('/proc/self/autogroup', '-10');
}

class Supervisor {
  readonly #task: ServerTask;
  readonly #who: Mounter;
  readonly #fd: number;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #worker: Worker;
  readonly #report: (report: ServerReport) => void;
  readonly #latency: WakeLatency;
  #isMounted = false;
  #isStopping = false;
  #isForced = false;
  #exitCode = 1;

  constructor(task: ServerTask, who: Mounter, entry: URL, report: (report: ServerReport) => void) {
    this.#task = { ...task, options: { ...task.options, permissions: permissionsOf(task.options, who) } };
    this.#who = who;
    this.#report = report;
    this.#fd = openFuse();
    raisePriority();
    this.#control = new Int32Array(new SharedArrayBuffer(CONTROL_BYTES));
    this.#latency = new WakeLatency(this.#control);
    const workerData: WorkerTask = { image: task.image, options: this.#task.options, fd: this.#fd, control: this.#control };
    this.#worker = new Worker(entry, { workerData, resourceLimits: { maxYoungGenerationSizeMb: 16 } });
  }

  /** The exit code, when all is over. */
  run(): Promise<number> {
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        if (Atomics.load(this.#control, CONTROL_DIRTY) !== 0) this.#ask(CONTROL_WRITEBACK);
      }, this.#task.options.writebackIntervalMs);
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
        this.#latency.end();
        closeSync(this.#fd);
        void this.#detach().then(() => resolve(this.#exitCode));
      });
    });
  }

  #hear(message: WorkerMessage): void {
    switch (message.kind) {
      case 'ready':
        void this.#mount();
        break;
      case 'served':
        this.#tune(() => {
          this.#report({ ok: true, minor: message.minor });
        });
        break;
      case 'wake':
        this.#wakeLoop(WAKES);
        break;
      case 'busy':
        if (this.#task.options.lowLatency ?? availableParallelism() <= LOW_LATENCY_CPUS_MAX) this.#latency.begin();
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
    const list = ['fd=3', ...kernelOptions(options, this.#who)].join(',');
    const { code, text } = await run('mount', ['-i', '-t', FS_TYPE, '-o', list, image, dir], this.#fd);
    this.#isMounted = code === 0;
    if (!this.#isMounted) {
      const error = mountError(text);
      this.#fail(error.code, error.why ?? error.message);
    }
    Atomics.store(this.#control, CONTROL_MOUNTED, this.#isMounted ? 1 : -1);
    Atomics.notify(this.#control, CONTROL_MOUNTED);
  }

  /**
   * The kernel reads ahead 128 KiB and lets a FUSE mount have 1 % of the dirty memory; root may ask for more. Best effort.
   */
  #tune(done: () => void): void {
    stat(this.#task.dir, (error, stats) => {
      if (error === null) {
        const name = deviceName(stats.dev);
        process.title = `${SERVER_TITLE} ${name} ${this.#task.dir}`;
        for (const [file, value] of BDI_LIMITS) writeFile(`/sys/class/bdi/${name}/${file}`, value);
      }
      done();
    });
  }

  #ask(bits: number): void {
    if (!this.#isMounted) return;
    Atomics.or(this.#control, CONTROL_WISHES, bits);
    this.#wakeLoop(1);
  }

  /** Asks for so many statfs(2), one after the other. What they say does not matter: the loop was awake. */
  #wakeLoop(times: number): void {
    statfs(this.#task.dir, () => {
      if (times > 1) this.#wakeLoop(times - 1);
    });
  }

  /** Unmounts: the loop ends when the kernel closes the connection; or, while somebody uses the mount, when it is told to. */
  async #stop(): Promise<void> {
    if (this.#isStopping || !this.#isMounted) return;
    this.#isStopping = true;
    const { dir } = this.#task;
    const gentle = await run('umount', ['-i', dir]);
    if (gentle.code === 0) return;
    // What its users wrote goes to the image; then they lose it.
    await run('sync', ['-f', dir]);
    this.#isForced = true;
    this.#ask(CONTROL_STOP);
  }

  /** After a stop that was forced: the mount, which nobody serves any more, leaves the tree. */
  async #detach(): Promise<void> {
    if (this.#isForced) await run('umount', ['-i', '-l', this.#task.dir]);
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
    return await new Supervisor(task, mounter(), entry, report).run();
  } catch (error) {
    const code = error instanceof FsError ? error.code : 'EIO';
    const text = error instanceof FsError ? (error.why ?? error.message) : String(error);
    report({ ok: false, code, text });
    return 1;
  }
}
