/** `iomap ln`: `ln IMAGE:/file IMAGE:/name` for a hard link, `ln -s TEXT IMAGE:/name` for a symbolic one. */
import { isCode, runSync } from '@iomap/io';
import type { Editor } from '../editor.js';
import type { Attr, Name } from '@iomap/vfs';
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
    const existing_ = source === undefined ? undefined : editor.run(from, editor.vfs.lstat(from));
    const make = (path: Name): void => editor.run(to, source === undefined ? editor.vfs.symlink(from, path) : editor.vfs.link(from, path));
    const old = flag(options, 'f') ? oldAt(editor, to) : undefined;
    if (old === undefined) make(to);
    else if (old.ino !== existing_?.ino) replace(editor, to, make);
    else if (old.nlink === 1) throw new CommandError('EINVAL', 'source and target are the same file', { image: dest.label, path: shown(to) });
    // Else the new name leads there already.
  });
  return undefined;
};

function oldAt(editor: Editor, path: Name): Attr | undefined {
  try {
    return runSync(editor.vfs.lstat(path));
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
    return undefined;
  }
}

/** Makes it beside the old one and renames it over: what fails leaves the old one as it was. */
function replace(editor: Editor, path: Name, make: (path: Name) => void): void {
  const { folder } = split(path);
  const temporary = `${folder === '/' ? '' : folder}/.iomap-${process.pid}`;
  make(temporary);
  try {
    editor.run(path, editor.vfs.rename(temporary, path));
  } catch (error) {
    runSync(editor.vfs.unlink(temporary));
    throw error;
  }
}
