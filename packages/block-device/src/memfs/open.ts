/** A device over a file inside a memfs volume. The volume is the caller's, so memfs itself is never imported. */
import { FsError, roundDown } from '@iomap/io';
import { openError, parseFileOptions, type FileDeviceOptions } from '../file-options.js';
import { HostFileDevice, type FileHost } from '../host-file.js';

export interface MemfsStats {
  readonly size: number | bigint;
  isFile(): boolean;
  isDirectory(): boolean;
}

/** What is used of a memfs volume (`memfs().fs`, `vol`, `createFsFromVolume(vol)`). */
export interface MemfsLike extends FileHost {
  openSync(path: string, flags: string, mode?: number): number;
  existsSync(path: string): boolean;
  fstatSync(fd: number): MemfsStats;
}

/**
 * Opens an image file of a memfs volume; its bios answer at once. The volume keeps the whole image in memory.
 * @throws FsError ENOENT, EISDIR, EEXIST, …; EINVAL on bad options
 */
export function openMemfsDevice(volume: MemfsLike, path: string, options: FileDeviceOptions = {}): HostFileDevice {
  const { readOnly, create, exclusive, truncate, sectorSize = 512, sizeBytes } = parseFileOptions(options);
  let fd = -1;
  try {
    const missing = create && (exclusive || !volume.existsSync(path));
    fd = volume.openSync(path, missing ? 'wx+' : readOnly ? 'r' : 'r+', 0o666);
    const stat = volume.fstatSync(fd);
    if (!stat.isFile()) {
      throw new FsError(stat.isDirectory() ? 'EISDIR' : 'EINVAL', { why: 'not a file', syscall: 'open', path });
    }
    let size = Number(stat.size);
    const wasEmpty = truncate || size === 0;
    if (truncate && size > 0) volume.ftruncateSync(fd, (size = 0));
    if (sizeBytes !== undefined && size < sizeBytes) volume.ftruncateSync(fd, (size = sizeBytes));
    return new HostFileDevice(volume, {
      name: path,
      fd,
      sizeBytes: roundDown(size, sectorSize),
      sectorSize,
      readOnly,
      sparseness: wasEmpty ? 'hole' : 'dense',
      resizable: true,
    });
  } catch (cause) {
    if (fd >= 0) volume.closeSync(fd);
    throw openError(cause, path);
  }
}
