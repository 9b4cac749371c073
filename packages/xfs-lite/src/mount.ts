/** Mounting: the superblock is read and checked, a dirty log replayed in memory, the caches made. */
import type { BlockDevice } from '@iomap/block-device';
import { BufferCache } from '@iomap/buffer-cache';
import { FsError, type Io } from '@iomap/io';
import { PageCache } from '@iomap/page-cache';
import { XfsFileSystem } from './fs.js';
import { recoverLog } from './log/recover.js';
import { mountOptionsSchema, type MountOptions } from './options.js';
import { decodeSuper, readSuperBytes, type SuperInfo } from './super.js';
import { sumGroups } from './summary.js';
import { Volume } from './volume.js';

/** Reads the superblock. @throws FsError EUCLEAN (`sb_magicnum`: no XFS at all), EBADMSG, EOPNOTSUPP, EIO */
export function* readSuper(device: BlockDevice): Io<SuperInfo> {
  return decodeSuper(yield* readSuperBytes(device), device.sizeBytes);
}

/**
 * Mounts an XFS image for reading. The image is not written: a dirty log is replayed into memory.
 *
 * Waits on: reads of the superblock and the log; where the log was dirty, of all it names and of each group's headers.
 * @throws FsError EUCLEAN (no XFS, or corrupt), EBADMSG, EOPNOTSUPP (names the features), EINVAL (options), EIO
 */
export function* mount(device: BlockDevice, options: MountOptions = {}): Io<XfsFileSystem> {
  const parsed = mountOptionsSchema.safeParse(options);
  if (!parsed.success) throw new FsError('EINVAL', { why: `mount options: ${parsed.error.issues[0]?.message ?? 'invalid'}` });
  const { data } = parsed;
  const found = yield* readSuper(device);
  if (found.sectorSize % device.sectorSize !== 0) {
    throw new FsError('EOPNOTSUPP', { why: `sectors of ${found.sectorSize} bytes on a device with ${device.sectorSize}` });
  }
  const recovery = data.noRecovery ? undefined : yield* recoverLog(device, found);
  const isReplayed = recovery?.wasDirty === true;
  const source = recovery?.device ?? device;
  // The log may have held a newer superblock.
  const info = isReplayed ? yield* readSuper(source) : found;
  const volume = new Volume({
    device: source,
    buffers: new BufferCache(source, { budgetBytes: Math.max(data.bufferCacheBytes, 64 * info.dirBlockSize) }),
    pages: new PageCache({
      budgetBytes: Math.max(data.pageCacheBytes, 16 * info.blockSize),
      ...(data.folioMaxBytes === undefined ? {} : { folioMaxBytes: data.folioMaxBytes }),
      ...(data.readaheadMaxBytes === undefined ? {} : { readaheadMaxBytes: data.readaheadMaxBytes }),
    }),
    info,
  });
  const isStale = isReplayed || !info.hasLazyCount;
  const fs = new XfsFileSystem(volume, isStale ? yield* sumGroups(volume) : info, isReplayed);
  if (isReplayed) volume.pending = recovery.intents.pending(info);
  if (isReplayed) volume.overrides = yield* recovery.intents.finish(volume, (ino) => fs.readInode(ino));
  const root = yield* fs.readInode(info.rootIno);
  if (!root.isDirectory) throw new FsError('EUCLEAN', { why: 'the root is no directory', detail: { ino: root.ino, field: 'di_mode' } });
  return fs;
}
