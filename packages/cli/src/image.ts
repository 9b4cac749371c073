/**
 * An opened image: host file → device → partition → the driver that knows it → a mount.
 *
 * `withTree` mounts read-only, for commands that look; `withEditor` mounts for writing, with a vfs and its Node-fs face.
 * Both unmount whatever happens, so that an error in the middle leaves a clean image.
 */
import { statSync } from 'node:fs';
import type { BlockDevice } from '@iomap/block-device';
import { runSync, submitBio } from '@iomap/io';
import type { FileSystem } from '@iomap/vfs';
import type { Context } from './context.js';
import { DRIVERS, HEAD_BYTES, type Driver } from './drivers.js';
import { at, CommandError, placed, UsageError } from './errors.js';
import type { Editor } from './editor.js';
import type { ImageTarget } from './target.js';
import { ImageTree } from './tree.js';

/** The driver of a type. @throws UsageError when there is none */
export async function driverOf(type: string): Promise<Driver> {
  const known = DRIVERS.find((driver) => driver.type === type);
  if (known === undefined) {
    throw new UsageError(`unknown type of filesystem: ${type} (known: ${DRIVERS.map((driver) => driver.type).join(', ')})`);
  }
  return known.load();
}

/** Opens what the target names: a host file, a device, a partition of one. */
export async function openDevice(target: ImageTarget, options: { readonly write: boolean }): Promise<BlockDevice> {
  const { openFileDevice } = await import('@iomap/block-device/node');
  const where = { image: target.label };
  const whole = at(where, () => openFileDevice(target.image, { readOnly: !options.write }));
  if (target.partition === undefined) return whole;
  try {
    const { partitionDevice, readPartitions } = await import('@iomap/block-device');
    return at(where, () => {
      const partitions = runSync(readPartitions(whole));
      const found = partitions.find((partition) => partition.number === target.partition);
      if (found === undefined) {
        const there = partitions.map((partition) => partition.number).join(', ');
        throw new CommandError('ENXIO', there === '' ? 'no partition table' : `no partition ${target.partition} (there are: ${there})`);
      }
      return partitionDevice(whole, { pos: found.pos, sizeBytes: found.sizeBytes, name: target.label, closeBase: true });
    });
  } catch (error) {
    whole.close();
    throw error;
  }
}

/** What is known by its magic but has no driver here: for the message alone. */
const FOREIGN: readonly (readonly [pos: number, magic: string, what: string])[] = [
  [0, 'eb3c90', 'a FAT filesystem'],
  [0, 'eb5890', 'a FAT filesystem'],
  [3, '4e54465320202020', 'an NTFS filesystem'],
  [0, '68737173', 'a squashfs filesystem'],
  [32769, '4344303031', 'an ISO 9660 filesystem'],
  [65600, '5f42485266535f4d', 'a btrfs filesystem'],
  [0, '514649fb', 'a qcow2 disk image: convert it to raw'],
  [0, '1f8b', 'compressed with gzip'],
  [0, 'fd377a585a00', 'compressed with xz'],
  [0, '28b52ffd', 'compressed with zstd'],
];

/** What the first bytes of a device say. */
async function lookAt(device: BlockDevice, target: ImageTarget): Promise<string> {
  if (statSync(target.image).isFile() && statSync(target.image).size === 0) return 'the file is empty';
  const { readPartitions } = await import('@iomap/block-device');
  const bytes = new Uint8Array(Math.min(device.sizeBytes, 128 * 1024));
  if (bytes.length > 0) runSync(submitBio(device, { op: 'read', pos: 0, segments: [bytes], lengthBytes: bytes.length }));
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const foreign = FOREIGN.find(([pos, magic]) => head.toString('hex', pos, pos + magic.length / 2) === magic);
  if (foreign !== undefined) return `${foreign[2]}: not supported`;
  try {
    const numbers = runSync(readPartitions(device)).map((partition) => partition.number);
    if (numbers.length > 0) return `a disk with partitions (${numbers.join(', ')}): name one, as IMAGE@${numbers[0] ?? 1}`;
  } catch {
    return 'a damaged partition table';
  }
  return `no known filesystem (known: ${DRIVERS.map((driver) => driver.type).join(', ')})`;
}

/** The driver whose filesystem is on the device; undefined when none knows it. */
export async function detect(device: BlockDevice): Promise<Driver | undefined> {
  const head = new Uint8Array(HEAD_BYTES);
  const there = Math.min(HEAD_BYTES, device.sizeBytes);
  const segment = new Uint8Array(Math.ceil(there / device.sectorSize) * device.sectorSize);
  if (segment.length > 0 && segment.length <= device.sizeBytes) {
    runSync(submitBio(device, { op: 'read', pos: 0, segments: [segment], lengthBytes: segment.length }));
    head.set(segment.subarray(0, HEAD_BYTES));
  }
  for (const { isLikely, load } of DRIVERS) {
    if (!isLikely(new DataView(head.buffer))) continue;
    const driver = await load();
    if (runSync(driver.probe(device))) return driver;
  }
  return undefined;
}

/** `detect`, or an error that says what the device holds instead. */
export async function driverFor(device: BlockDevice, target: ImageTarget): Promise<Driver> {
  try {
    const driver = await detect(device);
    if (driver !== undefined) return driver;
    throw new CommandError('EINVAL', await lookAt(device, target));
  } catch (error) {
    throw placed(error, { image: target.label });
  }
}

/** Runs `work` on the image's device and driver: the one that knows it, or that of a type (where damage hides it). */
export async function withDevice<T>(
  target: ImageTarget,
  options: { readonly write: boolean; readonly type?: string | undefined },
  work: (device: BlockDevice, driver: Driver) => T | Promise<T>,
): Promise<T> {
  const device = await openDevice(target, options);
  try {
    const driver = options.type === undefined ? await driverFor(device, target) : await driverOf(options.type);
    return await work(device, driver);
  } catch (error) {
    throw placed(error, { image: target.label });
  } finally {
    device.close();
  }
}

/** Runs `work` on the tree of an image, mounted for reading. */
export function withTree<T>(target: ImageTarget, work: (tree: ImageTree, fs: FileSystem) => T | Promise<T>): Promise<T> {
  return withDevice(target, { write: false }, async (device, driver) => {
    const fs = runSync(driver.mount(device, { readOnly: true }));
    return await work(new ImageTree(fs), fs);
  });
}

/** Runs `work` on an image mounted for writing; a mount that can only be read is EROFS. */
export function withEditor<T>(context: Context, target: ImageTarget, work: (editor: Editor) => T | Promise<T>): Promise<T> {
  return withDevice(target, { write: true }, async (device, driver) => {
    const { openEditor } = await import('./editor.js');
    const fs = runSync(driver.mount(device, { readOnly: false }));
    if (fs.readOnly) {
      throw new CommandError('EROFS', 'this image can only be read (it has features that we cannot write)');
    }
    const editor = openEditor(fs, target.label);
    let result: T;
    try {
      result = await work(editor);
    } catch (error) {
      try {
        editor.close();
      } catch (second) {
        // The first error is the one to tell, but the image may not be whole.
        context.failed(second, { image: target.label });
      }
      throw error;
    }
    editor.close();
    return result;
  });
}
