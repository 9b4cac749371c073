/**
 * The reference model: a POSIX tree in plain maps. It knows nothing of blocks, caches or handles of a driver; it is what
 * the random workload is judged by.
 *
 * - `apply(op, observed)` does the operation and answers what Linux would. Where the format may refuse (no space), the
 *   model takes the refusal if `full` allows it, and changes nothing (M1); a short write applies what was written (M2).
 * - Names are in lists by type too, so that a generator picks one in constant time.
 */
import type { FileType, Name } from '@iomap/vfs';
import { modeOfType, typeOfMode } from './fs-tree.js';
import { OK, poolBytes, statLine, type Op, type Outcome } from './op.js';
import { ContentHash, linkGroups, toName, type Tree, type TreeNode } from './tree.js';

const CHUNK = 4096;

export interface ModelNode {
  readonly id: number;
  readonly type: FileType;
  mode: number;
  uid: number;
  gid: number;
  readonly rdev: number;
  nlink: number;
  size: number;
  /** Handles that refer to it. */
  opens: number;
  readonly target: Name | undefined;
  /** Of files: 4 KiB pieces that were written. */
  readonly chunks: Map<number, Uint8Array>;
  /** Of directories. */
  readonly entries: Map<Name, ModelEntry>;
  /** Of directories: their one name. */
  place: ModelEntry | undefined;
  xattrs: Map<Name, string>;
  /** Hash of the content as it is, until it changes. */
  hash: string | undefined;
}

export interface ModelEntry {
  readonly dir: ModelNode;
  readonly name: Name;
  readonly node: ModelNode;
  /** Index in its list. */
  slot: number;
}

type ListName = 'file' | 'directory' | 'symlink' | 'special';
const listOf = (type: FileType): ListName =>
  type === 'file' || type === 'directory' || type === 'symlink' ? type : 'special';

/** Bounds of a format's fields, and what a filesystem that has them answers beyond: EOVERFLOW, EMLINK, ENAMETOOLONG. */
export interface FormatLimits {
  readonly uidMax: number;
  readonly gidMax: number;
  readonly rdevMax: number;
  readonly linkMax: number;
  readonly symlinkMax: number;
}

export interface ModelOptions {
  /** True: operations that need space may answer ENOSPC. */
  readonly full?: boolean;
  readonly nameMax?: number;
  /** What the format's fields hold; what is beyond is refused. Default: no bounds. */
  readonly limits?: FormatLimits;
  readonly root?: { readonly mode: number; readonly uid: number; readonly gid: number };
}

const error = (code: string): Outcome => ({ code });
const ENOENT = error('ENOENT');
const ENOTDIR = error('ENOTDIR');
const EISDIR = error('EISDIR');
const EEXIST = error('EEXIST');
const EBADF = error('EBADF');
const ENODATA = error('ENODATA');
const ENAMETOOLONG = error('ENAMETOOLONG');
const EOVERFLOW = error('EOVERFLOW');
const EMLINK = error('EMLINK');

/** Operations that may need a block or an inode. */
const ALLOCATES: ReadonlySet<Op['op']> = new Set<Op['op']>([
  'create', 'mkdir', 'mknod', 'symlink', 'link', 'rename', 'write', 'hwrite', 'setxattr', 'truncate', 'htruncate',
]);

/** What a path names: its directory, last name and what is there. */
interface Place {
  readonly dir: ModelNode;
  readonly name: Name;
  readonly entry: ModelEntry | undefined;
}

export class Model {
  readonly root: ModelNode;
  readonly lists: Record<ListName, ModelEntry[]> = { file: [], directory: [], symlink: [], special: [] };
  readonly handles = new Map<number, ModelNode>();
  /** Bytes in chunks: about what the tree's data take. */
  chunkBytes = 0;
  readonly #full: boolean;
  readonly #nameMax: number;
  readonly #limits: FormatLimits | undefined;
  #nextId = 1;
  #failure: Outcome = OK;

  constructor(options: ModelOptions = {}) {
    this.#full = options.full ?? false;
    this.#nameMax = options.nameMax ?? 255;
    this.#limits = options.limits;
    const { mode, uid, gid } = options.root ?? { mode: 0o755, uid: 0, gid: 0 };
    this.root = this.#make(0o040000 | mode, 0);
    this.root.uid = uid;
    this.root.gid = gid;
    this.root.nlink = 2;
  }

  #make(mode: number, rdev: number, target?: Name): ModelNode {
    const type = typeOfMode(mode);
    return {
      id: this.#nextId++, type, mode: mode & 0o7777, uid: 0, gid: 0, rdev, nlink: 0, opens: 0, target,
      size: target?.length ?? 0, chunks: new Map(), entries: new Map(), place: undefined, xattrs: new Map(), hash: undefined,
    };
  }

  /** The path of an entry. */
  pathOf(entry: ModelEntry): Name {
    let path = entry.name;
    for (let dir = entry.dir.place; dir !== undefined; dir = dir.dir.place) path = `${dir.name}/${path}`;
    return path;
  }

  depthOf(dir: ModelNode): number {
    let depth = 0;
    for (let at = dir.place; at !== undefined; at = at.dir.place) depth++;
    return depth;
  }

  #enter(dir: ModelNode, name: Name, node: ModelNode): void {
    const list = this.lists[listOf(node.type)];
    const entry: ModelEntry = { dir, name, node, slot: list.length };
    list.push(entry);
    dir.entries.set(name, entry);
    node.nlink++;
    if (node.type !== 'directory') return;
    node.place = entry;
    // '.', the name in its parent, and '..' of each folder in it (a moved folder has some already).
    let subdirs = 0;
    for (const one of node.entries.values()) if (one.node.type === 'directory') subdirs++;
    node.nlink = 2 + subdirs;
    dir.nlink++;
  }

  #leave(entry: ModelEntry): void {
    const { dir, name, node } = entry;
    const list = this.lists[listOf(node.type)];
    const last = list.pop();
    if (last !== undefined && last !== entry) {
      list[entry.slot] = last;
      last.slot = entry.slot;
    }
    dir.entries.delete(name);
    if (node.type === 'directory') {
      node.place = undefined;
      dir.nlink--;
    } else {
      node.nlink--;
      this.#drop(node);
    }
  }

  #drop(node: ModelNode): void {
    if (node.nlink === 0 && node.opens === 0) this.chunkBytes -= node.chunks.size * CHUNK;
  }

  /** Walks to the directory of `path`; on failure answers undefined and leaves the outcome in `#failure`. */
  #place(path: Name, lastMax = this.#nameMax): Place | undefined {
    let dir = this.root;
    let from = 0;
    for (;;) {
      const slash = path.indexOf('/', from);
      const name = slash < 0 ? path.slice(from) : path.slice(from, slash);
      if (name.length > (slash < 0 ? lastMax : this.#nameMax)) return this.#fail(ENAMETOOLONG);
      const entry = dir.entries.get(name);
      if (slash < 0) return { dir, name, entry };
      if (entry === undefined) return this.#fail(ENOENT);
      if (entry.node.type !== 'directory') return this.#fail(ENOTDIR);
      dir = entry.node;
      from = slash + 1;
    }
  }

  #fail(outcome: Outcome): undefined {
    this.#failure = outcome;
    return undefined;
  }

  /** What `path` names; '' is the root. */
  #find(path: Name): ModelNode | undefined {
    if (path === '') return this.root;
    const place = this.#place(path);
    if (place === undefined) return undefined;
    return place.entry === undefined ? this.#fail(ENOENT) : place.entry.node;
  }

  /** Does `op`; `observed` is what the subject answered, for M1 and M2. Answers what is right. */
  apply(op: Op, observed?: Outcome): Outcome {
    // M1: xattrs have a bound of their own in most formats (ext2: one block), so a refusal there is always taken.
    if (observed?.code === 'ENOSPC' && (this.#full ? ALLOCATES.has(op.op) : op.op === 'setxattr')) return observed;
    switch (op.op) {
      case 'create':
        return this.#add(op.path, 0o100000 | op.mode, 0);
      case 'mkdir':
        return this.#add(op.path, 0o040000 | op.mode, 0);
      case 'mknod':
        return this.#add(op.path, op.mode, op.rdev);
      case 'symlink':
        return this.#add(op.path, 0o120777, 0, op.target);
      case 'link':
        return this.#link(op.path, op.to);
      case 'rename':
        return this.#rename(op.path, op.to);
      case 'unlink':
        return this.#unlink(op.path);
      case 'rmdir':
        return this.#rmdir(op.path);
      case 'sync':
        return OK;
      case 'remount':
        for (const slot of [...this.handles.keys()]) this.#close(slot);
        return OK;
      case 'open':
        return this.#open(op.path, op.slot);
      case 'close':
        return this.#close(op.slot);
      case 'hread':
      case 'hwrite':
      case 'htruncate':
      case 'hstat':
      case 'hfsync': {
        const node = this.handles.get(op.slot);
        return node === undefined ? EBADF : this.#onNode(op, node, observed);
      }
      default: {
        const node = this.#find(op.path);
        return node === undefined ? this.#failure : this.#onNode(op, node, observed);
      }
    }
  }

  #onNode(op: Op, node: ModelNode, observed: Outcome | undefined): Outcome {
    switch (op.op) {
      case 'write':
      case 'hwrite':
        return node.type === 'directory' ? EISDIR : this.#write(node, op, observed);
      case 'read':
      case 'hread':
        return node.type === 'directory' ? EISDIR : { code: 'ok', bytes: this.content(node, op.pos, op.len) };
      case 'truncate':
      case 'htruncate':
        return node.type === 'directory' ? EISDIR : this.#truncate(node, op.size);
      case 'stat':
      case 'hstat':
        return { code: 'ok', value: statLine(node) };
      case 'readdir':
        return node.type === 'directory' ? { code: 'ok', value: [...node.entries.keys()].sort().join('\0') } : ENOTDIR;
      case 'readlink':
        return node.target === undefined ? error('EINVAL') : { code: 'ok', value: node.target };
      case 'chmod':
        node.mode = op.mode;
        return OK;
      case 'chown':
        if (this.#limits !== undefined && (op.uid > this.#limits.uidMax || op.gid > this.#limits.gidMax)) return EOVERFLOW;
        node.uid = op.uid;
        node.gid = op.gid;
        // Linux takes set-id away with any change of owner, root's too (set-gid only where the group may execute).
        if (node.type !== 'directory') node.mode &= (node.mode & 0o2010) === 0o2010 ? ~0o6000 : ~0o4000;
        return OK;
      case 'setxattr':
        if (op.mode === 'create' && node.xattrs.has(op.name)) return EEXIST;
        if (op.mode === 'replace' && !node.xattrs.has(op.name)) return ENODATA;
        node.xattrs.set(op.name, toName(poolBytes(op.at, op.len)));
        return OK;
      case 'removexattr':
        return node.xattrs.delete(op.name) ? OK : ENODATA;
      case 'getxattr': {
        const value = node.xattrs.get(op.name);
        return value === undefined ? ENODATA : { code: 'ok', bytes: Buffer.from(value, 'latin1') };
      }
      case 'listxattr':
        return { code: 'ok', value: [...node.xattrs.keys()].sort().join('\0') };
      default:
        return OK;
    }
  }

  #add(path: Name, mode: number, rdev: number, target?: Name): Outcome {
    const place = this.#place(path);
    if (place === undefined) return this.#failure;
    if (place.entry !== undefined) return EEXIST;
    if (typeOfMode(mode) === 'directory' && this.#isFull(place.dir)) return EMLINK;
    if (rdev > (this.#limits?.rdevMax ?? Infinity)) return EOVERFLOW;
    if ((target?.length ?? 0) > (this.#limits?.symlinkMax ?? Infinity)) return ENAMETOOLONG;
    this.#enter(place.dir, place.name, this.#make(mode, rdev, target));
    return OK;
  }

  #link(path: Name, to: Name): Outcome {
    const node = this.#find(path);
    if (node === undefined) return this.#failure;
    const place = this.#place(to);
    if (place === undefined) return this.#failure;
    if (place.entry !== undefined) return EEXIST;
    if (node.type === 'directory') return error('EPERM');
    if (this.#isFull(node)) return EMLINK;
    this.#enter(place.dir, place.name, node);
    return OK;
  }

  /** Has the inode as many links as the format can count? */
  #isFull(node: ModelNode): boolean {
    return node.nlink >= (this.#limits?.linkMax ?? Infinity);
  }

  #unlink(path: Name): Outcome {
    const place = this.#place(path);
    if (place === undefined) return this.#failure;
    if (place.entry === undefined) return ENOENT;
    if (place.entry.node.type === 'directory') return EISDIR;
    this.#leave(place.entry);
    return OK;
  }

  #rmdir(path: Name): Outcome {
    const place = this.#place(path);
    if (place === undefined) return this.#failure;
    if (place.entry === undefined) return ENOENT;
    if (place.entry.node.type !== 'directory') return ENOTDIR;
    if (place.entry.node.entries.size > 0) return error('ENOTEMPTY');
    this.#leave(place.entry);
    return OK;
  }

  /** In Linux's order of checks: ancestors, same inode, types, emptiness. */
  #rename(path: Name, to: Name): Outcome {
    const source = this.#place(path, Infinity);
    if (source === undefined) return this.#failure;
    const target = this.#place(to, Infinity);
    if (target === undefined) return this.#failure;
    // Both parents are walked first; then the last names are looked up, the source's first.
    if (source.name.length > this.#nameMax) return ENAMETOOLONG;
    if (source.entry === undefined) return ENOENT;
    if (target.name.length > this.#nameMax) return ENAMETOOLONG;
    const node = source.entry.node;
    if (node.type === 'directory' && this.#isWithin(target.dir, node)) return error('EINVAL');
    if (target.entry === undefined) {
      if (node.type === 'directory' && target.dir !== source.dir && this.#isFull(target.dir)) return EMLINK;
      this.#move(source.entry, target);
      return OK;
    }
    const other = target.entry.node;
    if (other.type === 'directory' && this.#isWithin(source.dir, other)) return error('ENOTEMPTY');
    if (other === node) return OK;
    if (node.type === 'directory' && other.type !== 'directory') return ENOTDIR;
    if (node.type !== 'directory' && other.type === 'directory') return EISDIR;
    if (other.type === 'directory' && other.entries.size > 0) return error('ENOTEMPTY');
    this.#leave(target.entry);
    this.#move(source.entry, target);
    return OK;
  }

  #move(entry: ModelEntry, target: Place): void {
    entry.node.opens++;
    this.#leave(entry);
    entry.node.opens--;
    this.#enter(target.dir, target.name, entry.node);
  }

  #isWithin(dir: ModelNode, ancestor: ModelNode): boolean {
    for (let at: ModelNode | undefined = dir; at !== undefined; at = at.place?.dir) if (at === ancestor) return true;
    return false;
  }

  #open(path: Name, slot: number): Outcome {
    if (this.handles.has(slot)) this.#close(slot);
    const node = this.#find(path);
    if (node === undefined) return this.#failure;
    if (node.type === 'directory') return EISDIR;
    node.opens++;
    this.handles.set(slot, node);
    return OK;
  }

  #close(slot: number): Outcome {
    const node = this.handles.get(slot);
    if (node === undefined) return EBADF;
    this.handles.delete(slot);
    node.opens--;
    this.#drop(node);
    return OK;
  }

  #write(node: ModelNode, op: { pos: number; len: number; at: number }, observed: Outcome | undefined): Outcome {
    let len = op.len;
    // M2: a filesystem that fills up writes the first part and says how much.
    const wrote = observed?.code === 'ok' ? observed.value : undefined;
    if (this.#full && typeof wrote === 'number' && wrote > 0 && wrote < len) len = wrote;
    const bytes = poolBytes(op.at, op.len);
    node.hash = undefined;
    for (let done = 0; done < len; ) {
      const pos = op.pos + done;
      const within = pos % CHUNK;
      const n = Math.min(CHUNK - within, len - done);
      const index = (pos - within) / CHUNK;
      let chunk = node.chunks.get(index);
      if (chunk === undefined) {
        chunk = new Uint8Array(CHUNK);
        node.chunks.set(index, chunk);
        this.chunkBytes += CHUNK;
      }
      chunk.set(bytes.subarray(done, done + n), within);
      done += n;
    }
    if (len > 0) node.size = Math.max(node.size, op.pos + len);
    // Linux clears the set-id bits for others than root; the workload is root, whose writes keep them.
    return { code: 'ok', value: len };
  }

  #truncate(node: ModelNode, size: number): Outcome {
    node.hash = undefined;
    if (size < node.size) {
      for (const [index, chunk] of node.chunks) {
        const start = index * CHUNK;
        if (start >= size) {
          node.chunks.delete(index);
          this.chunkBytes -= CHUNK;
        } else if (start + CHUNK > size) {
          chunk.fill(0, size - start);
        }
      }
    }
    node.size = size;
    return OK;
  }

  /** The bytes of a file from `pos`, fewer at its end. */
  content(node: ModelNode, pos: number, len: number): Uint8Array {
    const end = Math.min(node.size, pos + len);
    const bytes = new Uint8Array(Math.max(0, end - pos));
    for (let at = pos; at < end; ) {
      const within = at % CHUNK;
      const n = Math.min(CHUNK - within, end - at);
      const chunk = node.chunks.get((at - within) / CHUNK);
      if (chunk !== undefined) bytes.set(chunk.subarray(within, within + n), at - pos);
      at += n;
    }
    return bytes;
  }

  #hashOf(node: ModelNode): string {
    if (node.hash === undefined) {
      const hash = new ContentHash();
      for (const index of [...node.chunks.keys()].sort((a, b) => a - b)) {
        const chunk = node.chunks.get(index);
        const start = index * CHUNK;
        if (chunk !== undefined) hash.add(start, chunk.subarray(0, Math.min(CHUNK, node.size - start)));
      }
      node.hash = hash.digest();
    }
    return node.hash;
  }

  /** The whole tree, to compare with a description of the subject's. */
  toTree(): Tree {
    const nodes = new Map<Name, TreeNode>();
    const ids = new Map<Name, number>();
    const describe = (node: ModelNode): TreeNode => ({
      type: node.type,
      mode: node.mode,
      uid: node.uid,
      gid: node.gid,
      nlink: node.nlink,
      size: node.type === 'directory' ? 0 : node.size,
      rdev: node.rdev,
      xattrs: node.xattrs,
      ...(node.target === undefined ? {} : { target: node.target }),
      ...(node.type === 'file' ? { hash: this.#hashOf(node) } : {}),
    });
    const visit = (node: ModelNode, path: Name): void => {
      nodes.set(path, describe(node));
      if (node.type !== 'directory' && node.nlink > 1) ids.set(path, node.id);
      for (const entry of node.entries.values()) {
        visit(entry.node, path === '' ? entry.name : `${path}/${entry.name}`);
      }
    };
    visit(this.root, '');
    for (const [path, group] of linkGroups(ids)) {
      const node = nodes.get(path);
      if (node !== undefined) nodes.set(path, { ...node, linkGroup: group });
    }
    return nodes;
  }

  /** A copy that shares nothing; handles are not copied (a checkpoint has none). */
  clone(): Model {
    const copy = new Model({
      full: this.#full,
      nameMax: this.#nameMax,
      ...(this.#limits === undefined ? {} : { limits: this.#limits }),
    });
    const made = new Map<ModelNode, ModelNode>([[this.root, copy.root]]);
    const fill = (from: ModelNode, to: ModelNode): void => {
      Object.assign(to, { mode: from.mode, uid: from.uid, gid: from.gid, size: from.size, hash: from.hash });
      to.xattrs = new Map(from.xattrs);
      for (const [index, chunk] of from.chunks) to.chunks.set(index, chunk.slice());
    };
    const visit = (from: ModelNode, to: ModelNode): void => {
      for (const entry of from.entries.values()) {
        let node = made.get(entry.node);
        if (node === undefined) {
          node = copy.#make(modeOfType(entry.node.type) | entry.node.mode, entry.node.rdev, entry.node.target);
          made.set(entry.node, node);
          fill(entry.node, node);
        }
        copy.#enter(to, entry.name, node);
        if (node.type === 'directory') visit(entry.node, node);
      }
    };
    fill(this.root, copy.root);
    visit(this.root, copy.root);
    copy.chunkBytes = this.chunkBytes;
    return copy;
  }
}
