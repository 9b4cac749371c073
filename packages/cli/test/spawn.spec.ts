/** The built command as its users run it: a process with pipes. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, e2fsck, scratch, sh } from './harness.js';

const main = join(__dirname, '..', 'dist', 'main.js');
const run = existsSync(main) ? it : it.skip;
const iomap = `node ${main}`;
/** Left out where nobody can mount: without /dev/fuse, or not as root. CI has both. */
const runMounted = existsSync('/dev/fuse') && process.getuid?.() === 0 ? run : it.skip;

afterEach(cleanUp);

describe('the built command', () => {
  run('works through pipes', () => {
    const dir = scratch();
    mkdirSync(join(dir, 'src'));
    sh(`cd src; mkdir a; head -c 5000000 /dev/urandom > a/big; echo hi > a/f; ln -s f a/l`, dir);
    sh(`tar -c -C src . | ${iomap} build - disk.img`, dir);
    expect(e2fsck(join(dir, 'disk.img'))).toBe('');
    sh(`${iomap} cat disk.img:/a/big | cmp - src/a/big; ${iomap} tar disk.img | tar -x --one-top-level=out; diff -r --no-dereference src/a out/a`, dir);
    sh(`${iomap} cp disk.img:/a/f /dev/stdout | grep -q hi; ${iomap} cp disk.img:/a/big /dev/null; test -c /dev/null`, dir);
    expect(sh('ls -A', dir)).toBe('disk.img\nout\nsrc\n');
  });

  run('ends quietly when its reader goes away', () => {
    const dir = scratch();
    sh(`truncate -s 16M zeros; ${iomap} mkfs --size 32M disk.img; ${iomap} cp zeros disk.img:/z`, dir);
    const ran = spawnSync('bash', ['-c', `${iomap} cat disk.img:/z | head -c 10 | wc -c`], { cwd: dir, encoding: 'utf8' });
    expect([ran.stdout.trim(), ran.stderr]).toEqual(['10', '']);
  });

  runMounted('mounts, and everything is on the image when umount returns', () => {
    const dir = scratch();
    sh(`mkdir mnt; ${iomap} mkfs --size 16M disk.img; ${iomap} mount disk.img mnt`, dir);
    try {
      sh('mkdir mnt/d; head -c 300000 /dev/urandom > there; cp there mnt/d/f; cmp there mnt/d/f', dir);
    } finally {
      sh(`${iomap} umount mnt`, dir);
    }
    expect(e2fsck(join(dir, 'disk.img'))).toBe('');
    sh(`${iomap} cat disk.img:/d/f | cmp - there; test -z "$(ls -A mnt)"`, dir);
  });

  run('passes on exit codes', () => {
    const dir = scratch();
    expect(spawnSync('node', [main, 'fsck', join(dir, 'none')]).status).toBe(8);
    expect(spawnSync('node', [main, 'ls', join(dir, 'none')]).status).toBe(1);
    expect(spawnSync('node', [main, 'nonsense']).status).toBe(2);
    expect(spawnSync('node', [main, '--version'], { encoding: 'utf8' }).stdout).toMatch(/^\d/);
  });
});
