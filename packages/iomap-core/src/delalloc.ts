/**
 * Giving back what a short or failed write reserved.
 *
 * Exact: the blocks that somebody else dirtied in between (a mapped file's fault) keep their reservation, block by block in a large
 * folio, and a reservation is given back once. Plain: between two waits nobody else runs; who has sampled the map already and
 * waits for its folio finds it stale.
 */
import { roundDown, roundUp } from '@iomap/io';
import type { IomapInode } from './iomap.js';

/**
 * Calls `punch` for each part of [pos, end), in whole blocks, that nothing dirty lies in: there the filesystem drops the delalloc
 * blocks that it has. Made for `IomapOps.end` and `cancel` of a NEW delalloc mapping of which not all was written.
 * @param pos the first byte that was not written
 * @param punch plain; it drops delalloc blocks alone (what has a block by now is data on its way)
 */
export function punchDelalloc(inode: IomapInode, pos: number, end: number, punch: (pos: number, end: number) => void): void {
  const { mapping } = inode;
  const { blockSize, cache } = mapping;
  const stop = roundUp(end, blockSize);
  // The block of `pos` is looked at as all others: it is dirty where bytes before `pos` were written.
  let at = roundDown(pos, blockSize);
  let punched = false;
  while (at < stop) {
    const from = nextClean(inode, at, stop);
    const to = nextDirty(inode, from, stop);
    if (from < to) {
      cache.trace?.({ type: 'punch-delalloc', ino: inode.ino, pos: from, len: to - from });
      punch(from, to);
      punched = true;
    }
    at = Math.max(to, at + blockSize);
  }
  if (punched) mapping.validityCookie++; // guard: punch-makes-stale (pitfall 3)
}

/** The first block of [at, stop) that is not dirty. */
function nextClean(inode: IomapInode, at: number, stop: number): number {
  const { mapping } = inode;
  while (at < stop) {
    const folio = mapping.lookup(at);
    if (folio === undefined || !folio.dirty) return at;
    const clean = folio.nextClean(at - folio.pos, folio.size);
    if (clean < folio.size) return Math.min(stop, folio.pos + clean);
    at = folio.end;
  }
  return stop;
}

/** The first block of [at, stop) that is dirty. */
function nextDirty(inode: IomapInode, at: number, stop: number): number {
  const { mapping } = inode;
  for (let folio = mapping.nextDirty(at, stop); folio !== undefined; folio = mapping.nextDirty(folio.end, stop)) {
    const dirty = folio.nextDirty(Math.max(0, at - folio.pos), folio.size);
    if (dirty < folio.size) return Math.min(stop, folio.pos + dirty); // guard: punch-spares-dirty (pitfall 3)
  }
  return stop;
}
