/** Makes images of the example's format, for its tests. */
import { EXTENTS_MAX, INLINE_MAX, INODE_BYTES, MAGIC, SUPER_BYTES } from './format.js';

export interface ShelfFile {
  readonly name: string;
  readonly content: Uint8Array;
}

interface Run {
  readonly start: number;
  readonly count: number;
}

/** Runs of blocks that are not all zero; the last takes the rest where there are too many. */
function runsOf(content: Uint8Array, blockSize: number): Run[] {
  const runs: { start: number; count: number }[] = [];
  for (let block = 0; block * blockSize < content.length; block++) {
    if (content.subarray(block * blockSize, (block + 1) * blockSize).every((byte) => byte === 0)) continue;
    const last = runs.at(-1);
    const joins = last !== undefined && (last.start + last.count === block || runs.length === EXTENTS_MAX);
    if (joins) last.count = block + 1 - last.start;
    else runs.push({ start: block, count: 1 });
  }
  return runs;
}

/** An image; its blocks of data have one block of old bytes between every two extents. */
export function makeShelf(files: readonly ShelfFile[], blockSize = 1024): Uint8Array {
  const names = files.flatMap(({ name }, i) => {
    const text = new TextEncoder().encode(name);
    const head = new Uint8Array(5);
    new DataView(head.buffer).setUint32(0, i + 1, true);
    head[4] = text.length;
    return [...head, ...text];
  });
  const contents = [Uint8Array.from(names), ...files.map(({ content }) => content)];
  const table = new Uint8Array(Math.ceil((contents.length * INODE_BYTES) / blockSize) * blockSize);
  const view = new DataView(table.buffer);
  const data: Uint8Array[] = [];
  let next = 1 + table.length / blockSize;
  for (const [ino, content] of contents.entries()) {
    const at = ino * INODE_BYTES;
    view.setUint32(at, content.length, true);
    if (content.length <= INLINE_MAX) {
      table.set(content, at + 8);
      continue;
    }
    const runs = runsOf(content, blockSize);
    view.setUint8(at + 4, 1);
    view.setUint8(at + 5, runs.length);
    for (const [i, { start, count }] of runs.entries()) {
      const blocks = new Uint8Array((count + 1) * blockSize).fill(0xa5);
      blocks.set(content.subarray(start * blockSize, (start + count) * blockSize));
      data.push(blocks);
      view.setUint32(at + 8 + i * 12, start, true);
      view.setUint32(at + 12 + i * 12, next, true);
      view.setUint32(at + 16 + i * 12, count, true);
      next += count + 1;
    }
  }
  const image = new Uint8Array(next * blockSize);
  image.set(new TextEncoder().encode(MAGIC));
  const head = new DataView(image.buffer, 0, SUPER_BYTES);
  head.setUint32(8, blockSize, true);
  head.setUint32(12, contents.length, true);
  head.setUint32(16, 1, true);
  image.set(table, blockSize);
  let at = blockSize + table.length;
  for (const blocks of data) {
    image.set(blocks, at);
    at += blocks.length;
  }
  return image;
}
