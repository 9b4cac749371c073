/** What the editing commands share: several paths, grouped by their image, each failing on its own. */
import type { Context } from '../context.js';
import { codeOf } from '../errors.js';
import type { Editor } from '../editor.js';
import { withEditor } from '../image.js';
import { shown } from '../names.js';
import { parseInside } from '../target.js';
import type { Name } from '@iomap/vfs';

/**
 * Runs `work` for each path; images are mounted once each, in the order of the first path into them. A failure of one path
 * is reported and the others go on.
 */
export async function editEach(context: Context, args: readonly string[], work: (editor: Editor, path: Name) => void): Promise<undefined> {
  const groups = new Map<string, ReturnType<typeof parseInside>[]>();
  for (const target of args.map((arg) => parseInside(arg, false))) {
    const group = groups.get(target.label);
    if (group === undefined) groups.set(target.label, [target]);
    else group.push(target);
  }
  for (const targets of groups.values()) {
    const [first] = targets;
    if (first === undefined) continue;
    await withEditor(context, first, (editor) => {
      for (const { path, label } of targets) {
        try {
          work(editor, path);
        } catch (error) {
          if (codeOf(error) === undefined) throw error;
          context.failed(error, { image: label, path: shown(path) });
        }
      }
    });
  }
  return undefined;
}

/** A path and all below it, parents first; symlinks are not followed. */
export function eachBelow(editor: Editor, path: Name, visit: (path: Name, type: string) => void, type?: string): void {
  const stack: { path: Name; type: string }[] = [{ path, type: type ?? 'directory' }];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    visit(at.path, at.type);
    if (at.type !== 'directory') continue;
    const base = at.path === '/' ? '' : at.path;
    const entries = [...editor.run(at.path, editor.vfs.readdir(at.path))].sort((a, b) => (a.name < b.name ? 1 : -1));
    for (const entry of entries) {
      const below = `${base}/${entry.name}`;
      const known = entry.type === 'unknown' ? typeAt(editor, below) : entry.type;
      stack.push({ path: below, type: known });
    }
  }
}

/** The type of what a path names, itself. */
export function typeAt(editor: Editor, path: Name): string {
  const { mode } = editor.run(path, editor.vfs.lstat(path));
  return (mode & 0o170000) === 0o040000 ? 'directory' : (mode & 0o170000) === 0o120000 ? 'symlink' : 'other';
}

/** The path without slashes at its end. */
export const trimmed = (path: Name): Name => path.replace(/\/+$/, '') || '/';

/** Its last name and the directory before it. */
export function split(path: Name): { readonly folder: Name; readonly name: Name } {
  const clean = trimmed(path);
  const slash = clean.lastIndexOf('/');
  return { folder: clean.slice(0, slash) || '/', name: clean.slice(slash + 1) };
}
