/** `iomap fsck`: checks an image; exit codes of fsck(8): 0 clean, 4 errors, 8 could not run, 16 usage. */
import { runSync } from '@iomap/io';
import { UsageError } from '../errors.js';
import { plural } from '../format.js';
import { withDevice } from '../image.js';
import { parseWhole } from '../target.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

const ERRORS_LEFT = 4;

export const run: Run = (context, args, options) => {
  const target = parseWhole(args[0] ?? '');
  if (flag(options, 'repair')) throw new UsageError('--repair is not there yet for ext2: run e2fsck');
  return withDevice(target, { write: false }, (device, driver) => {
    const { clean, findings } = runSync(driver.check(device));
    if (flag(options, 'json')) {
      context.json({ image: target.label, type: driver.type, clean, findings });
    } else {
      for (const { code, message } of findings) context.print(`${target.label}: ${code}: ${message}\n`);
      context.print(`${target.label}: ${clean ? 'clean' : plural(findings.length, 'finding')}\n`);
    }
    return clean ? 0 : ERRORS_LEFT;
  });
};
