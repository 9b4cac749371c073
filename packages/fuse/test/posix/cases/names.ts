/** Making and removing names: mkdir, mknod, link, symlink, readlink, unlink, rmdir. */
import { ALICE, ALICE_IN_2000, BOB, group, type Case } from '../case.js';

const MASKS = [[0, 0o777, '0777'], [0o22, 0o777, '0755'], [0o77, 0o777, '0700'], [0o777, 0o777, '0000'], [0o2, 0o1777, '1775'], [0, 0, '0000']] as const;

const MKDIR = group('mkdir', (add) => {
  add('mode, umask, owner', (t) => {
    for (const [umask, asked, given] of MASKS) {
      t.as(ALICE).do('umask', umask);
      t.as(ALICE).is('ok', 'mkdir', `d${umask}-${asked}`, asked);
      t.is({ type: 'dir', mode: given, uid: 1000, gid: 1000, nlink: 2 }, 'stat', `d${umask}-${asked}`);
    }
  });
  add('link counts of parents', (t) => {
    t.do('mkdir', 'd');
    t.is({ nlink: 2 }, 'stat', 'd');
    t.do('mkdir', 'd/a');
    t.do('mkdir', 'd/b');
    t.is({ nlink: 4 }, 'stat', 'd');
    t.do('put', 'd/f', '');
    t.do('symlink', 'x', 'd/l');
    t.is({ nlink: 4 }, 'stat', 'd');
    t.do('rmdir', 'd/a');
    t.is({ nlink: 3 }, 'stat', 'd');
    t.is(true, 'sameino', 'd/b/..', 'd');
  });
  add('what is there', (t) => {
    t.do('put', 'f', '');
    t.do('mkdir', 'd');
    t.do('symlink', 'd', 'l');
    t.do('symlink', 'x', 'dangling');
    for (const name of ['f', 'd', 'l', 'dangling', 'd/', 'l/']) t.is('EEXIST', 'mkdir', name);
    t.is('EEXIST', 'mkdir', 'dangling/');
  });
});

const MKNOD = group('mknod', (add) => {
  for (const kind of ['file', 'fifo', 'socket', 'char', 'block'] as const) {
    add(kind, (t) => {
      const major = kind === 'char' || kind === 'block' ? 7 : 0;
      t.do('umask', 0o22);
      t.is('ok', 'mknod', 'n', kind, 0o666, major, major * 3);
      t.is({ type: kind, mode: '0644', nlink: 1, size: 0, uid: 0, gid: 0, blocks: 0, rdev: `${major}:${major * 3}` }, 'lstat', 'n');
      t.is('EEXIST', 'mknod', 'n', kind, 0o666, major, 0);
      t.is('ok', 'chmod', 'n', 0o600);
      t.is('ok', 'chown', 'n', 1000, 1001);
      t.is('ok', 'utimens', 'n', 1, 2);
      t.is({ mode: '0600', uid: 1000, gid: 1001, atime: '1.000000000', mtime: '2.000000000' }, 'lstat', 'n');
      t.is('ok', 'link', 'n', 'm');
      t.is({ nlink: 2, type: kind }, 'lstat', 'm');
      t.is('ok', 'rename', 'm', 'k');
      t.is(kind === 'file' ? 'ok' : 'EINVAL', 'truncate', 'n', 0);
      t.is('EINVAL', 'readlink', 'n');
      t.is('ENOTDIR', 'rmdir', 'n');
      t.is('ok', 'unlink', 'n');
      t.is({ nlink: 1 }, 'lstat', 'k');
    });
  }
  add('device numbers, small and large', (t) => {
    for (const [major, minor] of [[0, 1], [1, 3], [8, 255], [255, 255], [8, 256], [256, 0], [4095, 1_048_575], [259, 65_536]] as const) {
      t.is('ok', 'mknod', `c${major}-${minor}`, 'char', 0o600, major, minor);
      t.is({ rdev: `${major}:${minor}`, type: 'char' }, 'lstat', `c${major}-${minor}`);
    }
  });
  add('who may', (t) => {
    const alice = t.as(ALICE);
    alice.is('ok', 'mknod', 'file', 'file');
    alice.is('ok', 'mknod', 'none', 'none');
    alice.is({ type: 'file', uid: 1000, gid: 1000 }, 'stat', 'none');
    alice.is('ok', 'mknod', 'fifo', 'fifo');
    alice.is('ok', 'mknod', 'sock', 'socket');
    alice.is('EPERM', 'mknod', 'char', 'char', 0o666, 1, 3);
    alice.is('EPERM', 'mknod', 'block', 'block', 0o666, 7, 0);
    alice.is('ok', 'mknod', 'whiteout', 'char', 0o666, 0, 0);
    t.is('EPERM', 'mknod', 'dir', 'dir');
    t.is('EINVAL', 'mknod', 'link', 'link');
  });
  add('a fifo carries data', (t) => {
    t.do('mknod', 'p', 'fifo');
    t.is('data:through', 'nonblockfifo', 'p', 'through');
    t.is({ size: 0 }, 'stat', 'p');
    t.is('ENXIO', 'open', 'p', 'O_WRONLY|O_NONBLOCK');
  });
});

const LINK = group('link', (add) => {
  add('two names, one file', (t) => {
    t.do('put', 'a', 'abc');
    t.is('ok', 'link', 'a', 'b');
    t.is(true, 'sameino', 'a', 'b');
    t.is({ nlink: 2, size: 3 }, 'stat', 'a');
    t.is(1, 'append', 'b', 'd');
    t.is('data:abcd', 'cat', 'a');
    t.do('chmod', 'a', 0o600);
    t.is({ mode: '0600' }, 'stat', 'b');
    t.is('ok', 'unlink', 'a');
    t.is({ nlink: 1, size: 4 }, 'stat', 'b');
    t.is('data:abcd', 'cat', 'b');
  });
  add('what cannot be linked, and where', (t) => {
    t.do('mkdir', 'd');
    t.do('put', 'f', '');
    t.is('EPERM', 'link', 'd', 'e');
    t.is('EPERM', 'link', '.', 'e');
    t.is('EEXIST', 'link', 'f', 'd');
    t.is('EEXIST', 'link', 'f', 'f');
    t.is('ENOENT', 'link', 'f', 'missing/e');
    t.is('ENOTDIR', 'link', 'f', 'f/e');
    t.do('symlink', 'f', 'l');
    t.is('EEXIST', 'link', 'f', 'l');
    t.do('symlink', 'missing', 'dangling');
    t.is('EEXIST', 'link', 'f', 'dangling');
  });
  add('a symlink itself, or where it leads', (t) => {
    t.do('put', 'f', 'x');
    t.do('symlink', 'f', 'l');
    t.is('ok', 'link', 'l', 'l2');
    t.is({ type: 'link', nlink: 2 }, 'lstat', 'l2');
    t.is('ok', 'link', 'l', 'f2', true);
    t.is({ type: 'file', nlink: 2 }, 'lstat', 'f2');
    t.do('symlink', 'missing', 'dangling');
    t.is('ok', 'link', 'dangling', 'd2');
    t.is('ENOENT', 'link', 'dangling', 'd3', true);
  });
  add('by descriptor', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.is('ok', 'linkfd', 'f', 'g');
    t.is('ok', 'linkfd', 'f', 'h', true);
    t.is({ nlink: 3 }, 'fstat', 'f');
    t.do('unlink', 'f');
    t.do('unlink', 'g');
    t.is('ok', 'linkfd', 'f', 'i');
    t.do('unlink', 'h');
    t.do('unlink', 'i');
    t.is('ENOENT', 'linkfd', 'f', 'j');
  });
  add('rights', (t) => {
    t.do('mkdir', 'd', 0o777);
    t.do('mkdir', 'closed', 0o755);
    t.as(ALICE).do('put', 'd/f', 'x', 0o644);
    t.as(ALICE).is('EACCES', 'link', 'd/f', 'closed/f');
    t.as(ALICE).is('ok', 'link', 'd/f', 'd/g');
    t.is('ok', 'link', 'd/f', 'closed/f');
  });
});

const SYMLINK = group('symlink', (add) => {
  add('of every length', (t) => {
    for (const length of [1, 2, 58, 59, 60, 61, 100, 255, 256, 1000, 1023]) {
      t.is('ok', 'symlink', 's'.repeat(length), `l${length}`);
      t.is(`data:${'s'.repeat(length)}`, 'readlink', `l${length}`);
      t.is({ type: 'link', mode: '0777', size: length, nlink: 1, uid: 0 }, 'lstat', `l${length}`);
    }
  });
  add('too long, empty', (t) => {
    t.is('ok', 'symlink', 's'.repeat(4095), 'longest');
    t.is({ size: 4095 }, 'lstat', 'longest');
    t.is(`data:${'s'.repeat(4095)}`, 'readlink', 'longest');
    t.is('ENAMETOOLONG', 'symlink', 's'.repeat(4096), 'l');
    t.is('ENOENT', 'symlink', '', 'l');
    t.is('ENOENT', 'lstat', 'l');
  });
  add('any target', (t) => {
    for (const target of ['/', '.', '..', 'a//b/../c', '/no/such/thing', 'with space', '\xff\x01']) {
      t.do('symlink', target, 'l');
      t.is(`data:${target}`, 'readlink', 'l');
      t.do('unlink', 'l');
    }
  });
  add('owner, and rights that nobody asks', (t) => {
    t.as(ALICE).do('umask', 0o77);
    t.as(ALICE).is('ok', 'symlink', 'f', 'l');
    t.is({ uid: 1000, gid: 1000, mode: '0777' }, 'lstat', 'l');
    t.as(BOB).is('data:f', 'readlink', 'l');
    t.as(BOB).is('EPERM', 'lchown', 'l', 1001, 1001);
    t.is('ok', 'lchown', 'l', 1001, 1001);
    t.is({ uid: 1001, gid: 1001 }, 'lstat', 'l');
    t.is('EOPNOTSUPP', 'lchmod', 'l', 0o600);
    t.is({ mode: '0777' }, 'lstat', 'l');
    t.is('ok', 'lutimens', 'l', 3, 4);
    t.is({ atime: '3.000000000', mtime: '4.000000000' }, 'lstat', 'l');
  });
  add('followed by what follows', (t) => {
    t.do('put', 'f', 'abc', 0o644);
    t.do('symlink', 'f', 'l');
    t.is({ type: 'file', size: 3 }, 'stat', 'l');
    t.do('chmod', 'l', 0o600);
    t.do('chown', 'l', 5, 6);
    t.do('utimens', 'l', 7, 8);
    t.do('truncate', 'l', 1);
    t.is({ mode: '0600', uid: 5, gid: 6, atime: '7.000000000', size: 1 }, 'lstat', 'f');
    t.is({ type: 'link', mode: '0777', uid: 0, size: 1 }, 'lstat', 'l');
    t.is('ok', 'unlink', 'l');
    t.is({ size: 1 }, 'stat', 'f');
    t.do('mkdir', 'd');
    t.do('symlink', 'd', 'ld');
    t.is('ENOTDIR', 'rmdir', 'ld');
    t.is('ENOTDIR', 'rmdir', 'ld/');
    t.is('ok', 'put', 'ld/f', 'x');
    t.is('f', 'list', 'd');
    t.is({ type: 'dir' }, 'lstat', 'ld/');
    t.is('EINVAL', 'readlink', 'ld/');
    t.is('EINVAL', 'readlink', 'd');
    t.is('EINVAL', 'readlink', 'f');
  });
});

const REMOVE = group('unlink and rmdir', (add) => {
  add('unlink by kind', (t) => {
    t.do('put', 'file', '');
    t.do('mkdir', 'dir');
    t.do('symlink', 'file', 'link');
    t.do('mknod', 'fifo', 'fifo');
    t.is('ok', 'unlink', 'link');
    t.is('ok', 'unlink', 'file');
    t.is('ok', 'unlink', 'fifo');
    t.is('EISDIR', 'unlink', 'dir');
    t.is('ENOENT', 'unlink', 'file');
    t.is('dir', 'list', '.');
  });
  add('rmdir by kind', (t) => {
    t.do('put', 'file', '');
    t.do('mkdir', 'empty');
    t.do('mkdir', 'full');
    t.do('put', 'full/f', '');
    t.do('mkdir', 'nested');
    t.do('mkdir', 'nested/d');
    t.do('symlink', 'empty', 'link');
    t.is('ENOTDIR', 'rmdir', 'file');
    t.is('ENOTDIR', 'rmdir', 'link');
    t.is('ENOTEMPTY', 'rmdir', 'full');
    t.is('ENOTEMPTY', 'rmdir', 'nested');
    t.is('ok', 'rmdir', 'empty');
    t.is('ENOENT', 'rmdir', 'empty');
    t.do('unlink', 'full/f');
    t.is('ok', 'rmdir', 'full');
    t.is('ok', 'rmdir', 'nested/d');
    t.is('ok', 'rmdir', 'nested');
  });
  add('names come back', (t) => {
    for (let i = 0; i < 4; i++) {
      t.is('ok', 'mkdir', 'n');
      t.is('ok', 'rmdir', 'n');
      t.is('ok', 'put', 'n', String(i));
      t.is(`data:${i}`, 'cat', 'n');
      t.is('ok', 'unlink', 'n');
      t.is('ENOENT', 'stat', 'n');
    }
  });
});

const SETGID_DIR = group('setgid folders', (add) => {
  add('hand their group on', (t) => {
    t.do('mkdir', 'd', 0o777);
    t.do('chown', 'd', 0, 2000);
    t.do('chmod', 'd', 0o2777);
    const alice = t.as(ALICE);
    alice.do('put', 'd/f', '', 0o644);
    alice.do('mkdir', 'd/sub', 0o755);
    alice.do('symlink', 'f', 'd/l');
    alice.do('mknod', 'd/p', 'fifo', 0o644);
    alice.do('mkdir', 'd/sub/deeper', 0o700);
    t.is({ gid: 2000, uid: 1000, mode: '0644' }, 'stat', 'd/f');
    t.is({ gid: 2000, uid: 1000, mode: '2755' }, 'stat', 'd/sub');
    t.is({ gid: 2000, mode: '2700' }, 'stat', 'd/sub/deeper');
    t.is({ gid: 2000, mode: '0777' }, 'lstat', 'd/l');
    t.is({ gid: 2000, mode: '0644' }, 'lstat', 'd/p');
  });
  add('setgid of what is made there', (t) => {
    t.do('mkdir', 'd', 0o777);
    t.do('chown', 'd', 0, 2000);
    t.do('chmod', 'd', 0o2777);
    const make = (user: string, name: string, mode: number, given: string): void => {
      t.as(user).is('ok', 'open', `d/${name}`, 'O_WRONLY|O_CREAT', mode);
      t.is({ mode: given, gid: 2000 }, 'stat', `d/${name}`);
    };
    make(ALICE, 'a', 0o2755, '0755');
    make(ALICE, 'b', 0o2745, '2745');
    make(ALICE_IN_2000, 'c', 0o2755, '2755');
    make('0:0', 'e', 0o2755, '2755');
    make(ALICE, 'f', 0o6755, '4755');
    t.as(ALICE).is('ok', 'mknod', 'd/g', 'file', 0o2755);
    t.is({ mode: '0755' }, 'stat', 'd/g');
    t.as(ALICE).is('ok', 'mkdir', 'd/h', 0o2755);
    t.is({ mode: '2755' }, 'stat', 'd/h');
  });
  add('without setgid the group is the maker\'s', (t) => {
    t.do('mkdir', 'd', 0o777);
    t.do('chown', 'd', 0, 2000);
    t.do('chmod', 'd', 0o777);
    t.as('1000:1234').do('put', 'd/f', '');
    t.as('1000:1234').do('mkdir', 'd/e', 0o2755);
    t.is({ gid: 1234, uid: 1000 }, 'stat', 'd/f');
    t.is({ gid: 1234, mode: '0755' }, 'stat', 'd/e');
  });
});

export const NAMES_CASES: readonly Case[] = [...MKDIR, ...MKNOD, ...LINK, ...SYMLINK, ...REMOVE, ...SETGID_DIR];

/** On their own: it takes a while to get there. */
export const LINK_MAX_CASES: readonly Case[] = group('link counts', (add) => {
  add('the most links that a file has', (t) => {
    t.do('put', 'f', 'x');
    t.do('mkdir', 'd');
    t.is('EMLINK', 'fillnames', 'f', 'link');
    t.is('EMLINK', 'link', 'f', 'one-more');
    t.do('unlink', 'f1');
    t.is('ok', 'link', 'f', 'one-more');
    t.is('EMLINK', 'link', 'f', 'yet-another');
  });
});
