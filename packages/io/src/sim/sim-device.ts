/**
 * A simulated disk with a volatile write cache, structurally a block device of `@iomap/block-device`.
 *
 * - Reads see every write that completed. What survives a crash is another matter: `crashImages` gives the disks that a
 *   crash at this moment may leave.
 * - A write is *unsettled* from its start until a flush that started after its completion has completed (or until its own
 *   completion, with `fua`). Each sector of an unsettled write survives or not on its own; an atomic one goes whole.
 * - Used as it is (`submit`), each bio completes at once. The simulator uses `begin` and `complete` and puts any number of
 *   other events in between.
 *
 * Per sector, the content after a crash is that of any one of its unsettled writes or the settled one, whichever the cache
 * wrote last; applying any subset of the writes in their order gives exactly these, so reordering needs no cases of its own.
 */
import { FsError, type FsCode } from '../error.js';
import { assert } from '../assert.js';
import { SeededRandom } from '../random.js';
import { IO_OK, type Bio, type IoResult } from '../request.js';
import { CrashImages, type CrashImageOptions } from './crash-images.js';
import { PageStore } from './page-store.js';

export interface SimDeviceOptions {
  /** Bytes, a multiple of `sectorSize`. Default: the length of `content`. */
  readonly sizeBytes?: number;
  /** Bytes, default 512: what is written whole or not at all. */
  readonly sectorSize?: number;
  readonly name?: string;
  /** What the disk holds at first, durably; copied. */
  readonly content?: Uint8Array;
  readonly readOnly?: boolean;
  /** The longest write with `atomic`. Default 0: a sector. */
  readonly atomicWriteBytes?: number;
}

/** A write that a crash may undo. `data` undefined: zeroes. */
export interface UnsettledWrite {
  readonly pos: number;
  readonly length: number;
  readonly data: Uint8Array | undefined;
  readonly atomic: boolean;
  /** Settled by `fua`: survives, but stays in the line so that older writes to its sectors come before it. */
  durable: boolean;
  completed: boolean;
}

/** A bio between `begin` and `complete`. */
export interface InFlight {
  readonly bio: Bio;
  readonly write: UnsettledWrite | undefined;
  /** A flush: the writes that it settles, those that were complete when it started. */
  readonly settles: readonly UnsettledWrite[];
}

const NONE: readonly UnsettledWrite[] = [];

export class SimDevice {
  readonly name: string;
  readonly synchronous = true;
  readonly sizeBytes: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly limits: {
    readonly maxBioBytes: number;
    readonly atomicWriteBytes: number;
    readonly discard: boolean;
    readonly writeZeroes: boolean;
  };
  /** Changes whenever the set of possible crash images does. */
  version = 0;
  /** What survives any crash. */
  #settled: PageStore;
  /** What reads see. */
  #current: PageStore;
  #unsettled: UnsettledWrite[] = [];

  constructor(options: SimDeviceOptions, pages?: PageStore) {
    const { sectorSize = 512, name = 'sim', content } = options;
    this.name = name;
    this.sectorSize = sectorSize;
    this.sizeBytes = options.sizeBytes ?? content?.length ?? 0;
    this.readOnly = options.readOnly ?? false;
    assert(this.sizeBytes % sectorSize === 0, `${this.sizeBytes} bytes is a whole number of sectors`);
    this.limits = {
      maxBioBytes: 2 ** 30,
      atomicWriteBytes: options.atomicWriteBytes ?? 0,
      discard: true,
      writeZeroes: true,
    };
    this.#settled = pages ?? new PageStore();
    if (content !== undefined) this.#settled.write(0, content);
    this.#current = this.#settled.fork();
  }

  /** The writes that a crash now may undo, oldest first. */
  get unsettled(): readonly UnsettledWrite[] {
    return this.#unsettled;
  }

  submit(bio: Bio): IoResult {
    return this.complete(this.begin(bio));
  }

  /** A bio reaches the disk. From now on, a write may survive a crash. */
  begin(bio: Bio): InFlight {
    if (bio.op === 'flush') return { bio, write: undefined, settles: this.#unsettled.filter((one) => one.completed) };
    if (bio.op === 'read' || this.#check(bio) !== undefined) return { bio, write: undefined, settles: NONE };
    const write: UnsettledWrite = {
      pos: bio.pos,
      length: lengthOf(bio),
      data: bio.op === 'write' ? concat(bio.segments) : undefined,
      atomic: bio.atomic === true,
      durable: false,
      completed: false,
    };
    this.#unsettled.push(write);
    this.version++;
    return { bio, write, settles: NONE };
  }

  /** The bio ends: reads get their data, writes become visible, flushes settle. */
  complete(inFlight: InFlight): IoResult {
    const { bio, write, settles } = inFlight;
    const bad = this.#check(bio);
    if (bad !== undefined) return bad;
    if (bio.op === 'read') {
      let { pos } = bio;
      for (const segment of bio.segments) {
        this.#current.read(pos, segment);
        pos += segment.length;
      }
    } else if (bio.op === 'flush') {
      for (const one of settles) one.durable = true;
      this.#settle();
    } else if (write !== undefined) {
      apply(this.#current, write);
      write.completed = true;
      if (bio.fua === true) write.durable = true;
      this.version++;
      this.#settle();
    }
    return IO_OK;
  }

  /**
   * The bio ends with an error. Of a write, the first `keepSectors` sectors become visible; after a crash, anything of it
   * may be there, as of any other write.
   */
  fail(inFlight: InFlight, code: FsCode, keepSectors = 0): IoResult {
    const { bio, write } = inFlight;
    if (write !== undefined) {
      const length = Math.min(write.length, write.atomic ? 0 : keepSectors * this.sectorSize);
      apply(this.#current, { ...write, length, data: write.data?.subarray(0, length) });
      write.completed = true;
      this.version++;
    }
    const detail = { device: this.name, pos: bio.pos };
    return { ok: false, error: new FsError(code, { why: `simulated fault, ${bio.op}`, detail }) };
  }

  /** The disks that a crash at this moment may leave: settled content, and any part of the unsettled writes. */
  crashImages(options: CrashImageOptions = {}): CrashImages<SimDevice> {
    const { sectorSize } = this;
    const writes = [...this.#unsettled];
    return new CrashImages({ writes, sectorSize }, new SeededRandom(options.seed ?? 1), options, (keep) => {
      const pages = this.#settled.fork();
      writes.forEach((write, i) => {
        const sectors = keep[i];
        if (write.durable || sectors === true) apply(pages, write);
        else if (typeof sectors === 'object') for (const sector of sectors) applySector(pages, write, sector, sectorSize);
      });
      return this.#copy(pages);
    });
  }

  /** A disk with what reads see now, all of it settled. */
  fork(): SimDevice {
    return this.#copy(this.#current.fork());
  }

  /** What reads see. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.sizeBytes);
    this.#current.read(0, bytes);
    return bytes;
  }

  close(): void {
    // Nothing of the host's is held.
  }

  #copy(pages: PageStore): SimDevice {
    const { sizeBytes, sectorSize, name, readOnly } = this;
    const { atomicWriteBytes } = this.limits;
    return new SimDevice({ sizeBytes, sectorSize, name, readOnly, atomicWriteBytes }, pages);
  }

  /** Moves durable writes at the head of the line to the settled content. One behind others must wait for them. */
  #settle(): void {
    let count = 0;
    for (const write of this.#unsettled) {
      if (!write.durable) break;
      apply(this.#settled, write);
      count++;
    }
    if (count === 0) return;
    this.#unsettled.splice(0, count);
    this.version++;
  }

  #check(bio: Bio): IoResult | undefined {
    if (bio.op === 'flush') return undefined;
    const length = lengthOf(bio);
    const { pos } = bio;
    const wrong = (code: FsCode, why: string): IoResult => ({
      ok: false,
      error: new FsError(code, { why: `${bio.op} of ${length} bytes: ${why}`, detail: { device: this.name, pos } }),
    });
    if (!Number.isSafeInteger(pos) || pos < 0 || pos > this.sizeBytes - length) return wrong('EINVAL', 'out of range');
    if (pos % this.sectorSize !== 0 || length % this.sectorSize !== 0) return wrong('EINVAL', 'not in sectors');
    if (bio.op !== 'read' && this.readOnly) return wrong('EROFS', 'read-only');
    if (bio.atomic === true && length > Math.max(this.sectorSize, this.limits.atomicWriteBytes)) {
      return wrong('EINVAL', 'too long to be atomic');
    }
    return undefined;
  }
}

const lengthOf = (bio: Bio): number =>
  bio.op === 'discard' || bio.op === 'writeZeroes'
    ? bio.lengthBytes
    : bio.segments.reduce((sum, segment) => sum + segment.length, 0);

function concat(segments: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(segments.reduce((sum, segment) => sum + segment.length, 0));
  let at = 0;
  for (const segment of segments) {
    bytes.set(segment, at);
    at += segment.length;
  }
  return bytes;
}

function apply(pages: PageStore, write: Pick<UnsettledWrite, 'pos' | 'length' | 'data'>): void {
  if (write.data === undefined) pages.zero(write.pos, write.length);
  else pages.write(write.pos, write.data);
}

function applySector(pages: PageStore, write: UnsettledWrite, sector: number, sectorSize: number): void {
  const at = sector * sectorSize;
  const data = write.data?.subarray(at, at + sectorSize);
  apply(pages, { pos: write.pos + at, length: sectorSize, data });
}
