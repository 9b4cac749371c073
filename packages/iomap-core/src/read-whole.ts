/**
 * The first read of a whole small file: straight from the device into the caller's buffer, with no folio.
 *
 * Most files that are read whole are read once (a copy, a build, a search), and a folio for each would cost a second copy
 * and push out what is used again. So a file earns its place in the cache by a second read (as in 2Q); `AddressSpace.wasRead`
 * remembers the first.
 *
 * Coherent for the reasons given in bypass.ts; it gives up as soon as the file has a folio.
 */
import { FsError, roundUp, type Io } from '@iomap/io';
import { bypassRead } from './bypass.js';
import type { IomapInode, IomapOps } from './iomap.js';
import { IomapIter } from './iter.js';

/** May `bufferedRead` of `bytes` at 0 take `readWhole`? The buffer has room for the last sector as a whole. */
export function isWholeRead(inode: IomapInode, pos: number, bytes: Uint8Array): boolean {
  const { size, mapping } = inode;
  return (
    pos === 0 &&
    size > 0 &&
    !mapping.wasRead &&
    mapping.folioCount === 0 &&
    size < mapping.cache.bypassReadBytes &&
    bytes.length >= roundUp(size, mapping.blockSize < 512 ? mapping.blockSize : 512)
  );
}

/**
 * Reads the file into `bytes`; what the caller has behind its end stays as it was.
 * @returns `inode.size`; -1 when it must be read the other way (a hole, inline data, a device that takes time, a failure)
 * Waits on: data reads, the metadata reads of `begin`.
 */
export function* readWhole<I extends IomapInode>(inode: I, ops: IomapOps<I>, bytes: Uint8Array): Io<number> {
  const { mapping, size } = inode;
  const { cache } = mapping;
  mapping.wasRead = true;
  const iter = new IomapIter(inode, ops, 0, size, 0);
  try {
    while (iter.pos < size) {
      if (!iter.peek()) yield* iter.begin();
      let isWhole = false;
      let failure: { error: unknown } | undefined;
      try {
        isWhole = yield* readPart(iter, bytes);
      } catch (error) {
        failure = { error };
      }
      yield* iter.finish(failure);
      if (!isWhole) return -1;
    }
  } catch (error) {
    // The other way reads what comes before the failure, and tells it where it is met.
    if (!(error instanceof FsError)) throw error;
    return -1;
  }
  cache.counters.readBytes += size;
  cache.trace?.({ type: 'read', ino: inode.ino, pos: 0, len: bytes.length, done: size });
  return size;
}

/** Reads what the current mapping has, the last sector whole; false = it cannot be read so. */
function* readPart<I extends IomapInode>(iter: IomapIter<I>, bytes: Uint8Array): Io<boolean> {
  const { inode, iomap, pos } = iter;
  const { size, mapping } = inode;
  const { device } = iomap;
  if (iomap.type !== 'mapped' || device?.synchronous !== true || mapping.folioCount > 0) return false;
  const end = Math.min(iomap.offset + iomap.length, roundUp(size, device.sectorSize));
  if (end > bytes.length) return false;
  const behind = end > size ? bytes.slice(size, end) : undefined;
  yield* bypassRead(inode, iomap, pos, pos === 0 && end === bytes.length ? bytes : bytes.subarray(pos, end));
  if (behind !== undefined) bytes.set(behind, size);
  iter.done = Math.min(end, size) - pos;
  return true;
}
