/** `iomap tar`: a PAX archive on standard output. */
import { at, UsageError } from '../errors.js';
import { withTree } from '../image.js';
import { typeOf } from '../mode.js';
import { shown } from '../names.js';
import { memberShown, writeTar } from '../tar/writer.js';
import { parseInside } from '../target.js';
import type { Run } from './table.js';

export const run: Run = (context, args) => {
  const target = parseInside(args[0] ?? '', true);
  if (context.terminal.outIsTerminal) throw new UsageError('an archive is not for a terminal: send it to a file or a pipe');
  return withTree(target, async (tree) => {
    const top = at({ image: target.label, path: shown(target.path) }, () => tree.resolve(target.path));
    const name = typeOf(top.mode) === 'directory' ? undefined : target.path.slice(target.path.lastIndexOf('/') + 1);
    await writeTar(tree, top, (bytes) => context.terminal.out(bytes), {
      ...(name === undefined ? {} : { name }),
      problem: (path, what) => context.problem(`${target.label}: ${memberShown(path)}: ${what}`),
      warning: (path, what) => context.warn(`${target.label}: ${memberShown(path)}: ${what}`),
    });
    return undefined;
  });
};
