/**
 * `iomap extract`: a tree of an image onto the host, with everything that the host can hold. Through the system's tar where
 * it is; else by Node alone, with a line that says what was not carried.
 */
import { mkdirSync, statSync } from 'node:fs';
import type { Inode, Name } from '@iomap/vfs';
import type { Context } from '../context.js';
import { at, CommandError } from '../errors.js';
import { pipeToTar, tarArguments } from '../host/tar-pipe.js';
import { HostWriter } from '../host/write.js';
import { withTree } from '../image.js';
import { typeOf } from '../mode.js';
import { shown, toName } from '../names.js';
import { memberShown, writeTar } from '../tar/writer.js';
import { parseInside } from '../target.js';
import type { ImageTree } from '../tree.js';
import type { Run } from './table.js';

export const run: Run = (context, args) => {
  const target = parseInside(args[0] ?? '', true);
  const folder = args[1] ?? '';
  return withTree(target, async (tree) => {
    const top = at({ image: target.label, path: shown(target.path) }, () => tree.resolve(target.path));
    at({ image: folder }, () => {
      const there = statSync(folder, { throwIfNoEntry: false });
      if (there === undefined) mkdirSync(folder, { recursive: true });
      else if (!there.isDirectory()) throw new CommandError('ENOTDIR', 'not a directory');
    });
    await ontoHost(context, tree, { top, path: target.path, label: target.label, folder });
    return undefined;
  });
};

export interface OntoHost {
  readonly top: Inode;
  readonly path: Name;
  readonly label: string;
  /** Where it goes. */
  readonly folder: string;
  /** The name there; absent: a directory's content goes into `folder` itself, a file keeps its name. */
  readonly name?: Name;
}

/** Copies a tree with all attributes. */
export async function ontoHost(context: Context, tree: ImageTree, job: OntoHost): Promise<void> {
  const { top, path, label, folder } = job;
  const isDirectory = typeOf(top.mode) === 'directory';
  const name = job.name ?? (isDirectory ? undefined : path.slice(path.lastIndexOf('/') + 1));
  const args = tarArguments(context);
  if (args === undefined) {
    const dest = name === undefined ? toName(folder) : `${toName(folder)}/${name}`;
    withNode(context, tree, { top, path, label, dest });
    return;
  }
  const code = await pipeToTar(context, args, folder, (sink) =>
    writeTar(tree, top, sink, {
      ...(name === undefined ? {} : { name }),
      problem: (member, what) => context.problem(`${label}: ${memberShown(member)}: ${what}`),
      warning: (member, what) => context.warn(`${label}: ${memberShown(member)}: ${what}`),
    }),
  );
  if (code !== 0) context.problem(`${folder}: EIO: not everything could be restored: tar ended with ${code}`);
}

function withNode(context: Context, tree: ImageTree, job: { top: Inode; path: Name; label: string; dest: Name }): void {
  const writer = new HostWriter(tree, {
    preserve: true,
    image: job.label,
    problem: (error) => context.failed(error, { image: job.label }),
  });
  writer.write(job.top, job.dest, job.path);
  const { xattrs, nodes } = writer.notCarried;
  const lost = [
    'nanoseconds of times',
    ...(xattrs > 0 ? [`extended attributes and ACLs of ${xattrs} files`] : []),
    ...(nodes > 0 ? [`${nodes} device nodes, fifos or sockets`] : []),
  ];
  context.warn(`no GNU tar or bsdtar here: not carried: ${lost.join('; ')}`);
}
