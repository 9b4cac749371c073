/**
 * Extended attributes (ACLs among them) of a host tree. Node cannot read them, so one `getfattr -R` for the whole tree does,
 * beside our own scan; its answer goes through a nameless file, since a pipe would fill while we scan.
 */
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Name } from '@iomap/vfs';
import { fromBytes, toBytes } from '../names.js';

/** Called for each file that has attributes: its path as bytes. */
export type TakeXattrs = (path: Name, xattrs: Map<Name, Uint8Array>) => void;

/** 'missing': there is no such tool; `failed`: it did not end well, so some attributes may not have been taken, and why. */
export type XattrOutcome = 'done' | 'missing' | { readonly failed: string };

export interface XattrScan {
  /** Waits for the tool, and takes what it said. */
  finish(take: TakeXattrs): Promise<XattrOutcome>;
}

/** Starts reading the attributes of `paths` and, with `recursive`, of all below them; symlinks are not followed. */
export function scanXattrs(paths: readonly string[], recursive: boolean, tool = 'getfattr'): XattrScan {
  if (process.platform !== 'linux') return { finish: () => Promise.resolve('missing') };
  const folder = mkdtempSync(join(tmpdir(), 'iomap-'));
  const fd = openSync(join(folder, 'xattrs'), 'wx+', 0o600);
  rmSync(folder, { recursive: true });
  const args = ['-d', '-m', '-', '-e', 'hex', '-h', '--absolute-names', ...(recursive ? ['-R', '-P'] : []), '--', ...paths];
  const child = spawn(tool, args, { stdio: ['ignore', fd, 'ignore'] });
  const ended = new Promise<XattrOutcome>((resolve) => {
    child.once('error', () => resolve('missing'));
    child.once('close', (code, signal) => {
      resolve(code === 0 ? 'done' : { failed: signal === null ? `getfattr ended with ${code ?? 'no code'}` : `getfattr was ended by ${signal}` });
    });
  });
  return {
    async finish(take) {
      try {
        const outcome = await ended;
        if (outcome !== 'missing') parseDump(readAll(fd), take);
        return outcome;
      } finally {
        closeSync(fd);
      }
    },
  };
}

function readAll(fd: number): Buffer {
  const bytes = Buffer.alloc(fstatSync(fd).size);
  let done = 0;
  while (done < bytes.length) {
    const count = readSync(fd, bytes, done, bytes.length - done, done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

const unescaped = (text: Name): Name =>
  text.includes('\\') ? text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8))) : text;

/** Reads what `getfattr -d -e hex` prints. */
export function parseDump(bytes: Uint8Array, take: TakeXattrs): void {
  let path: Name | undefined;
  let xattrs = new Map<Name, Uint8Array>();
  const flush = (): void => {
    if (path !== undefined && xattrs.size > 0) take(path, xattrs);
    path = undefined;
    xattrs = new Map();
  };
  for (const line of fromBytes(bytes).split('\n')) {
    if (line === '') flush();
    else if (line.startsWith('# file: ')) {
      flush();
      path = unescaped(line.slice(8));
    } else {
      const equals = line.indexOf('=');
      const name = unescaped(equals < 0 ? line : line.slice(0, equals));
      const value = equals < 0 ? '' : line.slice(equals + 1);
      xattrs.set(name, value.startsWith('0x') ? Buffer.from(value.slice(2), 'hex') : toBytes(value.replace(/^"|"$/g, '')));
    }
  }
  flush();
}
