/**
 * A tree of an image as a PAX archive that GNU tar and bsdtar restore whole: times to the nanosecond, xattrs and ACLs,
 * hard links, device nodes, sparse files (GNU's format 1.0), names of any length and of any bytes (`hdrcharset=BINARY`).
 *
 * A hostile image cannot make a hostile archive: names that no directory can hold ('..', one with '/'), a second entry of
 * one name and a directory that turns up twice are left out and reported. What cannot be read is reported too; the
 * archive stays well-formed.
 */
import type { Inode, Name } from '@iomap/vfs';
import { codeOf, whatOf } from '../errors.js';
import { majorOf, minorOf, typeOf } from '../mode.js';
import { fromBytes, isUtf8, shown } from '../names.js';
import type { ImageTree } from '../tree.js';
import { aclToText, ACL_XATTRS } from './acl.js';
import { BLOCK, encodeHeader, fits, padding, splitName } from './header.js';
import { encodeRecord, formatTime } from './pax.js';
import { encodeMap, type SparsePiece } from './sparse.js';

/** Takes bytes; they may be reused once it has returned, or what it returned has resolved. */
export type ByteSink = (bytes: Uint8Array) => void | Promise<void>;

export interface TarOptions {
  /** The member name of the tree's top; `./` plus names when absent. */
  readonly name?: Name;
  /** Something could not be taken: exit 1 in the end. */
  readonly problem: (path: Name, what: string) => void;
  /** Something that an archive cannot hold (a socket). */
  readonly warning: (path: Name, what: string) => void;
  readonly progress?: (bytes: number) => void;
}

const CHUNK = 1024 * 1024;
const END = Buffer.alloc(2 * BLOCK);

const TYPE_FLAG: Readonly<Record<string, string>> = { file: '0', symlink: '2', char: '3', block: '4', directory: '5', fifo: '6' };

/** Gathers small writes. */
class Output {
  private readonly buffer = Buffer.allocUnsafe(256 * 1024);
  private used = 0;
  constructor(private readonly sink: ByteSink) {}

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.buffer.length - this.used) await this.flush();
    if (bytes.length >= this.buffer.length) {
      const wait = this.sink(bytes);
      if (wait !== undefined) await wait;
      return;
    }
    this.buffer.set(bytes, this.used);
    this.used += bytes.length;
  }

  async flush(): Promise<void> {
    if (this.used === 0) return;
    const wait = this.sink(this.buffer.subarray(0, this.used));
    if (wait !== undefined) await wait;
    this.used = 0;
  }
}

/** Whether a name may stand in a directory. */
export const isPlainName = (name: Name): boolean =>
  name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0');

/** Writes the tree below `top` (or the one file) and the archive's end. */
export async function writeTar(tree: ImageTree, top: Inode, sink: ByteSink, options: TarOptions): Promise<void> {
  const writer = new TarWriter(tree, new Output(sink), options);
  await writer.tree(top);
}

class TarWriter {
  private readonly firstNames = new Map<number, Name>();
  private readonly directories = new Set<number>();
  private readonly chunk = Buffer.allocUnsafe(CHUNK);

  constructor(
    private readonly image: ImageTree,
    private readonly out: Output,
    private readonly options: TarOptions,
  ) {}

  async tree(top: Inode): Promise<void> {
    const isDirectory = typeOf(top.mode) === 'directory';
    const stack: { path: Name; ino: number }[] = [{ path: this.options.name ?? (isDirectory ? '.' : 'file'), ino: top.ino }];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      const { path, ino } = at;
      try {
        const inode = this.image.inode(ino);
        if (typeOf(inode.mode) === 'directory') {
          if (this.directories.has(ino)) {
            this.options.problem(path, 'EUCLEAN: this directory is in another place too; left out');
            continue;
          }
          this.directories.add(ino);
        }
        await this.member(inode, path);
        if (typeOf(inode.mode) === 'directory') this.children(inode, path, stack);
      } catch (error) {
        const code = codeOf(error);
        if (code === undefined || code === 'EPIPE') throw error;
        this.options.problem(path, `${code}: ${whatOf(error)}; left out`);
      }
    }
    await this.out.write(END);
    await this.out.flush();
  }

  private children(inode: Inode, path: Name, stack: { path: Name; ino: number }[]): void {
    let last: Name | undefined;
    const entries = this.image.list(inode);
    const kept: { path: Name; ino: number }[] = [];
    for (const { name, ino } of entries) {
      if (!isPlainName(name)) this.options.problem(`${path}/${name}`, 'EUCLEAN: no directory can hold this name; left out');
      else if (name === last) this.options.problem(`${path}/${name}`, 'EUCLEAN: this name is here twice; the first was taken');
      else kept.push({ path: `${path}/${name}`, ino });
      last = name;
    }
    for (let i = kept.length - 1; i >= 0; i--) {
      const entry = kept[i];
      if (entry !== undefined) stack.push(entry);
    }
  }

  private async member(inode: Inode, path: Name): Promise<void> {
    const type = typeOf(inode.mode);
    const flag = TYPE_FLAG[type];
    if (flag === undefined) {
      if (type === 'socket') this.options.warning(path, 'a socket: archives cannot hold it; left out');
      else this.options.problem(path, 'EUCLEAN: of no known type; left out');
      return;
    }
    const name = type === 'directory' ? `${path}/` : path;
    if (type !== 'directory' && inode.nlink > 1) {
      const first = this.firstNames.get(inode.ino);
      if (first !== undefined) {
        await this.header(inode, { name, flag: '1', linkName: first, size: 0 });
        return;
      }
      this.firstNames.set(inode.ino, path);
    }
    if (type === 'file') await this.file(inode, path);
    else await this.header(inode, { name, flag, linkName: type === 'symlink' ? this.image.link(inode) : '', size: 0 });
  }

  private async file(inode: Inode, path: Name): Promise<void> {
    const runs = this.image.data(inode);
    const dataBytes = runs.reduce((sum, run) => sum + run.length, 0);
    if (dataBytes === inode.size) {
      await this.header(inode, { name: path, flag: '0', linkName: '', size: inode.size });
      await this.runs(inode, path, runs);
      return;
    }
    const last = runs.at(-1);
    const pieces: SparsePiece[] = last !== undefined && last.pos + last.length === inode.size ? runs : [...runs, { pos: inode.size, length: 0 }];
    const map = encodeMap(pieces);
    await this.header(inode, { name: path, flag: '0', linkName: '', size: map.length + dataBytes, sparseSize: inode.size });
    await this.out.write(map);
    await this.runs(inode, path, runs);
  }

  private async runs(inode: Inode, path: Name, runs: readonly SparsePiece[]): Promise<void> {
    let total = 0;
    let failed = false;
    for (const run of runs) {
      for (let done = 0; done < run.length; ) {
        const bytes = this.chunk.subarray(0, Math.min(CHUNK, run.length - done));
        let got = 0;
        try {
          if (!failed) got = this.image.read(inode, run.pos + done, bytes);
          if (!failed && got < bytes.length) throw Object.assign(new Error('short read'), { code: 'EIO', errno: -5 });
        } catch (error) {
          // The header has promised the size: zeros stand for what could not be read.
          failed = true;
          this.options.problem(path, `${codeOf(error) ?? 'EIO'}: ${whatOf(error)}; zeros stand for its rest`);
        }
        if (got < bytes.length) bytes.fill(0, got);
        await this.out.write(bytes);
        this.options.progress?.(bytes.length);
        done += bytes.length;
      }
      total += run.length;
    }
    const pad = padding(total);
    if (pad > 0) await this.out.write(END.subarray(0, pad));
  }

  private async header(
    inode: Inode,
    member: { name: Name; flag: string; linkName: Name; size: number; sparseSize?: number },
  ): Promise<void> {
    const records: Buffer[] = [];
    const put = (key: Name, value: Name): void => void records.push(encodeRecord(key, value));
    if (!isUtf8(member.name) || !isUtf8(member.linkName)) put('hdrcharset', 'BINARY');
    const sparse = member.sparseSize;
    if (sparse !== undefined) {
      put('GNU.sparse.major', '1');
      put('GNU.sparse.minor', '0');
      put('GNU.sparse.name', member.name);
      put('GNU.sparse.realsize', String(sparse));
    } else if (!isAscii(member.name) || splitName(member.name) === undefined) put('path', member.name);
    if (!isAscii(member.linkName) || member.linkName.length > 100) put('linkpath', member.linkName);
    if (!fits.size(member.size)) put('size', String(member.size));
    if (!fits.id(inode.uid)) put('uid', String(inode.uid));
    if (!fits.id(inode.gid)) put('gid', String(inode.gid));
    put('mtime', formatTime(inode.mtime));
    put('atime', formatTime(inode.atime));
    put('ctime', formatTime(inode.ctime));
    if (member.flag !== '1') this.xattrRecords(inode, member.name, put);
    const common = { mode: inode.mode & 0o7777, uid: inode.uid, gid: inode.gid, mtime: inode.mtime.sec };
    const plain = { ...common, linkName: '', devMajor: 0, devMinor: 0 };
    const body = Buffer.concat(records);
    const slash = member.name.lastIndexOf('/', member.name.length - 2);
    const folder = member.name.slice(0, slash + 1);
    const base = member.name.slice(slash + 1);
    const paxName = safe(`${folder}PaxHeaders/${base}`.replace(/\/$/, ''));
    await this.out.write(encodeHeader({ ...plain, mode: 0o644, name: paxName, size: body.length, type: 'x' }));
    await this.out.write(body);
    if (padding(body.length) > 0) await this.out.write(END.subarray(0, padding(body.length)));
    const isDevice = member.flag === '3' || member.flag === '4';
    await this.out.write(
      encodeHeader({
        ...plain,
        name: sparse === undefined ? safe(member.name) : safe(`${folder}GNUSparseFile.0/${base}`),
        size: member.size,
        type: member.flag,
        linkName: safe(member.linkName, 100),
        devMajor: isDevice ? majorOf(inode.rdev) : 0,
        devMinor: isDevice ? minorOf(inode.rdev) : 0,
      }),
    );
  }

  private xattrRecords(inode: Inode, name: Name, put: (key: Name, value: Name) => void): void {
    let xattrs: Map<Name, Uint8Array>;
    try {
      xattrs = this.image.xattrs(inode);
    } catch (error) {
      const code = codeOf(error);
      if (code === undefined) throw error;
      this.options.problem(name, `${code}: ${whatOf(error)}; its extended attributes were not carried`);
      return;
    }
    for (const [key, value] of xattrs) {
      const aclKey = Object.hasOwn(ACL_XATTRS, key) ? ACL_XATTRS[key as keyof typeof ACL_XATTRS] : undefined;
      const text = aclKey === undefined ? undefined : aclToText(value);
      if (aclKey !== undefined && text !== undefined) put(aclKey, text);
      else put(`SCHILY.xattr.${key.replace(/%/g, '%25').replace(/=/g, '%3D')}`, fromBytes(value));
    }
  }
}

 
const isAscii = (name: Name): boolean => /^[\x01-\x7f]*$/.test(name);

/** What old tools may see where the records hold the truth. */
function safe(name: Name, max = 256): Name {
   
  const ascii = name.replace(/[^\x20-\x7e]/g, '_');
  if (max === 100) return ascii.slice(0, 100);
  return splitName(ascii) === undefined ? ascii.slice(-100) : ascii;
}

/** A member's name for messages. */
export const memberShown = (path: Name): string => shown(path.startsWith('./') ? path.slice(1) : path === '.' ? '/' : path);
