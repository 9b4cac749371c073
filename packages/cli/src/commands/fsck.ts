/** `iomap fsck`: checks and repairs an image; exit codes of fsck(8): 0 clean, 1 repaired, 4 errors left, 8 could not run, 16 usage. */
import { readFileSync, writeFileSync } from 'node:fs';
import { runSync } from '@iomap/io';
import type { Context } from '../context.js';
import type { Finding } from '../drivers.js';
import { at, UsageError } from '../errors.js';
import { plural } from '../format.js';
import { withDevice } from '../image.js';
import { parseWhole, type ImageTarget } from '../target.js';
import { flag, text } from './parse.js';
import type { Options, Run } from './table.js';

const REPAIRED = 1;
const ERRORS_LEFT = 4;

export const run: Run = (context, args, options) => {
  const target = parseWhole(args[0] ?? '');
  const restore = text(options, 'restore');
  const doRepair = flag(options, 'repair');
  if (restore !== undefined && doRepair) throw new UsageError('--restore and --repair: one at a time');
  if (!doRepair && (flag(options, 'dryRun') || text(options, 'undo') !== undefined)) {
    throw new UsageError('--dry-run and --undo go with --repair');
  }
  if (restore !== undefined) return undo(context, target, restore, text(options, 'type'));
  if (doRepair) return repair(context, target, options);
  return withDevice(target, { write: false, type: text(options, 'type') }, (device, driver) => {
    const { clean, findings } = runSync(driver.check(device));
    if (flag(options, 'json')) {
      context.json({ image: target.label, type: driver.type, clean, findings });
    } else {
      printLines(context, target, findings);
      context.print(`${target.label}: ${clean ? 'clean' : plural(findings.length, 'finding')}\n`);
    }
    return clean ? 0 : ERRORS_LEFT;
  });
};

function printLines(context: Context, target: ImageTarget, lines: readonly Finding[]): void {
  for (const { code, message } of lines) context.print(`${target.label}: ${code}: ${message}\n`);
}

function repair(context: Context, target: ImageTarget, options: Options): Promise<number> {
  const dryRun = flag(options, 'dryRun');
  const undoFile = text(options, 'undo');
  return withDevice(target, { write: !dryRun, type: text(options, 'type') }, (device, driver) => {
    if (driver.repair === undefined) throw new UsageError(`--repair is not there yet for ${driver.type}: run its own fsck`);
    const outcome = runSync(
      driver.repair(device, {
        dryRun,
        ...(undoFile === undefined ? {} : { beforeWrite: (bytes) => at({ image: undoFile }, () => writeFileSync(undoFile, bytes, { flag: 'wx' })) }),
      }),
    );
    const { clean, fixes, findings } = outcome;
    if (flag(options, 'json')) {
      context.json({ image: target.label, type: driver.type, clean, fixes, findings });
    } else {
      printLines(context, target, fixes);
      if (!clean) printLines(context, target, findings);
      const done = fixes.length === 0 ? 'clean' : `${fixes.length.toLocaleString('en')} ${fixes.length === 1 ? 'fix' : 'fixes'}${dryRun ? ' to make' : ''}`;
      context.print(`${target.label}: ${done}${clean ? '' : `, ${plural(findings.length, 'finding')} left`}\n`);
    }
    if (!clean || (dryRun && fixes.length > 0)) return ERRORS_LEFT;
    return fixes.length === 0 ? 0 : REPAIRED;
  });
}

function undo(context: Context, target: ImageTarget, file: string, type: string | undefined): Promise<number> {
  const bytes = at({ image: file }, () => readFileSync(file));
  return withDevice(target, { write: true, type }, (device, driver) => {
    if (driver.undo === undefined) throw new UsageError(`--restore is not there for ${driver.type}`);
    runSync(driver.undo(device, bytes));
    context.print(`${target.label}: as it was before the repair\n`);
    return 0;
  });
}
