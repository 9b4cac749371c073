/**
 * Node's calls on paths, as Io. Each is a plain function that checks its arguments at once, as Node does, and answers the
 * Io to run. The facades are derived from them (derive.ts).
 */
import type { Io } from '@iomap/io';
import { FsError, isCode } from '@iomap/io';
import { O_RDWR, type Attr } from '../index.js';
import {
  encodingOf,
  flagsOf,
  integerOf,
  isPlainPath,
  modeOf,
  nameFor,
  optionsOf,
  pathOf,
  timeOf,
  type Path,
} from './arguments.js';
import { MISS, type Context, type Miss } from './context.js';
import { peekOpen } from '../fd.js';
import { peekWalk } from '../walk.js';
import { BigIntStats, Stats, StatsFs } from './stats.js';

export interface StatOptions {
  readonly bigint?: boolean | undefined;
  readonly throwIfNoEntry?: boolean | undefined;
}

export const statsFor = (ctx: Context, attr: Attr, options: unknown): Stats | BigIntStats =>
  optionsOf(options)['bigint'] === true ? new BigIntStats(ctx, attr) : new Stats(ctx, attr);

function* statIo(ctx: Context, io: Io<Attr>, options: StatOptions | undefined): Io<Stats | BigIntStats | undefined> {
  try {
    return statsFor(ctx, yield* io, options);
  } catch (error) {
    if (options?.throwIfNoEntry === false && isCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

export const stat = (ctx: Context, path: Path, options?: StatOptions): Io<Stats | BigIntStats | undefined> =>
  statIo(ctx, ctx.vfs.stat(pathOf(path)), options);

export const lstat = (ctx: Context, path: Path, options?: StatOptions): Io<Stats | BigIntStats | undefined> =>
  statIo(ctx, ctx.vfs.lstat(pathOf(path)), options);

function peekStatOf(ctx: Context, path: unknown, options: unknown, follow: boolean): Stats | undefined | Miss {
  if (!isPlainPath(path)) return MISS;
  const isQuiet = options !== undefined;
  if (isQuiet) {
    const { bigint, throwIfNoEntry } = (options ?? {}) as StatOptions;
    if (bigint === true || throwIfNoEntry !== false) return MISS;
  }
  const inode = peekWalk(ctx.vfs, path, follow);
  if (inode === undefined) return MISS;
  if (inode !== null) return new Stats(ctx, inode);
  if (isQuiet) return undefined;
  throw new FsError('ENOENT', { syscall: follow ? 'stat' : 'lstat', path });
}

export const peekStat = (ctx: Context, path: unknown, options: unknown): Stats | undefined | Miss =>
  peekStatOf(ctx, path, options, true);

export const peekLstat = (ctx: Context, path: unknown, options: unknown): Stats | undefined | Miss =>
  peekStatOf(ctx, path, options, false);

/** Like Node's: false for whatever goes wrong, bad arguments included. */
export function* exists(ctx: Context, path: Path): Io<boolean> {
  try {
    yield* ctx.vfs.access(pathOf(path), 0);
    return true;
  } catch (error) {
    if (error instanceof FsError || error instanceof TypeError) return false;
    throw error;
  }
}

export function peekExists(ctx: Context, path: unknown): boolean | Miss {
  if (!isPlainPath(path)) return MISS;
  const inode = peekWalk(ctx.vfs, path, true);
  return inode === undefined ? MISS : inode !== null;
}

export const access = (ctx: Context, path: Path, mode?: number): Io<void> =>
  ctx.vfs.access(pathOf(path), integerOf(mode ?? 0, 'mode', 0, 7));

export const open = (ctx: Context, path: Path, flags?: string | number, mode?: string | number): Io<number> =>
  ctx.vfs.open(pathOf(path), flagsOf(flags), modeOf(mode, 0o666));

export function peekOpenPath(ctx: Context, path: unknown, flags: unknown): number | Miss {
  if (!isPlainPath(path)) return MISS;
  const fd = peekOpen(ctx.vfs, path, flagsOf(flags));
  return fd < 0 ? MISS : fd;
}

export const chmod = (ctx: Context, path: Path, mode: string | number): Io<void> =>
  ctx.vfs.chmod(pathOf(path), modeOf(mode));

export const lchmod = (ctx: Context, path: Path, mode: string | number): Io<void> =>
  ctx.vfs.lchmod(pathOf(path), modeOf(mode));

export const idOf = (id: unknown, name: string): number => integerOf(id, name, -1, 0xffff_ffff);

export const chown = (ctx: Context, path: Path, uid: number, gid: number): Io<void> =>
  ctx.vfs.chown(pathOf(path), idOf(uid, 'uid'), idOf(gid, 'gid'));

export const lchown = (ctx: Context, path: Path, uid: number, gid: number): Io<void> =>
  ctx.vfs.lchown(pathOf(path), idOf(uid, 'uid'), idOf(gid, 'gid'));

export const utimes = (ctx: Context, path: Path, atime: unknown, mtime: unknown): Io<void> =>
  ctx.vfs.utimes(pathOf(path), timeOf(atime, 'atime'), timeOf(mtime, 'mtime'));

export const lutimes = (ctx: Context, path: Path, atime: unknown, mtime: unknown): Io<void> =>
  ctx.vfs.lutimes(pathOf(path), timeOf(atime, 'atime'), timeOf(mtime, 'mtime'));

export const link = (ctx: Context, path: Path, newPath: Path): Io<void> =>
  ctx.vfs.link(pathOf(path, 'existingPath'), pathOf(newPath, 'newPath'));

/** The type ('file', 'dir', 'junction') matters on Windows alone and is ignored. */
export const symlink = (ctx: Context, target: Path, path: Path, _type?: string | null): Io<void> =>
  ctx.vfs.symlink(pathOf(target, 'target'), pathOf(path));

export const unlink = (ctx: Context, path: Path): Io<void> => ctx.vfs.unlink(pathOf(path));

export const rename = (ctx: Context, path: Path, newPath: Path): Io<void> =>
  ctx.vfs.rename(pathOf(path, 'oldPath'), pathOf(newPath, 'newPath'));

export function readlink(ctx: Context, path: Path, options?: unknown): Io<string | Buffer> {
  return named(ctx.vfs.readlink(pathOf(path)), encodingOf(optionsOf(options)['encoding']));
}

export function realpath(ctx: Context, path: Path, options?: unknown): Io<string | Buffer> {
  return named(ctx.vfs.realpath(pathOf(path)), encodingOf(optionsOf(options)['encoding']));
}

function* named(io: Io<string>, encoding: BufferEncoding | 'buffer' | undefined): Io<string | Buffer> {
  return nameFor(yield* io, encoding);
}

export function truncate(ctx: Context, path: Path, len?: number | null): Io<void> {
  const size = Math.max(0, integerOf(len ?? 0, 'len'));
  return truncateIo(ctx, pathOf(path), size);
}

function* truncateIo(ctx: Context, path: string, size: number): Io<void> {
  const fd = yield* ctx.vfs.open(path, O_RDWR);
  try {
    yield* ctx.vfs.ftruncate(fd, size);
  } catch (error) {
    yield* ctx.vfs.close(fd);
    throw error;
  }
  yield* ctx.vfs.close(fd);
}

export function copyFile(ctx: Context, source: Path, dest: Path, mode?: number): Io<void> {
  const flags = integerOf(mode ?? 0, 'mode', 0, 7);
  const from = pathOf(source, 'src');
  const to = pathOf(dest, 'dest');
  // COPYFILE_FICLONE_FORCE: there are no shared extents to make.
  if ((flags & 4) !== 0) throw new FsError('ENOSYS', { syscall: 'copyfile' });
  return ctx.vfs.copyFile(from, to, (flags & 1) !== 0);
}

export function statfs(ctx: Context, path: Path, options?: { bigint?: boolean }): Io<StatsFs | StatsFs<bigint>> {
  return statfsIo(ctx, pathOf(path), options?.bigint === true);
}

function* statfsIo(ctx: Context, path: string, isBigint: boolean): Io<StatsFs | StatsFs<bigint>> {
  const stat = yield* ctx.vfs.statfs(path);
  return isBigint ? new StatsFs(stat, BigInt) : new StatsFs(stat, Number);
}
