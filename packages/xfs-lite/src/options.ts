/** The options of a mount, one schema: validation, types and documentation. */
import type { Env } from '@iomap/io';
import { z } from 'zod';

const MIB = 2 ** 20;

export const mountOptionsSchema = z
  .object({
    /** Accepted for the sake of all drivers alike: this one only reads. */
    readOnly: z.boolean().default(true),
    /** Clock, random numbers, uuids; the real world by default. */
    env: z.custom<Env>((value) => typeof value === 'object' && value !== null && 'now' in value && 'random' in value).optional(),
    /** Memory for file data, bytes. */
    pageCacheBytes: z.number().int().min(MIB).default(64 * MIB),
    /** Memory for metadata blocks, bytes, as far as there are any. The blocks of a directory of a million names take 40 MiB. */
    bufferCacheBytes: z.number().int().min(256 * 1024).default(64 * MIB),
    /** Largest folio of the page cache, bytes; a power of two. */
    folioMaxBytes: z.number().int().min(65_536).optional(),
    /** Largest readahead window, bytes; 0 = none. */
    readaheadMaxBytes: z.number().int().min(0).optional(),
    /** Do not look at the log: the image as it stands, even where a replay is due (`norecovery`). */
    noRecovery: z.boolean().default(false),
  })
  .strict();

export type MountOptions = z.input<typeof mountOptionsSchema>;
