/** Runs the command in this process and catches what it prints; scratch folders that go away; the real tools. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../src/program.js';
import type { Terminal } from '../src/terminal.js';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly bytes: Buffer;
  readonly err: string;
}

export interface RunOptions {
  readonly input?: Uint8Array;
  readonly env?: Record<string, string | undefined>;
}

/** Runs `iomap ARGS`. */
export async function iomap(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const chunks: Buffer[] = [];
  let err = '';
  let at = 0;
  const { input = new Uint8Array(0) } = options;
  const terminal: Terminal = {
    readInput(bytes) {
      const part = input.subarray(at, at + Math.min(bytes.length, 100_003));
      bytes.set(part);
      at += part.length;
      return part.length;
    },
    out: (data) => void chunks.push(Buffer.from(data)),
    err: (text) => void (err += text),
    outIsTerminal: false,
    errIsTerminal: false,
    columns: 80,
    env: options.env ?? { PATH: process.env['PATH'] },
    cwd: process.cwd(),
  };
  const code = await main(args, terminal);
  const bytes = Buffer.concat(chunks);
  return { code, bytes, out: bytes.toString('utf8'), err };
}

/** Runs it and expects success. @returns standard output */
export async function good(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const ran = await iomap(args, options);
  if (ran.code !== 0 || ran.err !== '') throw new Error(`iomap ${args.join(' ')}: exit ${ran.code}\n${ran.err}${ran.out.slice(0, 2000)}`);
  return ran.out;
}

const scratches: string[] = [];

/** A new folder, removed by `cleanUp`. */
export function scratch(): string {
  const path = mkdtempSync(join(tmpdir(), 'iomap-cli-'));
  scratches.push(path);
  return path;
}

export function cleanUp(): void {
  for (const path of scratches.splice(0)) rmSync(path, { recursive: true, force: true });
}

/** Whether a tool is here; with CI=true a missing one fails the run. */
export function have(tool: string): boolean {
  const found = spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
  if (!found && process.env['CI'] === 'true') throw new Error(`${tool} is missing`);
  return found;
}

/** Runs a shell script; its standard output. @throws when it fails */
export function sh(script: string, cwd?: string, input?: Uint8Array): string {
  const ran = spawnSync('bash', ['-euo', 'pipefail', '-c', script], { cwd, encoding: 'buffer', maxBuffer: 1 << 28, ...(input === undefined ? {} : { input }) });
  if (ran.status !== 0) throw new Error(`${script}\nexit ${ran.status}\n${ran.stderr.toString()}`);
  return ran.stdout.toString('utf8');
}

/** What e2fsck says of an image: '' when it is clean. */
export function e2fsck(image: string): string {
  if (!have('e2fsck')) return '';
  const ran = spawnSync('e2fsck', ['-fn', image], { encoding: 'utf8' });
  return ran.status === 0 ? '' : `exit ${ran.status}\n${ran.stdout}${ran.stderr}`;
}

export const isRoot = process.getuid?.() === 0;

/** Reads a whole descriptor: a byte source as `Terminal.readInput`. */
export const fromFd = (fd: number) => (bytes: Uint8Array): number => readSync(fd, bytes, 0, bytes.length, null);
