/**
 * `iomap cp`: host to image, image to host, inside an image, image to image; `-r` trees, `-p` with attributes.
 *
 * What is made in an image without `-p` belongs to 0:0. Each path fails on its own; what could be copied is.
 */
import { closeSync, openSync, realpathSync, statSync, type Stats } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type { Inode, Name } from '@iomap/vfs';
import type { Context } from '../context.js';
import { copyIntoImage } from '../copy/into-image.js';
import type { Editor } from '../editor.js';
import { at, codeOf, CommandError, placed, UsageError } from '../errors.js';
import { copyOut, HostWriter } from '../host/write.js';
import { withEditor, withTree } from '../image.js';
import { typeOf } from '../mode.js';
import { shown, toName } from '../names.js';
import { hostSource } from '../source/folder.js';
import { imageSource } from '../source/image.js';
import { totalsOf, type Source } from '../source/source.js';
import { parseEither, type ImageTarget } from '../target.js';
import { writeFully } from '../terminal.js';
import { isPlainName } from '../tar/writer.js';
import type { ImageTree } from '../tree.js';
import { split, trimmed } from './edit.js';
import { ontoHost } from './extract.js';
import { isDirectory } from './mv.js';
import { flag } from './parse.js';
import type { Run } from './table.js';

type Inside = ImageTarget & { readonly path: Name };

interface Wanted {
  readonly recursive: boolean;
  readonly preserve: boolean;
}

export const run: Run = async (context, args, options) => {
  if (args.length < 2) throw new UsageError('what to copy, and where to');
  const wanted: Wanted = { recursive: flag(options, 'r'), preserve: flag(options, 'p') };
  const sources = args.slice(0, -1).map((text) => ({ text, inside: parseEither(text) }));
  const lastArg = args.at(-1) ?? '';
  const dest = parseEither(lastArg);
  if (dest !== undefined) {
    await intoImage(context, sources, dest, wanted);
    return undefined;
  }
  if (sources.every(({ inside }) => inside === undefined)) {
    throw new UsageError('neither side is in an image: write IMAGE:/path');
  }
  await ontoTheHost(context, sources, lastArg, wanted);
  return undefined;
};

interface Given {
  readonly text: string;
  readonly inside: Inside | undefined;
}

/** Runs one source's work; its failure is told and the next one goes on. */
async function each(context: Context, given: readonly Given[], work: (one: Given) => Promise<void>): Promise<void> {
  for (const one of given) {
    try {
      await work(one);
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      context.failed(error, one.inside === undefined ? { image: one.text } : { image: one.inside.label, path: shown(one.inside.path) });
    }
  }
}

// Into an image -------------------------------------------------------------------------------------------------------

async function intoImage(context: Context, given: readonly Given[], dest: Inside, wanted: Wanted): Promise<void> {
  await withEditor(context, dest, async (editor) => {
    const into = isDirectory(editor, dest.path);
    if (!into && (given.length > 1 || dest.path.endsWith('/'))) {
      throw new CommandError(isThere(editor, dest.path) ? 'ENOTDIR' : 'ENOENT', 'no such directory', { image: dest.label, path: shown(dest.path) });
    }
    const placeOf = (name: Name): Name =>
      into && isPlainName(name) ? `${trimmed(dest.path) === '/' ? '' : trimmed(dest.path)}/${name}` : trimmed(dest.path);
    await each(context, given, async ({ text, inside }) => {
      if (inside === undefined) {
        const name = toName(basename(resolve(text)));
        const source = await hostSource(text, { recursive: wanted.recursive, xattrs: wanted.preserve });
        copyOne(context, editor, source, placeOf(name), wanted);
        return;
      }
      const name = split(inside.path).name;
      if (inside.label === dest.label || sameFile(inside, dest)) insideOne(context, editor, inside, placeOf(name), wanted);
      else await withTree(inside, (tree) => copyOne(context, editor, partOf(tree, inside, wanted), placeOf(name), wanted));
    });
  });
}

const isThere = (editor: Editor, path: Name): boolean => {
  try {
    editor.run(path, editor.vfs.lstat(trimmed(path)));
    return true;
  } catch {
    return false;
  }
};

const sameFile = (a: ImageTarget, b: ImageTarget): boolean =>
  a.partition === b.partition && realpathSync(a.image) === realpathSync(b.image);

function partOf(tree: ImageTree, target: Inside, wanted: Wanted): Source {
  const where = { image: target.label, path: shown(target.path) };
  const top = at(where, () => tree.resolve(target.path, !wanted.recursive));
  return imageSource(tree, top, { name: target.label, path: trimmed(target.path) === '/' ? '' : trimmed(target.path), recursive: wanted.recursive });
}

function insideOne(context: Context, editor: Editor, from: Inside, to: Name, wanted: Wanted): void {
  const source = partOf(editor.tree, from, wanted);
  // Links and '..' in either path: compare what they really name.
  const real = (path: Name): Name => {
    const { folder, name } = split(path);
    const base = editor.run(path, editor.vfs.realpath(folder));
    return `${base === '/' ? '' : base}/${name}`;
  };
  const [source_, dest_] = [real(from.path), real(to)];
  if (source_ === dest_) throw new CommandError('EINVAL', 'source and target are the same file');
  if (source.root.type === 'directory' && (`${dest_}/`.startsWith(`${source_}/`) || trimmed(from.path) === '/')) {
    throw new CommandError('EINVAL', `a directory cannot be copied into itself, ${shown(to)}`);
  }
  copyOne(context, editor, source, to, wanted, inodesBelow(editor.tree, editor.tree.resolve(from.path, !wanted.recursive)));
}

/** The numbers of `top` and of all below it: a target may be another name of one of them. */
function inodesBelow(tree: ImageTree, top: Inode): Set<number> {
  const numbers = new Set([top.ino]);
  const stack = [top.ino];
  for (let ino = stack.pop(); ino !== undefined; ino = stack.pop()) {
    const inode = tree.inode(ino);
    if (typeOf(inode.mode) !== 'directory') continue;
    for (const entry of tree.list(inode)) {
      if (numbers.has(entry.ino)) continue;
      numbers.add(entry.ino);
      stack.push(entry.ino);
    }
  }
  return numbers;
}

function copyOne(context: Context, editor: Editor, source: Source, to: Name, wanted: Wanted, sources?: ReadonlySet<number>): void {
  for (const warning of source.warnings) context.warn(`${source.name}: ${warning}`);
  for (const failure of source.failures) context.problem(failure);
  if (source.root.type === 'directory' && !wanted.recursive) throw new CommandError('EISDIR', 'is a directory (-r copies it with all below)', { image: source.name });
  const bar = context.progress('copying', totalsOf(source.root).bytes);
  try {
    copyIntoImage(editor, source, to, {
      preserve: wanted.preserve,
      problem: (error) => context.failed(error, { image: editor.label }),
      progress: (bytes) => bar.add(bytes),
      ...(sources === undefined ? {} : { sources }),
    });
  } finally {
    bar.stop();
    source.close();
  }
}

// Onto the host -------------------------------------------------------------------------------------------------------

async function ontoTheHost(context: Context, given: readonly Given[], destText: string, wanted: Wanted): Promise<void> {
  const there: Stats | undefined = at({ image: destText }, () => statSync(destText, { throwIfNoEntry: false }));
  const into = there?.isDirectory() === true;
  if (!into && (given.length > 1 || destText.endsWith('/'))) {
    throw new CommandError(there === undefined ? 'ENOENT' : 'ENOTDIR', 'no such directory', { image: destText });
  }
  // A link that the user named is meant to be followed.
  const isPlace = there === undefined || there.isFile() || there.isDirectory();
  const dest = there !== undefined && isPlace ? realpathSync(destText) : destText;
  if (!into && isPlace) {
    const folder = dirname(dest);
    const parent = at({ image: destText }, () => statSync(folder, { throwIfNoEntry: false }));
    if (parent === undefined) throw new CommandError('ENOENT', `no such directory: ${folder}`, { image: destText });
    if (!parent.isDirectory()) throw new CommandError('ENOTDIR', `not a directory: ${folder}`, { image: destText });
  }
  await each(context, given, async ({ text, inside }) => {
    if (inside === undefined) throw new CommandError('EINVAL', 'not in an image: cp copies host files', { image: text });
    await withTree(inside, async (tree) => {
      const where = { image: inside.label, path: shown(inside.path) };
      const top = at(where, () => tree.resolve(inside.path, !wanted.recursive));
      const type = typeOf(top.mode);
      if (type === 'directory' && !wanted.recursive) throw new CommandError('EISDIR', 'is a directory (-r copies it with all below)', where);
      if (!isPlace) {
        writeThrough(tree, top, dest);
        return;
      }
      const name = into ? split(inside.path).name : toName(basename(dest));
      const folder = into ? dest : dirname(dest);
      if (!isPlainName(split(inside.path).name)) await wholeRoot(context, tree, { top, inside, dest, wanted });
      else if (wanted.preserve) await ontoHost(context, tree, { top, path: inside.path, label: inside.label, folder, name });
      else plainCopy(context, tree, { top, inside, dest: `${toName(folder)}/${name}` });
    });
  });
}

/** The root of an image has no name, and '..' is none: the directory's content goes into the target. */
async function wholeRoot(context: Context, tree: ImageTree, job: { top: Inode; inside: Inside; dest: string; wanted: Wanted }): Promise<void> {
  const { top, inside, dest, wanted } = job;
  if (!wanted.preserve) {
    plainCopy(context, tree, { top, inside, dest: toName(dest) });
    return;
  }
  const isNew = statSync(dest, { throwIfNoEntry: false }) === undefined;
  await ontoHost(context, tree, {
    top,
    path: '/',
    label: inside.label,
    folder: isNew ? dirname(dest) : dest,
    ...(isNew ? { name: toName(basename(dest)) } : {}),
  });
}

function plainCopy(context: Context, tree: ImageTree, job: { top: Inode; inside: Inside; dest: Name }): void {
  const writer = new HostWriter(tree, {
    preserve: false,
    image: job.inside.label,
    problem: (error) => context.failed(error, { image: job.inside.label }),
  });
  writer.write(job.top, job.dest, trimmed(job.inside.path));
  if (writer.notCarried.nodes > 0) {
    context.problem(`${job.inside.label}: ${shown(job.inside.path)}: ENOTSUP: ${writer.notCarried.nodes} device nodes, fifos or sockets were left out: cp -rp keeps them`);
  }
}

/** A device or a fifo on the host takes the bytes as they come. */
function writeThrough(tree: ImageTree, top: Inode, dest: string): void {
  if (typeOf(top.mode) !== 'file') throw new CommandError('EINVAL', 'only a file can go there', { image: dest });
  try {
    const fd = openSync(dest, 'w');
    try {
      const chunk = Buffer.alloc(1024 * 1024);
      let end = 0;
      const zerosTo = (pos: number): void => {
        for (; end < pos; end += Math.min(chunk.length, pos - end)) writeFully(fd, Buffer.alloc(Math.min(chunk.length, pos - end)));
      };
      copyOut(tree, top, chunk, (bytes, pos) => {
        zerosTo(pos);
        writeFully(fd, bytes);
        end = pos + bytes.length;
      });
      zerosTo(top.size);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw placed(error, { image: dest });
  }
}
