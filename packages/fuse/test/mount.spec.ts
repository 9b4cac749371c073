/** A mount's life: options, signals, busy mounts, users, errors told to whoever mounts. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, statSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mountAt, serverOf } from '../src/index.js';
import { Bench, describeMounted, itWith, sh } from './harness.js';

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // closed meanwhile
  }
};

describeMounted('a mount', () => {
  let bench: Bench;
  beforeAll(() => {
    bench = new Bench();
  });
  afterAll(() => {
    bench.dispose();
  });
  beforeEach(() => {
    bench.release();
    bench.format(32);
  });

  it('is there when it is reported, and gone with its server after unmount', async () => {
    const server = await bench.mount();
    expect(server.minor).toBeGreaterThanOrEqual(31);
    const entry = mountAt(bench.mnt);
    expect(entry).toMatchObject({ type: 'fuse.iomap', source: bench.image });
    expect(serverOf(entry?.device ?? '')).toBe(server.pid);
    writeFileSync(join(bench.mnt, 'a'), 'content');
    await bench.unmount();
    expect(mountAt(bench.mnt)).toBeUndefined();
    expect(existsSync(`/proc/${server.pid}/fd/0`)).toBe(false);
    bench.check();
    expect(bench.inKernel('cat a') ?? 'content').toBe('content');
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends cleanly by %s', async (signal) => {
    const server = await bench.mount();
    writeFileSync(join(bench.mnt, 'a'), 'x'.repeat(100_000));
    process.kill(server.pid, signal);
    expect(await server.ended).toBe(0);
    bench.server = undefined;
    expect(mountAt(bench.mnt)).toBeUndefined();
    bench.check();
    expect(sh(`debugfs -R 'stat a' '${bench.image}' 2>/dev/null`)).toContain('Size: 100000');
  });

  it.each(['', 'async_device'])('ends by SIGTERM while it is in use: all is written first (%s)', async (options) => {
    const server = await bench.mount(options);
    const fd = openSync(join(bench.mnt, 'a'), 'w');
    writeFileSync(fd, 'kept');
    process.kill(server.pid, 'SIGTERM');
    expect(await server.ended).toBe(0);
    bench.server = undefined;
    // Nobody is there any more to be told of the close.
    expect(() => closeSync(fd)).toThrow(/ENOTCONN/);
    expect(mountAt(bench.mnt)).toBeUndefined();
    bench.check();
    expect(bench.inKernel('cat a') ?? 'kept').toBe('kept');
  });

  it('refuses to unmount while it is in use', async () => {
    await bench.mount();
    const fd = openSync(bench.mnt, 'r');
    await expect(bench.unmount()).rejects.toMatchObject({ code: 'EBUSY' });
    closeSync(fd);
    await bench.unmount();
  });

  it.each(['', 'async_device'])('writes back by itself (%s)', async (options) => {
    await bench.mount(options);
    writeFileSync(join(bench.mnt, 'a'), 'later');
    const written = (): string => sh(`debugfs -R 'cat a' '${bench.image}' 2>/dev/null`);
    for (let tries = 0; tries < 100 && written() !== 'later'; tries++) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(written()).toBe('later');
    await bench.unmount();
  });

  it.each([
    ['low_latency', true],
    ['nolow_latency', false],
  ])('keeps the processors awake while requests come thick, and no longer (%s)', async (options, isAsked) => {
    const server = await bench.mount(options);
    const holds = (): boolean => readdirSync(`/proc/${server.pid}/fd`).some((fd) => linkOf(`/proc/${server.pid}/fd/${fd}`) === '/dev/cpu_dma_latency');
    const until = async (wanted: boolean): Promise<boolean> => {
      for (let tries = 0; tries < 100 && holds() !== wanted; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
      return holds();
    };
    let held = false;
    for (let tries = 0; tries < 50 && !held; tries++) {
      for (let i = 0; i < 300; i++) statfsSync(bench.mnt);
      // The supervisor has heard of it by now, or does so in the next round.
      held = holds();
    }
    expect(held).toBe(isAsked && existsSync('/dev/cpu_dma_latency'));
    expect(await until(false)).toBe(false);
    await bench.unmount();
  });

  it('read-only: nothing changes, not a byte of the image', async () => {
    const before = sh(`sha1sum '${bench.image}'`);
    await bench.mount('ro');
    expect(() => writeFileSync(join(bench.mnt, 'a'), '')).toThrow(/EROFS/);
    expect(sh('ls', { cwd: bench.mnt }).trim()).toBe('lost+found');
    await bench.unmount();
    expect(sh(`sha1sum '${bench.image}'`)).toBe(before);
  });

  it('uid=, gid= and noatime', async () => {
    await bench.mount('uid=123,gid=456,noatime');
    writeFileSync(join(bench.mnt, 'a'), 'x');
    expect(statSync(join(bench.mnt, 'a'))).toMatchObject({ uid: 123, gid: 456 });
    await bench.unmount();
    expect(bench.inKernel('stat -c %u:%g a')?.trim() ?? '0:0').toBe('0:0');
  });

  it('sync: a change is on the image when its call returns', async () => {
    await bench.mount('sync');
    writeFileSync(join(bench.mnt, 'a'), 'now');
    expect(sh(`debugfs -R 'cat a' '${bench.image}' 2>/dev/null`)).toBe('now');
    await bench.unmount();
  });

  it.each(['allow_other', 'allow_other,server_permissions'])('other users: permissions hold (%s)', async (options) => {
    await bench.mount(options);
    sh(`umask 022; mkdir open closed; chmod 1777 open; chmod 700 closed; echo s > closed/secret; echo r > open/root; chmod 600 open/root; echo p > open/public; chown 0:1234 open/public; chmod 640 open/public`, { cwd: bench.mnt });
    sh('ls closed', { cwd: bench.mnt });
    const as = (command: string, groups = '1000'): string => {
      try {
        return execFileSync('setpriv', ['--reuid=1000', '--regid=1000', `--groups=${groups}`, 'sh', '-c', `{ ${command}; } 2>&1`], { encoding: 'utf8', cwd: bench.mnt }).trim();
      } catch (error) {
        return String((error as { stdout?: unknown }).stdout).trim();
      }
    };
    expect(as('cat closed/secret')).toMatch(/Permission denied/);
    expect(as('cat open/root')).toMatch(/Permission denied/);
    expect(as('cat open/public')).toMatch(/Permission denied/);
    expect(as('cat open/public', '1000,1234')).toBe('p');
    expect(as('rm -f open/root')).toMatch(/not permitted|denied/);
    expect(as('echo mine > open/mine && stat -c %u:%g open/mine')).toBe('1000:1000');
    expect(as('chmod 4755 open/mine && echo more >> open/mine && stat -c %a open/mine')).toBe('755');
    expect(as('chown 0 open/mine')).toMatch(/not permitted/);
    expect(as('echo x > new')).toMatch(/denied|cannot create/i);
    await bench.unmount();
    bench.check();
  });

  itWith('setfacl', 'acl')('ACLs are obeyed and inherited', async () => {
    await bench.mount('allow_other');
    sh('mkdir d; setfacl -m u:1000:rwx -d -m u:1000:rw d; umask 077; echo x > d/f; getfacl -nc d/f | grep user:1000:rw', { cwd: bench.mnt });
    sh(`setpriv --reuid=1000 --regid=1000 --clear-groups sh -c 'cat d/f && echo y > d/g'`, { cwd: bench.mnt });
    await bench.unmount();
    bench.check();
  });

  it('statfs, and room that comes back when an unlinked file is closed', async () => {
    await bench.mount();
    const free = (): number => statfsSync(bench.mnt).bfree;
    const before = free();
    const path = join(bench.mnt, 'big');
    writeFileSync(path, Buffer.alloc(4 * 2 ** 20, 1));
    expect(before - free()).toBeGreaterThanOrEqual(1024);
    const fd = openSync(path, 'r');
    sh(`rm '${path}'`);
    expect(before - free()).toBeGreaterThanOrEqual(1024);
    expect(readFileSync(fd).length).toBe(4 * 2 ** 20);
    closeSync(fd);
    for (let tries = 0; free() !== before && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(free()).toBe(before);
    await bench.unmount();
    bench.check();
  });

  it.each(['', 'async_device'])('says why it could not mount (%s)', async (options) => {
    writeFileSync(bench.image, Buffer.alloc(100_000));
    await expect(bench.mount(options)).rejects.toMatchObject({ code: 'EINVAL', why: expect.stringContaining('no known filesystem') as string });
    expect(mountAt(bench.mnt)).toBeUndefined();
  });
});
