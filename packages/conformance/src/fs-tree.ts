/**
 * A mounted filesystem as a `Tree`, read at the driver's own face: inodes, directories, content, xattrs. It trusts
 * nothing: every walk is bounded, so that it also serves hostile images.
 */
import { FsError, type Io } from '@iomap/io';
import type { FileSystem, FileType, Inode, Name } from '@iomap/vfs';
import { ContentHash, linkGroups, toName, type Tree, type TreeNode } from './tree.js';

export interface FsTreeOptions {
  readonly xattrs?: boolean;
  readonly content?: boolean;
  /** Inodes; a tree that goes on longer is EUCLEAN. Default 2,000,000. */
  readonly nodesMax?: number;
  readonly depthMax?: number;
}

const TYPES: ReadonlyMap<number, FileType> = new Map([
  [0o010000, 'fifo'],
  [0o020000, 'char'],
  [0o040000, 'directory'],
  [0o060000, 'block'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o140000, 'socket'],
]);

/** The type that a mode says. */
export const typeOfMode = (mode: number): FileType => TYPES.get(mode & 0o170000) ?? 'unknown';

/** The S_IFMT bits of a type, 0 for one that has none. */
export function modeOfType(type: FileType): number {
  for (const [bits, name] of TYPES) if (name === type) return bits;
  return 0;
}

export interface DirEntry {
  readonly name: Name;
  readonly ino: number;
  readonly type: FileType;
}

/**
 * All entries of a directory but '.' and '..'.
 * @throws FsError EUCLEAN when it does not end within `entriesMax`
 */
export function* listDirectory(fs: FileSystem, dir: Inode, entriesMax = 10_000_000): Io<DirEntry[]> {
  const entries: DirEntry[] = [];
  let cookie = 0;
  for (;;) {
    const before = cookie;
    yield* fs.readdir(dir, cookie, (name, ino, type, next) => {
      if (name !== '.' && name !== '..') entries.push({ name, ino, type });
      cookie = next;
      return entries.length <= entriesMax;
    });
    if (entries.length > entriesMax) throw new FsError('EUCLEAN', { why: 'the directory does not end' });
    if (cookie === before) return entries;
  }
}

/** The hash of a file's content; holes are skipped by `seek`, the rest is read. */
function* hashContent(fs: FileSystem, inode: Inode): Io<string> {
  const hash = new ContentHash();
  const buffer = new Uint8Array(Math.min(1024 * 1024, Math.ceil(Math.max(1, inode.size) / 4096) * 4096));
  let pos = 0;
  while (pos < inode.size) {
    let data: number;
    try {
      data = yield* fs.seek(inode, pos, 'data');
    } catch (error) {
      if (error instanceof FsError && error.code === 'ENXIO') break;
      throw error;
    }
    pos = Math.max(pos, data - (data % 4096));
    const hole = yield* fs.seek(inode, Math.max(pos, data), 'hole');
    const end = Math.min(inode.size, Math.ceil(hole / 4096) * 4096);
    if (end <= pos) throw new FsError('EUCLEAN', { why: 'seek makes no progress', detail: { ino: inode.ino } });
    while (pos < end) {
      const want = Math.min(buffer.length, end - pos);
      const got = yield* fs.read(inode, pos, buffer.subarray(0, want));
      if (got !== want) throw new FsError('EIO', { why: `short read: ${got} of ${want} at ${pos}` });
      hash.add(pos, buffer.subarray(0, got));
      pos += got;
    }
  }
  return hash.digest();
}

function* readXattrs(fs: FileSystem, inode: Inode): Io<Map<Name, string>> {
  const xattrs = new Map<Name, string>();
  if (!fs.traits.xattrs) return xattrs;
  for (const name of yield* fs.listxattr(inode)) xattrs.set(name, toName(yield* fs.getxattr(inode, name)));
  return xattrs;
}

function* describeNode(fs: FileSystem, inode: Inode, options: FsTreeOptions): Io<TreeNode> {
  const type = typeOfMode(inode.mode);
  return {
    type,
    mode: inode.mode & 0o7777,
    uid: inode.uid,
    gid: inode.gid,
    nlink: inode.nlink,
    size: type === 'file' || type === 'symlink' ? inode.size : 0,
    rdev: type === 'block' || type === 'char' ? inode.rdev : 0,
    mtime: inode.mtime,
    atime: inode.atime,
    ctime: inode.ctime,
    xattrs: options.xattrs === false ? new Map() : yield* readXattrs(fs, inode),
    ...(type === 'symlink' ? { target: toName(yield* fs.readlink(inode)) } : {}),
    ...(type === 'file' && options.content !== false ? { hash: yield* hashContent(fs, inode) } : {}),
  };
}

/**
 * Describes the whole tree of a filesystem that nobody else uses (inodes are read afresh, not through a vfs's cache).
 * @throws FsError the driver's; EUCLEAN when a bound is met
 */
export function* describeFsTree(fs: FileSystem, options: FsTreeOptions = {}): Io<Tree> {
  const nodes = new Map<Name, TreeNode>();
  const ids = new Map<Name, number>();
  const byIno = new Map<number, TreeNode>();
  const nodesMax = options.nodesMax ?? 2_000_000;
  const depthMax = options.depthMax ?? 4096;
  const todo: { path: Name; ino: number; depth: number }[] = [{ path: '', ino: fs.rootIno, depth: 0 }];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const { path, ino, depth } = at;
    if (nodes.size >= nodesMax || depth > depthMax) throw new FsError('EUCLEAN', { why: 'the tree does not end' });
    const seen = byIno.get(ino);
    if (seen !== undefined && seen.type !== 'directory') {
      nodes.set(path, seen);
      ids.set(path, ino);
      continue;
    }
    if (seen !== undefined) throw new FsError('EUCLEAN', { why: 'a directory in two places', detail: { ino } });
    const inode = yield* fs.readInode(ino);
    const node = yield* describeNode(fs, inode, options);
    byIno.set(ino, node);
    nodes.set(path, node);
    if (node.type === 'directory') {
      for (const entry of yield* listDirectory(fs, inode)) {
        todo.push({ path: path === '' ? entry.name : `${path}/${entry.name}`, ino: entry.ino, depth: depth + 1 });
      }
    } else if (node.nlink > 1) {
      ids.set(path, ino);
    }
    if (!fs.isEvictable(inode)) yield* fs.evictInode(inode);
  }
  for (const [path, group] of linkGroups(ids)) {
    const node = nodes.get(path);
    if (node !== undefined) nodes.set(path, { ...node, linkGroup: group });
  }
  return nodes;
}
