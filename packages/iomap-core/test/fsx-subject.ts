/** A file of the testing filesystem under the file exerciser (`runFsx` of the conformance package). */
import { memoryDeviceFrom, type BlockDevice } from '@iomap/block-device';
import { fsxSlice, random, runFsx, type FsxKind, type FsxSliceOptions, type FsxSliceResult, type FsxSubject } from '@iomap/conformance';
import { FsError, isCode, type Io } from '@iomap/io';
import { PageCache, type PageCacheOptions } from '@iomap/page-cache';
import { invalidateRange, type MappedFile } from '../src/index.js';
import { ExtentFile, mountExtentFs, reflink, type ExtentFs, type ExtentFsOptions, type ExtentInode } from '../src/testing/index.js';
import { emptyImage } from './schedule.js';

export interface ExtentSubjectOptions {
  readonly blockSize: number;
  readonly device?: BlockDevice;
  readonly cache: PageCacheOptions;
  readonly fs?: Pick<ExtentFsOptions, 'space' | 'inlineBytes' | 'runMax'>;
}

export const FSX_BYTES = 262_144;

/** A device that holds the file and its clone whatever their blocks. */
export function fsxDevice(blockSize: number): BlockDevice {
  const slotBytes = 65_536;
  const blocks = Math.ceil((512 + 2 * slotBytes) / blockSize) + Math.ceil((5 * FSX_BYTES) / blockSize) + 8;
  return memoryDeviceFrom(emptyImage(blockSize, blocks, slotBytes));
}

/** Makes the subject over an empty filesystem. */
export function* extentSubject(options: ExtentSubjectOptions): Io<FsxSubject> {
  const device = options.device ?? fsxDevice(options.blockSize);
  let cache = new PageCache(options.cache);
  let fs: ExtentFs = yield* mountExtentFs({ device, cache, ...options.fs });
  let file = new ExtentFile(fs.create(1));
  let twin = new ExtentFile(fs.create(2));
  const sync = function* (): Io<void> {
    yield* file.fsync();
    yield* twin.fsync();
  };
  /** What is left in memory once all is written and dropped. */
  const leftovers = (): string[] => {
    const wrong: string[] = [];
    for (const { inode } of [file, twin]) if (!invalidateRange(inode, 0, Infinity)) wrong.push('something stays in use');
    if (cache.dirtyBytes !== 0 || cache.usedBytes !== 0) wrong.push(`${cache.dirtyBytes} dirty of ${cache.usedBytes} bytes are left`);
    if (fs.space.reserved !== 0) wrong.push(`${fs.space.reserved} blocks stay reserved`);
    const { begins, beginPeeks, ends } = cache.counters;
    if (ends < begins || ends > begins + beginPeeks) wrong.push(`${begins} begins, ${ends} ends`);
    return wrong;
  };
  let found: readonly string[] = [];
  let memory: MappedFile<ExtentInode> | undefined;
  const mapped = function* (): Io<MappedFile<ExtentInode>> {
    return (memory ??= yield* file.map());
  };
  return {
    directAlign: 512,
    atomicMin: options.blockSize,
    directRead: (pos, bytes) => file.readDirect(pos, bytes),
    directWrite: (pos, bytes) => file.writeDirect(pos, bytes),
    atomicMax: Math.min(16 * options.blockSize, cache.folioMaxBytes),
    read: (pos, bytes) => file.read(pos, bytes),
    write: (pos, bytes) => file.write(pos, bytes),
    truncate: (size) => file.truncate(size),
    punch: (pos, len) => file.punch(pos, len),
    zero: (pos, len) => file.zero(pos, len),
    allocate: (pos, len) => file.allocate(pos, len),
    fsync: () => file.fsync(),
    unshare: (pos, len) => file.unshare(pos, len),
    atomicWrite: (pos, bytes) => file.writeAtomic(pos, bytes),
    *mapRead(pos, bytes) {
      yield* (yield* mapped()).read(pos, bytes);
    },
    *mapWrite(pos, bytes) {
      yield* (yield* mapped()).write(pos, bytes);
    },
    *msync(pos, len) {
      yield* (yield* mapped()).msync(pos, len);
    },
    *size() {
      return file.inode.size;
    },
    *drop(pos, len) {
      yield* file.inode.writeback({ pos, len });
      invalidateRange(file.inode, pos, len);
    },
    *clone() {
      yield* reflink(file.inode, twin.inode);
    },
    readClone: (bytes) => twin.read(0, bytes),
    *seek(pos, what) {
      try {
        return yield* file.seek(pos, what);
      } catch (error) {
        if (isCode(error, 'ENXIO')) return -1;
        throw error;
      }
    },
    *reopen() {
      yield* sync();
      memory?.close();
      memory = undefined;
      const free = fs.space.freeBlocks;
      found = leftovers();
      cache = new PageCache(options.cache);
      fs = yield* mountExtentFs({ device, cache, ...options.fs });
      if (fs.space.freeBlocks !== free) found = [...found, `${free} free blocks, but ${fs.space.freeBlocks} after a remount`];
      if (found.length > 0) throw new FsError('EIO', { why: found.join('; ') });
      file = new ExtentFile(fs.inode(1));
      twin = new ExtentFile(fs.inode(2));
    },
    *check() {
      yield* sync();
      return [...found, ...leftovers()];
    },
  };
}

/** Runs with options of their own, which follow from the seed. */
export const extentFsxSlice = (options: FsxSliceOptions): FsxSliceResult => fsxSlice(options, extentFsx);

/** One run: block size, folio size, budget and the filesystem's ways from the seed. */
export function extentFsx(seed: number, ops: number): Io<ReadonlyMap<FsxKind, number>> {
  const rng = random(seed);
  const blockSize = 2 ** (9 + (seed % 8));
  const folioMaxBytes = Math.min(2 ** 21, blockSize * 2 ** rng.below(7));
  const budgetBytes = Math.max(blockSize * (8 + rng.below(40)), 32_768 + rng.below(2 ** 20));
  const bypass = rng.chance(0.3) ? 3 * blockSize : Infinity;
  const space = rng.chance(0.5) ? 'delalloc' : 'unwritten';
  const inlineBytes = rng.chance(0.3) ? 300 : 0;
  const fragmented = rng.chance(0.5);
  return runFsx({
    name: `extents of ${blockSize} bytes, folios to ${folioMaxBytes}, budget ${budgetBytes}, ${space}`,
    make: () => {
      const lengths = random(seed + 1);
      return extentSubject({
        blockSize,
        cache: { budgetBytes, folioMaxBytes, bypassReadBytes: bypass, bypassWriteBytes: bypass },
        fs: { space, inlineBytes, ...(fragmented ? { runMax: () => 1 + lengths.below(6) } : {}) },
      });
    },
    seed,
    ops,
    maxBytes: FSX_BYTES,
    replay: `npm run soak -- 5 --only fsx --seed ${seed} --slice ${ops} --workers 1`,
  });
}
