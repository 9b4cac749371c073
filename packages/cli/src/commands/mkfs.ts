/** `iomap mkfs`: an empty filesystem in a new file, over an old one, on a device or in a partition. */
import { existsSync, rmSync, statSync } from 'node:fs';
import { runSync, systemEnv, fixedEnv } from '@iomap/io';
import type { BlockDevice } from '@iomap/block-device';
import { sourceDateEpoch } from '../build/identity.js';
import type { Context } from '../context.js';
import { at, CommandError, placed, UsageError } from '../errors.js';
import { parseSize, sizeText } from '../format.js';
import { detect, driverOf, openDevice } from '../image.js';
import { parseWhole, type ImageTarget } from '../target.js';
import { flag, formatOptions, text } from './parse.js';
import type { Run } from './table.js';

export const run: Run = async (context, args, options) => {
  const target = parseWhole(args[0] ?? '');
  const { type, ...format } = formatOptions(options);
  const driver = await driverOf(type);
  const sizeText_ = text(options, 'size');
  const size = sizeText_ === undefined ? undefined : parseSize(sizeText_);
  const isNew = target.partition === undefined && !existsSync(target.image);
  if (isNew && size === undefined) throw new UsageError(`${target.image} is not there yet: say --size`);
  let isMade = false;
  try {
    const device = isNew ? await createFile(target.image, size ?? 0) : await openExisting(target, size, flag(options, 'force'));
    isMade = isNew;
    try {
      const epoch = sourceDateEpoch(context.terminal.env);
      const env = epoch === undefined ? systemEnv() : fixedEnv({ start: epoch });
      runSync(driver.mkfs(device, { ...format, env, freshFile: isNew }));
      await report(context, target, device, flag(options, 'json'));
    } finally {
      device.close();
    }
  } catch (error) {
    // A file that we made and could not fill is not left.
    if (isMade) rmSync(target.image, { force: true });
    throw placed(error, { image: target.label });
  }
  return undefined;
};

async function createFile(path: string, sizeBytes: number): Promise<BlockDevice> {
  const { openFileDevice } = await import('@iomap/block-device/node');
  if (sizeBytes % 512 !== 0) throw new UsageError(`--size: not a multiple of 512: ${sizeBytes}`);
  return openFileDevice(path, { create: true, exclusive: true, sizeBytes });
}

async function openExisting(target: ImageTarget, size: number | undefined, force: boolean): Promise<BlockDevice> {
  const { openFileDevice } = await import('@iomap/block-device/node');
  const device = await openDevice(target, { write: true });
  try {
    if (!force) {
      const there = await detect(device);
      if (there !== undefined) {
        throw new CommandError('EEXIST', `it holds a filesystem (${there.type}): --force makes a new one over it`);
      }
    }
    if (size === undefined || size === device.sizeBytes) return device;
    const isFile = at({ image: target.image }, () => statSync(target.image)).isFile();
    if (target.partition !== undefined || !isFile) throw new UsageError('--size: only a file can change its size');
  } catch (error) {
    device.close();
    throw error;
  }
  device.close();
  return openFileDevice(target.image, { truncate: true, sizeBytes: size });
}

async function report(context: Context, target: ImageTarget, device: BlockDevice, json: boolean): Promise<void> {
  const driver = await detect(device);
  if (driver === undefined) throw new CommandError('EIO', 'the filesystem that was made is not there');
  const facts = runSync(driver.facts(device));
  if (json) context.json({ image: target.label, ...Object.fromEntries(facts.map(({ key, value }) => [key, value])) });
  else context.print(`${target.label}: ${driver.type}, ${sizeText(device.sizeBytes)}\n`);
}
