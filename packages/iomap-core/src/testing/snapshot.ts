/**
 * The metadata on the device: two slots, each a whole snapshot of every file's size, inline data and extents, under a sequence
 * number and a checksum. A commit writes the slot that is not in use, so a crash leaves the old snapshot or the new one.
 *
 * Layout: sector 0 is the superblock, then slot 0 and slot 1 (`slotBytes` each), then blocks of data.
 */
import { crc32, type BlockDevice } from '@iomap/block-device';
import { corrupt, FsError, isPowerOfTwo, roundUp, submitBio, type Io } from '@iomap/io';
import type { Extent } from './extent-map.js';

const MAGIC = 0x73467845; // "ExFs"
const HEAD_BYTES = 24;
const EXTENT_BYTES = 16;

export interface FileSnapshot {
  readonly ino: number;
  readonly size: number;
  readonly inline: Uint8Array | undefined;
  /** Without delayed allocations: what has no block is a hole on the device. */
  readonly extents: readonly Extent[];
}

export interface Geometry {
  readonly blockSize: number;
  readonly slotBytes: number;
  /** The first block of data. */
  readonly firstBlock: number;
  readonly blocks: number;
}

export function geometryOf(device: BlockDevice, blockSize: number, slotBytes: number): Geometry {
  const firstBlock = Math.ceil((device.sectorSize + 2 * slotBytes) / blockSize);
  return { blockSize, slotBytes, firstBlock, blocks: Math.floor(device.sizeBytes / blockSize) };
}

/** Writes an empty filesystem. @param slotBytes the longest snapshot; a multiple of the sector size */
export function* format(device: BlockDevice, blockSize: number, slotBytes = 32_768): Io<void> {
  const sector = new Uint8Array(device.sectorSize);
  const view = new DataView(sector.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, blockSize, true);
  view.setUint32(8, slotBytes, true);
  yield* submitBio(device, { op: 'write', pos: 0, segments: [sector], lengthBytes: sector.length });
  yield* writeSnapshot(device, geometryOf(device, blockSize, slotBytes), 1, []);
}

/** Reads the superblock and the newest snapshot that is whole. @throws FsError EUCLEAN, the device's */
export function* readSnapshot(device: BlockDevice): Io<{ geometry: Geometry; sequence: number; files: FileSnapshot[] }> {
  const sector = new Uint8Array(device.sectorSize);
  yield* submitBio(device, { op: 'read', pos: 0, segments: [sector], lengthBytes: sector.length });
  const view = new DataView(sector.buffer);
  const blockSize = view.getUint32(4, true);
  const slotBytes = view.getUint32(8, true);
  const sound = view.getUint32(0, true) === MAGIC && isPowerOfTwo(blockSize) && blockSize >= 512 && blockSize <= 65_536 &&
    slotBytes >= HEAD_BYTES && slotBytes % device.sectorSize === 0 && 2 * slotBytes < device.sizeBytes;
  if (!sound) throw corrupt('no superblock of this filesystem');
  const geometry = geometryOf(device, blockSize, slotBytes);
  let best: { sequence: number; files: FileSnapshot[] } | undefined;
  for (let slot = 0; slot < 2; slot++) {
    const bytes = new Uint8Array(slotBytes);
    yield* submitBio(device, { op: 'read', pos: device.sectorSize + slot * slotBytes, segments: [bytes], lengthBytes: slotBytes });
    const found = decode(bytes);
    if (found !== undefined && (best === undefined || found.sequence > best.sequence)) best = found;
  }
  if (best === undefined) throw corrupt('no whole snapshot');
  return { geometry, ...best };
}

/** Makes what was written before durable, then the snapshot. @throws FsError ENOSPC when it is too long, the device's */
export function* writeSnapshot(
  device: BlockDevice, geometry: Geometry, sequence: number, files: readonly FileSnapshot[],
): Io<void> {
  const bytes = encode(sequence, files, device.sectorSize);
  if (bytes.length > geometry.slotBytes) throw new FsError('ENOSPC', { why: 'too many extents for the metadata' });
  const pos = device.sectorSize + (sequence % 2) * geometry.slotBytes;
  yield* flush(device);
  yield* submitBio(device, { op: 'write', pos, segments: [bytes], lengthBytes: bytes.length });
  yield* flush(device);
}

export const flush = (device: BlockDevice): Io<void> =>
  submitBio(device, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 });

function encode(sequence: number, files: readonly FileSnapshot[], sectorSize: number): Uint8Array<ArrayBuffer> {
  let length = HEAD_BYTES;
  for (const { inline, extents } of files) length += 24 + (inline?.length ?? 0) + extents.length * EXTENT_BYTES;
  const bytes = new Uint8Array(roundUp(length, sectorSize));
  const view = new DataView(bytes.buffer);
  let at = HEAD_BYTES;
  for (const { ino, size, inline, extents } of files) {
    view.setUint32(at, ino, true);
    view.setFloat64(at + 4, size, true);
    view.setInt32(at + 12, inline?.length ?? -1, true);
    view.setUint32(at + 16, extents.length, true);
    at += 24;
    if (inline !== undefined) bytes.set(inline, at);
    at += inline?.length ?? 0;
    for (const { start, count, state, block } of extents) {
      view.setUint32(at, start, true);
      view.setUint32(at + 4, count, true);
      view.setUint32(at + 8, block, true);
      view.setUint32(at + 12, state === 'mapped' ? 1 : 0, true);
      at += EXTENT_BYTES;
    }
  }
  view.setUint32(0, MAGIC, true);
  view.setFloat64(8, sequence, true);
  view.setUint32(16, length, true);
  view.setUint32(20, files.length, true);
  view.setUint32(4, crc32(bytes.subarray(8, length)), true);
  return bytes;
}

/** Undefined when the slot holds no whole snapshot. */
function decode(bytes: Uint8Array): { sequence: number; files: FileSnapshot[] } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getUint32(16, true);
  if (view.getUint32(0, true) !== MAGIC || length < HEAD_BYTES || length > bytes.length) return undefined;
  if (crc32(bytes.subarray(8, length)) !== view.getUint32(4, true)) return undefined;
  const files: FileSnapshot[] = [];
  let at = HEAD_BYTES;
  for (let left = view.getUint32(20, true); left > 0; left--) {
    const inlineBytes = view.getInt32(at + 12, true);
    const count = view.getUint32(at + 16, true);
    const inline = inlineBytes < 0 ? undefined : bytes.slice(at + 24, at + 24 + inlineBytes);
    const first = at + 24 + Math.max(0, inlineBytes);
    const extents: Extent[] = [];
    for (let i = 0; i < count; i++) {
      const e = first + i * EXTENT_BYTES;
      extents.push({
        start: view.getUint32(e, true), count: view.getUint32(e + 4, true), block: view.getUint32(e + 8, true),
        state: view.getUint32(e + 12, true) === 1 ? 'mapped' : 'unwritten',
      });
    }
    files.push({ ino: view.getUint32(at, true), size: view.getFloat64(at + 4, true), inline, extents });
    at = first + count * EXTENT_BYTES;
  }
  return { sequence: view.getFloat64(8, true), files };
}
