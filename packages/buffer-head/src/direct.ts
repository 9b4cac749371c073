/**
 * Direct I/O in the old way (`do_blockdev_direct_IO`): a walk over the blocks of the call, each asked of `get_block` or found in
 * the run that it answered last, neighbours put together into bios.
 *
 * - `blockDirectRead`, `blockDirectWrite`: positions and lengths are multiples of the device's sector size.
 * - A write into a hole inside the file goes through the cache (DIO_SKIP_HOLES: a crash between the block's allocation and its data
 *   would show what the device held), and is written out; the caller sees one call. One past the end gets its blocks at once.
 *
 * Locks: the inode's, exclusive for writes, shared for reads.
 */
import { FsError, roundDown, roundUp, submitAll, type BioRequest, type Io } from '@iomap/io';
import { mapBlock, newResult, type BufferInode, type BufferOps } from './get-block.js';
import { BIO_VECS_MAX } from './plug.js';
import { PAGE_BYTES } from './buffer-head.js';
import { invalidatePages } from './truncate.js';
import { fileWrite } from './write.js';
import { writeAndWait } from './writeback.js';

/** The bios of one call, put together block by block (`struct dio_submit`). */
class DirectBios<I extends BufferInode> {
  readonly #inode: I;
  readonly #ops: BufferOps<I>;
  readonly #op: 'read' | 'write';
  readonly #bytesMax: number;
  readonly #requests: BioRequest[] = [];
  #addr = 0;
  #bytes = 0;
  #segments: Uint8Array[] = [];
  /** The last segment, and what it is a part of: a section that follows on makes it longer. */
  #from = 0;
  #to = 0;
  #buffer: Uint8Array | undefined;

  constructor(inode: I, ops: BufferOps<I>, op: 'read' | 'write') {
    this.#inode = inode;
    this.#ops = ops;
    this.#op = op;
    this.#bytesMax = Math.min(BIO_VECS_MAX * PAGE_BYTES, ops.getBlock.device.limits.maxBioBytes);
    this.#buffer = undefined;
  }

  /** `submit_page_section`: [from, to) of `buffer` at `addr` of the device. */
  add(addr: number, buffer: Uint8Array, from: number, to: number): void {
    const follows = this.#bytes > 0 && this.#addr + this.#bytes === addr && this.#bytes + (to - from) <= this.#bytesMax;
    if (!follows) {
      this.#close();
      this.#addr = addr;
    }
    if (this.#buffer === buffer && this.#to === from) this.#to = to;
    else {
      this.#cut();
      this.#buffer = buffer;
      this.#from = from;
      this.#to = to;
    }
    this.#bytes += to - from;
  }

  #cut(): void {
    if (this.#buffer !== undefined) this.#segments.push(this.#buffer.subarray(this.#from, this.#to));
    this.#buffer = undefined;
  }

  #close(): void {
    this.#cut();
    if (this.#bytes === 0) return;
    const { ino, mapping } = this.#inode;
    const { counters, trace } = mapping.cache;
    const [op, addr, bytes, segments] = [this.#op, this.#addr, this.#bytes, this.#segments];
    if (op === 'read') {
      counters.readBios++;
      counters.readBioBytes += bytes;
    } else {
      counters.writeBios++;
      counters.writeBioBytes += bytes;
    }
    trace?.({ type: 'bio', ino, op, addr, len: bytes, segments: segments.length });
    this.#requests.push({ kind: 'bio', target: this.#ops.getBlock.device, bio: { op, pos: addr, segments, lengthBytes: bytes } });
    this.#segments = [];
    this.#bytes = 0;
  }

  /** Sends all and waits. @throws FsError the first failure */
  *submit(): Io<void> {
    this.#close();
    if (this.#requests.length > 0) yield* submitAll(this.#requests);
  }
}

function checkAligned<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number, len: number): void {
  const { sectorSize } = ops.getBlock.device;
  if (pos % sectorSize === 0 && len % sectorSize === 0) return;
  throw new FsError('EINVAL', { why: 'direct I/O is a multiple of the device\'s sectors', detail: { ino: inode.ino, pos } });
}

/**
 * Reads into `bytes`; clips at the size, rounded up to a sector for the device.
 * @returns bytes read. Waits on: writeback of the range, `get_block`, the reads (together).
 * @throws FsError EINVAL (alignment), EIO, EUCLEAN
 */
export function* blockDirectRead<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number, bytes: Uint8Array): Io<number> {
  checkAligned(inode, ops, pos, bytes.length);
  const { blockSize, mapping, size } = inode;
  const want = Math.min(bytes.length, size - pos);
  if (want <= 0) return 0;
  const { counters } = mapping.cache;
  counters.directReads++;
  yield* writeAndWait(inode, ops, { pos, len: want });
  const { sectorSize } = ops.getBlock.device;
  const end = pos + Math.min(bytes.length, roundUp(want, sectorSize));
  const behind = bytes.slice(want, end - pos);
  const bios = new DirectBios(inode, ops, 'read');
  const run = newResult();
  let runPos = 0;
  let runEnd = 0;
  for (let at = pos; at < end; ) {
    if (at >= runEnd) {
      runPos = roundDown(at, blockSize);
      yield* mapBlock(inode, ops.getBlock, runPos / blockSize, roundUp(end, blockSize) - runPos, false, run);
      runEnd = runPos + run.bytes;
    }
    const to = Math.min(end, roundDown(at, blockSize) + blockSize);
    if (run.addr === -1) bytes.fill(0, at - pos, to - pos);
    else bios.add(run.addr + at - runPos, bytes, at - pos, to - pos);
    at = to;
  }
  yield* bios.submit();
  bytes.set(behind, want);
  counters.directReadBytes += want;
  return want;
}

/**
 * Writes `bytes` and grows the size.
 * @returns bytes written, those that went through the cache among them
 * Waits on: writeback and page locks of the range, `get_block`, the writes (together).
 * @throws FsError EINVAL (alignment), ENOSPC, EIO, EUCLEAN
 */
export function* blockDirectWrite<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number, bytes: Uint8Array): Io<number> {
  if (bytes.length === 0) return 0;
  checkAligned(inode, ops, pos, bytes.length);
  const end = pos + bytes.length;
  const { counters } = inode.mapping.cache;
  counters.directWrites++;
  yield* writeAndWait(inode, ops, { pos, len: bytes.length });
  let direct = 0;
  if (yield* invalidatePages(inode, pos, end)) {
    try {
      direct = yield* writeBlocks(inode, ops, pos, bytes);
    } catch (error) {
      if (ops.writeFailed !== undefined) yield* ops.writeFailed(inode);
      throw error;
    }
    if (direct > 0 && pos + direct > inode.size) inode.size = pos + direct;
    yield* invalidatePages(inode, pos, end);
  }
  counters.directWriteBytes += direct;
  if (direct === bytes.length) return direct;
  // The rest through the cache, and out.
  const rest = yield* fileWrite(inode, ops, pos + direct, bytes.subarray(direct));
  counters.directFallbackBytes += rest;
  yield* writeAndWait(inode, ops, { pos: pos + direct, len: rest });
  const error = inode.mapping.takeError();
  if (error !== undefined) throw error;
  yield* invalidatePages(inode, pos + direct, end);
  return direct + rest;
}

/** The direct part; the answer is how far it went before a hole. */
function* writeBlocks<I extends BufferInode>(inode: I, ops: BufferOps<I>, pos: number, bytes: Uint8Array): Io<number> {
  const { blockSize, size } = inode;
  const end = pos + bytes.length;
  const bios = new DirectBios(inode, ops, 'write');
  const run = newResult();
  const zeroes = new Uint8Array(blockSize);
  let runPos = 0;
  let runEnd = 0;
  let at = pos;
  while (at < end) {
    const blockPos = roundDown(at, blockSize);
    if (at >= runEnd) {
      runPos = blockPos;
      // DIO_SKIP_HOLES.
      const create = runPos >= size;
      yield* mapBlock(inode, ops.getBlock, runPos / blockSize, roundUp(end, blockSize) - runPos, create, run);
      runEnd = runPos + run.bytes;
    }
    if (run.addr === -1) break;
    const to = Math.min(end, blockPos + blockSize);
    const addr = run.addr + blockPos - runPos;
    // `dio_zero_block`: what of a new block, or of one behind the end, the call does not cover.
    const isBlank = run.isNew || blockPos >= size;
    if (isBlank && at > blockPos) bios.add(addr, zeroes, 0, at - blockPos);
    bios.add(addr + at - blockPos, bytes, at - pos, to - pos);
    const padsTail = to < blockPos + blockSize && (isBlank || to > size);
    if (padsTail) bios.add(addr + to - blockPos, zeroes, to - blockPos, blockSize);
    at = to;
  }
  yield* bios.submit();
  return at - pos;
}
