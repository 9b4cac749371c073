/**
 * What all parts of one mount share, and how they read metadata.
 *
 * Reading code is plain: it asks `need` for a block and gives up with `undefined` when it is not in the cache. `reading` runs such
 * code, reads what it missed, and runs it again: so each look-up exists once, is a plain call while its blocks are cached, and has
 * its blocks held until it is through.
 */
import type { BlockDevice } from '@iomap/block-device';
import type { Buf, BufferCache, BufOps } from '@iomap/buffer-cache';
import { corrupt, FsError, type Io } from '@iomap/io';
import type { PageCache } from '@iomap/page-cache';
import { DirIndexes } from './dir-index.js';
import type { MapRun } from './extents.js';
import type { ForkOverrides } from './fork.js';
import { headerOps } from './ag.js';
import type { Pending } from './log/pending.js';
import { agbToPos, fsbPos, type SuperInfo } from './super.js';
import { xfsOps, type XfsOps } from './verify.js';

/** Blocks that one look-up may read before it is taken for a loop. */
const READS_MAX = 20_000;

export interface VolumeParts {
  readonly device: BlockDevice;
  readonly buffers: BufferCache;
  readonly pages: PageCache;
  readonly info: SuperInfo;
}

export class Volume {
  readonly device: BlockDevice;
  readonly buffers: BufferCache;
  readonly pages: PageCache;
  readonly info: SuperInfo;
  readonly ops: XfsOps;
  readonly #headers: ReadonlyMap<number, BufOps>;
  /** Forks that log recovery changed and that are not yet on the device that way. */
  overrides: ForkOverrides | undefined = undefined;
  /** Changes of space that the log promised and that the trees do not have yet. */
  pending: Pending | undefined = undefined;
  /** For look-ups of blocks, which are plain and make none of their own. */
  readonly run: MapRun = { block: -1, count: 0, unwritten: false };
  readonly dirIndexes = new DirIndexes();
  /** What the last `need` that failed asked for. */
  #missingPos = -1;
  #missingBytes = 0;
  #missingOps: BufOps | undefined;

  constructor(parts: VolumeParts) {
    this.device = parts.device;
    this.buffers = parts.buffers;
    this.pages = parts.pages;
    this.info = parts.info;
    this.ops = xfsOps(parts.info);
    this.#headers = headerOps(parts.info);
  }

  /**
   * The block at `pos`, verified: cached, or read within the call where the device can. Undefined = neither, and noted for `reading`.
   * What it evicts may be in a caller's hands, who goes on with it: the bytes of a buffer that was let go stay what they are.
   */
  need(pos: number, bytes: number, ops: BufOps): Buf | undefined {
    const buf = this.buffers.peek(pos, ops) ?? this.buffers.readNow(pos, bytes, ops);
    if (buf !== undefined && buf.bytes.length === bytes) return buf;
    this.#missingPos = pos;
    this.#missingBytes = bytes;
    this.#missingOps = ops;
    return undefined;
  }

  /** `need` of `count` filesystem blocks in one group. @throws FsError EUCLEAN when there are none such */
  needFsb(fsb: number, ops: BufOps, count = 1): Buf | undefined {
    const { info } = this;
    const pos = fsbPos(info, fsb, count);
    if (pos < 0) throw corrupt(`${ops.name}: no such block`, { block: fsb });
    return this.need(pos, count * info.blockSize, ops);
  }

  /** A header of a group, by its sector (1 to 3) and magic number. */
  needHeader(ag: number, sector: number, magic: number): Buf | undefined {
    const ops = this.#headers.get(magic);
    if (ops === undefined) return undefined;
    const { sectorSize } = this.info;
    return this.need(agbToPos(this.info, ag, 0) + sector * sectorSize, sectorSize, ops);
  }

  /**
   * Runs plain code until it has all blocks that it needs.
   *
   * Waits on: reads of metadata, one at a time.
   * @throws FsError the code's own, EIO, EUCLEAN, EBADMSG
   */
  *reading<T>(attempt: () => T | undefined): Io<T> {
    const held: Buf[] = [];
    try {
      for (;;) {
        this.#missingPos = -1;
        const result = attempt();
        if (result !== undefined) return result;
        if (this.#missingPos < 0 || held.length >= READS_MAX) throw corrupt('a structure that does not end');
        held.push((yield* this.buffers.read(this.#missingPos, this.#missingBytes, this.#missingOps)).hold());
      }
    } finally {
      for (const buf of held) buf.put();
    }
  }

  /** Runs `attempt` without reading; undefined = a block is missing, or something is wrong, which `reading` then tells. */
  peeking<T>(attempt: () => T | undefined): T | undefined {
    try {
      return attempt();
    } catch (error) {
      if (error instanceof FsError) return undefined;
      throw error;
    }
  }
}
