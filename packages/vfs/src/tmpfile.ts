/** Files made without a name (O_TMPFILE). */
import { FsError, type Io } from '@iomap/io';
import type { Caller } from './core.js';
import type { Inode } from './filesystem.js';
import { isDirectory, S_IFREG } from './modes.js';
import { checkCreate, ownershipIn } from './permission.js';

/**
 * Makes a regular file that no name leads to; the answer is referenced. `mayLink`: `linkAt` may give it a name later.
 * The umask applies.
 * @throws FsError EOPNOTSUPP, ENOTDIR, EACCES, EROFS, ENOSPC
 */
export function* tmpfileAt(caller: Caller, dir: Inode, mode: number, mayLink: boolean): Io<Inode> {
  const { core, cred } = caller;
  if (!isDirectory(dir.mode)) throw new FsError('ENOTDIR');
  if (core.fs.tmpfile === undefined) throw new FsError('EOPNOTSUPP', { why: 'O_TMPFILE' });
  core.checkWritable();
  if (!dir.lock.tryWrite()) yield* dir.lock.write();
  try {
    checkCreate(cred, dir);
    const owner = ownershipIn(cred, dir, S_IFREG | (mode & 0o7777 & ~caller.umask));
    const inode = yield* core.fs.tmpfile(dir, { ...owner, rdev: 0, now: core.now(), asked: S_IFREG | (mode & 0o7777) });
    core.inodes.add(inode);
    if (mayLink) core.tmpfiles.add(inode);
    return inode;
  } finally {
    dir.lock.unlockWrite();
  }
}
