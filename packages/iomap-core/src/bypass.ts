/**
 * The one place where file data goes between the device and the caller's buffer without a folio: large, block-aligned
 * pieces with no folio in their range, on a device that answers at once. It saves the second copy, which halves the speed
 * of a large sequential read or write there; where a device takes time, folios and readahead win and this is not used.
 *
 * Why it is coherent: the inode lock is held (shared to read, exclusive to write), so nobody writes the range or changes
 * its map, and a folio with writeback in flight is resident, which rules the bypass out. Folios come into being only under
 * the inode lock as well: others that hold it shared may cache what a bypassing read reads, and both are the same bytes. So it
 * holds even where tasks run between the check and the end of the I/O (the simulator).
 */
import type { BlockDevice } from '@iomap/block-device';
import { submitBio, type Io } from '@iomap/io';
import type { Iomap, IomapInode } from './iomap.js';

/** Reads `bytes` of the file's `pos`, which `iomap` maps. @throws FsError the device's */
export function* bypassRead(inode: IomapInode, iomap: Iomap, pos: number, bytes: Uint8Array): Io<void> {
  yield* transfer('read', inode, iomap, pos, bytes);
  inode.mapping.cache.counters.bypassReadBytes += bytes.length;
}

/** Writes `bytes` to the file's `pos`, which `iomap` maps. @throws FsError the device's */
export function* bypassWrite(inode: IomapInode, iomap: Iomap, pos: number, bytes: Uint8Array): Io<void> {
  yield* transfer('write', inode, iomap, pos, bytes);
  inode.mapping.cache.counters.bypassWriteBytes += bytes.length;
}

function* transfer(op: 'read' | 'write', inode: IomapInode, iomap: Iomap, pos: number, bytes: Uint8Array): Io<void> {
  const device: BlockDevice | undefined = iomap.device;
  if (device === undefined) return;
  const { counters, trace } = inode.mapping.cache;
  const { maxBioBytes } = device.limits;
  for (let at = 0; at < bytes.length; at += maxBioBytes) {
    const segment = bytes.length <= maxBioBytes ? bytes : bytes.subarray(at, at + maxBioBytes);
    const addr = iomap.addr + (pos + at - iomap.offset);
    if (op === 'read') {
      counters.readBios++;
      counters.readBioBytes += segment.length;
    } else {
      counters.writeBios++;
      counters.writeBioBytes += segment.length;
    }
    trace?.({ type: 'bio', ino: inode.ino, op, addr, len: segment.length, segments: 1 });
    yield* submitBio(device, { op, pos: addr, segments: [segment], lengthBytes: segment.length });
  }
}
