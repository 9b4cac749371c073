/** `iomap rm`. */
import { isCode, runSync } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import type { Context } from '../context.js';
import type { Editor } from '../editor.js';
import { at, codeOf, CommandError } from '../errors.js';
import { shown } from '../names.js';
import { editEach, eachBelow, trimmed, typeAt } from './edit.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

export const run: Run = (context, args, options) =>
  editEach(context, args, (editor, given) => {
    const path = trimmed(given);
    const where = { image: editor.label, path: shown(path) };
    if (path === '/') throw new CommandError('EBUSY', 'the root stays', where);
    let type: string;
    try {
      type = at(where, () => runType(editor, path));
    } catch (error) {
      if (flag(options, 'f') && codeOf(error) === 'ENOENT') return;
      throw error;
    }
    if (type !== 'directory') {
      editor.run(path, editor.vfs.unlink(path));
      return;
    }
    if (!flag(options, 'r')) throw new CommandError('EISDIR', 'is a directory (-r removes it with all below)', where);
    removeTree(context, editor, path);
  });

function runType(editor: Editor, path: Name): string {
  try {
    return typeAt(editor, path);
  } catch (error) {
    if (isCode(error, 'ENOTDIR')) throw new CommandError('ENOTDIR', 'a part of the path is not a directory');
    throw error;
  }
}

function removeTree(context: Context, editor: Editor, path: Name): void {
  const directories: Name[] = [];
  const fail = (error: unknown, at_: Name): void => {
    if (codeOf(error) === undefined) throw error;
    context.failed(error, { image: editor.label, path: shown(at_) });
  };
  eachBelow(editor, path, (below, type) => {
    if (type === 'directory') {
      directories.push(below);
      return;
    }
    try {
      runSync(editor.vfs.unlink(below));
    } catch (error) {
      fail(error, below);
    }
  });
  for (let i = directories.length - 1; i >= 0; i--) {
    const below = directories[i] ?? path;
    try {
      runSync(editor.vfs.rmdir(below));
    } catch (error) {
      fail(error, below);
    }
  }
}
