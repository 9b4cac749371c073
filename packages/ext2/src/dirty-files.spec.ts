import { memoryDevice, traceDevice } from '@iomap/block-device';
import { fixedEnv, runSync } from '@iomap/io';
import { createVfs } from '@iomap/vfs';
import { nodeFs } from '@iomap/vfs/node';
import { check } from './check.js';
import { mkfs } from './mkfs.js';
import { mount } from './mount.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 5 }, tickNs: 1000 });
const FILES = 400;
const content = (n: number): Uint8Array => new Uint8Array(3000 + (n % 5) * 1000).fill(1 + (n % 250));

/** Writes many small files; answers how many writes of the device that took, up to the end of a sync. */
function writes(pageCacheBytes: number, withSync: boolean): number {
  const memory = memoryDevice({ sizeBytes: 32 * 2 ** 20 });
  runSync(mkfs(memory, { blockSize: 1024 }, env));
  const device = traceDevice(memory);
  const fs = runSync(mount(device, { env, pageCacheBytes }));
  const vfs = createVfs(fs, { env });
  const node = nodeFs(vfs);
  const before = device.counters.write.bios;
  for (let i = 0; i < FILES; i++) node.writeFileSync(`/${i}`, content(i));
  if (withSync) runSync(fs.sync());
  const count = device.counters.write.bios - before;
  for (let i = 0; i < FILES; i++) expect(Buffer.compare(node.readFileSync(`/${i}`), content(i))).toBe(0);
  runSync(vfs.unmount());
  expect(runSync(check(memory)).findings).toEqual([]);
  const again = nodeFs(createVfs(runSync(mount(memory, { env, readOnly: true })), { env }));
  for (let i = 0; i < FILES; i++) expect(Buffer.compare(again.readFileSync(`/${i}`), content(i))).toBe(0);
  return count;
}

describe('writeback of many small files', () => {
  it('a sync sends their data in a few large bios', () => {
    expect(writes(64 * 2 ** 20, true)).toBeLessThan(FILES / 5);
  });

  it('so does memory pressure', () => {
    expect(writes(2 ** 20, false)).toBeLessThan(FILES / 5);
  });
});
