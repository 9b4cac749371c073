/** Which call moves which of a file's times: access (a), modification (m), status change (c). */
import { ALICE, callText, fill, group, type Argument, type Case } from '../case.js';

type Call = readonly [string, ...Argument[]];

interface TimeRule {
  readonly call: Call;
  /** What must be so before. */
  readonly before?: readonly Call[];
  readonly fails?: string;
  /** What is looked at, and what moves there. */
  readonly moves: Readonly<Record<string, string>>;
}

/** `d/f` is a file, `d/e` an empty folder, `d/l` a link to `f`, `d/p` a fifo; "f" is open for reading and writing as well. */
const RULES: readonly TimeRule[] = [
  // What only looks.
  { call: ['stat', 'd/f'], moves: { 'd/f': '-', d: '-' } },
  { call: ['access', 'd/f', 'R'], moves: { 'd/f': '-', d: '-' } },
  { call: ['open', 'd/f', 'O_RDONLY'], moves: { 'd/f': '-' } },
  { call: ['open', 'd/f', 'O_RDWR'], moves: { 'd/f': '-' } },
  { call: ['open', 'd/f', 'O_RDWR|O_CREAT'], moves: { 'd/f': '-', d: '-' } },
  { call: ['lseek', 'f', 0, 'END'], moves: { 'd/f': '-' } },
  { call: ['fsync', 'f'], moves: { 'd/f': '-' } },
  { call: ['getxattr', 'd/f', 'user.there'], moves: { 'd/f': '-' } },
  { call: ['listxattr', 'd/f'], moves: { 'd/f': '-' } },
  { call: ['statfs', 'd'], moves: { d: '-' } },
  { call: ['flock', 'f', 'ex'], moves: { 'd/f': '-' } },
  // Data.
  { call: ['write', 'f', 'x'], moves: { 'd/f': 'mc', d: '-' } },
  { call: ['pwrite', 'f', 'x', 100], moves: { 'd/f': 'mc' } },
  { call: ['write', 'f', ''], moves: { 'd/f': '-' } },
  { call: ['append', 'd/f', 'x'], moves: { 'd/f': 'mc' } },
  { call: ['ftruncate', 'f', 1], moves: { 'd/f': 'mc', d: '-' } },
  { call: ['ftruncate', 'f', 7], moves: { 'd/f': 'mc' } },
  { call: ['truncate', 'd/f', 100], moves: { 'd/f': 'mc' } },
  { call: ['truncate', 'd/f', 7], moves: { 'd/f': 'mc' } },
  { call: ['open', 'd/f', 'O_WRONLY|O_TRUNC'], moves: { 'd/f': 'mc', d: '-' } },
  { call: ['open', 'd/nothing', 'O_WRONLY|O_TRUNC'], before: [['put', 'd/nothing', '']], moves: { 'd/nothing': 'mc' } },
  { call: ['mmapwrite', 'f', 4, 0, 'x'], moves: { 'd/f': 'amc' } },
  { call: ['copy', 'f', 'g', 4], before: [['put', 'g', ''], ['open', 'g', 'O_RDWR', 0, 'g']], moves: { g: 'mc' } },
  // Attributes.
  { call: ['chmod', 'd/f', 0o600], moves: { 'd/f': 'c', d: '-' } },
  { call: ['chmod', 'd/f', 0o644], moves: { 'd/f': 'c' } },
  { call: ['fchmod', 'f', 0o640], moves: { 'd/f': 'c' } },
  { call: ['chown', 'd/f', 5, 5], moves: { 'd/f': 'c', d: '-' } },
  { call: ['chown', 'd/f', 0, 0], moves: { 'd/f': 'c' } },
  { call: ['chown', 'd/f', -1, -1], moves: { 'd/f': 'c' } },
  { call: ['lchown', 'd/l', 5, 5], moves: { 'd/l': 'c', 'd/f': '-' } },
  { call: ['utimens', 'd/f', 'omit', 'omit'], moves: { 'd/f': '-' } },
  { call: ['utimens', 'd/f', 'now', 'omit'], moves: { 'd/f': 'ac' } },
  { call: ['utimens', 'd/f', 'omit', 'now'], moves: { 'd/f': 'mc' } },
  { call: ['utimens', 'd/f'], moves: { 'd/f': 'amc', d: '-' } },
  { call: ['utimens', 'd/f', 1, 1], moves: { 'd/f': 'a<m<c' } },
  { call: ['setxattr', 'd/f', 'user.new', 'v'], moves: { 'd/f': 'c', d: '-' } },
  { call: ['setxattr', 'd/f', 'user.there', 'w'], moves: { 'd/f': 'c' } },
  { call: ['removexattr', 'd/f', 'user.there'], moves: { 'd/f': 'c' } },
  { call: ['setacl', 'd/f', 'access', 'u::rw-,u:1000:r--,g::r--,m::r--,o::---'], moves: { 'd/f': 'c' } },
  { call: ['setacl', 'd', 'default', 'u::rw-,g::r--,o::---'], moves: { d: 'c' } },
  // Names.
  { call: ['put', 'd/new', ''], moves: { d: 'mc', '.': '-' } },
  { call: ['mkdir', 'd/new'], moves: { d: 'mc' } },
  { call: ['mknod', 'd/new', 'fifo'], moves: { d: 'mc' } },
  { call: ['symlink', 'x', 'd/new'], moves: { d: 'mc' } },
  { call: ['link', 'd/f', 'd/new'], moves: { d: 'mc', 'd/f': 'c' } },
  { call: ['link', 'd/f', 'new'], moves: { d: '-', 'd/f': 'c', '.': 'mc' } },
  { call: ['unlink', 'd/p'], moves: { d: 'mc' } },
  { call: ['unlink', 'd/f'], moves: { d: 'mc', 'fd:f': 'c' } },
  { call: ['unlink', 'd/second'], before: [['link', 'd/f', 'd/second']], moves: { d: 'mc', 'd/f': 'c' } },
  { call: ['rmdir', 'd/e'], moves: { d: 'mc', '.': '-' } },
  { call: ['rename', 'd/f', 'd/renamed'], moves: { d: 'mc', 'fd:f': 'c' } },
  { call: ['rename', 'd/f', 'moved'], moves: { d: 'mc', '.': 'mc', 'fd:f': 'c' } },
  { call: ['rename', 'd/e', 'moved'], moves: { d: 'mc', '.': 'mc' } },
  { call: ['rename', 'd/f', 'd/f'], moves: { d: '-', 'd/f': '-' } },
  { call: ['rename', 'over', 'd/f'], before: [['put', 'over', '']], moves: { d: 'mc', '.': 'mc', 'fd:f': 'c' } },
  { call: ['rename', 'd/f', 'd/p', 'EXCHANGE'], moves: { d: 'mc', 'fd:f': 'c' } },
  // What fails moves nothing.
  { call: ['mkdir', 'd/f'], fails: 'EEXIST', moves: { d: '-', 'd/f': '-' } },
  { call: ['unlink', 'd/missing'], fails: 'ENOENT', moves: { d: '-' } },
  { call: ['rmdir', 'd'], fails: 'ENOTEMPTY', moves: { d: '-', '.': '-' } },
  { call: ['link', 'd/f', 'd/p'], fails: 'EEXIST', moves: { d: '-', 'd/f': '-' } },
];

const RULE_CASES = group('times', (add) => {
  for (const { call, before = [], fails, moves } of RULES) {
    add(callText(call), (t) => {
      t.do('mkdir', 'd');
      t.do('put', 'd/f', 'content');
      t.do('mkdir', 'd/e');
      t.do('symlink', 'f', 'd/l');
      t.do('mknod', 'd/p', 'fifo');
      t.do('setxattr', 'd/f', 'user.there', 'v');
      t.do('open', 'd/f', 'O_RDWR', 0, 'f');
      for (const one of before) t.do(...one);
      t.do('mark', ...Object.keys(moves));
      if (fails === undefined) t.do(...call);
      else t.is(fails, ...call);
      for (const [name, moved] of Object.entries(moves)) t.is(moved, 'moved', name);
    });
  }
});

const ATIME = group('access times', (add) => {
  add('are stamped when older than the change (relatime)', (t) => {
    t.do('put', 'f', 'content');
    t.do('utimens', 'f', 1, 2);
    t.do('mark', 'f');
    t.is('data:content', 'cat', 'f');
    t.is('a', 'moved', 'f');
    t.do('mark', 'f');
    t.do('cat', 'f');
    t.is('-', 'moved', 'f');
    t.do('append', 'f', 'x');
    t.do('mark', 'f');
    t.do('cat', 'f');
    t.is('a', 'moved', 'f');
  });
  add('not with O_NOATIME', (t) => {
    t.do('put', 'f', 'content');
    t.do('utimens', 'f', 1, 2);
    t.do('open', 'f', 'O_RDONLY|O_NOATIME', 0, 'f');
    t.is('data:content', 'read', 'f', 100);
    t.is({ atime: '1.000000000' }, 'stat', 'f');
  });
  add('of folders that are read', (t) => {
    t.do('mkdir', 'd');
    t.do('put', 'd/f', '');
    t.do('utimens', 'd', 1, 2);
    t.do('mark', 'd');
    t.is('f', 'list', 'd');
    t.is('a', 'moved', 'd');
  });
  add('of links that are read', (t) => {
    t.do('symlink', 'x', 'l');
    t.do('lutimens', 'l', 1, 2);
    t.do('mark', 'l');
    t.is('data:x', 'readlink', 'l');
    t.is('a', 'moved', 'l');
  });
  add('of an empty read', (t) => {
    t.do('put', 'f', 'content');
    t.do('utimens', 'f', 1, 2);
    t.do('open', 'f', 'O_RDONLY', 0, 'f');
    t.do('mark', 'f');
    t.is('data:', 'read', 'f', 0);
    t.is('-', 'moved', 'f');
  });
});

const MAKERS: Readonly<Record<string, Call>> = {
  file: ['put', 'n', ''],
  dir: ['mkdir', 'n'],
  fifo: ['mknod', 'n', 'fifo'],
  link: ['symlink', 'x', 'n'],
};

const NEW = group('times of what is new', (add) => {
  for (const [kind, call] of Object.entries(MAKERS)) {
    add(kind, (t) => {
      t.as(ALICE).do(...call);
      t.is('amc', 'recent', 'n');
      t.is(true, 'mtime_is_ctime', 'n');
      t.is(true, 'mtime_is_ctime', '.');
    });
  }
  add('a write makes mtime and ctime one', (t) => {
    t.do('put', 'f', fill('x', 10_000));
    t.is(true, 'mtime_is_ctime', 'f');
    t.do('truncate', 'f', 5);
    t.is(true, 'mtime_is_ctime', 'f');
  });
});

export const TIME_CASES: readonly Case[] = [...RULE_CASES, ...ATIME, ...NEW];
