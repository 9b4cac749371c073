/** A subject over a vfs: the whole way of a call, from the path walk to the device. */
import { FsError, type Env, type Io } from '@iomap/io';
import { createVfs, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, type FileSystem, type Name, type Vfs } from '@iomap/vfs';
import { typeOfMode } from './fs-tree.js';
import { OK, poolBytes, statLine, type Op, type Outcome, type Subject } from './op.js';

export interface VfsSubjectOptions {
  readonly name: string;
  /** Mounts: at the start and after each `remount`. */
  readonly mount: () => Io<FileSystem>;
  readonly env: Env;
  /** Names of the root that do not count. */
  readonly ignore?: readonly Name[];
}

export interface VfsSubject extends Subject {
  /** The vfs of the moment. */
  readonly vfs: Vfs;
  /** Closes all handles and unmounts. */
  unmount(): Io<void>;
}

type OnHandle = Op & { readonly slot: number };

/** Makes the subject and mounts. */
export function* vfsSubject(options: VfsSubjectOptions): Io<VfsSubject> {
  const start = function* (): Io<Vfs> {
    return createVfs(yield* options.mount(), { env: options.env, umask: 0 });
  };
  let vfs = yield* start();
  const handles = new Map<number, number>();
  const at = (path: Name): Name => `/${path}`;
  const line = (stats: Parameters<typeof statLine>[0] | { mode: number; uid: number; gid: number; nlink: number; size: number; rdev: number }): Outcome => {
    const type = typeOfMode(stats.mode);
    const { uid, gid, nlink, size } = stats;
    const rdev = type === 'block' || type === 'char' ? stats.rdev : 0;
    return { code: 'ok', value: statLine({ type, mode: stats.mode & 0o7777, uid, gid, nlink, size, rdev }) };
  };

  function* close(slot: number): Io<boolean> {
    const fd = handles.get(slot);
    if (fd === undefined) return false;
    handles.delete(slot);
    yield* vfs.close(fd);
    return true;
  }

  function* read(fd: number, pos: number, len: number): Io<Outcome> {
    const bytes = new Uint8Array(len);
    let done = 0;
    while (done < len) {
      const got = yield* vfs.read(fd, bytes.subarray(done), pos + done);
      if (got === 0) break;
      done += got;
    }
    return { code: 'ok', bytes: bytes.subarray(0, done) };
  }

  function* write(fd: number, op: { pos: number; len: number; at: number }): Io<Outcome> {
    return { code: 'ok', value: yield* vfs.write(fd, poolBytes(op.at, op.len), op.pos) };
  }

  /** Opens for the time of `body`. The close is not in `finally`, which may not wait. */
  function* withFd(path: Name, flags: number, mode: number, body: (fd: number) => Io<Outcome>): Io<Outcome> {
    const fd = yield* vfs.open(at(path), flags, mode);
    let outcome: Outcome;
    try {
      outcome = yield* body(fd);
    } catch (error) {
      yield* vfs.close(fd);
      throw error;
    }
    yield* vfs.close(fd);
    return outcome;
  }

  function* unmount(): Io<void> {
    for (const slot of [...handles.keys()]) yield* close(slot);
    yield* vfs.unmount();
  }

  function* onHandle(op: OnHandle): Io<Outcome> {
    if (op.op === 'open') {
      yield* close(op.slot);
      handles.set(op.slot, yield* vfs.open(at(op.path), O_RDWR));
      return OK;
    }
    const fd = handles.get(op.slot);
    if (fd === undefined) return { code: 'EBADF' };
    switch (op.op) {
      case 'close':
        yield* close(op.slot);
        return OK;
      case 'hread':
        return yield* read(fd, op.pos, op.len);
      case 'hwrite':
        return yield* write(fd, op);
      case 'htruncate':
        yield* vfs.ftruncate(fd, op.size);
        return OK;
      case 'hstat':
        return line(yield* vfs.fstat(fd));
      default:
        yield* vfs.fsync(fd);
        return OK;
    }
  }

  function* onName(op: Op & { readonly path: Name }): Io<Outcome> {
    switch (op.op) {
      case 'create':
        return yield* withFd(op.path, O_RDWR | O_CREAT | O_EXCL, op.mode, okIo);
      case 'mkdir':
        yield* vfs.mkdir(at(op.path), op.mode);
        return OK;
      case 'mknod':
        yield* vfs.mknod(at(op.path), op.mode, op.rdev);
        return OK;
      case 'symlink':
        yield* vfs.symlink(op.target, at(op.path));
        return OK;
      case 'link':
        yield* vfs.link(at(op.path), at(op.to));
        return OK;
      case 'rename':
        yield* vfs.rename(at(op.path), at(op.to));
        return OK;
      case 'unlink':
        yield* vfs.unlink(at(op.path));
        return OK;
      case 'rmdir':
        yield* vfs.rmdir(at(op.path));
        return OK;
      case 'stat':
        return line(yield* vfs.lstat(at(op.path)));
      case 'readdir': {
        const ignore = op.path === '' ? (options.ignore ?? ['lost+found']) : [];
        const names: Name[] = [];
        for (const { name } of yield* vfs.readdir(at(op.path))) if (!ignore.includes(name)) names.push(name);
        return { code: 'ok', value: names.sort().join('\0') };
      }
      case 'readlink':
        return { code: 'ok', value: yield* vfs.readlink(at(op.path)) };
      default:
        return yield* onContent(op);
    }
  }

  function* onContent(op: Op & { readonly path: Name }): Io<Outcome> {
    switch (op.op) {
      case 'write':
        return yield* withFd(op.path, O_WRONLY, 0, (fd) => write(fd, op));
      case 'read':
        return yield* withFd(op.path, O_RDONLY, 0, (fd) => read(fd, op.pos, op.len));
      case 'truncate':
        yield* vfs.truncate(at(op.path), op.size);
        return OK;
      case 'fsync':
        return yield* withFd(op.path, O_RDONLY, 0, function* (fd) {
          yield* vfs.fsync(fd);
          return OK;
        });
      case 'chmod':
        yield* vfs.setattr(at(op.path), { mode: op.mode });
        return OK;
      case 'chown':
        yield* vfs.setattr(at(op.path), { uid: op.uid, gid: op.gid });
        return OK;
      case 'setxattr':
        yield* vfs.setxattr(at(op.path), op.name, poolBytes(op.at, op.len), op.mode);
        return OK;
      case 'removexattr':
        yield* vfs.removexattr(at(op.path), op.name);
        return OK;
      case 'getxattr':
        return { code: 'ok', bytes: yield* vfs.getxattr(at(op.path), op.name) };
      case 'listxattr':
        return { code: 'ok', value: (yield* vfs.listxattr(at(op.path))).sort().join('\0') };
      default:
        throw new Error(`no such operation: ${op.op}`);
    }
  }

  function* act(op: Op): Io<Outcome> {
    if ('slot' in op) return yield* onHandle(op);
    if ('path' in op) return yield* onName(op);
    if (op.op === 'sync') {
      yield* vfs.sync();
    } else {
      yield* unmount();
      vfs = yield* start();
    }
    return OK;
  }

  return {
    name: options.name,
    get vfs() {
      return vfs;
    },
    unmount,
    *apply(op): Io<Outcome> {
      try {
        return yield* act(op);
      } catch (error) {
        if (error instanceof FsError) return { code: error.code };
        throw error;
      }
    },
  };
}
function* okIo(): Io<Outcome> {
  return OK;
}
