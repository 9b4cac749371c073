/**
 * The order in which a driver that builds an image at once writes its inodes: a directory, what is in it that is no directory, then its
 * subdirectories one after another, each with all below. So a directory's blocks, its files' inodes and their data lie together.
 */
import { FsError } from '@iomap/io';
import type { BulkNode } from './bulk.js';
import type { Name } from './filesystem.js';

/** One inode and where it is. */
export interface BulkPlace<N> {
  readonly node: N;
  /** 0 = the root. */
  readonly index: number;
  /** Its place under this name; undefined: the root. Of several names the first. */
  readonly parent: BulkPlace<N> | undefined;
  readonly name: Name;
}

export interface BulkOrder<N> {
  readonly places: readonly BulkPlace<N>[];
  /** Each inode's place in `places`. */
  readonly indexes: ReadonlyMap<N, number>;
  /** Names of those inodes that have more than one. */
  readonly links: ReadonlyMap<N, number>;
}

/** The path of a place, for messages. */
export function bulkPath<N>(place: BulkPlace<N>): Name {
  const names: Name[] = [];
  for (let at: BulkPlace<N> | undefined = place; at?.parent !== undefined; at = at.parent) names.push(at.name);
  return `/${names.reverse().join('/')}`;
}

/** @throws FsError with the path: ENAMETOOLONG; EINVAL for what is no name */
function checkName(name: Name, parent: BulkPlace<unknown>, nameMax: number): void {
  const isTooLong = name.length > nameMax;
  if (!isTooLong && name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0')) return;
  const path = bulkPath({ node: undefined, index: 0, parent, name });
  if (isTooLong) throw new FsError('ENAMETOOLONG', { path, why: `${name.length} bytes` });
  throw new FsError('EINVAL', { path, why: 'not a name' });
}

/**
 * Puts a tree in order.
 * @param nameMax bytes of the longest name
 * @throws FsError with the path: ENAMETOOLONG, EINVAL
 */
export function orderBulk<N extends BulkNode<N>>(root: N, nameMax: number): BulkOrder<N> {
  const places: BulkPlace<N>[] = [];
  const indexes = new Map<N, number>();
  const links = new Map<N, number>();
  const add = (node: N, name: Name, parent: BulkPlace<N> | undefined): BulkPlace<N> => {
    const place = { node, index: places.length, parent, name };
    indexes.set(node, place.index);
    places.push(place);
    return place;
  };
  const stack: { readonly node: N; readonly name: Name; readonly parent: BulkPlace<N> | undefined }[] = [{ node: root, name: '', parent: undefined }];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const dir = add(at.node, at.name, at.parent);
    const below: typeof stack = [];
    for (const { name, inode } of at.node.entries) {
      checkName(name, dir, nameMax);
      if (inode.type === 'directory') below.push({ node: inode, name, parent: dir });
      else if (indexes.has(inode)) links.set(inode, (links.get(inode) ?? 1) + 1);
      else add(inode, name, dir);
    }
    // The last pushed is popped first: the order of the names again.
    for (let i = below.length - 1; i >= 0; i--) {
      const next = below[i];
      if (next !== undefined) stack.push(next);
    }
  }
  return { places, indexes, links };
}
