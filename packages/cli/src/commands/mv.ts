/** `iomap mv`: renames inside one image. */
import { existsSync } from 'node:fs';
import { isCode, runSync } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import type { Editor } from '../editor.js';
import { codeOf, CommandError, UsageError } from '../errors.js';
import { withEditor } from '../image.js';
import { shown, toName } from '../names.js';
import { parseEither, parseInside } from '../target.js';
import { split, trimmed } from './edit.js';
import type { Run } from './table.js';

export const run: Run = async (context, args) => {
  if (args.length < 2) throw new UsageError('what to move, and where to');
  const sources = args.slice(0, -1).map((arg) => parseInside(arg, false));
  const last = args.at(-1) ?? '';
  const [first] = sources;
  if (first === undefined) throw new UsageError('what to move, and where to');
  // A bare path names a place in the same image.
  const dest = parseEither(last) ?? (last.startsWith('/') && !existsSync(last) ? { ...first, path: toName(last) } : parseInside(last, true));
  for (const source of sources) {
    if (source.label !== dest.label) {
      throw new CommandError('EXDEV', `not the image of the target (${dest.label}): copy it with cp, then rm`, { image: source.label, path: shown(source.path) });
    }
  }
  await withEditor(context, dest, (editor) => {
    const into = isDirectory(editor, dest.path);
    if (sources.length > 1 && !into) throw new CommandError('ENOTDIR', 'not a directory', { image: dest.label, path: shown(dest.path) });
    for (const source of sources) {
      const from = trimmed(source.path);
      try {
        const to = into ? `${trimmed(dest.path) === '/' ? '' : trimmed(dest.path)}/${split(from).name}` : trimmed(dest.path);
        editor.run(from, editor.vfs.rename(from, to));
      } catch (error) {
        if (codeOf(error) === undefined) throw error;
        context.failed(error, { image: source.label, path: shown(from) });
      }
    }
  });
  return undefined;
};

export function isDirectory(editor: Editor, path: Name): boolean {
  try {
    return (runSync(editor.vfs.stat(path)).mode & 0o170000) === 0o040000;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
