import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { memoryDevice } from '@iomap/block-device';
import { fixedEnv, runSync } from '@iomap/io';
import { cleanUp, scratch } from '../../test/harness.js';
import { ext2Driver } from '../drivers/ext2.js';
import { folderSource } from '../source/folder.js';
import { ImageTree } from '../tree.js';
import { gatherDevice } from './gather-device.js';
import { populate } from './populate.js';

afterEach(cleanUp);

describe('populate', () => {
  it('tells of files that vanish or shrink while it reads, and goes on', async () => {
    const dir = scratch();
    for (const name of ['a', 'gone', 'shrunk', 'z']) writeFileSync(join(dir, name), Buffer.alloc(10_000, name));
    const source = await folderSource(dir, { xattrs: false });
    rmSync(join(dir, 'gone'));
    truncateSync(join(dir, 'shrunk'), 5000);
    const device = gatherDevice(memoryDevice({ sizeBytes: 4 * 2 ** 20 }));
    const env = fixedEnv();
    runSync(ext2Driver.mkfs(device, { env }));
    const fs = runSync(ext2Driver.mount(device, { env, readOnly: false }));
    const problems: string[] = [];
    populate(fs, source, { blockBytes: 1024, latest: undefined, image: 'x.img', progress: () => undefined, problem: (line) => void problems.push(line) });
    expect(device.settle()).toEqual({ ok: true });
    expect(problems).toEqual([`${dir}/gone: ENOENT: no such file or directory`, `${dir}/shrunk: EIO: became shorter while it was read`]);
    expect(runSync(ext2Driver.check(device)).clean).toBe(true);
    const tree = new ImageTree(runSync(ext2Driver.mount(device, { readOnly: true })));
    const bytes = Buffer.alloc(10_000);
    expect(tree.read(tree.resolve('/z'), 0, bytes)).toBe(10_000);
    expect(bytes.equals(Buffer.alloc(10_000, 'z'))).toBe(true);
  });
});
