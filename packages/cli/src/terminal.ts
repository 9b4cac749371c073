/**
 * What the command knows of the world outside: its three streams, its environment, its clock. Given to `main`, so that
 * tests run the whole command in their own process.
 */
import { fstatSync, readSync, writeSync } from 'node:fs';
import { isSystemError } from './errors.js';

export interface Terminal {
  /** Fills `bytes` from standard input; 0 = its end. */
  readInput(bytes: Uint8Array): number;
  /** Writes all of it to standard output. */
  out(data: string | Uint8Array): void;
  /** Writes a message to standard error (newline included by the caller). */
  err(text: string): void;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  /** Width of the terminal, in cells. */
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The current directory, for messages alone. */
  readonly cwd: string;
}

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Runs a call on a descriptor that may be non-blocking (a pipe shared with another process): waits and tries again. */
function patiently<T>(call: () => T): T {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!isSystemError(error) || (error.code !== 'EAGAIN' && error.code !== 'EINTR')) throw error;
      Atomics.wait(pause, 0, 0, 2);
    }
  }
}

/** Writes all of `bytes` to `fd`, however many calls that takes. */
export function writeFully(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const from = done;
    done += patiently(() => writeSync(fd, bytes, from, bytes.length - from));
  }
}

/** The real one. Output is written at once: a process that exits loses nothing. */
export function processTerminal(): Terminal {
  // Small lines are gathered; anything else, an error line and the exit push them out in order.
  let pending = '';
  const flush = (): void => {
    if (pending === '') return;
    const bytes = Buffer.from(pending, 'utf8');
    pending = '';
    writeFully(1, bytes);
  };
  process.once('exit', () => {
    try {
      flush();
    } catch {
      // The reader went away.
    }
  });
  return {
    readInput: (bytes) => {
      try {
        return patiently(() => readSync(0, bytes, 0, bytes.length, null));
      } catch (error) {
        if (isSystemError(error) && error.code === 'EOF') return 0;
        throw error;
      }
    },
    out(data) {
      if (typeof data === 'string') {
        pending += data;
        if (pending.length > 65_536) flush();
        return;
      }
      flush();
      writeFully(1, data);
    },
    err(text) {
      flush();
      writeFully(2, Buffer.from(text, 'utf8'));
    },
    outIsTerminal: process.stdout.isTTY === true,
    errIsTerminal: process.stderr.isTTY === true,
    columns: process.stderr.columns ?? process.stdout.columns ?? 80,
    env: process.env,
    cwd: process.cwd(),
  };
}

/** Whether standard input is a regular file (it can be read at any position). */
export function stdinIsFile(): boolean {
  try {
    return fstatSync(0).isFile();
  } catch {
    return false;
  }
}
