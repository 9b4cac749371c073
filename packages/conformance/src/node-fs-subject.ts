/**
 * A subject over anything with Node's synchronous fs: memfs, a folder of the host (a kernel's loop mount), our own facade.
 * It validates the model: what the kernel answers is right by definition.
 */
import type * as nodeFs from 'node:fs';
import type { Io } from '@iomap/io';
import { typeOfMode } from './fs-tree.js';
import { OK, poolBytes, statLine, type Op, type OpKind, type Outcome, type Subject } from './op.js';

/** The calls used, as `node:fs` has them. */
export type SyncFs = Pick<
  typeof nodeFs,
  | 'closeSync' | 'chmodSync' | 'chownSync' | 'fstatSync' | 'fsyncSync' | 'ftruncateSync' | 'linkSync' | 'lstatSync'
  | 'mkdirSync' | 'openSync' | 'readdirSync' | 'readlinkSync' | 'readSync' | 'renameSync' | 'rmdirSync' | 'symlinkSync'
  | 'truncateSync' | 'unlinkSync' | 'writeSync'
>;

export interface NodeFsSubjectOptions {
  readonly name: string;
  readonly fs: SyncFs;
  /** The folder that is the root of the workload. */
  readonly root: string;
  readonly lacks?: readonly OpKind[];
  /** True: names are bytes, passed as buffers; false: text (memfs). */
  readonly byteNames: boolean;
}

const codeOf = (error: unknown): string => {
  // Not `instanceof Error`: under Jest the host's errors come from another realm.
  const code: unknown = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (typeof code !== 'string') throw error;
  return code;
};

/** Node has no calls for these. */
const NEVER: readonly OpKind[] = ['mknod', 'setxattr', 'getxattr', 'removexattr', 'listxattr', 'sync', 'remount'];

/** Makes the subject; handles that are open at the end are closed by `close`. */
export function nodeFsSubject(options: NodeFsSubjectOptions): Subject & { close(): void } {
  const { fs } = options;
  const handles = new Map<number, number>();
  const at = (path: string): string | Buffer => {
    const full = path === '' ? options.root : `${options.root}/${path}`;
    return options.byteNames ? Buffer.from(full, 'latin1') : full;
  };
  const name = (text: string): string | Buffer => (options.byteNames ? Buffer.from(text, 'latin1') : text);
  const line = ({ mode, uid, gid, nlink, size, rdev }: nodeFs.Stats): Outcome => ({
    code: 'ok',
    value: statLine({ type: typeOfMode(mode), mode: mode & 0o7777, uid, gid, nlink, size, rdev }),
  });
  const close = (slot: number): boolean => {
    const fd = handles.get(slot);
    if (fd === undefined) return false;
    handles.delete(slot);
    fs.closeSync(fd);
    return true;
  };
  const read = (fd: number, pos: number, len: number): Outcome => {
    const bytes = new Uint8Array(len);
    let done = 0;
    while (done < len) {
      const got = fs.readSync(fd, bytes, done, len - done, pos + done);
      if (got === 0) break;
      done += got;
    }
    return { code: 'ok', bytes: bytes.subarray(0, done) };
  };
  const write = (fd: number, op: { pos: number; len: number; at: number }): Outcome => ({
    code: 'ok',
    value: fs.writeSync(fd, poolBytes(op.at, op.len), 0, op.len, op.pos),
  });
  const withFd = (path: string, flags: string, fn: (fd: number) => Outcome): Outcome => {
    const fd = fs.openSync(at(path), flags);
    try {
      return fn(fd);
    } finally {
      fs.closeSync(fd);
    }
  };

  const onHandle = (op: Op & { readonly slot: number }): Outcome => {
    if (op.op === 'open') {
      close(op.slot);
      handles.set(op.slot, fs.openSync(at(op.path), 'r+'));
      return OK;
    }
    const fd = handles.get(op.slot);
    if (fd === undefined) return { code: 'EBADF' };
    switch (op.op) {
      case 'close':
        close(op.slot);
        return OK;
      case 'hread':
        return read(fd, op.pos, op.len);
      case 'hwrite':
        return write(fd, op);
      case 'htruncate':
        fs.ftruncateSync(fd, op.size);
        return OK;
      case 'hstat':
        return line(fs.fstatSync(fd));
      default:
        fs.fsyncSync(fd);
        return OK;
    }
  };

  const apply = (op: Op): Outcome => {
    if ('slot' in op) return onHandle(op);
    switch (op.op) {
      case 'create':
        return withFd(op.path, 'wx+', (fd) => {
          void fd;
          fs.chmodSync(at(op.path), op.mode);
          return OK;
        });
      case 'mkdir':
        fs.mkdirSync(at(op.path));
        fs.chmodSync(at(op.path), op.mode);
        return OK;
      case 'symlink':
        fs.symlinkSync(name(op.target), at(op.path));
        return OK;
      case 'link':
        fs.linkSync(at(op.path), at(op.to));
        return OK;
      case 'rename':
        fs.renameSync(at(op.path), at(op.to));
        return OK;
      case 'unlink':
        fs.unlinkSync(at(op.path));
        return OK;
      case 'rmdir':
        fs.rmdirSync(at(op.path));
        return OK;
      case 'stat':
        return line(fs.lstatSync(at(op.path)));
      case 'readdir': {
        const names = fs.readdirSync(at(op.path), { encoding: options.byteNames ? 'latin1' : 'utf8' });
        return { code: 'ok', value: names.filter((one) => op.path !== '' || one !== 'lost+found').sort().join('\0') };
      }
      case 'readlink':
        return { code: 'ok', value: fs.readlinkSync(at(op.path), options.byteNames ? 'latin1' : 'utf8') };
      case 'write':
        return withFd(op.path, 'r+', (fd) => write(fd, op));
      case 'read':
        return withFd(op.path, 'r', (fd) => read(fd, op.pos, op.len));
      case 'truncate':
        // Node's truncateSync opens with O_CREAT off and is ftruncate of that.
        return withFd(op.path, 'r+', (fd) => {
          fs.ftruncateSync(fd, op.size);
          return OK;
        });
      case 'chmod':
        fs.chmodSync(at(op.path), op.mode);
        return OK;
      case 'chown':
        fs.chownSync(at(op.path), op.uid, op.gid);
        return OK;
      case 'fsync':
        return withFd(op.path, 'r', (fd) => {
          fs.fsyncSync(fd);
          return OK;
        });
      default:
        throw new Error(`${options.name} has no ${op.op}`);
    }
  };

  return {
    name: options.name,
    lacks: new Set([...NEVER, ...(options.lacks ?? [])]),
    // A host call never waits as Io does.
    *apply(op): Io<Outcome> {
      try {
        return apply(op);
      } catch (error) {
        return { code: codeOf(error) };
      }
    },
    close() {
      for (const slot of [...handles.keys()]) close(slot);
    },
  };
}
