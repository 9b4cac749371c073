/** The options of `mkfs`: one schema is their validation, their types and their documentation. */
import { FsError } from '@iomap/io';
import { z } from 'zod';

const id = z.int().min(0).max(0xffff);

export const mkfsOptions = z.strictObject({
  /** 1, 2 or 3; default 3. */
  version: z.literal([1, 2, 3]).default(3),
  /** Bytes of the longest name: 14 or 30 in versions 1 and 2 (default 30), 60 in version 3. */
  nameMax: z.literal([14, 30, 60]).optional(),
  /** Bytes; 1024, and in version 3 also 2048 and 4096. Default 1024, which is all that fsck.minix knows. */
  blockSize: z.literal([1024, 2048, 4096]).default(1024),
  /** Bytes, the block size times a power of two, at most 65536; default the block size. Linux reads no other. */
  zoneSize: z.int().min(1024).max(65_536).optional(),
  /** Byte order of all numbers: that of the machine that is to mount it. */
  byteOrder: z.literal(['le', 'be']).default('le'),
  /** Order of the bits in the bitmaps of a big-endian image: by bytes, or words of 16, 32 or 64 bits. */
  bitOrder: z.literal(['bytes', 'be16', 'be32', 'be64']).default('bytes'),
  /** Bytes of the filesystem; default: the device's. Rounded down to zones. */
  sizeBytes: z.int().positive().optional(),
  /** How many inodes at least (rounded up to whole table blocks); default one for 3, 8 or 16 KiB, by size. */
  inodes: z.int().min(1).max(0xffff_fff0).optional(),
  /** Zones that are not to be used: they become the file `.badblocks`. */
  badZones: z.array(z.int().positive()).default([]),
  rootUid: id.default(0),
  rootGid: id.default(0),
  /** Permission bits of the root directory. */
  rootMode: z.int().min(0).max(0o7777).default(0o755),
  /** True: the device reads as zeroes already (a file just made), so the inode table is not zeroed again. */
  assumeZeroed: z.boolean().default(false),
});
export type MkfsOptions = z.input<typeof mkfsOptions>;
export type MkfsSettings = z.output<typeof mkfsOptions>;

const bad = (field: string, why: string): FsError => new FsError('EINVAL', { why, detail: { field } });

/** @throws FsError EINVAL naming the first option that is wrong */
export function parseMkfsOptions(options: MkfsOptions): MkfsSettings {
  const parsed = mkfsOptions.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue === undefined || issue.path.length === 0 ? 'options' : issue.path.join('.');
    throw new FsError('EINVAL', { why: issue?.message ?? 'bad options', detail: { field }, cause: parsed.error });
  }
  const { data } = parsed;
  if ((data.nameMax === 60) !== (data.version === 3) && data.nameMax !== undefined) {
    throw bad('nameMax', `version ${data.version} has no names of ${data.nameMax} bytes`);
  }
  if (data.version !== 3 && data.blockSize !== 1024) throw bad('blockSize', `version ${data.version} has blocks of 1024 bytes`);
  if (data.zoneSize !== undefined && !Number.isInteger(Math.log2(data.zoneSize / data.blockSize))) {
    throw bad('zoneSize', 'must be the block size times a power of two');
  }
  if (data.version === 1 && data.rootGid > 0xff) throw bad('rootGid', 'version 1 holds 8 bits');
  if (data.byteOrder === 'le' && data.bitOrder !== 'bytes') throw bad('bitOrder', 'is for big-endian images');
  return data;
}
