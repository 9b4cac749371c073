/**
 * `iomap build`: an image from a folder or a tar archive, sized to fit, the same bytes for the same input.
 *
 * The image is written beside its place and renamed when it is whole, so a failure leaves nothing. With `--size auto` a
 * first try that runs out of space (a source that says less than it holds) is made again with more room.
 */
import { openSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BlockDevice } from '@iomap/block-device';
import { isCode, runSync, type Env, type Timespec } from '@iomap/io';
import { gatherDevice } from '../build/gather-device.js';
import { buildAtOnce } from '../build/bulk.js';
import { earlySync } from '../build/early-sync.js';
import { identityOf, sourceDateEpoch } from '../build/identity.js';
import type { PopulateOptions } from '../build/populate.js';
import { pendingFile, type Pending } from '../build/temporary.js';
import type { Context } from '../context.js';
import type { Driver, FormatRequest } from '../drivers.js';
import { at, CommandError, placed, UsageError } from '../errors.js';
import { parseSize, plural, sizeText, uuidText } from '../format.js';
import { driverOf } from '../image.js';
import { folderSource } from '../source/folder.js';
import { isLater, totalsOf, type BuildSource } from '../source/source.js';
import { spool, tarSource } from '../source/tar.js';
import { flag, formatOptions, text } from './parse.js';
import type { Run } from './table.js';

export const run: Run = async (context, args, options) => {
  const [from = '', image = ''] = args;
  if (image === '') throw new UsageError('an image has no name');
  const format = formatOptions(options);
  const sizeOption = text(options, 'size') ?? 'auto';
  const fixedSize = sizeOption === 'auto' ? undefined : parseSize(sizeOption);
  const driver = await driverOf(format.type);
  const pending = pendingFile(image);
  const started = performance.now();
  const source = await openSource(context, from, image);
  try {
    const result = await buildImage({ context, driver, source, format, fixedSize, image, pending });
    for (const warning of source.warnings) context.warn(`${source.name}: ${warning}`);
    for (const failure of source.failures) context.problem(failure);
    const seconds = (performance.now() - started) / 1000;
    report(context, { ...result, seconds, image, json: flag(options, 'json') });
  } catch (error) {
    throw placed(error, { image });
  } finally {
    pending.discard();
    source.close();
  }
  return undefined;
};

async function openSource(context: Context, from: string, image: string): Promise<BuildSource> {
  if (from === '-') {
    const path = join(dirname(image), `.iomap-stdin-${process.pid}`);
    const fd = at({ image: 'standard input' }, () => spool((bytes) => context.terminal.readInput(bytes), path));
    return tarSource(fd, 'standard input');
  }
  const stat = at({ image: from }, () => statSync(from, { bigint: true }));
  if (stat.isDirectory()) {
    const there = statSync(image, { bigint: true, throwIfNoEntry: false });
    return folderSource(from, { except: there === undefined ? undefined : { dev: there.dev, ino: there.ino } });
  }
  if (!stat.isFile()) throw new CommandError('EINVAL', 'neither a folder nor a tar archive', { image: from });
  return tarSource(at({ image: from }, () => openSync(from, 'r')), from);
}

interface BuildJob {
  readonly context: Context;
  readonly driver: Driver;
  readonly source: BuildSource;
  readonly format: Omit<FormatRequest, 'env'>;
  readonly fixedSize: number | undefined;
  readonly image: string;
  readonly pending: Pending;
}

interface BuildResult {
  readonly files: number;
  readonly directories: number;
  readonly others: number;
  readonly bytes: number;
  readonly sizeBytes: number;
  readonly uuid: Uint8Array;
}

async function buildImage(job: BuildJob): Promise<BuildResult> {
  const { context, source } = job;
  const totals = totalsOf(source.root);
  const epoch = sourceDateEpoch(context.terminal.env);
  const latest = epoch !== undefined && isLater(totals.latest, epoch) ? epoch : (epoch ?? totals.latest);
  const parameters = `${job.driver.type} ${job.fixedSize ?? 'auto'} ${job.format.label ?? ''} ${epoch?.sec ?? ''}`;
  const identity = identityOf(source.root, latest, parameters);
  const uuid = job.format.uuid ?? identity.uuid;
  for (let generosity = 0; ; generosity++) {
    try {
      const sizeBytes = await buildOnce(job, { latest: epoch, env: identity.env(), uuid, generosity, bytes: totals.bytes });
      return { ...totals, sizeBytes, uuid };
    } catch (error) {
      const full = isCode(error, 'ENOSPC') || (error instanceof CommandError && error.code === 'ENOSPC');
      if (!full || job.fixedSize !== undefined || generosity >= 2) throw error;
    }
  }
}

interface Attempt {
  readonly latest: Timespec | undefined;
  readonly env: Env;
  readonly uuid: Uint8Array;
  readonly generosity: number;
  readonly bytes: number;
}

async function buildOnce(job: BuildJob, attempt: Attempt): Promise<number> {
  const { context, driver, source, format, pending } = job;
  const { env } = attempt;
  const plan = driver.plan({ ...format, root: source.root, generosity: attempt.generosity });
  const { openFileDevice } = await import('@iomap/block-device/node');
  const sizeBytes = job.fixedSize ?? plan.sizeBytes;
  const file = pending.inPlace
    ? openFileDevice(pending.path, job.fixedSize === undefined ? {} : { sizeBytes })
    : openFileDevice(pending.path, { create: true, truncate: true, sizeBytes });
  const early = earlySync(pending.path);
  const device = gatherDevice(file, (bytes) => early.note(bytes));
  const bar = context.progress('building', attempt.bytes);
  try {
    const auto = job.fixedSize === undefined;
    const features = format.features ?? (auto ? driver.fittedFeatures : undefined);
    const request: FormatRequest = {
      ...format,
      env,
      uuid: attempt.uuid,
      features,
      blockSize: format.blockSize ?? (auto ? plan.blockSize : undefined),
      inodes: format.inodes ?? (auto ? plan.inodes : undefined),
      reservedPercent: format.reservedPercent ?? 0,
      freshFile: !pending.inPlace,
    };
    const told = {
      latest: attempt.latest,
      image: job.image,
      progress: (bytes: number) => bar.add(bytes),
      problem: (line: string) => context.problem(line),
    };
    if (driver.bulkBuild !== undefined) buildAtOnce(driver.bulkBuild, device, { source, format: request, told });
    else await buildMounted(driver, device, { source, format: request, told });
    const settled = device.settle();
    if (!settled.ok) throw settled.error;
  } finally {
    bar.stop();
    device.close();
    await early.finish();
  }
  pending.commit();
  return device.sizeBytes;
}

/** The way of a driver that builds nothing at once: made, mounted, filled. */
async function buildMounted(
  driver: Driver,
  device: BlockDevice,
  job: { readonly source: BuildSource; readonly format: FormatRequest; readonly told: Omit<PopulateOptions, 'blockBytes'> },
): Promise<void> {
  const { populate } = await import('../build/populate.js');
  runSync(driver.mkfs(device, job.format));
  const fs = runSync(driver.mount(device, { env: job.format.env, readOnly: false }));
  populate(fs, job.source, { ...job.told, blockBytes: runSync(fs.statfs()).blockSize });
}

function report(context: Context, result: BuildResult & { seconds: number; image: string; json: boolean }): void {
  const { image, files, directories, others, bytes, sizeBytes, seconds } = result;
  if (result.json) {
    context.json({ image, files, directories, others, bytes, sizeBytes, uuid: uuidText(result.uuid), seconds: Number(seconds.toFixed(3)) });
    return;
  }
  const rest = others > 0 ? `, ${others.toLocaleString('en')} others` : '';
  context.print(
    `${image}: ${sizeText(sizeBytes)}: ${plural(files, 'file')}, ${directories.toLocaleString('en')} ${directories === 1 ? 'directory' : 'directories'}${rest}, ` +
      `${sizeText(bytes)} of data in ${seconds.toFixed(2)} s\n`,
  );
}
