/** How options objects are checked: one zod schema each, and an `FsError` EINVAL that names the field. */
import { FsError } from '@iomap/io';
import { z } from 'zod';

/** The logical sector sizes that partition tables and filesystems know. Bytes. */
export const knownSectorSize = z.literal([512, 1024, 2048, 4096]);
/** The same, 512 where nothing is said. */
export const sectorSizeOption = knownSectorSize.default(512);

/** A device's size in bytes. */
export const sizeBytesOption = z.int().nonnegative();

/**
 * `options` checked and completed by `schema`.
 * @throws FsError EINVAL naming the first field that is wrong
 */
export function parseOptions<S extends z.ZodType>(schema: S, options: unknown): z.output<S> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue === undefined || issue.path.length === 0 ? 'options' : issue.path.join('.');
  throw new FsError('EINVAL', { why: issue?.message ?? 'bad options', detail: { field }, cause: parsed.error });
}

/** @throws FsError EINVAL unless `sizeBytes` is a whole number of sectors */
export function checkSize(sizeBytes: number, sectorSize: number): void {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && sizeBytes % sectorSize === 0) return;
  const why = `${sizeBytes} bytes is not a whole number of sectors of ${sectorSize}`;
  throw new FsError('EINVAL', { why, detail: { field: 'sizeBytes' } });
}
