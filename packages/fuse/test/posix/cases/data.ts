/** Reading and writing: positions, holes, mappings, direct I/O, copies, limits; locks. */
import { ALICE, fill, group, type Case } from '../case.js';

const RW = group('read and write', (add) => {
  add('positions', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.is('data:', 'read', 'f', 10);
    t.is(6, 'write', 'f', 'abcdef');
    t.is(6, 'lseek', 'f', 0, 'CUR');
    t.is(2, 'lseek', 'f', 2, 'SET');
    t.is('data:cd', 'read', 'f', 2);
    t.is(4, 'lseek', 'f', 0, 'CUR');
    t.is(1, 'pwrite', 'f', 'X', 0);
    t.is(4, 'lseek', 'f', 0, 'CUR');
    t.is('data:Xb', 'pread', 'f', 2, 0);
    t.is(4, 'lseek', 'f', 0, 'CUR');
    t.is(2, 'write', 'f', 'YZ');
    t.is('data:XbcdYZ', 'pread', 'f', 100, 0);
    t.is('data:', 'pread', 'f', 10, 6);
    t.is('data:', 'pread', 'f', 10, 600);
    t.is('data:', 'read', 'f', 0);
    t.is(3, 'lseek', 'f', -3, 'END');
    t.is('data:dYZ', 'read', 'f', 10);
    t.is(10, 'lseek', 'f', 4, 'END');
    t.is('data:', 'read', 'f', 10);
    t.is({ size: 6 }, 'fstat', 'f');
    t.is(2, 'write', 'f', '!!');
    t.is({ size: 12 }, 'fstat', 'f');
    t.is('data:XbcdYZ\x00\x00\x00\x00!!', 'cat', 'f');
    t.is('EINVAL', 'lseek', 'f', -1, 'SET');
    t.is('EINVAL', 'lseek', 'f', -100, 'END');
    t.is('EINVAL', 'lseek', 'f', 0, 17);
    t.is(12, 'lseek', 'f', 0, 'CUR');
    t.is('EINVAL', 'pread', 'f', 1, -1);
    t.is('EINVAL', 'pwrite', 'f', 'x', -1);
    t.is(0, 'write', 'f', '');
    t.is({ size: 12 }, 'fstat', 'f');
  });
  add('vectors', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.is(9, 'writev', 'f', 'abc', '', 'def', 'ghi');
    t.do('lseek', 'f', 0, 'SET');
    t.is('data:abcdefg', 'readv', 'f', 2, 0, 4, 1);
    t.is('data:hi', 'readv', 'f', 100, 100);
  });
  add('append', (t) => {
    t.do('put', 'f', 'abc');
    t.do('open', 'f', 'O_RDWR|O_APPEND', 0, 'a');
    t.do('open', 'f', 'O_WRONLY', 0, 'w');
    t.is(0, 'lseek', 'a', 0, 'CUR');
    t.is(1, 'write', 'a', 'd');
    t.is(4, 'lseek', 'a', 0, 'CUR');
    t.is(0, 'lseek', 'a', 0, 'SET');
    t.is(1, 'write', 'a', 'e');
    t.is('data:abcde', 'cat', 'f');
    t.do('pwrite', 'w', 'f', 5);
    t.is(1, 'write', 'a', 'g');
    t.is('data:abcdefg', 'cat', 'f');
    t.is(1, 'pwrite', 'a', 'h', 0);
    t.is('data:abcdefgh', 'cat', 'f');
    t.do('ftruncate', 'w', 2);
    t.is(1, 'write', 'a', 'z');
    t.is('data:abz', 'cat', 'f');
  });
  for (const [pos, count] of [[0, 4096], [1, 4096], [4095, 2], [4096, 4096], [1023, 1025], [12 * 1024 - 1, 2], [12 * 1024, 1024], [(12 + 256) * 1024 - 5, 10], [100_000, 70_000], [1_000_000, 1]] as const) {
    add(`${count} bytes at ${pos}`, (t) => {
      t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
      t.is(count, 'pwrite', 'f', fill('x', count), pos);
      t.is({ size: pos + count }, 'fstat', 'f');
      t.is(`${pos + count}:${pos > 0 ? `0*${pos},` : ''}x*${count}`, 'sum', 'f');
      t.is('data:x', 'pread', 'f', 1, pos);
      t.is('data:x', 'pread', 'f', 100, pos + count - 1);
      t.is('ok', 'fsync', 'f');
      t.is(`${pos + count}:${pos > 0 ? `0*${pos},` : ''}x*${count}`, 'sum', 'f');
    });
  }
  add('over one another', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.do('pwrite', 'f', fill('a', 10_000), 0);
    t.do('pwrite', 'f', fill('b', 5000), 2500);
    t.do('pwrite', 'f', fill('c', 100), 9950);
    t.is('10050:a*4950,b*5000,c*100', 'sum', 'f');
    t.is('data:aabb', 'pread', 'f', 4, 2498);
    t.is('data:bbaa', 'pread', 'f', 4, 7498);
    t.is('data:aacc', 'pread', 'f', 4, 9948);
  });
  add('folders and others are not read', (t) => {
    t.do('mkdir', 'd');
    t.do('open', 'd', 'O_RDONLY', 0, 'd');
    t.is('EISDIR', 'read', 'd', 10);
    t.is('EISDIR', 'pread', 'd', 10, 0);
    t.is('EBADF', 'write', 'd', 'x');
    t.do('mknod', 'p', 'fifo');
    t.do('open', 'p', 'O_RDWR', 0, 'p');
    t.is('ESPIPE', 'lseek', 'p', 0, 'CUR');
    t.is('ESPIPE', 'pread', 'p', 1, 0);
  });
  add('what others see at once', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'a');
    t.do('open', 'f', 'O_RDWR', 0, 'b');
    t.is(3, 'write', 'a', 'abc');
    t.is('data:abc', 'read', 'b', 10);
    t.is('data:abc', 'other', ['pread', 'b', 10, 0]);
    t.is(1, 'other', ['pwrite', 'b', 'X', 1]);
    t.is('data:aXc', 'pread', 'a', 10, 0);
    t.do('ftruncate', 'a', 1);
    t.is('data:a', 'pread', 'b', 10, 0);
    t.is({ size: 1 }, 'fstat', 'b');
  });
  add('sync', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT|O_SYNC', 0o644, 'f');
    t.is(3, 'write', 'f', 'abc');
    t.is('ok', 'fsync', 'f');
    t.is('ok', 'fdatasync', 'f');
    t.is('ok', 'syncfs', 'f');
    t.do('open', '.', 'O_RDONLY', 0, 'd');
    t.is('ok', 'fsync', 'd');
    t.is('ok', 'fdatasync', 'd');
    t.is('ok', 'syncfs', 'd');
    t.do('mknod', 'p', 'fifo');
    t.do('open', 'p', 'O_RDWR', 0, 'p');
    t.is('EINVAL', 'fsync', 'p');
    t.do('open', 'f', 'O_RDONLY', 0, 'r');
    t.is('ok', 'fsync', 'r');
    t.is('ok', 'posix_fadvise', 'f', 0, 0, 4);
    t.is('data:abc', 'cat', 'f');
  });
  add('the size limit of a process', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.is(6, 'limited', 10, ['write', 'f', 'abcdef']);
    t.is(4, 'limited', 10, ['write', 'f', 'abcdef']);
    t.is('EFBIG', 'limited', 10, ['write', 'f', 'abcdef']);
    t.is({ size: 10 }, 'fstat', 'f');
    t.is('EFBIG', 'limited', 10, ['pwrite', 'f', 'x', 10]);
    t.is(1, 'limited', 10, ['pwrite', 'f', 'x', 9]);
    t.is('EFBIG', 'limited', 10, ['ftruncate', 'f', 11]);
    t.is('ok', 'limited', 10, ['ftruncate', 'f', 9]);
    t.is({ size: 9 }, 'fstat', 'f');
  });
  add('further than the format can', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.is('EFBIG', 'pwrite', 'f', 'x', 2 ** 45);
    t.is('EFBIG', 'ftruncate', 'f', 2 ** 45);
    t.is({ size: 0, blocks: 0 }, 'fstat', 'f');
    t.is(1, 'pwrite', 'f', 'x', 2 ** 33);
    t.is({ size: 2 ** 33 + 1 }, 'fstat', 'f');
    t.is('data:x', 'pread', 'f', 10, 2 ** 33);
    t.is('ok', 'ftruncate', 'f', 0);
  });
});

const SEEK = group('holes', (add) => {
  add('SEEK_DATA and SEEK_HOLE', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.is('ENXIO', 'lseek', 'f', 0, 'DATA');
    t.is('ENXIO', 'lseek', 'f', 0, 'HOLE');
    t.do('pwrite', 'f', fill('x', 8192), 65_536);
    t.do('ftruncate', 'f', 262_144);
    t.do('fsync', 'f');
    t.is(65_536, 'lseek', 'f', 0, 'DATA');
    t.is(65_536, 'lseek', 'f', 65_536, 'DATA');
    t.is(70_000, 'lseek', 'f', 70_000, 'DATA');
    t.is('ENXIO', 'lseek', 'f', 73_728, 'DATA');
    t.is('ENXIO', 'lseek', 'f', 262_143, 'DATA');
    t.is('ENXIO', 'lseek', 'f', 262_144, 'DATA');
    t.is(0, 'lseek', 'f', 0, 'HOLE');
    t.is(100, 'lseek', 'f', 100, 'HOLE');
    t.is(73_728, 'lseek', 'f', 65_536, 'HOLE');
    t.is(73_728, 'lseek', 'f', 70_000, 'HOLE');
    t.is(200_000, 'lseek', 'f', 200_000, 'HOLE');
    t.is('ENXIO', 'lseek', 'f', 262_144, 'HOLE');
    t.is('ENXIO', 'lseek', 'f', 300_000, 'HOLE');
    t.is('ENXIO', 'lseek', 'f', -1, 'DATA');
    t.is(200_000, 'lseek', 'f', 0, 'CUR');
  });
  add('a full file ends in a hole', (t) => {
    t.do('put', 'f', fill('x', 10_000));
    t.do('open', 'f', 'O_RDONLY', 0, 'f');
    t.is(0, 'lseek', 'f', 0, 'DATA');
    t.is(10_000, 'lseek', 'f', 0, 'HOLE');
    t.is(10_000, 'lseek', 'f', 9999, 'HOLE');
    t.is(9999, 'lseek', 'f', 9999, 'DATA');
    t.is('ENXIO', 'lseek', 'f', 10_000, 'DATA');
  });
  add('a folder', (t) => {
    t.do('mkdir', 'd');
    t.do('open', 'd', 'O_RDONLY', 0, 'd');
    // A driver without holes in folders takes all up to the largest file for data.
    t.is(1_000_000_000, 'lseek', 'd', 1_000_000_000, 'DATA');
  });
  add('take no room and read as zero', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.do('ftruncate', 'f', 1_000_000);
    t.is({ size: 1_000_000, blocks: 0 }, 'fstat', 'f');
    t.is('1000000:0*1000000', 'sum', 'f');
    t.is({ blocks: 0 }, 'fstat', 'f');
    t.do('pwrite', 'f', 'x', 500_000);
    t.do('fsync', 'f');
    t.is('data:\x00x\x00', 'pread', 'f', 3, 499_999);
    t.is('1000000:0*999999,x*1', 'sum', 'f');
  });
  add('FIEMAP', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.do('pwrite', 'f', fill('x', 8192), 0);
    t.do('pwrite', 'f', fill('x', 4096), 40_960);
    t.do('fsync', 'f');
    t.is('2: 12288', 'extents', 'f');
  });
  add('fallocate', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.do('pwrite', 'f', fill('x', 20_000), 0);
    t.is('EOPNOTSUPP', 'fallocate', 'f', 0, 0, 40_000);
    t.is('EOPNOTSUPP', 'fallocate', 'f', 1, 0, 40_000);
    t.is('EOPNOTSUPP', 'fallocate', 'f', 0x10, 0, 4096);
    t.is('EOPNOTSUPP', 'fallocate', 'f', 0x08, 0, 4096);
    t.is('EOPNOTSUPP', 'fallocate', 'f', 0x20, 0, 4096);
    t.is('EINVAL', 'fallocate', 'f', 0, -1, 10);
    t.is('EINVAL', 'fallocate', 'f', 0, 0, 0);
    t.is({ size: 20_000 }, 'fstat', 'f');
    t.do('open', 'f', 'O_RDONLY', 0, 'r');
    t.is('EBADF', 'fallocate', 'r', 0, 0, 10);
    t.do('open', '.', 'O_RDONLY', 0, 'd');
    t.is('EBADF', 'fallocate', 'd', 0, 0, 10);
  });
  add('punched', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.do('pwrite', 'f', fill('x', 20_480), 0);
    t.do('fsync', 'f');
    t.is('ok', 'fallocate', 'f', 3, 4096, 8192);
    t.is('20480:0*8192,x*12288', 'sum', 'f');
    t.is(4096, 'lseek', 'f', 0, 'HOLE');
    t.is(12_288, 'lseek', 'f', 4096, 'DATA');
    t.is({ size: 20_480 }, 'fstat', 'f');
  });
});

const MAPPED = group('mmap', (add) => {
  add('shared', (t) => {
    t.do('put', 'f', 'abcdefgh');
    t.do('open', 'f', 'O_RDWR', 0, 'f');
    t.is('data:cde', 'mmapread', 'f', 8, 2, 3);
    t.is('ok', 'mmapwrite', 'f', 8, 2, 'XYZ');
    t.is('data:abXYZfgh', 'cat', 'f');
    t.is(1, 'pwrite', 'f', '!', 0);
    t.is('data:!bX', 'mmapread', 'f', 8, 0, 3);
    t.is('data:!bX', 'other', ['mmapread', 'f', 8, 0, 3]);
  });
  add('private', (t) => {
    t.do('put', 'f', 'abcdefgh');
    t.do('open', 'f', 'O_RDWR', 0, 'f');
    t.is('data:XYZ', 'mmapprivate', 'f', 8, 'XYZ');
    t.is('data:abcdefgh', 'cat', 'f');
  });
  add('in a hole', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'f');
    t.do('ftruncate', 'f', 100_000);
    t.is('data:\x00\x00', 'mmapread', 'f', 100_000, 50_000, 2);
    t.is('ok', 'mmapwrite', 'f', 100_000, 50_000, 'hole');
    t.is('100000:0*99996,e*1,h*1,l*1,o*1', 'sum', 'f');
  });
  add('rights', (t) => {
    t.do('put', 'f', 'abcdefgh');
    t.do('open', 'f', 'O_RDONLY', 0, 'r');
    t.is('EACCES', 'mmapwrite', 'r', 8, 0, 'x');
    t.do('open', 'f', 'O_WRONLY', 0, 'w');
    t.is('EACCES', 'mmapread', 'w', 8, 0, 1);
    t.do('mkdir', 'd');
    t.do('open', 'd', 'O_RDONLY', 0, 'd');
    t.is('ENODEV', 'mmapread', 'd', 4096, 0, 1);
  });
});

const DIRECT = group('O_DIRECT', (add) => {
  add('whole blocks', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT|O_DIRECT', 0o644, 'f');
    t.is(8192, 'directwrite', 'f', fill('x', 8192), 0);
    t.is(4096, 'directwrite', 'f', fill('y', 4096), 4096);
    t.is('4096:x', 'directread', 'f', 4096, 0);
    t.is('4096:y', 'directread', 'f', 4096, 4096);
    t.is('0:', 'directread', 'f', 4096, 8192);
    t.is('8192:x*4096,y*4096', 'sum', 'f');
    t.is({ size: 8192 }, 'fstat', 'f');
    t.is(4096, 'directwrite', 'f', fill('z', 4096), 65_536);
    t.is('69632:0*57344,x*4096,y*4096,z*4096', 'sum', 'f');
    t.is('4096:0', 'directread', 'f', 4096, 8192);
  });
  add('beside the cache', (t) => {
    t.do('open', 'f', 'O_RDWR|O_CREAT', 0o644, 'c');
    t.do('open', 'f', 'O_RDWR|O_DIRECT', 0, 'd');
    t.is(4096, 'pwrite', 'c', fill('a', 4096), 0);
    t.is('4096:a', 'directread', 'd', 4096, 0);
    t.is(4096, 'directwrite', 'd', fill('b', 4096), 0);
    t.is('4096:b*4096', 'sum', 'f');
    t.is(1, 'pwrite', 'c', 'c', 0);
    t.is('4096:bc', 'directread', 'd', 4096, 0);
  });
});

const COPY = group('copies within the kernel', (add) => {
  add('copy_file_range', (t) => {
    t.do('put', 'a', 'abcdefghij');
    t.do('open', 'a', 'O_RDONLY', 0, 'a');
    t.do('open', 'b', 'O_RDWR|O_CREAT', 0o644, 'b');
    t.is(4, 'copy', 'a', 'b', 4);
    t.is(4, 'lseek', 'a', 0, 'CUR');
    t.is(4, 'lseek', 'b', 0, 'CUR');
    t.is(6, 'copy', 'a', 'b', 100);
    t.is('data:abcdefghij', 'cat', 'b');
    t.is(0, 'copy', 'a', 'b', 100);
    t.is(3, 'copy', 'a', 'b', 3, 2, 20);
    t.is({ size: 23 }, 'fstat', 'b');
    t.is('data:cde', 'pread', 'b', 10, 20);
    t.is(0, 'copy', 'a', 'b', 3, 10, 0);
    t.is(10, 'lseek', 'a', 0, 'CUR');
    t.is('EBADF', 'copy', 'b', 'a', 3, 0, 0);
    t.do('open', 'a', 'O_RDWR', 0, 'a');
    t.is('EINVAL', 'copy', 'a', 'a', 5, 0, 2);
    t.is(5, 'copy', 'a', 'a', 5, 0, 5);
    t.is('data:abcdeabcde', 'cat', 'a');
    t.do('open', 'a', 'O_WRONLY|O_APPEND', 0, 'p');
    t.is('EBADF', 'copy', 'a', 'p', 1, 0, 0);
    t.do('open', '.', 'O_RDONLY', 0, 'd');
    t.is('EISDIR', 'copy', 'd', 'a', 1, 0, 0);
  });
  add('to another filesystem, sendfile, splice', (t) => {
    t.do('put', 'a', fill('x', 10_000));
    t.do('open', 'a', 'O_RDONLY', 0, 'a');
    t.do('open', 'b', 'O_RDWR|O_CREAT', 0o644, 'b');
    t.is(10_000, 'sendfile', 'b', 'a', 0, 20_000);
    t.is('10000:x*10000', 'sum', 'b');
    t.is(5000, 'splice', 'a', 'b', 5000);
    t.is('15000:x*15000', 'sum', 'b');
  });
});

const LOCKS = group('locks', (add) => {
  add('flock', (t) => {
    t.do('put', 'f', 'x');
    t.do('open', 'f', 'O_RDONLY', 0, 'a');
    t.do('open', 'f', 'O_RDONLY', 0, 'b');
    t.is('ok', 'flock', 'a', 'sh');
    t.is('ok', 'flock', 'b', 'sh');
    t.is('EAGAIN', 'flock', 'a', 'ex');
    t.is('ok', 'flock', 'b', 'un');
    t.is('ok', 'flock', 'a', 'ex');
    t.is('EAGAIN', 'flock', 'b', 'sh');
    t.is('EAGAIN', 'other', ['open', 'f', 'O_RDONLY', 0, 'c'], ['flock', 'c', 'ex']);
    t.is('ok', 'other', ['flock', 'a', 'ex']);
    t.do('close', 'a');
    t.is('ok', 'flock', 'b', 'ex');
    t.do('mkdir', 'd');
    t.do('open', 'd', 'O_RDONLY', 0, 'd');
    t.is('ok', 'flock', 'd', 'ex');
  });
  add('records', (t) => {
    t.do('put', 'f', 'abcdefghij');
    t.do('open', 'f', 'O_RDWR', 0, 'f');
    t.is('ok', 'setlk', 'f', 'write', 0, 5);
    t.is('ok', 'setlk', 'f', 'read', 5, 5);
    t.is('EAGAIN', 'other', ['setlk', 'f', 'write', 0, 1]);
    t.is('EAGAIN', 'other', ['setlk', 'f', 'read', 4, 1]);
    t.is('ok', 'other', ['setlk', 'f', 'read', 5, 1]);
    t.is('EAGAIN', 'other', ['setlk', 'f', 'write', 5, 1]);
    t.is('ok', 'other', ['setlk', 'f', 'write', 10, 0]);
    t.is('write 0 5', 'other', ['getlk', 'f', 'read', 0, 100]);
    t.is('read 5 5', 'other', ['getlk', 'f', 'write', 6, 1]);
    t.is('none', 'other', ['getlk', 'f', 'read', 5, 1]);
    t.is('none', 'getlk', 'f', 'write', 0, 100);
    t.is('ok', 'setlk', 'f', 'un', 2, 2);
    t.is('ok', 'other', ['setlk', 'f', 'write', 2, 2]);
    t.is('EAGAIN', 'other', ['setlk', 'f', 'write', 1, 2]);
    t.is('write 4 1', 'other', ['getlk', 'f', 'read', 2, 100]);
    t.is('EAGAIN', 'setlk', 'f', 'write', 0, 3, true);
    t.do('open', 'f', 'O_RDONLY', 0, 'second');
    t.do('close', 'second');
    t.is('none', 'other', ['getlk', 'f', 'write', 0, 100]);
  });
  add('records of an open file', (t) => {
    t.do('put', 'f', 'abc');
    t.do('open', 'f', 'O_RDWR', 0, 'a');
    t.do('open', 'f', 'O_RDWR', 0, 'b');
    t.is('ok', 'setlk', 'a', 'write', 0, 2, true);
    t.is('EAGAIN', 'setlk', 'b', 'write', 1, 2, true);
    t.is('ok', 'setlk', 'b', 'write', 2, 2, true);
    t.is('ok', 'other', ['setlk', 'a', 'write', 0, 2, true]);
    t.do('close', 'a');
    t.is('ok', 'setlk', 'b', 'write', 0, 2, true);
  });
  add('rights that a lock needs', (t) => {
    t.do('put', 'f', 'abc');
    t.do('open', 'f', 'O_RDONLY', 0, 'r');
    t.do('open', 'f', 'O_WRONLY', 0, 'w');
    t.is('EBADF', 'setlk', 'r', 'write');
    t.is('EBADF', 'setlk', 'w', 'read');
    t.is('ok', 'setlk', 'r', 'read');
    t.is('ok', 'setlk', 'w', 'write');
  });
  add('leases', (t) => {
    t.as(ALICE).do('put', 'f', 'abc');
    t.as(ALICE).do('open', 'f', 'O_RDONLY', 0, 'r');
    t.as(ALICE).is('ok', 'lease', 'r', 'read');
    t.as(ALICE).is('ok', 'lease', 'r', 'un');
  });
});

export const DATA_CASES: readonly Case[] = [...RW, ...SEEK, ...MAPPED, ...DIRECT, ...COPY, ...LOCKS];
