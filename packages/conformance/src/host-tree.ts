/**
 * A folder of the host as a `Tree`: attributes by lstat (nanoseconds), content by reading, xattrs and ACLs of the whole
 * tree from one `getfattr` process.
 */
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type BigIntStats } from 'node:fs';
import type { FileType, Name } from '@iomap/vfs';
import { findOracle } from './oracle.js';
import { ContentHash, fromName, linkGroups, toName, type Tree, type TreeNode, type TreeTime } from './tree.js';

export interface HostTreeOptions {
  /** Read xattrs and ACLs, where `getfattr` is installed. Default true. */
  readonly xattrs?: boolean;
  /** Hash the content of files. Default true. */
  readonly content?: boolean;
  /** Paths that are left out, with what is below them. */
  readonly ignore?: readonly Name[];
}

const typeOf = (stats: BigIntStats): FileType => {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isSocket()) return 'socket';
  if (stats.isBlockDevice()) return 'block';
  return stats.isCharacterDevice() ? 'char' : 'unknown';
};

const timeOf = (ns: bigint): TreeTime => {
  const nsec = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { sec: Number((ns - nsec) / 1_000_000_000n), nsec: Number(nsec) };
};

const buffer = Buffer.alloc(1024 * 1024);

function hashFile(path: Buffer): string {
  const hash = new ContentHash();
  const fd = openSync(path, 'r');
  try {
    for (let pos = 0; ; ) {
      let filled = 0;
      while (filled < buffer.length) {
        const got = readSync(fd, buffer, filled, buffer.length - filled, pos + filled);
        if (got === 0) break;
        filled += got;
      }
      hash.add(pos, buffer.subarray(0, filled));
      if (filled < buffer.length) break;
      pos += filled;
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest();
}

/** `getfattr` writes backslashes and bytes that would break a line in octal. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** The output of `getfattr -d -e hex`: path to names to values. */
export function parseGetfattr(text: string, root: string): Map<Name, Map<Name, string>> {
  const all = new Map<Name, Map<Name, string>>();
  let current = new Map<Name, string>();
  for (const line of text.split('\n')) {
    if (line.startsWith('# file: ')) {
      const path = unescape(line.slice(8));
      current = new Map();
      all.set(path === root ? '' : path.slice(root.length + 1), current);
    } else if (line !== '') {
      const at = line.indexOf('=0x');
      const name = unescape(at < 0 ? line.replace(/=.*$/s, '') : line.slice(0, at));
      current.set(name, at < 0 ? '' : Buffer.from(line.slice(at + 3), 'hex').toString('latin1'));
    }
  }
  return all;
}

function hostXattrs(dir: Buffer): Map<Name, Map<Name, string>> {
  const getfattr = findOracle('getfattr');
  if (getfattr === undefined) return new Map();
  // The status is 1 where a single file could not be read: what was printed still counts.
  const done = getfattr.run(['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', '--', dir.toString()]);
  return parseGetfattr(done.stdout, toName(dir));
}

/** Describes the tree below `dir`. File names may be any bytes. */
export function describeHostTree(dir: string, options: HostTreeOptions = {}): Tree {
  const root = Buffer.from(dir.length > 1 ? dir.replace(/\/+$/, '') : dir);
  const xattrs = options.xattrs === false ? new Map<Name, Map<Name, string>>() : hostXattrs(root);
  const nodes = new Map<Name, TreeNode>();
  const ids = new Map<Name, string>();
  const ignore = new Set(options.ignore ?? []);

  const visit = (path: Name): void => {
    if (ignore.has(path)) return;
    const full = path === '' ? root : Buffer.concat([root, Buffer.from('/'), fromName(path)]);
    const stats = lstatSync(full, { bigint: true });
    const type = typeOf(stats);
    if (type !== 'directory' && stats.nlink > 1n) ids.set(path, `${stats.dev}:${stats.ino}`);
    nodes.set(path, {
      type,
      mode: Number(stats.mode & 0o7777n),
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      nlink: Number(stats.nlink),
      size: type === 'file' || type === 'symlink' ? Number(stats.size) : 0,
      rdev: Number(stats.rdev),
      mtime: timeOf(stats.mtimeNs),
      atime: timeOf(stats.atimeNs),
      ctime: timeOf(stats.ctimeNs),
      xattrs: xattrs.get(path) ?? new Map(),
      ...(type === 'symlink' ? { target: toName(readlinkSync(full, 'buffer')) } : {}),
      ...(type === 'file' && options.content !== false ? { hash: hashFile(full) } : {}),
    });
    if (type !== 'directory') return;
    for (const name of readdirSync(full, { encoding: 'buffer' })) {
      visit(path === '' ? toName(name) : `${path}/${toName(name)}`);
    }
  };
  visit('');
  for (const [path, group] of linkGroups(ids)) {
    const node = nodes.get(path);
    if (node !== undefined) nodes.set(path, { ...node, linkGroup: group });
  }
  return nodes;
}
