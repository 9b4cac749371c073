/** The reading commands on an XFS that the kernel wrote. */
import { canLoopMount, describeWithOracle, oracle, withLoopMount } from '@iomap/conformance';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, good, iomap, scratch, sh } from './harness.js';

describeWithOracle(['mkfs-xfs', 'xfs-repair', 'xfs-io', 'loop-mount', 'setfattr'], 'iomap on XFS', () => {
  let image = '';
  let dir = '';
  const content = Buffer.alloc(300_000, 'xyz');

  beforeAll(() => {
    dir = scratch();
    image = join(dir, 'disk.img');
    sh(`truncate -s 320M disk.img`, dir);
    oracle('mkfs-xfs').run(['-q', '-f', '-L', 'reading', '-m', 'rmapbt=1', image], { expect: [0] });
    expect(canLoopMount('xfs')).toBe(true);
    withLoopMount(image, { type: 'xfs' }, (mounted) => {
      mkdirSync(join(mounted, 'a/b'), { recursive: true });
      sh(`head -c 300000 /dev/urandom > a/file; ln -s file a/link; ln a/file a/b/hard; mknod null c 1 3; mkfifo pipe; for n in $(seq 300); do : > a/b/n$n; done; setfattr -n user.colour -v blue a/file`, mounted);
      execFileSync('cp', ['--reflink=always', join(mounted, 'a/file'), join(mounted, 'shared')]);
      oracle('xfs-io').run(['-f', '-c', 'falloc 0 1m', '-c', 'pwrite -q 0 64k', '-c', 'truncate 1m', join(mounted, 'part')], { expect: [0] });
    });
  });
  afterAll(cleanUp);

  it('says what it is', async () => {
    const info = JSON.parse(await good(['info', '--json', image])) as Record<string, unknown>;
    expect(info).toMatchObject({ type: 'xfs', label: 'reading', version: 5, log: 'clean', sizeBytes: 320 * 2 ** 20, groups: 4 });
    expect(info['features']).toEqual(expect.arrayContaining(['crc', 'finobt', 'rmapbt', 'reflink', 'inobtcount', 'ftype', 'spinodes', 'bigtime']));
    expect(await good(['info', image])).toMatch(/features: .*rmapbt/);
  });

  it('lists, reads and describes', async () => {
    expect(await good(['ls', `${image}:/`])).toBe('a\nnull\npart\npipe\nshared\n');
    expect((await good(['ls', `${image}:/a/b`])).split('\n').length).toBe(302);
    expect((await iomap(['cat', `${image}:/a/link`])).bytes.length).toBe(300_000);
    const stat = JSON.parse(await good(['stat', '--json', `${image}:/a/file`])) as Record<string, unknown>;
    expect(stat).toMatchObject({ type: 'file', size: 300_000, links: 2 });
    expect(JSON.stringify(stat)).toContain('user.colour');
    expect(await good(['tree', `${image}:/a`])).toContain('link -> file');
    await good(['cp', '-r', '-p', `${image}:/a`, join(dir, 'out')]);
    expect(readFileSync(join(dir, 'out/b/hard')).length).toBe(content.length);
    expect((await iomap(['tar', image])).bytes.length).toBeGreaterThan(300_000);
  });

  it('maps what is shared and what is not yet written', async () => {
    const map = async (path: string): Promise<{ extents: { flags: string[] }[] }> => JSON.parse(await good(['map', '--json', `${image}:${path}`])) as never;
    expect((await map('/shared')).extents.every(({ flags }) => flags.includes('shared'))).toBe(true);
    expect((await map('/part')).extents.map(({ flags }) => flags.includes('unwritten'))).toEqual([false, true]);
    expect(await good(['map', `${image}:/part`])).toContain('unwritten');
  });

  it('makes one', async () => {
    const made = join(dir, 'made.img');
    await good(['mkfs', '-t', 'xfs', '--size', '320M', '--label', 'ours', '--features', 'rmapbt,^bigtime', made]);
    const info = JSON.parse(await good(['info', '--json', made])) as Record<string, unknown>;
    expect(info).toMatchObject({ type: 'xfs', label: 'ours', log: 'clean' });
    expect(info['features']).not.toContain('bigtime');
    oracle('xfs-repair').run(['-n', made], { expect: [0] });
    expect(await good(['ls', `${made}:/`])).toBe('');
  });

  it('checks it', async () => {
    expect((await iomap(['fsck', image])).code).toBe(0);
    const report = JSON.parse((await iomap(['fsck', '--json', image])).out) as { clean: boolean };
    expect(report.clean).toBe(true);
  });

  it('refuses to change it', async () => {
    const ran = await iomap(['rm', `${image}:/pipe`]);
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('EROFS');
  });
});
