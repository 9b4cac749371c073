/** `FileHandle`: an open file of the promise API. Each method is the table's operation on its descriptor. */
import type * as nodeFs from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { Context } from './context.js';
import type { Runner } from './derive.js';
import { readTransfer, writeTransfer } from './file-ops.js';
import type { Stats } from './stats.js';
import type { StreamMaker } from './streams.js';
import { TABLE } from './table.js';

/** What `FileHandle.read` answers. */
export interface ReadResult {
  readonly bytesRead: number;
  readonly buffer: ArrayBufferView;
}

/** What `FileHandle.write` answers. */
export interface WriteResult {
  readonly bytesWritten: number;
  readonly buffer: unknown;
}

const CLOSED = -1;

export class FileHandle {
  readonly #ctx: Context;
  readonly #run: Runner;
  readonly #streams: StreamMaker;
  #fd: number;

  constructor(ctx: Context, runner: Runner, streams: StreamMaker, fd: number) {
    this.#ctx = ctx;
    this.#run = runner;
    this.#streams = streams;
    this.#fd = fd;
  }

  /** The descriptor; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  async close(): Promise<void> {
    if (this.#fd === CLOSED) return;
    const fd = this.#fd;
    this.#fd = CLOSED;
    await this.#run.async(TABLE.close(this.#ctx, fd));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The descriptor to act on. A closed handle's operations are EBADF. */
  #open(): number {
    return this.#fd === CLOSED ? 0x7fff_ffff : this.#fd;
  }

  async read(a?: unknown, b?: unknown, c?: unknown, d?: unknown): Promise<ReadResult> {
    const { buffer, bytes, position } = readTransfer(a, b, c, d);
    return { bytesRead: await this.#run.async(this.#ctx.vfs.read(this.#open(), bytes, position)), buffer };
  }

  async write(a: unknown, b?: unknown, c?: unknown, d?: unknown): Promise<WriteResult> {
    const { bytes, position } = writeTransfer(a, b, c, d);
    return { bytesWritten: await this.#run.async(this.#ctx.vfs.write(this.#open(), bytes, position)), buffer: a };
  }

  async readv(buffers: readonly NodeJS.ArrayBufferView[], position?: number | null) {
    return { bytesRead: await this.#run.async(TABLE.readv(this.#ctx, this.#open(), buffers, position)), buffers };
  }

  async writev(buffers: readonly NodeJS.ArrayBufferView[], position?: number | null) {
    return { bytesWritten: await this.#run.async(TABLE.writev(this.#ctx, this.#open(), buffers, position)), buffers };
  }

  async readFile(options?: { encoding?: null; flag?: string } | null): Promise<Buffer>;
  async readFile(options: { encoding: BufferEncoding; flag?: string } | BufferEncoding): Promise<string>;
  async readFile(options?: unknown): Promise<string | Buffer> {
    return await this.#run.async(TABLE.readFile(this.#ctx, this.#open(), options));
  }

  async writeFile(data: unknown, options?: unknown): Promise<void> {
    await this.#run.async(TABLE.writeFile(this.#ctx, this.#open(), data, options));
  }

  async appendFile(data: unknown, options?: unknown): Promise<void> {
    await this.writeFile(data, options);
  }

  async stat(options?: { bigint?: false }): Promise<Stats>;
  async stat(options: { bigint: true }): Promise<nodeFs.BigIntStats>;
  async stat(options?: { bigint?: boolean }): Promise<unknown> {
    return await this.#run.async(TABLE.fstat(this.#ctx, this.#open(), options));
  }

  async truncate(len?: number): Promise<void> {
    await this.#run.async(TABLE.ftruncate(this.#ctx, this.#open(), len));
  }

  async sync(): Promise<void> {
    await this.#run.async(TABLE.fsync(this.#ctx, this.#open()));
  }

  async datasync(): Promise<void> {
    await this.#run.async(TABLE.fdatasync(this.#ctx, this.#open()));
  }

  async chmod(mode: number | string): Promise<void> {
    await this.#run.async(TABLE.fchmod(this.#ctx, this.#open(), mode));
  }

  async chown(uid: number, gid: number): Promise<void> {
    await this.#run.async(TABLE.fchown(this.#ctx, this.#open(), uid, gid));
  }

  async utimes(atime: unknown, mtime: unknown): Promise<void> {
    await this.#run.async(TABLE.futimes(this.#ctx, this.#open(), atime, mtime));
  }

  /** A stream over this handle; closing either closes both. */
  createReadStream(options: object = {}): nodeFs.ReadStream {
    return this.#streams.read('', { ...options, fd: this.#open() }, () => this.close());
  }

  createWriteStream(options: object = {}): nodeFs.WriteStream {
    return this.#streams.write('', { ...options, fd: this.#open() }, () => this.close());
  }

  /** The lines of the file. */
  readLines(options: object = {}): Interface {
    return createInterface({ input: this.createReadStream(options), crlfDelay: Infinity });
  }
}
