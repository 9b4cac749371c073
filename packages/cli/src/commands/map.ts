/** `iomap map`: where a file's data is, as a table and as a picture. */
import { runSync } from '@iomap/io';
import type { FiemapExtent } from '@iomap/vfs';
import { at, CommandError } from '../errors.js';
import { columns, plural, sizeText } from '../format.js';
import { withTree } from '../image.js';
import { typeOf } from '../mode.js';
import { jsonName, shown } from '../names.js';
import { drawMap } from '../picture.js';
import { parseInside } from '../target.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

const ROWS_MAX = 10_000_000;

export const run: Run = (context, args, options) => {
  const target = parseInside(args[0] ?? '', false);
  return withTree(target, (tree, fs) => {
    const where = { image: target.label, path: shown(target.path) };
    const extents: FiemapExtent[] = [];
    const inode = at(where, () => tree.resolve(target.path));
    const type = typeOf(inode.mode);
    if (type !== 'file' && type !== 'directory') throw new CommandError('EINVAL', `a ${type} has no map`, where);
    at(where, () =>
      runSync(
        fs.fiemap(inode, 0, Number.MAX_SAFE_INTEGER, (extent) => {
          extents.push(extent);
          return extents.length < ROWS_MAX;
        }),
      ),
    );
    const { blockSize, blocks } = at(where, () => runSync(fs.statfs()));
    if (flag(options, 'json')) {
      context.json({ image: target.label, ...jsonName('path', target.path), size: inode.size, blockSize, extents });
      return undefined;
    }
    context.print(mapText(extents, { size: inode.size, blockSize, deviceBytes: blocks * blockSize }, context.terminal));
    return undefined;
  });
};

export interface MapFacts {
  readonly size: number;
  readonly blockSize: number;
  readonly deviceBytes: number;
}

/** The table and the two pictures. */
export function mapText(extents: readonly FiemapExtent[], map: MapFacts, terminal: { readonly columns: number; readonly outIsTerminal: boolean }): string {
  const rows = extents.map((extent, i) => [
    String(i),
    `${extent.logical}..${extent.logical + extent.length - 1}`,
    `${extent.physical}..${extent.physical + extent.length - 1}`,
    sizeText(extent.length),
    String(extent.physical / map.blockSize),
    extent.flags.join(','),
  ]);
  const mapped = extents.reduce((sum, extent) => sum + extent.length, 0);
  const table = columns([['#', 'in the file', 'on the device', 'length', 'block', 'flags'], ...rows], new Set([0, 1, 2, 3, 4]));
  const summary = `${plural(extents.length, 'extent')}, ${sizeText(mapped)} of ${sizeText(map.size)} mapped\n`;
  return `${table.map((line) => `${line}\n`).join('')}${summary}\n${drawMap(extents, map, Math.min(terminal.columns, 100))}`;
}
