/** `iomap mount IMAGE DIR`: serves an image as a folder, in the background unless `--foreground`. */
import { parseMountOptions, startServer } from '@iomap/fuse';
import { isCode } from '@iomap/io';
import { at, UsageError } from '../errors.js';
import { parseWhole } from '../target.js';
import { flag, text } from './parse.js';
import type { Run } from './table.js';

function optionsOf(list: string): ReturnType<typeof parseMountOptions> {
  try {
    return parseMountOptions(list);
  } catch (error) {
    if (isCode(error, 'EINVAL') && error instanceof Error) throw new UsageError(error.message.replace(/^.*?\((.*)\)$/s, '$1'));
    throw error;
  }
}

export const run: Run = async (_context, args, options) => {
  const target = parseWhole(args[0] ?? '');
  const dir = args[1] ?? '';
  const foreground = flag(options, 'foreground');
  const request = { image: target.label, dir, options: optionsOf(text(options, 'options') ?? ''), foreground };
  const server = await startServer(request).catch((error: unknown) =>
    at({ image: target.label }, () => {
      throw error;
    }),
  );
  if (!foreground) return undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, server.stop);
  return await server.ended;
};
