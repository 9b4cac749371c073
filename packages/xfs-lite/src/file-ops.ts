/** File data: mappings for iomap-core, and the operations over them. Reads only. */
import { FsError, type Io } from '@iomap/io';
import {
  bufferedRead,
  IOMAP_F_SHARED,
  IOMAP_REPORT,
  peekBufferedRead,
  peekReadWhole,
  type Iomap,
  type IomapOps,
} from '@iomap/iomap-core';
import { AddressSpace } from '@iomap/page-cache';
import { FILE_BLOCKS_MAX, type MapRun } from './extents.js';
import { mapFork } from './fork.js';
import type { XfsInode } from './inode.js';
import { findShared, type SharedRun } from './refcount.js';
import { fsbToPos } from './super.js';
import type { Volume } from './volume.js';

export class FileOps {
  readonly iomap: IomapOps<XfsInode>;
  readonly #vol: Volume;

  constructor(vol: Volume) {
    this.#vol = vol;
    this.iomap = makeIomapOps(vol);
  }

  /** Lock: inode, shared. */
  read(inode: XfsInode, pos: number, bytes: Uint8Array): Io<number> {
    return bufferedRead(inode, this.iomap, pos, bytes);
  }

  peekRead(inode: XfsInode, pos: number, bytes: Uint8Array): number {
    if (inode.mappingIfAny !== undefined) return peekBufferedRead(inode, pos, bytes, this.iomap);
    // Most files are read once, whole: they need no address space.
    return pos < inode.size ? peekReadWhole(inode, this.iomap, this.#vol.pages, pos, bytes) : 0;
  }
}

function* noWriteback(): Io<void> {
  // Nothing is ever dirty.
}

/** The address space of a file; nothing in it is ever dirty. */
export function makeMapping(vol: Volume, inode: XfsInode): AddressSpace {
  return new AddressSpace(vol.pages, { name: `inode ${inode.ino}`, blockSize: vol.info.blockSize, host: { writeback: noWriteback } });
}

/**
 * Cuts a mapped run where blocks begin or cease to be shared, for a report. Undefined: a block is missing.
 */
function trimShared(vol: Volume, run: MapRun): boolean | undefined {
  const shared: SharedRun = { block: 0, count: 0 };
  if (!findShared(vol, run.block, run.count, shared)) return undefined;
  if (shared.count === 0) return false;
  if (shared.block > run.block) {
    run.count = shared.block - run.block;
    return false;
  }
  run.count = Math.min(run.count, shared.count);
  return true;
}

function makeIomapOps(vol: Volume): IomapOps<XfsInode> {
  const { blockSize } = vol.info;
  const run: MapRun = { block: -1, count: 0, unwritten: false };
  /** False: a block is missing. */
  const map = (inode: XfsInode, pos: number, flags: number, out: Iomap): boolean => {
    const fileBlock = Math.floor(pos / blockSize);
    if (!mapFork(vol, inode.ino, inode.data, fileBlock, run)) return false;
    let isShared: boolean | undefined = false;
    if (run.block >= 0 && !run.unwritten && (flags & IOMAP_REPORT) !== 0 && inode.isReflinked) {
      isShared = trimShared(vol, run);
      if (isShared === undefined) return false;
    }
    out.type = run.block < 0 ? 'hole' : run.unwritten ? 'unwritten' : 'mapped';
    out.offset = fileBlock * blockSize;
    out.length = Math.min(run.count, FILE_BLOCKS_MAX / blockSize - fileBlock) * blockSize;
    out.addr = run.block < 0 ? -1 : fsbToPos(vol.info, run.block);
    out.flags = isShared ? IOMAP_F_SHARED : 0;
    out.device = vol.device;
    out.inlineData = undefined;
    out.validityCookie = 0;
    return true;
  };
  return {
    peek(inode, pos, _length, flags, out) {
      try {
        return map(inode, pos, flags, out);
      } catch (error) {
        if (error instanceof FsError) return false;
        throw error;
      }
    },
    *begin(inode, pos, _length, flags, out) {
      yield* vol.reading(() => (map(inode, pos, flags, out) ? true : undefined));
    },
  };
}
