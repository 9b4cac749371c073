/** Runs a workload on a fresh image: to its end and judged, or up to the point where the server is killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LISTING, sh, type Bench } from './harness.js';
import type { Workload } from './workloads.js';

const packages = join(__dirname, '../..');

export interface RunOptions {
  readonly long: boolean;
  /** Of mount(8). */
  readonly options?: string;
}

/**
 * Programs behave by themselves, however the tests were started: Nx has them write in colours (FORCE_COLOR), npm hands its
 * configuration on in variables.
 */
const cleanEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(['PATH', 'HOME', 'TMPDIR', 'USER'].map((name) => [name, process.env[name]]));

/** Runs `body` with the workload's environment; its input is made once for all runs on `bench`. */
async function prepared<T>(bench: Bench, workload: Workload, how: RunOptions, body: (env: NodeJS.ProcessEnv) => Promise<T>): Promise<T> {
  const known = bench.inputs.get(workload);
  const out = known ?? mkdtempSync(join(bench.dir, 'out-'));
  const env = {
    ...cleanEnvironment(),
    SOURCES: packages,
    MODULES: join(packages, '../node_modules'),
    OUT: out,
    LONG: how.long ? '1' : '0',
    GIT_CONFIG_GLOBAL: '/dev/null',
    LC_ALL: 'C',
  };
  if (known === undefined && workload.prepare !== undefined) sh(workload.prepare, { cwd: out, env });
  bench.inputs.set(workload, out);
  bench.release();
  bench.format(how.long ? (workload.longSizeMib ?? workload.sizeMib) : workload.sizeMib);
  await bench.mount(how.options);
  return await body(env);
}

/**
 * The workload succeeds, the image is sound, and the kernel's own driver sees what the mount showed.
 * @throws Error with what was said
 */
export async function runToEnd(bench: Bench, workload: Workload, how: RunOptions): Promise<void> {
  await prepared(bench, workload, how, async (env) => {
    sh(workload.script, { cwd: bench.mnt, env });
    const shown = sh(LISTING, { cwd: bench.mnt });
    await bench.unmount();
    bench.check();
    const kernel = bench.inKernel(LISTING);
    if (kernel !== undefined && kernel !== shown) throw new Error(`the kernel sees something else:\n${firstDifference(shown, kernel)}`);
  });
}

function firstDifference(ours: string, theirs: string): string {
  const kernel = theirs.split('\n');
  const at = ours.split('\n').findIndex((line, i) => line !== kernel[i]);
  return `mounted: ${ours.split('\n')[at] ?? ''}\nkernel:  ${kernel[at] ?? ''}`;
}

/**
 * Makes files, each fsynced before its name and digest go to a log outside of the mount: all that the log has must be there
 * whatever happens to the server. Some files grow by a second write, fsynced too; then both states are logged.
 */
const WRITER = `
import hashlib, os, random, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
r = random.Random(int(sys.argv[2]))
os.mkdir('durable')
i = 0
while True:
    name = 'durable/%d' % i
    fd = os.open(name, os.O_CREAT | os.O_WRONLY)
    data = r.randbytes(r.randrange(1, 60000))
    for part in range(1 + i % 2):
        if part: data += r.randbytes(r.randrange(1, 20000))
        os.pwrite(fd, data, 0)
        os.fsync(fd)
        os.write(log, ('%s %d %s\\n' % (name, len(data), hashlib.sha1(data).hexdigest())).encode())
    os.close(fd)
    i += 1
`;

const VERIFIER = `
import hashlib, sys
last = {}
lines = [l for l in open(sys.argv[1]).read().split('\\n')[:-1]]
for l in lines:
    name, size, digest = l.split(); last[name] = (int(size), digest)
bad = 0
for name, (size, digest) in last.items():
    try: data = open(name, 'rb').read()[:size]
    except OSError as e: print(name, e); bad += 1; continue
    if hashlib.sha1(data).hexdigest() != digest: print(name, 'has other content', len(data), size); bad += 1
print(len(last), 'files verified'); sys.exit(1 if bad else 0)
`;

/** Lines of the log so far. */
const logged = (log: string): number => (existsSync(log) ? readFileSync(log, 'latin1').split('\n').length - 1 : 0);

const hasEnded = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });

/**
 * Kills the server (SIGKILL) `afterMs` into the workload, while another program fsyncs files: e2fsck repairs the image, and what
 * was fsynced is there.
 * @returns how many files the log had
 */
export async function runAndKill(bench: Bench, workload: Workload, how: RunOptions & { readonly afterMs: number; readonly seed: number }): Promise<number> {
  return await prepared(bench, workload, how, async (env) => {
    const log = join(env['OUT'] ?? '', 'fsynced.log');
    rmSync(log, { force: true });
    mkdirSync(join(bench.mnt, 'work'));
    const writer = spawn('python3', ['-c', WRITER, log, String(how.seed)], { cwd: bench.mnt, stdio: 'ignore' });
    // Short ones again, so that the moment is in the middle.
    const script = `for round in 1 2 3 4 5 6; do mkdir $round; (cd $round; ${workload.script}\n); done`;
    const load = spawn('bash', ['-ec', script], { cwd: join(bench.mnt, 'work'), env, stdio: 'ignore', detached: true });
    // Until the first files are safe; then the moment.
    for (let tries = 0; tries < 500 && logged(log) < 3; tries++) await sleep(10);
    await sleep(how.afterMs);
    const { server } = bench;
    process.kill(server?.pid ?? 0, 'SIGKILL');
    await server?.ended;
    // Their calls fail now; a program that goes on all the same is ended.
    const patience = setTimeout(() => {
      for (const child of [writer, load]) if (child.pid !== undefined) endGroup(child.pid);
    }, 300);
    await hasEnded(writer);
    await hasEnded(load);
    clearTimeout(patience);
    sh(`umount -i -l '${bench.mnt}'`);
    bench.server = undefined;
    sh(`e2fsck -fy '${bench.image}' >/dev/null 2>&1 || test $? -lt 4`);
    bench.check();
    const verify = `python3 -c "$VERIFIER" '${log}'`;
    const vars = { ...env, VERIFIER };
    await bench.mount('ro');
    sh(verify, { cwd: bench.mnt, env: vars });
    await bench.unmount();
    return new Set(readFileSync(log, 'latin1').split('\n').filter((line) => line !== '').map((line) => line.split(' ')[0])).size;
  });
}

function endGroup(pid: number): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // Not a group, or gone.
    }
  }
}
