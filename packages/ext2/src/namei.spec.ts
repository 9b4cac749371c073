import { memoryDevice } from '@iomap/block-device';
import { fixedEnv, isCode, runSync } from '@iomap/io';
import { mkfs } from './mkfs.js';
import { mount } from './mount.js';
import { LINK_MAX } from './ondisk.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 5 }, tickNs: 1000 });

it('an exchange that would give a directory more links than it can count changes nothing', () => {
  const device = memoryDevice({ sizeBytes: 4 * 2 ** 20 });
  runSync(mkfs(device, { blockSize: 1024 }, env));
  const fs = runSync(mount(device, { env }));
  const root = runSync(fs.readInode(fs.rootIno));
  const init = (mode: number) => ({ mode, uid: 0, gid: 0, rdev: 0, now: env.now() });
  const from = runSync(fs.create(root, 'from', init(0o040755)));
  const to = runSync(fs.create(root, 'to', init(0o040755)));
  const dir = runSync(fs.create(from, 'dir', init(0o040755)));
  const file = runSync(fs.create(to, 'file', init(0o100644)));
  const swap = () => runSync(fs.exchange({ dir: from, name: 'dir', inode: dir }, { dir: to, name: 'file', inode: file }, env.now()));
  // As if it had so many subdirectories.
  to.nlink = LINK_MAX;
  let error: unknown;
  try {
    swap();
  } catch (thrown) {
    error = thrown;
  }
  expect(isCode(error, 'EMLINK')).toBe(true);
  expect([from.nlink, to.nlink]).toEqual([3, LINK_MAX]);
  expect(runSync(fs.lookup(from, 'dir'))).toBe(dir.ino);
  to.nlink = LINK_MAX - 1;
  swap();
  expect([from.nlink, to.nlink]).toEqual([2, LINK_MAX]);
  expect(runSync(fs.lookup(to, 'file'))).toBe(dir.ino);
  expect(runSync(fs.lookup(dir, '..'))).toBe(to.ino);
});
