/**
 * The first read of a whole small file: straight from the device into the caller's buffer, with no folio.
 *
 * Most files that are read whole are read once (a copy, a build, a search), and a folio for each would cost a second copy
 * and push out what is used again. So a file earns its place in the cache by a second read (as in 2Q); `IomapInode.wasRead`
 * remembers the first.
 *
 * - `peekReadWhole(inode, ops, cache, pos, bytes)`: plain, where the map is in core; -1 = take another way.
 * - `readWhole(inode, ops, bytes)`: the Io twin, which reads the map.
 *
 * Only on devices that answer within the call and read any bytes (`BlockDevice.readNow`). Coherent because between the look that
 * finds the file without a folio and the end of each read there is no wait: nothing of it is dirty or in flight then. The map stands
 * still as the caller holds the inode lock (shared).
 */
import { FsError, type Io } from '@iomap/io';
import type { PageCache } from '@iomap/page-cache';
import { newIomap, type Iomap, type IomapInode, type IomapOps } from './iomap.js';
import { checkIomap, IomapIter } from './iter.js';

const hasNoFolio = ({ mappingIfAny }: IomapInode): boolean => mappingIfAny === undefined || mappingIfAny.folioCount === 0;

/** Is a read of `bytes` at `pos` the first of a whole small file? */
export const isFirstWholeRead = (inode: IomapInode, cache: PageCache, pos: number, bytes: Uint8Array): boolean =>
  pos === 0 &&
  !inode.wasRead &&
  inode.size > 0 &&
  bytes.length >= inode.size &&
  inode.size < cache.bypassReadBytes &&
  hasNoFolio(inode);

/**
 * Reads the whole file into `bytes`; what the caller has behind its end stays as it was.
 * @returns `inode.size`; -1 when it must be read the other way (not the first read of a whole file, a hole, a map that is not
 * in core, a device that takes time, a failure, which the other way then tells where it is met)
 */
export function peekReadWhole<I extends IomapInode>(
  inode: I,
  ops: IomapOps<I>,
  cache: PageCache,
  pos: number,
  bytes: Uint8Array,
): number {
  if (ops.peek === undefined || !isFirstWholeRead(inode, cache, pos, bytes)) return -1;
  const { size } = inode;
  const iomap = newIomap();
  try {
    for (let at = 0; at < size; ) {
      if (!ops.peek(inode, at, size - at, 0, iomap, iomap)) return -1;
      cache.counters.beginPeeks++;
      checkIomap(iomap, inode, at);
      // Is the end of the map in core too? Else the other way would read again what is read here.
      if (at === 0 && iomap.length < size) {
        const last = newIomap();
        if (!ops.peek(inode, size - 1, 1, 0, last, last)) return -1;
      }
      const end = readPart(inode, iomap, cache, at, bytes);
      if (end < 0) {
        // A device that is never read so: whoever comes next need not try.
        inode.wasRead ||= iomap.type === 'mapped' && iomap.device?.readNow === undefined;
        return -1;
      }
      at = end;
    }
  } catch (error) {
    if (error instanceof FsError) return -1;
    throw error;
  }
  return finished(inode, cache, bytes);
}

/**
 * `peekReadWhole` that reads what it lacks of the map.
 * @returns `inode.size`; -1 when it must be read the other way
 * Waits on: the metadata reads of `begin`.
 */
export function* readWhole<I extends IomapInode>(inode: I, ops: IomapOps<I>, bytes: Uint8Array): Io<number> {
  const { cache } = inode.mapping;
  const iter = new IomapIter(inode, ops, 0, inode.size, 0);
  let isWhole = true;
  try {
    while (isWhole && iter.pos < iter.limit) {
      if (!iter.peek()) yield* iter.begin();
      const end = readPart(inode, iter.iomap, cache, iter.pos, bytes);
      isWhole = end >= 0;
      if (isWhole) iter.done = end - iter.pos;
      if (!iter.peekFinish()) yield* iter.finish();
    }
  } catch (error) {
    if (error instanceof FsError) return -1;
    throw error;
  } finally {
    iter.cancelled();
  }
  return isWhole ? finished(inode, cache, bytes) : -1;
}

function finished(inode: IomapInode, cache: PageCache, bytes: Uint8Array): number {
  const { size } = inode;
  inode.wasRead = true;
  cache.counters.readBytes += size;
  cache.trace?.({ type: 'read', ino: inode.ino, pos: 0, len: bytes.length, done: size });
  return size;
}

/** Reads what `iomap` has from `pos`; the answer is where it ends, -1 = it cannot be read so. */
function readPart(inode: IomapInode, iomap: Iomap, cache: PageCache, pos: number, bytes: Uint8Array): number {
  const { device } = iomap;
  if (iomap.type !== 'mapped' || device?.readNow === undefined || !hasNoFolio(inode)) return -1;
  const addr = iomap.addr + (pos - iomap.offset);
  const end = Math.min(iomap.offset + iomap.length, inode.size);
  const part = pos === 0 && end === bytes.length ? bytes : bytes.subarray(pos, end);
  if (!device.readNow(addr, part)) return -1;
  const { counters, trace } = cache;
  counters.readBios++;
  counters.readBioBytes += part.length;
  counters.bypassReadBytes += part.length;
  trace?.({ type: 'bio', ino: inode.ino, op: 'read', addr, len: part.length, segments: 1 });
  return end;
}
