/** Inline data: the file's bytes lie in the inode itself, in `Iomap.inlineData`, from the mapping's offset on. */
import { FsError } from '@iomap/io';
import type { IomapInode } from './iomap.js';
import type { IomapIter } from './iter.js';
import type { Source } from './write-folio.js';

/**
 * Writes (or zeroes) into the inline data of the current mapping. The filesystem's `end` hears of it and marks the inode.
 * @throws FsError EIO when there is no room: the filesystem should have mapped a block
 */
export function writeInline<I extends IomapInode>(iter: IomapIter<I>, source: Source): void {
  const { inode, iomap, pos } = iter;
  const data = iomap.inlineData;
  const from = pos - iomap.offset;
  const n = Math.min(iter.mapEnd - pos, (data?.length ?? 0) - from);
  if (data === undefined || n <= 0) {
    throw new FsError('EIO', { why: 'no room in the inline data', detail: { ino: inode.ino, pos } });
  }
  if (source.copy !== undefined) {
    // What it gives less is not there: the bytes behind stay as they are.
    const given = source.copy.copyTo(data.subarray(from, from + n), pos - source.start);
    if (given <= 0) throw new FsError('EFAULT', { why: 'the source of a write gave nothing', detail: { ino: inode.ino, pos } });
    iter.done = Math.min(n, given);
    if (pos + iter.done > inode.size) inode.size = pos + iter.done;
    return;
  }
  if (source.bytes === undefined) data.fill(0, from, from + n);
  else {
    const at = pos - source.start;
    data.set(source.bytes.subarray(at, at + n), from);
    if (pos + n > inode.size) inode.size = pos + n;
  }
  iter.done = n;
}
