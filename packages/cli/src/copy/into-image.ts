/**
 * Copies a source's tree into a mounted image, over what is there, as cp(1) does: files are overwritten, directories are
 * merged, one entry's failure is told and the rest goes on.
 *
 * A file that does not fit is found out before anything of it is written: the old content stays. A new file that fails on
 * its way is removed again; an old one that fails half-way is named as incomplete.
 */
import { FsError, isCode, runSync } from '@iomap/io';
import { O_CREAT, O_TRUNC, O_WRONLY, type Attr, type Name } from '@iomap/vfs';
import type { Editor } from '../editor.js';
import { at, codeOf, CommandError } from '../errors.js';
import { shown } from '../names.js';
import type { Source, SourceInode } from '../source/source.js';

export interface IntoImageOptions {
  readonly preserve: boolean;
  readonly problem: (error: unknown) => void;
  readonly progress?: (bytes: number) => void;
  /** Inodes of the image that the source is made of: they are not written to. */
  readonly sources?: ReadonlySet<number>;
}

const SCRATCH_BYTES = 1024 * 1024;
const ACLS: readonly Name[] = ['system.posix_acl_access', 'system.posix_acl_default'];

export function copyIntoImage(editor: Editor, source: Source, dest: Name, options: IntoImageOptions): void {
  new IntoImage(editor, source, options).copy(source.root, dest);
}

class IntoImage {
  private readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  /** Names given to inodes that have several, when links are kept. */
  private readonly firstNames = new Map<SourceInode, Name>();

  constructor(
    private readonly editor: Editor,
    private readonly source: Source,
    private readonly options: IntoImageOptions,
  ) {}

  copy(top: SourceInode, dest: Name): void {
    const finish: { from: SourceInode; path: Name }[] = [];
    const stack: { from: SourceInode; path: Name }[] = [{ from: top, path: dest }];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { from, path } = next;
      try {
        at({ image: this.editor.label, path: shown(path) }, () => {
          if (from.type === 'directory') {
            this.directory(from, path);
            finish.push({ from, path });
            for (let i = from.entries.length - 1; i >= 0; i--) {
              const entry = from.entries[i];
              if (entry !== undefined) stack.push({ from: entry.inode, path: `${path === '/' ? '' : path}/${entry.name}` });
            }
          } else this.leaf(from, path);
        });
      } catch (error) {
        if (codeOf(error) === undefined) throw error;
        this.options.problem(error);
      }
    }
    // Their content has changed their times, and they may be closed for writing now.
    for (let i = finish.length - 1; i >= 0; i--) {
      const dir = finish[i];
      if (dir !== undefined && this.options.preserve) this.attributes(dir.from, dir.path);
    }
  }

  private there(path: Name, follow: boolean): Attr | undefined {
    try {
      return runSync(follow ? this.editor.vfs.stat(path) : this.editor.vfs.lstat(path));
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  private directory(from: SourceInode, path: Name): void {
    const there = this.there(path, true);
    // The umask or a default ACL applies; whatever is left, root may write into it.
    if (there === undefined) runSync(this.editor.vfs.mkdir(path, from.mode & 0o777));
    else if ((there.mode & 0o170000) !== 0o040000) throw new CommandError('ENOTDIR', 'something that is no directory is in its place');
  }

  private leaf(from: SourceInode, path: Name): void {
    const { vfs } = this.editor;
    const there = this.there(path, false);
    if (there !== undefined && (there.mode & 0o170000) === 0o040000) throw new CommandError('EISDIR', 'a directory is in its place');
    if (from.links > 1 && this.options.preserve) {
      const first = this.firstNames.get(from);
      if (first !== undefined) {
        if (there !== undefined) runSync(vfs.unlink(path));
        runSync(vfs.link(first, path));
        return;
      }
      this.firstNames.set(from, path);
    }
    if (from.type === 'file') {
      this.file(from, path);
      return;
    }
    if (there !== undefined) runSync(vfs.unlink(path));
    if (from.type === 'symlink') runSync(vfs.symlink(Buffer.from(from.target ?? []).toString('latin1'), path));
    else runSync(vfs.mknod(path, from.mode, from.rdev));
    this.attributes(from, path);
  }

  private file(from: SourceInode, path: Name): void {
    const { vfs } = this.editor;
    const there = this.there(path, true);
    if (there !== undefined && this.options.sources?.has(there.ino) === true) {
      throw new CommandError('EINVAL', 'source and target are the same file');
    }
    this.checkRoom(from, there);
    const fd = runSync(vfs.open(path, O_WRONLY | O_CREAT | O_TRUNC, from.mode & 0o777));
    let failure: Error | undefined;
    try {
      const statfs = runSync(vfs.statfs('/'));
      this.source.copyData(from, path, this.scratch, statfs.blockSize, (pos, bytes) => {
        for (let done = 0; done < bytes.length; ) done += runSync(vfs.write(fd, bytes.subarray(done), pos + done));
        this.options.progress?.(bytes.length);
      });
      runSync(vfs.ftruncate(fd, from.size));
    } catch (error) {
      // Hosts' errors have become ours where they were read.
      failure = error instanceof Error ? error : new Error(String(error));
    }
    runSync(vfs.close(fd));
    if (failure === undefined) {
      if (this.options.preserve || there === undefined) this.attributes(from, path);
      return;
    }
    const code = codeOf(failure);
    if (code === undefined) throw failure;
    if (there === undefined) {
      runSync(vfs.unlink(path));
      throw failure;
    }
    this.options.problem(failure);
    throw new CommandError(code, 'the copy is incomplete: what was here before is lost');
  }

  /** @throws FsError ENOSPC when the data certainly does not fit */
  private checkRoom(from: SourceInode, there: Attr | undefined): void {
    const { blockSize, blocksFree } = runSync(this.editor.vfs.statfs('/'));
    const reusable = there !== undefined && there.nlink === 1 ? there.blocks * 512 : 0;
    const wanted = Math.ceil(from.dataBytes / blockSize) * blockSize;
    if (wanted > blocksFree * blockSize + reusable) {
      throw new FsError('ENOSPC', { why: `${wanted} bytes wanted, ${blocksFree * blockSize} free` });
    }
  }

  /** With `preserve`, the source's owner, mode, attributes and times; else what its making gave it stays. */
  private attributes(from: SourceInode, path: Name): void {
    if (!this.options.preserve) return;
    const { vfs } = this.editor;
    const isLink = from.type === 'symlink';
    runSync(vfs.setattr(path, { uid: from.uid, gid: from.gid }, false));
    // Before the mode, which an ACL would take for its own: what its directory, or an older file, has and the source has not.
    for (const name of isLink ? [] : runSync(vfs.listxattr(path, false))) {
      if (ACLS.includes(name) && from.xattrs?.has(name) !== true) runSync(vfs.removexattr(path, name, false));
    }
    if (!isLink) runSync(vfs.setattr(path, { mode: from.mode & 0o7777 }, false));
    for (const [name, value] of from.xattrs ?? []) {
      try {
        runSync(vfs.setxattr(path, name, value, 'any', false));
      } catch (error) {
        const code = codeOf(error);
        if (code === undefined) throw error;
        this.options.problem(new CommandError(code, `attribute ${shown(name)} was not kept`, { image: this.editor.label, path: shown(path) }));
      }
    }
    runSync(vfs.setattr(path, { atime: from.atime, mtime: from.mtime }, false));
  }
}
