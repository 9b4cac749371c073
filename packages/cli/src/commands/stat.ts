/** `iomap stat`: all that an inode says. */
import { codeOf, at } from '../errors.js';
import { facts, isoTime } from '../format.js';
import { withTree } from '../image.js';
import { majorOf, minorOf, modeString, typeOf } from '../mode.js';
import { shown, toText } from '../names.js';
import { parseInside } from '../target.js';
import { attributeText, jsonFacts } from './describe.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

export const run: Run = async (context, args, options) => {
  const results: unknown[] = [];
  for (const arg of args) {
    const target = parseInside(arg, true);
    try {
      await withTree(target, (tree) => {
        const where = { image: target.label, path: shown(target.path) };
        const inode = at(where, () => tree.resolve(target.path, flag(options, 'L')));
        if (flag(options, 'json')) {
          results.push(at(where, () => jsonFacts(tree, target.path, inode, true)));
          return;
        }
        const type = typeOf(inode.mode);
        const isDevice = type === 'char' || type === 'block';
        const link = type === 'symlink' ? ` -> ${shown(tree.link(inode))}` : '';
        const xattrs = at(where, () => [...tree.xattrs(inode)]);
        context.print(
          facts([
            ['path', `${shown(target.path)}${link}`],
            ['type', isDevice ? `${type} ${majorOf(inode.rdev)}, ${minorOf(inode.rdev)}` : type],
            ['inode', String(inode.ino)],
            ['mode', `${(inode.mode & 0o7777).toString(8).padStart(4, '0')} ${modeString(inode.mode)}`],
            ['owner', `${inode.uid}:${inode.gid}`],
            ['links', String(inode.nlink)],
            ['size', `${inode.size} bytes, ${inode.blocks} blocks of 512`],
            ['access', isoTime(inode.atime)],
            ['modify', isoTime(inode.mtime)],
            ['change', isoTime(inode.ctime)],
            ...(inode.btime === undefined ? [] : [['birth', isoTime(inode.btime)] as const]),
            ...xattrs.map(([name, value]) => ['xattr', `${toText(name)}=${attributeText(value)}`] as const),
          ]),
        );
      });
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      context.failed(error, { image: target.label });
    }
  }
  if (flag(options, 'json') && results.length > 0) context.json(args.length === 1 ? results[0] : results);
  return undefined;
};
