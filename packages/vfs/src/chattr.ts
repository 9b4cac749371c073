/** The system calls over `setattr`, by path and by descriptor: chmod, chown, utimes and their kin. */
import { FsError, type Io, type Timespec } from '@iomap/io';
import { setattrAt, type AttrChange } from './attr.js';
import type { Caller } from './core.js';
import { holding } from './file.js';
import { isSymlink } from './modes.js';
import { withInode } from './path.js';

/** A time to set: nanoseconds and all, or the current one. */
export type TimeLike = Timespec | 'now';

/** chown(2)'s "leave as it is". */
const idOrLeave = (id: number): number | undefined => (id === -1 || id === 0xffff_ffff ? undefined : id);

const byPath = (caller: Caller, path: string, change: AttrChange, follow: boolean): Io<void> =>
  withInode(caller, path, follow, (inode) => setattrAt(caller, inode, change));

function* byFd(caller: Caller, fd: number, change: AttrChange): Io<void> {
  const { inode } = caller.core.files.get(fd);
  yield* holding(caller.core, inode, setattrAt(caller, inode, change));
}

export const chmod = (caller: Caller, path: string, mode: number): Io<void> => byPath(caller, path, { mode }, true);

/** A symbolic link's own mode cannot change (EOPNOTSUPP), as on Linux; other types as `chmod`. */
export const lchmod = (caller: Caller, path: string, mode: number): Io<void> =>
  withInode(caller, path, false, (inode) => {
    if (isSymlink(inode.mode)) throw new FsError('EOPNOTSUPP');
    return setattrAt(caller, inode, { mode });
  });

export const chown = (caller: Caller, path: string, uid: number, gid: number): Io<void> =>
  byPath(caller, path, { uid: idOrLeave(uid), gid: idOrLeave(gid) }, true);

export const lchown = (caller: Caller, path: string, uid: number, gid: number): Io<void> =>
  byPath(caller, path, { uid: idOrLeave(uid), gid: idOrLeave(gid) }, false);

export const utimes = (caller: Caller, path: string, atime: TimeLike, mtime: TimeLike): Io<void> =>
  byPath(caller, path, { atime, mtime }, true);

export const lutimes = (caller: Caller, path: string, atime: TimeLike, mtime: TimeLike): Io<void> =>
  byPath(caller, path, { atime, mtime }, false);

export const fchmod = (caller: Caller, fd: number, mode: number): Io<void> => byFd(caller, fd, { mode });

export const fchown = (caller: Caller, fd: number, uid: number, gid: number): Io<void> =>
  byFd(caller, fd, { uid: idOrLeave(uid), gid: idOrLeave(gid) });

export const futimes = (caller: Caller, fd: number, atime: TimeLike, mtime: TimeLike): Io<void> =>
  byFd(caller, fd, { atime, mtime });
