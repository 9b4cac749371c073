/** `iomap cat`: files' bytes on standard output. */
import { at, codeOf, CommandError } from '../errors.js';
import { withTree } from '../image.js';
import { typeOf } from '../mode.js';
import { shown } from '../names.js';
import { parseInside } from '../target.js';
import type { Run } from './table.js';

export const run: Run = async (context, args) => {
  const chunk = Buffer.allocUnsafe(1024 * 1024);
  for (const arg of args) {
    const target = parseInside(arg, false);
    const where = { image: target.label, path: shown(target.path) };
    try {
      await withTree(target, (tree) => {
        const inode = at(where, () => tree.resolve(target.path));
        const type = typeOf(inode.mode);
        if (type === 'directory') throw new CommandError('EISDIR', 'is a directory', where);
        if (type !== 'file') throw new CommandError('EINVAL', `a ${type} has no content here`, where);
        for (let pos = 0; pos < inode.size; ) {
          const bytes = chunk.subarray(0, Math.min(chunk.length, inode.size - pos));
          const got = at(where, () => tree.read(inode, pos, bytes));
          if (got === 0) throw new CommandError('EIO', 'the file ended before its size', where);
          context.terminal.out(bytes.subarray(0, got));
          pos += got;
        }
      });
    } catch (error) {
      const code = codeOf(error);
      if (code === undefined || code === 'EPIPE') throw error;
      context.failed(error, { image: target.label });
    }
  }
  return undefined;
};
