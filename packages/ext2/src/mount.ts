/** Mounting: the superblock and the groups are read and checked, the caches made, the image marked as in use. */
import type { BlockDevice } from '@iomap/block-device';
import { BufferCache } from '@iomap/buffer-cache';
import { FsError, systemEnv, type Io } from '@iomap/io';
import { PageCache } from '@iomap/page-cache';
import { Ext2FileSystem } from './fs.js';
import { readGroups } from './groups.js';
import { ROOT_INO, STATE_VALID } from './ondisk.js';
import { mountOptionsSchema, type MountOptions } from './options.js';
import { decodeSuper, readSuperBytes, type SuperInfo } from './super.js';
import { writeSuper } from './super-write.js';
import { Volume } from './volume.js';
import { XattrBlockCache } from './xattr-block.js';

/** Reads the superblock. @throws FsError EUCLEAN, EOPNOTSUPP, EIO; EUCLEAN `s_magic` when it is no ext2 at all */
export function* readSuper(device: BlockDevice): Io<SuperInfo> {
  return decodeSuper(yield* readSuperBytes(device), device.sizeBytes);
}

/**
 * Mounts an ext2 (or clean ext3) image.
 *
 * Waits on: one read of the superblock, reads of the group descriptors; unless read-only, one write of the superblock.
 * @throws FsError EUCLEAN (not ext2, or corrupt), EOPNOTSUPP (names the features), EINVAL (options), EIO
 */
export function* mount(device: BlockDevice, options: MountOptions = {}): Io<Ext2FileSystem> {
  const parsed = mountOptionsSchema.safeParse(options);
  if (!parsed.success) throw new FsError('EINVAL', { why: `mount options: ${parsed.error.issues[0]?.message ?? 'invalid'}` });
  const { data } = parsed;
  const env = data.env ?? systemEnv();
  const info = yield* readSuper(device);
  if (info.blockSize % device.sectorSize !== 0) {
    throw new FsError('EOPNOTSUPP', { why: `blocks of ${info.blockSize} bytes on sectors of ${device.sectorSize}` });
  }
  const readOnly = data.readOnly || device.readOnly || info.readOnlyFor.length > 0;
  // The volume is made after the groups are read; a failed write can only come later.
  const failed: { volume?: Volume } = {};
  const buffers = new BufferCache(device, {
    budgetBytes: Math.max(data.bufferCacheBytes, 64 * info.blockSize),
    onWriteError: (error) => failed.volume?.shutdown(error),
  });
  const groups = yield* readGroups(buffers, info);
  const pages = new PageCache({
    budgetBytes: Math.max(data.pageCacheBytes, 16 * info.blockSize),
    ...(data.folioMaxBytes === undefined ? {} : { folioMaxBytes: data.folioMaxBytes }),
    ...(data.readaheadMaxBytes === undefined ? {} : { readaheadMaxBytes: data.readaheadMaxBytes }),
    ...(data.bypass ? {} : { bypassReadBytes: Infinity, bypassWriteBytes: Infinity }),
  });
  const volume = new Volume({
    device,
    buffers,
    pages,
    env,
    info,
    groups,
    readOnly,
    useReserved: data.useReserved,
    directories: data.directories,
    xattrBlocks: new XattrBlockCache(),
    legacy: data.io === 'legacy',
  });
  failed.volume = volume;
  const root = yield* volume.inodeTable.read(ROOT_INO);
  if (!root.isDirectory) throw new FsError('EUCLEAN', { why: 'the root is no directory', detail: { ino: root.ino, field: 'i_mode' } });
  if (!readOnly) {
    yield* writeSuper(volume, { state: info.state & ~STATE_VALID, countMount: true });
    yield* buffers.sync();
    // Orders: the image says "in use" before anything in it changes.
    yield* buffers.flush();
  }
  return new Ext2FileSystem(volume);
}
