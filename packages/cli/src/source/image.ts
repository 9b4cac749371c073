/** A part of a mounted image as a source: for copies inside an image, and from one image to another. */
import { FsError } from '@iomap/io';
import type { Inode, Name } from '@iomap/vfs';
import { codeOf, whatOf } from '../errors.js';
import { typeOf } from '../mode.js';
import { shown, toBytes } from '../names.js';
import { isPlainName } from '../tar/writer.js';
import type { ImageTree } from '../tree.js';
import type { EmitData, Source, SourceEntry, SourceInode } from './source.js';

const DEPTH_MAX = 10_000;

/** Scans what is below `top`. */
export function imageSource(tree: ImageTree, top: Inode, options: { readonly name: string; readonly path: Name; readonly recursive: boolean }): Source {
  return new ImagePart(tree, top, options);
}

class ImagePart implements Source {
  readonly root: SourceInode;
  readonly name: string;
  readonly warnings: string[] = [];
  readonly failures: string[] = [];
  private readonly numbers = new Map<SourceInode, number>();
  private readonly known = new Map<number, SourceInode>();

  constructor(
    private readonly tree: ImageTree,
    top: Inode,
    options: { readonly name: string; readonly path: Name; readonly recursive: boolean },
  ) {
    this.name = options.name;
    this.root = this.inodeOf(top);
    if (options.recursive && this.root.type === 'directory') this.scan(top, options.path);
  }

  private scan(top: Inode, topPath: Name): void {
    const seen = new Set([top.ino]);
    const stack: { ino: number; inode: SourceInode; path: Name; depth: number }[] = [
      { ino: top.ino, inode: this.root, path: topPath, depth: 0 },
    ];
    for (let dir = stack.pop(); dir !== undefined; dir = stack.pop()) {
      for (const { name, ino } of this.tree.list(this.tree.inode(dir.ino))) {
        const path = `${dir.path}/${name}`;
        try {
          if (!isPlainName(name)) throw new FsError('EUCLEAN', { why: 'no directory can hold this name' });
          const inode = this.known.get(ino) ?? this.inodeOf(this.tree.inode(ino));
          if (inode.type === 'directory') {
            if (seen.has(ino) || dir.depth >= DEPTH_MAX) throw new FsError('EUCLEAN', { why: 'this directory is in another place too' });
            seen.add(ino);
            stack.push({ ino, inode, path, depth: dir.depth + 1 });
          } else if (this.known.has(ino)) inode.links++;
          else this.known.set(ino, inode);
          const entry: SourceEntry = { name, inode };
          dir.inode.entries.push(entry);
        } catch (error) {
          const code = codeOf(error);
          if (code === undefined) throw error;
          this.failures.push(`${this.name}: ${shown(path)}: ${code}: ${whatOf(error)}`);
        }
      }
    }
  }

  private inodeOf(inode: Inode): SourceInode {
    const type = typeOf(inode.mode);
    const made: SourceInode = {
      type,
      mode: inode.mode,
      uid: inode.uid,
      gid: inode.gid,
      rdev: inode.rdev,
      size: inode.size,
      dataBytes: Math.min(inode.size, inode.blocks * 512),
      mtime: inode.mtime,
      atime: inode.atime,
      ctime: inode.ctime,
      links: 1,
      entries: [],
      target: type === 'symlink' ? toBytes(this.tree.link(inode)) : undefined,
      xattrs: undefined,
      data: undefined,
    };
    const xattrs = this.tree.xattrs(inode);
    if (xattrs.size > 0) made.xattrs = xattrs;
    this.numbers.set(made, inode.ino);
    return made;
  }

  copyData(from: SourceInode, _path: Name, scratch: Uint8Array, _blockBytes: number, emit: EmitData): void {
    const inode = this.tree.inode(this.numbers.get(from) ?? 0);
    for (const run of this.tree.data(inode)) {
      for (let done = 0; done < run.length; ) {
        const bytes = scratch.subarray(0, Math.min(scratch.length, run.length - done));
        const got = this.tree.read(inode, run.pos + done, bytes);
        if (got === 0) throw new FsError('EIO', { why: 'the file ended before its size' });
        emit(run.pos + done, bytes.subarray(0, got));
        done += got;
      }
    }
  }

  close(): void {
    // The tree is the caller's.
  }
}
