/**
 * A file that appears whole or not at all: written under a name of our own beside its place, renamed at the end. A block
 * device is written in place.
 */
import { renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { at, CommandError } from '../errors.js';

export interface Pending {
  /** Where to write. */
  readonly path: string;
  /** The image's place is a block device: no renaming. */
  readonly inPlace: boolean;
  /** Puts it in its place. */
  commit(): void;
  /** Leaves nothing. Safe after `commit`. */
  discard(): void;
}

/** @throws CommandError EISDIR, ENOENT, … when nothing can be put there */
export function pendingFile(path: string): Pending {
  const there = at({ image: path }, () => statSync(path, { throwIfNoEntry: false }));
  if (there?.isDirectory() === true) throw new CommandError('EISDIR', 'is a directory', { image: path });
  if (there?.isBlockDevice() === true) {
    return { path, inPlace: true, commit: () => undefined, discard: () => undefined };
  }
  if (there !== undefined && !there.isFile()) throw new CommandError('EINVAL', 'neither a file nor a block device', { image: path });
  const folder = dirname(path);
  const parent = at({ image: path }, () => statSync(folder, { throwIfNoEntry: false }));
  if (parent === undefined) throw new CommandError('ENOENT', `no such directory: ${folder}`, { image: path });
  if (!parent.isDirectory()) throw new CommandError('ENOTDIR', `not a directory: ${folder}`, { image: path });
  const temporary = join(folder, `.${basename(path)}.iomap-${process.pid}`);
  let done = false;
  return {
    path: temporary,
    inPlace: false,
    commit() {
      at({ image: path }, () => renameSync(temporary, path));
      done = true;
    },
    discard() {
      if (!done) rmSync(temporary, { force: true });
    },
  };
}
