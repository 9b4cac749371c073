/** The options of `mkfs`: one schema is their validation, their types and their documentation. */
import { FsError, isPowerOfTwo } from '@iomap/io';
import { z } from 'zod';

/** Web API that Node and browsers share; core packages compile without either's globals. */
declare const TextEncoder: { new (): { encode(text: string): Uint8Array } };

const utf8Max = (max: number): z.ZodType<Uint8Array, string> =>
  z
    .string()
    .refine((text) => !text.includes('\0'), 'may not contain NUL')
    .transform((text) => new TextEncoder().encode(text))
    .refine((bytes) => bytes.length <= max, `may be at most ${max} bytes`);

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const uuidBytes = (text: string): Uint8Array => {
  const hex = text.replaceAll('-', '');
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16));
};
const uuidOption = z.union([
  z.string().regex(UUID, 'is not a uuid').transform(uuidBytes),
  z.instanceof(Uint8Array).refine((bytes) => bytes.length === 16, 'must be 16 bytes'),
]);

const id = z.int().min(0).max(0xffffffff);
const feature = z.boolean().optional();

export const mkfsOptions = z.strictObject({
  /** Volume name, at most 16 bytes of UTF-8. */
  label: utf8Max(16).default(new Uint8Array(0)),
  /** Text or 16 bytes; default: from `env`. */
  uuid: uuidOption.optional(),
  /** Seed of the directory hash, text or 16 bytes; default: from `env`. */
  hashSeed: uuidOption.optional(),
  /** Bytes, a power of two 1024..65536; default 1024 below 512 MiB, else 4096. */
  blockSize: z.int().min(1024).max(65536).refine(isPowerOfTwo, 'must be a power of two').optional(),
  /** Bytes, a power of two from 128 to the block size; default 256 (128 in revision 0). */
  inodeSize: z.int().min(128).max(65536).refine(isPowerOfTwo, 'must be a power of two').optional(),
  /** Bytes of the filesystem; default: the device's. Rounded down to blocks. */
  sizeBytes: z.int().positive().optional(),
  /** How many inodes at least (rounded up to whole table blocks). Wins over `bytesPerInode`. */
  inodes: z.int().min(12).max(0xffffffff).optional(),
  /** One inode for so many bytes; default 4096 below 512 MiB, else 16384. */
  bytesPerInode: z.int().min(512).optional(),
  /** Blocks of a group, a multiple of 8; default: as many as a bitmap block holds. */
  blocksPerGroup: z.int().min(256).multipleOf(8).optional(),
  /** Percent of the blocks that only root may fill, 0..50. */
  reservedPercent: z.number().min(0).max(50).default(5),
  /** 0 is the original format without features; 1 has them. */
  revision: z.literal([0, 1]).default(1),
  /** Absent: on in revision 1, but `meta_bg`. */
  features: z
    .strictObject({
      filetype: feature,
      sparse_super: feature,
      large_file: feature,
      ext_attr: feature,
      dir_index: feature,
      resize_inode: feature,
      meta_bg: feature,
    })
    .default({}),
  /** Makes lost+found. */
  lostFound: z.boolean().default(true),
  rootUid: id.default(0),
  rootGid: id.default(0),
  /** Permission bits of the root directory. */
  rootMode: z.int().min(0).max(0o7777).default(0o755),
  /** Path recorded as the last mount point. */
  lastMounted: utf8Max(64).default(new Uint8Array(0)),
  /** True: the device reads as zeroes already (a file just made), so inode tables are not zeroed again. */
  assumeZeroed: z.boolean().default(false),
});
export type MkfsOptions = z.input<typeof mkfsOptions>;
export type MkfsSettings = z.output<typeof mkfsOptions>;

/** @throws FsError EINVAL naming the first option that is wrong */
export function parseMkfsOptions(options: MkfsOptions): MkfsSettings {
  const parsed = mkfsOptions.safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue === undefined || issue.path.length === 0 ? 'options' : issue.path.join('.');
  throw new FsError('EINVAL', { why: issue?.message ?? 'bad options', detail: { field }, cause: parsed.error });
}
