/** What lies in a directory's blocks: the entries of a leaf, and a name at an address. Checked; nothing here asks for a block. */
import { corrupt, type FsError } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import { sameNameCi, wordAt } from './da-tree.js';
import type { XfsInode } from './inode.js';
import { DIR2_DATA_HDR_BYTES, DIR3_DATA_HDR_BYTES, DIR_LEAF } from './ondisk-trees.js';
import type { Volume } from './volume.js';

/** Character codes of names of up to 64 bytes, by length: a view for each name would take longer than the name. */
const codes = Array.from({ length: 65 }, (_, length) => new Array<number>(length).fill(0));

/** One flat string, not a chain of concatenations: it becomes the key of a map. */
export function latin1(bytes: Uint8Array, from: number, to: number): Name {
  const list = codes[to - from];
  if (list === undefined) return Reflect.apply(String.fromCharCode, undefined, bytes.subarray(from, to)) as Name;
  for (let i = 0; i < list.length; i++) list[i] = bytes[from + i] ?? 0;
  return Reflect.apply(String.fromCharCode, undefined, list);
}

export const bad = (inode: XfsInode, why: string, field: string): FsError => corrupt(why, { ino: inode.ino, field });

/** A leaf's entries: pairs of hash and address, sorted. */
export interface Leaf {
  readonly bytes: Uint8Array;
  readonly entries: number;
  readonly count: number;
}

/** @throws FsError EUCLEAN */
export function leafOf(vol: Volume, inode: XfsInode, bytes: Uint8Array): Leaf {
  const v = vol.info.v5 ? 1 : 0;
  const entries = DIR_LEAF.entries[v];
  const count = wordAt(bytes, DIR_LEAF.count[v]) >>> 16;
  if (entries + count * 8 > bytes.length) throw bad(inode, `${count} entries in a leaf`, 'count');
  return { bytes, entries, count };
}

/** The inode number of the entry at `at` of a data block when its name is `name`: 0 = another name. @throws FsError EUCLEAN */
export function nameAt(vol: Volume, inode: XfsInode, bytes: Uint8Array, at: number, name: Name): number {
  const { asciiCi, v5 } = vol.info;
  const length = at + 12 <= bytes.length ? (bytes[at + 8] ?? 0) : 0;
  if (at < (v5 ? DIR3_DATA_HDR_BYTES : DIR2_DATA_HDR_BYTES) || length === 0 || at + 9 + length + 2 > bytes.length) {
    throw bad(inode, 'a leaf entry points at no entry', 'address');
  }
  if (length !== name.length) return 0;
  if (asciiCi) {
    if (!sameNameCi(name, latin1(bytes, at + 9, at + 9 + length))) return 0;
  } else {
    for (let i = 0; i < length; i++) if (bytes[at + 9 + i] !== name.charCodeAt(i)) return 0;
  }
  return (wordAt(bytes, at) % 2 ** 24) * 2 ** 32 + wordAt(bytes, at + 4);
}
