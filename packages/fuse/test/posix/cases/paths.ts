/** Errors of path resolution, for every call that takes a path; long names, links in loops, slashes and dots. */
import { ALICE, callText, group, type Argument, type Case } from '../case.js';

/** Every call that takes a path, with the path at `P`, and what differs from the rule. */
const P = '<path>';
interface PathCall {
  readonly call: readonly [string, ...Argument[]];
  /** It follows a link in the last place. */
  readonly follows: boolean;
  /** It makes the name, so the name must not be there; it fails so where it is. */
  readonly makes?: boolean;
}

const CALLS: readonly PathCall[] = [
  { call: ['stat', P], follows: true },
  { call: ['lstat', P], follows: false },
  { call: ['open', P, 'O_RDONLY'], follows: true },
  { call: ['open', P, 'O_RDWR'], follows: true },
  { call: ['open', P, 'O_RDONLY|O_DIRECTORY'], follows: true },
  { call: ['access', P, 'F'], follows: true },
  { call: ['chmod', P, 0o644], follows: true },
  { call: ['chown', P, 0, 0], follows: true },
  { call: ['lchown', P, 0, 0], follows: false },
  { call: ['truncate', P, 0], follows: true },
  { call: ['utimens', P], follows: true },
  { call: ['lutimens', P], follows: false },
  { call: ['readlink', P], follows: false },
  { call: ['unlink', P], follows: false },
  { call: ['rmdir', P], follows: false },
  { call: ['list', P], follows: true },
  { call: ['chdir', P], follows: true },
  { call: ['statfs', P], follows: true },
  { call: ['getxattr', P, 'user.a'], follows: true },
  { call: ['setxattr', P, 'user.a', 'v'], follows: true },
  { call: ['removexattr', P, 'user.a'], follows: true },
  { call: ['listxattr', P], follows: true },
  { call: ['exec', P], follows: true },
  { call: ['rename', P, 'target'], follows: false },
  { call: ['link', P, 'target'], follows: false },
  { call: ['mkdir', P], follows: false, makes: true },
  { call: ['mknod', P, 'file'], follows: false, makes: true },
  { call: ['mknod', P, 'fifo'], follows: false, makes: true },
  { call: ['symlink', 'x', P], follows: false, makes: true },
  { call: ['link', 'file', P], follows: false, makes: true },
  { call: ['rename', 'file', P], follows: false, makes: true },
  { call: ['open', P, 'O_WRONLY|O_CREAT|O_EXCL'], follows: false, makes: true },
];

const at = (call: PathCall['call'], path: string): [string, ...Argument[]] =>
  call.map((part) => (part === P ? path : part)) as [string, ...Argument[]];

const LONG = 'n'.repeat(256);

export const PATH_CASES: readonly Case[] = group('path resolution', (add) => {
  for (const { call, follows, makes } of CALLS) {
    add(callText(at(call, 'PATH')), (t) => {
      t.do('put', 'file', 'x');
      t.do('mkdir', 'closed', 0o700);
      t.do('put', 'closed/file', 'x');
      t.do('symlink', 'loop', 'loop');
      t.do('symlink', 'b', 'a');
      t.do('symlink', 'a', 'b');
      t.do('symlink', 'nowhere', 'dangling');
      t.do('symlink', 'file', 'tofile');
      t.is('ENOTDIR', ...at(call, 'file/name'));
      t.is('ENOTDIR', ...at(call, 'file/.'));
      t.is('ENOTDIR', ...at(call, 'file/../file'));
      t.is('ENOTDIR', ...at(call, 'tofile/name'));
      t.is('ENOENT', ...at(call, 'missing/name'));
      t.is('ENOENT', ...at(call, 'dangling/name'));
      t.is('ENOENT', ...at(call, ''));
      t.is('ELOOP', ...at(call, 'loop/name'));
      t.is('ELOOP', ...at(call, 'a/name'));
      t.is('ENAMETOOLONG', ...at(call, LONG));
      t.is('ENAMETOOLONG', ...at(call, `${LONG}/name`));
      t.is('ENAMETOOLONG', ...at(call, './'.repeat(2048)));
      t.as(ALICE).is('EACCES', ...at(call, 'closed/file'));
      t.as(ALICE).is('EACCES', ...at(call, 'closed/missing'));
      if (makes !== true) {
        t.is('ENOENT', ...at(call, 'missing'));
        if (follows) {
          t.is('ENOENT', ...at(call, 'dangling'));
          t.is('ELOOP', ...at(call, 'loop'));
        }
      } else if (call[0] !== 'rename') {
        for (const there of ['file', 'closed', 'dangling', 'loop', 'tofile']) t.is('EEXIST', ...at(call, there));
      }
    });
  }
});

export const NAME_CASES: readonly Case[] = group('names', (add) => {
  add('of every length up to 255 bytes', (t) => {
    for (const length of [1, 2, 3, 4, 5, 8, 13, 100, 254, 255]) {
      const name = 'k'.repeat(length);
      t.is('ok', 'put', name, String(length));
      t.is(`data:${length}`, 'cat', name);
      t.is('ok', 'rename', name, `${name.slice(1)}z`);
      t.is('ENOENT', 'lstat', name);
      t.is('ok', 'unlink', `${name.slice(1)}z`);
    }
  });
  add('of any bytes', (t) => {
    for (const name of ['a b', ' ', '\t', '\n', '\\', '"', "'", '*', '?', '%', '-', '...', '.hidden', '\x01', '\x7f', '\xff\xfe', '\xc3\xa4', '\xe4']) {
      t.is('ok', 'put', name, 'x');
      t.is('EEXIST', 'mkdir', name);
      t.is('ok', 'unlink', name);
    }
  });
  add('are bytes, not letters', (t) => {
    t.do('put', 'a', 'small');
    t.do('put', 'A', 'big');
    t.is('data:small', 'cat', 'a');
    t.is('data:big', 'cat', 'A');
    t.do('put', 'a\xcc\x88', 'combining');
    t.do('put', '\xc3\xa4', 'one letter');
    t.is('data:combining', 'cat', 'a\xcc\x88');
    t.is('data:one letter', 'cat', '\xc3\xa4');
  });
  add('dots and slashes', (t) => {
    t.do('mkdir', 'd');
    t.do('put', 'd/f', 'x');
    for (const path of ['d//f', './d/f', 'd/./f', 'd/../d/f', './/d///.//f', '@here/d/f']) t.is('data:x', 'cat', path);
    t.is(true, 'sameino', 'd', 'd/');
    t.is(true, 'sameino', 'd', 'd/.');
    t.is(true, 'sameino', '.', 'd/..');
    t.is('ENOTDIR', 'stat', 'd/f/');
    t.is('ENOTDIR', 'open', 'd/f/', 'O_RDONLY');
    t.is('EISDIR', 'open', 'd/new/', 'O_WRONLY|O_CREAT');
    t.is('EISDIR', 'open', 'd/', 'O_WRONLY|O_CREAT');
    t.is('ok', 'mkdir', 'd/new/');
    t.is('ok', 'rmdir', 'd/new/');
    t.is('ENOENT', 'mknod', 'd/new/', 'file');
    t.is('ENOENT', 'symlink', 'x', 'd/new/');
    t.is('ENOENT', 'link', 'd/f', 'd/new/');
    t.is('ENOTDIR', 'unlink', 'd/f/');
    t.is('EISDIR', 'unlink', 'd/');
    t.is('EEXIST', 'mkdir', '.');
    t.is('EEXIST', 'mkdir', '..');
    t.is('EEXIST', 'mkdir', '/');
    t.is('EINVAL', 'rmdir', '.');
    t.is('EINVAL', 'rmdir', 'd/.');
    t.is('ENOTEMPTY', 'rmdir', '..');
    t.is('ENOTEMPTY', 'rmdir', 'd/..');
    t.is('EISDIR', 'unlink', '.');
    t.is('EISDIR', 'unlink', '..');
    t.is('EBUSY', 'rename', '.', 'e');
    t.is('EBUSY', 'rename', 'd', '.');
    t.is('EBUSY', 'rename', 'd/..', 'e');
    t.is('EBUSY', 'rename', 'd', 'd/..');
  });
  add('links in a path are followed, up to 40', (t) => {
    t.do('put', 'l0', 'end');
    for (let i = 1; i <= 42; i++) t.do('symlink', `l${i - 1}`, `l${i}`);
    for (const depth of [1, 2, 8, 39, 40]) t.is('data:end', 'cat', `l${depth}`);
    for (const depth of [41, 42]) {
      t.is('ELOOP', 'cat', `l${depth}`);
      t.is('ELOOP', 'stat', `l${depth}`);
      t.is({ type: 'link' }, 'lstat', `l${depth}`);
    }
  });
  add('a deep tree', (t) => {
    const deep = Array.from({ length: 60 }, (_, i) => `d${i}`);
    deep.forEach((_, i) => {
      t.do('mkdir', deep.slice(0, i + 1).join('/'));
    });
    const path = deep.join('/');
    t.is('ok', 'put', `${path}/f`, 'deep');
    t.is('data:deep', 'cat', `${path}/f`);
    t.is('ok', 'chdir', path);
    t.is(`@here/${path}`, 'getcwd');
    t.is('data:deep', 'cat', 'f');
    t.is('data:deep', 'cat', `${'../'.repeat(60)}${path}/f`);
  });
  add('the folder that one is in may go', (t) => {
    t.do('mkdir', 'd');
    t.do('chdir', 'd');
    t.is('ok', 'rmdir', '@here/d');
    t.is('ENOENT', 'put', 'f', '');
    t.is('ENOENT', 'mkdir', 'e');
    t.is('ENOENT', 'symlink', 'x', 'e');
    t.is('ENOENT', 'mknod', 'e', 'fifo');
    t.is('ENOENT', 'getcwd');
    t.is({ nlink: 0, type: 'dir' }, 'stat', '.');
    t.is('', 'list', '.');
    t.is('ENOENT', 'chdir', '@here/d');
    t.is('ok', 'chdir', '..');
    t.is('@here', 'getcwd');
  });
  add('the folder that one is in may move', (t) => {
    t.do('mkdir', 'd');
    t.do('mkdir', 'e');
    t.do('chdir', 'd');
    t.do('put', 'f', 'x');
    t.is('ok', 'rename', '@here/d', '@here/e/g');
    t.is('@here/e/g', 'getcwd');
    t.is('data:x', 'cat', 'f');
    t.is('data:x', 'cat', '../g/f');
    t.is('ENOENT', 'stat', '../d');
  });
  add('the mount itself', (t) => {
    t.is('EBUSY', 'rmdir', '@mount');
    t.is('EXDEV', 'rename', '@mount', 'moved');
    t.is({ type: 'dir', isIno: true }, 'stat', '@mount');
    t.is('EEXIST', 'mkdir', '@mount');
    t.is('EISDIR', 'unlink', '@mount');
  });
  add('a folder and a file that something is mounted on', (t) => {
    t.do('mkdir', 'd');
    t.do('mkdir', 'd/point');
    t.do('mkdir', 'source');
    t.do('put', 'source/f', 'mounted');
    t.do('put', 'd/file', 'below');
    t.is('ok', 'bind', 'source', 'd/point');
    t.is('ok', 'bind', 'source/f', 'd/file');
    t.is('data:mounted', 'cat', 'd/point/f');
    t.is('data:mounted', 'cat', 'd/file');
    t.is('EBUSY', 'rmdir', 'd/point');
    t.is('EBUSY', 'unlink', 'd/file');
    t.is('EBUSY', 'rename', 'd/point', 'd/elsewhere');
    t.is('EBUSY', 'rename', 'source', 'd/point');
    t.is('EBUSY', 'rename', 'source/f', 'd/file');
    t.is('EXDEV', 'link', 'd/file', 'd/other');
    t.is('EXDEV', 'rename', 'd/point/f', 'd/g');
    t.is('ok', 'rename', 'd', 'e');
    t.is('data:mounted', 'cat', 'e/point/f');
    t.is(true, 'sameino', 'e/file', 'source/f');
  });
  add('files by handle', (t) => {
    t.do('mkdir', 'd');
    t.do('put', 'd/f', 'content');
    t.is('ok', 'handle', 'd/f', 'f', 'O_RDWR');
    t.is('data:content', 'read', 'f', 100);
    t.is(1, 'pwrite', 'f', 'C', 0);
    t.is('data:Content', 'cat', 'd/f');
    t.is('ok', 'rename', 'd/f', 'g');
    t.is('ok', 'byhandle', 'f', 'O_RDONLY');
    t.is('data:Content', 'read', 'f', 100);
    t.is('ok', 'handle', 'd', 'd', 'O_RDONLY');
    t.is({ type: 'dir', nlink: 2 }, 'fstat', 'd');
    t.do('close', 'd');
    t.do('rmdir', 'd');
    t.do('sleep', 30);
    t.is('ESTALE', 'byhandle', 'd', 'O_RDONLY');
    t.as('1000:1000').is('EPERM', 'byhandle', 'f', 'O_RDONLY');
  });
  add('another filesystem', (t) => {
    t.do('put', 'f', 'x');
    t.do('mkdir', 'd');
    t.is('EXDEV', 'rename', 'f', '@other/f');
    t.is('EXDEV', 'rename', 'd', '@other/d');
    t.is('EXDEV', 'link', 'f', '@other/f');
    t.is('ok', 'symlink', '@other', 'there');
    t.is('ENOENT', 'stat', 'there/missing');
    t.is('EXDEV', 'rename', 'f', 'there/f');
    t.is('data:x', 'cat', 'f');
  });
});
