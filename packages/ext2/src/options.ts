/** The options of a mount, one schema: validation, types and documentation. */
import type { Env } from '@iomap/io';
import { z } from 'zod';

const MIB = 2 ** 20;

export const mountOptionsSchema = z
  .object({
    /** Writes nothing at all, not even the mount count. Implied by a read-only device and by unknown ro_compat features. */
    readOnly: z.boolean().default(false),
    /** Clock, random numbers, uuids; the real world by default. */
    env: z.custom<Env>((value) => typeof value === 'object' && value !== null && 'now' in value && 'random' in value).optional(),
    /** Memory for file data, bytes. */
    pageCacheBytes: z.number().int().min(MIB).default(64 * MIB),
    /** Memory for metadata blocks, bytes. */
    bufferCacheBytes: z.number().int().min(256 * 1024).default(16 * MIB),
    /** Largest folio of the page cache, bytes; a power of two. */
    folioMaxBytes: z.number().int().min(65_536).optional(),
    /** Largest readahead window, bytes; 0 = none. */
    readaheadMaxBytes: z.number().int().min(0).optional(),
    /** How file data goes: by extents and folios, or as it went before: `get_block`, pages, buffer heads (for comparison; blocks to 4 KiB). */
    io: z.enum(['iomap', 'legacy']).default('iomap'),
    /** Where directories live: with the other metadata, or in the page cache as files do, through iomap (docs/conversion.md compares them). */
    directories: z.enum(['buffer-cache', 'page-cache']).default('buffer-cache'),
    /** May large reads and writes go past the page cache, on devices that answer at once? False: never. */
    bypass: z.boolean().default(true),
    /** May the blocks kept for root be allocated? False: ENOSPC comes that much earlier, as for any other user. */
    useReserved: z.boolean().default(false),
  })
  .strict();

export type MountOptions = z.input<typeof mountOptionsSchema>;
