/** mount(8), umount(8) and what the kernel says is mounted. */
import { spawn, type StdioOptions } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The type of every mount served here: FUSE, subtype iomap. */
export const FS_TYPE = 'fuse.iomap';

/** How server processes call themselves (`process.title`): this, the mount's `major:minor`, its folder. */
export const SERVER_TITLE = 'iomap-fuse';

/** `major:minor` of a `st_dev`, as mountinfo and sysfs write it. */
export const deviceName = (dev: number): string =>
  `${Math.floor(dev / 256) % 4096}:${(dev % 256) + Math.floor(dev / 2 ** 20) * 256}`;

export interface MountEntry {
  /** `major:minor` of the filesystem. */
  readonly device: string;
  readonly point: string;
  readonly type: string;
  readonly source: string;
}

const unescape = (text: string): string => {
  if (!text.includes('\\')) return text;
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const plain = bytes.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return Buffer.from(plain, 'latin1').toString('utf8');
};

/** Reads `/proc/self/mountinfo`, in the order of mounting. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ');
    const fields = before?.split(' ') ?? [];
    const [type, source] = after?.split(' ') ?? [];
    const [, , device, , point] = fields;
    if (device === undefined || point === undefined || type === undefined) continue;
    entries.push({ device, point: unescape(point), type, source: unescape(source ?? '') });
  }
  return entries;
}

/** What is mounted on `point` (an absolute path without links): the topmost. */
export function mountAt(point: string): MountEntry | undefined {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).findLast((entry) => entry.point === point);
}

export interface Outcome {
  readonly code: number;
  /** What the program said on stderr, one line. */
  readonly text: string;
}

/** Runs a program to its end. Never rejects: a program that is not there is code 127. */
export function run(program: string, args: readonly string[], fd?: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const stdio: StdioOptions = ['ignore', 'ignore', 'pipe'];
    if (fd !== undefined) stdio.push(fd);
    const child = spawn(program, args, { stdio, env: { ...process.env, LC_ALL: 'C' } });
    let text = '';
    child.stderr?.on('data', (part: Buffer) => (text += part.toString('utf8')));
    child.once('error', (error) => {
      resolve({ code: 127, text: `${program}: ${error.message}` });
    });
    child.once('close', (code) => {
      resolve({ code: code ?? 1, text: text.trim().replaceAll(/\s*\n\s*/g, '; ') });
    });
  });
}
