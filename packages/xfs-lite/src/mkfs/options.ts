/** The options of `mkfs`: one schema is their validation, their types and their documentation. Defaults are those of mkfs.xfs 6.1. */
import { FsError, isPowerOfTwo } from '@iomap/io';
import { z } from 'zod';

/** Web API that Node and browsers share; core packages compile without either's globals. */
declare const TextEncoder: { new (): { encode(text: string): Uint8Array } };

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const uuidBytes = (text: string): Uint8Array => {
  const hex = text.replaceAll('-', '');
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16));
};
const power = (min: number, max: number): z.ZodType<number, number> =>
  z.int().min(min).max(max).refine(isPowerOfTwo, 'must be a power of two');

export const mkfsOptions = z.strictObject({
  /** Volume name, at most 12 bytes of UTF-8. */
  label: z
    .string()
    .refine((text) => !text.includes('\0'), 'may not contain NUL')
    .transform((text) => new TextEncoder().encode(text))
    .refine((bytes) => bytes.length <= 12, 'may be at most 12 bytes')
    .default(new Uint8Array(0)),
  /** Text or 16 bytes; default: from `env`. */
  uuid: z
    .union([
      z.string().regex(UUID, 'is not a uuid').transform(uuidBytes),
      z.instanceof(Uint8Array).refine((bytes) => bytes.length === 16, 'must be 16 bytes'),
    ])
    .optional(),
  /** Bytes of the filesystem; default: the device's. Rounded down to blocks. */
  sizeBytes: z.int().positive().optional(),
  /** Bytes. */
  blockSize: power(1024, 65_536).default(4096),
  /** Bytes; default 512, or the device's if that is larger. */
  sectorSize: power(512, 4096).optional(),
  /** Bytes, at most half a block. */
  inodeSize: power(512, 2048).default(512),
  /** Bytes; default 4096, or the block size if that is larger. */
  dirBlockSize: power(1024, 65_536).optional(),
  /** How many allocation groups. */
  agCount: z.int().min(1).max(1_000_000).optional(),
  /** Bytes of a group, a multiple of the block size. */
  agSize: z.int().positive().optional(),
  /** Bytes of the log. */
  logSize: z.int().positive().optional(),
  /** Bytes that the log is written in multiples of, a multiple of the block size up to 256 KiB. */
  logStripe: z.int().positive().optional(),
  /** Bytes of a stripe unit and of a whole stripe (0 = none). */
  stripeUnit: z.int().min(0).default(0),
  stripeWidth: z.int().min(0).default(0),
  /** Per cent of the space that inodes may take; default by size. */
  inodesPercent: z.int().min(0).max(100).optional(),
  finobt: z.boolean().default(true),
  sparse: z.boolean().default(true),
  reflink: z.boolean().default(true),
  rmapbt: z.boolean().default(false),
  bigtime: z.boolean().default(true),
  inobtcount: z.boolean().default(true),
  nrext64: z.boolean().default(false),
  /** True: the device reads as zeroes already (a file just made), so the log is not zeroed again. */
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
