/**
 * A tree as a list of lines that busybox in a virtual machine can make as well as we can from a mounted filesystem: attributes,
 * targets of links, and a hash of each file, read whole.
 */
import { FsError, type Io } from '@iomap/io';
import type { FileSystem, Inode, Name } from '@iomap/vfs';
import { createHash } from 'node:crypto';
import { listDirectory, typeOfMode } from './fs-tree.js';
import { toName } from './tree.js';

/** Prints the list of what is mounted at the current folder. Names are bytes without newlines. */
export const LIST_SCRIPT = [
  "find . -print0 | xargs -0 stat -c '%f %u %g %h %s %t %T %Y %n' && echo @",
  'find . -type f -print0 | xargs -0 -r sha1sum && echo @',
  'find . -type l | while IFS= read -r n; do printf "%s\\n" "$n"; readlink "$n"; done',
].join('\n');

/** Path to what is known of it. */
export type KernelList = ReadonlyMap<Name, string>;

const line = (of: { mode: number; uid: number; gid: number; nlink: number; size: number; rdev: number; sec: number }, more: string): string => {
  const type = typeOfMode(of.mode);
  const size = type === 'file' || type === 'symlink' ? of.size : '-';
  const rdev = type === 'char' || type === 'block' ? of.rdev : 0;
  return `${type} ${(of.mode % 0o10000).toString(8)} ${of.uid}:${of.gid} ${of.nlink} ${size} ${rdev} ${of.sec} ${more}`;
};

/** What `LIST_SCRIPT` printed. */
export function parseKernelList(output: Buffer): KernelList {
  const lines = output.toString('latin1').split('\n');
  const list = new Map<Name, string>();
  const more = new Map<Name, string>();
  const first = lines.indexOf('@');
  const second = lines.indexOf('@', first + 1);
  for (const text of lines.slice(first + 1, second)) more.set(text.slice(42), text.slice(0, 40));
  const links = lines.slice(second + 1);
  for (let i = 0; i + 1 < links.length; i += 2) more.set(links[i] ?? '', links[i + 1] ?? '');
  for (const text of lines.slice(0, first)) {
    const found = /^(\w+) (\d+) (\d+) (\d+) (\d+) (\w+) (\w+) (\d+) \.\/?(.*)$/s.exec(text);
    if (found === null) throw new Error(`not a line of the kernel's list: ${text}`);
    const [, mode = '', uid, gid, nlink, size, major = '', minor = '', sec, path = ''] = found;
    const of = {
      mode: Number.parseInt(mode, 16),
      uid: Number(uid),
      gid: Number(gid),
      nlink: Number(nlink),
      size: Number(size),
      rdev: Number.parseInt(major, 16) * 256 + Number.parseInt(minor, 16),
      sec: Number(sec),
    };
    list.set(path, line(of, more.get(`./${path}`) ?? ''));
  }
  return list;
}

function* sha1(fs: FileSystem, inode: Inode): Io<string> {
  const hash = createHash('sha1');
  const buffer = new Uint8Array(256 * 1024);
  for (let pos = 0; pos < inode.size; ) {
    const got = yield* fs.read(inode, pos, buffer);
    if (got === 0) throw new FsError('EIO', { why: `short read at ${pos}`, detail: { ino: inode.ino } });
    hash.update(buffer.subarray(0, got));
    pos += got;
  }
  return hash.digest('hex');
}

/** The same list of a filesystem of ours that nobody else uses. */
export function* listLikeKernel(fs: FileSystem): Io<KernelList> {
  const list = new Map<Name, string>();
  const todo: { readonly path: Name; readonly ino: number }[] = [{ path: '', ino: fs.rootIno }];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const { path } = at;
    const inode = yield* fs.readInode(at.ino);
    const type = typeOfMode(inode.mode);
    const more = type === 'file' ? yield* sha1(fs, inode) : type === 'symlink' ? toName(yield* fs.readlink(inode)) : '';
    list.set(path, line({ ...attributes(inode), sec: inode.mtime.sec }, more));
    if (type === 'directory') {
      for (const entry of yield* listDirectory(fs, inode)) todo.push({ path: path === '' ? entry.name : `${path}/${entry.name}`, ino: entry.ino });
    }
    if (!fs.isEvictable(inode)) yield* fs.evictInode(inode);
  }
  return list;
}

const attributes = ({ mode, uid, gid, nlink, size, rdev }: Inode): Pick<Inode, 'mode' | 'uid' | 'gid' | 'nlink' | 'size' | 'rdev'> => ({
  mode, uid, gid, nlink, size, rdev,
});

/** Where two lists differ, a line each; empty = nowhere. */
export function diffKernelLists(a: KernelList, b: KernelList, linesMax = 20): string[] {
  const lines: string[] = [];
  for (const path of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const [one, other] = [a.get(path) ?? 'missing', b.get(path) ?? 'missing'];
    if (one !== other) lines.push(`/${path}: ${one} | ${other}`);
  }
  return lines.slice(0, linesMax);
}
