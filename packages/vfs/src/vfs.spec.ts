import { fixedEnv, FsError, runSync, type Io } from '@iomap/io';
import {
  createVfs,
  encodeName,
  FS_APPEND_FL,
  FS_IMMUTABLE_FL,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  type Vfs,
  type VfsOptions,
} from './index.js';
import { memoryFs, type MemoryFs } from './testing/index.js';

const codeOf = (io: Io<unknown>): string => {
  try {
    runSync(io);
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'ok';
};

const make = (options: VfsOptions = {}, fs: MemoryFs = memoryFs()): { fs: MemoryFs; vfs: Vfs } => ({
  fs,
  vfs: createVfs(fs, { env: fixedEnv({ start: { sec: 1000, nsec: 0 }, tickNs: 1_000_000 }), ...options }),
});

const touch = (vfs: Vfs, path: string, mode = 0o644, bytes = new Uint8Array(0)): void => {
  const fd = runSync(vfs.open(path, O_CREAT | O_WRONLY, mode));
  runSync(vfs.writeAll(fd, bytes));
  runSync(vfs.close(fd));
};

describe('files', () => {
  it('keeps an unlinked file until its last close', () => {
    const { fs, vfs } = make();
    const fd = runSync(vfs.open('/f', O_CREAT | O_RDWR));
    const again = runSync(vfs.open('/f', O_RDONLY));
    runSync(vfs.write(fd, new Uint8Array([1, 2, 3])));
    runSync(vfs.unlink('/f'));
    expect(codeOf(vfs.stat('/f'))).toBe('ENOENT');
    runSync(vfs.close(fd));
    const bytes = new Uint8Array(4);
    expect(runSync(vfs.read(again, bytes, 1))).toBe(2);
    expect(fs.inodeCount).toBe(2);
    runSync(vfs.close(again));
    expect(fs.inodeCount).toBe(1);
    expect(fs.pageCount).toBe(0);
    expect(codeOf(vfs.read(again, bytes))).toBe('EBADF');
  });

  it('keeps a renamed-over file until its last close', () => {
    const { fs, vfs } = make();
    touch(vfs, '/a');
    touch(vfs, '/b');
    const fd = runSync(vfs.open('/b', O_RDONLY));
    runSync(vfs.rename('/a', '/b'));
    expect(fs.inodeCount).toBe(3);
    runSync(vfs.close(fd));
    expect(fs.inodeCount).toBe(2);
  });

  it('honours the flags of open', () => {
    const { vfs } = make();
    touch(vfs, '/f');
    runSync(vfs.symlink('f', '/l'));
    runSync(vfs.symlink('new', '/dangling'));
    expect(codeOf(vfs.open('/f', O_CREAT | O_EXCL | O_WRONLY))).toBe('EEXIST');
    expect(codeOf(vfs.open('/dangling', O_CREAT | O_EXCL | O_WRONLY))).toBe('EEXIST');
    expect(codeOf(vfs.open('/l', O_RDONLY | O_NOFOLLOW))).toBe('ELOOP');
    expect(codeOf(vfs.open('/f', O_RDONLY | O_DIRECTORY))).toBe('ENOTDIR');
    expect(codeOf(vfs.open('/', O_RDWR))).toBe('EISDIR');
    runSync(vfs.close(runSync(vfs.open('/dangling', O_CREAT | O_WRONLY))));
    expect(runSync(vfs.stat('/new')).size).toBe(0);
    const fd = runSync(vfs.open('/f', O_WRONLY | O_APPEND));
    runSync(vfs.write(fd, new Uint8Array(5), 0));
    runSync(vfs.write(fd, new Uint8Array(5), 0));
    expect(runSync(vfs.fstat(fd)).size).toBe(10);
    expect(codeOf(vfs.read(fd, new Uint8Array(1)))).toBe('EBADF');
  });

  it('gives a nameless file a name', () => {
    const { fs, vfs } = make();
    const fd = runSync(vfs.open('/', O_TMPFILE | O_RDWR));
    expect(runSync(vfs.fstat(fd)).nlink).toBe(0);
    const inode = vfs.core.files.get(fd).inode;
    const root = runSync(vfs.iget(fs.rootIno));
    runSync(vfs.linkAt(inode, root, 'named'));
    vfs.iput(root);
    runSync(vfs.close(fd));
    expect(runSync(vfs.stat('/named')).nlink).toBe(1);
    runSync(vfs.close(runSync(vfs.open('/', O_TMPFILE | O_RDWR))));
    expect(fs.inodeCount).toBe(2);
  });

  it('seeks, maps and copies holes', () => {
    const { fs, vfs } = make();
    const fd = runSync(vfs.open('/sparse', O_CREAT | O_RDWR));
    runSync(vfs.write(fd, new Uint8Array([1]), 10 * 4096));
    runSync(vfs.ftruncate(fd, 100 * 4096));
    expect(runSync(vfs.seek(fd, 0, 'data'))).toBe(10 * 4096);
    expect(runSync(vfs.seek(fd, 10 * 4096, 'hole'))).toBe(11 * 4096);
    expect(codeOf(vfs.seek(fd, 11 * 4096, 'data'))).toBe('ENXIO');
    runSync(vfs.copyFile('/sparse', '/copy'));
    expect(fs.pageCount).toBe(2);
    expect(runSync(vfs.stat('/copy')).size).toBe(100 * 4096);
    expect(runSync(vfs.fiemap('/copy')).map((extent) => extent.logical)).toEqual([10 * 4096]);
  });

  it('reports a full filesystem and loses nothing', () => {
    const { vfs } = make({}, memoryFs({ pagesMax: 2 }));
    const fd = runSync(vfs.open('/f', O_CREAT | O_RDWR));
    expect(runSync(vfs.write(fd, new Uint8Array(10_000)))).toBe(8192);
    expect(codeOf(vfs.write(fd, new Uint8Array(1)))).toBe('ENOSPC');
    expect(runSync(vfs.fstat(fd)).size).toBe(8192);
  });

  it('stamps times', () => {
    const { vfs } = make();
    touch(vfs, '/f', 0o644, new Uint8Array(3));
    const before = runSync(vfs.stat('/f'));
    const fd = runSync(vfs.open('/f', O_RDONLY));
    runSync(vfs.read(fd, new Uint8Array(3)));
    const read = runSync(vfs.stat('/f'));
    expect(read.atime).not.toEqual(before.atime);
    runSync(vfs.read(fd, new Uint8Array(3), 0));
    // relatime: atime is after mtime now, and no day has passed.
    expect(runSync(vfs.stat('/f')).atime).toEqual(read.atime);
    runSync(vfs.chmod('/f', 0o600));
    const after = runSync(vfs.stat('/f'));
    expect(after.ctime).not.toEqual(read.ctime);
    expect(after.mtime).toEqual(read.mtime);
    runSync(vfs.utimes('/f', { sec: 1, nsec: 2 }, { sec: -3, nsec: 4 }));
    expect(runSync(vfs.stat('/f'))).toMatchObject({ atime: { sec: 1, nsec: 2 }, mtime: { sec: -3, nsec: 4 } });
  });

  it('cuts times to what the format holds', () => {
    const { vfs } = make({}, memoryFs({ traits: { timeGranularityNs: 1_000_000_000, timeMinSec: 0, timeMaxSec: 100 } }));
    touch(vfs, '/f');
    runSync(vfs.utimes('/f', { sec: 5, nsec: 999 }, { sec: 200, nsec: 3 }));
    expect(runSync(vfs.stat('/f'))).toMatchObject({ atime: { sec: 5, nsec: 0 }, mtime: { sec: 100, nsec: 0 } });
  });
});

describe('options', () => {
  it('are refused by name', () => {
    expect(() => make({ inodesMax: 1 })).toThrow(/^EINVAL.*inodesMax/);
  });
});

describe('paths', () => {
  it('walks links, dots and slashes, within limits', () => {
    const { vfs } = make();
    runSync(vfs.mkdir('/d'));
    touch(vfs, '/d/f');
    runSync(vfs.symlink('/d', '/abs'));
    runSync(vfs.symlink('../d', '/d/up'));
    expect(runSync(vfs.stat('//abs/./up/../d/up//f')).ino).toBe(runSync(vfs.stat('/d/f')).ino);
    expect(runSync(vfs.realpath('abs/up/up/../d/f'))).toBe('/d/f');
    expect(runSync(vfs.stat('/../..')).ino).toBe(2);
    expect(codeOf(vfs.stat('/d/f/'))).toBe('ENOTDIR');
    expect(codeOf(vfs.stat('/d/f/..'))).toBe('ENOTDIR');
    expect(codeOf(vfs.stat(''))).toBe('ENOENT');
    expect(codeOf(vfs.stat('/' + 'x'.repeat(256)))).toBe('ENAMETOOLONG');
    expect(codeOf(vfs.stat('/d'.repeat(2047) + '/ab'))).toBe('ENAMETOOLONG');
    runSync(vfs.symlink('l0', '/l0'));
    expect(codeOf(vfs.stat('/l0'))).toBe('ELOOP');
    runSync(vfs.symlink('d', '/c0'));
    for (let i = 1; i <= 40; i++) runSync(vfs.symlink(`c${i - 1}`, `/c${i}`));
    expect(codeOf(vfs.stat('/c39'))).toBe('ok');
    expect(codeOf(vfs.stat('/c40'))).toBe('ELOOP');
    expect(codeOf(vfs.open('/l0', O_CREAT | O_WRONLY))).toBe('ELOOP');
  });

  it('tells what it cannot remove', () => {
    const { vfs } = make();
    runSync(vfs.mkdir('/d'));
    runSync(vfs.mkdir('/d/e'));
    expect(codeOf(vfs.rmdir('/'))).toBe('EBUSY');
    expect(codeOf(vfs.rmdir('/d/.'))).toBe('EINVAL');
    expect(codeOf(vfs.rmdir('/d/e/..'))).toBe('ENOTEMPTY');
    expect(codeOf(vfs.rmdir('/d'))).toBe('ENOTEMPTY');
    expect(codeOf(vfs.unlink('/d'))).toBe('EISDIR');
    expect(codeOf(vfs.link('/d', '/x'))).toBe('EPERM');
    expect(codeOf(vfs.mkdir('/d/..'))).toBe('EEXIST');
  });

  it('keeps to the rules of rename', () => {
    const { vfs } = make();
    for (const dir of ['/d', '/d/e', '/full', '/full/x', '/empty']) runSync(vfs.mkdir(dir));
    touch(vfs, '/f');
    runSync(vfs.link('/f', '/g'));
    expect(codeOf(vfs.rename('/d', '/d/e/x'))).toBe('EINVAL');
    expect(codeOf(vfs.rename('/d/e', '/d'))).toBe('ENOTEMPTY');
    expect(codeOf(vfs.rename('/d', '/full'))).toBe('ENOTEMPTY');
    expect(codeOf(vfs.rename('/f', '/d'))).toBe('EISDIR');
    expect(codeOf(vfs.rename('/d', '/f'))).toBe('ENOTDIR');
    expect(codeOf(vfs.rename('/f', '/g'))).toBe('ok');
    expect(runSync(vfs.stat('/f')).nlink).toBe(2);
    expect(codeOf(vfs.rename('/f', '/g', RENAME_NOREPLACE))).toBe('EEXIST');
    expect(codeOf(vfs.rename('/d', '/empty'))).toBe('ok');
    expect(runSync(vfs.realpath('/empty/e'))).toBe('/empty/e');
    expect(codeOf(vfs.rename('/f', '/full/x', RENAME_EXCHANGE))).toBe('ok');
    expect(runSync(vfs.stat('/full/x')).size).toBe(0);
    expect(runSync(vfs.stat('/f/..')).ino).toBe(2);
    expect(codeOf(vfs.rename('/', '/q'))).toBe('EBUSY');
  });

  it('renames between directories whose parents are not known yet', () => {
    const { vfs } = make();
    runSync(vfs.mkdir('/a'));
    runSync(vfs.mkdir('/a/b'));
    runSync(vfs.mkdir('/a/c'));
    const [a, b] = ['/a', '/a/b'].map((path) => runSync(vfs.stat(path)).ino);
    runSync(vfs.dropCaches());
    // As a server does that was given numbers, not paths.
    const [outer, inner] = [runSync(vfs.iget(a ?? 0)), runSync(vfs.iget(b ?? 0))];
    runSync(vfs.renameAt(outer, 'c', inner, 'c'));
    expect(codeOf(vfs.renameAt(outer, 'b', inner, 'x'))).toBe('EINVAL');
    runSync(vfs.renameAt(inner, 'c', outer, 'd'));
    expect(codeOf(vfs.stat('/a/d'))).toBe('ok');
    for (const inode of [outer, inner]) vfs.iput(inode);
    runSync(vfs.unmount());
  });

  it('takes names that are not ASCII', () => {
    const { vfs } = make();
    const name = encodeName('/grüße-日本');
    touch(vfs, name);
    expect(runSync(vfs.readdir('/'))[0]?.name).toBe(name.slice(1));
    expect(() => runSync(vfs.rmdir(name))).toThrow("ENOTDIR: not a directory, rmdir '/grüße-日本'");
  });
});

describe('permissions', () => {
  const world = (): { root: Vfs; user: Vfs; other: Vfs } => {
    const { vfs } = make();
    return { root: vfs, user: vfs.as({ uid: 10, gid: 20, groups: [30] }), other: vfs.as({ uid: 11, gid: 21 }) };
  };

  it('checks owner, group and others', () => {
    const { root, user, other } = world();
    touch(root, '/f', 0o640);
    runSync(root.chown('/f', 10, 30));
    runSync(root.chmod('/f', 0o460));
    expect(codeOf(user.open('/f', O_RDONLY))).toBe('ok');
    expect(codeOf(user.open('/f', O_WRONLY))).toBe('EACCES');
    expect(codeOf(root.as({ uid: 12, gid: 30 }).open('/f', O_WRONLY))).toBe('ok');
    expect(codeOf(other.open('/f', O_RDONLY))).toBe('EACCES');
    expect(codeOf(other.chmod('/f', 0o777))).toBe('EPERM');
    expect(codeOf(user.chown('/f', 11, -1))).toBe('EPERM');
    expect(codeOf(user.chown('/f', -1, 30))).toBe('ok');
    expect(codeOf(user.chown('/f', -1, 77))).toBe('EPERM');
    expect(codeOf(other.utimes('/f', { sec: 1, nsec: 0 }, 'now'))).toBe('EPERM');
    expect(codeOf(other.utimes('/f', 'now', 'now'))).toBe('EACCES');
    expect(codeOf(user.mkdir('/x'))).toBe('EACCES');
    expect(codeOf(root.access('/f', 1))).toBe('EACCES');
  });

  it('needs search permission, on the fast path too', () => {
    const { root, user } = world();
    runSync(root.mkdir('/d', 0o700));
    touch(root, '/d/f', 0o644);
    expect(codeOf(root.stat('/d/f'))).toBe('ok');
    expect(codeOf(user.stat('/d/f'))).toBe('EACCES');
    expect(codeOf(user.stat('/d/none'))).toBe('EACCES');
    expect(codeOf(user.readdir('/d'))).toBe('EACCES');
    runSync(root.chmod('/d', 0o711));
    expect(codeOf(user.stat('/d/f'))).toBe('ok');
  });

  it('protects sticky directories', () => {
    const { root, user, other } = world();
    runSync(root.mkdir('/tmp'));
    runSync(root.chmod('/tmp', 0o1777));
    touch(user, '/tmp/mine');
    expect(codeOf(other.unlink('/tmp/mine'))).toBe('EPERM');
    touch(other, '/tmp/theirs');
    expect(codeOf(other.rename('/tmp/theirs', '/tmp/mine'))).toBe('EPERM');
    expect(codeOf(user.unlink('/tmp/mine'))).toBe('ok');
    expect(codeOf(root.unlink('/tmp/theirs'))).toBe('ok');
  });

  it('hands groups on and takes privileges away', () => {
    const { root, user } = world();
    runSync(root.mkdir('/g'));
    runSync(root.chown('/g', 0, 77));
    runSync(root.chmod('/g', 0o2777));
    runSync(user.mkdir('/g/d'));
    touch(user, '/g/f', 0o2755);
    expect(runSync(root.stat('/g/d'))).toMatchObject({ gid: 77, mode: 0o042755 });
    expect(runSync(root.stat('/g/f'))).toMatchObject({ gid: 77, mode: 0o100755 });
    touch(root, '/s');
    runSync(root.chmod('/s', 0o6777));
    const fd = runSync(user.open('/s', O_WRONLY));
    runSync(user.write(fd, new Uint8Array(1)));
    expect(runSync(root.stat('/s')).mode & 0o7777).toBe(0o777);
    runSync(root.chmod('/s', 0o6777));
    runSync(root.chown('/s', 1, 1));
    expect(runSync(root.stat('/s')).mode & 0o7777).toBe(0o777);
  });

  it('leaves setgid without group execution to root and the group', () => {
    const { root, user, other } = world();
    touch(root, '/s');
    runSync(root.chown('/s', user.cred.uid, other.cred.gid));
    const after = (who: Vfs, change: (who: Vfs) => void): number => {
      runSync(root.chmod('/s', 0o2666));
      change(who);
      return runSync(root.stat('/s')).mode & 0o7777;
    };
    const write = (who: Vfs): void => {
      const fd = runSync(who.open('/s', O_WRONLY));
      runSync(who.write(fd, new Uint8Array(1)));
      runSync(who.close(fd));
    };
    const truncate = (who: Vfs): void => runSync(who.truncate('/s', 5));
    const chown = (who: Vfs): void => runSync(who.chown('/s', user.cred.uid, -1));
    expect([after(user, write), after(other, write), after(root, write)]).toEqual([0o666, 0o2666, 0o2666]);
    expect([after(user, truncate), after(other, truncate), after(root, truncate)]).toEqual([0o666, 0o2666, 0o2666]);
    expect([after(user, chown), after(root, chown)]).toEqual([0o666, 0o2666]);
  });

  it('lets the owner alone set one time and keep the other', () => {
    const { root, user, other } = world();
    touch(root, '/f');
    runSync(root.chmod('/f', 0o666));
    runSync(root.chown('/f', user.cred.uid, -1));
    const inode = runSync(root.iget(runSync(root.stat('/f')).ino));
    expect(codeOf(other.setattrAt(inode, { atime: 'now' }))).toBe('EPERM');
    expect(codeOf(other.setattrAt(inode, { atime: 'now', mtime: 'now' }))).toBe('ok');
    expect(codeOf(user.setattrAt(inode, { mtime: 'now' }))).toBe('ok');
    root.iput(inode);
  });

  it('lets everybody make a whiteout, and root alone a device', () => {
    const { root, user } = world();
    const dir = runSync(root.iget(runSync(root.stat('/')).ino));
    dir.mode |= 0o777;
    expect(codeOf(user.createAt(dir, 'device', 0o020666, 259))).toBe('EPERM');
    expect(codeOf(user.createAt(dir, 'disk', 0o060666, 0))).toBe('EPERM');
    root.iput(runSync(user.createAt(dir, 'whiteout', 0o020666, 0)));
    root.iput(dir);
  });

  it('honours immutable and append-only', () => {
    const { root } = world();
    touch(root, '/i');
    runSync(root.setattr('/i', { flags: FS_IMMUTABLE_FL }));
    expect(codeOf(root.open('/i', O_WRONLY))).toBe('EPERM');
    expect(codeOf(root.unlink('/i'))).toBe('EPERM');
    expect(codeOf(root.link('/i', '/j'))).toBe('EPERM');
    expect(codeOf(root.chmod('/i', 0o600))).toBe('EPERM');
    touch(root, '/a');
    runSync(root.setattr('/a', { flags: FS_APPEND_FL }));
    expect(codeOf(root.open('/a', O_WRONLY))).toBe('EPERM');
    expect(codeOf(root.open('/a', O_WRONLY | O_APPEND))).toBe('ok');
    expect(codeOf(root.truncate('/a', 0))).toBe('EPERM');
  });

  it('refuses to write to a read-only mount', () => {
    const { vfs } = make({}, memoryFs({ readOnly: true }));
    expect(codeOf(vfs.mkdir('/d'))).toBe('EROFS');
    expect(codeOf(vfs.mkdir('/'))).toBe('EEXIST');
    expect(codeOf(vfs.open('/f', O_CREAT | O_WRONLY))).toBe('EROFS');
    expect(codeOf(vfs.chmod('/', 0o700))).toBe('EROFS');
    expect(codeOf(vfs.access('/', 2))).toBe('EROFS');
  });
});

describe('extended attributes', () => {
  it('keeps to the namespaces', () => {
    const { vfs } = make();
    const user = vfs.as({ uid: 10, gid: 10 });
    const value = new Uint8Array([1, 2]);
    touch(vfs, '/f', 0o644);
    runSync(vfs.symlink('f', '/l'));
    runSync(vfs.setxattr('/f', 'user.a', value));
    runSync(vfs.setxattr('/f', 'trusted.t', value));
    runSync(vfs.setxattr('/f', 'security.s', value));
    expect(runSync(user.getxattr('/f', 'user.a'))).toEqual(value);
    expect(codeOf(user.setxattr('/f', 'user.a', value))).toBe('EACCES');
    expect(codeOf(user.getxattr('/f', 'trusted.t'))).toBe('ENODATA');
    expect(codeOf(user.setxattr('/f', 'trusted.t', value))).toBe('EPERM');
    expect(codeOf(user.setxattr('/f', 'security.s', value))).toBe('EPERM');
    expect(runSync(user.listxattr('/f'))).toEqual(['user.a', 'security.s']);
    expect(codeOf(vfs.setxattr('/l', 'user.a', value, 'any', false))).toBe('EPERM');
    expect(codeOf(vfs.setxattr('/f', 'user.', value))).toBe('EINVAL');
    expect(codeOf(vfs.removexattr('/f', 'user.none'))).toBe('ENODATA');
    expect(codeOf(vfs.removexattr('/f', 'system.posix_acl_access'))).toBe('ok');
    expect(codeOf(vfs.setxattr('/f', 'other.a', value))).toBe('EOPNOTSUPP');
    expect(codeOf(vfs.setxattr('/f', 'user.a', value, 'create'))).toBe('EEXIST');
    expect(codeOf(vfs.setxattr('/f', 'user.b', value, 'replace'))).toBe('ENODATA');
    expect(codeOf(vfs.setxattr('/f', `user.${'x'.repeat(260)}`, value))).toBe('ERANGE');
    expect(codeOf(vfs.setxattr('/f', 'user.big', new Uint8Array(65_537)))).toBe('E2BIG');
    expect(codeOf(user.setxattr('/f', 'system.posix_acl_access', value))).toBe('EPERM');
    expect(codeOf(vfs.removexattr('/f', 'user.none'))).toBe('ENODATA');
    runSync(vfs.removexattr('/f', 'user.a'));
    expect(runSync(vfs.listxattr('/f'))).toEqual(['trusted.t', 'security.s']);
  });
});

describe('caches', () => {
  it('stay within their bounds', () => {
    const { vfs } = make({ inodesMax: 100, dentriesMax: 200 });
    runSync(vfs.mkdir('/d'));
    for (let i = 0; i < 5000; i++) touch(vfs, `/d/${i}`);
    expect(vfs.core.inodes.count).toBeLessThanOrEqual(120);
    expect(vfs.core.dentries.count).toBeLessThanOrEqual(200);
    for (let i = 0; i < 5000; i++) expect(runSync(vfs.stat(`/d/${i}`)).size).toBe(0);
    expect(vfs.core.inodes.count).toBeLessThanOrEqual(120);
    expect(codeOf(vfs.stat('/d/x'))).toBe('ENOENT');
    runSync(vfs.unmount());
    expect(vfs.core.inodes.count).toBe(0);
    expect(vfs.core.dentries.count).toBe(0);
  });

  it('serve FUSE: look-ups count, forgetting frees', () => {
    const { fs, vfs } = make();
    const root = runSync(vfs.iget(fs.rootIno));
    const made = runSync(vfs.createAt(root, 'f', 0o100644));
    const again = runSync(vfs.lookupAt(root, 'f'));
    expect(again).toBe(made);
    expect(made.refs).toBe(2);
    runSync(vfs.unlinkAt(root, 'f'));
    expect(fs.inodeCount).toBe(2);
    const file = runSync(vfs.openInode(made, O_RDWR));
    runSync(vfs.forget(made, 2));
    expect(runSync(vfs.writeAt(file, new Uint8Array(3), 0))).toBe(3);
    expect(fs.inodeCount).toBe(2);
    runSync(vfs.releaseFile(file));
    expect(fs.inodeCount).toBe(1);
    expect(codeOf(vfs.iget(11))).toBe('ESTALE');
    expect(codeOf(vfs.unmount())).toBe('EBUSY');
    vfs.iput(root);
    runSync(vfs.unmount());
  });

  it('pass no name on that is a path', () => {
    const fs = memoryFs();
    const { vfs } = make({}, fs);
    const { readdir } = fs;
    Object.assign(fs, {
      *readdir(...[dir, cookie, emit]: Parameters<typeof readdir>) {
        emit('../../etc/passwd', 99, 'file', 9);
        yield* readdir.call(fs, dir, cookie, emit);
      },
    });
    expect(codeOf(vfs.readdir('/'))).toBe('EUCLEAN');
  });

  it('list with cookies that last', () => {
    const { fs, vfs } = make();
    for (let i = 0; i < 10; i++) touch(vfs, `/${i}`);
    const root = runSync(vfs.iget(fs.rootIno));
    const names: string[] = [];
    for (let cookie = 0, more = true; more; ) {
      more = false;
      let left = 3;
      runSync(
        vfs.readdirAt(root, cookie, (name, _ino, _type, next) => {
          if (left-- === 0) {
            more = true;
            return false;
          }
          names.push(name);
          cookie = next;
          return true;
        }),
      );
      if (names.length === 6) runSync(vfs.unlink('/0'));
    }
    expect(names).toEqual(['.', '..', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  });
});
