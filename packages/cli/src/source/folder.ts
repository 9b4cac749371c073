/**
 * A folder of the host (or one file of it) as a source. Symlinks below it are not followed; sockets and device nodes are
 * taken as they are.
 *
 * Access and change times of the host are not taken (reading alone changes the one, nobody can set the other, and equal
 * inputs must give equal images): both become the modification time.
 */
import { closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync, readSync, realpathSync, statSync, readFileSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { roundUp, type Timespec } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import { at, CommandError, codeOf, isSystemError, whatOf } from '../errors.js';
import { fromBytes, shown, toHostPath, toName } from '../names.js';
import { typeOf } from '../mode.js';
import { scanXattrs, type XattrOutcome, type XattrScan } from './host-xattrs.js';
import { emitNonZero, visitInodes, type BuildSource, type EmitData, type Source, type SourceEntry, type SourceInode } from './source.js';

const SECOND = 1_000_000_000n;
/** A path that has become a link or a pipe meanwhile neither leads elsewhere nor waits. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface FolderOptions {
  /** A host file to leave out (the image itself, when it lies inside). */
  readonly except?: { readonly dev: bigint; readonly ino: bigint } | undefined;
  /** Read extended attributes too. Default true. */
  readonly xattrs?: boolean;
}

/** A time of the host to the nanosecond. */
export function timespecOf(ns: bigint): Timespec {
  let sec = Number(ns / SECOND);
  let nsec = Number(ns % SECOND);
  if (nsec < 0) {
    nsec += 1_000_000_000;
    sec -= 1;
  }
  return { sec, nsec };
}

/**
 * Scans a folder.
 * @throws CommandError when it cannot be read; what vanishes or cannot be read below it is a failure, not an end
 */
export async function folderSource(folder: string, options: FolderOptions = {}): Promise<BuildSource> {
  const root = at({ image: folder }, () => {
    const real = realpathSync(folder);
    if (!statSync(real).isDirectory()) throw new CommandError('ENOTDIR', 'not a directory', { image: folder });
    return real;
  });
  return scanned(folder, root, true, options);
}

/**
 * What a host path names, for `cp`.
 * @param options.recursive directories with all below; the path itself is then not followed when it is a symlink
 */
export async function hostSource(
  path: string,
  options: { readonly recursive: boolean; readonly xattrs: boolean },
): Promise<Source> {
  const real = at({ image: path }, () => (options.recursive ? path : realpathSync(path)));
  return scanned(path, real, options.recursive, options);
}

async function scanned(shownAs: string, real: string, recursive: boolean, options: FolderOptions): Promise<BuildSource> {
  const xattrScan = options.xattrs === false ? undefined : scanXattrs([real], recursive);
  const source = new FolderTree(shownAs, toName(real), options.except, recursive);
  const outcome = xattrScan === undefined ? 'done' : await source.takeXattrs(xattrScan);
  if (outcome === 'missing') {
    source.warnings.push('getfattr (package attr) is not here: extended attributes and ACLs were not carried');
  } else if (outcome !== 'done') {
    source.failures.push(`${outcome.failed}: extended attributes and ACLs may be missing`);
  }
  return source;
}

/** Sparse files up to this are read to count their data; larger ones are counted by the host, in steps of a MiB. */
const COUNTED_MAX_BYTES = 64 * 1_048_576;

/**
 * Bytes of a file that are data. The host's own metadata is in `allocated` (`st_blocks`) and comes with writeback, so that number itself
 * would give one tree images of two sizes.
 */
function dataBytesOf(path: Name, size: number, allocated: number): number {
  if (allocated >= size) return size;
  if (size > COUNTED_MAX_BYTES) return Math.min(size, roundUp(allocated, 1_048_576));
  try {
    const bytes = readFileSync(toHostPath(path));
    let data = 0;
    for (let at = 0; at < bytes.length; at += 4096) {
      const block = bytes.subarray(at, at + 4096);
      if (block.some((byte) => byte !== 0)) data += block.length;
    }
    return data;
  } catch {
    // Whoever copies it meets the failure again, and says so.
    return size;
  }
}

class FolderTree implements BuildSource {
  readonly root: SourceInode;
  readonly warnings: string[] = [];
  readonly failures: string[] = [];
  private readonly linked = new Map<string, SourceInode>();
  /** The file that `readAt` has open. */
  private reading: SourceInode | undefined;
  private fd = -1;

  constructor(
    readonly name: string,
    private readonly base: Name,
    private readonly except: FolderOptions['except'],
    recursive: boolean,
  ) {
    const stats = at({ image: name }, () => lstatSync(toHostPath(base), { bigint: true }));
    this.root = this.inodeOf(stats, base);
    if (recursive && this.root.type === 'directory') this.scan();
    this.linked.clear();
  }

  private scan(): void {
    const stack: { inode: SourceInode; path: Name }[] = [{ inode: this.root, path: this.base }];
    for (let dir = stack.pop(); dir !== undefined; dir = stack.pop()) {
      const prefix = dir.path === '/' ? '/' : `${dir.path}/`;
      for (const name of this.list(dir.path)) {
        const path = prefix + name;
        const inode = this.look(path);
        if (inode === undefined) continue;
        const entry: SourceEntry = { name, inode };
        dir.inode.entries.push(entry);
        if (inode.type === 'directory') stack.push({ inode, path });
      }
    }
  }

  private list(path: Name): Name[] {
    try {
      return (readdirSync(toHostPath(path), { encoding: 'latin1' })).sort();
    } catch (error) {
      this.fail(path, error);
      return [];
    }
  }

  private look(path: Name): SourceInode | undefined {
    try {
      const stats = lstatSync(toHostPath(path), { bigint: true });
      if (this.except !== undefined && stats.ino === this.except.ino && stats.dev === this.except.dev) return undefined;
      if (stats.nlink === 1n || stats.isDirectory()) return this.inodeOf(stats, path);
      const key = `${stats.dev}:${stats.ino}`;
      const known = this.linked.get(key);
      if (known !== undefined) {
        known.links++;
        return known;
      }
      const inode = this.inodeOf(stats, path);
      this.linked.set(key, inode);
      return inode;
    } catch (error) {
      this.fail(path, error);
      return undefined;
    }
  }

  private inodeOf(stats: BigIntStats, path: Name): SourceInode {
    const mode = Number(stats.mode);
    const type = typeOf(mode);
    const size = Number(stats.size);
    const mtime = timespecOf(stats.mtimeNs);
    const target = type === 'symlink' ? readlinkSync(toHostPath(path), { encoding: 'buffer' }) : undefined;
    const isDevice = type === 'char' || type === 'block';
    return {
      type,
      mode,
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      rdev: isDevice ? Number(stats.rdev) : 0,
      size: type === 'file' ? size : (target?.length ?? 0),
      dataBytes: type === 'file' ? dataBytesOf(path, size, Number(stats.blocks) * 512) : 0,
      mtime,
      atime: mtime,
      ctime: mtime,
      links: 1,
      entries: [],
      target,
      xattrs: undefined,
      data: type === 'file' ? toHostPath(path) : undefined,
    };
  }

  private fail(path: Name, error: unknown): void {
    const code = codeOf(error);
    if (code === undefined || !isSystemError(error)) throw error;
    this.failures.push(`${shown(path)}: ${code}: ${whatOf(error)}`);
  }

  /** Enters what the tool finds. */
  takeXattrs(scan: XattrScan): Promise<XattrOutcome> {
    let index: Map<Name, SourceInode> | undefined;
    return scan.finish((path, xattrs) => {
      if (index === undefined) {
        const made = new Map<Name, SourceInode>();
        visitInodes(this.root, (inode, inner) => made.set(inner === '/' ? this.base : this.base + inner, inode));
        index = made;
      }
      const inode = index.get(path);
      if (inode !== undefined) inode.xattrs = xattrs;
    });
  }

  readAt(inode: SourceInode, pos: number, bytes: Uint8Array): number {
    const { data } = inode;
    if (typeof data !== 'string' && !Buffer.isBuffer(data)) return 0;
    try {
      if (this.reading !== inode) {
        this.close();
        this.fd = openSync(data, READ_FLAGS);
        this.reading = inode;
      }
      let got = 0;
      while (got < bytes.length) {
        const count = readSync(this.fd, bytes, got, bytes.length - got, pos + got);
        if (count === 0) break;
        got += count;
      }
      // Its end, or nothing more is wanted of it.
      if (pos + got >= inode.size || got < bytes.length) this.close();
      return got;
    } catch (error) {
      this.close();
      const code = codeOf(error);
      if (!isSystemError(error) || code === undefined) throw error;
      throw new CommandError(code, whatOf(error), { image: this.shownPath(inode) });
    }
  }

  shownPath(inode: SourceInode): string {
    const { data } = inode;
    return typeof data === 'string' ? data : Buffer.isBuffer(data) ? shown(fromBytes(data)) : this.name;
  }

  copyData(inode: SourceInode, _path: Name, scratch: Uint8Array, blockBytes: number, emit: EmitData): void {
    const { data, size } = inode;
    if (typeof data !== 'string' && !Buffer.isBuffer(data)) return;
    if (size === 0) return;
    const host = this.shownPath(inode);
    try {
      copyHostFile(data, size, inode.dataBytes < size ? blockBytes : 0, scratch, emit);
    } catch (error) {
      const code = codeOf(error);
      if (isSystemError(error) && code !== undefined) throw new CommandError(code, whatOf(error), { image: host });
      if (error instanceof CommandError && error.where.image === undefined) {
        throw new CommandError(error.code, error.what, { image: host });
      }
      throw error;
    }
  }

  close(): void {
    const { fd } = this;
    this.fd = -1;
    this.reading = undefined;
    if (fd >= 0) closeSync(fd);
  }
}

/** Reads one host file. `holeBytes` 0: every byte is emitted; else blocks of zeros of that size are left out. */
export function copyHostFile(path: string | Buffer, size: number, holeBytes: number, scratch: Uint8Array, emit: EmitData): void {
  const fd = openSync(path, READ_FLAGS);
  try {
    for (let pos = 0; pos < size; ) {
      const want = Math.min(scratch.length, size - pos);
      let got = 0;
      while (got < want) {
        const count = readSync(fd, scratch, got, want - got, pos + got);
        if (count === 0) throw new CommandError('EIO', 'became shorter while it was read');
        got += count;
      }
      const bytes = got === scratch.length ? scratch : scratch.subarray(0, got);
      if (holeBytes === 0) emit(pos, bytes);
      else emitNonZero(bytes, pos, holeBytes, emit);
      pos += got;
    }
  } finally {
    closeSync(fd);
  }
}
