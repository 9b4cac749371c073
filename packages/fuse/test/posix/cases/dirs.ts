/** Reading folders: what is there, positions, folders that change while they are read; statfs. */
import { group, type Case } from '../case.js';

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`).sort();

const READDIR = group('readdir', (add) => {
  add('what is there', (t) => {
    t.do('mkdir', 'd');
    t.is('', 'list', 'd');
    t.do('opendir', 'd', 'h');
    t.is('.,..', 'readdir', 'h');
    t.do('put', 'd/file', '');
    t.do('mkdir', 'd/dir');
    t.do('symlink', 'x', 'd/link');
    t.do('mknod', 'd/fifo', 'fifo');
    t.do('mknod', 'd/sock', 'socket');
    t.do('mknod', 'd/char', 'char', 0o600, 1, 3);
    t.do('mknod', 'd/block', 'block', 0o600, 7, 0);
    t.is('block=block,char=char,dir=dir,fifo=fifo,file=file,link=link,sock=socket', 'types', 'd');
    t.is('block,char,dir,fifo,file,link,sock', 'list', 'd');
    t.do('rewinddir', 'h');
    t.is('.,..,block,char,dir,fifo,file,link,sock', 'readdir', 'h');
    t.is('ENOTDIR', 'opendir', 'd/file', 'x');
    t.is('ENOENT', 'opendir', 'd/missing', 'x');
  });
  for (const count of [1, 10, 100, 1000]) {
    add(`${count} names`, (t) => {
      t.do('mkdir', 'd');
      t.do('files', 'd/n', count);
      t.is(names('n', count).join(','), 'list', 'd');
      t.is(true, 'seekeach', 'd');
      t.do('opendir', 'd', 'h');
      t.is(count + 2, 'readdircount', 'h');
      t.is(0, 'readdircount', 'h');
      t.do('unfiles', 'd/n', Math.floor(count / 2));
      t.do('rewinddir', 'h');
      t.is(count - Math.floor(count / 2) + 2, 'readdircount', 'h');
      t.do('unfiles', 'd/n', count - Math.floor(count / 2), Math.floor(count / 2));
      t.is('', 'list', 'd');
      t.is('ok', 'rmdir', 'd');
      t.is(0, 'readdircount', 'h');
      t.do('rewinddir', 'h');
      t.is(0, 'readdircount', 'h');
    });
  }
  add('positions', (t) => {
    t.do('mkdir', 'd');
    t.do('files', 'd/n', 50);
    t.do('opendir', 'd', 'h');
    t.do('telldir', 'h', 'start');
    t.is(10, 'readdircount', 'h', 10);
    t.do('telldir', 'h', 'tenth');
    t.is(42, 'readdircount', 'h');
    t.do('seekdir', 'h', 'tenth');
    t.is(42, 'readdircount', 'h');
    t.do('seekdir', 'h', 'start');
    t.is(52, 'readdircount', 'h');
    t.do('files', 'd/m', 30);
    t.do('unfiles', 'd/m', 30);
    t.do('seekdir', 'h', 'tenth');
    t.is(42, 'readdircount', 'h');
  });
  for (const change of ['remove', 'remove-ahead', 'add'] as const) {
    for (const count of [20, 300, 1000]) {
      add(`${count} names, ${change} while it is read`, (t) => {
        t.do('mkdir', 'd');
        t.do('files', 'd/name-that-is-longer-', count);
        t.is('once', 'readwhile', 'd', change, count < 100 ? 3 : 50, 'new-');
      });
    }
  }
  for (const count of [5, 200, 1200]) {
    add(`${count} names, each removed when it was read`, (t) => {
      t.do('mkdir', 'd');
      t.do('files', 'd/f', count);
      t.is('empty', 'drain', 'd');
      t.is('ok', 'rmdir', 'd');
    });
  }
  add('long names', (t) => {
    t.do('mkdir', 'd');
    const long = Array.from({ length: 40 }, (_, i) => String(i).padStart(2, '0') + 'l'.repeat(253));
    for (const name of long) t.do('put', `d/${name}`, '');
    t.is(long.join(','), 'list', 'd');
    t.is(true, 'seekeach', 'd');
  });
  add('changes show in what is opened anew', (t) => {
    t.do('mkdir', 'd');
    for (const name of ['a', 'b', 'c']) {
      t.do('put', `d/${name}`, '');
      t.is({ a: 'a', b: 'a,b', c: 'a,b,c' }[name] ?? '', 'list', 'd');
    }
    t.do('rename', 'd/b', 'd/z');
    t.is('a,c,z', 'list', 'd');
    t.do('unlink', 'd/a');
    t.is('c,z', 'list', 'd');
    t.do('rename', 'd/c', 'c');
    t.is('z', 'list', 'd');
    t.do('link', 'c', 'd/y');
    t.is('y,z', 'list', 'd');
  });
});

const STATFS = group('statfs', (add) => {
  add('facts', (t) => {
    t.is({ bsize: 4096, frsize: 4096, namemax: 255, hasFree: true, hasFiles: true, availIsLess: true, readOnly: false }, 'statfs', '.');
    t.do('put', 'f', '');
    t.is({ bsize: 4096, namemax: 255 }, 'statfs', 'f');
    t.is({ blksize: 4096 }, 'stat', 'f');
    t.is({ blksize: 4096, size: 4096, blocks: 8 }, 'stat', '.');
  });
  add('blocks of files', (t) => {
    for (const [bytes, blocks] of [[0, 0], [1, 8], [4096, 8], [4097, 16], [49_152, 96], [49_153, 112]] as const) {
      t.do('put', `f${bytes}`, { fill: 'x', count: bytes });
      t.do('open', `f${bytes}`, 'O_RDONLY', 0, 'f');
      t.do('fsync', 'f');
      t.is({ blocks, size: bytes }, 'stat', `f${bytes}`);
    }
    t.do('symlink', 's'.repeat(59), 'short');
    t.is({ blocks: 0 }, 'lstat', 'short');
    t.do('symlink', 's'.repeat(60), 'long');
    t.is({ blocks: 8 }, 'lstat', 'long');
  });
  add('what is made is counted', (t) => {
    t.do('mkdir', 'd');
    t.do('freed', '.');
    t.do('put', 'd/f', { fill: 'x', count: 5000 });
    t.do('open', 'd/f', 'O_RDONLY', 0, 'f');
    t.do('fsync', 'f');
    t.is({ blocks: true, files: 1 }, 'taken', '.');
    t.do('close', 'f');
    t.do('unlink', 'd/f');
    t.is(true, 'freed', '.', 'again');
  });
});

export const DIR_CASES: readonly Case[] = [...READDIR, ...STATFS];
