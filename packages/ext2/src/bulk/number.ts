/**
 * The numbers of the inodes in a new image: ascending in the order in which they are written (`orderBulk`).
 *
 * lost+found has its number from mkfs and comes right after the root.
 */
import { FsError } from '@iomap/io';
import { bulkPath, orderBulk, type BulkNode, type BulkPlace } from '@iomap/vfs';
import { LINK_MAX, NAME_LEN_MAX, ROOT_INO } from '../ondisk.js';

export const LOST_FOUND = 'lost+found';

export interface Numbering<N> {
  /** In the order they are written; numbers ascend but for the root and lost+found. */
  readonly places: readonly BulkPlace<N>[];
  readonly inos: ReadonlyMap<N, number>;
  /** Names of those that have more than one. */
  readonly links: ReadonlyMap<N, number>;
  /** The source has a lost+found of its own. */
  readonly hasLostFound: boolean;
}

/** What a new image offers. */
export interface InodeSpace {
  /** First inode that is free after mkfs. */
  readonly first: number;
  readonly count: number;
  /** lost+found's inode; 0 = it is not made. */
  readonly lostFound: number;
}

const pathed = (code: 'ENOSPC' | 'EMLINK' | 'EEXIST', place: BulkPlace<unknown>, why: string): FsError =>
  new FsError(code, { path: bulkPath(place), why });

/** @throws FsError EMLINK */
function checkLinks<N extends BulkNode<N>>(place: BulkPlace<N>, links: number): void {
  const { node } = place;
  if (links > LINK_MAX) throw pathed('EMLINK', place, `more than ${LINK_MAX} names of one file`);
  if (node.type !== 'directory' || node.entries.length <= LINK_MAX - 2) return;
  const subdirectories = node.entries.reduce((count, { inode }) => count + (inode.type === 'directory' ? 1 : 0), 0);
  if (subdirectories > LINK_MAX - 2) throw pathed('EMLINK', place, `more than ${LINK_MAX - 2} subdirectories`);
}

/**
 * Numbers the tree.
 * @throws FsError with the path: ENOSPC too many inodes; ENAMETOOLONG, EINVAL names; EMLINK; EEXIST lost+found is no directory
 */
export function numberTree<N extends BulkNode<N>>(root: N, space: InodeSpace): Numbering<N> {
  const { places, links } = orderBulk(root, NAME_LEN_MAX);
  const found = space.lostFound === 0 ? undefined : root.entries.find(({ name }) => name === LOST_FOUND)?.inode;
  const inos = new Map<N, number>();
  const ordered: BulkPlace<N>[] = [];
  let next = space.first;
  for (const place of places) {
    const { node } = place;
    checkLinks(place, links.get(node) ?? 1);
    if (node === found) {
      if (node.type !== 'directory') throw pathed('EEXIST', place, 'lost+found has to be a directory');
      inos.set(node, space.lostFound);
      ordered.splice(1, 0, place);
      continue;
    }
    if (place.index > 0 && next > space.count) throw pathed('ENOSPC', place, `no more than ${space.count} inodes`);
    inos.set(node, place.index === 0 ? ROOT_INO : next++);
    ordered.push(place);
  }
  return { places: ordered, inos, links, hasLostFound: found !== undefined };
}
