/**
 * Directories in the page cache: a directory is a file, whose blocks are folios, read and extended by iomap-core and written back as
 * file data is. No copy is made of what is cached: a block is a view of its folio.
 *
 * A look-up finds the folio by its place in the directory, without the block map. Blocks live as long as the directory's inode in core.
 *
 * I1: only uptodate blocks are handed out, so a change in place needs no lock: it is plain, it marks the block dirty in the same turn,
 * and writeback that has the block in flight writes it again.
 * I2: a held block's folio is pinned, so reclaim spares it; a truncate comes under the exclusive inode lock, when nobody else holds one.
 */
import { assert, corrupt, FsError } from '@iomap/io';
import { bufferedRead, bufferedWrite, truncatePageCache } from '@iomap/iomap-core';
import type { Folio } from '@iomap/page-cache';
import { DIR_READAHEAD_BLOCKS, holeBlock, type DirBlock } from './dir-block.js';
import type { DirHome, DirHost, MappedDir } from './dir-home.js';
import { flushFile, flushFiles } from './dirty-files.js';
import type { MapRun } from './extent-cache.js';
import { mapIomapOps } from './map-iomap.js';
import { truncateBlocks } from './map-truncate.js';

/** Less than what a read passes by the cache with. */
const SINK_BYTES_MAX = 128 * 1024;
/** How often a block may be evicted between its read and the look at it: on a cache that is too small for its tasks. */
const ROUNDS_MAX = 1000;

/** A block of a directory inside a folio, which keeps it (`folio.private`). */
class DirPage implements DirBlock {
  readonly folio: Folio;
  readonly pos: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(folio: Folio, offset: number, dirBytes: number, pos: number) {
    const { data } = folio;
    this.folio = folio;
    this.pos = pos;
    this.bytes = data.length === dirBytes ? data : data.subarray(offset, offset + dirBytes);
    this.view = new DataView(data.buffer, data.byteOffset + offset, dirBytes);
  }

  hold(): DirBlock {
    assert(this.folio.mapping !== undefined, 'I2: a block that was let go is not held');
    this.folio.pins++;
    return this;
  }

  put(): void {
    assert(this.folio.pins > 0, 'a put has its hold');
    this.folio.pins--;
    this.folio.mapping?.cache.wakeMemory();
  }
}

type Pages = (DirPage | undefined)[];

const isPages = (value: unknown): value is Pages => Array.isArray(value);

export function pageDirHome<I extends MappedDir>(host: DirHost<I>): DirHome<I> {
  const { map, dirBytes, device, dirtyFiles } = host;
  const { blockSize } = map.shape;
  const per = blockSize / dirBytes;
  const scratch: MapRun = { block: 0, count: 0 };
  const atHole = holeBlock(host.hole, dirBytes);
  // The names' changes are guarded as a whole.
  const ops = mapIomapOps<I>({ map, device, guarded: (change) => change });
  /**
   * Where reads leave their copy of what came into the cache: nobody looks at it. As long as what is read at once, so that a walk in the
   * order of an index, which no window of readahead sees through, needs no more requests than in the other home.
   */
  const sink = new Uint8Array(Math.max(dirBytes, Math.min(SINK_BYTES_MAX, DIR_READAHEAD_BLOCKS * dirBytes)));

  const newPage = (dir: I, folio: Folio, index: number): DirPage => {
    const isKnown = map.peek(dir, Math.floor(index / per), scratch) && scratch.block > 0;
    const pos = isKnown ? scratch.block * blockSize + (index % per) * dirBytes : 0;
    return new DirPage(folio, index * dirBytes - folio.pos, dirBytes, pos);
  };
  /** The block's view, which its folio keeps: alone where it is all of the folio. */
  const pageOf = (dir: I, folio: Folio, index: number): DirPage => {
    const { private: kept } = folio;
    if (folio.size === dirBytes) {
      if (kept instanceof DirPage) return kept;
      const page = newPage(dir, folio, index);
      folio.private = page;
      return page;
    }
    const pages = isPages(kept) ? kept : new Array<DirPage | undefined>(folio.size / dirBytes).fill(undefined);
    if (pages !== kept) folio.private = pages;
    const slot = index - folio.pos / dirBytes;
    return (pages[slot] ??= newPage(dir, folio, index));
  };
  const cached = (dir: I, index: number): DirPage | undefined => {
    const folio = dir.mappingIfAny?.lookup(index * dirBytes);
    if (folio === undefined || folio.readaheadMark) return undefined;
    const from = index * dirBytes - folio.pos;
    if (!folio.isUptodate(from, from + dirBytes)) return undefined;
    if (folio.touched < 2) folio.touched++;
    return pageOf(dir, folio, index);
  };
  const peek = (dir: I, index: number): DirBlock | undefined => {
    const page = cached(dir, index);
    if (page !== undefined) return page;
    const isKnown = map.peek(dir, Math.floor(index / per), scratch);
    return isKnown && scratch.block === 0 ? atHole(dir, index) : undefined;
  };

  return {
    kind: 'page-cache',
    count: (dir) => host.blockCount(dir),
    peek,
    only(dir) {
      const here = peek(dir, 0);
      if (here !== undefined || device.readNow === undefined || !map.peek(dir, 0, scratch, true) || scratch.block === 0) return here;
      const { mapping } = dir;
      const folio = mapping.tryAlloc(0, blockSize);
      if (folio === undefined) return undefined;
      let isRead = false;
      try {
        isRead = device.readNow(scratch.block * blockSize, folio.data);
        if (isRead) {
          folio.setUptodate(0, blockSize);
          mapping.cache.counters.readBios++;
          mapping.cache.counters.readBioBytes += blockSize;
        }
      } finally {
        folio.unlock();
      }
      return isRead ? pageOf(dir, folio, 0) : undefined;
    },
    *read(dir, index) {
      const run: MapRun = { block: 0, count: 0 };
      yield* map.read(dir, Math.floor(index / per), run);
      if (run.block === 0) return atHole(dir, index);
      // It is worth caching from the first read on.
      dir.wasRead = true;
      for (let round = 0; round < ROUNDS_MAX; round++) {
        const page = cached(dir, index);
        if (page !== undefined) return page;
        const done = yield* bufferedRead(dir, ops, index * dirBytes, sink);
        if (done === 0) throw corrupt('a directory that ends before its last block', { ino: dir.ino, field: 'i_size' });
      }
      throw new FsError('ENOMEM', { why: 'the page cache keeps no block of a directory', detail: { ino: dir.ino } });
    },
    markDirty(block, dir) {
      if (!(block instanceof DirPage)) throw corrupt('a hole in a directory', { ino: dir.ino });
      const { folio, bytes } = block;
      const from = bytes.byteOffset - folio.data.byteOffset;
      folio.markDirty(from, from + dirBytes);
      dirtyFiles.add(dir);
    },
    *append(dir) {
      const index = host.blockCount(dir);
      if (index >= host.blocksMax) throw new FsError('EFBIG');
      dir.wasRead = true;
      dirtyFiles.add(dir);
      try {
        yield* bufferedWrite(dir, ops, index * dirBytes, host.fresh);
      } finally {
        // Again, now that it is dirty: a sync on the way may have found nothing to write and forgotten it.
        dirtyFiles.add(dir);
      }
      const page = cached(dir, index);
      assert(page !== undefined, 'what was just written is cached');
      return page;
    },
    *shrink(dir, count) {
      dir.size = count * dirBytes;
      yield* truncatePageCache(dir, dir.size);
      yield* truncateBlocks(map, dir, Math.ceil(count / per));
    },
    flush: (dir) => flushFile(host, dir),
    flushAll: () => flushFiles(host, (inode) => inode.isDirectory),
  };
}
