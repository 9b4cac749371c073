#!/usr/bin/env node
/**
 * `umount.fuse.iomap`: what umount(8) calls once it is in /sbin, so that umount returns when all is on the image.
 * `umount.fuse.iomap DIR [-flnrv] [-N NAMESPACE] [-t TYPE]`.
 */
import { parseArgs } from 'node:util';
import { COMMON_OPTIONS } from './helper-options.js';
import { unmount } from './start.js';

const FAILED = 32;

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ...COMMON_OPTIONS,
      force: { type: 'boolean', short: 'f' },
      lazy: { type: 'boolean', short: 'l' },
      readonly: { type: 'boolean', short: 'r' },
    },
  });
  const [dir] = positionals;
  if (dir === undefined) throw new Error('usage: umount.fuse.iomap DIR');
  await unmount(dir, { lazy: values.lazy === true });
} catch (error) {
  process.stderr.write(`umount.fuse.iomap: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = FAILED;
}
