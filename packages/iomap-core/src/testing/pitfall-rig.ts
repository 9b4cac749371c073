/** A file on a memory device whose every bio is logged, for tests of one case each. */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, runSync, type Bio, type IoResult } from '@iomap/io';
import { PageCache, type PageCacheOptions } from '@iomap/page-cache';
import { bufferedRead } from '../read.js';
import { bufferedWrite } from '../write.js';
import { ExtentFile, type ExtentFileOptions } from './extent-file.js';
import { freeBlocks, oldDevice } from './rig.js';

export const BLOCK = 4096;

export interface Rig {
  readonly cache: PageCache;
  readonly file: ExtentFile;
  readonly device: BlockDevice;
  readonly bios: { op: string; pos: number; len: number; segments: number }[];
  /** What the device holds. */
  readonly disk: () => Uint8Array;
  /** Bios that overlap these bytes fail. */
  readonly bad: { op: string; pos: number; len: number }[];
  write(pos: number, bytes: Uint8Array | string): number;
  read(pos: number, len: number): Uint8Array;
}

export interface RigOptions extends Partial<ExtentFileOptions> {
  readonly blocks?: number;
  readonly cacheOptions?: Partial<PageCacheOptions>;
}

export function rig(options: RigOptions = {}): Rig {
  const { blocks = 256, cacheOptions, ...fileOptions } = options;
  const blockSize = options.blockSize ?? BLOCK;
  const memory = oldDevice(blocks * blockSize);
  const bios: Rig['bios'] = [];
  const bad: Rig['bad'] = [];
  const device: BlockDevice = {
    name: 'logged', synchronous: true, sizeBytes: memory.sizeBytes, sectorSize: 512, readOnly: false, limits: memory.limits,
    submit(bio: Bio): IoResult {
      bios.push({ op: bio.op, pos: bio.pos, len: bio.lengthBytes, segments: bio.segments.length });
      const hit = bad.some((one) => one.op === bio.op && one.pos < bio.pos + bio.lengthBytes && one.pos + one.len > bio.pos);
      return hit ? { ok: false, error: new FsError('EIO', { why: 'bad sector' }) } : (memory.submit(bio) as IoResult);
    },
    close() {
      // Nothing to free.
    },
  };
  const cache = new PageCache({
    budgetBytes: 16 * 2 ** 20, bypassReadBytes: Infinity, bypassWriteBytes: Infinity, ...cacheOptions,
  });
  const file = new ExtentFile({ cache, device, blockSize, freeBlocks: freeBlocks(blocks), ...fileOptions });
  return {
    cache, file, device, bios, bad,
    disk: () => memory.toBytes(),
    write: (pos, bytes) => runSync(bufferedWrite(file, file.ops, pos, typeof bytes === 'string' ? text(bytes) : bytes)),
    read(pos, len) {
      const bytes = new Uint8Array(len);
      return bytes.subarray(0, runSync(bufferedRead(file, file.ops, pos, bytes)));
    },
  };
}

export const text = (s: string): Uint8Array => Uint8Array.from(s, (c) => c.charCodeAt(0));
export const filled = (len: number, byte: number): Uint8Array => new Uint8Array(len).fill(byte);
export const allAre = (bytes: Uint8Array, byte: number): boolean => bytes.every((one) => one === byte);
