/** Opens a host file or block device by `node:fs` and finds out what it is: its size, its sectors, its holes. */
import fs from 'node:fs';
import { FsError, roundDown } from '@iomap/io';
import { openError, parseFileOptions, type FileDeviceOptions, type ParsedFileDeviceOptions } from '../file-options.js';
import type { HostFile } from '../host-file.js';

/** Where Linux says what a block device is. */
const sysfsOf = (rdev: number): string => {
  // The kernel's dev_t as libc packs it into 64 bits: minor in the low byte and bits 20-31, major in bits 8-19.
  const major = Math.floor(rdev / 2 ** 8) % 2 ** 12;
  const minor = (rdev % 2 ** 8) + Math.floor(rdev / 2 ** 20) * 2 ** 8;
  return `/sys/dev/block/${major}:${minor}`;
};

function readNumber(path: string): number | undefined {
  try {
    const text = fs.readFileSync(path, 'latin1').trim();
    return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined; // not Linux, or no sysfs
  }
}

/** The size by bisection: the largest position before which a byte can be read. For hosts that do not say. */
function probeSize(fd: number): number {
  const byte = new Uint8Array(1);
  const readable = (pos: number): boolean => {
    try {
      return fs.readSync(fd, byte, 0, 1, pos) === 1;
    } catch {
      return false;
    }
  };
  if (!readable(0)) return 0;
  let good = 0;
  let bad = 1;
  while (bad < 2 ** 52 && readable(bad)) [good, bad] = [bad, bad * 2];
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    if (readable(middle)) good = middle;
    else bad = middle;
  }
  return good + 1;
}

function blockDevice(path: string, fd: number, rdev: number, options: ParsedFileDeviceOptions): HostFile {
  const sysfs = sysfsOf(rdev);
  // A partition has no queue of its own.
  const own =
    readNumber(`${sysfs}/queue/logical_block_size`) ?? readNumber(`${sysfs}/../queue/logical_block_size`) ?? 512;
  const sectorSize = options.sectorSize ?? (own === 1024 || own === 2048 || own === 4096 ? own : 512);
  const sectors = readNumber(`${sysfs}/size`); // always in units of 512
  const sizeBytes = roundDown(sectors === undefined ? probeSize(fd) : sectors * 512, sectorSize);
  if (options.sizeBytes !== undefined && options.sizeBytes > sizeBytes) {
    throw new FsError('ENOSPC', { why: `the block device has ${sizeBytes} bytes`, syscall: 'open', path });
  }
  return {
    name: path,
    fd,
    sizeBytes: options.sizeBytes ?? sizeBytes,
    sectorSize,
    readOnly: options.readOnly,
    sparseness: 'dense',
    resizable: false,
  };
}

function regularFile(path: string, fd: number, stat: fs.Stats, options: ParsedFileDeviceOptions): HostFile {
  const { sectorSize = 512, sizeBytes: wanted, truncate } = options;
  let { size } = stat;
  if (truncate && size > 0) fs.ftruncateSync(fd, (size = 0));
  if (wanted !== undefined && size < wanted) fs.ftruncateSync(fd, (size = wanted));
  // Not `stat.blocks === 0`: there are hosts that never count, or count late, and a file of them may be full of data.
  const wasEmpty = truncate || stat.size === 0;
  return {
    name: path,
    fd,
    sizeBytes: roundDown(size, sectorSize),
    sectorSize,
    readOnly: options.readOnly,
    sparseness: wasEmpty ? 'hole' : stat.blocks * 512 >= size ? 'dense' : 'mixed',
    resizable: true,
  };
}

/**
 * The open file behind a device.
 * @throws FsError the host's code, with the path; EISDIR or EINVAL on what is neither file nor block device
 */
export function openHostFile(path: string, input: FileDeviceOptions): HostFile {
  const options = parseFileOptions(input);
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants;
  let flags = options.readOnly ? O_RDONLY : O_RDWR;
  if (options.create) flags |= O_CREAT;
  if (options.exclusive) flags |= O_EXCL;
  let fd = -1;
  try {
    // Asked before the opening: opening a fifo waits for its other end.
    const before = fs.statSync(path, { throwIfNoEntry: false });
    if (before !== undefined && !before.isFile() && !before.isBlockDevice()) {
      throw new FsError(before.isDirectory() ? 'EISDIR' : 'EINVAL', {
        why: 'neither a file nor a block device',
        syscall: 'open',
        path,
      });
    }
    fd = fs.openSync(path, flags, 0o666);
    const stat = fs.fstatSync(fd);
    return stat.isBlockDevice() ? blockDevice(path, fd, stat.rdev, options) : regularFile(path, fd, stat, options);
  } catch (cause) {
    if (fd >= 0) fs.closeSync(fd);
    throw openError(cause, path);
  }
}
