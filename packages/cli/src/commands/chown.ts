/** `iomap chown`: numeric owners (an image's users are not the host's), and `root`. */
import { UsageError } from '../errors.js';
import { editEach, eachBelow, trimmed, typeAt } from './edit.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

function id(text: string): number | undefined {
  if (text === '') return undefined;
  if (text === 'root') return 0;
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > 0xffff_fffe) {
    throw new UsageError(`not a numeric owner: ${text} (an image's users are not this system's)`);
  }
  return Number(text);
}

/** `UID`, `UID:GID`, `:GID`, `UID:` (the group too, as chown(1) would take it from the user: the same number). */
function parseOwner(text: string): { readonly uid?: number; readonly gid?: number } {
  const [user = '', group] = text.split(':');
  const uid = id(user);
  const gid = group === undefined ? undefined : group === '' ? uid : id(group);
  if (text.split(':').length > 2 || (uid === undefined && gid === undefined)) throw new UsageError(`not an owner: ${text}`);
  return { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
}

export const run: Run = (context, args, options) => {
  const [owner = '', ...targets] = args;
  const change = parseOwner(owner);
  return editEach(context, targets, (editor, given) => {
    const path = trimmed(given);
    if (!flag(options, 'R')) {
      editor.run(given, editor.vfs.setattr(given, change));
      return;
    }
    eachBelow(editor, path, (below) => editor.run(below, editor.vfs.setattr(below, change, false)), typeAt(editor, path));
  });
};
