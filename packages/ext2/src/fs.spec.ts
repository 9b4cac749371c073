/** The driver over images of mke2fs, judged by e2fsck: what the common suites do not look at. */
import { memoryDeviceFrom, traceDevice, type BlockDevice } from '@iomap/block-device';
import { describeWithOracle, oracle, removeScratch, scratchDir, withImageFile } from '@iomap/conformance';
import { fixedEnv, isCode, runSync, type FsError } from '@iomap/io';
import { createVfs, O_CREAT, O_RDWR, type Vfs } from '@iomap/vfs';
import { nodeFs, type NodeFs } from '@iomap/vfs/node';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ext2FileSystem } from './fs.js';
import { mount } from './mount.js';
import { Ext2GroupDesc, Ext2Super } from './ondisk.js';
import type { MountOptions } from './options.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 5 }, tickNs: 1000 });

function image(size: string, ...args: string[]): Uint8Array {
  const dir = scratchDir('iomap-ext2');
  try {
    const path = join(dir, 'image');
    oracle('mke2fs').run(['-q', '-F', '-t', 'ext2', ...args, path, size], { expect: [0] });
    return new Uint8Array(readFileSync(path));
  } finally {
    removeScratch(dir);
  }
}

const judge = (bytes: Uint8Array): string =>
  withImageFile(bytes, (path) => {
    const run = oracle('e2fsck').run(['-fn', path]);
    return run.status === 0 ? 'clean' : run.stdout;
  });

interface World {
  readonly fs: Ext2FileSystem;
  readonly vfs: Vfs;
  readonly node: NodeFs;
}

/** Mounts, runs, unmounts. */
function within<T>(device: BlockDevice, run: (world: World) => T, options: MountOptions = {}): T {
  const fs = runSync(mount(device, { env, pageCacheBytes: 8 * 2 ** 20, ...options }));
  const vfs = createVfs(fs, { env });
  const result = run({ fs, vfs, node: nodeFs(vfs) });
  runSync(vfs.unmount());
  return result;
}

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return (error as FsError).code;
  }
  return 'none';
};

describeWithOracle(['mke2fs', 'e2fsck', 'debugfs'], 'the ext2 driver', () => {
  it('marks the image as in use while mounted and clean again after', () => {
    const bytes = image('4M', '-b', '1024');
    const state = (): number => Ext2Super.at(bytes, 1024).s_state;
    const device = memoryDeviceFrom(bytes);
    const count = Ext2Super.at(bytes, 1024).s_mnt_count;
    within(device, ({ node }) => {
      expect(state() & 1).toBe(0);
      node.writeFileSync('/a', 'hello');
    });
    expect(state() & 1).toBe(1);
    expect(Ext2Super.at(bytes, 1024).s_mnt_count).toBe(count + 1);
    expect(judge(bytes)).toBe('clean');
  });

  it('writes nothing when read-only', () => {
    const bytes = image('4M', '-b', '1024');
    const before = bytes.slice();
    within(memoryDeviceFrom(bytes), ({ node }) => {
      expect(node.readdirSync('/')).toEqual(['lost+found']);
      expect(codeOf(() => node.writeFileSync('/a', 'x'))).toBe('EROFS');
    }, { readOnly: true });
    expect(Buffer.compare(bytes, before)).toBe(0);
  });

  it.each([
    ['extents', 'extent', ['-O', 'extent']],
    ['flex_bg and 64bit', '64bit flex_bg', ['-O', 'extent,64bit,flex_bg']],
    ['inline data', 'inline_data', ['-O', 'inline_data', '-I', '256']],
  ])('refuses %s by name', (_what, names, args) => {
    const bytes = image('8M', '-b', '1024', ...args);
    let message = '';
    try {
      within(memoryDeviceFrom(bytes), () => undefined);
    } catch (error) {
      expect(isCode(error, 'EOPNOTSUPP')).toBe(true);
      message = (error as Error).message;
    }
    for (const name of names.split(' ')) expect(message).toContain(name);
  });

  it('mounts ext3 with a clean journal, refuses one that needs recovery, reads what it may not write', () => {
    const bytes = image('16M', '-b', '1024', '-j');
    const device = memoryDeviceFrom(bytes);
    within(device, ({ node }) => node.writeFileSync('/in-ext3', 'x'));
    expect(judge(bytes)).toBe('clean');
    const s = Ext2Super.at(bytes, 1024);
    s.s_feature_ro_compat |= 0x400;
    within(device, ({ fs, node }) => {
      expect(fs.readOnly).toBe(true);
      expect(node.readFileSync('/in-ext3', 'latin1')).toBe('x');
    });
    s.s_feature_ro_compat &= ~0x400;
    s.s_feature_incompat |= 4;
    expect(() => within(device, () => undefined)).toThrow(/needs_recovery/);
  });

  it('maps a 1 MiB write by one allocation, and reads it by one mapping', () => {
    const bytes = image('32M', '-b', '4096');
    within(memoryDeviceFrom(bytes), ({ fs, vfs, node }) => {
      node.writeFileSync('/first', 'x');
      const counters = fs.volume.pages.counters;
      const fd = node.openSync('/big', 'w+');
      const begins = counters.begins;
      node.writeSync(fd, new Uint8Array(2 ** 20));
      // Direct blocks, then a leaf and the rest.
      expect(counters.begins - begins).toBeLessThanOrEqual(3);
      node.closeSync(fd);
      expect(runSync(vfs.fiemap('/big', 0, 2 ** 21)).length).toBeLessThanOrEqual(2);
    });
    expect(judge(bytes)).toBe('clean');
  });

  it('keeps writers who take turns from fragmenting each other', () => {
    const bytes = image('16M', '-b', '1024');
    within(memoryDeviceFrom(bytes), ({ vfs, node }) => {
      const fds = ['/a', '/b', '/c'].map((path) => node.openSync(path, 'w'));
      for (let i = 0; i < 1000; i++) for (const fd of fds) node.writeSync(fd, Buffer.alloc(1024, i));
      fds.forEach((fd) => { node.closeSync(fd); });
      for (const path of ['/a', '/b', '/c']) {
        const extents = runSync(vfs.fiemap(path, 0, 2 ** 30));
        expect(extents.length).toBeLessThan(40); // 1000 without windows
      }
    });
    expect(judge(bytes)).toBe('clean');
  });

  it('reaches into the triple-indirect tree, and frees it', () => {
    const bytes = image('4M', '-b', '1024', '-O', '^large_file');
    const device = memoryDeviceFrom(bytes);
    const far = [0, 12 * 1024, (12 + 256) * 1024, (12 + 256 + 65_536) * 1024 + 7, 16 * 2 ** 30];
    within(device, ({ fs, node }) => {
      const free = fs.volume.groups.freeBlocksTotal;
      const fd = node.openSync('/far', 'w+');
      for (const pos of far) node.writeSync(fd, Buffer.from('here'), 0, 4, pos);
      expect(node.fstatSync(fd).size).toBe(16 * 2 ** 30 + 4);
      expect(codeOf(() => node.writeSync(fd, Buffer.from('x'), 0, 1, fs.traits.fileSizeMax))).toBe('EFBIG');
      node.closeSync(fd);
      runSync(fs.sync());
      expect(Ext2Super.at(bytes, 1024).s_feature_ro_compat & 2).toBe(2);
      expect(free - fs.volume.groups.freeBlocksTotal).toBe(5 + 1 + 2 + 3 + 2);
    });
    expect(judge(bytes)).toBe('clean');
    within(device, ({ fs, node }) => {
      const fd = node.openSync('/far', 'r');
      for (const pos of far) {
        const got = Buffer.alloc(4);
        node.readSync(fd, got, 0, 4, pos);
        expect(got.toString()).toBe('here');
      }
      node.closeSync(fd);
      const free = fs.volume.groups.freeBlocksTotal;
      node.truncateSync('/far', 100);
      expect(fs.volume.groups.freeBlocksTotal - free).toBe(12);
    });
    expect(judge(bytes)).toBe('clean');
  });

  it.each([['dir_index', 1024, 20_000], ['^dir_index', 1024, 6000], ['dir_index', 4096, 6000]])('one directory (%s, blocks of %i) takes %i names', (feature, blockSize, count) => {
    const bytes = image('16M', '-b', String(blockSize), '-N', '21000', '-O', feature);
    const device = memoryDeviceFrom(bytes);
    within(device, ({ node }) => {
      node.mkdirSync('/d');
      for (let i = 0; i < count; i++) node.closeSync(node.openSync(`/d/name-${i}`, 'wx'));
      for (let i = 0; i < count; i += 3) node.unlinkSync(`/d/name-${i}`);
      expect(node.existsSync('/d/name-1')).toBe(true);
      expect(node.existsSync('/d/name-3')).toBe(false);
    });
    expect(judge(bytes)).toBe('clean');
    within(device, ({ node }) => {
      expect(node.readdirSync('/d').length).toBe(count - Math.ceil(count / 3));
      expect(node.existsSync('/d/name-4999')).toBe(true);
    });
    const dump = withImageFile(bytes, (path) => oracle('debugfs').run(['-R', 'stat /d', path]).stdout);
    expect(/Flags: 0x1000/.test(dump)).toBe(feature === 'dir_index');
  }, 30_000);

  it('shares one block between inodes with equal attributes', () => {
    const bytes = image('4M', '-b', '1024', '-I', '128');
    const device = memoryDeviceFrom(bytes);
    within(device, ({ fs, vfs, node }) => {
      const value = new Uint8Array(200).fill(7);
      for (const path of ['/a', '/b', '/c']) node.writeFileSync(path, '');
      const free = fs.volume.groups.freeBlocksTotal;
      for (const path of ['/a', '/b', '/c']) runSync(vfs.setxattr(path, 'user.same', value));
      expect(free - fs.volume.groups.freeBlocksTotal).toBe(1);
      runSync(vfs.setxattr('/b', 'user.more', value));
      expect(free - fs.volume.groups.freeBlocksTotal).toBe(2);
      node.unlinkSync('/a');
      expect(runSync(vfs.getxattr('/c', 'user.same'))).toEqual(value);
    });
    expect(judge(bytes)).toBe('clean');
    const list = withImageFile(bytes, (path) => oracle('debugfs').run(['-R', 'ea_list /b', path]).stdout);
    expect(list).toContain('user.more (200)');
  });

  it('leaks nothing when it is full, nor when a file is unlinked while open', () => {
    const bytes = image('2M', '-b', '1024');
    const device = memoryDeviceFrom(bytes);
    within(device, ({ fs, node }) => {
      const free = fs.volume.groups.freeBlocksTotal;
      const fd = node.openSync('/big', 'w');
      let written = 0;
      expect(codeOf(() => { for (;;) written += node.writeSync(fd, Buffer.alloc(100_000, 1)); })).toBe('ENOSPC');
      expect(node.fstatSync(fd).size).toBe(written);
      expect(codeOf(() => node.mkdirSync('/no-room'))).toBe('ENOSPC');
      node.unlinkSync('/big');
      const back = Buffer.alloc(4);
      const again = node.openSync('/tiny', 'w+');
      node.closeSync(fd);
      node.writeSync(again, 'ok');
      node.readSync(again, back, 0, 2, 0);
      node.closeSync(again);
      node.unlinkSync('/tiny');
      expect(fs.volume.groups.freeBlocksTotal).toBe(free);
    });
    expect(judge(bytes)).toBe('clean');
  });

  it('has on the device at fsync what it takes to find the file', () => {
    const bytes = image('8M', '-b', '1024');
    const device = memoryDeviceFrom(bytes);
    const fs = runSync(mount(device, { env }));
    const vfs = createVfs(fs, { env });
    const node = nodeFs(vfs);
    node.mkdirSync('/d/e', { recursive: true });
    const fd = node.openSync('/d/e/f', 'w');
    node.writeSync(fd, Buffer.alloc(300_000, 9));
    node.fsyncSync(fd);
    const crashed = bytes.slice(); // everything since is lost
    const repaired = withImageFile(crashed, (path) => {
      oracle('e2fsck').run(['-fy', path], { expect: [0, 1] });
      return new Uint8Array(readFileSync(path));
    });
    within(memoryDeviceFrom(repaired), (world) => {
      expect(world.node.readFileSync('/d/e/f').equals(Buffer.alloc(300_000, 9))).toBe(true);
    });
  });

  it('shuts down on a bitmap that offers metadata, and writes nothing over it', () => {
    const bytes = image('8M', '-b', '1024');
    const desc = Ext2GroupDesc.at(bytes, 2048);
    bytes.fill(0, desc.bg_block_bitmap * 1024, desc.bg_block_bitmap * 1024 + 1024);
    const device = memoryDeviceFrom(bytes);
    const fs = runSync(mount(device, { env }));
    const node = nodeFs(createVfs(fs, { env }));
    expect(codeOf(() => node.mkdirSync('/d'))).toBe('EUCLEAN');
    expect(fs.shutdownError).toBeDefined();
    expect(['EIO', 'EROFS']).toContain(codeOf(() => node.writeFileSync('/a', 'x')));
    runSync(fs.unmount());
    expect(Ext2Super.at(bytes, 1024).s_state & 1).toBe(0);
  });

  it('does not believe free counts', () => {
    const bytes = image('8M', '-b', '1024');
    const desc = Ext2GroupDesc.at(bytes, 2048);
    bytes.fill(0xff, desc.bg_block_bitmap * 1024, desc.bg_block_bitmap * 1024 + 1024);
    bytes.fill(0xff, desc.bg_inode_bitmap * 1024, desc.bg_inode_bitmap * 1024 + 1024);
    const fs = runSync(mount(memoryDeviceFrom(bytes), { env }));
    const node = nodeFs(createVfs(fs, { env }));
    expect(codeOf(() => node.writeFileSync('/a', 'x'))).toBe('ENOSPC');
  });

  it('walks the block map once per run in sequential reads', () => {
    const device = memoryDeviceFrom(image('32M', '-b', '1024'));
    within(device, ({ node }) => node.writeFileSync('/big', Buffer.alloc(8 * 2 ** 20, 5)));
    const traced = traceDevice(device);
    within(traced, ({ fs, vfs }) => {
      const fd = runSync(vfs.open('/big', O_RDWR | O_CREAT));
      const before = fs.volume.buffers.counters.hits;
      const bytes = new Uint8Array(4096);
      for (let pos = 0; pos < 8 * 2 ** 20; pos += 4096) runSync(vfs.read(fd, bytes, pos));
      // 32 leaves under one double-indirect block: some looks each, not one per 1 KiB block.
      expect(fs.volume.buffers.counters.hits - before).toBeLessThan(400);
      runSync(vfs.close(fd));
    });
  });
});
