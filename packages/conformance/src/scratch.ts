/** Scratch files for oracles, which want a path: in shared memory where there is some, gone when the process ends. */
import { accessSync, closeSync, constants, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made = new Set<string>();
let hooked = false;

/** Makes a folder that is removed when the process ends, or earlier by `removeScratch`. */
export function scratchDir(label = 'iomap'): string {
  let base = tmpdir();
  try {
    accessSync('/dev/shm', constants.W_OK);
    base = '/dev/shm';
  } catch {
    // No shared memory here.
  }
  const dir = mkdtempSync(join(base, `${label}-`));
  made.add(dir);
  if (!hooked) {
    hooked = true;
    process.on('exit', () => {
      for (const one of made) rmSync(one, { recursive: true, force: true });
    });
  }
  return dir;
}

/** Removes a folder made by `scratchDir`. */
export function removeScratch(dir: string): void {
  made.delete(dir);
  rmSync(dir, { recursive: true, force: true });
}

const ZERO = Buffer.alloc(65_536);

/** Writes an image to a file, leaving holes where it is zero. */
export function writeImage(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, bytes.length);
    for (let pos = 0; pos < bytes.length; pos += ZERO.length) {
      const part = bytes.subarray(pos, pos + ZERO.length);
      if (Buffer.compare(part, part.length === ZERO.length ? ZERO : ZERO.subarray(0, part.length)) === 0) continue;
      for (let done = 0; done < part.length; ) done += writeSync(fd, part, done, part.length - done, pos + done);
    }
  } finally {
    closeSync(fd);
  }
}

/** Writes `bytes` to a scratch file, calls `fn` with its path and removes it. */
export function withImageFile<T>(bytes: Uint8Array, fn: (path: string) => T): T {
  const dir = scratchDir('iomap-image');
  const path = join(dir, 'image');
  let pending = false;
  try {
    writeImage(path, bytes);
    const result = fn(path);
    if (result instanceof Promise) {
      pending = true;
      return result.finally(() => removeScratch(dir)) as T;
    }
    return result;
  } finally {
    if (!pending) removeScratch(dir);
  }
}
