/**
 * The order of the inodes in a new image: a directory, what is in it that is no directory, then its subdirectories one
 * after another, each with all below. So a directory's blocks, its files' inodes and their data lie together.
 *
 * lost+found has its number from mkfs and comes right after the root.
 */
import { FsError } from '@iomap/io';
import type { BulkNode, Name } from '@iomap/vfs';
import { LINK_MAX, NAME_LEN_MAX, ROOT_INO } from '../ondisk.js';

export const LOST_FOUND = 'lost+found';

/** One inode and where it is. */
export interface Place<N> {
  readonly node: N;
  readonly ino: number;
  /** Its place under this name; undefined: the root. */
  readonly parent: Place<N> | undefined;
  readonly name: Name;
}

export interface Numbering<N> {
  /** In the order they are written; numbers ascend but for the root and lost+found. */
  readonly places: readonly Place<N>[];
  readonly inos: ReadonlyMap<N, number>;
  /** Names of those that have more than one. */
  readonly links: ReadonlyMap<N, number>;
  /** The source has a lost+found of its own. */
  readonly hasLostFound: boolean;
}

/** The path of a place, for messages. */
export function pathOf<N>(place: Place<N>): Name {
  const names: Name[] = [];
  for (let at: Place<N> | undefined = place; at?.parent !== undefined; at = at.parent) names.push(at.name);
  return `/${names.reverse().join('/')}`;
}

/** What a new image offers. */
export interface InodeSpace {
  /** First inode that is free after mkfs. */
  readonly first: number;
  readonly count: number;
  /** lost+found's inode; 0 = it is not made. */
  readonly lostFound: number;
}

const pathed = (code: 'ENOSPC' | 'ENAMETOOLONG' | 'EMLINK' | 'EEXIST' | 'EINVAL', place: Place<unknown>, why: string): FsError =>
  new FsError(code, { path: pathOf(place), why });

/** @throws FsError for a name that cannot be */
function checkName(place: Place<unknown>): void {
  const { name } = place;
  if (name.length > NAME_LEN_MAX) throw pathed('ENAMETOOLONG', place, `${name.length} bytes`);
  if (name === '' || name.includes('/') || name.includes('\0')) throw pathed('EINVAL', place, 'not a name');
}

/**
 * Numbers the tree.
 * @throws FsError with the path: ENOSPC too many inodes; ENAMETOOLONG, EINVAL names; EMLINK; EEXIST lost+found is no directory
 */
export function numberTree<N extends BulkNode<N>>(root: N, space: InodeSpace): Numbering<N> {
  const places: Place<N>[] = [];
  const inos = new Map<N, number>();
  const links = new Map<N, number>();
  let next = space.first;
  const number = (node: N, name: Name, parent: Place<N> | undefined): Place<N> => {
    const place: Place<N> = { node, ino: next, parent, name };
    if (next > space.count) throw pathed('ENOSPC', place, `no more than ${space.count} inodes`);
    next++;
    inos.set(node, place.ino);
    places.push(place);
    return place;
  };

  const top: Place<N> = { node: root, ino: ROOT_INO, parent: undefined, name: '' };
  inos.set(root, ROOT_INO);
  places.push(top);
  const found = space.lostFound === 0 ? undefined : root.entries.find(({ name }) => name === LOST_FOUND)?.inode;
  if (found !== undefined) {
    const place: Place<N> = { node: found, ino: space.lostFound, parent: top, name: LOST_FOUND };
    if (found.type !== 'directory') throw pathed('EEXIST', place, 'lost+found has to be a directory');
    inos.set(found, place.ino);
    places.push(place);
  }

  const stack: { node: N; name: Name; parent: Place<N> | undefined }[] = [{ node: root, name: '', parent: undefined }];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const dir = at.parent === undefined ? top : at.node === found ? places[1] : number(at.node, at.name, at.parent);
    if (dir === undefined) break;
    const first = stack.length;
    for (const { name, inode } of at.node.entries) {
      checkName({ node: inode, ino: 0, parent: dir, name });
      if (inode.type === 'directory') {
        stack.push({ node: inode, name, parent: dir });
      } else if (!inos.has(inode)) {
        number(inode, name, dir);
      } else {
        const names = (links.get(inode) ?? 1) + 1;
        if (names > LINK_MAX) throw pathed('EMLINK', dir, `more than ${LINK_MAX} names of one file`);
        links.set(inode, names);
      }
    }
    if (stack.length - first > LINK_MAX - 2) throw pathed('EMLINK', dir, `more than ${LINK_MAX - 2} subdirectories`);
    reverseFrom(stack, first);
  }
  return { places, inos, links, hasLostFound: found !== undefined };
}

/** The last pushed is popped first: the order of the names again. */
function reverseFrom<T>(list: T[], from: number): void {
  const part = list.splice(from).reverse();
  for (const one of part) list.push(one);
}
