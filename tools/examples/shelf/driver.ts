/**
 * A read-only driver for the example's format, written along docs/porting.md: the mapping functions, and the operations that the core
 * makes of them.
 *
 * - `mountShelf(device)`: reads the superblock. `shelf.names()`, `shelf.inode(ino)`.
 * - An inode's map is read when it is first asked for (`begin`), and known from then on (`peek`).
 * - Nothing changes, so there are no locks, no cookies and no writeback.
 */
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, FsError, submitBio, type Io } from '@iomap/io';
import {
  bufferedRead, directRead, fiemap, peekBufferedRead, seekData, seekHole, type FiemapExtent, type Iomap, type IomapInode,
  type IomapOps,
} from '@iomap/iomap-core';
import { AddressSpace, PageCache } from '@iomap/page-cache';
import { decodeInode, decodeNames, decodeSuper, INODE_BYTES, SUPER_BYTES, type InodeFacts, type Name, type Super } from './format.js';

export class ShelfInode implements IomapInode {
  readonly shelf: Shelf;
  readonly ino: number;
  readonly facts: InodeFacts;
  size: number;
  readonly blockSize: number;
  readonly mapping: AddressSpace;
  wasRead = false;

  constructor(shelf: Shelf, ino: number, facts: InodeFacts) {
    this.shelf = shelf;
    this.ino = ino;
    this.facts = facts;
    this.size = facts.size;
    this.blockSize = shelf.geometry.blockSize;
    // Nothing gets dirty, so nobody asks the host to write.
    const host = { writeback: (): Io<void> => nothing() };
    this.mapping = new AddressSpace(shelf.cache, { name: `shelf inode ${ino}`, blockSize: this.blockSize, host });
  }

  get mappingIfAny(): AddressSpace {
    return this.mapping;
  }

  /** Step 3 of the guide. @returns bytes read; 0 at or past the end */
  *read(pos: number, bytes: Uint8Array): Io<number> {
    const cached = peekBufferedRead(this, pos, bytes, shelfOps);
    return cached >= 0 ? cached : yield* bufferedRead(this, shelfOps, pos, bytes);
  }

  /** `pos` and the length are multiples of the device's sectors. */
  readDirect(pos: number, bytes: Uint8Array): Io<number> {
    return directRead(this, shelfOps, {}, pos, bytes);
  }

  /** Step 1. */
  *extents(): Io<FiemapExtent[]> {
    const found: FiemapExtent[] = [];
    yield* fiemap(this, shelfOps, 0, Infinity, (extent) => found.push(extent) > 0);
    return found;
  }

  /** Step 2. @throws FsError ENXIO past the last data, past the end */
  seek(pos: number, what: 'data' | 'hole'): Io<number> {
    return (what === 'data' ? seekData : seekHole)(this, shelfOps, pos);
  }
}

function* nothing(): Io<void> {
  yield* [];
}

/** All that the core asks of this filesystem. */
export const shelfOps: IomapOps<ShelfInode> = {
  nowait: true,
  peek(inode, pos, _length, _flags, out) {
    describe(inode, pos, out);
    return true;
  },
  *begin(inode, pos, _length, _flags, out) {
    describe(inode, pos, out);
    yield* [];
  },
};

/** Fills `out` with the extent, the hole or the inline data that covers `pos`. */
function describe(inode: ShelfInode, pos: number, out: Iomap): void {
  const { blockSize, facts, shelf, size } = inode;
  out.device = shelf.device;
  if (facts.inline !== undefined) {
    const length = Math.max(1, size);
    const isInside = pos < length;
    // A report asks up to the end of the last block: behind the content there is a hole.
    out.type = isInside ? 'inline' : 'hole';
    out.offset = isInside ? 0 : length;
    out.length = isInside ? length : Number.MAX_SAFE_INTEGER - length;
    out.addr = -1;
    out.inlineData = isInside ? facts.inline : undefined;
    return;
  }
  const block = Math.floor(pos / blockSize);
  const next = facts.extents.find(({ start, count }) => start + count > block);
  if (next === undefined || next.start > block) {
    const end = next === undefined ? Number.MAX_SAFE_INTEGER : next.start * blockSize;
    out.type = 'hole';
    out.offset = block * blockSize;
    out.length = end - out.offset;
    out.addr = -1;
    return;
  }
  out.type = 'mapped';
  out.offset = next.start * blockSize;
  out.length = next.count * blockSize;
  out.addr = next.block * blockSize;
}

export class Shelf {
  readonly device: BlockDevice;
  readonly cache: PageCache;
  readonly geometry: Super;
  readonly #inodes = new Map<number, ShelfInode>();

  constructor(device: BlockDevice, geometry: Super) {
    this.device = device;
    this.geometry = geometry;
    this.cache = new PageCache({ budgetBytes: 4 * 2 ** 20 });
  }

  /** Reads an inode once. @throws FsError ENOENT, EUCLEAN, the device's */
  *inode(ino: number): Io<ShelfInode> {
    const known = this.#inodes.get(ino);
    if (known !== undefined) return known;
    const { blockSize, inodeCount, tableBlock } = this.geometry;
    if (!(ino >= 0 && ino < inodeCount)) throw new FsError('ENOENT', { detail: { ino } });
    const pos = tableBlock * blockSize + ino * INODE_BYTES;
    const bytes = yield* readBytes(this.device, pos, INODE_BYTES);
    // Another task may have been faster: there is one inode of each number.
    const made = this.#inodes.get(ino) ?? new ShelfInode(this, ino, decodeInode(bytes, blockSize, ino));
    this.#inodes.set(ino, made);
    return made;
  }

  /** The root directory: a file like any other, read through the page cache. */
  *names(): Io<Name[]> {
    const root = yield* this.inode(0);
    // Not an allocation sized by the image alone: a name takes 5 bytes and one at least, and there are not more names than inodes.
    if (root.size > this.geometry.inodeCount * 260) throw corrupt('more names than files', { ino: 0, field: 'size' });
    const bytes = new Uint8Array(root.size);
    for (let done = 0; done < bytes.length; ) done += yield* root.read(done, bytes.subarray(done));
    return decodeNames(bytes, this.geometry.inodeCount);
  }
}

/** @throws FsError EUCLEAN, the device's */
export function* mountShelf(device: BlockDevice): Io<Shelf> {
  const head = yield* readBytes(device, 0, SUPER_BYTES);
  return new Shelf(device, decodeSuper(head, device.sizeBytes));
}

/** Metadata: any bytes, in whole sectors. */
function* readBytes(device: BlockDevice, pos: number, length: number): Io<Uint8Array> {
  const { sectorSize } = device;
  const from = pos - (pos % sectorSize);
  const to = Math.ceil((pos + length) / sectorSize) * sectorSize;
  const bytes = new Uint8Array(to - from);
  yield* submitBio(device, { op: 'read', pos: from, segments: [bytes], lengthBytes: bytes.length });
  return bytes.subarray(pos - from, pos - from + length);
}
