/** All commands on minix images. */
import { describeWithOracle, findOracle, oracle } from '@iomap/conformance';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, good, iomap, scratch } from './harness.js';

afterAll(cleanUp);

const isClean = (image: string): void => {
  if (findOracle('fsck-minix') === undefined) return;
  const { status, stdout, stderr } = oracle('fsck-minix').run(['-f', image]);
  expect([status, stdout + stderr]).toEqual([0, expect.any(String)]);
};

describe.each([
  ['v1,names14', { version: 1, nameMax: 14 }],
  ['v1', { version: 1, nameMax: 30 }],
  ['v2,names14', { version: 2, nameMax: 14 }],
  ['v2', { version: 2, nameMax: 30 }],
  ['v3', { version: 3, nameMax: 60 }],
])('iomap on minix %s', (features, facts) => {
  it('makes, fills, lists, changes, copies and checks', async () => {
    const dir = scratch();
    const image = join(dir, 'disk.img');
    await good(['mkfs', '-t', 'minix', '--features', features, '--size', '8M', '--inodes', '300', image]);
    expect(JSON.parse(await good(['info', '--json', image]))).toMatchObject({ type: 'minix', ...facts });
    const content = Buffer.alloc(700_000, 'minix ');
    writeFileSync(join(dir, 'file'), content);
    await good(['mkdir', `${image}:/a`]);
    await good(['cp', join(dir, 'file'), `${image}:/a/file`]);
    await good(['ln', '-s', 'file', `${image}:/a/link`]);
    await good(['ln', `${image}:/a/file`, `${image}:/a/hard`]);
    await good(['chmod', '640', `${image}:/a/file`]);
    await good(['mv', `${image}:/a/file`, `${image}:/moved`]);
    expect((await iomap(['cat', `${image}:/moved`])).bytes.equals(content)).toBe(true);
    expect(await good(['ls', `${image}:/a`])).toBe('hard\nlink\n');
    expect(JSON.parse(await good(['stat', '--json', `${image}:/moved`]))).toMatchObject({ size: 700_000, links: 2, mode: '0640' });
    expect(await good(['map', `${image}:/moved`])).toContain('extent');
    expect(await good(['tree', image])).toContain('link -> file');
    expect((await iomap(['tar', image])).bytes.length).toBeGreaterThan(700_000);
    await good(['extract', image, join(dir, 'out')]);
    expect(readFileSync(join(dir, 'out/a/hard')).equals(content)).toBe(true);
    await good(['truncate', '-s', '1000', `${image}:/moved`]);
    await good(['rm', '-r', `${image}:/a`]);
    expect((await iomap(['fsck', image])).code).toBe(0);
    isClean(image);
  });

  it('builds from a folder, the same bytes for the same input', async () => {
    const dir = scratch();
    const from = join(dir, 'from');
    mkdirSync(join(from, 'sub'), { recursive: true });
    for (let n = 0; n < 40; n++) writeFileSync(join(from, `sub/f${n}`), Buffer.alloc(n * 997, `${n} `));
    symlinkSync('sub/f3', join(from, 'link'));
    const options = ['build', '-t', 'minix', '--features', features];
    const env = { SOURCE_DATE_EPOCH: '1700000000', PATH: process.env['PATH'] };
    await good([...options, from, join(dir, 'one')], { env });
    await good([...options, from, join(dir, 'two')], { env });
    expect(readFileSync(join(dir, 'one')).equals(readFileSync(join(dir, 'two')))).toBe(true);
    await good(['extract', join(dir, 'one'), join(dir, 'out')]);
    expect(readFileSync(join(dir, 'out/sub/f39')).equals(readFileSync(join(from, 'sub/f39')))).toBe(true);
    isClean(join(dir, 'one'));
  });
});

describe('iomap fsck --repair on minix', () => {
  it('says what it would do, does it, and can take it back', async () => {
    const dir = scratch();
    const image = join(dir, 'disk.img');
    await good(['mkfs', '-t', 'minix', '--size', '2M', image]);
    writeFileSync(join(dir, 'file'), 'here');
    await good(['cp', join(dir, 'file'), `${image}:/file`]);
    const bytes = readFileSync(image);
    bytes.fill(0, 2048, 2048 + 16);
    bytes.fill(0, 1024, 1024 + 32);
    writeFileSync(image, bytes);
    expect((await iomap(['fsck', image])).code).not.toBe(0);
    const dry = await iomap(['fsck', '-t', 'minix', '--repair', '--dry-run', image]);
    expect([dry.code, readFileSync(image).equals(bytes)]).toEqual([4, true]);
    expect(dry.out).toContain('superblock');
    const undo = join(dir, 'undo');
    expect((await iomap(['fsck', '-t', 'minix', '--repair', '--undo', undo, image])).code).toBe(1);
    expect(await good(['cat', `${image}:/file`])).toBe('here');
    isClean(image);
    expect((await iomap(['fsck', '--repair', image])).code).toBe(0);
    await good(['fsck', '--restore', undo, image]);
    expect(readFileSync(image).equals(bytes)).toBe(true);
  });

  it('refuses what it has not', async () => {
    const dir = scratch();
    const image = join(dir, 'disk.img');
    expect((await iomap(['mkfs', '-t', 'minix', '--size', '1M', '--label', 'x', image])).err).toContain('no labels');
    expect((await iomap(['mkfs', '-t', 'minix', '--size', '1M', '--features', 'v9', image])).err).toContain('unknown feature');
    await good(['mkfs', '-t', 'minix', '--size', '1M', '--bad-blocks', '500,501', image]);
    expect(await good(['ls', '-a', `${image}:/`])).toContain('.badblocks');
    expect((await iomap(['fsck', '--dry-run', image])).code).toBe(16);
  });
});

describeWithOracle(['mkfs-minix'], 'iomap on an image of mkfs.minix', () => {
  it('reads and writes it', async () => {
    const image = join(scratch(), 'disk.img');
    writeFileSync(image, Buffer.alloc(2 ** 20));
    oracle('mkfs-minix').run([image], { expect: [0] });
    await good(['mkdir', `${image}:/d`]);
    expect(await good(['ls', `${image}:/`])).toBe('d\n');
    isClean(image);
  });
});
