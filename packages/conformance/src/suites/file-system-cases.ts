/** The cases of `fileSystemSuite`: each is an Io function over a mounted vfs that throws when something is not as POSIX says. */
import { deepStrictEqual as equal, ok } from 'node:assert/strict';
import { FsError, type Env, type Io } from '@iomap/io';
import { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, type Vfs } from '@iomap/vfs';
import type { FormatLimits } from '../model.js';
import { poolBytes } from '../op.js';

/** What a format cannot hold of what the cases set. */
export interface CaseLimits extends FormatLimits {
  /** It keeps one time, mtime. */
  readonly onlyMtime?: boolean;
}

export interface CaseWorld {
  readonly env: Env;
  readonly vfs: Vfs;
  readonly limits: CaseLimits | undefined;
  /** Unmounts and mounts again; open files must be closed. */
  remount(): Io<Vfs>;
}

export interface FileSystemCase {
  readonly name: string;
  run(world: CaseWorld): Io<void>;
}

/** Runs `io` and expects it to fail with `code`. */
export function* fails(code: string, io: Io<unknown>): Io<void> {
  try {
    yield* io;
  } catch (error) {
    ok(error instanceof FsError, `expected ${code}, got ${String(error)}`);
    equal(error.code, code, error.message);
    return;
  }
  throw new Error(`expected ${code}, but it succeeded`);
}

/** Makes or replaces a file. */
export function* put(vfs: Vfs, path: string, bytes: Uint8Array): Io<void> {
  const fd = yield* vfs.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644);
  for (let done = 0; done < bytes.length; ) done += yield* vfs.write(fd, bytes.subarray(done), done);
  yield* vfs.close(fd);
}

/** Reads a part of a file, or all of it. */
export function* take(vfs: Vfs, path: string, pos = 0, len?: number): Io<Uint8Array> {
  const fd = yield* vfs.open(path, O_RDONLY);
  const size = len ?? (yield* vfs.fstat(fd)).size - pos;
  const bytes = new Uint8Array(size);
  let done = 0;
  while (done < size) {
    const got = yield* vfs.read(fd, bytes.subarray(done), pos + done);
    if (got === 0) break;
    done += got;
  }
  yield* vfs.close(fd);
  return bytes.subarray(0, done);
}

const same = (a: Uint8Array, b: Uint8Array, what: string): void => {
  ok(Buffer.compare(a, b) === 0, `${what}: ${a.length} and ${b.length} bytes differ`);
};

const names = function* (vfs: Vfs, path: string): Io<string[]> {
  return (yield* vfs.readdir(path)).map((entry) => entry.name).filter((name) => name !== 'lost+found').sort();
};

const newFile: FileSystemCase = {
  name: 'keeps what was written over a remount',
  *run(world) {
    const bytes = poolBytes(1, 100_001);
    yield* put(world.vfs, '/a', bytes);
    yield* put(world.vfs, '/empty', new Uint8Array(0));
    same(yield* take(world.vfs, '/a'), bytes, 'before');
    const vfs = yield* world.remount();
    same(yield* take(vfs, '/a'), bytes, 'after');
    equal((yield* vfs.stat('/a')).size, 100_001);
    equal((yield* vfs.stat('/empty')).size, 0);
    same(yield* take(vfs, '/a', 99_999, 10), bytes.subarray(99_999), 'at the end');
  },
};

const unlinkedOpen: FileSystemCase = {
  name: 'keeps an unlinked file until its last close, then frees it',
  *run({ vfs }) {
    const free = (yield* vfs.statfs()).blocksFree;
    const inodes = (yield* vfs.statfs()).filesFree;
    yield* put(vfs, '/a', poolBytes(5, 200_000));
    const fd = yield* vfs.open('/a', O_RDWR);
    yield* vfs.unlink('/a');
    yield* fails('ENOENT', vfs.stat('/a'));
    equal((yield* vfs.fstat(fd)).nlink, 0);
    yield* vfs.write(fd, poolBytes(9, 50_000), 300_000);
    const bytes = new Uint8Array(50_000);
    yield* vfs.read(fd, bytes, 300_000);
    same(bytes, poolBytes(9, 50_000), 'unlinked');
    yield* vfs.close(fd);
    yield* vfs.sync();
    equal((yield* vfs.statfs()).filesFree, inodes);
    equal((yield* vfs.statfs()).blocksFree, free);
  },
};

const flags: FileSystemCase = {
  name: 'opens with O_EXCL, O_APPEND, O_TRUNC and O_NOFOLLOW as POSIX says',
  *run({ vfs }) {
    yield* put(vfs, '/a', poolBytes(0, 100));
    yield* fails('EEXIST', vfs.open('/a', O_WRONLY | O_CREAT | O_EXCL));
    const fd = yield* vfs.open('/a', O_WRONLY | O_APPEND);
    yield* vfs.write(fd, poolBytes(100, 50), null);
    yield* vfs.write(fd, poolBytes(150, 50), null);
    yield* vfs.close(fd);
    equal((yield* vfs.stat('/a')).size, 200);
    same((yield* take(vfs, '/a')).subarray(100, 150), poolBytes(100, 50), 'appended');
    yield* vfs.symlink('a', '/s');
    yield* fails('ELOOP', vfs.open('/s', O_RDONLY | O_NOFOLLOW));
    yield* vfs.close(yield* vfs.open('/s', O_WRONLY | O_TRUNC));
    equal((yield* vfs.stat('/a')).size, 0);
    yield* fails('EISDIR', vfs.open('/', O_WRONLY));
    yield* fails('ENOENT', vfs.open('/none', O_RDONLY));
    yield* fails('ENOTDIR', vfs.open('/a/b', O_RDONLY));
  },
};

const sparse: FileSystemCase = {
  name: 'reads holes as zeroes and finds them by seek',
  *run(world) {
    const { vfs } = world;
    const fd = yield* vfs.open('/s', O_RDWR | O_CREAT, 0o600);
    const before = yield* vfs.statfs();
    const marks = [0, 70_000, 300_000, 5_000_000, 70_000_000];
    for (const pos of marks) yield* vfs.write(fd, poolBytes(pos, 10), pos);
    yield* vfs.ftruncate(fd, 80_000_000);
    yield* vfs.close(fd);
    const again = yield* world.remount();
    for (const pos of marks) same(yield* take(again, '/s', pos, 10), poolBytes(pos, 10), `at ${pos}`);
    same(yield* take(again, '/s', 100_000, 50_000), new Uint8Array(50_000), 'a hole');
    same(yield* take(again, '/s', 79_000_000, 10_000_000), new Uint8Array(1_000_000), 'the end');
    const taken = (before.blocksFree - (yield* again.statfs()).blocksFree) * before.blockSize;
    ok(taken > 0 && taken < 2_000_000, `a sparse file takes little: ${taken}`);
    const at = yield* again.open('/s', O_RDONLY);
    const data = yield* again.seek(at, 6_000_000, 'data');
    ok(data <= 70_000_000 && data > 69_000_000, `data at ${data}`);
    ok((yield* again.seek(at, 0, 'hole')) <= 70_000, 'a hole before the second mark');
    yield* fails('ENXIO', again.seek(at, 80_000_000, 'data'));
    yield* again.close(at);
  },
};

const truncate: FileSystemCase = {
  name: 'zeroes what a truncate cut off before it grows again',
  *run(world) {
    const { vfs } = world;
    yield* put(vfs, '/a', poolBytes(3, 60_000));
    for (const [cut, grow] of [[30_001, 50_000], [4096, 9000], [1, 4095], [0, 70_000]] as const) {
      yield* vfs.truncate('/a', cut);
      yield* vfs.truncate('/a', grow);
      const bytes = yield* take(vfs, '/a');
      equal(bytes.length, grow);
      same(bytes.subarray(0, cut), poolBytes(3, 60_000).subarray(0, cut), `kept ${cut}`);
      ok(bytes.subarray(cut).every((byte) => byte === 0), `zero from ${cut} to ${grow}`);
      yield* put(vfs, '/a', poolBytes(3, 60_000));
    }
    yield* vfs.truncate('/a', 12_345);
    const again = yield* world.remount();
    same(yield* take(again, '/a'), poolBytes(3, 60_000).subarray(0, 12_345), 'after a remount');
  },
};

const links: FileSystemCase = {
  name: 'counts hard links, of directories too',
  *run({ vfs }) {
    yield* put(vfs, '/a', poolBytes(0, 10));
    yield* vfs.mkdir('/d', 0o755);
    yield* vfs.link('/a', '/d/b');
    equal((yield* vfs.stat('/a')).nlink, 2);
    equal((yield* vfs.stat('/a')).ino, (yield* vfs.stat('/d/b')).ino);
    yield* fails('EEXIST', vfs.link('/a', '/d/b'));
    yield* fails('EPERM', vfs.link('/d', '/e'));
    yield* vfs.mkdir('/d/x', 0o755);
    yield* vfs.mkdir('/d/y', 0o755);
    equal((yield* vfs.stat('/d')).nlink, 4);
    yield* fails('ENOTEMPTY', vfs.rmdir('/d'));
    yield* vfs.rmdir('/d/x');
    equal((yield* vfs.stat('/d')).nlink, 3);
    yield* vfs.unlink('/a');
    equal((yield* vfs.stat('/d/b')).nlink, 1);
    yield* fails('EISDIR', vfs.unlink('/d'));
    yield* fails('ENOTDIR', vfs.rmdir('/d/b'));
  },
};

const renames: FileSystemCase = {
  name: 'renames over files and directories, and refuses what cannot be',
  *run({ vfs }) {
    yield* put(vfs, '/a', poolBytes(1, 10));
    yield* put(vfs, '/b', poolBytes(2, 20));
    yield* vfs.rename('/a', '/b');
    equal((yield* vfs.stat('/b')).size, 10);
    yield* fails('ENOENT', vfs.stat('/a'));
    yield* vfs.mkdir('/d', 0o755);
    yield* vfs.mkdir('/d/e', 0o755);
    yield* vfs.mkdir('/f', 0o755);
    yield* fails('EINVAL', vfs.rename('/d', '/d/e/x'));
    yield* fails('ENOTDIR', vfs.rename('/d', '/b'));
    yield* fails('EISDIR', vfs.rename('/b', '/d'));
    yield* fails('ENOTEMPTY', vfs.rename('/f', '/d'));
    yield* vfs.rename('/d/e', '/f');
    equal((yield* vfs.stat('/d')).nlink, 2);
    equal(yield* names(vfs, '/'), ['b', 'd', 'f']);
    yield* vfs.rename('/f', '/d/moved');
    equal((yield* vfs.stat('/d')).nlink, 3);
    equal((yield* vfs.stat('/d/moved/..')).ino, (yield* vfs.stat('/d')).ino);
    yield* vfs.link('/b', '/b2');
    yield* vfs.rename('/b', '/b2');
    equal(yield* names(vfs, '/'), ['b', 'b2', 'd']);
  },
};

const symlinks: FileSystemCase = {
  name: 'keeps symlinks of every length',
  *run(world) {
    const { vfs } = world;
    const max = Math.min(1000, vfs.fs.traits.symlinkMaxBytes);
    const lengths = [1, 7, 58, 59, 60, 61, 127, 128, 255, max].filter((length) => length <= max);
    for (const length of lengths) yield* vfs.symlink('t'.repeat(length), `/s${length}`);
    const again = yield* world.remount();
    for (const length of lengths) {
      equal(yield* again.readlink(`/s${length}`), 't'.repeat(length));
      equal((yield* again.lstat(`/s${length}`)).size, length);
    }
    for (const length of lengths) yield* again.unlink(`/s${length}`);
    yield* again.symlink('loop', '/loop');
    yield* fails('ELOOP', again.stat('/loop'));
    yield* fails('EINVAL', again.readlink('/'));
  },
};

const nameLengths: FileSystemCase = {
  name: 'takes names of any bytes up to the longest',
  *run(world) {
    const { vfs } = world;
    const max = vfs.fs.traits.nameMaxBytes;
    const list = ['a', 'n'.repeat(max), '\xff\xfe', '\xc3\xa4', ' ', '...', 'a\nb', '\x01\x7f'].filter((name) => name.length <= max);
    for (const name of list) yield* put(vfs, `/${name}`, poolBytes(name.length, 3));
    yield* fails('ENAMETOOLONG', vfs.open(`/${'n'.repeat(max + 1)}`, O_WRONLY | O_CREAT));
    yield* fails('ENAMETOOLONG', vfs.stat(`/${'n'.repeat(max + 1)}`));
    const again = yield* world.remount();
    equal(yield* names(again, '/'), [...list].sort());
    for (const name of list) equal((yield* again.stat(`/${name}`)).size, 3);
  },
};

const attributes: FileSystemCase = {
  name: 'keeps modes, owners, device numbers and times over a remount',
  *run(world) {
    const { vfs } = world;
    const { timeGranularityNs: step } = vfs.fs.traits;
    const { uidMax = Infinity, gidMax = Infinity, rdevMax = Infinity, onlyMtime = false } = world.limits ?? {};
    const [uid, gid] = [Math.min(70_000, uidMax), Math.min(80_000, gidMax)];
    const rdev = rdevMax > 0xffff ? 259 * 256 + 0x12 + 0x300 * 4096 : 0xfe12;
    yield* put(vfs, '/a', poolBytes(0, 5));
    yield* vfs.setattr('/a', { uid, gid });
    if (uidMax < 70_000) yield* fails('EOVERFLOW', vfs.setattr('/a', { uid: uidMax + 1 }));
    if (gidMax < 80_000) yield* fails('EOVERFLOW', vfs.setattr('/a', { gid: gidMax + 1 }));
    if (rdevMax <= 0xffff) yield* fails('EOVERFLOW', vfs.mknod('/wide', 0o060640, 0x1_0000_0000 - 1));
    yield* vfs.setattr('/a', { mode: 0o4751 });
    const atime = { sec: 1_234_567_890, nsec: 123_456_789 };
    const mtime = { sec: 1_111_111_111, nsec: 999_999_999 };
    yield* vfs.setattr('/a', { atime, mtime });
    yield* vfs.mknod('/c', 0o020640, 5 * 256 + 1);
    yield* vfs.mknod('/b', 0o060640, rdev);
    yield* vfs.mknod('/p', 0o010600);
    yield* vfs.mknod('/k', 0o140600);
    const again = yield* world.remount();
    const stats = yield* again.stat('/a');
    equal([stats.mode & 0o7777, stats.uid, stats.gid], [0o4751, uid, gid]);
    const cut = (time: { sec: number; nsec: number }): unknown => ({ sec: time.sec, nsec: time.nsec - (time.nsec % step) });
    equal({ ...stats.atime }, cut(onlyMtime ? mtime : atime));
    equal({ ...stats.mtime }, cut(mtime));
    equal((yield* again.stat('/c')).rdev, 5 * 256 + 1);
    equal((yield* again.stat('/b')).rdev, rdev);
    equal((yield* again.stat('/p')).mode, 0o010600);
    equal((yield* again.stat('/k')).mode, 0o140600);
  },
};

const timestamps: FileSystemCase = {
  name: 'stamps mtime and ctime on changes',
  *run({ vfs, env }) {
    const tick = (): void => void Array.from({ length: 3000 }, () => env.now());
    const later = (a: { sec: number; nsec: number }, b: { sec: number; nsec: number }): boolean =>
      b.sec > a.sec || (b.sec === a.sec && b.nsec > a.nsec);
    yield* put(vfs, '/a', poolBytes(0, 5));
    const first = yield* vfs.stat('/a');
    tick();
    yield* put(vfs, '/a', poolBytes(0, 6));
    const second = yield* vfs.stat('/a');
    ok(later(first.mtime, second.mtime) && later(first.ctime, second.ctime), 'a write stamps mtime and ctime');
    tick();
    yield* vfs.setattr('/a', { mode: 0o600 });
    const third = yield* vfs.stat('/a');
    ok(later(second.ctime, third.ctime) && !later(second.mtime, third.mtime), 'chmod stamps ctime alone');
    const dir = yield* vfs.stat('/');
    tick();
    yield* vfs.unlink('/a');
    ok(later(dir.mtime, (yield* vfs.stat('/')).mtime), 'unlink stamps the directory');
  },
};

const manyNames: FileSystemCase = {
  name: 'holds 1,500 names in a directory, removed in another order',
  *run(world) {
    const { vfs } = world;
    yield* vfs.mkdir('/d', 0o755);
    const max = vfs.fs.traits.nameMaxBytes;
    const list = Array.from({ length: 1500 }, (_, n) => `name-${(n * 7919) % 1500}-${'x'.repeat(n % 90)}`.slice(0, max));
    for (const [n, name] of list.entries()) yield* vfs.link(yield* linked(vfs, Math.floor(n / LINKS)), `/d/${name}`);
    equal((yield* names(vfs, '/d')).length, 1500);
    const again = yield* world.remount();
    equal(yield* names(again, '/d'), [...list].sort());
    for (let n = 0; n < 1500; n += 2) yield* again.unlink(`/d/${list[n] ?? ''}`);
    yield* fails('ENOENT', again.stat(`/d/${list[0] ?? ''}`));
    equal((yield* names(again, '/d')).length, 750);
    for (let n = 1; n < 1500; n += 2) yield* again.stat(`/d/${list[n] ?? ''}`);
    for (let n = 1; n < 1500; n += 2) yield* again.unlink(`/d/${list[n] ?? ''}`);
    equal(yield* names(again, '/d'), []);
    yield* again.rmdir('/d');
  },
};

/** Names of one inode: fewer than any format counts. */
const LINKS = 200;

/** A file that `manyNames` links to. */
function* linked(vfs: Vfs, number: number): Io<string> {
  const path = `/target-${number}`;
  try {
    yield* vfs.stat(path);
  } catch {
    yield* put(vfs, path, new Uint8Array(0));
  }
  return path;
}

const deep: FileSystemCase = {
  name: 'goes 60 directories deep and back',
  *run(world) {
    let path = '';
    for (let n = 0; n < 60; n++) {
      path += `/d${n}`;
      yield* world.vfs.mkdir(path, 0o755);
    }
    yield* put(world.vfs, `${path}/file`, poolBytes(4, 1000));
    const vfs = yield* world.remount();
    same(yield* take(vfs, `${path}/file`), poolBytes(4, 1000), 'the deepest file');
    equal((yield* vfs.stat(`${path}${'/..'.repeat(60)}`)).ino, vfs.fs.rootIno);
    yield* vfs.unlink(`${path}/file`);
    for (let n = 59; n >= 0; n--) {
      yield* vfs.rmdir(path);
      path = path.slice(0, path.lastIndexOf('/'));
    }
  },
};

const xattrs: FileSystemCase = {
  name: 'keeps extended attributes',
  *run(world) {
    const { vfs } = world;
    if (!vfs.fs.traits.xattrs) return;
    yield* put(vfs, '/a', poolBytes(0, 3));
    yield* put(vfs, '/b', poolBytes(0, 3));
    for (const path of ['/a', '/b']) {
      yield* vfs.setxattr(path, 'user.one', poolBytes(1, 40));
      yield* vfs.setxattr(path, 'user.two', new Uint8Array(0));
      yield* vfs.setxattr(path, 'trusted.three', poolBytes(2, 150));
    }
    yield* fails('EEXIST', vfs.setxattr('/a', 'user.one', poolBytes(3, 1), 'create'));
    yield* fails('ENODATA', vfs.setxattr('/a', 'user.none', poolBytes(3, 1), 'replace'));
    yield* fails('ENODATA', vfs.getxattr('/a', 'user.none'));
    yield* vfs.setxattr('/b', 'user.one', poolBytes(7, 60));
    yield* vfs.removexattr('/b', 'user.two');
    yield* fails('EOPNOTSUPP', vfs.setxattr('/a', 'nonsense.x', poolBytes(3, 1)));
    const again = yield* world.remount();
    equal((yield* again.listxattr('/a')).sort(), ['trusted.three', 'user.one', 'user.two']);
    equal((yield* again.listxattr('/b')).sort(), ['trusted.three', 'user.one']);
    same(yield* again.getxattr('/a', 'user.one'), poolBytes(1, 40), '/a user.one');
    same(yield* again.getxattr('/b', 'user.one'), poolBytes(7, 60), '/b user.one');
    equal((yield* again.getxattr('/a', 'user.two')).length, 0);
    yield* again.unlink('/a');
    same(yield* again.getxattr('/b', 'trusted.three'), poolBytes(2, 150), '/b trusted.three');
  },
};

const fullDisk: FileSystemCase = {
  name: 'fills up with ENOSPC, loses nothing, and gives all back',
  *run(world) {
    const { vfs } = world;
    yield* vfs.mkdir('/d', 0o755);
    const before = yield* vfs.statfs();
    const chunk = poolBytes(11, 700_000);
    const sizes: number[] = [];
    for (let full = false; !full && sizes.length < 2000; ) {
      const fd = yield* vfs.open(`/d/f${sizes.length}`, O_WRONLY | O_CREAT, 0o644);
      let size = 0;
      try {
        for (let n = 0; n < 4; n++) {
          const wrote = yield* vfs.write(fd, chunk, size);
          size += wrote;
          if (wrote < chunk.length) break;
        }
        if (size < 4 * chunk.length) yield* vfs.write(fd, chunk, size);
      } catch (error) {
        ok(error instanceof FsError && error.code === 'ENOSPC', String(error));
        full = true;
      }
      yield* vfs.close(fd);
      sizes.push(size);
    }
    ok(sizes.length > 1 && sizes.length < 2000, 'it fills up');
    const again = yield* world.remount();
    for (const [n, size] of sizes.entries()) {
      const bytes = yield* take(again, `/d/f${n}`);
      ok(bytes.length >= size, `f${n} has ${bytes.length}, ${size} were written`);
      for (let pos = 0; pos < size; pos += chunk.length) {
        const part = bytes.subarray(pos, Math.min(size, pos + chunk.length));
        same(part, chunk.subarray(0, part.length), `f${n} at ${pos}`);
      }
    }
    for (const n of sizes.keys()) yield* again.unlink(`/d/f${n}`);
    yield* again.sync();
    const after = yield* again.statfs();
    equal([after.blocksFree, after.filesFree], [before.blocksFree, before.filesFree]);
  },
};

/** The user of a case, and his group: one that the format can hold. */
const userId = (limits: CaseLimits | undefined): number => Math.min(1000, limits?.gidMax ?? 1000);

const permissions: FileSystemCase = {
  name: 'holds callers who are not root to modes, owners and the sticky bit',
  *run({ vfs, limits }) {
    const id = userId(limits);
    const user = vfs.as({ uid: id, gid: id, groups: [id] });
    yield* put(vfs, '/root-only', poolBytes(0, 4));
    yield* vfs.setattr('/root-only', { mode: 0o600 });
    yield* fails('EACCES', user.open('/root-only', O_RDONLY));
    yield* fails('EACCES', user.mkdir('/x'));
    yield* vfs.mkdir('/tmp', 0o1777);
    yield* vfs.setattr('/tmp', { mode: 0o1777 });
    yield* put(vfs, '/tmp/of-root', poolBytes(0, 4));
    yield* fails('EPERM', user.unlink('/tmp/of-root'));
    const fd = yield* user.open('/tmp/mine', O_WRONLY | O_CREAT, 0o644);
    yield* user.close(fd);
    equal((yield* user.stat('/tmp/mine')).uid, id);
    yield* fails('EPERM', user.setattr('/tmp/of-root', { mode: 0o777 }));
    yield* user.unlink('/tmp/mine');
  },
};

const setGroup: FileSystemCase = {
  name: "hands a set-gid directory's group on, and takes set-id bits away on writes and changes of owner",
  *run(world) {
    const { vfs } = world;
    const id = userId(world.limits);
    const user = vfs.as({ uid: id, gid: id, groups: [id] });
    yield* vfs.mkdir('/g');
    yield* vfs.setattr('/g', { gid: 77, mode: 0o2777 });
    yield* user.mkdir('/g/d', 0o755);
    yield* put(user, '/g/f', poolBytes(0, 4));
    // A member of neither group may not make a set-gid program of it, nor by chmod.
    yield* user.close(yield* user.open('/g/program', O_WRONLY | O_CREAT, 0o2755));
    yield* user.setattr('/g/f', { mode: 0o2755 });
    yield* put(vfs, '/g/written', poolBytes(0, 4));
    yield* vfs.setattr('/g/written', { mode: 0o6777, uid: id });
    yield* vfs.setattr('/g/written', { mode: 0o6777 });
    yield* put(user, '/g/written', poolBytes(4, 4));
    yield* put(vfs, '/g/owned', poolBytes(0, 4));
    yield* vfs.setattr('/g/owned', { mode: 0o6755 });
    yield* vfs.setattr('/g/owned', { uid: 5 });
    const again = yield* world.remount();
    const found: [string, number, number][] = [];
    for (const name of ['d', 'f', 'program', 'written', 'owned']) {
      const { mode, gid } = yield* again.stat(`/g/${name}`);
      found.push([name, mode % 0o10000, gid]);
    }
    equal(found, [['d', 0o2755, 77], ['f', 0o755, 77], ['program', 0o755, 77], ['written', 0o777, 77], ['owned', 0o755, 77]]);
  },
};

export const FILE_SYSTEM_CASES: readonly FileSystemCase[] = [
  newFile, unlinkedOpen, flags, sparse, truncate, links, renames, symlinks, nameLengths, attributes, timestamps,
  manyNames, deep, xattrs, fullDisk, permissions, setGroup,
];
