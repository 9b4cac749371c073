#!/usr/bin/env node
/**
 * `mount.fuse.iomap`: what mount(8) calls for `-t fuse.iomap` and for fstab, once it is in /sbin.
 * `mount.fuse.iomap IMAGE DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS]`; exit codes of mount(8).
 */
import { parseArgs } from 'node:util';
import { COMMON_OPTIONS } from './helper-options.js';
import { parseMountOptions } from './options.js';
import { startServer } from './start.js';

const USAGE = 1;
const FAILED = 32;

function argumentsOf(): { image: string; dir: string; options: string; fake: boolean } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ...COMMON_OPTIONS,
      sloppy: { type: 'boolean', short: 's' },
      fake: { type: 'boolean', short: 'f' },
      options: { type: 'string', short: 'o', multiple: true },
    },
  });
  const [image, dir] = positionals;
  if (image === undefined || dir === undefined) throw new Error('usage: mount.fuse.iomap IMAGE DIR [-o OPTIONS]');
  return { image, dir, options: (values.options ?? []).join(','), fake: values.fake === true };
}

try {
  const { image, dir, options, fake } = argumentsOf();
  const parsed = parseMountOptions(options);
  if (!fake) await startServer({ image, dir, options: parsed });
} catch (error) {
  process.stderr.write(`mount.fuse.iomap: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof Error && /^usage|option/i.test(error.message) ? USAGE : FAILED;
}
