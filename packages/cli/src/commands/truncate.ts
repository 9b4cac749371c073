/** `iomap truncate -s SIZE`: a file's size, absolute or relative; makes what is not there, as truncate(1). */
import { isCode, runSync } from '@iomap/io';
import { O_CREAT, O_WRONLY } from '@iomap/vfs';
import { at, UsageError } from '../errors.js';
import { parseSize } from '../format.js';
import { shown } from '../names.js';
import { editEach } from './edit.js';
import { text } from './parse.js';
import type { Run } from './table.js';

export const run: Run = (context, args, options) => {
  const asked = text(options, 's');
  if (asked === undefined) throw new UsageError('-s SIZE is needed');
  const sign = /^[+-]/.test(asked) ? asked.slice(0, 1) : '';
  const amount = parseSize(asked.slice(sign.length));
  return editEach(context, args, (editor, path) => {
    at({ image: editor.label, path: shown(path) }, () => {
      const { vfs } = editor;
      let size = 0;
      try {
        ({ size } = runSync(vfs.stat(path)));
      } catch (error) {
        if (!isCode(error, 'ENOENT')) throw error;
        runSync(vfs.close(runSync(vfs.open(path, O_WRONLY | O_CREAT, 0o666))));
      }
      const wanted = sign === '+' ? size + amount : sign === '-' ? Math.max(0, size - amount) : amount;
      runSync(vfs.truncate(path, wanted));
    });
  });
};
