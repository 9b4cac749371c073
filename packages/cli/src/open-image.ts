/**
 * The umbrella's one call: an image as an object like Node's `fs`.
 *
 * `openImage('disk.img')` → `fs` with the sync, promise and callback faces; `close` unmounts and closes the file.
 */
import type { FileSystem, Vfs } from '@iomap/vfs';
import { nodeFs, type NodeFs } from '@iomap/vfs/node';
import { createVfs } from '@iomap/vfs';
import { runSync } from '@iomap/io';
import { driverFor, openDevice } from './image.js';
import { parseWhole } from './target.js';

export interface OpenImageOptions {
  /** Default true: nothing is written to the image. */
  readonly readOnly?: boolean;
  /** Bytes of file data kept in memory; the driver's own default when absent. */
  readonly cacheBytes?: number;
  /** Who acts in the image; default 0:0, root. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface Image {
  /** The type of its filesystem. */
  readonly type: string;
  /** In place of `node:fs`. */
  readonly fs: NodeFs;
  readonly vfs: Vfs;
  readonly driver: FileSystem;
  /** Writes everything, unmounts and closes the file. */
  close(): void;
}

/**
 * Opens an image: `disk.img`, `disk.img@2` (its second partition).
 * @throws CommandError ENOENT, EACCES, …; EINVAL when no known filesystem is on it; EOPNOTSUPP naming features
 */
export async function openImage(image: string, options: OpenImageOptions = {}): Promise<Image> {
  const { readOnly = true, cacheBytes, uid = 0, gid = 0 } = options;
  const target = parseWhole(image);
  const device = await openDevice(target, { write: !readOnly });
  try {
    const driver = await driverFor(device, target);
    const fs = runSync(driver.mount(device, { readOnly, ...(cacheBytes === undefined ? {} : { cacheBytes }) }));
    const vfs = createVfs(fs, { uid, gid });
    return {
      type: driver.type,
      fs: nodeFs(vfs),
      vfs,
      driver: fs,
      close() {
        try {
          runSync(vfs.unmount());
        } finally {
          device.close();
        }
      },
    };
  } catch (error) {
    device.close();
    throw error;
  }
}
