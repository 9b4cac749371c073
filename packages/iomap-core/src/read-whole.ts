/**
 * The first read of a whole small file: straight from the device into the caller's buffer, with no folio.
 *
 * Most files that are read whole are read once (a copy, a build, a search), and a folio for each would cost a second copy
 * and push out what is used again. So a file earns its place in the cache by a second read (as in 2Q); `AddressSpace.wasRead`
 * remembers the first.
 *
 * Coherent for the reasons given in bypass.ts; it gives up as soon as the file has a folio.
 */
import { roundUp, type Io } from '@iomap/io';
import { bypassRead } from './bypass.js';
import { newIomap, type IomapInode, type IomapOps } from './iomap.js';
import { checkIomap } from './iter.js';

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
 * Reads the file into `bytes`; what follows its end in the last sector is overwritten too.
 * @returns `inode.size`; -1 when it must be read the other way (a hole, inline data, a device that takes time)
 * Waits on: data reads, the metadata reads of `begin`.
 * @throws FsError EIO, EUCLEAN
 */
export function* readWhole<I extends IomapInode>(inode: I, ops: IomapOps<I>, bytes: Uint8Array): Io<number> {
  const { mapping, size } = inode;
  mapping.wasRead = true;
  if (ops.end !== undefined && ops.peek === undefined) return -1;
  const iomap = newIomap();
  const src = newIomap();
  for (let pos = 0; pos < size; ) {
    if (ops.peek?.(inode, pos, size - pos, 0, iomap, src) !== true) {
      // Only a filesystem whose mappings need no `end` is sampled here.
      if (ops.end !== undefined) return -1;
      yield* ops.begin(inode, pos, size - pos, 0, iomap, src);
      mapping.cache.counters.begins++;
    } else {
      mapping.cache.counters.beginPeeks++;
    }
    checkIomap(iomap, inode, pos);
    const { device } = iomap;
    if (iomap.type !== 'mapped' || device?.synchronous !== true || mapping.folioCount > 0) return -1;
    const end = Math.min(iomap.offset + iomap.length, roundUp(size, device.sectorSize));
    if (end > bytes.length) return -1;
    yield* bypassRead(inode, iomap, pos, pos === 0 && end === bytes.length ? bytes : bytes.subarray(pos, end));
    pos = end;
  }
  mapping.cache.counters.readBytes += size;
  return size;
}
