/** An image of one MiB, of which a tenth is kept for root, with few inodes: what comes when nothing is left. */
import { ALICE, fill, group, type Case } from '../case.js';

export const FULL_CASES: readonly Case[] = group('a full image', (add) => {
  add('no room for data', (t) => {
    t.do('put', 'kept', fill('k', 8192));
    t.do('mkdir', 'd');
    t.do('put', 'd/f', 'x');
    t.do('mkdir', 'empty');
    t.do('put', 'attributes', '');
    t.is('ENOSPC', 'fill', 'big', 65_536);
    t.is('ENOSPC', 'fill', 'big', 4096);
    t.is('ENOSPC', 'fill', 'big', 4096);
    t.is('ENOSPC', 'append', 'kept', fill('k', 4096));
    t.is('ENOSPC', 'append', 'attributes', 'x');
    t.is('ENOSPC', 'mkdir', 'new');
    t.is('ENOENT', 'lstat', 'new');
    t.is('ENOSPC', 'symlink', 's'.repeat(100), 'new');
    t.is('ENOENT', 'lstat', 'new');
    t.is('ENOSPC', 'setxattr', 'attributes', 'user.a', fill('v', 1000));
    t.is('', 'listxattr', 'attributes');
    // What needs no room goes on.
    t.is('ok', 'symlink', 'short', 'new');
    t.is('data:short', 'readlink', 'new');
    t.is('ok', 'put', 'nothing', '');
    t.is('ok', 'mknod', 'p', 'fifo');
    t.is('ok', 'link', 'kept', 'again');
    t.is('ok', 'rename', 'again', 'moved');
    t.is('ok', 'chmod', 'kept', 0o600);
    t.is('ok', 'utimens', 'kept', 1, 2);
    t.is('ok', 'setxattr', 'attributes', 'user.a', 'v');
    t.is('ok', 'truncate', 'nothing', 1_000_000);
    t.is('ENOSPC', 'append', 'nothing', 'x');
    t.do('open', 'kept', 'O_RDWR', 0, 'k');
    t.is(4096, 'pwrite', 'k', fill('o', 4096), 0);
    t.is('8192:k*4096,o*4096', 'sum', 'kept');
    t.is('ok', 'fsync', 'k');
    t.is('ENOSPC', 'pwrite', 'k', fill('n', 4096), 100_000);
    t.is({ size: 8192 }, 'fstat', 'k');
    t.is('data:x', 'cat', 'd/f');
    t.is('ok', 'rmdir', 'empty');
    // And comes back.
    t.is('ok', 'unlink', 'big');
    t.is('ok', 'put', 'next', fill('n', 200_000));
    t.is('200000:n*200000', 'sum', 'next');
    t.is('ok', 'truncate', 'next', 0);
    t.is('ok', 'mkdir', 'room');
    for (const name of ['kept', 'd/f', 'attributes', 'new', 'nothing', 'p', 'moved', 'next']) t.is('ok', 'unlink', name);
  });
  add('what is kept for root', (t) => {
    t.do('put', 'root', '');
    t.as(ALICE).is('ENOSPC', 'fill', 'big', 4096);
    t.as(ALICE).is('ENOSPC', 'fill', 'big', 4096);
    t.is('ok', 'put', 'root', fill('r', 8192));
    t.as(ALICE).is('ok', 'unlink', 'big');
    t.is('ok', 'unlink', 'root');
  });
  add('no inodes', (t) => {
    t.do('put', 'f', 'x');
    t.do('mkdir', 'd');
    t.is('ENOSPC', 'fillnames', 'n', 'file');
    t.is('ENOSPC', 'put', 'one-more', '');
    t.is('ENOSPC', 'mkdir', 'one-more');
    t.is('ENOSPC', 'symlink', 'x', 'one-more');
    t.is('ENOSPC', 'mknod', 'one-more', 'fifo');
    t.is('ENOSPC', 'open', '.', 'O_TMPFILE|O_RDWR', 0o600);
    t.is('ENOENT', 'lstat', 'one-more');
    t.is('ok', 'link', 'f', 'one-more');
    t.is('ok', 'unlink', 'n0');
    t.is('ok', 'mkdir', 'n0');
    t.is('ENOSPC', 'put', 'another', '');
    t.is('ok', 'rename', 'f', 'g');
    t.is({ nlink: 2, size: 1 }, 'stat', 'g');
  });
});
