/** open(2): flags on every kind of file, creation, descriptors that outlive names. */
import { ALICE, BOB, fill, group, type Case } from '../case.js';

const KINDS = ['file', 'dir', 'link', 'fifo', 'dangling'] as const;

/** What an open with these flags comes to for each kind of KINDS (the fifo is opened without waiting). */
const BY_KIND: readonly (readonly [flags: string, ...results: string[]])[] = [
  ['O_RDONLY', 'ok', 'ok', 'ok', 'ok', 'ENOENT'],
  ['O_WRONLY', 'ok', 'EISDIR', 'ok', 'ENXIO', 'ENOENT'],
  ['O_RDWR', 'ok', 'EISDIR', 'ok', 'ok', 'ENOENT'],
  ['O_RDONLY|O_DIRECTORY', 'ENOTDIR', 'ok', 'ENOTDIR', 'ENOTDIR', 'ENOENT'],
  ['O_RDWR|O_DIRECTORY', 'ENOTDIR', 'EISDIR', 'ENOTDIR', 'ENOTDIR', 'ENOENT'],
  ['O_RDONLY|O_NOFOLLOW', 'ok', 'ok', 'ELOOP', 'ok', 'ELOOP'],
  ['O_RDONLY|O_NOFOLLOW|O_DIRECTORY', 'ENOTDIR', 'ok', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR'],
  ['O_WRONLY|O_CREAT|O_EXCL', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST'],
  ['O_RDONLY|O_CREAT|O_EXCL', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST'],
  ['O_RDONLY|O_CREAT', 'ok', 'EISDIR', 'ok', 'ok', 'ok'],
  ['O_WRONLY|O_CREAT', 'ok', 'EISDIR', 'ok', 'ENXIO', 'ok'],
  ['O_WRONLY|O_CREAT|O_NOFOLLOW', 'ok', 'EISDIR', 'ELOOP', 'ENXIO', 'ELOOP'],
  ['O_WRONLY|O_TRUNC', 'ok', 'EISDIR', 'ok', 'ENXIO', 'ENOENT'],
  ['O_RDONLY|O_TRUNC', 'ok', 'EISDIR', 'ok', 'ok', 'ENOENT'],
  ['O_WRONLY|O_APPEND', 'ok', 'EISDIR', 'ok', 'ENXIO', 'ENOENT'],
  ['O_RDONLY|O_SYNC', 'ok', 'ok', 'ok', 'ok', 'ENOENT'],
  ['O_RDWR|O_DSYNC', 'ok', 'EISDIR', 'ok', 'ok', 'ENOENT'],
  ['O_PATH', 'ok', 'ok', 'ok', 'ok', 'ENOENT'],
  ['O_PATH|O_NOFOLLOW', 'ok', 'ok', 'ok', 'ok', 'ok'],
  ['O_PATH|O_DIRECTORY', 'ENOTDIR', 'ok', 'ENOTDIR', 'ENOTDIR', 'ENOENT'],
  ['O_RDWR|O_DIRECT', 'ok', 'EISDIR', 'ok', 'EINVAL', 'ENOENT'],
  ['O_RDONLY|O_NOATIME', 'ok', 'ok', 'ok', 'ok', 'ENOENT'],
  ['O_RDONLY|O_CLOEXEC|O_NOCTTY', 'ok', 'ok', 'ok', 'ok', 'ENOENT'],
];

export const OPEN_CASES: readonly Case[] = group('open', (add) => {
  for (const [flags, ...results] of BY_KIND) {
    add(flags, (t) => {
      t.do('put', 'file', 'x');
      t.do('mkdir', 'dir');
      t.do('symlink', 'file', 'link');
      t.do('mknod', 'fifo', 'fifo');
      t.do('symlink', 'nowhere', 'dangling');
      KINDS.forEach((kind, i) => {
        t.is(results[i] ?? '', 'open', kind, `${flags}${flags.includes('O_PATH') ? '' : '|O_NONBLOCK'}`);
      });
    });
  }
  add('a socket', (t) => {
    t.do('socket', 's');
    t.is({ type: 'socket', size: 0, nlink: 1 }, 'lstat', 's');
    t.is('ENXIO', 'open', 's', 'O_RDONLY');
    t.is('ENXIO', 'open', 's', 'O_RDWR');
    t.is('ok', 'open', 's', 'O_PATH');
    t.is('ok', 'unlink', 's');
  });
  add('a device', (t) => {
    t.do('mknod', 'null', 'char', 0o666, 1, 3);
    t.do('mknod', 'none', 'char', 0o666, 250, 77);
    t.is('ok', 'open', 'null', 'O_RDWR', 0, 'n');
    t.is(3, 'write', 'n', 'abc');
    t.is('data:', 'read', 'n', 10);
    t.is('ENXIO', 'open', 'none', 'O_RDONLY');
  });
  add('mode, umask and owner of what is made', (t) => {
    const alice = t.as(ALICE);
    for (const [umask, asked, given] of [[0, 0o777, '0777'], [0o22, 0o666, '0644'], [0o77, 0o777, '0700'], [0o777, 0o777, '0000'], [0, 0, '0000'], [0o27, 0o7777, '7750'], [0, 0o4755, '4755'], [0, 0o1666, '1666']] as const) {
      alice.do('umask', umask);
      alice.do('open', `f${umask}-${asked}`, 'O_WRONLY|O_CREAT', asked);
      t.is({ type: 'file', mode: given, uid: 1000, gid: 1000, nlink: 1, size: 0, blocks: 0 }, 'stat', `f${umask}-${asked}`);
    }
  });
  add('a descriptor has the rights it was opened with', (t) => {
    const alice = t.as(ALICE);
    alice.is('ok', 'open', 'f', 'O_RDWR|O_CREAT', 0, 'rw');
    alice.is(3, 'write', 'rw', 'abc');
    alice.is('data:abc', 'pread', 'rw', 10, 0);
    alice.is('EACCES', 'open', 'f', 'O_RDONLY');
    alice.is('EACCES', 'open', 'f', 'O_WRONLY');
    alice.do('chmod', 'f', 0o600);
    alice.is('ok', 'open', 'f', 'O_RDONLY', 0, 'r');
    alice.is('ok', 'open', 'f', 'O_WRONLY', 0, 'w');
    alice.do('chmod', 'f', 0);
    alice.is('data:abc', 'read', 'r', 10);
    alice.is('EBADF', 'write', 'r', 'x');
    alice.is('EBADF', 'read', 'w', 10);
    alice.is(1, 'pwrite', 'w', 'X', 0);
    alice.is('data:Xbc', 'pread', 'r', 10, 0);
    t.as(BOB).is('data:Xbc', 'pread', 'r', 10, 0);
    t.as(BOB).is(1, 'pwrite', 'w', 'Y', 0);
    t.is('data:Ybc', 'cat', 'f');
    alice.is('EINVAL', 'ftruncate', 'r', 0);
    alice.is('ok', 'ftruncate', 'w', 1);
    t.is('data:Y', 'cat', 'f');
  });
  add('O_TRUNC', (t) => {
    t.do('put', 'f', 'content');
    t.do('open', 'f', 'O_RDONLY', 0, 'r');
    t.is('ok', 'open', 'f', 'O_WRONLY|O_TRUNC');
    t.is({ size: 0, blocks: 0 }, 'stat', 'f');
    t.is('data:', 'read', 'r', 10);
    t.do('put', 'f', 'content');
    t.is('ok', 'open', 'f', 'O_WRONLY|O_CREAT|O_TRUNC');
    t.is({ size: 0 }, 'stat', 'f');
    t.do('put', 'g', 'content', 0o444);
    t.as(ALICE).is('EACCES', 'open', 'g', 'O_RDONLY|O_TRUNC');
    t.as(ALICE).is('EACCES', 'open', 'g', 'O_WRONLY|O_TRUNC');
    t.is({ size: 7 }, 'stat', 'g');
  });
  add('O_CREAT through a dangling link makes its target', (t) => {
    t.do('mkdir', 'd');
    t.do('symlink', 'd/target', 'l');
    t.is('ok', 'open', 'l', 'O_WRONLY|O_CREAT', 0o600);
    t.is({ type: 'file', mode: '0600' }, 'lstat', 'd/target');
    t.is({ type: 'link' }, 'lstat', 'l');
    t.do('symlink', 'missing/target', 'l2');
    t.is('ENOENT', 'open', 'l2', 'O_WRONLY|O_CREAT');
  });
  add('an unlinked file lives while it is open', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.do('write', 'f', 'abc');
    t.is('ok', 'unlink', 'f');
    t.is('ENOENT', 'stat', 'f');
    t.is({ nlink: 0, size: 3, type: 'file' }, 'fstat', 'f');
    t.is('data:abc', 'pread', 'f', 10, 0);
    t.is(3, 'write', 'f', 'def');
    t.is('data:abcdef', 'pread', 'f', 10, 0);
    t.is('ok', 'ftruncate', 'f', 2);
    t.is('ok', 'fchmod', 'f', 0o600);
    t.is('ok', 'fchown', 'f', 1000, 1000);
    t.is('ok', 'futimens', 'f', 5, 6);
    t.is({ nlink: 0, size: 2, mode: '0600', uid: 1000, atime: '5.000000000', mtime: '6.000000000' }, 'fstat', 'f');
    t.is('ok', 'fsync', 'f');
    t.is('ok', 'fsetxattr', 'f', 'user.a', 'v');
    t.is('data:v', 'fgetxattr', 'f', 'user.a');
    t.is('ENOENT', 'linkfd', 'f', 'again');
    t.do('put', 'f', 'another');
    t.is('data:ab', 'pread', 'f', 10, 0);
    t.is('data:another', 'cat', 'f');
    t.do('close', 'f');
    t.is('data:another', 'cat', 'f');
  });
  add('what an unlinked file took comes back', (t) => {
    t.do('put', 'other', '');
    t.do('freed', '.');
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.do('write', 'f', fill('x', 100_000));
    t.is({ blocks: true, files: 1 }, 'taken', '.');
    t.do('unlink', 'f');
    t.is({ blocks: true, files: 1 }, 'taken', '.');
    t.do('close', 'f');
    t.is(true, 'freed', '.', 'again');
  });
  add('an open file that another is moved over', (t) => {
    t.do('put', 'old', 'old');
    t.do('put', 'new', 'new');
    t.do('open', 'old', 'O_RDWR', 0, 'f');
    t.is('ok', 'rename', 'new', 'old');
    t.is({ nlink: 0, size: 3 }, 'fstat', 'f');
    t.is('data:old', 'read', 'f', 10);
    t.is(1, 'pwrite', 'f', 'X', 0);
    t.is('data:new', 'cat', 'old');
    t.is('ENOENT', 'stat', 'new');
  });
  add('an open file that moves', (t) => {
    t.do('mkdir', 'd');
    t.do('put', 'f', 'abc');
    t.do('open', 'f', 'O_RDWR', 0, 'f');
    t.do('rename', 'f', 'd/g');
    t.is(1, 'pwrite', 'f', 'X', 0);
    t.is('data:Xbc', 'cat', 'd/g');
    t.is({ nlink: 1 }, 'fstat', 'f');
  });
  add('an open folder that is removed', (t) => {
    t.do('mkdir', 'd');
    t.do('open', 'd', 'O_RDONLY|O_DIRECTORY', 0, 'd');
    t.do('opendir', 'd', 'h');
    t.is('ok', 'rmdir', 'd');
    t.is({ nlink: 0, type: 'dir' }, 'fstat', 'd');
    t.is('ENOENT', 'open', 'f', 'O_WRONLY|O_CREAT', 0o644, 'x', 'd');
    t.is('ENOENT', 'mkdirat', 'd', 'e');
    t.is('ok', 'fsync', 'd');
    t.do('mkdir', 'd');
    t.is('ENOENT', 'open', 'f', 'O_WRONLY|O_CREAT', 0o644, 'x', 'd');
  });
  add('calls relative to a folder', (t) => {
    t.do('mkdir', 'd');
    t.do('open', 'd', 'O_RDONLY|O_DIRECTORY', 0, 'd');
    t.is('ok', 'open', 'f', 'O_WRONLY|O_CREAT', 0o644, 'x', 'd');
    t.is('ok', 'mkdirat', 'd', 'e');
    t.is('e,f', 'list', 'd');
    t.is('ok', 'unlinkat', 'd', 'f');
    t.is('EISDIR', 'unlinkat', 'd', 'e');
    t.is('ENOTDIR', 'open', 'f', 'O_RDONLY', 0, 'y', 'x');
    t.is('ok', 'fchdir', 'd');
    t.is('@here/d', 'getcwd');
    t.is('ENOTDIR', 'fchdir', 'x');
  });
  add('what a descriptor of O_PATH can do', (t) => {
    t.do('put', 'f', 'abc', 0);
    const alice = t.as(ALICE);
    alice.is('ok', 'open', 'f', 'O_PATH', 0, 'p');
    alice.is('EBADF', 'read', 'p', 10);
    alice.is('EBADF', 'write', 'p', 'x');
    alice.is('EBADF', 'ftruncate', 'p', 0);
    alice.is('EBADF', 'fchmod', 'p', 0o777);
    alice.is('EBADF', 'fsetxattr', 'p', 'user.a', 'v');
    alice.is({ size: 3, mode: '0000', uid: 0 }, 'fstat', 'p');
    t.do('symlink', 'f', 'l');
    t.is('ok', 'open', 'l', 'O_PATH|O_NOFOLLOW', 0, 'l');
    t.is({ type: 'link', size: 1 }, 'fstat', 'l');
  });
  add('O_TMPFILE', (t) => {
    t.do('mkdir', 'd');
    t.is('ok', 'open', 'd', 'O_TMPFILE|O_RDWR', 0o640, 't');
    t.is({ type: 'file', nlink: 0, mode: '0640', size: 0 }, 'fstat', 't');
    t.is('', 'list', 'd');
    t.is(3, 'write', 't', 'abc');
    t.is('ok', 'linkfd', 't', 'd/named', true);
    t.is({ nlink: 1, size: 3 }, 'stat', 'd/named');
    t.is('data:abc', 'cat', 'd/named');
    t.is('EEXIST', 'linkfd', 't', 'd/named', true);
    t.is('ok', 'linkfd', 't', 'd/second', true);
    t.is({ nlink: 2 }, 'fstat', 't');
    t.is('ok', 'open', 'd', 'O_TMPFILE|O_RDWR|O_EXCL', 0o640, 'x');
    t.is('ENOENT', 'linkfd', 'x', 'd/never', true);
    t.is('EINVAL', 'open', 'd', 'O_TMPFILE|O_RDONLY', 0o640);
    t.is('ENOTDIR', 'open', 'd/named', 'O_TMPFILE|O_RDWR', 0o640);
    t.is('ENOENT', 'open', 'missing', 'O_TMPFILE|O_RDWR', 0o640);
    t.do('mkdir', 'closed', 0o555);
    t.as(ALICE).is('EACCES', 'open', 'closed', 'O_TMPFILE|O_RDWR', 0o640);
    t.as(ALICE).is('ok', 'open', 'd/..', 'O_TMPFILE|O_WRONLY', 0o200, 'a');
    t.is({ uid: 1000, gid: 1000, mode: '0200' }, 'fstat', 'a');
  });
  add('flags of a descriptor', (t) => {
    t.do('put', 'f', 'abc');
    t.do('open', 'f', 'O_RDWR', 0, 'f');
    t.is('none', 'getfl', 'f');
    t.is('ok', 'setfl', 'f', 'O_APPEND');
    t.is('O_APPEND', 'getfl', 'f');
    t.is(1, 'pwrite', 'f', 'd', 0);
    t.is('data:abcd', 'cat', 'f');
    t.is('ok', 'setfl', 'f', 'O_NONBLOCK');
    t.is('O_NONBLOCK', 'getfl', 'f');
    t.is('ok', 'setfl', 'f', 'O_DIRECT');
    t.is('O_DIRECT', 'getfl', 'f');
    t.do('chmod', 'f', 0o666);
    t.as(ALICE).is('EPERM', 'setfl', 'f', 'O_NOATIME');
    t.as(ALICE).is('EPERM', 'open', 'f', 'O_RDONLY|O_NOATIME');
    t.is('ok', 'setfl', 'f', 'O_NOATIME');
  });
  add('copies of a descriptor share the position', (t) => {
    t.do('put', 'f', 'abcdef');
    t.do('open', 'f', 'O_RDONLY', 0, 'a');
    t.do('dup', 'a', 'b');
    t.do('open', 'f', 'O_RDONLY', 0, 'c');
    t.is('data:ab', 'read', 'a', 2);
    t.is('data:cd', 'read', 'b', 2);
    t.is('data:ab', 'read', 'c', 2);
    t.do('close', 'a');
    t.is('data:ef', 'read', 'b', 2);
    t.is('data:', 'read', 'b', 2);
    t.is('data:cd', 'other', ['read', 'c', 2]);
    t.is('data:ef', 'read', 'c', 2);
  });
  add('executing setuid programs', (t) => {
    t.do('put', 'secret', 'x', 0o600);
    t.do('install', '/bin/cat', 'cat', 0o755);
    t.as(ALICE).is('exit 1', 'exec', 'cat', 'secret');
    t.do('chmod', 'cat', 0o4755);
    t.as(ALICE).is('exit 0', 'exec', 'cat', 'secret');
    t.do('chown', 'secret', 0, 2000);
    t.do('chown', 'cat', 1001, 2000);
    t.do('chmod', 'secret', 0o040);
    t.do('chmod', 'cat', 0o755);
    t.as(ALICE).is('exit 1', 'exec', 'cat', 'secret');
    t.do('chmod', 'cat', 0o2755);
    t.as(ALICE).is('exit 0', 'exec', 'cat', 'secret');
  });
  add('executing', (t) => {
    t.do('put', 'script', '#!/bin/sh\nexit 7\n', 0o755);
    t.is('exit 7', 'exec', 'script');
    t.as(ALICE).is('exit 7', 'exec', 'script');
    t.do('chmod', 'script', 0o644);
    t.is('EACCES', 'exec', 'script');
    t.as(ALICE).is('EACCES', 'exec', 'script');
    t.do('chmod', 'script', 0o100);
    t.is('exit 7', 'exec', 'script');
    t.do('mkdir', 'd', 0o777);
    t.is('EACCES', 'exec', 'd');
    t.do('put', 'garbage', 'not a program', 0o755);
    t.is('ENOEXEC', 'exec', 'garbage');
    t.do('put', 'noone', '#!/missing/shell\n', 0o755);
    t.is('ENOENT', 'exec', 'noone');
    t.do('chmod', 'script', 0o755);
    t.do('open', 'script', 'O_WRONLY', 0, 'w');
    t.is('ETXTBSY', 'exec', 'script');
  });
});
