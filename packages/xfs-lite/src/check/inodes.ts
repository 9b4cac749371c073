/** The check of inodes: forks and their blocks, directories with every name found by its hash, attributes, links. */
import { FsError, type Io } from '@iomap/io';
import { getXattr, listXattr } from '../attr.js';
import { findName, readdir } from '../dir.js';
import type { Fork } from '../fork.js';
import { findInode, S_IFDIR, S_IFLNK, type XfsInode } from '../inode.js';
import { readlink } from '../symlink.js';
import { agbToFsb } from '../super.js';
import type { Volume } from '../volume.js';
import type { Chunk } from './groups.js';
import type { Report } from './report.js';
import type { Space } from './space.js';
import { forkExtents, forkTreeBlocks } from './trees.js';

/** What is known of an inode in use. */
export interface InodeFacts {
  readonly isDirectory: boolean;
  readonly nlink: number;
  readonly type: number;
  /** Names that lead to it, '.' and '..' of directories included. */
  links: number;
  /** Directories: the number in '..', and where a name leads to it. */
  parent: number;
  namedIn: number;
  readonly nextUnlinked: number;
}

export interface InodeContext {
  readonly vol: Volume;
  readonly report: Report;
  readonly space: Space;
  readonly make: (ino: number) => XfsInode;
  readonly inodes: Map<number, InodeFacts>;
  /** Names met: directory, number, type, taken up when all inodes are known. */
  readonly names: { readonly dir: number; readonly ino: number; readonly type: string; readonly name: string }[];
}

/** Inodes of one group's chunks. */
export function* checkChunks(context: InodeContext, ag: number, chunks: readonly Chunk[]): Io<void> {
  const { vol } = context;
  const { inodesPerBlock } = vol.info;
  for (const chunk of chunks) {
    for (let i = 0; i < 64; i++) {
      const bit = BigInt(i);
      if (((chunk.holes >> bit) & 1n) === 1n) continue;
      const inGroup = chunk.start + i;
      const ino = agbToFsb(vol.info, ag, Math.floor(inGroup / inodesPerBlock)) * inodesPerBlock + (inGroup % inodesPerBlock);
      yield* checkInode(context, ino, ((chunk.free >> bit) & 1n) === 1n);
    }
  }
}

function* checkInode(context: InodeContext, ino: number, isFree: boolean): Io<void> {
  const { vol, report, make } = context;
  let inode: XfsInode | undefined;
  try {
    inode = yield* vol.reading(() => findInode(vol, ino, make, true));
  } catch (error) {
    if (error instanceof FsError && error.code === 'ESTALE') {
      if (!isFree) report.add('inode', 'inode-free', 'the inode tree says that it is in use', { ino });
      return;
    }
    report.caught('inode', error, { ino });
    return;
  }
  if (isFree) {
    report.add('inode', 'inode-in-use', 'the inode tree says that it is free', { ino });
    return;
  }
  context.inodes.set(ino, {
    isDirectory: inode.type === S_IFDIR,
    nlink: inode.nlink,
    type: inode.type,
    links: 0,
    parent: 0,
    namedIn: 0,
    nextUnlinked: inode.nextUnlinked,
  });
  const isMapped = yield* checkForks(context, inode);
  if (!isMapped) return;
  try {
    if (inode.type === S_IFDIR && inode.nlink > 0) yield* checkDirectory(context, inode);
    if (inode.type === S_IFLNK) yield* readlink(vol, inode);
  } catch (error) {
    report.caught(inode.type === S_IFDIR ? 'directory' : 'symlink', error, { ino });
  }
  try {
    for (const name of yield* listXattr(vol, inode)) yield* getXattr(vol, inode, name);
  } catch (error) {
    report.caught('attribute', error, { ino });
  }
}

/** Adds the blocks of both forks; false = they cannot be followed. */
function* checkForks(context: InodeContext, inode: XfsInode): Io<boolean> {
  const { vol, report, space } = context;
  const { ino } = inode;
  let blocks = 0;
  const take = function* (fork: Fork, flag: number): Io<void> {
    const extents = yield* forkExtents(vol, ino, fork);
    const isCounted = fork.format === 2 || fork.format === 3;
    if (isCounted && extents.length !== fork.extentCount) {
      report.add('fork', 'extent-count', `${fork.extentCount} extents are said to be there, ${extents.length} are`, { ino });
    }
    for (const { off, block, count, unwritten } of extents) {
      space.addFsb(block, count, ino, off, flag + (unwritten ? 1 : 0));
      blocks += count;
    }
    for (const block of yield* forkTreeBlocks(vol, ino, fork)) {
      space.addFsb(block, 1, ino, 0, flag + 2);
      blocks++;
    }
  };
  try {
    yield* take(inode.data, 0);
    if (inode.attr !== undefined) yield* take(inode.attr, 4);
  } catch (error) {
    report.caught('fork', error, { ino });
    return false;
  }
  const stored = inode.blocks / (vol.info.blockSize / 512);
  if (stored !== blocks) report.add('inode', 'block-count', `di_nblocks is ${stored}, not ${blocks}`, { ino });
  return true;
}

function* checkDirectory(context: InodeContext, dir: XfsInode): Io<void> {
  const { vol, report, names } = context;
  const facts = context.inodes.get(dir.ino);
  const found: { name: string; ino: number; type: string }[] = [];
  yield* readdir(vol, dir, 0, (name, ino, type) => {
    found.push({ name, ino, type });
    return true;
  });
  const seen = new Set<string>();
  for (const { name, ino, type } of found) {
    if (seen.has(name)) report.add('directory', 'name-twice', `two entries of one name`, { ino: dir.ino });
    seen.add(name);
    if (name === '.') {
      if (ino !== dir.ino) report.add('directory', 'dot', `'.' leads to ${ino}`, { ino: dir.ino });
      continue;
    }
    if (name === '..') {
      if (facts !== undefined) facts.parent = ino;
      continue;
    }
    names.push({ dir: dir.ino, ino, type, name });
    const looked = yield* vol.reading(() => findName(vol, dir, name));
    if (looked !== ino) report.add('directory', 'hash', 'a name is not found by its hash', { ino: dir.ino });
  }
  if (!seen.has('.') || !seen.has('..')) report.add('directory', 'dot', "no '.' or no '..'", { ino: dir.ino });
}
