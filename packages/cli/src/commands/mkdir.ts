/** `iomap mkdir`. */
import { isCode, runSync } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import type { Editor } from '../editor.js';
import { at, UsageError } from '../errors.js';
import { changedMode } from '../mode.js';
import { shown } from '../names.js';
import { editEach, split, trimmed, typeAt } from './edit.js';
import { flag, text } from './parse.js';
import type { Run } from './table.js';

export const run: Run = (context, args, options) => {
  const asked = text(options, 'm');
  const mode = asked === undefined ? undefined : changedMode(asked, 0o040777, 0) & 0o7777;
  if (asked === '') throw new UsageError('-m: no mode');
  return editEach(context, args, (editor, given) => {
    const path = trimmed(given);
    if (flag(options, 'p') && makeParents(editor, path)) return;
    editor.run(path, editor.vfs.mkdir(path, 0o777));
    if (mode !== undefined) editor.run(path, editor.vfs.setattr(path, { mode }));
  });
};

/** Makes what is missing above `path`. @returns true when `path` itself is a directory already */
function makeParents(editor: Editor, path: Name): boolean {
  return at({ image: editor.label, path: shown(path) }, () => {
    try {
      const { mode } = runSync(editor.vfs.stat(path));
      if ((mode & 0o170000) === 0o040000) return true;
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
    if (path === '/') return true;
    const { folder } = split(path);
    if (!makeParents(editor, folder) && !isThere(editor, folder)) runSync(editor.vfs.mkdir(folder, 0o777));
    return false;
  });
}

const isThere = (editor: Editor, path: Name): boolean => {
  try {
    typeAt(editor, path);
    return true;
  } catch {
    return false;
  }
};
