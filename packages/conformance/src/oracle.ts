/**
 * Oracles: the real tools and the running kernel, which judge what we write. They are never mocked.
 *
 * - Each is found on PATH or in the sbin folders; as root, a missing one is installed from Debian, once.
 * - A test that needs a missing oracle is skipped by name; with `CI=true` it fails (see jest.ts).
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { findVm } from './kernel-vm.js';

/** Which tool, how to ask its version, and which Debian package has it. */
interface OracleSpec {
  readonly command: string;
  readonly packageName: string;
  readonly versionArgs: readonly string[];
}

const tool = (command: string, packageName: string, ...versionArgs: string[]): OracleSpec => ({
  command,
  packageName,
  versionArgs,
});

const SPECS = {
  e2fsck: tool('e2fsck', 'e2fsprogs', '-V'),
  debugfs: tool('debugfs', 'e2fsprogs', '-V'),
  mke2fs: tool('mke2fs', 'e2fsprogs', '-V'),
  dumpe2fs: tool('dumpe2fs', 'e2fsprogs', '-V'),
  tune2fs: tool('tune2fs', 'e2fsprogs', '-V'),
  'xfs-repair': tool('xfs_repair', 'xfsprogs', '-V'),
  'mkfs-xfs': tool('mkfs.xfs', 'xfsprogs', '-V'),
  'xfs-db': tool('xfs_db', 'xfsprogs', '-V'),
  'xfs-io': tool('xfs_io', 'xfsprogs', '-V'),
  'fsck-minix': tool('fsck.minix', 'util-linux', '-V'),
  'mkfs-minix': tool('mkfs.minix', 'util-linux', '-V'),
  getfattr: tool('getfattr', 'attr', '--version'),
  setfattr: tool('setfattr', 'attr', '--version'),
  setfacl: tool('setfacl', 'acl', '--version'),
  tar: tool('tar', 'tar', '--version'),
  'loop-mount': tool('mount', 'mount', '--version'),
  // Debian's kernel in QEMU, for what the running one lacks (kernel-vm.ts).
  'kernel-vm': tool('qemu-system-x86_64', 'qemu-system-x86', '--version'),
} as const satisfies Record<string, OracleSpec>;

export type OracleName = keyof typeof SPECS;

/** How a tool ended. */
export interface OracleRun {
  /** The exit status; -1 when a signal ended it. */
  readonly status: number;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Uint8Array;
}

export interface OracleRunOptions {
  readonly input?: Uint8Array | string;
  /** Milliseconds; default 120,000. */
  readonly timeoutMs?: number;
  /** Bytes of output; a tool that prints more is ended by a signal. Default 1 GiB. */
  readonly outputMax?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Throw unless the status is among these; default: any status is the caller's to judge. */
  readonly expect?: readonly number[];
}

export interface Oracle {
  readonly name: OracleName;
  /** The tool's file. */
  readonly path: string;
  /** Its first line about its version. */
  readonly version: string;
  run(args: readonly string[], options?: OracleRunOptions): OracleRun;
}

export const isRoot = (): boolean => process.getuid?.() === 0;

function findCommand(command: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'];
  for (const folder of folders) {
    if (folder === '') continue;
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** Debian packages that were asked for in this process: an install that failed once is not tried again. */
const asked = new Set<string>();

function install(packageName: string): void {
  if (!isRoot() || asked.has(packageName) || findCommand('apt-get') === undefined) return;
  asked.add(packageName);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const get = (...args: string[]): number | null =>
    // Test files run side by side, and one may be installing.
    spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=150', ...args], { env, stdio: 'ignore', timeout: 180_000 }).status;
  if (get('install', '-y', '--no-install-recommends', packageName) !== 0) {
    get('update');
    get('install', '-y', '--no-install-recommends', packageName);
  }
}

/** Where a program of a Debian package is, installed (as root) when it is missing; undefined = not to be had. */
export function provideCommand(command: string, packageName: string = command): string | undefined {
  if (findCommand(command) === undefined) install(packageName);
  return findCommand(command);
}

/** The user's locale must not change what a tool prints. */
const toolEnv = (extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  LC_ALL: 'C',
  TZ: 'UTC',
  // mke2fs's defaults differ by distribution; without a configuration file they are the tool's own.
  MKE2FS_CONFIG: '/dev/null',
  ...extra,
});

/** Runs any command with the oracles' bounds: no shell, captured output, a time limit. */
export function runTool(path: string, args: readonly string[], options: OracleRunOptions = {}): OracleRun {
  const done = spawnSync(path, [...args], {
    env: toolEnv(options.env),
    maxBuffer: options.outputMax ?? 1024 * 1024 * 1024,
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
    ...(options.input === undefined ? { stdio: ['ignore', 'pipe', 'pipe'] } : { input: options.input }),
  });
  if (done.error !== undefined && done.status === null && done.signal === null) throw done.error;
  const result: OracleRun = {
    status: done.status ?? -1,
    signal: done.signal ?? undefined,
    stdoutBytes: done.stdout,
    stdout: done.stdout.toString('latin1'),
    stderr: done.stderr.toString('latin1'),
  };
  if (options.expect !== undefined && !options.expect.includes(result.status)) {
    const how = result.signal ?? `status ${result.status}`;
    throw new Error(`${path} ${args.join(' ')}: ${how}\n${result.stdout}${result.stderr}`);
  }
  return result;
}

const kernelHas = (type: string): boolean =>
  readFileSync('/proc/filesystems', 'latin1')
    .split('\n')
    .some((line) => line.trim() === type);

/** True when this process may loop-mount and the running kernel has the filesystem. */
export function canLoopMount(type?: string): boolean {
  if (process.platform !== 'linux' || !isRoot()) return false;
  try {
    accessSync('/dev/loop-control');
    if (type === undefined || kernelHas(type)) return true;
    const modprobe = findCommand('modprobe');
    if (modprobe !== undefined) spawnSync(modprobe, ['-q', type], { stdio: 'ignore', timeout: 10_000 });
    return kernelHas(type);
  } catch {
    return false;
  }
}

const known = new Map<OracleName, Oracle | undefined>();

function lookUp(name: OracleName): Oracle | undefined {
  const spec = SPECS[name];
  if (name === 'loop-mount' && !canLoopMount()) return undefined;
  if (name === 'kernel-vm' && findVm() === undefined) return undefined;
  const path = provideCommand(spec.command, spec.packageName);
  if (path === undefined) return undefined;
  const said = runTool(path, spec.versionArgs, { timeoutMs: 10_000 });
  const version = `${said.stdout}\n${said.stderr}`.split('\n').find((line) => line.trim() !== '') ?? 'unknown';
  return { name, path, version: version.trim(), run: (args, options) => runTool(path, args, options) };
}

/** The oracle, or undefined where it is missing and cannot be installed. Looked for once a process. */
export function findOracle(name: OracleName): Oracle | undefined {
  if (!known.has(name)) known.set(name, lookUp(name));
  return known.get(name);
}

/**
 * The oracle.
 * @throws Error naming the Debian package when it is missing
 */
export function oracle(name: OracleName): Oracle {
  const found = findOracle(name);
  if (found === undefined) throw new Error(`oracle ${name} is missing (Debian package ${SPECS[name].packageName})`);
  return found;
}

/** Those of `names` that are missing here. */
export const missingOracles = (names: readonly OracleName[]): OracleName[] =>
  names.filter((name) => findOracle(name) === undefined);
