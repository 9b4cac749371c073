import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { memoryDevice } from '@iomap/block-device';
import { fixedEnv, runSync } from '@iomap/io';
import { cleanUp, scratch } from '../../test/harness.js';
import { CommandError } from '../errors.js';
import { ext2Driver } from '../drivers/ext2.js';
import { folderSource } from '../source/folder.js';
import { ImageTree } from '../tree.js';
import { buildAtOnce, type BulkTold } from './bulk.js';

afterEach(cleanUp);

const told = (problems: string[]): BulkTold => ({
  latest: undefined,
  image: 'x.img',
  progress: () => undefined,
  problem: (line) => void problems.push(line),
});

describe('buildAtOnce', () => {
  it('tells of files that vanish or shrink while it reads, and goes on', async () => {
    const dir = scratch();
    for (const name of ['a', 'gone', 'shrunk', 'z']) writeFileSync(join(dir, name), Buffer.alloc(50_000, name));
    const source = await folderSource(dir, { xattrs: false });
    rmSync(join(dir, 'gone'));
    truncateSync(join(dir, 'shrunk'), 5000);
    const device = memoryDevice({ sizeBytes: 4 * 2 ** 20 });
    const env = fixedEnv();
    const problems: string[] = [];
    const { bulkBuild } = ext2Driver;
    if (bulkBuild === undefined) throw new Error('ext2 builds at once');
    buildAtOnce(bulkBuild, device, { source, format: { env }, told: told(problems) });
    expect(problems).toEqual([`${dir}/gone: ENOENT: no such file or directory`, `${dir}/shrunk: EIO: became shorter while it was read`]);
    expect(runSync(ext2Driver.check(device))).toEqual({ clean: true, findings: [] });
    const tree = new ImageTree(runSync(ext2Driver.mount(device, { readOnly: true })));
    const bytes = Buffer.alloc(50_000);
    expect(tree.read(tree.resolve('/z'), 0, bytes)).toBe(50_000);
    expect(bytes.equals(Buffer.alloc(50_000, 'z'))).toBe(true);
    // What came before it became shorter is kept, the rest reads as zeroes, and so does what has gone.
    const shrunk = Buffer.alloc(50_000);
    shrunk.fill('shrunk', 0, 5000);
    expect(tree.read(tree.resolve('/shrunk'), 0, bytes)).toBe(50_000);
    expect(bytes.equals(shrunk)).toBe(true);
    expect(tree.resolve('/gone').size).toBe(50_000);
  });

  it('says which path the image has no room for', async () => {
    const dir = scratch();
    for (const name of ['a', 'b', 'c']) writeFileSync(join(dir, name), Buffer.alloc(90_000, name));
    const source = await folderSource(dir, { xattrs: false });
    const device = memoryDevice({ sizeBytes: 256 * 1024 });
    const { bulkBuild } = ext2Driver;
    if (bulkBuild === undefined) throw new Error('ext2 builds at once');
    let caught: unknown;
    try {
      buildAtOnce(bulkBuild, device, { source, format: { env: fixedEnv() }, told: told([]) });
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(CommandError);
    expect(caught).toMatchObject({ code: 'ENOSPC', where: { image: 'x.img', path: '/c' } });
  });
});
