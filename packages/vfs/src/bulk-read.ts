/** How a driver that builds an image at once reads a file with holes: in pieces, of which blocks of zeros become holes. */
import type { Io } from '@iomap/io';
import type { BulkData, BulkNode } from './bulk.js';

const isZeroBlock = (words: Int32Array, from: number, blockSize: number): boolean => {
  const end = (from + blockSize) >>> 2;
  for (let i = from >>> 2; i < end; i++) if (words[i] !== 0) return false;
  return true;
};

/**
 * The next run of blocks that are not all zero: what a file with holes keeps of what was read.
 * @param words the bytes, four at a time
 * @param from, end bytes, multiples of `blockSize`
 * @returns its start and end in bytes; both `end` when there is none
 */
export function nonZeroRun(words: Int32Array, from: number, end: number, blockSize: number): readonly [start: number, stop: number] {
  let start = from;
  while (start < end && isZeroBlock(words, start, blockSize)) start += blockSize;
  let stop = start;
  while (stop < end && !isZeroBlock(words, stop, blockSize)) stop += blockSize;
  return [start, stop];
}

/** A file, and what it is read with. */
export interface SparseRead<N> {
  readonly node: N;
  readonly data: BulkData<N>;
  readonly blockSize: number;
  /** What a piece is read into; whole blocks. */
  readonly scratch: Uint8Array;
  readonly progress: ((bytes: number) => void) | undefined;
}

/**
 * Reads a file with holes.
 * @param append takes a run of whole blocks and the number of its first; the last is filled up with zeros
 */
export function* readSparse<N extends BulkNode<N>>(file: SparseRead<N>, append: (block: number, bytes: Uint8Array) => Io<void>): Io<void> {
  const { node, data, blockSize, scratch, progress } = file;
  const { size } = node;
  const words = new Int32Array(scratch.buffer, scratch.byteOffset, scratch.length / 4);
  for (let pos = 0; pos < size; ) {
    const next = data.nextData?.(node, pos) ?? pos;
    pos = Math.max(pos, next - (next % blockSize));
    if (pos >= size) return;
    const want = Math.min(scratch.length, size - pos);
    const got = data.read(node, pos, scratch.subarray(0, want));
    const end = Math.ceil(got / blockSize) * blockSize;
    scratch.fill(0, got, end);
    for (let from = 0; from < end; ) {
      const [start, stop] = nonZeroRun(words, from, end, blockSize);
      if (stop > start) yield* append((pos + start) / blockSize, scratch.subarray(start, stop));
      from = stop;
    }
    progress?.(got);
    if (got < want) return;
    pos += want;
  }
}
