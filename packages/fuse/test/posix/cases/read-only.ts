/** A read-only mount: what changes something is EROFS, after what POSIX says comes first; the rest works. */
import { ALICE, group, type Argument, type Case } from '../case.js';

/** Makes the tree, on a mount that can be written. */
export const PREPARATION: readonly Case[] = group('preparation', (add) => {
  add('tree', (t) => {
    t.do('mkdir', '@mount/tree', 0o777);
    t.do('chdir', '@mount/tree');
    t.do('put', 'f', 'content', 0o666);
    t.do('mkdir', 'd', 0o777);
    t.do('mkdir', 'full', 0o777);
    t.do('put', 'full/g', 'x', 0o644);
    t.do('symlink', 'f', 'l');
    t.do('symlink', 'missing', 'dangling');
    t.do('mknod', 'p', 'fifo', 0o666);
    t.do('mknod', 'null', 'char', 0o666, 1, 3);
    t.do('put', 'script', '#!/bin/sh\nexit 7\n', 0o755);
    t.do('put', 'shut', 'x', 0o600);
    t.do('setxattr', 'f', 'user.a', 'v');
    t.do('setacl', 'full/g', 'access', 'u::rw-,u:1000:rw-,g::r--,m::rw-,o::---');
    t.do('utimens', 'f', 1, 2);
    t.do('utimens', 'd', 1, 2);
  });
});

const RULES: readonly (readonly [result: string, call: string, ...Argument[]])[] = [
  ['EROFS', 'open', 'f', 'O_WRONLY'],
  ['EROFS', 'open', 'f', 'O_RDWR'],
  ['EROFS', 'open', 'f', 'O_WRONLY|O_APPEND'],
  ['EROFS', 'open', 'f', 'O_RDONLY|O_TRUNC'],
  ['EROFS', 'open', 'f', 'O_WRONLY|O_TRUNC'],
  ['EROFS', 'open', 'new', 'O_WRONLY|O_CREAT'],
  ['EROFS', 'open', 'new', 'O_RDONLY|O_CREAT'],
  ['EROFS', 'open', 'new', 'O_RDONLY|O_CREAT|O_EXCL'],
  ['EROFS', 'open', 'dangling', 'O_RDONLY|O_CREAT'],
  ['EROFS', 'open', 'd', 'O_TMPFILE|O_RDWR'],
  ['EEXIST', 'open', 'f', 'O_RDONLY|O_CREAT|O_EXCL'],
  ['ok', 'open', 'f', 'O_RDONLY|O_CREAT'],
  ['EISDIR', 'open', 'd', 'O_WRONLY'],
  ['ok', 'open', 'f', 'O_RDONLY'],
  ['ok', 'open', 'd', 'O_RDONLY|O_DIRECTORY'],
  ['ok', 'open', 'f', 'O_PATH'],
  ['ok', 'open', 'p', 'O_RDWR|O_NONBLOCK'],
  ['ENXIO', 'open', 'p', 'O_WRONLY|O_NONBLOCK'],
  ['ok', 'open', 'null', 'O_WRONLY'],
  ['ENOENT', 'open', 'missing', 'O_WRONLY'],
  ['EROFS', 'mkdir', 'new'],
  ['EEXIST', 'mkdir', 'd'],
  ['EEXIST', 'mkdir', 'f'],
  ['ENOENT', 'mkdir', 'missing/new'],
  ['EROFS', 'mknod', 'new', 'fifo'],
  ['EEXIST', 'mknod', 'f', 'fifo'],
  ['EROFS', 'symlink', 'x', 'new'],
  ['EEXIST', 'symlink', 'x', 'l'],
  ['EROFS', 'link', 'f', 'new'],
  ['EEXIST', 'link', 'f', 'l'],
  ['EROFS', 'unlink', 'f'],
  ['EROFS', 'unlink', 'l'],
  ['EROFS', 'unlink', 'd'],
  ['EROFS', 'rmdir', 'd'],
  ['EROFS', 'rmdir', 'full'],
  ['EROFS', 'rmdir', 'f'],
  ['EROFS', 'rename', 'f', 'new'],
  ['EROFS', 'rename', 'f', 'script'],
  ['EROFS', 'rename', 'd', 'full'],
  ['EROFS', 'rename', 'f', 'script', 'EXCHANGE'],
  ['EROFS', 'chmod', 'f', 0o600],
  ['EROFS', 'chmod', 'd', 0o700],
  ['EROFS', 'chmod', 'p', 0o600],
  ['EROFS', 'chown', 'f', 1, 1],
  ['EROFS', 'chown', 'f', -1, -1],
  ['EROFS', 'lchown', 'l', 1, 1],
  ['EROFS', 'truncate', 'f', 0],
  ['EROFS', 'truncate', 'f', 7],
  ['EISDIR', 'truncate', 'd', 0],
  ['EROFS', 'utimens', 'f', 5, 5],
  ['EROFS', 'utimens', 'f'],
  ['EROFS', 'lutimens', 'l', 5, 5],
  ['EROFS', 'setxattr', 'f', 'user.b', 'v'],
  ['EROFS', 'removexattr', 'f', 'user.a'],
  ['EROFS', 'setacl', 'f', 'access', 'u::rw-,g::r--,o::---'],
  ['EROFS', 'removeacl', 'full/g', 'access'],
  ['EROFS', 'setflags', 'f', 'd'],
  ['ENOENT', 'chmod', 'missing', 0o600],
  ['EROFS', 'access', 'f', 'W'],
  ['EROFS', 'access', 'd', 'W'],
  ['EROFS', 'access', 'd', 'RWX'],
  ['ok', 'access', 'p', 'W'],
  ['ok', 'access', 'null', 'W'],
  ['ok', 'access', 'f', 'R'],
  ['ok', 'access', 'd', 'RX'],
  ['data:content', 'cat', 'f'],
  ['data:content', 'cat', 'l'],
  ['data:f', 'readlink', 'l'],
  ['data:v', 'getxattr', 'f', 'user.a'],
  ['user.a', 'listxattr', 'f'],
  ['g', 'list', 'full'],
  ['', 'list', 'd'],
  ['exit 7', 'exec', 'script'],
  ['ok', 'chdir', '@here'],
];

/** In the folder that PREPARATION made, mounted read-only. */
export const READ_ONLY_CASES: readonly Case[] = group('read-only', (add) => {
  add('by root', (t) => {
    for (const [result, ...call] of RULES) t.is(result, ...call);
  });
  add('by others', (t) => {
    const alice = t.as(ALICE);
    for (const [result, ...call] of RULES) if (!['setflags', 'link'].includes(call[0])) alice.is(result, ...call);
    alice.is('EACCES', 'open', 'shut', 'O_RDONLY');
    alice.is('EROFS', 'open', 'shut', 'O_WRONLY');
    alice.is('EROFS', 'access', 'shut', 'W');
    alice.is('EACCES', 'access', 'shut', 'R');
    alice.is('data:x', 'cat', 'full/g');
    t.as('1002:1002').is('EACCES', 'cat', 'full/g');
  });
  add('descriptors', (t) => {
    t.do('open', 'f', 'O_RDONLY', 0, 'f');
    t.is('data:con', 'read', 'f', 3);
    t.is('EBADF', 'write', 'f', 'x');
    t.is('EROFS', 'fchmod', 'f', 0o600);
    t.is('EROFS', 'fchown', 'f', 1, 1);
    t.is('EROFS', 'futimens', 'f', 1, 1);
    t.is('EROFS', 'fsetxattr', 'f', 'user.b', 'v');
    t.is('EINVAL', 'ftruncate', 'f', 0);
    t.is('ok', 'fsync', 'f');
    t.is('ok', 'syncfs', 'f');
    t.is('ok', 'flock', 'f', 'ex');
    t.is('ok', 'setlk', 'f', 'read');
    t.is('data:con', 'mmapread', 'f', 7, 0, 3);
    t.is(7, 'lseek', 'f', 0, 'HOLE');
  });
  add('nothing has changed', (t) => {
    t.is({ atime: '1.000000000', mtime: '2.000000000', mode: '0666', size: 7, nlink: 1, uid: 0 }, 'stat', 'f');
    t.is({ atime: '1.000000000', mtime: '2.000000000', mode: '0777', nlink: 2 }, 'stat', 'd');
    t.is({ readOnly: true }, 'statfs', '.');
    t.is('d,dangling,f,full,l,null,p,script,shut', 'list', '.');
    t.is('u::rw-,u:1000:rw-,g::r--,m::rw-,o::---', 'getacl', 'full/g', 'access');
  });
});
