import { imageDevice } from '@iomap/conformance';
import { fixedEnv, runSync } from '@iomap/io';
import { createVfs } from '@iomap/vfs';
import { mkfs, mount } from '../src/index.js';

describe('the order of the bits in big-endian images', () => {
  it.each([['bytes', 0], ['be16', 1], ['be32', 3], ['be64', 7]] as const)('%s is found where all inodes are in use', (bitOrder, flip) => {
    const bytes = new Uint8Array(4 * 2 ** 20);
    const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
    runSync(mkfs(imageDevice(bytes), { version: 2, byteOrder: 'be', bitOrder, inodes: 1024 }, env));
    const vfs = createVfs(runSync(mount(imageDevice(bytes), { env })), { env });
    for (let n = 0; n < 1023; n++) runSync(vfs.mknod(`/n${n}`, 0o010644));
    runSync(vfs.unmount());
    const fs = runSync(mount(imageDevice(bytes, { readOnly: true }), { env, readOnly: true }));
    expect(fs.volume.zones.flip).toBe(flip);
  });
});
