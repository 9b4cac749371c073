/**
 * The vfs of one mount: one table of Io functions, bound to a caller.
 *
 * Each failure leaves with the system call's name and, where there is one, the path (`withContext`), once, here. Faces
 * (Node-fs, FUSE, the command) are derived from this table.
 */
import { FsError, withContext, type Io } from '@iomap/io';
import * as attr from './attr.js';
import * as chattr from './chattr.js';
import { VfsCore, type Caller } from './core.js';
import * as fd from './fd.js';
import * as file from './file.js';
import type { FileSystem, Inode } from './filesystem.js';
import { decodeName } from './names.js';
import * as mapped from './mapped.js';
import * as namei from './namei.js';
import type { OpenFile } from './open-file.js';
import { vfsOptionsSchema, type VfsOptions } from './options.js';
import * as path from './path.js';
import { renameAt } from './rename.js';
import { tmpfileAt } from './tmpfile.js';
import { parentOf } from './walk.js';
import * as xattr from './xattr.js';

/** The table. Every entry takes the caller first; the bound ones do not. */
const OPS = {
  // By path.
  open: fd.open,
  stat: path.stat,
  lstat: path.lstat,
  readdir: fd.readdir,
  opendir: fd.opendir,
  mkdir: path.mkdir,
  mknod: path.mknod,
  rmdir: path.rmdir,
  unlink: path.unlink,
  rename: path.rename,
  link: path.link,
  symlink: path.symlink,
  readlink: path.readlink,
  realpath: path.realpath,
  setattr: path.setattr,
  chmod: chattr.chmod,
  lchmod: chattr.lchmod,
  chown: chattr.chown,
  lchown: chattr.lchown,
  utimes: chattr.utimes,
  lutimes: chattr.lutimes,
  access: path.access,
  truncate: path.truncate,
  copyFile: fd.copyFile,
  statfs: fd.statfs,
  fiemap: path.fiemap,
  getxattr: path.getxattr,
  setxattr: path.setxattr,
  removexattr: path.removexattr,
  listxattr: path.listxattr,
  // By descriptor.
  close: fd.close,
  read: fd.read,
  write: fd.write,
  readv: fd.readv,
  writev: fd.writev,
  readToEnd: fd.readToEnd,
  readPath: fd.readPath,
  writeAll: fd.writeAll,
  fstat: fd.fstat,
  fsync: fd.fsync,
  fdatasync: fd.fdatasync,
  ftruncate: fd.ftruncate,
  fsetattr: fd.fsetattr,
  fchmod: chattr.fchmod,
  fchown: chattr.fchown,
  futimes: chattr.futimes,
  seek: fd.seek,
  fallocate: fd.fallocate,
  ffiemap: fd.ffiemap,
  getdents: fd.getdents,
  pread2: mapped.pread2,
  pwrite2: mapped.pwrite2,
  swapMap: mapped.swapMap,
  // Mapped files.
  mmap: mapped.mmap,
  mread: mapped.mread,
  mwrite: mapped.mwrite,
  msync: mapped.msync,
  munmap: mapped.munmap,
  // By inode: every inode handed out is referenced, `iput` or `forget` gives it back.
  iget: function* iget(caller: Caller, ino: number): Io<Inode> {
    if (ino === caller.core.fs.rootIno) yield* caller.core.root();
    return yield* caller.core.inodes.get(ino);
  },
  parentOf: (caller: Caller, dir: Inode): Io<Inode> => parentOf(caller.core, dir),
  lookupAt: namei.lookupAt,
  /** `lookupAt` that answers undefined for what is not there. */
  childAt: namei.childAt,
  tmpfileAt,
  createAt: namei.createAt,
  mkdirAt: namei.mkdirAt,
  symlinkAt: namei.symlinkAt,
  linkAt: namei.linkAt,
  unlinkAt: namei.unlinkAt,
  rmdirAt: namei.rmdirAt,
  renameAt,
  readlinkAt: path.readlinkAt,
  setattrAt: attr.setattrAt,
  openInode: file.openInode,
  releaseFile: (caller: Caller, open: OpenFile): Io<void> => file.releaseFile(caller.core, open),
  readAt: (caller: Caller, open: OpenFile, bytes: Uint8Array, pos: number): Io<number> =>
    file.readAt(caller.core, open, bytes, pos),
  writeAt: (caller: Caller, open: OpenFile, bytes: Uint8Array, pos: number): Io<number> =>
    file.writeAt(caller, open, bytes, pos),
  truncateFile: file.truncateFile,
  fallocateAt: file.fallocateAt,
  readdirAt: (caller: Caller, dir: Inode, cookie: number, emit: Parameters<typeof file.readdirAt>[3]): Io<void> =>
    file.readdirAt(caller.core, dir, cookie, emit),
  fsyncFile: (caller: Caller, open: OpenFile, dataOnly: boolean): Io<void> => file.fsyncFile(caller.core, open, dataOnly),
  fsyncAt: (caller: Caller, inode: Inode, dataOnly: boolean): Io<void> => file.fsyncAt(caller.core, inode, dataOnly),
  seekAt: (caller: Caller, inode: Inode, pos: number, whence: 'data' | 'hole'): Io<number> =>
    file.seekAt(caller.core, inode, pos, whence),
  fiemapAt: (caller: Caller, inode: Inode, pos: number, len: number): ReturnType<typeof file.fiemapAt> =>
    file.fiemapAt(caller.core, inode, pos, len),
  getxattrAt: xattr.getxattrAt,
  setxattrAt: xattr.setxattrAt,
  removexattrAt: xattr.removexattrAt,
  listxattrAt: xattr.listxattrAt,
  /** Gives back `count` references (FUSE's FORGET) and frees what that leaves without any. */
  forget: function* forget(caller: Caller, inode: Inode, count: number): Io<void> {
    caller.core.inodes.put(inode, count);
    yield* caller.core.inodes.reap();
  },
  // The mount.
  sync: fd.sync,
  unmount: fd.unmount,
  dropCaches: fd.dropCaches,
} as const;

type Ops = typeof OPS;
type Bound<F> = F extends (caller: Caller, ...args: infer A) => infer R ? (...args: A) => R : never;

/** The operations, bound to a caller. */
export type VfsOps = { readonly [K in keyof Ops]: Bound<Ops[K]> };

/** Who calls from now on; absent = as before. */
export interface As {
  readonly uid?: number;
  readonly gid?: number;
  readonly groups?: readonly number[];
  readonly umask?: number;
  /** Somebody else has checked permissions: see `Credentials`. */
  readonly privileged?: boolean;
}

/** One mount as one caller sees it. */
export interface Vfs extends VfsOps, Caller {
  readonly fs: FileSystem;
  /** The same mount, caches and descriptors, for another caller. */
  as(who: As): Vfs;
  /** Gives back a reference: plain, so that `finally` may. An inode this leaves without link and user goes at the next `reap`. */
  iput(inode: Inode): void;
  /** Frees what `iput` left without link and user. Operations do it themselves. */
  reap(): Io<void>;
}

/** Names of system calls, where they are not the operation's own. */
const SYSCALLS: Readonly<Record<string, string>> = {
  readdir: 'scandir',
  getdents: 'scandir',
  copyFile: 'copyfile',
  readToEnd: 'read',
  readPath: 'open',
  writeAll: 'write',
  readv: 'read',
  writev: 'write',
  iget: 'open',
  utimes: 'utime',
  lutimes: 'lutime',
  futimes: 'futime',
};
/** Operations whose second argument is a path too. */
const TWO_PATHS = new Set(['rename', 'link', 'symlink', 'copyFile']);

/** The error with the operation's name and paths, which are byte strings, added. */
export function explain(error: unknown, op: string, first: unknown, second: unknown): unknown {
  if (!(error instanceof FsError) || error.syscall !== undefined) return error;
  return withContext(error, {
    syscall: SYSCALLS[op] ?? op,
    ...(typeof first === 'string' ? { path: decodeName(first) } : {}),
    ...(typeof second === 'string' && TWO_PATHS.has(op) ? { dest: decodeName(second) } : {}),
  });
}

function* explained(core: VfsCore, op: string, io: Io<unknown>, args: readonly unknown[]): Io<unknown> {
  try {
    if (core.isUnmounted) throw new FsError('ENODEV', { why: 'the filesystem is unmounted' });
    const result = yield* io;
    if (core.inodes.pressed) yield* core.inodes.reap();
    return result;
  } catch (error) {
    throw explain(error, op, args[0], args[1]);
  }
}

function bind(caller: Caller): Vfs {
  const { core } = caller;
  const bound: Record<string, unknown> = {};
  for (const [op, run] of Object.entries(OPS) as [string, (caller: Caller, ...args: unknown[]) => Io<unknown>][]) {
    bound[op] = (...args: unknown[]) => explained(core, op, run(caller, ...args), args);
  }
  const rest = {
    core,
    cred: caller.cred,
    umask: caller.umask,
    fs: core.fs,
    as: (who: As): Vfs =>
      bind({
        core,
        cred: {
          uid: who.uid ?? caller.cred.uid,
          gid: who.gid ?? caller.cred.gid,
          groups: who.groups ?? caller.cred.groups,
          privileged: who.privileged ?? caller.cred.privileged,
        },
        umask: who.umask ?? caller.umask,
      }),
    iput: (inode: Inode): void => {
      core.inodes.put(inode);
    },
    reap: () => core.inodes.reap(),
  };
  // Built from OPS by name, which `VfsOps` says of the type.
  return Object.assign(bound, rest) as unknown as Vfs;
}

/**
 * The vfs over a mounted filesystem.
 * @throws FsError EINVAL naming the option that is out of range
 */
export function createVfs(fs: FileSystem, options: VfsOptions = {}): Vfs {
  const parsed = vfsOptionsSchema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue?.path.join('.') ?? 'options';
    throw new FsError('EINVAL', { why: issue?.message ?? 'bad options', detail: { field }, cause: parsed.error });
  }
  const settings = parsed.data;
  const { uid, gid, groups, umask } = settings;
  return bind({ core: new VfsCore(fs, settings), cred: { uid, gid, groups }, umask });
}
