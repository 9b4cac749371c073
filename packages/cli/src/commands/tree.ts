/** `iomap tree`: directories, drawn. */
import type { Name } from '@iomap/vfs';
import { at, codeOf } from '../errors.js';
import { plural } from '../format.js';
import { withTree } from '../image.js';
import { typeOf } from '../mode.js';
import { jsonName, shown } from '../names.js';
import { parseInside } from '../target.js';
import { count, flag } from './parse.js';
import type { Run } from './table.js';

interface Node {
  readonly name: Name;
  readonly type: string;
  readonly target?: Name;
  children?: Node[];
}

export const run: Run = (context, args, options) => {
  const target = parseInside(args[0] ?? '', true);
  const depthMax = count(options, 'depth', '--depth') ?? Number.POSITIVE_INFINITY;
  const all = flag(options, 'a');
  return withTree(target, (tree) => {
    const top = at({ image: target.label, path: shown(target.path) }, () => tree.resolve(target.path));
    const seen = new Set<number>();
    let directories = 0;
    let files = 0;
    const json = flag(options, 'json');
    // One line is printed as its entry is met: a large tree is not held (but for JSON).
    const walk = (ino: number, path: Name, prefix: string, depth: number): Node[] => {
      if (depth > depthMax || seen.has(ino) || depth > 1000) return [];
      seen.add(ino);
      const nodes: Node[] = [];
      const entries = tree.list(tree.inode(ino)).filter(({ name }) => all || !name.startsWith('.'));
      entries.forEach(({ name, ino: child }, i) => {
        const isLast = i === entries.length - 1;
        const where = { image: target.label, path: shown(`${path}/${name}`) };
        try {
          const inode = tree.inode(child);
          const type = typeOf(inode.mode);
          const link = type === 'symlink' ? tree.link(inode) : undefined;
          const node: Node = link === undefined ? { name, type } : { name, type, target: link };
          if (!json) context.print(`${prefix}${isLast ? '└── ' : '├── '}${shown(name)}${link === undefined ? '' : ` -> ${shown(link)}`}\n`);
          if (type === 'directory') {
            directories++;
            node.children = walk(child, `${path}/${name}`, `${prefix}${isLast ? '    ' : '│   '}`, depth + 1);
          } else files++;
          if (json) nodes.push(node);
        } catch (error) {
          if (codeOf(error) === undefined) throw error;
          context.failed(error, where);
        }
      });
      return nodes;
    };
    if (!json) context.print(`${shown(target.path)}\n`);
    const base = target.path.replace(/\/+$/, '');
    const nodes = walk(top.ino, base, '', 1);
    if (json) context.json({ ...jsonName('path', target.path), directories, files, children: nodes.map(asJson) });
    else context.print(`\n${directories} ${directories === 1 ? 'directory' : 'directories'}, ${plural(files, 'file')}\n`);
    return undefined;
  });
};

const asJson = (node: Node): unknown => ({
  ...jsonName('name', node.name),
  type: node.type,
  ...(node.target === undefined ? {} : jsonName('target', node.target)),
  ...(node.children === undefined ? {} : { children: node.children.map(asJson) }),
});
