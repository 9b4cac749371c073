/** `iomap info`: what the superblock says. */
import { runSync } from '@iomap/io';
import { facts as factLines } from '../format.js';
import { withDevice } from '../image.js';
import { parseWhole } from '../target.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

export const run: Run = (context, args, options) => {
  const target = parseWhole(args[0] ?? '');
  return withDevice(target, { write: false }, (device, driver) => {
    const found = runSync(driver.facts(device));
    if (flag(options, 'json')) {
      context.json({ image: target.label, type: driver.type, ...Object.fromEntries(found.map(({ key, value }) => [key, value])) });
      return undefined;
    }
    const lines = found.map(({ label, value }) => [label, Array.isArray(value) ? value.join(' ') : String(value ?? 'none')] as const);
    context.print(factLines([['image', target.label], ['type', driver.type], ...lines]));
    return undefined;
  });
};
