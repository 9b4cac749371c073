/**
 * A copy-on-write overlay: reads see the base until a sector is written; writes go to a store of the same size. The base
 * is never written, so a read-only one will do.
 *
 * - Copies are per sector, so that a write never has to read.
 * - `discard` is accepted and does nothing; `writeZeroes` goes to the store.
 * - A sector belongs to the store only once its write succeeded.
 */
import { FsError, IO_OK, type Bio, type IoResult } from '@iomap/io';
import { z } from 'zod';
import { checkBio } from './bio.js';
import type { BlockDevice, BlockDeviceLimits } from './device.js';
import { memoryDevice } from './memory.js';
import { parseOptions } from './options.js';
import { sliceSegments } from './slice.js';
import { afterAnswer, joinAnswers } from './wait-all.js';

export const overlayDeviceOptions = z.strictObject({
  /** Takes the writes: at least as large as the base, the same sector size. Default: a sparse device in memory. */
  store: z.custom<BlockDevice>((value) => typeof value === 'object' && value !== null && 'submit' in value).optional(),
  /** For messages; default: the base's. */
  name: z.string().optional(),
});
export type OverlayDeviceOptions = z.input<typeof overlayDeviceOptions>;

/** A run of bytes on the device. */
export interface ByteRange {
  readonly pos: number;
  readonly length: number;
}

export interface OverlayDevice extends BlockDevice {
  /** The runs that were written, in order: what differs from the base. */
  changes(): ByteRange[];
}

/** Sectors per page of the map. */
const PAGE_SECTORS = 2048;

/** A sparse set of sector numbers, in pages of bytes. */
class SectorSet {
  readonly #pages = new Map<number, Uint8Array>();

  add(first: number, count: number): void {
    for (let at = first, end = first + count; at < end; ) {
      const index = Math.floor(at / PAGE_SECTORS);
      const from = at - index * PAGE_SECTORS;
      const to = Math.min(PAGE_SECTORS, end - index * PAGE_SECTORS);
      let page = this.#pages.get(index);
      if (page === undefined) this.#pages.set(index, (page = new Uint8Array(PAGE_SECTORS)));
      page.fill(1, from, to);
      at = index * PAGE_SECTORS + to;
    }
  }

  has(sector: number): boolean {
    const index = Math.floor(sector / PAGE_SECTORS);
    return this.#pages.get(index)?.[sector - index * PAGE_SECTORS] === 1;
  }

  /** How many sectors from `first` on are alike, up to `count`. */
  run(first: number, count: number): number {
    const inside = this.has(first);
    let at = first + 1;
    const end = first + count;
    while (at < end) {
      const index = Math.floor(at / PAGE_SECTORS);
      const page = this.#pages.get(index);
      const pageEnd = Math.min(end, (index + 1) * PAGE_SECTORS);
      if (page === undefined) {
        if (inside) return at - first;
        at = pageEnd;
        continue;
      }
      const wanted = inside ? 1 : 0;
      while (at < pageEnd && page[at - index * PAGE_SECTORS] === wanted) at++;
      if (at < pageEnd) return at - first;
    }
    return count;
  }

  /** All runs, in order. */
  runs(): { first: number; count: number }[] {
    const runs: { first: number; count: number }[] = [];
    for (const index of [...this.#pages.keys()].sort((a, b) => a - b)) {
      const page = this.#pages.get(index);
      for (let i = 0; page !== undefined && i < PAGE_SECTORS; i++) {
        if (page[i] !== 1) continue;
        const sector = index * PAGE_SECTORS + i;
        const last = runs.at(-1);
        if (last !== undefined && last.first + last.count === sector) last.count++;
        else runs.push({ first: sector, count: 1 });
      }
    }
    return runs;
  }
}

class CopyOnWrite implements OverlayDevice {
  readonly name: string;
  readonly synchronous: boolean;
  readonly sizeBytes: number;
  readonly sectorSize: number;
  readonly readOnly = false;
  readonly limits: BlockDeviceLimits;
  readonly #base: BlockDevice;
  readonly #store: BlockDevice;
  readonly #changed = new SectorSet();

  constructor(base: BlockDevice, store: BlockDevice, name: string) {
    this.name = name;
    this.synchronous = base.synchronous && store.synchronous;
    this.sizeBytes = base.sizeBytes;
    this.sectorSize = base.sectorSize;
    this.limits = {
      maxBioBytes: Math.min(base.limits.maxBioBytes, store.limits.maxBioBytes),
      atomicWriteBytes: store.limits.atomicWriteBytes,
      discard: false,
      writeZeroes: store.limits.writeZeroes,
    };
    this.#base = base;
    this.#store = store;
  }

  submit(bio: Bio): IoResult | Promise<IoResult> {
    const bad = checkBio(this, bio);
    if (bad !== undefined) return bad;
    switch (bio.op) {
      case 'read':
        return this.#read(bio);
      case 'discard':
        return IO_OK;
      case 'flush':
        return this.#store.submit(bio);
      default:
        return afterAnswer(this.#store.submit(bio), (result) => {
          if (result.ok) this.#changed.add(bio.pos / this.sectorSize, lengthOf(bio) / this.sectorSize);
          return result;
        });
    }
  }

  changes(): ByteRange[] {
    const size = this.sectorSize;
    return this.#changed.runs().map(({ first, count }) => ({ pos: first * size, length: count * size }));
  }

  close(): void {
    this.#base.close();
    this.#store.close();
  }

  #read(bio: Bio): IoResult | Promise<IoResult> {
    const size = this.sectorSize;
    const total = lengthOf(bio);
    const answers: (IoResult | Promise<IoResult>)[] = [];
    for (let done = 0; done < total; ) {
      const sector = (bio.pos + done) / size;
      const length = this.#changed.run(sector, (total - done) / size) * size;
      const target = this.#changed.has(sector) ? this.#store : this.#base;
      if (length === total) return target.submit(bio);
      const segments = sliceSegments(bio.segments, done, length);
      answers.push(target.submit({ op: 'read', pos: bio.pos + done, segments, lengthBytes: length }));
      done += length;
    }
    return joinAnswers(answers);
  }
}

const lengthOf = (bio: Bio): number =>
  bio.op === 'writeZeroes' ? bio.lengthBytes : bio.segments.reduce((sum, segment) => sum + segment.length, 0);

/**
 * A writable device over `base`, which stays as it is. `close` closes both base and store.
 * @throws FsError EINVAL when the store is smaller than the base, read-only, or has other sectors
 */
export function overlayDevice(base: BlockDevice, options: OverlayDeviceOptions = {}): OverlayDevice {
  const { store, name } = parseOptions(overlayDeviceOptions, options);
  const { sizeBytes, sectorSize } = base;
  if (store !== undefined && (store.sizeBytes < sizeBytes || store.sectorSize !== sectorSize || store.readOnly)) {
    throw new FsError('EINVAL', { why: 'the store does not fit the base', detail: { device: base.name, field: 'store' } });
  }
  // A store in memory takes any sector size that the base has.
  const writes = store ?? memoryDevice({ sizeBytes, sectorSize: sectorSize as 512, name: `${base.name} (changes)` });
  return new CopyOnWrite(base, writes, name ?? base.name);
}
