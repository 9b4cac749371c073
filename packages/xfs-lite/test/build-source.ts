/** Trees to build from: a folder of the host, and ones made up; and `MkfsOptions` for arguments of mkfs.xfs. */
import { fromName, type Tree, type TreeNode } from '@iomap/conformance';
import { S_IFMT, type BulkData, type BulkNode, type FileType, type Name } from '@iomap/vfs';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { MkfsOptions } from '../src/index.js';

const TYPE_BITS: Readonly<Partial<Record<FileType, number>>> = {
  file: 0o100000, directory: 0o040000, symlink: 0o120000, char: 0o020000, block: 0o060000, fifo: 0o010000, socket: 0o140000,
};

export interface SourceNode extends BulkNode<SourceNode> {
  readonly entries: { readonly name: Name; readonly inode: SourceNode }[];
  /** Where its content is, on the host. */
  readonly path: Buffer;
}

const TIME = { sec: 1_700_000_000, nsec: 123_456_789 };

/** A node with what is not said left plain. */
export function node(type: FileType, extra: Partial<SourceNode> = {}): SourceNode {
  const mode = (TYPE_BITS[type] ?? 0) + (type === 'directory' ? 0o755 : 0o644);
  return {
    type, mode, uid: 0, gid: 0, rdev: 0, size: 0, dataBytes: 0, mtime: TIME, atime: TIME, ctime: TIME,
    entries: [], target: undefined, xattrs: undefined, path: Buffer.alloc(0), ...extra,
  };
}

/** A directory of what is named, sorted. */
export function folder(entries: Readonly<Record<Name, SourceNode>>, extra: Partial<SourceNode> = {}): SourceNode {
  const sorted = Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1));
  return node('directory', { entries: sorted.map(([name, inode]) => ({ name, inode })), ...extra });
}

function nodeOf(dir: string, path: Name, from: TreeNode): SourceNode {
  const full = Buffer.concat([Buffer.from(`${dir}/`), fromName(path)]);
  const { type } = from;
  return node(type, {
    mode: (TYPE_BITS[type] ?? 0) + (from.mode % (S_IFMT + 1)),
    uid: from.uid,
    gid: from.gid,
    rdev: type === 'char' || type === 'block' ? from.rdev : 0,
    size: from.size,
    dataBytes: type === 'file' ? statSync(full).blocks * 512 : 0,
    mtime: from.mtime ?? TIME,
    atime: from.atime ?? TIME,
    ctime: from.ctime ?? TIME,
    target: from.target === undefined ? undefined : fromName(from.target),
    xattrs: new Map([...from.xattrs].map(([name, value]) => [name, fromName(value)])),
    path: full,
  });
}

/** The nodes of a folder that `describeHostTree` has described. */
export function hostSource(dir: string, tree: Tree): SourceNode {
  const nodes = new Map<Name, SourceNode>();
  for (const [path, from] of tree) {
    const known = from.linkGroup === undefined ? undefined : nodes.get(from.linkGroup);
    nodes.set(path, known ?? nodeOf(dir, path, from));
    // The group's first path may come later.
    if (from.linkGroup !== undefined && known === undefined) nodes.set(from.linkGroup, nodes.get(path) ?? node('file'));
  }
  for (const [path, inode] of nodes) {
    if (path === '') continue;
    const at = path.lastIndexOf('/');
    nodes.get(path.slice(0, Math.max(0, at)))?.entries.push({ name: path.slice(at + 1), inode });
  }
  for (const { entries } of nodes.values()) entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return nodes.get('') ?? node('directory');
}

/** Reads content from the host. */
export const hostData: BulkData<SourceNode> = {
  read({ path }, pos, bytes) {
    const fd = openSync(path, 'r');
    try {
      return readSync(fd, bytes, 0, bytes.length, pos);
    } finally {
      closeSync(fd);
    }
  },
};

const bytesOf = (text: string): number => {
  const unit = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }[text.slice(-1)];
  return unit === undefined ? Number(text) : Number(text.slice(0, -1)) * unit;
};

/** Our options for arguments of mkfs.xfs, as far as the sets have them. */
export function formatOf(args: readonly string[]): MkfsOptions {
  const found: Record<string, unknown> = {};
  let unit = 0;
  for (let i = 0; i < args.length; i++) {
    const flag = args[i] ?? '';
    if (flag === '--unsupported') continue;
    const value = args[++i] ?? '';
    if (flag === '-L') {
      found['label'] = value;
      continue;
    }
    for (const part of value.split(',')) {
      const [key = '', text = ''] = part.split('=');
      const named: Readonly<Record<string, readonly [string, unknown]>> = {
        '-b size': ['blockSize', bytesOf(text)], '-s size': ['sectorSize', bytesOf(text)], '-i size': ['inodeSize', bytesOf(text)],
        '-n size': ['dirBlockSize', bytesOf(text)], '-l size': ['logSize', bytesOf(text)], '-l su': ['logStripe', bytesOf(text)],
        '-d agcount': ['agCount', Number(text)], '-d agsize': ['agSize', bytesOf(text)], '-d su': ['stripeUnit', bytesOf(text)],
        '-d sw': ['stripeWidth', unit * Number(text)], '-m uuid': ['uuid', text],
      };
      if (`${flag} ${key}` === '-d su') unit = bytesOf(text);
      const [name, set] = named[`${flag} ${key}`] ?? [key, text === '1'];
      found[name] = set;
    }
  }
  return found;
}
