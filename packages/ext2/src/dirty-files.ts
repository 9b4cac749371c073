/**
 * Writing back many files at once: small files that were written one after another lie one after another on the device, so
 * their data goes down in a few large bios, not in one each.
 *
 * - `flushFiles`: all dirty data of some files, in the order of the disk, one batch, and waits for it.
 * - `relieve`: what the page cache asks of a file under memory pressure: its data in the range, and, where that is little,
 *   that of other files too, so that one wait frees much.
 */
import { FsError, withContext, type Io } from '@iomap/io';
import { writeback, WritebackBatch, writebackInto } from '@iomap/iomap-core';
import type { MapRun } from './extent-cache.js';
import { peekMap } from './indirect.js';
import type { Ext2InodeInCore } from './inode.js';
import type { Volume } from './volume.js';

/** A file with more dirty data than this is written on its own under pressure: its bios are large already. */
const SMALL_BYTES = 256 * 1024;
const WHOLE = { pos: 0, len: Infinity };

interface Placed {
  readonly inode: Ext2InodeInCore;
  /** Block of its first dirty byte, 0 where that is not known without a wait. */
  readonly block: number;
}

/** The files with dirty data, in the order of the disk. */
function inDiskOrder(vol: Volume, files: readonly Ext2InodeInCore[]): Placed[] {
  const placed: Placed[] = [];
  const run: MapRun = { block: 0, count: 0 };
  for (const inode of files) {
    const mapping = inode.mappingIfAny;
    const folio = mapping?.nextDirty(0, Infinity);
    if (mapping === undefined || folio === undefined) continue;
    let block = 0;
    try {
      const isKnown = peekMap(vol, inode, Math.floor(folio.pos / vol.blockSize), run);
      block = isKnown ? run.block : 0;
    } catch (error) {
      // Writeback of this file will meet it again and report it.
      if (!(error instanceof FsError)) throw error;
    }
    placed.push({ inode, block });
  }
  return placed.sort((a, b) => a.block - b.block || a.inode.ino - b.inode.ino);
}

/** Sends the dirty data of the files and waits for it; errors stay in their mappings. */
function* writeBatch(vol: Volume, files: readonly Placed[]): Io<void> {
  const batch = new WritebackBatch();
  try {
    for (const { inode } of files) yield* writebackInto(inode, vol.writebackOps, WHOLE, batch);
    yield* batch.flush();
  } finally {
    batch.abort();
  }
  for (const { inode } of files) yield* inode.mapping.waitInFlight(0, Infinity);
}

/**
 * Writes back all data of the files that may have dirty data.
 *
 * Waits on: folio locks, reads of block maps, the writes.
 * @throws FsError the first failure, after all have been tried
 */
export function* flushFiles(vol: Volume): Io<void> {
  const all = [...vol.dirtyFiles];
  yield* writeBatch(vol, inDiskOrder(vol, all));
  let failure: FsError | undefined;
  for (const inode of all) {
    const mapping = inode.mappingIfAny;
    // Not `writeBatch`'s: writes that were in flight before it.
    if (mapping !== undefined) yield* mapping.waitInFlight(0, Infinity);
    const error = mapping?.takeError();
    if (error !== undefined) {
      // The file's own fsync has to hear of it too.
      inode.untoldError ??= error;
      failure ??= withContext(error, { detail: { ino: inode.ino } });
    }
    if (error !== undefined || (mapping?.dirtyBytes ?? 0) === 0) vol.dirtyFiles.delete(inode);
  }
  if (failure !== undefined) throw failure;
}

/** Under memory pressure: cleans `range` of the file, and of small files together as much as `range` is long. */
export function* relieve(
  vol: Volume,
  inode: Ext2InodeInCore,
  range: { readonly pos: number; readonly len: number },
): Io<void> {
  if (inode.mapping.dirtyBytes > SMALL_BYTES || vol.dirtyFiles.size < 2) {
    yield* writeback(inode, vol.writebackOps, range);
    return;
  }
  yield* writeBatch(vol, inDiskOrder(vol, smallFiles(vol, inode, range.len)));
}

/** The file asked for, and others with little dirty data, oldest first, `bytesMax` of it in all. */
function smallFiles(vol: Volume, asked: Ext2InodeInCore, bytesMax: number): Ext2InodeInCore[] {
  const files = [asked];
  let bytes = asked.mapping.dirtyBytes;
  for (const inode of vol.dirtyFiles) {
    if (bytes >= bytesMax) break;
    const { dirtyBytes, hasError } = inode.mapping;
    if (dirtyBytes === 0 && !hasError && !inode.mapping.isInFlight(0, Infinity)) {
      // Whatever a sync still has to wait for, or to report, stays.
      vol.dirtyFiles.delete(inode);
    } else if (inode !== asked && dirtyBytes > 0 && dirtyBytes <= SMALL_BYTES) {
      files.push(inode);
      bytes += dirtyBytes;
    }
  }
  return files;
}
