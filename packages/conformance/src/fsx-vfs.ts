/** A file of any mounted driver under the file exerciser (fsx.ts): the whole way of a call, through the vfs. */
import { isCode, type Env, type Io } from '@iomap/io';
import { createVfs, O_CREAT, O_RDWR, type FileSystem, type Vfs } from '@iomap/vfs';
import type { FsxSubject } from './fsx.js';

export interface VfsFsxOptions {
  /** Mounts: at the start and at each reopening. */
  readonly mount: () => Io<FileSystem>;
  readonly env: Env;
  /** After an unmount at the end: what is wrong with the image. */
  readonly check?: () => Io<readonly string[]>;
  /** What direct I/O is a multiple of, in bytes. Default 512. */
  readonly directAlign?: number;
  /** Atomic writes of these lengths, in bytes; where the driver refuses one (EINVAL), a plain write does. Default: none. */
  readonly atomic?: { readonly min: number; readonly max: number };
}

/** Mounts and makes the subject; operations that the driver lacks are left out. */
export function* vfsFsxSubject(options: VfsFsxOptions): Io<FsxSubject> {
  const { env, mount } = options;
  let fs = yield* mount();
  let vfs: Vfs = createVfs(fs, { env, umask: 0 });
  let fd = yield* vfs.open('/fsx', O_RDWR | O_CREAT, 0o644);
  let memory: Parameters<Vfs['munmap']>[0] | undefined;
  const map = function* (): Io<Parameters<Vfs['munmap']>[0]> {
    return (memory ??= yield* vfs.mmap(fd));
  };
  const unmount = function* (): Io<void> {
    if (memory !== undefined) yield* vfs.munmap(memory);
    memory = undefined;
    yield* vfs.close(fd);
    yield* vfs.unmount();
  };
  const { allocates, maps, direct } = { allocates: fs.fallocate !== undefined, maps: fs.map !== undefined, direct: fs.readHow !== undefined };
  return {
    directAlign: options.directAlign ?? 512,
    read: (pos, bytes) => vfs.read(fd, bytes, pos),
    write: (pos, bytes) => vfs.write(fd, bytes, pos),
    truncate: (size) => vfs.ftruncate(fd, size),
    fsync: () => vfs.fsync(fd),
    *size() {
      return (yield* vfs.fstat(fd)).size;
    },
    *reopen() {
      yield* unmount();
      fs = yield* mount();
      vfs = createVfs(fs, { env, umask: 0 });
      fd = yield* vfs.open('/fsx', O_RDWR);
    },
    *seek(pos, what) {
      try {
        return yield* vfs.seek(fd, pos, what);
      } catch (error) {
        if (isCode(error, 'ENXIO')) return -1;
        throw error;
      }
    },
    ...(maps
      ? {
          *mapRead(pos: number, bytes: Uint8Array): Io<void> {
            yield* vfs.mread(yield* map(), pos, bytes);
          },
          *mapWrite(pos: number, bytes: Uint8Array): Io<void> {
            yield* vfs.mwrite(yield* map(), pos, bytes);
          },
          *msync(pos: number, len: number): Io<void> {
            yield* vfs.msync(yield* map(), pos, len);
          },
        }
      : {}),
    ...(direct
      ? {
          directRead: (pos: number, bytes: Uint8Array) => vfs.pread2(fd, bytes, pos, { direct: true }),
          directWrite: (pos: number, bytes: Uint8Array) => vfs.pwrite2(fd, bytes, pos, { direct: true }),
        }
      : {}),
    ...(options.atomic === undefined
      ? {}
      : {
          atomicMin: options.atomic.min,
          atomicMax: options.atomic.max,
          *atomicWrite(pos: number, bytes: Uint8Array): Io<number> {
            try {
              return yield* vfs.pwrite2(fd, bytes, pos, { atomic: true });
            } catch (error) {
              if (!isCode(error, 'EINVAL')) throw error;
              return yield* vfs.write(fd, bytes, pos);
            }
          },
        }),
    ...(allocates
      ? {
          punch: (pos: number, len: number) => vfs.fallocate(fd, { punchHole: true, keepSize: true }, pos, len),
          zero: (pos: number, len: number) => vfs.fallocate(fd, { zeroRange: true, keepSize: true }, pos, len),
          allocate: (pos: number, len: number) => vfs.fallocate(fd, { keepSize: true }, pos, len),
        }
      : {}),
    *check() {
      yield* unmount();
      return options.check === undefined ? [] : yield* options.check();
    },
  };
}
