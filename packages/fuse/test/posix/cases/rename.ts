/** rename(2) and renameat2(2). */
import { ALICE, BOB, group, type Case } from '../case.js';

const KINDS = ['file', 'empty', 'full', 'link', 'fifo', 'none'] as const;

/** What moving the row's kind over the column's comes to. Columns as in KINDS. */
const OVER: Readonly<Record<string, readonly string[]>> = {
  file: ['ok', 'EISDIR', 'EISDIR', 'ok', 'ok', 'ok'],
  empty: ['ENOTDIR', 'ok', 'ENOTEMPTY', 'ENOTDIR', 'ENOTDIR', 'ok'],
  full: ['ENOTDIR', 'ok', 'ENOTEMPTY', 'ENOTDIR', 'ENOTDIR', 'ok'],
  link: ['ok', 'EISDIR', 'EISDIR', 'ok', 'ok', 'ok'],
  fifo: ['ok', 'EISDIR', 'EISDIR', 'ok', 'ok', 'ok'],
};

type Do = (call: string, ...args: string[]) => void;

function make(run: Do, kind: string, name: string): void {
  if (kind === 'file') run('put', name, kind);
  if (kind === 'empty' || kind === 'full') run('mkdir', name);
  if (kind === 'full') run('put', `${name}/f`, 'x');
  if (kind === 'link') run('symlink', 'target', name);
  if (kind === 'fifo') run('mknod', name, 'fifo');
}

const RENAME = group('rename', (add) => {
  for (const [from, results] of Object.entries(OVER)) {
    KINDS.forEach((to, i) => {
      const result = results[i] ?? '';
      add(`${from} over ${to}`, (t) => {
        t.do('mkdir', 'a');
        t.do('mkdir', 'b');
        make(t.do, from, 'a/x');
        make(t.do, to, 'b/y');
        t.is(result, 'rename', 'a/x', 'b/y');
        t.is(result === 'ok' ? '' : 'x', 'list', 'a');
        t.is(result === 'ok' || to !== 'none' ? 'y' : '', 'list', 'b');
        const kind = result === 'ok' ? from : to;
        t.is({ type: kind === 'empty' || kind === 'full' ? 'dir' : kind, nlink: kind === 'empty' || kind === 'full' ? 2 : 1 }, 'lstat', 'b/y');
        t.is({ nlink: result !== 'ok' && (from === 'empty' || from === 'full') ? 3 : 2 }, 'stat', 'a');
        t.is({ nlink: kind === 'empty' || kind === 'full' ? 3 : 2 }, 'stat', 'b');
        if (result === 'ok' && (from === 'empty' || from === 'full')) t.is(true, 'sameino', 'b/y/..', 'b');
      });
    });
  }
  add('onto itself', (t) => {
    t.do('put', 'f', 'x');
    t.do('link', 'f', 'g');
    t.do('mkdir', 'd');
    t.is('ok', 'rename', 'f', 'f');
    t.is('ok', 'rename', 'f', 'g');
    t.is('d,f,g', 'list', '.');
    t.is({ nlink: 2 }, 'stat', 'f');
    t.is('ok', 'rename', 'd', 'd');
    t.is('ok', 'rename', 'd/', 'd');
  });
  add('into itself', (t) => {
    t.do('mkdir', 'd');
    t.do('mkdir', 'd/e');
    t.do('mkdir', 'd/e/g');
    t.is('EINVAL', 'rename', 'd', 'd/x');
    t.is('EINVAL', 'rename', 'd', 'd/e/x');
    t.is('EINVAL', 'rename', 'd', 'd/e/g/x');
    t.is('EINVAL', 'rename', 'd', 'd/e');
    t.is('ENOTEMPTY', 'rename', 'd/e', 'd');
    t.is('ENOTEMPTY', 'rename', 'd/e/g', 'd');
    t.is('e', 'list', 'd');
  });
  add('slashes at the end', (t) => {
    t.do('put', 'f', 'x');
    t.do('mkdir', 'd');
    t.is('ENOTDIR', 'rename', 'f/', 'g');
    t.is('ENOTDIR', 'rename', 'f', 'g/');
    t.is('ok', 'rename', 'd/', 'e/');
    t.is('ENOTDIR', 'rename', 'e', 'f/');
    t.is('e,f', 'list', '.');
  });
  add('what is missing', (t) => {
    t.do('put', 'f', 'x');
    t.is('ENOENT', 'rename', 'missing', 'g');
    t.is('ENOENT', 'rename', 'missing', 'f');
    t.is('ENOENT', 'rename', 'f', 'missing/g');
    t.is('ENOENT', 'rename', 'f', '');
    t.is('ENOENT', 'rename', '', 'f');
    t.is('data:x', 'cat', 'f');
  });
  add('keeps all but ctime', (t) => {
    t.do('put', 'f', 'content', 0o640);
    t.do('chown', 'f', 1000, 1001);
    t.do('utimens', 'f', [100, 1], [200, 2]);
    t.do('setxattr', 'f', 'user.a', 'v');
    t.do('mkdir', 'd');
    t.is('ok', 'rename', 'f', 'd/g');
    t.is({ mode: '0640', uid: 1000, gid: 1001, size: 7, atime: '100.000000001', mtime: '200.000000002', nlink: 1 }, 'stat', 'd/g');
    t.is('data:v', 'getxattr', 'd/g', 'user.a');
  });
  add('a folder with what is in it', (t) => {
    t.do('mkdir', 'a');
    t.do('mkdir', 'a/b');
    t.do('put', 'a/b/f', 'deep');
    t.do('mkdir', 'c');
    t.is('data:deep', 'cat', 'a/b/f');
    t.is('ok', 'rename', 'a', 'c/z');
    t.is('data:deep', 'cat', 'c/z/b/f');
    t.is('ENOENT', 'cat', 'a/b/f');
    t.is(true, 'sameino', 'c/z/b/../..', 'c');
    t.is({ nlink: 3 }, 'stat', 'c');
  });
  add('a folder of somebody else: its ".." changes', (t) => {
    t.do('mkdir', 'a', 0o777);
    t.do('mkdir', 'b', 0o777);
    t.as(ALICE).do('mkdir', 'a/d', 0o755);
    t.as(BOB).is('EACCES', 'rename', 'a/d', 'b/d');
    t.as(BOB).is('ok', 'rename', 'a/d', 'a/e');
    t.as(ALICE).is('ok', 'rename', 'a/e', 'b/d');
    t.do('chmod', 'b/d', 0o555);
    t.as(ALICE).is('EACCES', 'rename', 'b/d', 'a/d');
    t.as(ALICE).is('ok', 'rename', 'b/d', 'b/e');
  });
  add('rights over both folders', (t) => {
    t.do('mkdir', 'open', 0o777);
    t.do('mkdir', 'shut', 0o755);
    t.do('put', 'open/f', 'x', 0o666);
    t.do('put', 'shut/g', 'x', 0o666);
    t.as(ALICE).is('EACCES', 'rename', 'open/f', 'shut/f');
    t.as(ALICE).is('EACCES', 'rename', 'shut/g', 'open/g');
    t.as(ALICE).is('EACCES', 'rename', 'shut/g', 'shut/h');
    t.as(ALICE).is('ok', 'rename', 'open/f', 'open/h');
    t.as(ALICE).is('EACCES', 'rename', 'open/h', 'shut/g');
  });
});

const RENAME2 = group('renameat2', (add) => {
  add('NOREPLACE', (t) => {
    t.do('put', 'a', 'a');
    t.do('put', 'b', 'b');
    t.do('mkdir', 'd');
    t.is('EEXIST', 'rename', 'a', 'b', 'NOREPLACE');
    t.is('EEXIST', 'rename', 'a', 'd', 'NOREPLACE');
    t.is('EEXIST', 'rename', 'a', 'a', 'NOREPLACE');
    t.is('ok', 'rename', 'a', 'c', 'NOREPLACE');
    t.is('ok', 'rename', 'd', 'e', 'NOREPLACE');
    t.is('ENOENT', 'rename', 'missing', 'x', 'NOREPLACE');
    t.is('b,c,e', 'list', '.');
    t.do('symlink', 'missing', 'l');
    t.is('EEXIST', 'rename', 'b', 'l', 'NOREPLACE');
  });
  add('EXCHANGE', (t) => {
    t.do('put', 'f', 'file');
    t.do('mkdir', 'a');
    t.do('mkdir', 'b');
    t.do('mkdir', 'a/d');
    t.do('put', 'a/d/inner', 'x');
    t.do('put', 'b/g', 'g');
    t.is('ok', 'rename', 'a/d', 'b/g', 'EXCHANGE');
    t.is('data:g', 'cat', 'a/d');
    t.is('data:x', 'cat', 'b/g/inner');
    t.is({ nlink: 2 }, 'stat', 'a');
    t.is({ nlink: 3 }, 'stat', 'b');
    t.is(true, 'sameino', 'b/g/..', 'b');
    t.is('ok', 'rename', 'f', 'a/d', 'EXCHANGE');
    t.is('data:g', 'cat', 'f');
    t.is('data:file', 'cat', 'a/d');
    t.is('ENOENT', 'rename', 'f', 'missing', 'EXCHANGE');
    t.is('ENOENT', 'rename', 'missing', 'f', 'EXCHANGE');
    t.is('ok', 'rename', 'a', 'b', 'EXCHANGE');
    t.is('data:file', 'cat', 'b/d');
    t.is('EINVAL', 'rename', 'b', 'b/d', 'EXCHANGE');
    t.do('mkdir', 'b/sub');
    t.is('EINVAL', 'rename', 'b', 'b/sub', 'EXCHANGE');
    t.is('EINVAL', 'rename', 'b/sub', 'b', 'EXCHANGE');
    t.is('ok', 'rename', 'f', 'f', 'EXCHANGE');
    t.do('symlink', 'nowhere', 'l');
    t.is('ok', 'rename', 'f', 'l', 'EXCHANGE');
    t.is('data:nowhere', 'readlink', 'f');
    t.is('data:g', 'cat', 'l');
  });
  add('EXCHANGE asks for rights over both', (t) => {
    t.do('mkdir', 'open', 0o777);
    t.do('mkdir', 'shut', 0o755);
    t.do('mkdir', 'sticky', 0o1777);
    t.do('put', 'open/f', '');
    t.do('put', 'shut/g', '');
    t.do('put', 'sticky/root', '');
    t.as(ALICE).do('put', 'sticky/mine', '');
    t.as(ALICE).is('EACCES', 'rename', 'open/f', 'shut/g', 'EXCHANGE');
    t.as(ALICE).is('EPERM', 'rename', 'sticky/mine', 'sticky/root', 'EXCHANGE');
    t.as(ALICE).is('ok', 'rename', 'sticky/mine', 'open/f', 'EXCHANGE');
  });
  add('flags', (t) => {
    t.do('put', 'a', 'a');
    t.do('put', 'b', 'b');
    t.is('EINVAL', 'rename', 'a', 'b', 'NOREPLACE', 'EXCHANGE');
    t.is('EINVAL', 'rename', 'a', 'b', 'UNKNOWN');
    t.is('EINVAL', 'rename', 'a', 'b', 'WHITEOUT', 'EXCHANGE');
    t.is('data:a', 'cat', 'a');
    t.is('data:b', 'cat', 'b');
  });
  add('WHITEOUT', (t) => {
    t.do('put', 'a', 'a');
    t.is('ok', 'rename', 'a', 'b', 'WHITEOUT');
    t.is({ type: 'char', rdev: '0:0' }, 'lstat', 'a');
    t.is('data:a', 'cat', 'b');
  });
});

/** Who owns the folder, who the file; what its owner, the file's owner and a third may do in a sticky folder. */
const STICKY = group('sticky folders', (add) => {
  const DIR = '1000:1000';
  const FILE = '1001:1001';
  const THIRD = '1002:1002';
  for (const [who, user, may] of [['owner of the folder', DIR, true], ['owner of the file', FILE, true], ['third', THIRD, false], ['root', '0:0', true]] as const) {
    const result = may ? 'ok' : 'EPERM';
    add(who, (t) => {
      t.do('mkdir', 's', 0o777);
      t.do('chown', 's', 1000, 1000);
      t.do('chmod', 's', 0o1777);
      for (const name of ['f', 'g', 'h']) t.as(FILE).do('put', `s/${name}`, '', 0o666);
      t.as(FILE).do('mkdir', 's/d', 0o777);
      t.as(FILE).do('symlink', 'x', 's/l');
      t.do('mkdir', 'away', 0o777);
      const actor = t.as(user);
      actor.is(result, 'unlink', 's/f');
      actor.is(result, 'rmdir', 's/d');
      actor.is(result, 'unlink', 's/l');
      actor.is(result, 'rename', 's/g', 's/renamed');
      actor.is(result, 'rename', 's/h', 'away/h');
      actor.is('ok', 'put', 's/new', '');
      t.as(FILE).do('put', 's/target', '');
      actor.is(result, 'rename', 's/new', 's/target');
      actor.is('ok', 'put', 'away/new', '');
      if (may) t.do('unlink', 's/target');
      t.as(FILE).do('put', 's/target', '');
      actor.is(result, 'rename', 'away/new', 's/target');
    });
  }
  add('the group and write permission do not help', (t) => {
    t.do('mkdir', 's', 0o777);
    t.do('chown', 's', 0, 1001);
    t.do('chmod', 's', 0o1777);
    t.as(ALICE).do('put', 's/f', '', 0o666);
    t.do('chown', 's/f', 1000, 1001);
    t.as(BOB).is('EPERM', 'unlink', 's/f');
    t.do('chmod', 's', 0o777);
    t.as(BOB).is('ok', 'unlink', 's/f');
  });
});

export const RENAME_CASES: readonly Case[] = [...RENAME, ...RENAME2, ...STICKY];
