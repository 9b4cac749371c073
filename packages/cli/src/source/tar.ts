/**
 * A tar archive as a source: a file, or standard input (put aside in a file next to the image first, since the tree has to
 * be known before the image can be laid out).
 *
 * Later members replace earlier ones of the same path, missing parents are made, `..` is refused: what `tar -x` in an empty
 * folder would leave.
 */
import { closeSync, fstatSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import type { Timespec } from '@iomap/io';
import type { FileType, Name } from '@iomap/vfs';
import { at, CommandError } from '../errors.js';
import { fromBytes, shown, toBytes } from '../names.js';
import { makeDev, TYPE_BITS } from '../mode.js';
import { aclFromText, ACL_XATTRS } from '../tar/acl.js';
import { readMembers, type ByteReader, type TarMember } from '../tar/members.js';
import { parseTime } from '../tar/pax.js';
import { isRuns, type BuildSource, type DataRun, type EmitData, type SourceEntry, type SourceInode } from './source.js';

type Draft = { -readonly [K in keyof SourceInode]: SourceInode[K] };

const TYPES: Readonly<Record<string, { readonly type: FileType }>> = {
  '0': { type: 'file' },
  '7': { type: 'file' },
  S: { type: 'file' },
  '2': { type: 'symlink' },
  '3': { type: 'char' },
  '4': { type: 'block' },
  '5': { type: 'directory' },
  '6': { type: 'fifo' },
};

const newDraft = (type: FileType, time: Timespec): Draft => ({
  type,
  mode: TYPE_BITS[type] | (type === 'directory' ? 0o755 : 0),
  uid: 0,
  gid: 0,
  rdev: 0,
  size: 0,
  dataBytes: 0,
  mtime: time,
  atime: time,
  ctime: time,
  links: 1,
  entries: [],
  target: undefined,
  xattrs: undefined,
  data: undefined,
});

/** Reads standard input to its end into a nameless file in `folder`. @returns its descriptor */
export function spool(readInput: (bytes: Uint8Array) => number, path: string): number {
  const fd = openSync(path, 'wx+', 0o600);
  try {
    unlinkSync(path);
    const buffer = Buffer.allocUnsafe(1024 * 1024);
    for (let count = readInput(buffer); count > 0; count = readInput(buffer)) {
      for (let done = 0; done < count; ) done += writeSync(fd, buffer, done, count - done);
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Opens a tar archive and reads its members' headers. `fd` is closed with the source. */
export function tarSource(fd: number, name: string): BuildSource {
  try {
    return new TarTree(fd, name);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

class TarTree implements BuildSource {
  readonly root: SourceInode;
  readonly warnings: string[] = [];
  readonly failures: string[] = [];
  private readonly children = new Map<SourceInode, Map<Name, Draft>>();

  constructor(
    private readonly fd: number,
    readonly name: string,
  ) {
    const archive: ByteReader = {
      sizeBytes: at({ image: name }, () => fstatSync(fd).size),
      read: (pos, bytes) => this.readArchive(pos, bytes),
    };
    const root = this.directory({ sec: 0, nsec: 0 });
    this.root = root;
    readMembers(archive, name, (member) => this.add(member));
    this.finish(root);
  }

  copyData(inode: SourceInode, path: Name, scratch: Uint8Array, _blockBytes: number, emit: EmitData): void {
    if (!isRuns(inode.data)) return;
    for (const run of inode.data) {
      for (let done = 0; done < run.length; ) {
        const bytes = scratch.subarray(0, Math.min(scratch.length, run.length - done));
        if (this.readArchive(run.at + done, bytes) !== bytes.length) {
          throw new CommandError('EIO', 'the archive became shorter', { image: this.name, path: shown(path) });
        }
        emit(run.pos + done, bytes);
        done += bytes.length;
      }
    }
  }

  readAt(inode: SourceInode, pos: number, bytes: Uint8Array): number {
    const { data } = inode;
    if (!isRuns(data)) return 0;
    const end = pos + bytes.length;
    let filled = pos;
    for (let i = firstRun(data, pos); i < data.length; i++) {
      const run = data[i];
      if (run === undefined || run.pos >= end) break;
      const from = Math.max(pos, run.pos);
      const to = Math.min(end, run.pos + run.length);
      bytes.fill(0, filled - pos, from - pos);
      const got = this.readArchive(run.at + from - run.pos, bytes.subarray(from - pos, to - pos));
      if (got < to - from) throw new CommandError('EIO', 'the archive became shorter', { image: this.name });
      filled = to;
    }
    bytes.fill(0, filled - pos);
    return bytes.length;
  }

  nextData(inode: SourceInode, pos: number): number {
    const { data, size } = inode;
    if (!isRuns(data)) return size;
    const run = data[firstRun(data, pos)];
    return run === undefined ? size : Math.max(pos, run.pos);
  }

  shownPath(): string {
    return this.name;
  }

  close(): void {
    closeSync(this.fd);
  }

  private readArchive(pos: number, bytes: Uint8Array): number {
    return at({ image: this.name }, () => {
      let done = 0;
      while (done < bytes.length) {
        const count = readSync(this.fd, bytes, done, bytes.length - done, pos + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    });
  }

  private directory(time: Timespec): Draft {
    const inode = newDraft('directory', time);
    this.children.set(inode, new Map());
    return inode;
  }

  /** The folder that `parts` names, made where it is missing; undefined when something else is in the way. */
  private folder(parts: readonly Name[], time: Timespec): Draft | undefined {
    let here: Draft = this.root;
    for (const part of parts) {
      const names = this.children.get(here);
      if (names === undefined) return undefined;
      let next = names.get(part);
      if (next === undefined) {
        next = this.directory(time);
        names.set(part, next);
      }
      here = next;
    }
    return this.children.has(here) ? here : undefined;
  }

  private find(path: Name): Draft | undefined {
    let here: Draft | undefined = this.root;
    for (const part of partsOf(path) ?? ['..']) here = here === undefined ? undefined : this.children.get(here)?.get(part);
    return here;
  }

  private fail(member: TarMember, why: string): void {
    this.failures.push(`${shown(member.name)}: ${why}`);
  }

  private add(member: TarMember): void {
    const parts = partsOf(member.name);
    if (parts === undefined) return this.fail(member, "EINVAL: the name has '..' in it; left out");
    const mtime = timeOf(member, 'mtime') ?? { sec: member.header.mtime, nsec: 0 };
    const name = parts.at(-1);
    if (name === undefined) {
      if (member.header.type === '5') this.attributes(this.root, member, mtime);
      return;
    }
    const folder = this.folder(parts.slice(0, -1), mtime);
    const names = folder === undefined ? undefined : this.children.get(folder);
    if (names === undefined) return this.fail(member, 'ENOTDIR: a part of its path is not a directory; left out');
    const old = names.get(name);
    if (member.header.type === '1') {
      const target = this.find(member.linkName);
      if (target === undefined || target.type === 'directory') {
        return this.fail(member, `ENOENT: a hard link to ${shown(member.linkName)}, which the archive has not had; left out`);
      }
      if (old === target) return;
      if (old !== undefined) old.links--;
      target.links++;
      names.set(name, target);
      return;
    }
    const kind = TYPES[member.header.type] ?? (member.header.type >= 'A' && member.header.type <= 'Z' ? undefined : TYPES['0']);
    if (kind === undefined) return this.fail(member, `EOPNOTSUPP: member type '${shown(member.header.type)}'; left out`);
    if (kind.type === 'directory') {
      const inode = old !== undefined && old.type === 'directory' ? old : this.directory(mtime);
      names.set(name, inode);
      this.attributes(inode, member, mtime);
      return;
    }
    if (old !== undefined) old.links--;
    names.set(name, this.leaf(member, kind, mtime));
  }

  private leaf(member: TarMember, kind: { type: FileType }, mtime: Timespec): Draft {
    const isFile = kind.type === 'file';
    const target = kind.type === 'symlink' ? toBytes(member.linkName) : undefined;
    const inode: Draft = {
      ...newDraft(kind.type, mtime),
      size: isFile ? member.size : (target?.length ?? 0),
      dataBytes: isFile ? member.runs.reduce((sum, run) => sum + run.length, 0) : 0,
      rdev: kind.type === 'char' || kind.type === 'block' ? makeDev(member.header.devMajor, member.header.devMinor) : 0,
      target,
      data: isFile ? member.runs : undefined,
    };
    this.attributes(inode, member, mtime);
    return inode;
  }

  private attributes(inode: Draft, member: TarMember, mtime: Timespec): void {
    const { header, records } = member;
    const id = (key: string, fallback: number): number => {
      const text = records.get(key);
      return text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : fallback;
    };
    inode.mode = (inode.mode & 0o170000) | (header.mode & 0o7777);
    inode.uid = clampId(id('uid', header.uid));
    inode.gid = clampId(id('gid', header.gid));
    inode.mtime = mtime;
    inode.atime = timeOf(member, 'atime') ?? mtime;
    inode.ctime = timeOf(member, 'ctime') ?? mtime;
    inode.xattrs = this.xattrs(member);
  }

  private xattrs(member: TarMember): Map<Name, Uint8Array> | undefined {
    let found: Map<Name, Uint8Array> | undefined;
    const put = (name: Name, value: Uint8Array): void => {
      found ??= new Map();
      found.set(name, value);
    };
    for (const [key, value] of member.records) {
      if (key.startsWith('SCHILY.xattr.')) put(key.slice(13).replaceAll('%3D', '=').replaceAll('%25', '%'), toBytes(value));
      else if (key.startsWith('LIBARCHIVE.xattr.')) {
        const name = fromBytes(Buffer.from(percentDecoded(key.slice(17)), 'latin1'));
        if (found?.has(name) !== true) put(name, Buffer.from(value, 'base64'));
      }
    }
    for (const [xattr, key] of Object.entries(ACL_XATTRS)) {
      const text = member.records.get(key);
      if (text === undefined || found?.has(xattr) === true) continue;
      const value = aclFromText(Buffer.from(text, 'latin1').toString('utf8'));
      if (value === undefined) this.warnings.push(`the ACL of ${shown(member.name)} names a user without a number and was not carried`);
      else put(xattr, value);
    }
    return found;
  }

  private finish(root: SourceInode): void {
    const stack: SourceInode[] = [root];
    for (let dir = stack.pop(); dir !== undefined; dir = stack.pop()) {
      const names = [...(this.children.get(dir) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [name, inode] of names) {
        const entry: SourceEntry = { name, inode };
        dir.entries.push(entry);
        if (inode.type === 'directory') stack.push(inode);
      }
    }
    this.children.clear();
  }
}

/** The first run that ends after `pos`. */
function firstRun(runs: readonly DataRun[], pos: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const mid = Math.floor((low + high) / 2);
    const run = runs[mid];
    if (run !== undefined && run.pos + run.length <= pos) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** A path's names without the empty ones and '.'; undefined when there is a '..'. */
function partsOf(path: Name): Name[] | undefined {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? undefined : parts;
}

function timeOf(member: TarMember, key: string): Timespec | undefined {
  const text = member.records.get(key);
  return text === undefined ? undefined : parseTime(text);
}

const clampId = (id: number): number => (id >= 0 && id <= 0xffffffff ? id : 0);

const percentDecoded = (text: Name): Name =>
  text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
