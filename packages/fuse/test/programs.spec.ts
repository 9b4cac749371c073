/** Mappings, holes, a full image, a killed server: what is left is sound to e2fsck and the same to the kernel's own driver. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Bench, describeMounted, LISTING, sh } from './harness.js';

describeMounted('a mounted image', () => {
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
