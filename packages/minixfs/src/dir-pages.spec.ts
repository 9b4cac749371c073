/** Directories in the page cache: what a failure in the middle of a change leaves behind. */
import { memoryDevice } from '@iomap/block-device';
import { fixedEnv, FsError, runSync } from '@iomap/io';
import { createVfs } from '@iomap/vfs';
import { nodeFs } from '@iomap/vfs/node';
import { Directories } from './dir.js';
import { check, mkfs, mount } from './index.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });

it.each(['buffer-cache', 'page-cache'] as const)('a mkdir that finds no block for its name leaves nothing to write back: %s', (directories) => {
  const device = memoryDevice({ sizeBytes: 2 ** 20 });
  runSync(mkfs(device, { version: 3, blockSize: 1024, inodes: 256 }, env));
  const fs = runSync(mount(device, { env, directories }));
  const node = nodeFs(createVfs(fs, { env }));
  // The directory's only block is full: '.', '..' and 14 names of 16 to a block.
  node.mkdirSync('/full');
  for (let i = 0; i < 14; i++) node.writeFileSync(`/full/${i}`, '');
  // One block is left: the new directory's own, and none for its name.
  const fd = node.openSync('/ballast', 'w');
  for (let at = 0; runSync(fs.statfs()).blocksAvailable > 1; at += 1024) node.writeSync(fd, new Uint8Array(1024), 0, 1024, at);
  node.closeSync(fd);
  let code = '';
  try {
    node.mkdirSync('/full/more');
  } catch (error) {
    code = error instanceof FsError ? error.code : String(error);
  }
  expect([code, runSync(fs.statfs()).blocksAvailable]).toEqual(['ENOSPC', 1]);
  expect([...fs.volume.dirtyFiles].filter((inode) => inode.isGone)).toEqual([]);
  runSync(fs.sync());
  expect(fs.shutdownError).toBeUndefined();
  runSync(fs.unmount());
  expect(runSync(check(device)).findings).toEqual([]);
});

it('a block that the cache never keeps ends in ENOMEM, not in a loop', () => {
  const device = memoryDevice({ sizeBytes: 2 ** 20 });
  runSync(mkfs(device, { version: 3, inodes: 256 }, env));
  const fs = runSync(mount(device, { env, directories: 'page-cache' }));
  const root = runSync(fs.readInode(fs.rootIno));
  let looks = 0;
  Object.defineProperty(root, 'mappingIfAny', {
    get: () => {
      if (++looks > 100_000) throw new Error('still looking');
      return undefined;
    },
  });
  expect(() => runSync(new Directories(fs.volume).home.read(root, 0))).toThrow(/ENOMEM/);
});

it('a device that throws in a read at once leaves no block locked', () => {
  const device = memoryDevice({ sizeBytes: 2 ** 20 });
  runSync(mkfs(device, { version: 3, inodes: 256 }, env));
  let isBroken = true;
  const fs = runSync(
    mount(
      {
        ...device,
        submit: (bio) => device.submit(bio),
        readNow: (pos, bytes) => {
          if (isBroken) throw new FsError('EIO');
          return device.readNow?.(pos, bytes) ?? false;
        },
      },
      { env, directories: 'page-cache' },
    ),
  );
  const root = runSync(fs.readInode(fs.rootIno));
  expect(() => new Directories(fs.volume).home.only(root)).toThrow(/EIO/);
  isBroken = false;
  expect(runSync(new Directories(fs.volume).home.read(root, 0)).bytes[4]).toBe(0x2e);
});
