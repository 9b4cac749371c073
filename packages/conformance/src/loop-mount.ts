/**
 * Loop mounts by the running kernel, for tests as root.
 *
 * - A mount is taken down when its function ends, fails, or its promise settles (I1), and when the process exits or is
 *   ended by a signal (I2). What a killed run left behind is taken down by the next one (I3): mount points carry the
 *   process id in their name.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { oracle } from './oracle.js';

export interface LoopMountOptions {
  /** The kernel's name of the filesystem, as "ext2". */
  readonly type: string;
  /** Mount options beside `loop`, as ["ro", "user_xattr"]. */
  readonly options?: readonly string[];
  /** Bytes into the image. */
  readonly offsetBytes?: number;
}

const FOLDER = join(tmpdir(), 'iomap-loop-mounts');
const active = new Set<string>();
let hooked = false;
let swept = false;

function takeDown(dir: string): void {
  active.delete(dir);
  const umount = (...args: string[]): boolean =>
    spawnSync('umount', [...args, dir], { stdio: 'ignore', timeout: 30_000 }).status === 0;
  // A lazy unmount lets go of the name now and of the loop device when the last user is done.
  if (!umount()) umount('-l');
  try {
    rmdirSync(dir);
  } catch {
    // Still busy: the next run's sweep gets it.
  }
}

/** Takes down every mount of this process. */
export function unmountAll(): void {
  for (const dir of [...active]) takeDown(dir);
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Takes down what earlier processes, now gone, left mounted. Returns how many. */
export function sweepStaleMounts(): number {
  let count = 0;
  mkdirSync(FOLDER, { recursive: true });
  for (const name of readdirSync(FOLDER)) {
    const pid = Number(name.split('-')[0]);
    if (!Number.isInteger(pid) || pid <= 0 || isAlive(pid)) continue;
    takeDown(join(FOLDER, name));
    count++;
  }
  return count;
}

function hookExit(): void {
  if (hooked) return;
  hooked = true;
  process.on('exit', unmountAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      unmountAll();
      // The handler is gone now: the signal ends the process as it would have.
      process.kill(process.pid, signal);
    });
  }
}

/** Mounts `image`; the caller unmounts with `unmount`. Prefer `withLoopMount`. */
export function loopMount(image: string, options: LoopMountOptions): { readonly dir: string; unmount(): void } {
  const mount = oracle('loop-mount');
  hookExit();
  if (!swept) {
    swept = true;
    sweepStaleMounts();
  }
  mkdirSync(FOLDER, { recursive: true });
  const dir = mkdtempSync(join(FOLDER, `${process.pid}-`));
  const flags = ['loop', ...(options.options ?? [])];
  if (options.offsetBytes !== undefined) flags.push(`offset=${options.offsetBytes}`);
  active.add(dir);
  const done = mount.run(['-i', '-t', options.type, '-o', flags.join(','), image, dir], { timeoutMs: 60_000 });
  if (done.status !== 0) {
    active.delete(dir);
    rmSync(dir, { recursive: true, force: true });
    throw new Error(`mount -t ${options.type} -o ${flags.join(',')}: ${done.stderr.trim()}`);
  }
  return { dir, unmount: () => takeDown(dir) };
}

/** Mounts `image`, calls `fn` with the mount point, and unmounts when it has returned, thrown or settled (I1). */
export function withLoopMount<T>(image: string, options: LoopMountOptions, fn: (dir: string) => T): T {
  const mounted = loopMount(image, options);
  let pending = false;
  try {
    const result = fn(mounted.dir);
    if (result instanceof Promise) {
      pending = true;
      return result.finally(() => mounted.unmount()) as T;
    }
    return result;
  } finally {
    if (!pending) mounted.unmount();
  }
}
