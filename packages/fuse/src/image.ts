/** Opens an image for serving: the file or device, a partition of it, the driver that knows what is on it. */
import { statSync } from 'node:fs';
import { partitionDevice, readPartitions, type BlockDevice } from '@iomap/block-device';
import { openAsyncFileDevice, openFileDevice } from '@iomap/block-device/node';
import { mount, readSuper } from '@iomap/ext2';
import { FsError, isCode, type Io } from '@iomap/io';
import type { FileSystem } from '@iomap/vfs';
import type { ServeOptions } from './options.js';

/** A driver: whether the device holds its filesystem, and the mount of it. */
interface Driver {
  readonly type: string;
  probe(device: BlockDevice): Io<boolean>;
  mount(device: BlockDevice, options: ServeOptions): Io<FileSystem>;
}

const ext2: Driver = {
  type: 'ext2',
  *probe(device) {
    try {
      yield* readSuper(device);
      return true;
    } catch (error) {
      if (error instanceof FsError && error.code === 'EUCLEAN' && error.detail?.field === 's_magic') return false;
      if (isCode(error, 'EUCLEAN') && device.sizeBytes < 4096) return false;
      throw error;
    }
  },
  mount: (device, options) =>
    mount(device, {
      readOnly: options.readOnly,
      pageCacheBytes: options.pageCacheBytes,
      bufferCacheBytes: options.bufferCacheBytes,
    }),
};

const DRIVERS: readonly Driver[] = [ext2];

export interface OpenedImage {
  readonly fs: FileSystem;
  readonly device: BlockDevice;
}

const PARTITION = /^(.+)@([1-9][0-9]{0,2})$/s;

const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

/** `IMAGE`, or `IMAGE@2` for its second partition, unless a file has that very name. */
export function splitPartition(name: string): { readonly path: string; readonly partition: number | undefined } {
  const match = exists(name) ? null : PARTITION.exec(name);
  return { path: match?.[1] ?? name, partition: match === null ? undefined : Number(match[2]) };
}

/** How the steps of opening are run: at once, or with a device that answers later. */
export type Runner = <T>(io: Io<T>) => Promise<T>;

async function openDevice(name: string, options: ServeOptions, run: Runner): Promise<BlockDevice> {
  const { path, partition } = splitPartition(name);
  const open = options.asyncDevice ? openAsyncFileDevice : openFileDevice;
  const whole = open(path, { readOnly: options.readOnly });
  if (partition === undefined) return whole;
  try {
    const found = (await run(readPartitions(whole))).find(({ number }) => number === partition);
    if (found === undefined) throw new FsError('ENXIO', { why: `no partition ${partition}` });
    return partitionDevice(whole, { pos: found.pos, sizeBytes: found.sizeBytes, name });
  } catch (error) {
    whole.close();
    throw error;
  }
}

function* mountKnown(device: BlockDevice, options: ServeOptions): Io<FileSystem> {
  for (const driver of DRIVERS) {
    if (!(yield* driver.probe(device))) continue;
    const fs = yield* driver.mount(device, options);
    if (fs.readOnly && !options.readOnly) {
      throw new FsError('EROFS', { why: 'this image can only be read: mount it with -o ro' });
    }
    return fs;
  }
  const known = DRIVERS.map(({ type }) => type).join(', ');
  throw new FsError('EINVAL', { why: `no known filesystem (known: ${known})` });
}

/**
 * Opens and mounts.
 * @throws FsError ENOENT, EACCES, …; EINVAL when no known filesystem is there; EUCLEAN, EOPNOTSUPP (names the features)
 */
export async function openImage(name: string, options: ServeOptions, run: Runner): Promise<OpenedImage> {
  const device = await openDevice(name, options, run);
  try {
    return { fs: await run(mountKnown(device, options)), device };
  } catch (error) {
    device.close();
    throw error;
  }
}
