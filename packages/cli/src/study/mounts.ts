/** The mounts of a study: images in memory, file data one way or the other, and what the mount counts. */
import { memoryDeviceFrom, type BlockDevice } from '@iomap/block-device';
import type { Conversion } from '@iomap/block-map';
import { Ext2InodeInCore, mkfs as mkfsExt2, mount as mountExt2 } from '@iomap/ext2';
import { fixedEnv, IO_OK, runSync, type Bio, type Env, type IoResult } from '@iomap/io';
import { mkfs as mkfsMinix, MinixInode, mount as mountMinix } from '@iomap/minixfs';
import type { AddressSpace, IomapCounters } from '@iomap/page-cache';
import type { FileSystem, Inode } from '@iomap/vfs';

/** How file data goes: the option of a mount. */
export type Way = 'legacy' | 'iomap';
export const WAYS: readonly Way[] = ['legacy', 'iomap'];

/** Where directories live: the other option. */
export type Home = 'buffer-cache' | 'page-cache';
export const HOMES: readonly Home[] = ['buffer-cache', 'page-cache'];

export interface StudyMount {
  readonly fs: FileSystem;
  readonly counters: IomapCounters;
  /** How it does each operation. */
  readonly operations: Conversion;
  /** The cached data of a file. */
  mappingOf(inode: Inode): AddressSpace | undefined;
}

export interface MountHow {
  readonly way: Way;
  readonly folioMaxBytes?: number;
  readonly home?: Home;
  /** Of either cache. */
  readonly cacheBytes?: number;
}

export interface StudyDriver {
  readonly type: 'ext2' | 'minix';
  /** Names the format in the report. */
  readonly format: string;
  readonly blockSize: number;
  mkfs(device: BlockDevice): void;
  mount(device: BlockDevice, how: MountHow): StudyMount;
}

/** Each study has the same clock and the same random numbers. */
const studyEnv = (): Env => fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 }, seed: 1 });

const mountOptions = ({ way, folioMaxBytes, home, cacheBytes }: MountHow) => ({
  env: studyEnv(),
  io: way,
  // Both ways through the page cache: what is compared is that.
  bypass: false,
  ...(folioMaxBytes === undefined ? {} : { folioMaxBytes }),
  ...(home === undefined ? {} : { directories: home }),
  ...(cacheBytes === undefined ? {} : { pageCacheBytes: cacheBytes, bufferCacheBytes: cacheBytes }),
});

/** ext2 with blocks of 4 KiB, as most images have. */
export const ext2Study: StudyDriver = {
  type: 'ext2',
  format: 'ext2, blocks of 4 KiB',
  blockSize: 4096,
  mkfs: (device) => {
    runSync(mkfsExt2(device, { blockSize: 4096, inodes: 2048 }, studyEnv()));
  },
  mount(device, how) {
    const fs = runSync(mountExt2(device, mountOptions(how)));
    return {
      fs,
      counters: fs.volume.pages.counters,
      operations: fs.operations,
      mappingOf: (inode) => (inode instanceof Ext2InodeInCore ? inode.mappingIfAny : undefined),
    };
  },
};

/** minix version 3 with blocks of 1 KiB: four buffer heads to a page. */
export const minixStudy: StudyDriver = {
  type: 'minix',
  format: 'minix version 3, blocks of 1 KiB',
  blockSize: 1024,
  mkfs: (device) => {
    runSync(mkfsMinix(device, { version: 3, blockSize: 1024, inodes: 2048 }, studyEnv()));
  },
  mount(device, how) {
    const fs = runSync(mountMinix(device, mountOptions(how)));
    return {
      fs,
      counters: fs.volume.pages.counters,
      operations: fs.operations,
      mappingOf: (inode) => (inode instanceof MinixInode ? inode.mappingIfAny : undefined),
    };
  },
};

/** What went to and from the device. */
export interface DeviceCounts {
  reads: number;
  readBytes: number;
  writes: number;
  writeBytes: number;
}

/** An image in memory that counts its bios, and has no way around them. `note` is told of each. */
export function countedDevice(bytes: Uint8Array, note?: (bio: Bio) => void): { readonly device: BlockDevice; readonly counts: DeviceCounts } {
  const base = memoryDeviceFrom(bytes);
  const counts: DeviceCounts = { reads: 0, readBytes: 0, writes: 0, writeBytes: 0 };
  const device: BlockDevice = {
    name: 'study',
    synchronous: true,
    sizeBytes: base.sizeBytes,
    sectorSize: base.sectorSize,
    readOnly: false,
    limits: base.limits,
    submit(bio: Bio): IoResult {
      note?.(bio);
      if (bio.op === 'read') {
        counts.reads++;
        counts.readBytes += bio.lengthBytes;
      } else if (bio.op === 'write') {
        counts.writes++;
        counts.writeBytes += bio.lengthBytes;
      }
      const result = base.submit(bio);
      return result instanceof Promise ? IO_OK : result;
    },
    close: () => {
      base.close();
    },
  };
  return { device, counts };
}
