/** A file in the old way over a device full of old bytes: a block map in memory, with a metadata block each so many entries. */
import { memoryDeviceFrom, type BlockDevice } from '@iomap/block-device';
import { FsError, type Bio, type Io, type IoResult } from '@iomap/io';
import { type PageCache, type AddressSpace } from '@iomap/page-cache';
import {
  BH_DIRTY, buffersOf, blockTruncatePage, fileWrite, newPages, peekFileWrite, truncatePages, writeAndWait, type BlockResult, type BufferInode, type BufferOps,
} from '../src/index.js';

/** What the device holds before anything is written: it must never be seen in a file. */
export const OLD_BYTE = 0xa5;

export const oldDevice = (sizeBytes: number): BlockDevice => memoryDeviceFrom(new Uint8Array(sizeBytes).fill(OLD_BYTE));

/** xorshift32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>>= 0);
  };
}

/** A device that throws at so many requests: what asks for more makes no progress. */
export function boundedDevice(device: BlockDevice, requestsMax: number): BlockDevice {
  let requests = 0;
  return {
    name: 'bounded',
    synchronous: true,
    readOnly: false,
    sizeBytes: device.sizeBytes,
    sectorSize: device.sectorSize,
    limits: device.limits,
    submit(bio) {
      if (++requests > requestsMax) throw new Error(`more than ${requestsMax} requests`);
      return device.submit(bio);
    },
    close: () => device.close(),
  };
}

/** A device that answers by promises, after a few turns. */
export function slowDevice(device: BlockDevice, next: () => number): BlockDevice {
  return {
    name: 'slow',
    synchronous: false,
    sizeBytes: device.sizeBytes,
    sectorSize: device.sectorSize,
    readOnly: false,
    limits: device.limits,
    async submit(bio: Bio): Promise<IoResult> {
      for (let turns = next() % 4; turns >= 0; turns--) await Promise.resolve();
      return device.submit(bio);
    },
    close: () => device.close(),
  };
}

export interface FileOptions {
  readonly device: BlockDevice;
  readonly blockSize: number;
  readonly cache: PageCache;
  /** Blocks given out, in this order. */
  readonly free: number[];
  readonly mpage: boolean;
  /** May a call be answered without a wait? */
  readonly peeks?: () => boolean;
  /** A boundary after each so many blocks. */
  readonly leaf?: number;
  /** Calls of `get_block` before it throws. */
  readonly callsMax?: number;
}

export class TestFile implements BufferInode {
  readonly ino = 11;
  size = 0;
  readonly blockSize: number;
  readonly mapping: AddressSpace;
  readonly blocks = new Map<number, number>();
  readonly ops: BufferOps<TestFile>;
  calls = 0;
  readonly #free: number[];
  readonly #options: FileOptions;

  constructor(options: FileOptions) {
    this.#options = options;
    this.#free = options.free;
    this.blockSize = options.blockSize;
    this.mapping = newPages(options.cache, 'test', { writeback: (range) => writeAndWait(this, this.ops, range) });
    this.ops = {
      mpage: options.mpage,
      getBlock: {
        device: options.device,
        peek: (_inode, block, create, out) => options.peeks?.() === true && this.#map(block, false, out) && !(create && out.addr === -1),
        *get(inode, block, create, out) {
          inode.#map(block, create, out);
        },
      },
      *writeFailed(inode) {
        yield* truncatePages(inode, inode.size);
        inode.freeFrom(Math.ceil(inode.size / inode.blockSize));
      },
    };
  }

  get mappingIfAny(): AddressSpace {
    return this.mapping;
  }

  #map(block: number, create: boolean, out: BlockResult): boolean {
    this.calls++;
    if (this.calls > (this.#options.callsMax ?? Infinity)) throw new Error(`more than ${this.calls - 1} calls of get_block`);
    const { blockSize } = this;
    const leaf = this.#options.leaf ?? 1e9;
    if (create && !this.blocks.has(block)) {
      const next = this.#free.shift();
      if (next === undefined) throw new FsError('ENOSPC');
      this.blocks.set(block, next);
      out.isNew = true;
      out.addr = next * blockSize;
      out.bytes = blockSize;
      out.boundary = (block + 1) % leaf === 0;
      return true;
    }
    const first = this.blocks.get(block);
    let count = 1;
    const most = out.bytes / blockSize;
    const isNext = (n: number): boolean => (first === undefined ? this.blocks.get(block + n) === undefined : this.blocks.get(block + n) === first + n);
    while (count < most && (block + count) % leaf !== 0 && isNext(count)) count++;
    out.addr = first === undefined ? -1 : first * blockSize;
    out.bytes = count * blockSize;
    out.boundary = (block + count) % leaf === 0;
    return true;
  }

  freeFrom(block: number): void {
    for (const [at, where] of this.blocks) {
      if (at < block) continue;
      this.blocks.delete(at);
      this.#free.push(where);
    }
  }

  /** As a driver's write: the tail of the last block reads as zero where the file grows past it. */
  *write(pos: number, bytes: Uint8Array): Io<number> {
    if (pos > this.size) yield* blockTruncatePage(this, this.ops, this.size);
    const done = peekFileWrite(this, this.ops, pos, bytes);
    return done >= 0 ? done : yield* fileWrite(this, this.ops, pos, bytes);
  }

  *truncate(size: number): Io<void> {
    if (size > this.size) yield* blockTruncatePage(this, this.ops, this.size);
    else {
      yield* blockTruncatePage(this, this.ops, size);
      this.size = size;
      yield* truncatePages(this, size);
      this.freeFrom(Math.ceil(size / this.blockSize));
    }
    this.size = size;
  }
}

/** Free blocks from 1 on, in runs of random length in random order. */
export function freeBlocks(count: number, next: () => number): number[] {
  const blocks = Array.from({ length: count - 1 }, (_, i) => i + 1);
  const runs: number[][] = [];
  while (blocks.length > 0) runs.push(blocks.splice(0, 1 + (next() % 6)));
  for (let i = runs.length - 1; i > 0; i--) {
    const j = next() % (i + 1);
    const a = runs[i] ?? [];
    runs[i] = runs[j] ?? [];
    runs[j] = a;
  }
  return runs.flat();
}

/** Any buffer head of the file is dirty. */
export function anyDirty(file: TestFile): boolean {
  const { mapping } = file;
  for (let folio = mapping.nextFolio(0, Infinity); folio !== undefined; folio = mapping.nextFolio(folio.end, Infinity)) {
    const head = buffersOf(folio);
    let bh = head;
    if (head === undefined || bh === undefined) continue;
    do {
      if (bh.has(BH_DIRTY)) return true;
      bh = bh.next;
    } while (bh !== head);
  }
  return false;
}
