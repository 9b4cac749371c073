/** Extended attributes by namespace, POSIX ACLs, the flags of chattr(1). */
import { ALICE, BOB, fill, group, NOBODY, type Case } from '../case.js';

const XATTR = group('xattrs', (add) => {
  add('set, get, list, remove', (t) => {
    t.do('put', 'f', '');
    t.is('', 'listxattr', 'f');
    t.is('ENODATA', 'getxattr', 'f', 'user.a');
    t.is('ENODATA', 'removexattr', 'f', 'user.a');
    t.is('ok', 'setxattr', 'f', 'user.a', 'value');
    t.is('data:value', 'getxattr', 'f', 'user.a');
    t.is('ok', 'setxattr', 'f', 'user.a', 'longer value');
    t.is('data:longer value', 'getxattr', 'f', 'user.a');
    t.is('ok', 'setxattr', 'f', 'user.a', '');
    t.is('data:', 'getxattr', 'f', 'user.a');
    t.is('ok', 'setxattr', 'f', 'user.b', 'b');
    t.is('user.a,user.b', 'listxattr', 'f');
    t.is('ok', 'removexattr', 'f', 'user.a');
    t.is('user.b', 'listxattr', 'f');
    t.is('ENODATA', 'getxattr', 'f', 'user.a');
    t.do('rename', 'f', 'g');
    t.is('data:b', 'getxattr', 'g', 'user.b');
  });
  add('create and replace', (t) => {
    t.do('put', 'f', '');
    t.is('ENODATA', 'setxattr', 'f', 'user.a', 'v', 'replace');
    t.is('ok', 'setxattr', 'f', 'user.a', 'v', 'create');
    t.is('EEXIST', 'setxattr', 'f', 'user.a', 'w', 'create');
    t.is('ok', 'setxattr', 'f', 'user.a', 'w', 'replace');
    t.is('data:w', 'getxattr', 'f', 'user.a');
    t.is('EINVAL', 'setxattr', 'f', 'user.a', 'x', 'bad');
  });
  add('sizes', (t) => {
    t.do('put', 'f', '');
    t.do('setxattr', 'f', 'user.a', '12345');
    t.is(5, 'getxattrsize', 'f', 'user.a', 0);
    t.is(5, 'getxattrsize', 'f', 'user.a', 5);
    t.is(5, 'getxattrsize', 'f', 'user.a', 100);
    t.is('ERANGE', 'getxattrsize', 'f', 'user.a', 4);
    t.is('ERANGE', 'getxattrsize', 'f', 'user.a', 1);
    t.is(7, 'listxattrsize', 'f', 0);
    t.is(7, 'listxattrsize', 'f', 7);
    t.is('ERANGE', 'listxattrsize', 'f', 6);
    for (const size of [1, 100, 1000, 3000]) {
      t.is('ok', 'setxattr', 'f', 'user.big', fill('v', size));
      t.is(size, 'getxattrsize', 'f', 'user.big', 0);
    }
    t.is('ENOSPC', 'setxattr', 'f', 'user.big', fill('v', 5000));
    t.is('E2BIG', 'setxattr', 'f', 'user.big', fill('v', 65_537));
    t.is(3000, 'getxattrsize', 'f', 'user.big', 0);
  });
  add('names', (t) => {
    t.do('put', 'f', '');
    t.is('ERANGE', 'setxattr', 'f', '', 'v');
    t.is('EOPNOTSUPP', 'setxattr', 'f', 'a', 'v');
    t.is('EOPNOTSUPP', 'setxattr', 'f', 'user', 'v');
    t.is('EINVAL', 'setxattr', 'f', 'user.', 'v');
    t.is('EOPNOTSUPP', 'setxattr', 'f', 'other.name', 'v');
    t.is('EOPNOTSUPP', 'getxattr', 'f', 'other.name');
    t.is('EOPNOTSUPP', 'removexattr', 'f', 'other.name');
    t.is('EOPNOTSUPP', 'setxattr', 'f', 'system.other', 'v');
    t.is('EOPNOTSUPP', 'getxattr', 'f', 'system.other');
    t.is('ok', 'setxattr', 'f', `user.${'n'.repeat(250)}`, 'v');
    t.is('ERANGE', 'setxattr', 'f', `user.${'n'.repeat(251)}`, 'v');
    t.is('ERANGE', 'getxattr', 'f', `user.${'n'.repeat(251)}`);
    t.is('ok', 'setxattr', 'f', 'user.with.dots and spaces', 'v');
    t.is('data:v', 'getxattr', 'f', 'user.with.dots and spaces');
    t.is('ENODATA', 'getxattr', 'f', 'user.WITH.dots and spaces');
  });
  add('user.*: by mode bits, on files and folders', (t) => {
    t.do('put', 'f', '', 0o644);
    t.do('put', 'w', '', 0o666);
    t.do('put', 'closed', '', 0o600);
    t.do('mkdir', 'd', 0o777);
    t.do('mkdir', 'sticky', 0o1777);
    t.do('symlink', 'f', 'l');
    t.do('symlink', 'missing', 'dangling');
    t.do('mknod', 'p', 'fifo', 0o666);
    for (const name of ['f', 'w', 'closed']) t.do('setxattr', name, 'user.a', 'v');
    const alice = t.as(ALICE);
    alice.is('data:v', 'getxattr', 'f', 'user.a');
    alice.is('EACCES', 'getxattr', 'closed', 'user.a');
    alice.is('user.a', 'listxattr', 'closed');
    alice.is('EACCES', 'setxattr', 'f', 'user.a', 'w');
    alice.is('EACCES', 'removexattr', 'f', 'user.a');
    alice.is('ok', 'setxattr', 'w', 'user.a', 'w');
    alice.is('ok', 'removexattr', 'w', 'user.a');
    alice.is('ok', 'setxattr', 'd', 'user.a', 'w');
    alice.is('EPERM', 'setxattr', 'sticky', 'user.a', 'w');
    t.is('ok', 'setxattr', 'sticky', 'user.a', 'w');
    alice.is('data:w', 'getxattr', 'sticky', 'user.a');
    t.is('EPERM', 'setxattr', 'p', 'user.a', 'v');
    t.is('ENODATA', 'getxattr', 'p', 'user.a');
    t.is('EPERM', 'removexattr', 'p', 'user.a');
    t.is('EPERM', 'setxattr', 'l', 'user.a', 'v', '', false);
    t.is('ENODATA', 'getxattr', 'l', 'user.a', false);
    t.is('data:v', 'getxattr', 'l', 'user.a');
    t.is('', 'listxattr', 'l', false);
    t.is('ENOENT', 'getxattr', 'dangling', 'user.a');
    t.is('', 'listxattr', 'dangling', false);
  });
  add('trusted.*: root\'s', (t) => {
    t.as(ALICE).do('put', 'f', '');
    t.is('ok', 'setxattr', 'f', 'trusted.a', 'v');
    t.is('ok', 'setxattr', 'f', 'user.b', 'v');
    t.is('trusted.a,user.b', 'listxattr', 'f');
    t.as(ALICE).is('user.b', 'listxattr', 'f');
    t.as(ALICE).is(7, 'listxattrsize', 'f', 0);
    t.as(ALICE).is('ENODATA', 'getxattr', 'f', 'trusted.a');
    t.as(ALICE).is('EPERM', 'setxattr', 'f', 'trusted.a', 'w');
    t.as(ALICE).is('EPERM', 'removexattr', 'f', 'trusted.a');
    t.is('data:v', 'getxattr', 'f', 'trusted.a');
    t.do('symlink', 'x', 'l');
    t.is('ok', 'setxattr', 'l', 'trusted.a', 'link', '', false);
    t.is('data:link', 'getxattr', 'l', 'trusted.a', false);
    t.do('mknod', 'p', 'fifo');
    t.is('ok', 'setxattr', 'p', 'trusted.a', 'fifo');
    t.is('data:fifo', 'getxattr', 'p', 'trusted.a');
  });
  add('security.*: seen by all, set by root', (t) => {
    t.as(ALICE).do('put', 'f', '', 0o600);
    t.is('ok', 'setxattr', 'f', 'security.a', 'v');
    t.as(ALICE).is('data:v', 'getxattr', 'f', 'security.a');
    t.as(BOB).is('data:v', 'getxattr', 'f', 'security.a');
    t.as(BOB).is('security.a', 'listxattr', 'f');
    t.as(ALICE).is('EPERM', 'setxattr', 'f', 'security.a', 'w');
    t.as(ALICE).is('EPERM', 'removexattr', 'f', 'security.a');
    t.is('ok', 'removexattr', 'f', 'security.a');
  });
  add('many', (t) => {
    t.do('put', 'f', '');
    const all = Array.from({ length: 60 }, (_, i) => `user.${String(i).padStart(2, '0')}`);
    for (const name of all) t.do('setxattr', 'f', name, name);
    t.is(all.join(','), 'listxattr', 'f');
    for (const name of all.filter((_, i) => i % 10 === 0)) t.is(`data:${name}`, 'getxattr', 'f', name);
    for (const name of all.slice(0, 59)) t.do('removexattr', 'f', name);
    t.is('user.59', 'listxattr', 'f');
    t.do('removexattr', 'f', 'user.59');
    t.is({ blocks: 0 }, 'stat', 'f');
  });
});

const ACL = group('ACLs', (add) => {
  add('say what the mode says, and the other way', (t) => {
    t.do('put', 'f', '', 0o640);
    t.is('ENODATA', 'getacl', 'f', 'access');
    t.is('ok', 'setacl', 'f', 'access', 'u::rw-,g::r--,o::---');
    t.is('ENODATA', 'getacl', 'f', 'access');
    t.is('ok', 'setacl', 'f', 'access', 'u::rwx,g::rw-,o::r--');
    t.is({ mode: '0764' }, 'stat', 'f');
    t.is('ok', 'setacl', 'f', 'access', 'u::rw-,u:1000:rwx,g::r--,m::rwx,o::---');
    t.is({ mode: '0670' }, 'stat', 'f');
    t.is('u::rw-,u:1000:rwx,g::r--,m::rwx,o::---', 'getacl', 'f', 'access');
    t.is('ok', 'chmod', 'f', 0o604);
    t.is('u::rw-,u:1000:rwx,g::r--,m::---,o::r--', 'getacl', 'f', 'access');
    t.is('ok', 'chmod', 'f', 0o4751);
    t.is({ mode: '4751' }, 'stat', 'f');
    t.is('u::rwx,u:1000:rwx,g::r--,m::r-x,o::--x', 'getacl', 'f', 'access');
    t.is('ok', 'removeacl', 'f', 'access');
    t.is('ENODATA', 'getacl', 'f', 'access');
    t.is({ mode: '4751' }, 'stat', 'f');
  });
  add('that are no ACLs', (t) => {
    t.do('put', 'f', '');
    t.do('mkdir', 'd');
    t.is('EINVAL', 'setacl', 'f', 'access', 'u::rw-,g::r--');
    t.is('EINVAL', 'setacl', 'f', 'access', 'u::rw-,u:1000:rw-,g::r--,o::---');
    t.is('EINVAL', 'setacl', 'f', 'access', 'g::r--,u::rw-,o::---');
    t.is('EINVAL', 'setacl', 'f', 'access', 'u::rw-,u::rw-,g::r--,o::---');
    t.is('EINVAL', 'setacl', 'f', 'access', 'u::rw-,g::r--,m::rw-,m::rw-,o::---');
    t.is('EINVAL', 'setaclraw', 'f', 'access', '02000000ff');
    t.is('EOPNOTSUPP', 'setaclraw', 'f', 'access', '03000000');
    t.is('EINVAL', 'setaclraw', 'f', 'access', '02000000' + '0100ff00ffffffff' + '04000400ffffffff' + '20000000ffffffff');
    t.is('EACCES', 'setacl', 'f', 'default', 'u::rw-,g::r--,o::---');
    t.is('ok', 'setacl', 'd', 'default', 'u::rw-,g::r--,o::---');
    t.do('symlink', 'f', 'l');
    t.is('ok', 'setacl', 'l', 'access', 'u::rw-,g::r--,o::---');
    t.is('ENODATA', 'getacl', 'f', 'default');
    t.is('ok', 'removeacl', 'f', 'default');
    t.is('ok', 'removeacl', 'f', 'access');
    t.is('ok', 'removeacl', 'd', 'default');
  });
  add('are obeyed', (t) => {
    t.do('put', 'f', 'secret', 0o600);
    t.do('setacl', 'f', 'access', 'u::rw-,u:1000:r--,u:1001:rwx,g::---,g:2000:rw-,g:3000:---,m::rw-,o::---');
    const may = (user: string, read: string, write: string, execute: string): void => {
      t.as(user).is(read, 'access', 'f', 'R');
      t.as(user).is(write, 'access', 'f', 'W');
      t.as(user).is(execute, 'access', 'f', 'X');
      t.as(user).is(read, 'open', 'f', 'O_RDONLY');
      t.as(user).is(write, 'open', 'f', 'O_WRONLY');
    };
    may(ALICE, 'ok', 'EACCES', 'EACCES');
    may(BOB, 'ok', 'ok', 'EACCES');
    may(NOBODY, 'EACCES', 'EACCES', 'EACCES');
    may('1002:2000', 'ok', 'ok', 'EACCES');
    may('1002:1002,2000', 'ok', 'ok', 'EACCES');
    may('1002:3000', 'EACCES', 'EACCES', 'EACCES');
    may('1002:3000,2000', 'ok', 'ok', 'EACCES');
    may('1000:2000', 'ok', 'EACCES', 'EACCES');
    t.do('chmod', 'f', 0o640);
    may(BOB, 'ok', 'EACCES', 'EACCES');
    may('1002:2000', 'ok', 'EACCES', 'EACCES');
    // Linux does not ask an ACL whose mask is empty: who is not in the file's own group is among the others then.
    t.do('chmod', 'f', 0o604);
    may(BOB, 'ok', 'EACCES', 'EACCES');
    may(NOBODY, 'ok', 'EACCES', 'EACCES');
    may('1002:0', 'EACCES', 'EACCES', 'EACCES');
    may('1002:2000', 'ok', 'EACCES', 'EACCES');
  });
  add('of folders are obeyed', (t) => {
    t.do('mkdir', 'd', 0o700);
    t.do('put', 'd/f', 'x', 0o644);
    t.do('setacl', 'd', 'access', 'u::rwx,u:1000:--x,u:1001:rwx,g::---,m::rwx,o::---');
    t.as(ALICE).is('data:x', 'cat', 'd/f');
    t.as(ALICE).is('EACCES', 'list', 'd');
    t.as(ALICE).is('EACCES', 'put', 'd/new', '');
    t.as(BOB).is('f', 'list', 'd');
    t.as(BOB).is('ok', 'put', 'd/new', '');
    t.as(BOB).is('ok', 'unlink', 'd/f');
    t.as(NOBODY).is('EACCES', 'stat', 'd/new');
  });
  add('who may set them', (t) => {
    t.as(ALICE).do('put', 'f', '', 0o666);
    t.as(ALICE).is('ok', 'setacl', 'f', 'access', 'u::rw-,u:1001:r--,g::r--,m::r--,o::r--');
    t.as(BOB).is('EPERM', 'setacl', 'f', 'access', 'u::rw-,u:1001:rwx,g::r--,m::rwx,o::r--');
    t.as(BOB).is('EPERM', 'removeacl', 'f', 'access');
    t.as(BOB).is('u::rw-,u:1001:r--,g::r--,m::r--,o::r--', 'getacl', 'f', 'access');
    t.as(ALICE).is('ok', 'removeacl', 'f', 'access');
  });
  add('setgid goes when a stranger to the group sets one', (t) => {
    t.do('put', 'f', '');
    t.do('chown', 'f', 1000, 2000);
    t.do('chmod', 'f', 0o2755);
    t.as(ALICE).is('ok', 'setacl', 'f', 'access', 'u::rwx,u:1001:r-x,g::r-x,m::r-x,o::r-x');
    t.is({ mode: '0755' }, 'stat', 'f');
    t.do('chmod', 'f', 0o2755);
    t.as('1000:1000,2000').is('ok', 'setacl', 'f', 'access', 'u::rwx,u:1001:r-x,g::r-x,m::r-x,o::r-x');
    t.is({ mode: '2755' }, 'stat', 'f');
  });
  for (const [umask, asked, mode, acl] of [
    [0o077, 0o666, '0660', 'u::rw-,u:1000:rw-,g::r-x,m::rw-,o::---'],
    [0, 0o777, '0770', 'u::rwx,u:1000:rw-,g::r-x,m::rwx,o::---'],
    [0, 0o640, '0640', 'u::rw-,u:1000:rw-,g::r-x,m::r--,o::---'],
    [0, 0, '0000', 'u::---,u:1000:rw-,g::r-x,m::---,o::---'],
  ] as const) {
    add(`inherited, asked ${asked.toString(8)}, umask ${umask.toString(8)}`, (t) => {
      const defaults = 'u::rwx,u:1000:rw-,g::r-x,m::rwx,o::---';
      t.do('mkdir', 'd', 0o755);
      t.is('ok', 'setacl', 'd', 'default', defaults);
      t.is(defaults, 'getacl', 'd', 'default');
      t.is({ mode: '0755' }, 'stat', 'd');
      t.do('umask', umask);
      t.do('open', 'd/f', 'O_WRONLY|O_CREAT', asked);
      t.is({ mode }, 'stat', 'd/f');
      t.is(acl, 'getacl', 'd/f', 'access');
      t.is('ENODATA', 'getacl', 'd/f', 'default');
      t.do('mkdir', 'd/e', asked);
      t.is({ mode }, 'stat', 'd/e');
      t.is(acl, 'getacl', 'd/e', 'access');
      t.is(defaults, 'getacl', 'd/e', 'default');
      t.do('mknod', 'd/p', 'fifo', asked);
      t.is(acl, 'getacl', 'd/p', 'access');
      t.do('symlink', 'f', 'd/l');
      t.is({ mode: '0777' }, 'lstat', 'd/l');
      t.is('ok', 'open', 'd', 'O_TMPFILE|O_RDWR', asked, 't');
      t.is({ mode }, 'fstat', 't');
    });
  }
  add('minimal default: no umask, no ACL', (t) => {
    t.do('mkdir', 'd', 0o755);
    t.do('setacl', 'd', 'default', 'u::rw-,g::rw-,o::r--');
    t.do('umask', 0o77);
    t.do('open', 'd/f', 'O_WRONLY|O_CREAT', 0o666);
    t.is({ mode: '0664' }, 'stat', 'd/f');
    t.is('ENODATA', 'getacl', 'd/f', 'access');
    t.do('mkdir', 'd/e', 0o777);
    t.is({ mode: '0664' }, 'stat', 'd/e');
    t.is('u::rw-,g::rw-,o::r--', 'getacl', 'd/e', 'default');
  });
});

const FLAGS = group('immutable and append-only', (add) => {
  add('flags', (t) => {
    t.do('put', 'f', '');
    t.do('mkdir', 'd');
    t.is('-', 'flags', 'f');
    for (const flag of ['d', 'A', 'S', 'dA']) {
      t.is('ok', 'setflags', 'f', flag);
      t.is(flag, 'flags', 'f');
    }
    t.is('ok', 'setflags', 'f', '');
    t.is('-', 'flags', 'f');
    t.as(ALICE).is('EPERM', 'setflags', 'f', 'd');
    t.do('chown', 'f', 1000, 1000);
    t.as(ALICE).is('ok', 'setflags', 'f', 'd');
    t.as(ALICE).is('EPERM', 'setflags', 'f', 'i');
    t.as(ALICE).is('EPERM', 'setflags', 'f', 'a');
  });
  add('immutable', (t) => {
    t.do('mkdir', 'd');
    t.do('put', 'd/f', 'abc');
    t.is('ok', 'setflags', 'd/f', 'i');
    t.is('EPERM', 'open', 'd/f', 'O_WRONLY');
    t.is('EPERM', 'append', 'd/f', 'x');
    t.is('EPERM', 'truncate', 'd/f', 0);
    t.is('EPERM', 'chmod', 'd/f', 0o777);
    t.is('EPERM', 'chown', 'd/f', 5, 5);
    t.is('EPERM', 'utimens', 'd/f', 1, 1);
    t.is('EPERM', 'unlink', 'd/f');
    t.is('EPERM', 'rename', 'd/f', 'd/g');
    t.is('EPERM', 'link', 'd/f', 'd/g');
    t.is('EPERM', 'setxattr', 'd/f', 'user.a', 'v');
    t.is('data:abc', 'cat', 'd/f');
    t.do('put', 'd/h', '');
    t.is('EPERM', 'rename', 'd/h', 'd/f');
    t.is('ok', 'setflags', 'd/f', '');
    t.is('ok', 'setflags', 'd', 'i');
    t.is('EPERM', 'put', 'd/new', '');
    t.is('EPERM', 'mkdir', 'd/new');
    t.is('EPERM', 'unlink', 'd/f');
    t.is('EPERM', 'rename', 'd/f', 'd/g');
    t.is('EPERM', 'rename', 'd/f', 'g');
    t.is(1, 'append', 'd/f', 'x');
    t.is('ok', 'setflags', 'd', '');
    t.is('ok', 'unlink', 'd/f');
  });
  add('append-only', (t) => {
    t.do('mkdir', 'd');
    t.do('put', 'd/f', 'abc');
    t.is('ok', 'setflags', 'd/f', 'a');
    t.is('EPERM', 'open', 'd/f', 'O_WRONLY');
    t.is('EPERM', 'open', 'd/f', 'O_WRONLY|O_TRUNC');
    t.is(1, 'append', 'd/f', 'd');
    t.is('EPERM', 'truncate', 'd/f', 0);
    t.is('EPERM', 'unlink', 'd/f');
    t.is('EPERM', 'rename', 'd/f', 'd/g');
    t.is('EPERM', 'chmod', 'd/f', 0o777);
    t.is('data:abcd', 'cat', 'd/f');
    t.do('setflags', 'd/f', '');
    t.is('ok', 'setflags', 'd', 'a');
    t.is('ok', 'put', 'd/new', '');
    t.is('EPERM', 'unlink', 'd/new');
    t.is('EPERM', 'rename', 'd/new', 'd/newer');
    t.do('setflags', 'd', '');
  });
});

export const XATTR_CASES: readonly Case[] = [...XATTR, ...ACL, ...FLAGS];
