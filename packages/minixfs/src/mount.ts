/** Mounting: the superblock is read and checked, the caches made, the image marked as in use. */
import type { BlockDevice } from '@iomap/block-device';
import { BufferCache } from '@iomap/buffer-cache';
import { FsError, systemEnv, type Io } from '@iomap/io';
import { PageCache } from '@iomap/page-cache';
import { findBitOrder } from './bit-order.js';
import { MinixFileSystem } from './fs.js';
import { ROOT_INO, STATE_VALID } from './ondisk.js';
import { BIT_ORDERS, mountOptionsSchema, type MountOptions } from './options.js';
import { readSuper } from './super.js';
import { writeState } from './super-write.js';
import { Volume } from './volume.js';

/**
 * Mounts a minix image.
 *
 * Waits on: one read of the superblock and one of the root; unless read-only, one write of the superblock (not in version 3).
 * @throws FsError EUCLEAN (not minix, or corrupt), EOPNOTSUPP (sizes), EINVAL (options), EIO
 */
export function* mount(device: BlockDevice, options: MountOptions = {}): Io<MinixFileSystem> {
  const parsed = mountOptionsSchema.safeParse(options);
  if (!parsed.success) throw new FsError('EINVAL', { why: `mount options: ${parsed.error.issues[0]?.message ?? 'invalid'}` });
  const { data } = parsed;
  const info = yield* readSuper(device);
  const readOnly = data.readOnly || device.readOnly;
  const flip = data.bitOrder === undefined ? yield* findBitOrder(device, info) : BIT_ORDERS[data.bitOrder];
  const failed: { volume?: Volume } = {};
  const buffers = new BufferCache(device, {
    budgetBytes: Math.max(data.bufferCacheBytes, 64 * info.blockSize),
    onWriteError: (error) => failed.volume?.shutdown(error),
  });
  const pages = new PageCache({
    budgetBytes: Math.max(data.pageCacheBytes, 16 * info.zoneSize),
    ...(data.folioMaxBytes === undefined ? {} : { folioMaxBytes: data.folioMaxBytes }),
    ...(data.readaheadMaxBytes === undefined ? {} : { readaheadMaxBytes: data.readaheadMaxBytes }),
    ...(data.bypass ? {} : { bypassReadBytes: Infinity, bypassWriteBytes: Infinity }),
  });
  const volume = new Volume({
    device,
    buffers,
    pages,
    env: data.env ?? systemEnv(),
    info,
    flip,
    readOnly,
    legacy: data.io === 'legacy',
    directories: data.directories,
  });
  failed.volume = volume;
  const root = yield* volume.inodeTable.read(ROOT_INO);
  if (!root.isDirectory) throw new FsError('EUCLEAN', { why: 'the root is no directory', detail: { ino: root.ino, field: 'i_mode' } });
  if (!readOnly && info.version !== 3) {
    yield* writeState(volume, info.state & ~STATE_VALID);
    yield* buffers.sync();
    // Orders: the image says "in use" before anything in it changes.
    yield* buffers.flush();
  }
  return new MinixFileSystem(volume);
}
