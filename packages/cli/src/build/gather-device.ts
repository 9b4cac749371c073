/**
 * A device for building: gathers writes that follow one another into large ones, and lets flushes wait for the end, since
 * the image under construction is worth nothing until it is whole.
 *
 * Invariant: whatever is read, zeroed or discarded sees all writes before it. A write that fails late is answered by the bio
 * that pushed it out, or by `settle`.
 */
import type { BlockDevice } from '@iomap/block-device';
import { IO_OK, type Bio, type IoResult } from '@iomap/io';

const RUN_BYTES = 2 * 1024 * 1024;
/** From here on a copy costs more than a call. */
const DIRECT_BYTES = 512 * 1024;

export interface GatherDevice extends BlockDevice {
  /** Writes what is gathered and makes all of it durable. */
  settle(): IoResult;
}

/**
 * @param base a synchronous device
 * @param written called with the bytes of each write that went down
 */
export function gatherDevice(base: BlockDevice, written?: (bytes: number) => void): GatherDevice {
  const run = Buffer.allocUnsafeSlow(RUN_BYTES);
  let start = 0;
  let used = 0;

  const send = (bio: Bio): IoResult => {
    const result = base.submit(bio);
    if (result instanceof Promise) throw new TypeError('gatherDevice needs a synchronous device');
    if (bio.op === 'write') written?.(bio.lengthBytes);
    return result;
  };
  const push = (): IoResult => {
    if (used === 0) return IO_OK;
    const bytes = run.subarray(0, used);
    used = 0;
    return send({ op: 'write', pos: start, segments: [bytes], lengthBytes: bytes.length });
  };
  const write = (bio: Bio, length: number): IoResult => {
    if (used > 0 && (bio.pos !== start + used || used + length > RUN_BYTES)) {
      const pushed = push();
      if (!pushed.ok) return pushed;
    }
    if (length >= DIRECT_BYTES) {
      const pushed = push();
      return pushed.ok ? send(bio) : pushed;
    }
    if (used === 0) start = bio.pos;
    for (const segment of bio.segments) {
      run.set(segment, used);
      used += segment.length;
    }
    return IO_OK;
  };
  return {
    name: base.name,
    synchronous: base.synchronous,
    sizeBytes: base.sizeBytes,
    sectorSize: base.sectorSize,
    readOnly: base.readOnly,
    limits: base.limits,
    submit(bio) {
      if (bio.op === 'flush') return IO_OK;
      if (bio.op === 'write') {
        let length = 0;
        for (const segment of bio.segments) length += segment.length;
        // What is out of range is the base's to refuse.
        return bio.pos + length > base.sizeBytes ? send(bio) : write(bio, length);
      }
      const pushed = push();
      return pushed.ok ? send(bio) : pushed;
    },
    settle() {
      const pushed = push();
      return pushed.ok ? send({ op: 'flush', pos: 0, segments: [], lengthBytes: 0 }) : pushed;
    },
    close: () => base.close(),
  };
}
