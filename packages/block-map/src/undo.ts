/**
 * Undo files: what a repair is about to overwrite, so that it can be put back.
 *
 * "IOMAPUN1", then records: u32 length, u32 high and low word of the position (big-endian), the old bytes. The records do not
 * overlap.
 */
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, type Io } from '@iomap/io';
import { DeviceWriter } from './device-writer.js';

const MAGIC = 'IOMAPUN1';
const HEAD = 12;
const TWO32 = 2 ** 32;

/** The undo file for old bytes by position. */
export function encodeUndo(old: ReadonlyMap<number, Uint8Array>): Uint8Array {
  let size = MAGIC.length;
  for (const bytes of old.values()) size += HEAD + bytes.length;
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  for (let i = 0; i < MAGIC.length; i++) file[i] = MAGIC.charCodeAt(i);
  let at = MAGIC.length;
  for (const [pos, bytes] of [...old].sort(([a], [b]) => a - b)) {
    view.setUint32(at, bytes.length);
    view.setUint32(at + 4, Math.floor(pos / TWO32));
    view.setUint32(at + 8, pos % TWO32);
    file.set(bytes, at + HEAD);
    at += HEAD + bytes.length;
  }
  return file;
}

/**
 * Puts back what an undo file holds.
 *
 * Waits on: the writes and a flush.
 * @throws FsError EUCLEAN when it is no undo file of this device, with nothing written; the device's own
 */
export function* applyUndo(device: BlockDevice, file: Uint8Array): Io<void> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = MAGIC.length;
  for (let i = 0; i < MAGIC.length; i++) if (file[i] !== MAGIC.charCodeAt(i)) throw corrupt('not an undo file');
  const writer = new DeviceWriter(device);
  while (at < file.length) {
    const length = at + HEAD <= file.length ? view.getUint32(at) : 0;
    const pos = length === 0 ? 0 : view.getUint32(at + 4) * TWO32 + view.getUint32(at + 8);
    if (length === 0 || at + HEAD + length > file.length || pos + length > device.sizeBytes) {
      throw corrupt('the undo file does not belong to this device, or is cut short');
    }
    writer.write(pos, file.subarray(at + HEAD, at + HEAD + length));
    at += HEAD + length;
  }
  yield* writer.submit();
  yield* writer.flush();
}
