/** Node's calls on descriptors and whole files, as Io (see path-ops.ts). */
import { FsError, type Io } from '@iomap/io';
import { isRegular, mayAccess, O_RDONLY, R_OK } from '../index.js';
import { peekClose, peekRead, peekWrite } from '../fd.js';
import { peekWalk } from '../walk.js';
import {
  bytesOf,
  encodingOf,
  fdOf,
  flagsOf,
  integerOf,
  isPlainPath,
  modeOf,
  optionsOf,
  pathOrFd,
  timeOf,
  type Path,
} from './arguments.js';
import { MISS, type Context, type Miss } from './context.js';
import { invalidType, outOfRange } from './errors.js';
import { idOf, statsFor } from './path-ops.js';
import { Stats, type BigIntStats } from './stats.js';

export const close = (ctx: Context, fd: number): Io<void> => ctx.vfs.close(fdOf(fd));

/** Plain where the file lives on; one that goes with its last descriptor has blocks to free, which may wait. */
export function peekCloseFd(ctx: Context, fd: unknown): undefined | Miss {
  if (typeof fd !== 'number') return MISS;
  const file = ctx.vfs.core.files.peek(fd);
  if (file === undefined || file.inode.nlink === 0 || ctx.vfs.core.inodes.pressed) return MISS;
  peekClose(ctx.vfs, fd);
  return undefined;
}

export function* fstatIo(ctx: Context, fd: number, options: unknown): Io<Stats | BigIntStats> {
  return statsFor(ctx, yield* ctx.vfs.fstat(fd), options);
}

export const fstat = (ctx: Context, fd: number, options?: { bigint?: boolean }): Io<Stats | BigIntStats> =>
  fstatIo(ctx, fdOf(fd), options);

export function peekFstat(ctx: Context, fd: unknown, options: unknown): Stats | Miss {
  if (typeof fd !== 'number' || options !== undefined) return MISS;
  const file = ctx.vfs.core.files.peek(fd);
  return file === undefined ? MISS : new Stats(ctx, file.inode);
}

export const fsync = (ctx: Context, fd: number): Io<void> => ctx.vfs.fsync(fdOf(fd));
export const fdatasync = (ctx: Context, fd: number): Io<void> => ctx.vfs.fdatasync(fdOf(fd));

export const ftruncate = (ctx: Context, fd: number, len?: number | null): Io<void> =>
  ctx.vfs.ftruncate(fdOf(fd), Math.max(0, integerOf(len ?? 0, 'len')));

export const fchmod = (ctx: Context, fd: number, mode: string | number): Io<void> => ctx.vfs.fchmod(fdOf(fd), modeOf(mode));

export const fchown = (ctx: Context, fd: number, uid: number, gid: number): Io<void> =>
  ctx.vfs.fchown(fdOf(fd), idOf(uid, 'uid'), idOf(gid, 'gid'));

export const futimes = (ctx: Context, fd: number, atime: unknown, mtime: unknown): Io<void> =>
  ctx.vfs.futimes(fdOf(fd), timeOf(atime, 'atime'), timeOf(mtime, 'mtime'));

/** A position argument: null, undefined and negative mean the file's own. */
export function positionOf(position: unknown, name = 'position'): number | null {
  if (position === null || position === undefined) return null;
  if (typeof position === 'bigint') return position < 0n ? null : integerOf(Number(position), name);
  if (typeof position !== 'number') throw invalidType(name, 'of type integer or bigint', position);
  integerOf(position, name);
  return position < 0 ? null : position;
}

function viewOf(buffer: unknown, offset: number, length: number): Uint8Array {
  if (!ArrayBuffer.isView(buffer)) {
    throw invalidType('buffer', 'an instance of Buffer, TypedArray, or DataView', buffer);
  }
  if (offset < 0 || offset > buffer.byteLength) throw outOfRange('offset', `>= 0 && <= ${buffer.byteLength}`, offset);
  const room = buffer.byteLength - offset;
  if (length < 0 || length > room) throw outOfRange('length', `>= 0 && <= ${room}`, length);
  if (offset === 0 && length === buffer.byteLength && buffer instanceof Uint8Array) return buffer;
  return new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length);
}

/** What a read or write is asked to do: which bytes, and where in the file. */
export interface Transfer {
  /** The whole buffer the caller gave (or was given). */
  readonly buffer: ArrayBufferView;
  readonly bytes: Uint8Array;
  readonly position: number | null;
}

const DEFAULT_READ_BYTES = 16_384;

/** Sorts out Node's forms: (buffer, offset, length, position), (buffer, options), (options), (). */
export function readTransfer(a?: unknown, b?: unknown, c?: unknown, d?: unknown): Transfer {
  let buffer: unknown = a;
  let offset: unknown = b;
  let length: unknown = c;
  let position: unknown = d;
  let options: Record<string, unknown> | undefined;
  if (!ArrayBuffer.isView(a) && (a === undefined || a === null || typeof a === 'object')) {
    options = (a ?? {}) as Record<string, unknown>;
    buffer = options['buffer'] ?? Buffer.alloc(DEFAULT_READ_BYTES);
  } else if (typeof b === 'object' && b !== null) {
    options = b as Record<string, unknown>;
  }
  if (options !== undefined) ({ offset, length, position } = options);
  if (!ArrayBuffer.isView(buffer)) {
    throw invalidType('buffer', 'an instance of Buffer, TypedArray, or DataView', buffer);
  }
  const from = offset === undefined || offset === null ? 0 : integerOf(offset, 'offset');
  const count = length === undefined || length === null ? buffer.byteLength - from : integerOf(length, 'length');
  return { buffer, bytes: viewOf(buffer, from, count), position: positionOf(position) };
}

/** Sorts out Node's forms: (buffer, offset, length, position), (buffer, options), (string, position, encoding). */
export function writeTransfer(a: unknown, b?: unknown, c?: unknown, d?: unknown): Transfer {
  if (typeof a === 'string') {
    const bytes = bytesOf(a, c);
    return { buffer: bytes, bytes, position: positionOf(b) };
  }
  if (!ArrayBuffer.isView(a)) {
    throw invalidType('buffer', 'of type string or an instance of Buffer, TypedArray, or DataView', a);
  }
  return readTransfer(a, b, c, d);
}

export function read(ctx: Context, fd: number, a?: unknown, b?: unknown, c?: unknown, d?: unknown): Io<number> {
  const { bytes, position } = readTransfer(a, b, c, d);
  return ctx.vfs.read(fdOf(fd), bytes, position);
}

export function write(ctx: Context, fd: number, a: unknown, b?: unknown, c?: unknown, d?: unknown): Io<number> {
  const { bytes, position } = writeTransfer(a, b, c, d);
  return ctx.vfs.write(fdOf(fd), bytes, position);
}

/** The bytes of the plain form (buffer, offset, length, position); undefined for any other. */
function plainBytes(a: unknown, b: unknown, c: unknown, d: unknown): Uint8Array | undefined {
  if (!(a instanceof Uint8Array) || typeof b !== 'number' || typeof c !== 'number') return undefined;
  if (d !== null && d !== undefined && typeof d !== 'number') return undefined;
  if (b === 0 && c === a.length) return a;
  if (!(b >= 0 && c >= 0 && b + c <= a.length) || !Number.isInteger(b) || !Number.isInteger(c)) return undefined;
  return new Uint8Array(a.buffer, a.byteOffset + b, c);
}

export function peekReadFd(ctx: Context, fd: unknown, a: unknown, b: unknown, c: unknown, d: unknown): number | Miss {
  const bytes = plainBytes(a, b, c, d);
  if (bytes === undefined || typeof fd !== 'number') return MISS;
  const got = peekRead(ctx.vfs, fd, bytes, typeof d === 'number' && d >= 0 && Number.isSafeInteger(d) ? d : positionOf(d));
  return got < 0 ? MISS : got;
}

export function peekWriteFd(ctx: Context, fd: unknown, a: unknown, b: unknown, c: unknown, d: unknown): number | Miss {
  const bytes = plainBytes(a, b, c, d);
  if (bytes === undefined || typeof fd !== 'number') return MISS;
  const put = peekWrite(ctx.vfs, fd, bytes, positionOf(d));
  return put < 0 ? MISS : put;
}

function viewsOf(buffers: unknown): Uint8Array[] {
  if (!Array.isArray(buffers)) throw invalidType('buffers', 'an instance of ArrayBufferView[]', buffers);
  return buffers.map((buffer: unknown) => {
    if (!ArrayBuffer.isView(buffer)) throw invalidType('buffers', 'an instance of ArrayBufferView[]', buffers);
    return viewOf(buffer, 0, buffer.byteLength);
  });
}

export const readv = (ctx: Context, fd: number, buffers: readonly NodeJS.ArrayBufferView[], position?: unknown): Io<number> =>
  ctx.vfs.readv(fdOf(fd), viewsOf(buffers), positionOf(position));

export const writev = (ctx: Context, fd: number, buffers: readonly NodeJS.ArrayBufferView[], position?: unknown): Io<number> =>
  ctx.vfs.writev(fdOf(fd), viewsOf(buffers), positionOf(position));

const decoded = (bytes: Uint8Array, encoding: BufferEncoding | 'buffer' | undefined): string | Buffer => {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return encoding === undefined || encoding === 'buffer' ? buffer : buffer.toString(encoding);
};

/** Runs `body` on a descriptor: the one given, or one opened for the time. */
function* withFd<T>(ctx: Context, target: string | number, flags: number, mode: number, body: (fd: number) => Io<T>): Io<T> {
  if (typeof target === 'number') return yield* body(target);
  const fd = yield* ctx.vfs.open(target, flags, mode);
  let result: T;
  try {
    result = yield* body(fd);
  } catch (error) {
    yield* ctx.vfs.close(fd);
    throw error;
  }
  yield* ctx.vfs.close(fd);
  return result;
}

export function readFile(ctx: Context, target: Path | number, options?: unknown): Io<string | Buffer> {
  const { encoding, flag } = optionsOf(options);
  return readFileIo(ctx, pathOrFd(target), flagsOf(flag), encodingOf(encoding));
}

const allocate = (size: number): Buffer => Buffer.allocUnsafe(size);

function* readFileIo(
  ctx: Context,
  target: string | number,
  flags: number,
  encoding: BufferEncoding | 'buffer' | undefined,
): Io<string | Buffer> {
  if (typeof target === 'string' && flags === O_RDONLY) return decoded(yield* ctx.vfs.readPath(target, allocate), encoding);
  const bytes = yield* withFd(ctx, target, flags, 0o666, (fd) => ctx.vfs.readToEnd(fd, allocate));
  return decoded(bytes, encoding);
}

/** Small files whose path is cached, and whose data is or can be read without a wait: no descriptor, no generator. */
export function peekReadFile(ctx: Context, path: unknown, options: unknown): string | Buffer | Miss {
  const { vfs } = ctx;
  const { fs } = vfs.core;
  if (!isPlainPath(path) || fs.peekRead === undefined) return MISS;
  let encoding: BufferEncoding | 'buffer' | undefined;
  if (typeof options === 'string') encoding = encodingOf(options);
  else if (options !== undefined && options !== null) {
    const { encoding: given, flag } = optionsOf(options);
    if (flag !== undefined && flag !== null && flag !== 'r') return MISS;
    encoding = encodingOf(given);
  }
  const inode = peekWalk(vfs, path, true);
  if (inode === null || inode === undefined || !isRegular(inode.mode) || !mayAccess(vfs.cred, inode, R_OK)) return MISS;
  const { size } = inode;
  if (size > PEEK_FILE_BYTES || !inode.lock.tryRead(true)) return MISS;
  let buffer: Buffer;
  try {
    buffer = allocate(size);
    if (size > 0 && fs.peekRead(inode, 0, buffer) !== size) return MISS;
  } finally {
    inode.lock.unlockRead();
  }
  vfs.core.accessed(inode);
  return decoded(buffer, encoding);
}

/** Above this a whole-file read gains nothing by avoiding a descriptor. */
const PEEK_FILE_BYTES = 1_048_576;

function writeWhole(ctx: Context, target: Path | number, data: unknown, options: unknown, flagDefault: string): Io<void> {
  const { encoding, flag, mode, flush } = optionsOf(options);
  const bytes = bytesOf(data, encoding, 'data');
  const at = pathOrFd(target);
  return withFd(ctx, at, flagsOf(flag, flagDefault), modeOf(mode, 0o666), function* (fd) {
    yield* ctx.vfs.writeAll(fd, bytes);
    if (flush === true) yield* ctx.vfs.fsync(fd);
  });
}

export const writeFile = (ctx: Context, target: Path | number, data: unknown, options?: unknown): Io<void> =>
  writeWhole(ctx, target, data, options, 'w');

export const appendFile = (ctx: Context, target: Path | number, data: unknown, options?: unknown): Io<void> =>
  writeWhole(ctx, target, data, options, 'a');

/** What has no counterpart in an image. */
export function unsupported(syscall: string): never {
  throw new FsError('ENOSYS', { syscall, why: 'an image sends no events' });
}
