/** `iomap chmod`: octal and symbolic modes. */
import { changedMode } from '../mode.js';
import { editEach, eachBelow, trimmed, typeAt } from './edit.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

export const run: Run = (context, args, options) => {
  const [mode = '', ...targets] = args;
  changedMode(mode, 0o100644); // A wrong mode is a usage error before anything is opened.
  return editEach(context, targets, (editor, given) => {
    const change = (path: string, type: string): void => {
      if (type === 'symlink' && path !== given) return;
      const now = editor.run(path, editor.vfs.stat(path)).mode;
      editor.run(path, editor.vfs.setattr(path, { mode: changedMode(mode, now, process.umask()) & 0o7777 }));
    };
    const path = trimmed(given);
    if (flag(options, 'R')) eachBelow(editor, path, change, typeAt(editor, path));
    else change(given, 'other');
  });
};
