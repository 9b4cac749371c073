/** `iomap umount DIR`: unmounts; when it returns, all is on the image and its server is gone. */
import { unmount } from '@iomap/fuse';
import { flag } from './parse.js';
import type { Run } from './table.js';

export const run: Run = async (_context, args, options) => {
  await unmount(args[0] ?? '', { lazy: flag(options, 'lazy') });
  return undefined;
};
