import { fixedEnv, FsError, runSync } from '@iomap/io';
import { createVfs, encodeName, O_CREAT, O_EXCL, O_WRONLY, type Vfs } from './index.js';
import { memoryFs } from './testing/index.js';
import { peekWalk } from './walk.js';

const make = (): Vfs => createVfs(memoryFs(), { env: fixedEnv({ start: { sec: 1000, nsec: 0 }, tickNs: 1_000_000 }) });

const touch = (vfs: Vfs, path: string): number => {
  const fd = runSync(vfs.open(path, O_CREAT | O_WRONLY, 0o644));
  const { ino } = runSync(vfs.fstat(fd));
  runSync(vfs.close(fd));
  return ino;
};

/** The inode number at `path`, or the error's code. */
const at = (vfs: Vfs, path: string): number | string => {
  try {
    return runSync(vfs.stat(path)).ino;
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
};

/** A tree with two files in /a/b, and a walk that has just been there. */
function warm(): { vfs: Vfs; f: number; g: number } {
  const vfs = make();
  runSync(vfs.mkdir('/a', 0o755));
  runSync(vfs.mkdir('/a/b', 0o755));
  const f = touch(vfs, '/a/b/f');
  const g = touch(vfs, '/a/b/g');
  expect(at(vfs, '/a/b/f')).toBe(f);
  return { vfs, f, g };
}

it('says of names that no file can have what Linux says', () => {
  const { vfs } = warm();
  const open = (path: string, flags: number): number | string => {
    try {
      return runSync(vfs.open(path, flags, 0o644));
    } catch (error) {
      if (error instanceof FsError) return error.code;
      throw error;
    }
  };
  expect(open('/a/.', O_CREAT | O_EXCL)).toBe('EEXIST');
  expect(open('/a/.', O_CREAT)).toBe('EISDIR');
  expect(open('/a/x/', O_CREAT | O_EXCL)).toBe('EISDIR');
});

describe('the place of the last fast walk', () => {
  it('leads to the next file of the folder, and to nothing else', () => {
    const { vfs, g } = warm();
    expect(peekWalk(vfs, '/a/b/g', true)?.ino).toBe(g);
    expect(vfs.core.lastPlace?.prefix).toBe('/a/b/');
    for (const path of ['/a/b/', '/a/b/.', '/a/b/../b', '/a//b']) expect(at(vfs, path)).toBe(at(vfs, '/a/b'));
    expect(at(vfs, '/a/b/..')).toBe(at(vfs, '/a'));
    expect(at(vfs, '/a/bf')).toBe('ENOENT');
    expect(at(vfs, '/a/b/f/')).toBe('ENOTDIR');
    expect(at(vfs, `/a/b/${'x'.repeat(300)}`)).toBe('ENAMETOOLONG');
  });

  it('is forgotten when a folder above is renamed, replaced or removed', () => {
    const { vfs, g } = warm();
    runSync(vfs.rename('/a', '/c'));
    expect(at(vfs, '/a/b/g')).toBe('ENOENT');
    expect(at(vfs, '/c/b/g')).toBe(g);
    runSync(vfs.mkdir('/a', 0o755));
    runSync(vfs.mkdir('/a/b', 0o755));
    const other = touch(vfs, '/a/b/g');
    expect(at(vfs, '/c/b/g')).toBe(g);
    runSync(vfs.rename('/c/b/g', '/c/b/h'));
    expect(at(vfs, '/c/b/g')).toBe('ENOENT');
    runSync(vfs.unlink('/a/b/g'));
    expect(at(vfs, '/a/b/g')).toBe('ENOENT');
    expect(other).not.toBe(g);
    runSync(vfs.rmdir('/a/b'));
    expect(at(vfs, '/a/b/g')).toBe('ENOENT');
  });

  it('is forgotten when a symbolic link on the way leads elsewhere', () => {
    const { vfs, f } = warm();
    runSync(vfs.mkdir('/d', 0o755));
    const other = touch(vfs, '/d/f');
    runSync(vfs.symlink(encodeName('/a/b'), '/link'));
    expect(at(vfs, '/link/f')).toBe(f);
    runSync(vfs.unlink('/link'));
    runSync(vfs.symlink(encodeName('/d'), '/link'));
    expect(at(vfs, '/link/f')).toBe(other);
  });

  it('is no way around the rights of folders above', () => {
    const { vfs, f } = warm();
    const user = vfs.as({ uid: 1000, gid: 1000, groups: [] });
    expect(at(user, '/a/b/f')).toBe(f);
    expect(at(user, '/a/b/g')).not.toBe('EACCES');
    runSync(vfs.chmod('/a', 0o700));
    expect(at(user, '/a/b/g')).toBe('EACCES');
    expect(at(vfs, '/a/b/f')).toBe(f);
    // What root has just walked is root's.
    expect(at(user, '/a/b/f')).toBe('EACCES');
    runSync(vfs.chmod('/a', 0o755));
    expect(at(user, '/a/b/f')).toBe(f);
    runSync(vfs.chown('/a', 1000, 1000));
    runSync(vfs.chmod('/a', 0o077));
    expect(at(user, '/a/b/f')).toBe('EACCES');
  });

  it('goes with the inodes that leave the cache', () => {
    const { vfs, f } = warm();
    expect(at(vfs, '/a/b/f')).toBe(f);
    runSync(vfs.dropCaches());
    expect(at(vfs, '/a/b/f')).toBe(f);
    runSync(vfs.unmount());
    expect(at(vfs, '/a/b/f')).toBe('ENODEV');
  });
});
