/** Who may do what: every permission triple for owner, group, supplementary group and others. */
import { ALICE, group, type Argument, type Case } from '../case.js';

/** Files belong to user 1000, group 2000. */
const ROLES = [
  ['owner', '1000:1000', 6],
  ['owner who is in the group', '1000:2000', 6],
  ['group', '1001:2000', 3],
  ['supplementary group', '1001:1001,3000,2000', 3],
  ['other', '1002:1002', 0],
] as const;

const R = 4;
const W = 2;
const X = 1;

/** What needs which rights on a file. */
const FILE_CALLS: readonly (readonly [need: number, ...call: [string, ...Argument[]]])[] = [
  [R, 'open', 'd/f', 'O_RDONLY'],
  [W, 'open', 'd/f', 'O_WRONLY'],
  [R | W, 'open', 'd/f', 'O_RDWR'],
  [R | W, 'open', 'd/f', 'O_RDONLY|O_TRUNC'],
  [R, 'access', 'd/f', 'R'],
  [W, 'access', 'd/f', 'W'],
  [X, 'access', 'd/f', 'X'],
  [R | X, 'access', 'd/f', 'RX'],
  [R | W | X, 'access', 'd/f', 'RWX'],
  [W, 'truncate', 'd/f', 17],
  [R, 'getxattr', 'd/f', 'user.a'],
  [W, 'setxattr', 'd/f', 'user.a', 'v'],
  [0, 'access', 'd/f', 'F'],
  [0, 'stat', 'd/f'],
];

/** What needs which rights on a folder. */
const DIR_CALLS: readonly (readonly [need: number, ...call: [string, ...Argument[]]])[] = [
  [R, 'list', 'd'],
  [X, 'access', 'd/f', 'F'],
  [X, 'other', ['chdir', 'd']],
  [X, 'cat', 'd/f'],
  [W | X, 'put', 'd/new', ''],
  [W | X, 'mkdir', 'd/newdir'],
  [W | X, 'symlink', 'x', 'd/newlink'],
  [W | X, 'mknod', 'd/newfifo', 'fifo'],
  [W | X, 'link', 'shared', 'd/newname'],
  [W | X, 'rename', 'd/f', 'd/g'],
  [W | X, 'unlink', 'd/h'],
  [W | X, 'rmdir', 'd/e'],
  [0, 'stat', 'd'],
];

const KEPT = new Set(['stat', 'cat', 'list', 'getxattr']);

const FILES = group('permissions of files', (add) => {
  for (let bits = 0; bits < 8; bits++) {
    add(`${bits} for each role`, (t) => {
      t.do('mkdir', 'd', 0o755);
      for (const [, user, shift] of ROLES) {
        t.do('put', 'd/f', 'content');
        t.do('setxattr', 'd/f', 'user.a', 'v');
        t.do('chown', 'd/f', 1000, 2000);
        // The other roles have what this one has not: nobody may profit from a class that is not his.
        const others = (7 - bits) * 0o111;
        t.do('chmod', 'd/f', others - (7 - bits) * 2 ** shift + bits * 2 ** shift);
        for (const [need, call, ...args] of FILE_CALLS) {
          const may = (bits & need) === need;
          if (!may) t.as(user).is('EACCES', call, ...args);
          else if (!KEPT.has(call)) t.as(user).is('ok', call, ...args);
          else if (call === 'stat') t.as(user).is({ uid: 1000 }, call, ...args);
          else t.as(user).is('data:v', call, ...args);
        }
      }
    });
  }
  add('root', (t) => {
    t.do('mkdir', 'd', 0);
    t.do('put', 'd/f', 'content', 0);
    t.do('chown', 'd/f', 1000, 1000);
    t.do('chown', 'd', 1000, 1000);
    for (const how of ['R', 'W', 'RW', 'F']) t.is('ok', 'access', 'd/f', how);
    t.is('EACCES', 'access', 'd/f', 'X');
    t.do('chmod', 'd/f', 0o001);
    t.is('ok', 'access', 'd/f', 'X');
    t.is('ok', 'access', 'd', 'RWX');
    t.is('data:content', 'cat', 'd/f');
    t.is('ok', 'put', 'd/new', '');
    t.is('f,new', 'list', 'd');
    t.is('ok', 'unlink', 'd/new');
    t.is('ok', 'chdir', 'd');
  });
});

const DIRS = group('permissions of folders', (add) => {
  for (let bits = 0; bits < 8; bits++) {
    for (const [role, user, shift] of ROLES) {
      add(`${bits} for the ${role}`, (t) => {
        t.do('umask', 0);
        t.do('mkdir', 'd', 0o777);
        t.do('mkdir', 'd/e', 0o777);
        t.do('put', 'd/f', 'x', 0o666);
        t.do('put', 'd/h', 'x', 0o666);
        t.do('put', 'shared', 'x', 0o666);
        t.do('chown', 'd', 1000, 2000);
        t.do('chmod', 'd', (7 - bits) * 0o111 - (7 - bits) * 2 ** shift + bits * 2 ** shift);
        for (const [need, call, ...args] of DIR_CALLS) {
          const may = (bits & need) === need;
          if (!may) t.as(user).is('EACCES', call, ...args);
          else if (!KEPT.has(call)) t.as(user).is('ok', call, ...args);
          else if (call === 'stat') t.as(user).is({ uid: 1000, gid: 2000 }, call, ...args);
          else t.as(user).is(call === 'cat' ? 'data:x' : 'e,f,h', call, ...args);
        }
      });
    }
  }
  add('every folder on the way counts', (t) => {
    t.do('mkdir', 'a', 0o755);
    t.do('mkdir', 'a/b', 0o755);
    t.do('mkdir', 'a/b/c', 0o755);
    t.do('put', 'a/b/c/f', 'x', 0o644);
    const alice = t.as(ALICE);
    alice.is('data:x', 'cat', 'a/b/c/f');
    for (const path of ['a', 'a/b', 'a/b/c']) {
      t.do('chmod', path, 0o700);
      alice.is('EACCES', 'cat', 'a/b/c/f');
      alice.is('EACCES', 'stat', 'a/b/c/missing');
      t.do('chmod', path, 0o711);
      alice.is('data:x', 'cat', 'a/b/c/f');
      alice.is('ENOENT', 'stat', 'a/b/c/missing');
      t.do('chmod', path, 0o755);
    }
    alice.do('open', 'a/b', 'O_RDONLY', 0, 'b');
    alice.do('chdir', 'a/b/c');
    t.do('chmod', '@here/a', 0o700);
    alice.is('data:x', 'cat', 'f');
    alice.is('EACCES', 'cat', '@here/a/b/c/f');
    alice.is('ok', 'fchdir', 'b');
    alice.is('data:x', 'cat', 'c/f');
  });
  add('rights that change count at once', (t) => {
    t.do('mkdir', 'd', 0o755);
    t.do('put', 'd/f', 'x', 0o644);
    for (let i = 0; i < 3; i++) {
      t.do('chmod', 'd/f', 0o600);
      t.as(ALICE).is('EACCES', 'cat', 'd/f');
      t.do('chmod', 'd/f', 0o644);
      t.as(ALICE).is('data:x', 'cat', 'd/f');
      t.do('chown', 'd', 1001, 1001);
      t.do('chmod', 'd', 0o700);
      t.as(ALICE).is('EACCES', 'cat', 'd/f');
      t.do('chown', 'd', 1000, 1000);
      t.as(ALICE).is('data:x', 'cat', 'd/f');
      t.do('chown', 'd', 0, 0);
      t.do('chmod', 'd', 0o755);
    }
  });
});

export const PERMISSION_CASES: readonly Case[] = [...FILES, ...DIRS];
