/**
 * Starting a server and ending it: what `iomap mount`, `iomap umount` and the helpers of mount(8) do.
 *
 * The server is a process of its own. `startServer` returns when the mount is there (or throws why it is not); `unmount` when
 * all is on the image and the server is gone.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FsError, fsCodeOf } from '@iomap/io';
import { splitPartition } from './image.js';
import { FS_TYPE, mountAt, run, SERVER_TITLE } from './mountpoint.js';
import type { ServeOptions } from './options.js';
import type { ServerReport, ServerTask } from './server.js';

export interface StartRequest {
  /** A file or block device, `@N` for a partition. */
  readonly image: string;
  readonly dir: string;
  readonly options: ServeOptions;
  /** The server's messages go to our stderr, and it stays our child. Default: it is detached and silent. */
  readonly foreground?: boolean;
  /** The server's program. Default: this package's own. */
  readonly program?: string;
}

export interface StartedServer {
  readonly pid: number;
  /** The FUSE minor version that kernel and server speak. */
  readonly minor: number;
  /** Exit code of the server, when it ends. Who asks keeps its own process running until then. */
  readonly ended: Promise<number>;
  /** Asks it to unmount (SIGTERM). */
  readonly stop: () => void;
}

function hostError(error: unknown, path: string): FsError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return new FsError(fsCodeOf(code), { path, cause: error });
}

/** Absolute paths, checked as far as that can be done before the server is there. */
function taskOf({ image, dir, options }: StartRequest): ServerTask {
  const { path, partition } = splitPartition(image);
  let point: string;
  try {
    point = realpathSync(dir);
    if (!statSync(point).isDirectory()) throw new FsError('ENOTDIR', { path: dir });
  } catch (error) {
    throw error instanceof FsError ? error : hostError(error, dir);
  }
  try {
    const real = realpathSync(path);
    return { image: partition === undefined ? real : `${real}@${partition}`, dir: point, options };
  } catch (error) {
    throw hostError(error, resolve(path));
  }
}

/**
 * What leaves our caches has often grown old before, and V8 would let the heap grow to four times what is alive before it looks: 410 MB in
 * all after 150,000 new files, 275 so, in the same time. A young generation of twice the size is scavenged half as often.
 */
const V8_OPTIONS = [
  '--max-semi-space-size=16',
  // From the start half of that: growing there from 1 MiB is many collections while all is new.
  '--min-semi-space-size=8',
  '--heap-growing-percent=60',
  // The program that waits for answers needs a processor, too: one thread of V8's own beside ours, and less for it to compile.
  '--v8-pool-size=1',
  '--max-inlined-bytecode-size-cumulative=300',
  // A mount is often new when it gets most of its work: simple code for all that runs at all, and the better one after half the calls.
  '--always-sparkplug',
  '--interrupt-budget=66000',
];

/** The first line that the server writes on its descriptor 3. */
function firstReport(child: ChildProcess): Promise<ServerReport> {
  const pipe = child.stdio[3];
  return new Promise((resolve) => {
    let text = '';
    pipe?.on('data', (part: Buffer) => {
      text += part.toString('utf8');
      const end = text.indexOf('\n');
      if (end >= 0) resolve(JSON.parse(text.slice(0, end)) as ServerReport);
    });
    child.once('error', (error) => {
      resolve({ ok: false, code: 'EIO', text: error.message });
    });
    child.once('exit', (code, signal) => {
      // What it wrote before may still be on the way.
      setTimeout(() => {
        resolve({ ok: false, code: 'EIO', text: `the server ended at once (${signal ?? `code ${code ?? 0}`})` });
      }, 200);
    });
  });
}

/**
 * Starts a server and waits until the mount can be used.
 * @throws FsError ENOENT, ENOTDIR, EACCES; EPERM without the right to mount; EBUSY when something of ours is mounted there;
 *   what the image's driver says
 */
export async function startServer(request: StartRequest): Promise<StartedServer> {
  const task = taskOf(request);
  if (mountAt(task.dir)?.source === task.image) throw new FsError('EBUSY', { why: 'mounted there already', path: task.dir });
  const program = request.program ?? fileURLToPath(new URL('./server-main.js', import.meta.url));
  const foreground = request.foreground === true;
  const child = spawn(process.execPath, [...V8_OPTIONS, program, JSON.stringify(task)], {
    // A group of its own either way: a terminal's Ctrl-C comes to us, and we pass it on once.
    detached: true,
    stdio: ['ignore', 'ignore', foreground ? 'inherit' : 'ignore', 'pipe'],
    // One thread allocates: arenas and pools for more would only take memory. An asynchronous device works in the pool.
    env: { ...process.env, MALLOC_ARENA_MAX: '2', UV_THREADPOOL_SIZE: task.options.asyncDevice ? '10' : '2' },
  });
  const exit = new Promise<number>((resolve) => {
    child.once('exit', (code) => {
      resolve(code ?? 1);
    });
  });
  const report = await firstReport(child);
  child.stdio[3]?.destroy();
  if (!report.ok) throw new FsError(fsCodeOf(report.code), { why: report.text });
  if (!foreground) child.unref();
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  return {
    pid: child.pid ?? 0,
    minor: report.minor,
    get ended() {
      // Who waits for the end has to live to see it.
      child.ref();
      return exit;
    },
    stop,
  };
}

/** The server of a mount (`major:minor`), if it runs in sight. */
export function serverOf(device: string): number | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue;
    try {
      if (readFileSync(`/proc/${name}/cmdline`, 'utf8').startsWith(`${SERVER_TITLE} ${device} `)) return Number(name);
    } catch {
      // Gone meanwhile, or not ours to read.
    }
  }
  return undefined;
}

function isAlive(pid: number): boolean {
  try {
    // A process that has ended and waits for its parent is a zombie: state Z behind the name in brackets.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !/^\) Z/.test(stat.slice(stat.lastIndexOf(')')));
  } catch {
    return false;
  }
}

/** Has the server write everything while it can still say that it could not (an fsync of the root does that). */
function syncMount(dir: string): void {
  let fd: number;
  try {
    fd = openSync(dir, 'r');
  } catch (error) {
    // A server that was killed leaves a mount that only unmounting helps.
    if (error instanceof Error && 'code' in error && error.code === 'ENOTCONN') return;
    throw hostError(error, dir);
  }
  try {
    fsyncSync(fd);
  } catch (error) {
    throw hostError(error, dir);
  } finally {
    closeSync(fd);
  }
}

/**
 * Unmounts, and waits until the server is gone: then all is on the image.
 * @param lazy also when somebody uses it: it leaves the tree now, the server ends with its last user
 * @throws FsError EINVAL when nothing of ours is mounted there, EBUSY, EPERM; EIO when something could not be written (it
 *   is unmounted all the same)
 */
export async function unmount(dir: string, options: { readonly lazy?: boolean } = {}): Promise<void> {
  let point = resolve(dir);
  try {
    point = realpathSync(dir);
  } catch {
    // A mount whose server died cannot be walked into; its path as given will do.
  }
  const entry = mountAt(point);
  if (entry?.type !== FS_TYPE) throw new FsError('EINVAL', { why: 'no image is mounted there', path: dir });
  const pid = serverOf(entry.device);
  let failure: FsError | undefined;
  try {
    syncMount(point);
  } catch (error) {
    failure = error instanceof FsError ? error : hostError(error, point);
  }
  for (let left = 5; ; left--) {
    const { code, text } = await run('umount', ['-i', ...(options.lazy === true ? ['-l'] : []), point]);
    if (code === 0) break;
    const isBusy = /busy/i.test(text);
    // The server's own look at the mount may be in the way for a moment.
    if (isBusy && left > 0) await sleep(20);
    else throw new FsError(isBusy ? 'EBUSY' : /permi|superuser|root/i.test(text) ? 'EPERM' : 'EINVAL', { why: text, path: dir });
  }
  while (options.lazy !== true && pid !== undefined && isAlive(pid)) await sleep(5);
  if (failure !== undefined) throw failure;
}
