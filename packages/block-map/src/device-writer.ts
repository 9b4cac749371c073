/**
 * Writing a device directly, where there is no mount: what makers and repairers of filesystems use. Requests are gathered and go
 * down as batches.
 */
import type { BlockDevice } from '@iomap/block-device';
import { roundDown, submitAll, submitBio, type BioRequest, type Io } from '@iomap/io';

/**
 * Signatures that others look for lie in the first 68 KiB (btrfs at 64 KiB) and, for RAID and GPT, in the last 64 KiB.
 */
const WIPE_HEAD_BYTES = 68 * 1024;
const WIPE_TAIL_BYTES = 64 * 1024;

export class DeviceWriter {
  readonly #device: BlockDevice;
  readonly #maxBytes: number;
  #requests: BioRequest[] = [];

  constructor(device: BlockDevice) {
    this.#device = device;
    this.#maxBytes = roundDown(device.limits.maxBioBytes, device.sectorSize);
  }

  /** Requests gathered since the last `submit`. */
  get pending(): number {
    return this.#requests.length;
  }

  write(pos: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += this.#maxBytes) {
      const segment = bytes.subarray(at, at + this.#maxBytes);
      const bio = { op: 'write', pos: pos + at, segments: [segment], lengthBytes: segment.length } as const;
      this.#requests.push({ kind: 'bio', target: this.#device, bio });
    }
  }

  zeroes(pos: number, lengthBytes: number): void {
    if (lengthBytes <= 0) return;
    this.#requests.push({
      kind: 'bio',
      target: this.#device,
      bio: { op: 'writeZeroes', pos, segments: [], lengthBytes },
    });
  }

  /** Sends what was gathered and waits. @throws FsError the device's */
  *submit(): Io<void> {
    const requests = this.#requests;
    this.#requests = [];
    if (requests.length > 0) yield* submitAll(requests);
  }

  *flush(): Io<void> {
    yield* submitBio(this.#device, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 });
  }
}

/** Wipes what other filesystems and partitioners look for, in the first `sizeBytes` of a device. */
export function* wipeSignatures(writer: DeviceWriter, device: BlockDevice, sizeBytes: number): Io<void> {
  const end = roundDown(sizeBytes, device.sectorSize);
  writer.zeroes(0, Math.min(WIPE_HEAD_BYTES, end));
  const tail = Math.max(WIPE_HEAD_BYTES, roundDown(end - WIPE_TAIL_BYTES, device.sectorSize));
  if (tail < end) writer.zeroes(tail, end - tail);
  yield* writer.submit();
}
