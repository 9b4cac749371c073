/**
 * A real Linux kernel for filesystems that the running one lacks, or where the caller is not root: Debian's, in QEMU, with the
 * images as its disks. No acceleration is needed; a boot takes some seconds, so many images go into one.
 *
 * - Needs `qemu-system-x86_64`, a static busybox, and Debian's kernel package, unpacked in a cache folder. As root with `CI=true`
 *   what is missing is installed and downloaded; elsewhere it is merely missing.
 * - Each job is a shell script that finds its image mounted at /mnt (busybox is its shell) and writes what it has to say to
 *   standard output, any bytes: they come back on a disk of their own.
 * - Images are changed in place where a job mounts them for writing.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, writeFileSync, ftruncateSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { isRoot, provideCommand, runTool } from './oracle.js';
import { removeScratch, scratchDir } from './scratch.js';

export interface VmJob {
  /** The image's file. */
  readonly image: string;
  /** The kernel's name of the filesystem, as "minix". */
  readonly type: string;
  /** Mount options, as "ro". */
  readonly options?: string;
  /** Commands for busybox's shell, in /mnt. */
  readonly script: string;
}

export interface VmResult {
  /** The script's status; 97: the kernel could not mount (or unmount) the image; 98: it did not come to an end. */
  readonly status: number;
  /** Its standard output. */
  readonly output: Buffer;
  /** Its standard error, and what mount said. */
  readonly messages: string;
}

/** QEMU's PC has 32 slots; some are its own, one is for the answers. */
const JOBS_PER_BOOT = 24;
/** Bytes of all answers of a boot. */
const ANSWER_BYTES = 64 * 1024 * 1024;
const MODULES = ['virtio_pci', 'virtio_blk', 'crc32c_generic'];

const cacheDir = (): string => join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'kernel-vm');

interface Kernel {
  readonly image: string;
  readonly modules: string;
  readonly version: string;
}

function findKernel(): Kernel | undefined {
  const boot = join(cacheDir(), 'root/boot');
  const name = existsSync(boot) ? readdirSync(boot).find((one) => one.startsWith('vmlinuz-')) : undefined;
  if (name === undefined) return undefined;
  const version = name.slice('vmlinuz-'.length);
  const modules = join(cacheDir(), 'root/lib/modules', version);
  return existsSync(join(modules, 'modules.dep')) ? { image: join(boot, name), modules, version } : undefined;
}

/** Downloads Debian's kernel package and unpacks it into the cache folder. */
function fetchKernel(): void {
  const dir = cacheDir();
  mkdirSync(dir, { recursive: true });
  const depends = runTool('/usr/bin/apt-cache', ['depends', 'linux-image-amd64']).stdout;
  const name = /Depends: (linux-image-\d\S*)/.exec(depends)?.[1];
  if (name === undefined) return;
  const here = { cwd: dir, stdio: 'ignore', timeout: 300_000 } as const;
  spawnSync('apt-get', ['download', '-q', name], here);
  const file = readdirSync(dir).find((one) => one.startsWith(`${name}_`) && one.endsWith('.deb'));
  if (file === undefined) return;
  spawnSync('dpkg-deb', ['-x', file, 'root'], here);
  spawnSync('rm', ['-f', file], here);
  const depmod = provideCommand('depmod', 'kmod');
  const version = file.slice('linux-image-'.length, file.indexOf('_'));
  if (depmod !== undefined) spawnSync(depmod, ['-b', join(dir, 'root'), version], here);
}

const isStatic = (path: string): boolean => !/=> |ld-linux/.test(runTool('/usr/bin/ldd', [path]).stdout);

function findBusybox(mayInstall: boolean): string | undefined {
  for (const path of ['/bin/busybox', '/usr/bin/busybox']) if (existsSync(path) && isStatic(path)) return path;
  if (!mayInstall) return undefined;
  provideCommand('busybox', 'busybox-static');
  return existsSync('/bin/busybox') && isStatic('/bin/busybox') ? '/bin/busybox' : undefined;
}

interface Machine {
  readonly qemu: string;
  readonly busybox: string;
  readonly kernel: Kernel;
}

let machine: Machine | undefined;
let isSought = false;

/** What is needed to boot, or undefined where it is missing. Looked for once a process. */
export function findVm(): { readonly version: string; readonly qemu: string } | undefined {
  if (!isSought) {
    isSought = true;
    machine = findMachine();
  }
  return machine === undefined ? undefined : { version: `Linux ${machine.kernel.version} in QEMU`, qemu: machine.qemu };
}

function findMachine(): Machine | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const mayInstall = isRoot() && process.env['CI'] === 'true';
  const present = ['/usr/bin/qemu-system-x86_64', '/usr/local/bin/qemu-system-x86_64'].find((path) => existsSync(path));
  const qemu = present ?? (mayInstall ? provideCommand('qemu-system-x86_64', 'qemu-system-x86') : undefined);
  const busybox = qemu === undefined ? undefined : findBusybox(mayInstall);
  if (qemu === undefined || busybox === undefined) return undefined;
  if (findKernel() === undefined && mayInstall) fetchKernel();
  const kernel = findKernel();
  return kernel === undefined ? undefined : { qemu, busybox, kernel };
}

// The initial RAM disk ---------------------------------------------------------------------------------------------------

interface Member {
  readonly name: string;
  readonly mode: number;
  readonly bytes: Uint8Array;
}

/** A cpio archive, "newc". */
function cpio(members: readonly Member[]): Buffer {
  const parts: Buffer[] = [];
  const hex = (n: number): string => n.toString(16).padStart(8, '0');
  [...members, { name: 'TRAILER!!!', mode: 0, bytes: new Uint8Array(0) }].forEach(({ name, mode, bytes }, i) => {
    const fields = [i + 1, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length + 1, 0];
    const head = `070701${fields.map(hex).join('')}${name}\0`;
    parts.push(Buffer.from(head.padEnd(Math.ceil(head.length / 4) * 4, '\0'), 'latin1'), Buffer.from(bytes));
    parts.push(Buffer.alloc((4 - (bytes.length % 4)) % 4));
  });
  return Buffer.concat(parts);
}

/** The files of the modules and of all that they need, in the order to load them. */
function moduleFiles(kernel: Kernel, names: readonly string[]): string[] {
  const needs = new Map<string, readonly string[]>();
  for (const line of readFileSync(join(kernel.modules, 'modules.dep'), 'latin1').split('\n')) {
    const [file = '', rest = ''] = line.split(':');
    if (file !== '') needs.set(file, rest.split(' ').filter((one) => one !== '').reverse());
  }
  const files = new Set<string>();
  for (const name of names) {
    const own = [...needs.keys()].find((file) => new RegExp(`/${name}\\.ko(\\.|$)`).test(file));
    if (own === undefined) continue; // built in
    for (const file of [...(needs.get(own) ?? []), own]) files.add(file);
  }
  return [...files];
}

const disk = (index: number): string => `/dev/vd${String.fromCharCode(97 + index)}`;
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The first program: mounts each image in turn, runs its script, gathers the answers on the last disk. */
function initScript(jobs: readonly VmJob[]): string {
  const lines = [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp',
    'for m in /mods/*; do insmod $m; done',
    'echo @@BEGIN',
  ];
  jobs.forEach(({ type, options }, i) => {
    const flags = options === undefined || options === '' ? '' : `-o ${quoted(options)} `;
    lines.push(
      `code=97; if mount -t ${quoted(type)} ${flags}${disk(i)} /mnt 2>/tmp/err; then`,
      `cd /mnt; sh /job-${i} >/tmp/out 2>>/tmp/err; code=$?; cd /; sync; umount /mnt 2>>/tmp/err || code=97; else : >/tmp/out; fi`,
      `echo $code $(wc -c </tmp/out) $(wc -c </tmp/err) >>/tmp/sizes; cat /tmp/out /tmp/err >>/tmp/all; : >/tmp/err`,
    );
  });
  lines.push(
    `echo end >>/tmp/sizes; { head -c 65536 /dev/zero | cat /tmp/sizes - | head -c 65536; cat /tmp/all; } >${disk(jobs.length)}`,
    'sync; echo @@END; poweroff -f',
  );
  return `${lines.join('\n')}\n`;
}

function initrd(found: Machine, jobs: readonly VmJob[]): Buffer {
  const members: Member[] = ['bin', 'mods', 'proc', 'sys', 'dev', 'mnt', 'tmp'].map((name) => ({
    name,
    mode: 0o040755,
    bytes: new Uint8Array(0),
  }));
  const file = (name: string, bytes: Uint8Array): number => members.push({ name, mode: 0o100755, bytes });
  file('bin/busybox', readFileSync(found.busybox));
  members.push({ name: 'bin/sh', mode: 0o120777, bytes: Buffer.from('busybox') });
  const types = jobs.map(({ type }) => (type === 'ext2' || type === 'ext3' ? 'ext4' : type));
  moduleFiles(found.kernel, [...MODULES, ...types]).forEach((path, i) => {
    file(`mods/${100 + i}-${path.slice(path.lastIndexOf('/') + 1)}`, readFileSync(join(found.kernel.modules, path)));
  });
  jobs.forEach(({ script }, i) => file(`job-${i}`, Buffer.from(script, 'latin1')));
  file('init', Buffer.from(initScript(jobs), 'latin1'));
  return gzipSync(cpio(members), { level: 1 });
}

// A boot -----------------------------------------------------------------------------------------------------------------

/** The answers as they lie on their disk: a table of sizes in the first 64 KiB, then everything one after another. */
function readAnswers(path: string, jobs: number, said: string): VmResult[] {
  const fd = openSync(path, 'r');
  try {
    const head = Buffer.alloc(65_536);
    readSync(fd, head, 0, head.length, 0);
    const lines = head.toString('latin1').replace(/\0.*$/s, '').split('\n');
    let pos = head.length;
    return Array.from({ length: jobs }, (_, i) => {
      const [status, out, err] = (lines[i] ?? '').split(' ').map(Number);
      if (status === undefined || out === undefined || err === undefined) {
        return { status: 98, output: Buffer.alloc(0), messages: said };
      }
      const bytes = Buffer.alloc(out + err);
      readSync(fd, bytes, 0, bytes.length, pos);
      pos += bytes.length;
      return { status, output: bytes.subarray(0, out), messages: bytes.toString('latin1', out) };
    });
  } finally {
    closeSync(fd);
  }
}

function boot(found: Machine, jobs: readonly VmJob[], timeoutMs: number): VmResult[] {
  const dir = scratchDir('iomap-vm');
  try {
    const ram = join(dir, 'initrd');
    writeFileSync(ram, initrd(found, jobs));
    const answers = join(dir, 'answers');
    const fd = openSync(answers, 'w');
    ftruncateSync(fd, ANSWER_BYTES);
    closeSync(fd);
    const disks = [...jobs.map(({ image }) => image), answers];
    const done = runTool(
      found.qemu,
      [
        '-machine', 'pc', '-cpu', 'qemu64', '-m', '768', '-display', 'none', '-serial', 'stdio', '-monitor', 'none', '-no-reboot',
        '-net', 'none', '-kernel', found.kernel.image, '-initrd', ram,
        '-append', 'console=ttyS0 quiet panic=-1 tsc=unstable',
        ...disks.flatMap((path) => ['-drive', `file=${path.replaceAll(',', ',,')},format=raw,if=virtio,cache=unsafe`]),
      ],
      { timeoutMs },
    );
    return readAnswers(answers, jobs.length, `${done.stdout}${done.stderr}`);
  } finally {
    removeScratch(dir);
  }
}

/**
 * Runs the jobs in a real kernel, as many in a boot as it has disks for. Answers in the order of the jobs.
 * @param timeoutMs for one boot; default 300,000
 * @throws Error where there is no QEMU, busybox or kernel
 */
export function runInKernel(jobs: readonly VmJob[], timeoutMs = 300_000): VmResult[] {
  if (findVm() === undefined || machine === undefined) throw new Error('no kernel to boot: see kernel-vm in the oracles');
  const results: VmResult[] = [];
  for (let at = 0; at < jobs.length; at += JOBS_PER_BOOT) {
    results.push(...boot(machine, jobs.slice(at, at + JOBS_PER_BOOT), timeoutMs));
  }
  return results;
}
