/** Two files of `ExtentFs` on a device full of old bytes, and a way to have something happen between a mapping and its use. */
import { memoryDeviceFrom, type BlockDevice } from '@iomap/block-device';
import { runSync, type Io } from '@iomap/io';
import { PageCache, type PageCacheOptions } from '@iomap/page-cache';
import type { IomapOps } from '../iomap.js';
import { invalidateRange } from '../truncate.js';
import { mountExtentFs, type ExtentFs, type ExtentFsOptions } from './extent-fs.js';
import { extentOps, type ExtentInode } from './extent-inode.js';
import { ExtentFile } from './open-file.js';
import { OLD_BYTE } from './rig.js';
import { format } from './snapshot.js';

const BLOCK = 4096;

/** What happens once, when it is armed and comes to its turn. */
export interface Once {
  arm(): void;
  run(): Io<void>;
}

export function once(what: () => Io<unknown>): Once {
  let armed = false;
  return {
    arm() {
      armed = true;
    },
    *run() {
      if (!armed) return;
      armed = false;
      yield* what();
    },
  };
}

export interface ExtentRig {
  readonly device: BlockDevice;
  readonly fs: ExtentFs;
  readonly cache: PageCache;
  readonly file: ExtentFile;
  readonly other: ExtentFile;
  write(pos: number, bytes: Uint8Array): number;
  read(pos: number, len: number): Uint8Array;
  /** Drops what is clean. */
  drop(): void;
  /** The filesystem's functions; after a mapping was sampled with `flag`, `what` happens. */
  hooked(flag: number, what: Once): IomapOps<ExtentInode>;
}

export function extentRig(options: Partial<ExtentFsOptions> = {}, cacheOptions: Partial<PageCacheOptions> = {}): ExtentRig {
  const device = options.device ?? memoryDeviceFrom(new Uint8Array(512 * BLOCK).fill(OLD_BYTE));
  runSync(format(device, BLOCK));
  const cache = new PageCache({ budgetBytes: 2 ** 24, bypassReadBytes: Infinity, bypassWriteBytes: Infinity, ...cacheOptions });
  const fs = runSync(mountExtentFs({ device, cache, ...options }));
  const file = new ExtentFile(fs.create(1));
  const other = new ExtentFile(fs.create(2));
  return {
    device, fs, cache, file, other,
    write: (pos, bytes) => runSync(file.write(pos, bytes)),
    read(pos, len) {
      const bytes = new Uint8Array(len);
      return bytes.subarray(0, runSync(file.read(pos, bytes)));
    },
    drop() {
      invalidateRange(file.inode, 0, Infinity);
    },
    hooked: (flag, what) => ({
      ...extentOps,
      *begin(inode, pos, length, flags, out, src) {
        yield* extentOps.begin(inode, pos, length, flags, out, src);
        if ((flags & flag) !== 0) yield* what.run();
      },
    }),
  };
}
