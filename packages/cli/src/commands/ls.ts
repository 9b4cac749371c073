/** `iomap ls`: directories as ls(1) shows them. */
import type { Inode, Name } from '@iomap/vfs';
import type { Context } from '../context.js';
import { at, codeOf } from '../errors.js';
import { withTree } from '../image.js';
import { typeOf } from '../mode.js';
import { shown } from '../names.js';
import { parseInside, type ImageTarget } from '../target.js';
import type { ImageTree } from '../tree.js';
import { described, jsonFacts, longLines, type Described } from './describe.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

interface Wanted {
  readonly long: boolean;
  readonly all: boolean;
  readonly recursive: boolean;
  readonly self: boolean;
  readonly inodes: boolean;
  readonly json: boolean;
}

export const run: Run = async (context, args, options) => {
  const wanted: Wanted = {
    long: flag(options, 'l'),
    all: flag(options, 'a'),
    recursive: flag(options, 'R'),
    self: flag(options, 'd'),
    inodes: flag(options, 'i'),
    json: flag(options, 'json'),
  };
  const facts: unknown[] = [];
  for (const [i, arg] of args.entries()) {
    const target = parseInside(arg, true);
    const headed = args.length > 1 || wanted.recursive;
    try {
      await withTree(target, (tree) => {
        new Lister(context, tree, target, wanted, facts).list(headed, i === 0);
      });
    } catch (error) {
      // The others are still listed.
      if (codeOf(error) === undefined || args.length === 1) throw error;
      context.failed(error, { image: target.label });
    }
  }
  if (wanted.json) context.json(facts);
  return undefined;
};

class Lister {
  private readonly seen = new Set<number>();

  constructor(
    private readonly context: Context,
    private readonly tree: ImageTree,
    private readonly target: ImageTarget & { readonly path: Name },
    private readonly wanted: Wanted,
    private readonly facts: unknown[],
  ) {}

  list(headed: boolean, isFirst: boolean): void {
    const { path } = this.target;
    const inode = at({ image: this.target.label, path: shown(path) }, () => this.tree.resolve(path, !this.wanted.self && !this.wanted.long));
    if (typeOf(inode.mode) !== 'directory' || this.wanted.self) {
      this.show(path, [described(this.tree, path, inode)], '');
      return;
    }
    const stack: { path: Name; ino: number }[] = [{ path: path.replace(/\/+$/, '') || '/', ino: inode.ino }];
    let first = isFirst;
    for (let dir = stack.pop(); dir !== undefined; dir = stack.pop()) {
      const heading = headed && !this.wanted.json ? `${first ? '' : '\n'}${shown(dir.path)}:\n` : '';
      first = false;
      try {
        this.directory(dir, heading, stack);
      } catch (error) {
        if (codeOf(error) === undefined) throw error;
        this.context.failed(error, { image: this.target.label, path: shown(dir.path) });
      }
    }
  }

  private directory(dir: { path: Name; ino: number }, heading: string, stack: { path: Name; ino: number }[]): void {
    if (this.seen.has(dir.ino)) return;
    this.seen.add(dir.ino);
    const inode = this.tree.inode(dir.ino);
    const base = dir.path === '/' ? '' : dir.path;
    const names = this.tree.list(inode).filter(({ name }) => this.wanted.all || !name.startsWith('.'));
    const needInodes = this.wanted.long || this.wanted.json || this.wanted.recursive;
    if (!needInodes) {
      this.short(names.map(({ name, ino }) => (this.wanted.inodes ? `${ino} ${shown(name)}` : shown(name))), heading);
      return;
    }
    const entries: Described[] = [];
    if (this.wanted.all && !this.wanted.json) entries.push(described(this.tree, '.', inode), described(this.tree, '..', this.parent(base, inode)));
    const below: { path: Name; ino: number }[] = [];
    for (const { name, ino } of names) {
      try {
        const entry = described(this.tree, name, this.tree.inode(ino));
        entries.push(entry);
        if (typeOf(entry.inode.mode) === 'directory') below.push({ path: `${base}/${name}`, ino });
      } catch (error) {
        if (codeOf(error) === undefined) throw error;
        this.context.failed(error, { image: this.target.label, path: shown(`${base}/${name}`) });
      }
    }
    this.show(dir.path, entries, heading);
    if (this.wanted.recursive) stack.push(...below.reverse());
  }

  private parent(base: Name, inode: Inode): Inode {
    return base === '' ? inode : this.tree.resolve(base.slice(0, base.lastIndexOf('/')) || '/');
  }

  private show(dir: Name, entries: readonly Described[], heading: string): void {
    if (this.wanted.json) {
      for (const { name, inode } of entries) {
        const path = name.startsWith('/') ? name : `${dir === '/' ? '' : dir}/${name}`;
        this.facts.push(jsonFacts(this.tree, path, inode, false));
      }
      return;
    }
    if (!this.wanted.long) {
      this.short(entries.map(({ name, inode }) => (this.wanted.inodes ? `${inode.ino} ${shown(name)}` : shown(name))), heading);
      return;
    }
    const blocks = entries.reduce((sum, { inode }) => sum + inode.blocks, 0);
    const total = heading === '' && entries[0]?.name.startsWith('/') === true ? '' : `total ${Math.ceil(blocks / 2)}\n`;
    this.context.print(`${heading}${total}${longLines(entries, this.wanted).map((line) => `${line}\n`).join('')}`);
  }

  /** Names alone: in columns on a terminal, one a line elsewhere. */
  private short(names: readonly string[], heading: string): void {
    const { terminal } = this.context;
    if (!terminal.outIsTerminal || names.length === 0) {
      this.context.print(`${heading}${names.map((name) => `${name}\n`).join('')}`);
      return;
    }
    const width = Math.max(...names.map((name) => name.length)) + 2;
    const across = Math.max(1, Math.floor(terminal.columns / width));
    const down = Math.ceil(names.length / across);
    let text = heading;
    for (let row = 0; row < down; row++) {
      const cells: string[] = [];
      for (let i = row; i < names.length; i += down) cells.push(names[i] ?? '');
      text += `${cells.map((cell) => cell.padEnd(width)).join('').trimEnd()}\n`;
    }
    this.context.print(text);
  }
}
