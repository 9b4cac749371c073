/**
 * The hashed tree that directories (node form) and attributes share: from a hash to the first leaf that may hold it, and on along
 * the leaves.
 */
import { corrupt } from '@iomap/io';
import { isHole, needTree, type DirBlock } from './dir-blocks.js';
import type { Fork } from './fork.js';
import type { XfsInode } from './inode.js';
import { DA_MAGIC, DA_NODE } from './ondisk-trees.js';
import type { Volume } from './volume.js';

/** The kernel's limit on tree levels. */
export const DEPTH_MAX = 5;

export interface DaLeaf {
  readonly block: DirBlock;
  readonly fileBlock: number;
  readonly magic: number;
}

/** The kernel's hash of names in directories and attributes. */
export function daHash(name: string): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = name.charCodeAt(i) ^ ((hash << 7) | (hash >>> 25));
  return hash >>> 0;
}

const foldByte = (code: number): number => (code >= 0x41 && code <= 0x5a ? code + 0x20 : code);

/** `daHash` of a filesystem that ignores the case of ASCII letters. */
export function daHashCi(name: string): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = foldByte(name.charCodeAt(i)) ^ ((hash << 7) | (hash >>> 25));
  return hash >>> 0;
}

/** Do two names differ in the case of ASCII letters at most? */
export function sameNameCi(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (foldByte(a.charCodeAt(i)) !== foldByte(b.charCodeAt(i))) return false;
  return true;
}

export function requireTree(vol: Volume, inode: XfsInode, fork: Fork, fileBlock: number): DirBlock | undefined {
  const block = needTree(vol, inode, fork, fileBlock);
  if (isHole(block)) throw corrupt('a hash tree points into a hole', { ino: inode.ino, block: fileBlock });
  return block;
}

/** A block above the leaves: pairs of the last hash and the file block of each child. */
export interface DaNode {
  readonly view: DataView;
  readonly level: number;
  readonly count: number;
  /** Where the pairs start. */
  readonly entries: number;
}

/** Undefined: it is none, or cannot be one. */
export function nodeOf(vol: Volume, { view, bytes }: DirBlock): DaNode | undefined {
  const v = vol.info.v5 ? 1 : 0;
  const entries = DA_NODE.entries[v];
  const count = view.getUint16(DA_NODE.count[v]);
  const level = view.getUint16(DA_NODE.level[v]);
  const fits = view.getUint16(8) === DA_MAGIC.node[v] && count > 0 && entries + count * 8 <= bytes.length && level > 0 && level <= DEPTH_MAX;
  return fits ? { view, level, count, entries } : undefined;
}

/**
 * The first leaf whose last hash is at least `hash` (0: the first of all); the last leaf when there is none. Undefined = missing.
 * @param root file block of the tree's root, which may be a leaf itself
 * @throws FsError EUCLEAN
 */
export function daLookup(vol: Volume, inode: XfsInode, fork: Fork, root: number, hash: number): DaLeaf | undefined {
  const v = vol.info.v5 ? 1 : 0;
  let fileBlock = root;
  let expected = -1;
  for (let depth = 0; depth <= DEPTH_MAX; depth++) {
    const block = requireTree(vol, inode, fork, fileBlock);
    if (block === undefined) return undefined;
    const { view } = block;
    const magic = view.getUint16(8);
    if (magic !== DA_MAGIC.node[v]) {
      if (expected > 0) throw corrupt('a hash tree of uneven depth', { ino: inode.ino, pos: block.pos });
      return { block, fileBlock, magic };
    }
    const node = nodeOf(vol, block);
    if (node === undefined || (expected >= 0 && node.level !== expected)) {
      throw corrupt('a block of a hash tree with a wrong level or count', { ino: inode.ino, pos: block.pos });
    }
    const { entries, count, level } = node;
    const at = lowerBound(block.bytes, entries, count, hash);
    fileBlock = view.getUint32(entries + Math.min(at, count - 1) * 8 + 4);
    expected = level - 1;
  }
  throw corrupt('a hash tree that is too deep', { ino: inode.ino });
}

/** The leaf after `leaf`: undefined = missing, 0 = none. */
export function daNext(vol: Volume, inode: XfsInode, fork: Fork, leaf: DaLeaf): DaLeaf | undefined | 0 {
  const forward = leaf.block.view.getUint32(0);
  if (forward === 0) return 0;
  const block = requireTree(vol, inode, fork, forward);
  if (block === undefined) return undefined;
  const magic = block.view.getUint16(8);
  if (magic !== leaf.magic) throw corrupt('leaves of a hash tree of different kinds', { ino: inode.ino, pos: block.pos });
  return { block, fileBlock: forward, magic };
}

/** A big-endian word. Of bytes, since a `DataView` and its buffer would be two more places in memory to fetch on the way to it. */
export const wordAt = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;

/** Index of the first of `count` eight-byte entries whose leading 32 bits are at least `hash`. */
export function lowerBound(bytes: Uint8Array, entries: number, count: number, hash: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if (wordAt(bytes, entries + mid * 8) < hash) low = mid + 1;
    else high = mid;
  }
  return low;
}
