/**
 * Builds an image at once, where the driver can: joins a source to the driver's `bulkBuild`.
 *
 * What the host could not give is a problem of one file, and the rest goes on; what the image could not take ends the
 * build.
 */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, runSync } from '@iomap/io';
import type { BulkData, BulkOptions } from '@iomap/vfs';
import type { Driver, FormatRequest } from '../drivers.js';
import { CommandError, whatOf } from '../errors.js';
import { shown } from '../names.js';
import type { BuildSource, SourceInode } from '../source/source.js';
import type { PopulateOptions } from './populate.js';

/** As `populate` has them. */
export type BulkTold = Omit<PopulateOptions, 'blockBytes'>;

/** The source's content, for the driver: failures are told and end the file. */
function dataOf(source: BuildSource, problem: (line: string) => void): BulkData<SourceInode> {
  return {
    read(inode, pos, bytes) {
      try {
        const got = source.readAt(inode, pos, bytes);
        if (got < bytes.length) problem(`${source.shownPath(inode)}: EIO: became shorter while it was read`);
        return got;
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        problem(`${error.where.image ?? source.name}: ${error.where.path === undefined ? '' : `${error.where.path}: `}${error.code}: ${error.what}`);
        return 0;
      }
    },
    ...(source.nextData === undefined ? {} : { nextData: source.nextData.bind(source) }),
  };
}

/**
 * Makes the filesystem and all that is in it.
 * @throws CommandError with the path, for what the image cannot take
 */
export function buildAtOnce(
  bulkBuild: NonNullable<Driver['bulkBuild']>,
  device: BlockDevice,
  job: { readonly source: BuildSource; readonly format: FormatRequest; readonly told: BulkTold },
): void {
  const { source, format, told } = job;
  const options: BulkOptions = {
    latest: told.latest,
    progress: told.progress,
    attributeFailed: (path, name, error) =>
      told.problem(`${told.image}: ${shown(path)}: ${error.code}: attribute ${shown(name)}: ${whatOf(error)}; left out`),
  };
  try {
    runSync(bulkBuild(device, format, { root: source.root, data: dataOf(source, told.problem), options }));
  } catch (error) {
    if (!(error instanceof FsError) || error.path === undefined) throw error;
    throw new CommandError(error.code, whatOf(error), { image: told.image, path: shown(error.path) });
  }
}
