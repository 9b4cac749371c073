/**
 * Writing back many files at once: small files that were written one after another lie one after another on the device, so
 * their data goes down in a few large bios, not in one each.
 *
 * - `flushFiles`: all dirty data of some files, in the order of the disk, one batch, and waits for it.
 * - `relieve`: what the page cache asks of a file under memory pressure: its data in the range, and, where that is little,
 *   that of other files too, so that one wait frees much.
 */
import { Plug, writeAndWait, writePages, type BufferOps } from '@iomap/buffer-head';
import { FsError, withContext, type Io } from '@iomap/io';
import { writeback, WritebackBatch, writebackInto, type WritebackOps } from '@iomap/iomap-core';
import type { MapRun } from './extent-cache.js';
import type { BlockMap } from './map.js';
import type { MappedFile } from './map-iomap.js';

/** A file with more dirty data than this is written on its own under pressure: its bios are large already. */
const SMALL_BYTES = 256 * 1024;
const WHOLE = { pos: 0, len: Infinity };

/** A file that remembers a failure which a sync has told and its own fsync has not. */
export type DirtyFile = MappedFile & { readonly isDirectory: boolean; untoldError: FsError | undefined };

export interface DirtyFiles<I extends DirtyFile> {
  readonly map: BlockMap<I>;
  readonly writebackOps: WritebackOps<I>;
  /** A mount in the old way: its files are written by these, not by `writebackOps`. */
  readonly bufferOps?: BufferOps<I> | undefined;
  /** Files that may have dirty data in the page cache. */
  readonly dirtyFiles: Set<I>;
  /** The mount's end: a block of a directory, which is metadata, could not be written. */
  shutdown(error: FsError): void;
}

/** Does this file go the old way? Directories in the page cache never do. */
const isOldWay = <I extends DirtyFile>(host: DirtyFiles<I>, inode: I): boolean => host.bufferOps !== undefined && !inode.isDirectory;

/** Lost data is told by the file's fsync; a lost block of a directory shuts the mount down at once. */
function checkDirectory<I extends DirtyFile>(host: DirtyFiles<I>, inode: I): void {
  if (!inode.isDirectory || !inode.mapping.hasError) return;
  const error = inode.mapping.peekErrorSince(0);
  if (error !== undefined) host.shutdown(error);
}

interface Placed<I> {
  readonly inode: I;
  /** Block of its first dirty byte, 0 where that is not known without a wait. */
  readonly block: number;
}

/** The files with dirty data, in the order of the disk. */
function inDiskOrder<I extends DirtyFile>(host: DirtyFiles<I>, files: readonly I[]): Placed<I>[] {
  const { map } = host;
  const placed: Placed<I>[] = [];
  const run: MapRun = { block: 0, count: 0 };
  for (const inode of files) {
    const mapping = inode.mappingIfAny;
    const folio = mapping?.nextDirty(0, Infinity);
    if (mapping === undefined || folio === undefined) continue;
    let block = 0;
    try {
      const isKnown = map.peek(inode, Math.floor(folio.pos / map.shape.blockSize), run);
      block = isKnown ? run.block : 0;
    } catch (error) {
      // Writeback of this file will meet it again and report it.
      if (!(error instanceof FsError)) throw error;
    }
    placed.push({ inode, block });
  }
  return placed.sort((a, b) => a.block - b.block || a.inode.ino - b.inode.ino);
}

function* sendFolios<I extends DirtyFile>(host: DirtyFiles<I>, files: readonly Placed<I>[]): Io<void> {
  const batch = new WritebackBatch();
  try {
    for (const { inode } of files) yield* writebackInto(inode, host.writebackOps, WHOLE, batch);
    yield* batch.flush();
  } finally {
    batch.abort();
  }
}

function* sendPages<I extends DirtyFile>(ops: BufferOps<I>, files: readonly Placed<I>[]): Io<void> {
  const plug = new Plug(ops.getBlock.device);
  try {
    for (const { inode } of files) yield* writePages(inode, ops, WHOLE, plug);
    yield* plug.flush();
  } finally {
    plug.abort();
  }
}

/** Sends the dirty data of the files and waits for it; errors stay in their mappings. */
function* writeBatch<I extends DirtyFile>(host: DirtyFiles<I>, files: readonly Placed<I>[]): Io<void> {
  const { bufferOps } = host;
  if (bufferOps === undefined) {
    yield* sendFolios(host, files);
  } else {
    yield* sendPages(bufferOps, files.filter(({ inode }) => isOldWay(host, inode)));
    yield* sendFolios(host, files.filter(({ inode }) => !isOldWay(host, inode)));
  }
  for (const { inode } of files) {
    yield* inode.mapping.waitInFlight(0, Infinity);
    checkDirectory(host, inode);
  }
}

/**
 * Writes back all data of the files that may have dirty data, or of those that `picks` picks.
 *
 * Waits on: folio locks, reads of block maps, the writes.
 * @throws FsError the first failure, after all have been tried
 */
export function* flushFiles<I extends DirtyFile>(host: DirtyFiles<I>, picks?: (inode: I) => boolean): Io<void> {
  const all = picks === undefined ? [...host.dirtyFiles] : [...host.dirtyFiles].filter(picks);
  yield* writeBatch(host, inDiskOrder(host, all));
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
    if (error !== undefined || (mapping?.dirtyBytes ?? 0) === 0) host.dirtyFiles.delete(inode);
  }
  if (failure !== undefined) throw failure;
}

/** Under memory pressure: cleans `range` of the file, and of small files together as much as `range` is long. */
export function* relieve<I extends DirtyFile>(
  host: DirtyFiles<I>,
  inode: I,
  range: { readonly pos: number; readonly len: number },
): Io<void> {
  if (inode.mapping.dirtyBytes > SMALL_BYTES || host.dirtyFiles.size < 2) {
    yield* writeOne(host, inode, range);
    return;
  }
  yield* writeBatch(host, inDiskOrder(host, smallFiles(host, inode, range.len)));
}

/** The file asked for, and others with little dirty data, oldest first, `bytesMax` of it in all. */
function smallFiles<I extends DirtyFile>(host: DirtyFiles<I>, asked: I, bytesMax: number): I[] {
  const files = [asked];
  let bytes = asked.mapping.dirtyBytes;
  for (const inode of host.dirtyFiles) {
    if (bytes >= bytesMax) break;
    const { dirtyBytes, hasError } = inode.mapping;
    if (dirtyBytes === 0 && !hasError && !inode.mapping.isInFlight(0, Infinity)) {
      // Whatever a sync still has to wait for, or to report, stays.
      host.dirtyFiles.delete(inode);
    } else if (inode !== asked && dirtyBytes > 0 && dirtyBytes <= SMALL_BYTES) {
      files.push(inode);
      bytes += dirtyBytes;
    }
  }
  return files;
}

/** Writes back one file's dirty data. @throws FsError the first failure, once, also where a sync has met it before */
export function* flushFile<I extends DirtyFile>(host: DirtyFiles<I>, inode: I): Io<void> {
  const mapping = inode.mappingIfAny;
  if (mapping === undefined) return;
  yield* writeOne(host, inode, WHOLE);
  const error = mapping.takeError() ?? inode.untoldError;
  inode.untoldError = undefined;
  if (error !== undefined) throw error;
}

function* writeOne<I extends DirtyFile>(host: DirtyFiles<I>, inode: I, range: { readonly pos: number; readonly len: number }): Io<void> {
  const { bufferOps } = host;
  yield* bufferOps !== undefined && isOldWay(host, inode) ? writeAndWait(inode, bufferOps, range) : writeback(inode, host.writebackOps, range);
  checkDirectory(host, inode);
}
