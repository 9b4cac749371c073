/** Node's calls on whole trees, as Io: mkdir and readdir with `recursive`, rm, cp, mkdtemp (see path-ops.ts). */
import { FsError, isCode, submit, WaitQueue, type Io } from '@iomap/io';
import { isDirectory, isSymlink, type Attr, type DirEntry, type FileType, type Inode } from '../index.js';
import { peekReaddir } from '../fd.js';
import { fileTypeOf } from '../modes.js';
import { walkParent } from '../walk.js';
import { encodingOf, isPlainPath, modeOf, nameFor, optionsOf, pathOf, type Path } from './arguments.js';
import { MISS, type Context, type Miss } from './context.js';
import { Dirent } from './dirent.js';
import { invalidType, nodeError } from './errors.js';
import { decodeName } from '../index.js';

const parentPathOf = (path: string): string => {
  const trimmed = path.replace(/\/+$/, '');
  const at = trimmed.lastIndexOf('/');
  return at <= 0 ? (at === 0 || trimmed === '' ? '/' : '.') : trimmed.slice(0, at);
};

const join = (dir: string, name: string): string => (dir.endsWith('/') ? dir + name : `${dir}/${name}`);

export function mkdir(ctx: Context, path: Path, options?: unknown): Io<string | undefined> {
  const given = typeof options === 'number' || typeof options === 'string' ? { mode: options } : optionsOf(options);
  const mode = modeOf((given as { mode?: unknown }).mode, 0o777);
  const at = pathOf(path);
  return (given as { recursive?: unknown }).recursive === true ? mkdirs(ctx, at, mode) : mkdirOne(ctx, at, mode);
}

function* mkdirOne(ctx: Context, path: string, mode: number): Io<undefined> {
  yield* ctx.vfs.mkdir(path, mode);
  return undefined;
}

/** Goes up to the first that is there, then down; answers the first folder made. */
function* mkdirs(ctx: Context, path: string, mode: number): Io<string | undefined> {
  let first: string | undefined;
  const todo = [path];
  for (let at = todo.at(-1); at !== undefined; at = todo.at(-1)) {
    try {
      yield* ctx.vfs.mkdir(at, mode);
      first ??= at;
      todo.pop();
    } catch (error) {
      const up = parentPathOf(at);
      if (isCode(error, 'ENOENT') && up !== at && up !== '.') {
        todo.push(up);
        continue;
      }
      if (!isCode(error, 'EEXIST', 'EROFS', 'EACCES', 'EPERM')) throw error;
      if (!(yield* isFolder(ctx, at))) {
        if (!isCode(error, 'EEXIST') || todo.length === 1) throw error;
        throw new FsError('ENOTDIR', { syscall: 'mkdir', path: decodeName(path) });
      }
      todo.pop();
    }
  }
  return first === undefined ? undefined : decodeName(first);
}

/** As Node: what `stat` has against the path (a dangling or looping link) is what `mkdir` fails with. */
function* isFolder(ctx: Context, path: string): Io<boolean> {
  try {
    return isDirectory((yield* ctx.vfs.stat(path)).mode);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new FsError(error.code, { syscall: 'mkdir', path: decodeName(path), cause: error });
  }
}

const RANDOM_NAME = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

export function mkdtemp(ctx: Context, prefix: Path, options?: unknown): Io<string | Buffer> {
  return mkdtempIo(ctx, pathOf(prefix, 'prefix'), encodingOf(optionsOf(options)['encoding']));
}

function* mkdtempIo(ctx: Context, prefix: string, encoding: BufferEncoding | 'buffer' | undefined): Io<string | Buffer> {
  const random = new Uint8Array(6);
  for (let tries = 0; ; tries++) {
    ctx.vfs.core.env.random(random);
    let path = prefix;
    for (const byte of random) path += RANDOM_NAME[byte % RANDOM_NAME.length] ?? 'x';
    try {
      yield* ctx.vfs.mkdir(path, 0o700);
      return nameFor(path, encoding);
    } catch (error) {
      if (isCode(error, 'EEXIST') && tries < 100) continue;
      if (!(error instanceof FsError)) throw error;
      throw new FsError(error.code, { syscall: 'mkdtemp', path: `${decodeName(prefix)}XXXXXX` });
    }
  }
}

type Listing = (string | Buffer)[] | Dirent<string | Buffer>[];

export function readdir(ctx: Context, path: Path, options?: unknown): Io<Listing> {
  const { encoding, withFileTypes, recursive } = optionsOf(options);
  return readdirIo(ctx, pathOf(path), encodingOf(encoding), withFileTypes === true, recursive === true);
}

/** One folder whose entries can be had without a wait, and say their types where those are asked for. */
export function peekReaddirPath(ctx: Context, path: unknown, options: unknown): Listing | Miss {
  if (!isPlainPath(path)) return MISS;
  const { encoding: given, withFileTypes, recursive } = optionsOf(options);
  if (recursive === true) return MISS;
  const encoding = encodingOf(given);
  const entries = peekReaddir(ctx.vfs, path);
  if (entries === undefined) return MISS;
  if (withFileTypes !== true) return entries.map(({ name }) => nameFor(name, encoding));
  const dirents: Dirent<string | Buffer>[] = [];
  for (const { name, type } of entries) {
    if (type === 'unknown') return MISS;
    dirents.push(new Dirent(nameFor(name, encoding), path, type));
  }
  return dirents;
}

function* readdirIo(
  ctx: Context,
  path: string,
  encoding: BufferEncoding | 'buffer' | undefined,
  withFileTypes: boolean,
  recursive: boolean,
): Io<Listing> {
  const names: (string | Buffer)[] = [];
  const dirents: Dirent<string | Buffer>[] = [];
  const queue = [''];
  for (let next = 0; next < queue.length; next++) {
    const below = queue[next] ?? '';
    const dir = below === '' ? path : join(path, below);
    const parentPath = withFileTypes ? decodeName(dir) : '';
    for (const entry of yield* ctx.vfs.readdir(dir)) {
      const relative = below === '' ? entry.name : `${below}/${entry.name}`;
      const isTyped = entry.type !== 'unknown' || !(withFileTypes || recursive);
      const type = isTyped ? entry.type : yield* typeOf(ctx, dir, entry);
      if (withFileTypes) dirents.push(new Dirent(nameFor(entry.name, encoding), parentPath, type));
      else names.push(nameFor(relative, encoding));
      if (recursive && type === 'directory') queue.push(relative);
    }
  }
  return withFileTypes ? dirents : names;
}

/** An entry's type, read from the inode where the format's directories do not say. */
function* typeOf(ctx: Context, dir: string, entry: DirEntry): Io<FileType> {
  return fileTypeOf((yield* ctx.vfs.lstat(join(dir, entry.name))).mode);
}

export function rmdir(ctx: Context, path: Path, options?: { recursive?: boolean }): Io<void> {
  const at = pathOf(path);
  return options?.recursive === true ? rmIo(ctx, at, true, false, 'rmdir') : ctx.vfs.rmdir(at);
}

export function rm(ctx: Context, path: Path, options?: unknown): Io<void> {
  const { recursive, force } = optionsOf(options);
  return rmIo(ctx, pathOf(path), recursive === true, force === true, 'rm');
}

function* rmIo(ctx: Context, path: string, recursive: boolean, force: boolean, syscall: string): Io<void> {
  let attr: Attr;
  try {
    attr = yield* ctx.vfs.lstat(path);
  } catch (error) {
    if (force && isCode(error, 'ENOENT')) return;
    throw error;
  }
  if (!isDirectory(attr.mode)) {
    if (syscall === 'rmdir') throw new FsError('ENOTDIR', { syscall, path: decodeName(path) });
    yield* ctx.vfs.unlink(path);
    return;
  }
  if (!recursive) {
    const shown = decodeName(path);
    throw nodeError('ERR_FS_EISDIR', `Path is a directory: rm returned EISDIR (is a directory) ${shown}`, shown);
  }
  const { vfs } = ctx;
  const place = yield* walkParent(vfs, path);
  try {
    // The root, '.' and '..' fail at the end as rmdir says, like Node's rm, which removes what is below first.
    if (place.last === 'name') {
      const top = yield* vfs.lookupAt(place.dir, place.name);
      yield* emptyTree(ctx, top);
    }
  } finally {
    vfs.iput(place.dir);
  }
  yield* vfs.rmdir(path);
}

/** Names taken from a folder at a time, so that a huge one needs no list of all. */
const RM_BATCH = 1024;

/** Removes all that is below `top` and gives its reference back. By inode, so that no path is too long and none is followed. */
function* emptyTree(ctx: Context, top: Inode): Io<void> {
  const { vfs } = ctx;
  const stack: { dir: Inode; name: string }[] = [{ dir: top, name: '' }];
  try {
    for (let at = stack.at(-1); at !== undefined; at = stack.at(-1)) {
      const { dir } = at;
      const batch: string[] = [];
      yield* vfs.readdirAt(dir, 0, (name) => {
        if (name !== '.' && name !== '..') batch.push(name);
        return batch.length < RM_BATCH;
      });
      let child: { dir: Inode; name: string } | undefined;
      for (const name of batch) {
        const inode = yield* vfs.lookupAt(dir, name);
        if (isDirectory(inode.mode)) {
          child = { dir: inode, name };
          break;
        }
        vfs.iput(inode);
        yield* vfs.unlinkAt(dir, name);
      }
      if (child !== undefined) {
        stack.push(child);
      } else if (batch.length === 0) {
        stack.pop();
        vfs.iput(dir);
        const parent = stack.at(-1);
        if (parent !== undefined) yield* vfs.rmdirAt(parent.dir, at.name);
      }
    }
  } finally {
    for (const { dir } of stack) vfs.iput(dir);
  }
}

interface CpOptions {
  readonly dereference: boolean;
  readonly errorOnExist: boolean;
  readonly filter: ((source: string, dest: string) => unknown) | undefined;
  readonly force: boolean;
  readonly exclusive: boolean;
  readonly preserveTimestamps: boolean;
  readonly recursive: boolean;
  readonly verbatimSymlinks: boolean;
}

/** Copies within the image. */
export function cp(ctx: Context, source: Path, dest: Path, options?: unknown): Io<void> {
  const given = optionsOf(options);
  const { filter, mode } = given;
  if (filter !== undefined && typeof filter !== 'function') throw invalidType('options.filter', 'of type function', filter);
  return cpTree(ctx, pathOf(source, 'src'), pathOf(dest, 'dest'), {
    dereference: given['dereference'] === true,
    errorOnExist: given['errorOnExist'] === true,
    filter: filter as CpOptions['filter'],
    force: given['force'] !== false,
    exclusive: typeof mode === 'number' && (mode & 1) !== 0,
    preserveTimestamps: given['preserveTimestamps'] === true,
    recursive: given['recursive'] === true,
    verbatimSymlinks: given['verbatimSymlinks'] === true,
  });
}

/** Waits for what a filter promises; a synchronous runner cannot (EAGAIN). */
function* settled(value: unknown): Io<unknown> {
  if (!(value instanceof Promise)) return value;
  let outcome: { value?: unknown; error?: unknown } | undefined;
  const queue = new WaitQueue('a promise of cp’s filter');
  const finish = (result: { value?: unknown; error?: unknown }): void => {
    outcome = result;
    queue.wakeAll();
  };
  value.then(
    (got: unknown) => finish({ value: got }),
    (error: unknown) => finish({ error }),
  );
  while (outcome === undefined) yield* submit({ kind: 'wait', queue });
  if ('error' in outcome) throw outcome.error;
  return outcome.value;
}

function* statOrNone(ctx: Context, path: string, follow: boolean): Io<Attr | undefined> {
  try {
    return yield* follow ? ctx.vfs.stat(path) : ctx.vfs.lstat(path);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function* cpTree(ctx: Context, source: string, dest: string, options: CpOptions): Io<void> {
  const stack: { from: string; to: string; times?: Attr }[] = [{ from: source, to: dest }];
  const parent = parentPathOf(dest);
  if (parent !== '.') yield* mkdirs(ctx, parent, 0o777);
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    const { from, to, times } = step;
    if (times !== undefined) {
      yield* ctx.vfs.utimes(to, times.atime, times.mtime);
      continue;
    }
    if (options.filter !== undefined) {
      const keep = yield* settled(options.filter(decodeName(from), decodeName(to)));
      if (keep !== true && !keep) continue;
    }
    const attr = yield* options.dereference ? ctx.vfs.stat(from) : ctx.vfs.lstat(from);
    const there = yield* statOrNone(ctx, to, options.dereference);
    yield* checkCp(ctx, from, to, attr, there, options);
    if (isDirectory(attr.mode)) {
      if (there === undefined) yield* ctx.vfs.mkdir(to, attr.mode & 0o777);
      if (options.preserveTimestamps) stack.push({ from, to, times: attr });
      for (const entry of (yield* ctx.vfs.readdir(from)).reverse()) {
        stack.push({ from: join(from, entry.name), to: join(to, entry.name) });
      }
    } else if (isSymlink(attr.mode)) {
      yield* cpLink(ctx, from, to, there, options);
    } else {
      yield* cpFile(ctx, from, to, attr, there, options);
    }
  }
}

function* checkCp(ctx: Context, from: string, to: string, attr: Attr, there: Attr | undefined, options: CpOptions): Io<void> {
  const shown = decodeName(to);
  const type = fileTypeOf(attr.mode);
  if (there !== undefined) {
    if (there.ino === attr.ino) throw nodeError('ERR_FS_CP_EINVAL', 'Invalid src or dest: src and dest cannot be the same', shown);
    const isDir = isDirectory(attr.mode);
    if (isDir && !isDirectory(there.mode)) {
      throw nodeError('ERR_FS_CP_DIR_TO_NON_DIR', 'Cannot overwrite non-directory with directory', shown);
    }
    if (!isDir && isDirectory(there.mode)) {
      throw nodeError('ERR_FS_CP_NON_DIR_TO_DIR', 'Cannot overwrite directory with non-directory', shown);
    }
  }
  if (isDirectory(attr.mode)) {
    if (!options.recursive) {
      throw nodeError('ERR_FS_EISDIR', `Recursive option not enabled, cannot copy a directory: ${decodeName(from)}`, shown);
    }
    const real = yield* ctx.vfs.realpath(from);
    const above = parentPathOf(to);
    const into = join(yield* ctx.vfs.realpath(above === '.' ? '/' : above), to.replace(/\/+$/, '').split('/').at(-1) ?? '');
    if (`${into}/`.startsWith(real === '/' ? '/' : `${real}/`)) {
      throw nodeError('ERR_FS_CP_EINVAL', `Cannot copy ${decodeName(from)} to a subdirectory of self`, shown);
    }
  } else if (type === 'socket') {
    throw nodeError('ERR_FS_CP_SOCKET', 'Cannot copy a socket file', shown);
  } else if (type === 'fifo') {
    throw nodeError('ERR_FS_CP_FIFO_PIPE', 'Cannot copy a FIFO pipe', shown);
  } else if (type !== 'file' && type !== 'symlink') {
    throw nodeError('ERR_FS_CP_UNKNOWN', 'Cannot copy a file of this type', shown);
  }
}

/** False = leave what is there. */
function mayReplace(to: string, there: Attr | undefined, options: CpOptions): boolean {
  if (there === undefined || options.force) return true;
  if (options.errorOnExist) throw nodeError('ERR_FS_CP_EEXIST', 'Target already exists', decodeName(to));
  return false;
}

function* cpFile(ctx: Context, from: string, to: string, attr: Attr, there: Attr | undefined, options: CpOptions): Io<void> {
  if (!mayReplace(to, there, options)) return;
  if (there !== undefined && !options.exclusive) yield* ctx.vfs.unlink(to);
  yield* ctx.vfs.copyFile(from, to, options.exclusive);
  yield* ctx.vfs.chmod(to, attr.mode & 0o7777);
  if (options.preserveTimestamps) yield* ctx.vfs.utimes(to, attr.atime, attr.mtime);
}

function* cpLink(ctx: Context, from: string, to: string, there: Attr | undefined, options: CpOptions): Io<void> {
  let target = yield* ctx.vfs.readlink(from);
  if (!options.verbatimSymlinks && !target.startsWith('/')) {
    target = normalize(join(yield* ctx.vfs.realpath(parentPathOf(from)), target));
  }
  if (!mayReplace(to, there, options)) return;
  if (there !== undefined) yield* ctx.vfs.unlink(to);
  yield* ctx.vfs.symlink(target, to);
}

/** An absolute path without '.', '..' and doubled slashes, by its text alone. */
function normalize(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return `/${names.join('/')}`;
}
