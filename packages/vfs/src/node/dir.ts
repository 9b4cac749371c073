/** `Dir`: an open directory, read a batch of entries at a time. */
import { FsError, type Io } from '@iomap/io';
import { encodingOf, integerOf, nameFor, optionsOf, pathOf, type Path } from './arguments.js';
import type { Context } from './context.js';
import type { Runner } from './derive.js';
import { Dirent } from './dirent.js';
import { decodeName } from '../index.js';

const BATCH = 32;

type Entry = Dirent<string | Buffer>;

/** Opens a directory; the answer is made into a `Dir` by the face, which knows its runner. */
export function opendir(ctx: Context, path: Path, options?: unknown): Io<OpenDir> {
  const { encoding, bufferSize, recursive } = optionsOf(options);
  if (recursive === true) throw new FsError('ENOSYS', { syscall: 'opendir', why: 'recursive; use readdir' });
  const size = bufferSize === undefined ? BATCH : integerOf(bufferSize, 'options.bufferSize', 1, 0xffff_ffff);
  return openIo(ctx, pathOf(path), encodingOf(encoding), size);
}

function* openIo(ctx: Context, path: string, encoding: BufferEncoding | 'buffer' | undefined, batch: number): Io<OpenDir> {
  return new OpenDir(ctx, yield* ctx.vfs.opendir(path), decodeName(path), encoding, batch);
}

/** The Io side of a `Dir`. */
export class OpenDir {
  readonly path: string;
  readonly #ctx: Context;
  readonly #fd: number;
  readonly #encoding: BufferEncoding | 'buffer' | undefined;
  readonly #batch: number;
  #entries: Entry[] = [];
  #next = 0;
  #cookie = 0;
  #atEnd = false;
  #closed = false;

  constructor(ctx: Context, fd: number, path: string, encoding: BufferEncoding | 'buffer' | undefined, batch: number) {
    this.#ctx = ctx;
    this.#fd = fd;
    this.path = path;
    this.#encoding = encoding;
    this.#batch = batch;
  }

  *read(): Io<Entry | null> {
    this.#check();
    if (this.#next === this.#entries.length && !this.#atEnd) yield* this.#fill();
    return this.#entries[this.#next++] ?? this.#rewindEnd();
  }

  *close(): Io<void> {
    this.#check();
    this.#closed = true;
    yield* this.#ctx.vfs.close(this.#fd);
  }

  #rewindEnd(): null {
    this.#next = this.#entries.length;
    return null;
  }

  #check(): void {
    if (!this.#closed) return;
    throw Object.assign(new Error('Directory handle was closed'), { code: 'ERR_DIR_CLOSED' });
  }

  *#fill(): Io<void> {
    const entries: Entry[] = [];
    let full = false;
    yield* this.#ctx.vfs.getdents(this.#fd, this.#cookie, (name, _ino, type, cookie) => {
      if (entries.length >= this.#batch) {
        full = true;
        return false;
      }
      this.#cookie = cookie;
      if (name !== '.' && name !== '..') entries.push(new Dirent(nameFor(name, this.#encoding), this.path, type));
      return true;
    });
    this.#entries = entries;
    this.#next = 0;
    this.#atEnd = !full;
  }
}

/** An open directory, as `fs.Dir`: `read`, `close`, their callback and sync forms, and `for await`. */
export class Dir implements AsyncIterable<Entry> {
  readonly path: string;
  readonly #dir: OpenDir;
  readonly #run: Runner;

  constructor(dir: OpenDir, runner: Runner) {
    this.path = dir.path;
    this.#dir = dir;
    this.#run = runner;
  }

  readSync(): Entry | null {
    return this.#run.sync(this.#dir.read());
  }

  closeSync(): void {
    this.#run.sync(this.#dir.close());
  }

  read(): Promise<Entry | null>;
  read(callback: (error: unknown, entry: Entry | null) => void): void;
  read(callback?: (error: unknown, entry: Entry | null) => void): Promise<Entry | null> | undefined {
    return settle(this.#run.async(this.#dir.read()), callback);
  }

  close(): Promise<void>;
  close(callback: (error: unknown) => void): void;
  close(callback?: (error: unknown) => void): Promise<void> | undefined {
    return settle(this.#run.async(this.#dir.close()), callback);
  }

  /** The entries; the directory is closed at the end, or when the loop is left. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Entry, undefined> {
    const leave = async (): Promise<IteratorReturnResult<undefined>> => {
      await this.close();
      return { done: true, value: undefined };
    };
    return {
      next: async () => {
        const value = await this.read();
        return value === null ? await leave() : { done: false, value };
      },
      return: leave,
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  entries(): AsyncIterableIterator<Entry, undefined> {
    return this[Symbol.asyncIterator]();
  }
}

function settle<T>(
  promise: Promise<T>,
  callback: ((error: unknown, value: T) => void) | undefined,
): Promise<T> | undefined {
  if (callback === undefined) return promise;
  promise.then(
    (value) => process.nextTick(callback, null, value),
    (error: unknown) => process.nextTick(callback, error),
  );
  return undefined;
}
