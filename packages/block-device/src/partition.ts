/** A part of a device as a device of its own. */
import { FsError, type Bio, type IoResult } from '@iomap/io';
import { z } from 'zod';
import { checkBio } from './bio.js';
import type { BlockDevice, BlockDeviceLimits } from './device.js';
import { checkSize, parseOptions, sizeBytesOption } from './options.js';

export const partitionDeviceOptions = z.object({
  /** Where it starts on the device: bytes, a multiple of the device's sector size. */
  pos: sizeBytesOption,
  /** Bytes, a multiple of the device's sector size. */
  sizeBytes: sizeBytesOption,
  /** For messages; default: the device's name and the position. */
  name: z.string().optional(),
  /** `close` closes the device underneath too: for whoever opened it for this part alone. */
  closeBase: z.boolean().default(false),
});
export type PartitionDeviceOptions = z.input<typeof partitionDeviceOptions>;

class PartitionDevice implements BlockDevice {
  readonly name: string;
  readonly synchronous: boolean;
  readonly sizeBytes: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly limits: BlockDeviceLimits;
  readonly #base: BlockDevice;
  readonly #pos: number;
  readonly #closeBase: boolean;
  /** Present exactly where the base can. */
  readonly readNow?: (pos: number, bytes: Uint8Array) => boolean;

  constructor(base: BlockDevice, part: { name: string; pos: number; sizeBytes: number; closeBase: boolean }) {
    const { name, pos, sizeBytes } = part;
    this.name = name;
    this.synchronous = base.synchronous;
    this.sizeBytes = sizeBytes;
    this.sectorSize = base.sectorSize;
    this.readOnly = base.readOnly;
    this.limits = base.limits;
    this.#base = base;
    this.#pos = pos;
    this.#closeBase = part.closeBase;
    if (base.readNow !== undefined) {
      this.readNow = (at, bytes) => at >= 0 && at + bytes.length <= sizeBytes && base.readNow?.(pos + at, bytes) === true;
    }
  }

  submit(bio: Bio): IoResult | Promise<IoResult> {
    const bad = checkBio(this, bio);
    if (bad !== undefined) return bad;
    return this.#base.submit(bio.op === 'flush' ? bio : { ...bio, pos: bio.pos + this.#pos });
  }

  close(): void {
    // Unless said otherwise the base belongs to whoever opened it: others may look at other parts of it.
    if (this.#closeBase) this.#base.close();
  }
}

/**
 * A view of the bytes from `pos` on. `close` leaves the device underneath open, unless `closeBase`.
 * @throws FsError EINVAL when the part is not on the device, or not in whole sectors
 */
export function partitionDevice(device: BlockDevice, options: PartitionDeviceOptions): BlockDevice {
  const { pos, sizeBytes, name, closeBase } = parseOptions(partitionDeviceOptions, options);
  checkSize(sizeBytes, device.sectorSize);
  if (pos % device.sectorSize !== 0 || pos > device.sizeBytes - sizeBytes) {
    const why = `a part of ${sizeBytes} bytes at ${pos} is not on the device of ${device.sizeBytes} bytes`;
    throw new FsError('EINVAL', { why, detail: { device: device.name, pos } });
  }
  return new PartitionDevice(device, { name: name ?? `${device.name}+${pos}`, pos, sizeBytes, closeBase });
}
