/** An inode's facts, for people (`ls -l`, `stat`) and as JSON. */
import type { Timespec } from '@iomap/io';
import type { Inode, Name } from '@iomap/vfs';
import { columns, isoTime, listTime } from '../format.js';
import { majorOf, minorOf, modeString, typeOf } from '../mode.js';
import { isUtf8, jsonName, shown, toText } from '../names.js';
import type { ImageTree } from '../tree.js';

export interface Described {
  readonly name: Name;
  readonly inode: Inode;
  /** A symlink's target. */
  readonly target: Name | undefined;
}

export const described = (tree: ImageTree, name: Name, inode: Inode): Described => ({
  name,
  inode,
  target: typeOf(inode.mode) === 'symlink' ? tree.link(inode) : undefined,
});

const time = (value: Timespec): string => isoTime(value);

/** Everything that stat(2) says, and the xattrs. */
export function jsonFacts(tree: ImageTree, path: Name, inode: Inode, withXattrs: boolean): Record<string, unknown> {
  const type = typeOf(inode.mode);
  const xattrs = withXattrs ? [...tree.xattrs(inode)] : [];
  return {
    ...jsonName('path', path),
    type,
    ino: inode.ino,
    mode: (inode.mode & 0o7777).toString(8).padStart(4, '0'),
    permissions: modeString(inode.mode),
    links: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    size: inode.size,
    blocks512: inode.blocks,
    ...(type === 'char' || type === 'block' ? { device: { major: majorOf(inode.rdev), minor: minorOf(inode.rdev) } } : {}),
    atime: time(inode.atime),
    mtime: time(inode.mtime),
    ctime: time(inode.ctime),
    ...(inode.btime === undefined ? {} : { btime: time(inode.btime) }),
    ...(type === 'symlink' ? jsonName('target', tree.link(inode)) : {}),
    ...(withXattrs ? { xattrs: Object.fromEntries(xattrs.map(([name, value]) => [toText(name), attributeText(value)])) } : {}),
  };
}

/** An attribute's value: text where it is text, else `0x…`. */
export function attributeText(value: Uint8Array): string {
  const text = Buffer.from(value).toString('latin1');
   
  return isUtf8(text) && !/[\x00-\x08\x0e-\x1f\x7f]/.test(text) ? toText(text) : `0x${Buffer.from(value).toString('hex')}`;
}

/** Lines as `ls -l` prints them. */
export function longLines(entries: readonly Described[], options: { readonly inodes: boolean }): string[] {
  const rows = entries.map(({ name, inode, target }) => {
    const type = typeOf(inode.mode);
    const size = type === 'char' || type === 'block' ? `${majorOf(inode.rdev)}, ${minorOf(inode.rdev)}` : String(inode.size);
    const row = [modeString(inode.mode), String(inode.nlink), String(inode.uid), String(inode.gid), size, listTime(inode.mtime)];
    const last = target === undefined ? shown(name) : `${shown(name)} -> ${shown(target)}`;
    return [...(options.inodes ? [String(inode.ino)] : []), ...row, last];
  });
  const shift = options.inodes ? 1 : 0;
  const right = new Set([1, 2, 3, 4].map((i) => i + shift));
  if (options.inodes) right.add(0);
  return columns(rows, right);
}
