/**
 * The block-device contract.
 *
 * - Positions and lengths are bytes, multiples of `sectorSize`; `limits` says what one bio may be.
 * - `submit` never throws and never rejects; out-of-range or misaligned bios answer `EINVAL`, writes to a read-only device `EROFS`.
 * - Writes between two flushes may reach the medium in any order or not at all; a completed flush makes all writes that
 *   had completed before it durable.
 */
import type { BioTarget } from '@iomap/io';

export interface BlockDeviceLimits {
  /** The longest bio, in bytes. */
  readonly maxBioBytes: number;
  /** The longest write that is all or nothing after a crash; 0 = none beyond a sector. */
  readonly atomicWriteBytes: number;
  /** Discarded ranges free space of the backing store (they read back as anything until written). */
  readonly discard: boolean;
  /** `writeZeroes` is cheaper than writing zeroes. It is always accepted. */
  readonly writeZeroes: boolean;
}

export interface BlockDevice extends BioTarget {
  /** For messages: a path, a URL, "memory". */
  readonly name: string;
  readonly sizeBytes: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly limits: BlockDeviceLimits;
  /**
   * Reads any bytes, not only whole sectors, within the call; false = take `submit`, which also says why. Where a read needs neither
   * alignment nor a wait (a host file, memory), it spares small reads the bio and the rest of their last sector.
   */
  readNow?(pos: number, bytes: Uint8Array): boolean;
  /**
   * Changes the size, where the backing store can; new space reads as zeroes. Plain: it may block the thread shortly.
   * @throws FsError EINVAL (not a whole number of sectors), EROFS, or the host's
   */
  resize?(sizeBytes: number): void;
  /**
   * Frees what the host gave (descriptors). Does not flush; a second call does nothing.
   * @throws FsError the host's, as some report a failed write only now (network filesystems); the descriptor is gone all the same
   */
  close(): void;
}
