/**
 * The first read of a whole small file: straight from the device into the caller's buffer, with no folio and no generator.
 *
 * Most files that are read whole are read once (a copy, a build, a search), and a folio for each would cost a second copy
 * and push out what is used again. So a file earns its place in the cache by a second read (as in 2Q); `IomapInode.wasRead`
 * remembers the first.
 *
 * Plain, since nothing here waits: the map is in core (`IomapOps.peek`) and the device answers within the call. Coherent for
 * the reasons given in bypass.ts; it gives up as soon as the file has a folio.
 */
import { FsError, roundDown, roundUp } from '@iomap/io';
import type { PageCache } from '@iomap/page-cache';
import { newIomap, type Iomap, type IomapInode, type IomapOps } from './iomap.js';
import { checkIomap } from './iter.js';

/** May a read of `bytes` at `pos` be `peekReadWhole`'s? The buffer has room for the last sector as a whole. */
function isWholeRead(inode: IomapInode, cache: PageCache, pos: number, bytes: Uint8Array): boolean {
  const { size, blockSize, mappingIfAny } = inode;
  return (
    pos === 0 &&
    size > 0 &&
    !inode.wasRead &&
    (mappingIfAny === undefined || mappingIfAny.folioCount === 0) &&
    size < cache.bypassReadBytes &&
    bytes.length >= roundUp(size, Math.min(blockSize, 512))
  );
}

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
  if (!isWholeRead(inode, cache, pos, bytes) || ops.peek === undefined) return -1;
  const { size } = inode;
  inode.wasRead = true;
  const iomap = newIomap();
  try {
    for (let at = 0; at < size; ) {
      if (!ops.peek(inode, at, size - at, 0, iomap, iomap)) return -1;
      cache.counters.beginPeeks++;
      checkIomap(iomap, inode, at);
      const end = readPart(inode, iomap, cache, at, bytes);
      if (end < 0) return -1;
      at = end;
    }
  } catch (error) {
    if (error instanceof FsError) return -1;
    throw error;
  }
  cache.counters.readBytes += size;
  cache.trace?.({ type: 'read', ino: inode.ino, pos: 0, len: bytes.length, done: size });
  return size;
}

/** Reads what `iomap` has from `pos`, the last sector whole; the answer is where it ends, -1 = it cannot be read so. */
function readPart(inode: IomapInode, iomap: Iomap, cache: PageCache, pos: number, bytes: Uint8Array): number {
  const { size } = inode;
  const { device } = iomap;
  if (iomap.type !== 'mapped' || device?.synchronous !== true) return -1;
  const { sectorSize, limits } = device;
  const addr = iomap.addr + (pos - iomap.offset);
  const mapEnd = Math.min(iomap.offset + iomap.length, roundUp(size, sectorSize));
  const end = pos + Math.min(mapEnd - pos, roundDown(limits.maxBioBytes, sectorSize));
  if (end > bytes.length) return -1;
  // A copy of what the last sector will overwrite (a Buffer's own `slice` would be a view).
  const behind = end > size ? new Uint8Array(bytes.subarray(size, end)) : undefined;
  const segment = pos === 0 && end === bytes.length ? bytes : bytes.subarray(pos, end);
  const { counters, trace } = cache;
  counters.readBios++;
  counters.readBioBytes += segment.length;
  counters.bypassReadBytes += segment.length;
  trace?.({ type: 'bio', ino: inode.ino, op: 'read', addr, len: segment.length, segments: 1 });
  const result = device.submit({ op: 'read', pos: addr, segments: [segment], lengthBytes: segment.length });
  if (behind !== undefined) bytes.set(behind, size);
  return 'ok' in result && result.ok ? end : -1;
}
