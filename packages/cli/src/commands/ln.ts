/** `iomap ln`: `ln IMAGE:/file IMAGE:/name` for a hard link, `ln -s TEXT IMAGE:/name` for a symbolic one. */
import { isCode, runSync } from '@iomap/io';
import type { Editor } from '../editor.js';
import type { Name } from '@iomap/vfs';
import { CommandError } from '../errors.js';
import { withEditor } from '../image.js';
import { shown, toName } from '../names.js';
import { parseEither, parseInside } from '../target.js';
import { split, trimmed } from './edit.js';
import { isDirectory } from './mv.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

export const run: Run = async (context, args, options) => {
  const [existing = '', name = ''] = args;
  const dest = parseInside(name, false);
  const symbolic = flag(options, 's');
  // A bare path names a file of the same image.
  const source = symbolic ? undefined : (parseEither(existing) ?? { ...dest, path: toName(existing) });
  if (source !== undefined && source.label !== dest.label) {
    throw new CommandError('EXDEV', `not the image of the new name (${dest.label})`, { image: source.label, path: shown(source.path) });
  }
  await withEditor(context, dest, (editor) => {
    const from = source?.path ?? toName(existing);
    const to = isDirectory(editor, dest.path) ? `${trimmed(dest.path) === '/' ? '' : trimmed(dest.path)}/${split(from).name}` : dest.path;
    if (source !== undefined) editor.run(from, editor.vfs.lstat(from));
    if (flag(options, 'f')) removeOld(editor, to);
    editor.run(to, source === undefined ? editor.vfs.symlink(from, to) : editor.vfs.link(from, to));
  });
  return undefined;
};

function removeOld(editor: Editor, path: Name): void {
  try {
    runSync(editor.vfs.unlink(path));
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
}
