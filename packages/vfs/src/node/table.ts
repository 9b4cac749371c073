/** The one table of Node's calls, and of their plain twins; every face (sync, callback, promise) is derived from it. */
import * as dir from './dir.js';
import * as file from './file-ops.js';
import * as path from './path-ops.js';
import * as tree from './tree-ops.js';

/** Name -> (context, ...arguments) -> the Io to run. Arguments are checked when it is called, before anything runs. */
export const TABLE = {
  access: path.access,
  appendFile: file.appendFile,
  chmod: path.chmod,
  chown: path.chown,
  close: file.close,
  copyFile: path.copyFile,
  cp: tree.cp,
  exists: path.exists,
  fchmod: file.fchmod,
  fchown: file.fchown,
  fdatasync: file.fdatasync,
  fstat: file.fstat,
  fsync: file.fsync,
  ftruncate: file.ftruncate,
  futimes: file.futimes,
  lchmod: path.lchmod,
  lchown: path.lchown,
  link: path.link,
  lstat: path.lstat,
  lutimes: path.lutimes,
  mkdir: tree.mkdir,
  mkdtemp: tree.mkdtemp,
  open: path.open,
  opendir: dir.opendir,
  read: file.read,
  readFile: file.readFile,
  readdir: tree.readdir,
  readlink: path.readlink,
  readv: file.readv,
  realpath: path.realpath,
  rename: path.rename,
  rm: tree.rm,
  rmdir: tree.rmdir,
  stat: path.stat,
  statfs: path.statfs,
  symlink: path.symlink,
  truncate: path.truncate,
  unlink: path.unlink,
  utimes: path.utimes,
  write: file.write,
  writeFile: file.writeFile,
  writev: file.writev,
} as const;

/** Plain twins: the result, or MISS where the Io operation is to be run. */
export const PEEKS = {
  close: file.peekCloseFd,
  exists: path.peekExists,
  fstat: file.peekFstat,
  lstat: path.peekLstat,
  open: path.peekOpenPath,
  read: file.peekReadFd,
  readdir: tree.peekReaddirPath,
  readFile: file.peekReadFile,
  stat: path.peekStat,
  write: file.peekWriteFd,
} as const;

export type Table = typeof TABLE;
