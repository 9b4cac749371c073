/** Real programs on a mounted image: what they leave is sound to e2fsck and the same to the kernel's own driver. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Bench, describeMounted, itWith, LISTING, sh } from './harness.js';

describeMounted('programs on a mounted image', () => {
  let bench: Bench;
  beforeAll(() => {
    bench = new Bench();
  });
  afterAll(() => {
    bench.dispose();
  });
  beforeEach(async () => {
    bench.release();
    bench.format(192);
    await bench.mount();
  });

  /** After a workload: unmount, check, and the kernel sees what we showed. */
  async function settle(): Promise<void> {
    const shown = sh(LISTING, { cwd: bench.mnt });
    expect(shown.length).toBeGreaterThan(0);
    await bench.unmount();
    bench.check();
    const kernel = bench.inKernel(LISTING);
    if (kernel !== undefined) expect(kernel).toBe(shown);
  }

  const source = join(__dirname, '../..');

  it('cp -a of a tree of sources, compared by diff, and cp -a within', async () => {
    sh(`cp -a '${source}/vfs/src' '${source}/io/src' '${source}/ext2/src' . 2>/dev/null || cp -a '${source}/vfs/src' .; cp -a src copy; diff -r src copy`, { cwd: bench.mnt });
    await settle();
  });

  it('tar in and out', async () => {
    sh(`tar -C '${source}' -cf a.tar vfs/src io/src iomap-core/src; tar -xf a.tar; tar -df a.tar; rm a.tar`, { cwd: bench.mnt });
    await settle();
  });

  itWith('git')('git: clone, commits, gc, fsck', async () => {
    sh(
      `git init -q one && cd one && git config user.email a@b && git config user.name n && cp -a '${source}/io/src' . && git add . && git commit -qm a &&
       for i in 1 2 3 4 5; do echo $i >> src/io.txt; git add . ; git commit -qm $i; done; git gc -q; cd .. && git clone -q --no-hardlinks one two && cd two && git fsck --strict 2>&1 && git status --porcelain`,
      { cwd: bench.mnt },
    );
    await settle();
  });

  itWith('sqlite3')('sqlite3 with a write-ahead log', async () => {
    sh(
      `sqlite3 t.db "pragma journal_mode=wal; create table t(a integer primary key, b text);" >/dev/null
       for i in 1 2 3; do sqlite3 t.db "with recursive n(i) as (select 1 union all select i+1 from n where i<2000) insert into t(b) select hex(randomblob(40)) from n;"; done
       sqlite3 t.db "delete from t where a%3=0; vacuum; pragma integrity_check;" | tail -1 | grep -qx ok`,
      { cwd: bench.mnt },
    );
    await settle();
  });

  itWith('rsync')('rsync -a twice: the second finds nothing', async () => {
    sh(`rsync -a '${source}/vfs/src/' dest/`, { cwd: bench.mnt });
    expect(sh(`rsync -ai '${source}/vfs/src/' dest/`, { cwd: bench.mnt })).toBe('');
    await settle();
  });

  it('shared mappings, sparse files, holes', async () => {
    sh(
      `python3 - <<'P'
import mmap, os
fd = os.open('map', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20); m[5000:5005] = b'hello'; m[900000:900003] = b'end'; m.flush(); m.close()
assert os.pread(fd, 5, 5000) == b'hello'; os.close(fd)
fd = os.open('sparse', os.O_RDWR | os.O_CREAT); os.pwrite(fd, b'x', 40 << 20)
assert os.lseek(fd, 0, os.SEEK_DATA) == 40 << 20, os.lseek(fd, 0, os.SEEK_DATA)
assert os.lseek(fd, 40 << 20, os.SEEK_HOLE) == (40 << 20) + 1
assert os.fstat(fd).st_blocks < 100; os.close(fd)
P
       cp --sparse=always sparse copy; cmp sparse copy; truncate -s 1000 map; truncate -s 9000 map; test "$(tail -c 8000 map | tr -d '\\0' | wc -c)" = 0`,
      { cwd: bench.mnt },
    );
    await settle();
  });

  it('a full image: ENOSPC to the call that met it, and sound after', async () => {
    const said = sh(`dd if=/dev/zero of=full bs=1M 2>&1; mkdir d; for i in $(seq 1 40); do echo x > d/$i || true; done`, { cwd: bench.mnt, fails: true });
    expect(said).toMatch(/No space left on device/);
    sh('rm full; echo again > after; cat after', { cwd: bench.mnt });
    await settle();
  });

  it('survives the server being killed: what was fsynced is there after e2fsck', async () => {
    const { mnt, image } = bench;
    sh(`python3 - <<'P'
import os
os.mkdir('safe')
for i in range(50):
    fd = os.open('safe/%d' % i, os.O_CREAT | os.O_WRONLY); os.write(fd, (b'%d' % i) * 5000); os.fsync(fd); os.close(fd)
for i in range(300):
    fd = os.open('loose%d' % i, os.O_CREAT | os.O_WRONLY); os.write(fd, b'y' * 3000); os.close(fd)
P`, { cwd: mnt });
    const pid = bench.server?.pid ?? 0;
    process.kill(pid, 'SIGKILL');
    await bench.server?.ended;
    sh(`umount -i -l '${mnt}'`);
    bench.server = undefined;
    sh(`e2fsck -fy '${image}' >/dev/null 2>&1 || test $? -lt 4; e2fsck -fn '${image}' 2>&1`);
    await bench.mount();
    for (let i = 0; i < 50; i++) expect(readFileSync(join(mnt, 'safe', String(i)), 'latin1')).toBe(String(i).repeat(5000));
    await settle();
  });
});
