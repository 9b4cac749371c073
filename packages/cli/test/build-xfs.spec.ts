/** `iomap build -t xfs`: from folders and archives, sized to fit or to a size, the options of mkfs, and what it says when it cannot. */
import { assertTreesEqual, describeHostTree, describeWithOracle, makeSampleTree, oracle, withLoopMount, type Tree, type TreeNode } from '@iomap/conformance';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, good, iomap, scratch, sh } from './harness.js';

const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
const infoOf = async (image: string): Promise<Record<string, unknown>> => JSON.parse(await good(['info', '--json', image])) as Record<string, unknown>;

function expectClean(image: string): void {
  const { status, stdout, stderr } = oracle('xfs-repair').run(['-n', '-o', 'force_geometry', image]);
  expect([status, status === 0 ? '' : stdout + stderr]).toEqual([0, '']);
}

/** The kernel shows ACLs on XFS a second time, as they are stored. */
function withoutStoredAcls(tree: Tree): Tree {
  const plain = (node: TreeNode): TreeNode => ({ ...node, xattrs: new Map([...node.xattrs].filter(([name]) => !name.startsWith('trusted.SGI_ACL_'))) });
  return new Map([...tree].map(([path, node]) => [path, plain(node)]));
}

describeWithOracle(['xfs-repair', 'loop-mount', 'getfattr'], 'build -t xfs', () => {
  let source = '';
  beforeAll(() => {
    source = join(scratch(), 'source');
    mkdirSync(source);
    // XFS has majors of 14 bits, minors of 18.
    makeSampleTree(source, { namesInOneDirectory: 1500, xattrs: 3, devices: false });
    sh('mknod null c 1 3; mknod big b 259 70000; mkfifo fifo', source);
    mkdirSync(join(source, 'lost+found'), { mode: 0o711 });
    writeFileSync(join(source, 'large'), Buffer.alloc(9_000_001, 'large'));
  });
  afterAll(cleanUp);

  it('makes of a folder what the kernel shows as the folder, the same at every time', async () => {
    const dir = scratch();
    const image = join(dir, 'a.img');
    const said = await good(['build', '-t', 'xfs', source, image]);
    expect(said).toMatch(/files, .* of data in/);
    expectClean(image);
    expect(await good(['fsck', image])).toContain('clean');
    withLoopMount(image, { type: 'xfs', options: ['ro', 'norecovery'] }, (mounted) => {
      assertTreesEqual(describeHostTree(source), withoutStoredAcls(describeHostTree(mounted)), { ignore: [] });
    });
    await good(['build', '-t', 'xfs', source, join(dir, 'b.img')]);
    expect(digest(join(dir, 'b.img'))).toBe(digest(image));
  });

  it('makes of an archive what it makes of its folder', async () => {
    const dir = scratch();
    sh(`tar -S --xattrs --xattrs-include='*' --acls --sort=name --format=posix -cf ${join(dir, 'a.tar')} -C ${source} .`);
    await good(['build', '-t', 'xfs', join(dir, 'a.tar'), join(dir, 'a.img')]);
    expectClean(join(dir, 'a.img'));
    await good(['build', '-t', 'xfs', source, join(dir, 'b.img')]);
    expect(await good(['ls', '-lR', `${join(dir, 'a.img')}:/`])).toBe(await good(['ls', '-lR', `${join(dir, 'b.img')}:/`]));
  });

  it('takes the options of mkfs', async () => {
    const image = join(scratch(), 'a.img');
    const flags = ['--block-size', '1K', '--sector-size', '1K', '--directory-size', '16K', '--inode-size', '512', '--groups', '3', '--log-size', '12M', '--label', 'options'];
    await good(['build', '-t', 'xfs', ...flags, '--features', 'rmapbt,nrext64,^bigtime', source, image]);
    expectClean(image);
    const info = await infoOf(image);
    expect(info).toMatchObject({ blockSize: 1024, sectorSize: 1024, directoryBlockSize: 16_384, groups: 3, logBlocks: 12_288, label: 'options' });
    expect(info['features']).toEqual(expect.arrayContaining(['rmapbt', 'nrext64']));
    expect(info['features']).not.toContain('bigtime');
    const striped = join(scratch(), 'b.img');
    await good(['build', '-t', 'xfs', '--stripe', '64K:4', '--sector-size', '4K', source, striped]);
    expectClean(striped);
    expect(await infoOf(striped)).toMatchObject({ stripeUnit: 65_536, stripeWidth: 262_144, sectorSize: 4096 });
  });

  it('fills an image of a given size, and the kernel goes on with it', async () => {
    const image = join(scratch(), 'a.img');
    await good(['build', '-t', 'xfs', '--size', '400M', source, image]);
    expect(statSync(image).size).toBe(400 * 2 ** 20);
    expectClean(image);
    withLoopMount(image, { type: 'xfs', options: [] }, (dir) => {
      sh('rm -r many; mkdir new; cp large new/; for i in $(seq 300); do : > new/name-$i; done; rm large; echo more >> file-9', dir);
    });
    expectClean(image);
  });

  it('makes what it builds as large as it has to be', async () => {
    const dir = scratch();
    mkdirSync(join(dir, 'source'));
    for (let n = 0; n < 40; n++) writeFileSync(join(dir, 'source', `f${n}`), Buffer.alloc(1_000_000 + n, 'x'));
    const image = join(dir, 'a.img');
    await good(['build', '-t', 'xfs', join(dir, 'source'), image]);
    const info = await infoOf(image);
    // Beside the log, the kernel keeps some of each group for its trees.
    expect(Number(info['blocksFree']) / Number(info['blocks'])).toBeLessThan(0.04);
  });

  it('says in one line what does not fit, and leaves nothing', async () => {
    const dir = scratch();
    const image = join(dir, 'a.img');
    const small = await iomap(['build', '-t', 'xfs', '--size', '20M', source, image]);
    expect(small.code).toBe(1);
    expect(small.err).toMatch(/^iomap: .*a\.img: \/.*: ENOSPC: .*\n$/);
    const tiny = await iomap(['build', '-t', 'xfs', '--size', '8M', source, image]);
    expect(tiny.err).toMatch(/^iomap: .*a\.img: ENOSPC: .*an XFS takes 16 MiB at least.*\n$/);
    expect(existsSync(image)).toBe(false);
    expect(readdirSync(dir)).toEqual([]);
  });

  it.each([
    ['--groups', '4', 'only XFS has it'],
    ['--stripe', '64K:4', 'only XFS has it'],
  ])('keeps %s from other types', async (flag, value, why) => {
    const ran = await iomap(['build', flag, value, source, join(scratch(), 'a.img')]);
    expect([ran.code, ran.err.includes(why)]).toEqual([2, true]);
  });

  it.each([['--stripe', '64K', 'not a unit'], ['--inodes', '100', 'no number to give'], ['--features', 'magic', 'unknown feature'], ['--reserved', '5', 'reserve'], ['--bad-blocks', '7', 'bad blocks']])(
    'refuses %s %s', async (flag, value, why) => {
      const ran = await iomap(['build', '-t', 'xfs', flag, value, source, join(scratch(), 'a.img')]);
      expect([ran.code, ran.err.includes(why) ? why : ran.err]).toEqual([2, why]);
    },
  );
});
