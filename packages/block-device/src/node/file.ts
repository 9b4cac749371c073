/** The synchronous file device: `node:fs`'s blocking calls, one system call a bio. */
import fs from 'node:fs';
import type { BlockDevice } from '../device.js';
import type { FileDeviceOptions } from '../file-options.js';
import { HostFileDevice } from '../host-file.js';
import { openHostFile } from './open.js';

/** A device over a file: resizable, unless it is a block device (`ENOTSUP`). */
export interface FileDevice extends BlockDevice {
  resize(sizeBytes: number): void;
}

/**
 * Opens an image file or a block device; its bios answer at once.
 * @throws FsError ENOENT, EACCES, EISDIR, EEXIST, …; EINVAL on bad options
 */
export function openFileDevice(path: string, options: FileDeviceOptions = {}): FileDevice {
  return new HostFileDevice(fs, openHostFile(path, options));
}
