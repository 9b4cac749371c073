/** The options of every device over a file, and what follows from them before the file is open. */
import { FsError, fsCodeOf } from '@iomap/io';
import { z } from 'zod';
import { checkSize, knownSectorSize, parseOptions, sizeBytesOption } from './options.js';

export const fileDeviceOptions = z
  .strictObject({
    /** Opens for reading; every write is EROFS. */
    readOnly: z.boolean().default(false),
    /** Makes the file where there is none. */
    create: z.boolean().default(false),
    /** Drops what the file holds: it becomes one hole of `sizeBytes`. Needs `sizeBytes`. */
    truncate: z.boolean().default(false),
    /**
     * Bytes, a multiple of `sectorSize`. A file that is made has this size; one that is shorter grows to it; one that is
     * longer keeps its size, unless `truncate`. Absent: the file's own size, rounded down to whole sectors.
     */
    sizeBytes: sizeBytesOption.optional(),
    /** A block device's own logical sector size wins over the default, not over a given value. */
    sectorSize: knownSectorSize.optional(),
    /** With `create`: the file must not exist (EEXIST). On a Linux block device: nobody may have mounted it (EBUSY). */
    exclusive: z.boolean().default(false),
  })
  .refine((o) => !(o.readOnly && (o.create || o.truncate || o.sizeBytes !== undefined)), {
    path: ['readOnly'],
    message: 'readOnly goes with none of create, truncate, sizeBytes',
  })
  .refine((o) => o.sizeBytes !== undefined || !(o.truncate || o.create), {
    path: ['sizeBytes'],
    message: 'create and truncate need sizeBytes',
  });
export type FileDeviceOptions = z.input<typeof fileDeviceOptions>;
export type ParsedFileDeviceOptions = z.output<typeof fileDeviceOptions>;

/** @throws FsError EINVAL naming the field */
export function parseFileOptions(options: FileDeviceOptions): ParsedFileDeviceOptions {
  const parsed = parseOptions(fileDeviceOptions, options);
  if (parsed.sizeBytes !== undefined) checkSize(parsed.sizeBytes, parsed.sectorSize ?? 512);
  return parsed;
}

/** An `FsError` for what the host threw while opening `path`. */
export function openError(cause: unknown, path: string): FsError {
  if (cause instanceof FsError) return cause;
  return new FsError(codeOf(cause), { syscall: 'open', path, cause });
}

const codeOf = (cause: unknown): ReturnType<typeof fsCodeOf> =>
  fsCodeOf(typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined);
