/**
 * A tree as a value: what a folder on the host, a mounted image or the model holds, in one form that can be compared.
 *
 * - Paths are byte strings (one character per byte) without a leading '/', '' is the root.
 * - Content is compared by a hash over the 4 KiB blocks that are not zero and their positions, so a hole and written
 *   zeroes are equal and sparse files cost what they hold.
 */
import { createHash, type Hash } from 'node:crypto';
import type { FileType, Name } from '@iomap/vfs';

export interface TreeTime {
  readonly sec: number;
  readonly nsec: number;
}

export interface TreeNode {
  readonly type: FileType;
  /** Permission bits, 07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  /** Bytes; of files and symlinks. */
  readonly size: number;
  readonly rdev: number;
  readonly mtime?: TreeTime;
  readonly atime?: TreeTime;
  readonly ctime?: TreeTime;
  /** Byte string. */
  readonly target?: Name;
  /** Of files: `contentHash`. */
  readonly hash?: string;
  /** Names of one file share a group: the first of its paths, in order. Only where it has more than one here. */
  readonly linkGroup?: Name;
  /** Full names to values, both byte strings. */
  readonly xattrs: ReadonlyMap<Name, string>;
  /** Byte ranges that hold data, where asked for. */
  readonly data?: readonly (readonly [number, number])[];
}

/** Path to node; '' is the root. */
export type Tree = ReadonlyMap<Name, TreeNode>;

/** A byte string of bytes. */
export const toName = (bytes: Uint8Array): Name =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
/** The bytes of a byte string. */
export const fromName = (name: Name): Buffer => Buffer.from(name, 'latin1');

const BLOCK = 4096;
const ZERO = Buffer.alloc(BLOCK);

const isZero = (block: Uint8Array): boolean =>
  block[0] === 0 && Buffer.compare(block, block.length === BLOCK ? ZERO : ZERO.subarray(0, block.length)) === 0;

/** Hashes content piece by piece; pieces start at multiples of 4 KiB and holes may be left out. */
export class ContentHash {
  readonly #hash: Hash = createHash('sha1');
  readonly #head = Buffer.alloc(8);

  /** Adds bytes at `pos` (a multiple of 4 KiB, ascending); all but the file's last piece are whole blocks. */
  add(pos: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += BLOCK) {
      let end = Math.min(bytes.length, at + BLOCK);
      const block = bytes.subarray(at, end);
      if (isZero(block)) continue;
      // Zero bytes that end a short block are left out too: the size is compared apart.
      if (end - at < BLOCK) while (bytes[end - 1] === 0) end--;
      this.#head.writeDoubleLE(pos + at, 0);
      this.#hash.update(this.#head).update(bytes.subarray(at, end));
    }
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

export interface DiffOptions {
  /** Which times count. Default: mtime. */
  readonly times?: readonly ('atime' | 'mtime' | 'ctime')[];
  /** The coarser of the two sides' granularities in nanoseconds; times are compared in whole steps of it. Default 1. */
  readonly granularityNs?: number;
  /** Paths that do not count, with what is below them. Default: lost+found. */
  readonly ignore?: readonly Name[];
  readonly owners?: boolean;
  readonly nlink?: boolean;
  readonly xattrs?: boolean;
  /** True: the root's own attributes do not count. */
  readonly ignoreRoot?: boolean;
  /** True: the modes of symlinks count. Default false (the host shows 0777). */
  readonly symlinkModes?: boolean;
  readonly modes?: boolean;
  /** Compare data ranges, where both sides have them. */
  readonly holes?: boolean;
  /** Differences after so many are only counted. Default 50. */
  readonly linesMax?: number;
}

/** A path for people: escapes what is not printable ASCII. */
export const showName = (name: Name): string =>
  `/${name.replace(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)}`;

const showValue = (value: string): string => {
  const hex = Buffer.from(value, 'latin1').toString('hex');
  return value.length > 24 ? `0x${hex.slice(0, 48)}… (${value.length} bytes)` : `0x${hex}`;
};

type Shown = string | number | undefined;
type Report = (path: Name, what: string, a: Shown, b: Shown) => void;

function diffXattrs(path: Name, a: TreeNode, b: TreeNode, report: Report): void {
  for (const [name, value] of a.xattrs) {
    const other = b.xattrs.get(name);
    if (other === value) continue;
    report(path, `xattr ${name}`, showValue(value), other === undefined ? 'absent' : showValue(other));
  }
  for (const [name, value] of b.xattrs) {
    if (!a.xattrs.has(name)) report(path, `xattr ${name}`, 'absent', showValue(value));
  }
}

function diffTimes(path: Name, a: TreeNode, b: TreeNode, options: DiffOptions, report: Report): void {
  const step = options.granularityNs ?? 1;
  const show = (time: TreeTime): string => {
    const nsec = step >= 1_000_000_000 ? 0 : time.nsec - (time.nsec % step);
    return `${time.sec}.${String(nsec).padStart(9, '0')}`;
  };
  for (const which of options.times ?? ['mtime']) {
    const [x, y] = [a[which], b[which]];
    if (x !== undefined && y !== undefined && show(x) !== show(y)) report(path, which, show(x), show(y));
  }
}

function diffNode(path: Name, a: TreeNode, b: TreeNode, options: DiffOptions, report: Report): void {
  if (a.type !== b.type) {
    report(path, 'type', a.type, b.type);
    return;
  }
  if (path === '' && options.ignoreRoot === true) return;
  if (options.modes !== false && a.mode !== b.mode && (a.type !== 'symlink' || options.symlinkModes === true)) {
    report(path, 'mode', a.mode.toString(8), b.mode.toString(8));
  }
  if (options.owners !== false && (a.uid !== b.uid || a.gid !== b.gid)) {
    report(path, 'owner', `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`);
  }
  if (options.nlink !== false && a.nlink !== b.nlink) report(path, 'nlink', a.nlink, b.nlink);
  if ((a.type === 'file' || a.type === 'symlink') && a.size !== b.size) report(path, 'size', a.size, b.size);
  if ((a.type === 'block' || a.type === 'char') && a.rdev !== b.rdev) report(path, 'rdev', a.rdev, b.rdev);
  if (a.target !== b.target) report(path, 'target', showName(a.target ?? ''), showName(b.target ?? ''));
  if (a.hash !== b.hash) report(path, 'content', a.hash, b.hash);
  if (a.linkGroup !== b.linkGroup) report(path, 'hard link of', a.linkGroup ?? 'none', b.linkGroup ?? 'none');
  if (options.xattrs !== false) diffXattrs(path, a, b, report);
  if (options.holes === true && a.data !== undefined && b.data !== undefined) {
    const [x, y] = [JSON.stringify(a.data), JSON.stringify(b.data)];
    if (x !== y) report(path, 'data ranges', x, y);
  }
  diffTimes(path, a, b, options, report);
}

/** The differences of two trees, one line each, empty when they are equal. `a` is what was expected. */
export function diffTrees(a: Tree, b: Tree, options: DiffOptions = {}): string[] {
  const lines: string[] = [];
  const linesMax = options.linesMax ?? 50;
  let count = 0;
  const add = (line: string): void => {
    if (++count <= linesMax) lines.push(line);
  };
  const ignore = options.ignore ?? ['lost+found'];
  const ignored = (path: Name): boolean => ignore.some((one) => path === one || path.startsWith(`${one}/`));
  const report: Report = (path, what, x, y) => add(`${showName(path)}: ${what}: expected ${x ?? 'none'}, found ${y ?? 'none'}`);
  for (const [path, node] of a) {
    if (ignored(path)) continue;
    const other = b.get(path);
    if (other === undefined) add(`${showName(path)}: missing (a ${node.type})`);
    else diffNode(path, node, other, options, report);
  }
  for (const [path, node] of b) {
    if (!ignored(path) && !a.has(path)) add(`${showName(path)}: unexpected (a ${node.type})`);
  }
  if (count > linesMax) lines.push(`… and ${count - linesMax} more`);
  return lines;
}

/**
 * Compares two trees.
 * @throws Error that lists the differences
 */
export function assertTreesEqual(expected: Tree, found: Tree, options: DiffOptions = {}, what = 'trees'): void {
  const lines = diffTrees(expected, found, options);
  if (lines.length > 0) throw new Error(`${what} differ:\n  ${lines.join('\n  ')}`);
}

/** Gives each group of paths with one identity the first path of the group. `ids` maps path to identity. */
export function linkGroups(ids: ReadonlyMap<Name, number | string>): Map<Name, Name> {
  const first = new Map<number | string, Name>();
  const several = new Set<number | string>();
  for (const path of [...ids.keys()].sort()) {
    const id = ids.get(path) ?? '';
    if (first.has(id)) several.add(id);
    else first.set(id, path);
  }
  const groups = new Map<Name, Name>();
  for (const [path, id] of ids) if (several.has(id)) groups.set(path, first.get(id) ?? path);
  return groups;
}

/** The tree without these directories of the root (lost+found, say), which no longer count in the root's links either. */
export function without(tree: Tree, names: readonly Name[] = ['lost+found']): Tree {
  const kept = new Map(tree);
  for (const name of names) {
    const root = kept.get('');
    if (kept.get(name)?.type === 'directory' && root !== undefined) kept.set('', { ...root, nlink: root.nlink - 1 });
    for (const path of tree.keys()) if (path === name || path.startsWith(`${name}/`)) kept.delete(path);
  }
  return kept;
}
