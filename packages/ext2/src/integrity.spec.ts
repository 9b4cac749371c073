/** What must hold when the device is slow or fails, or the image lies: fsync, sync, writes that stop half-way, free inodes. */
import { faultDevice, memoryDevice, memoryDeviceFrom, type BlockDevice, type Fault } from '@iomap/block-device';
import { fixedEnv, FsError, runAsync, runSync, type Bio, type IoResult } from '@iomap/io';
import { createVfs, O_CREAT, O_RDWR, O_TRUNC, type Vfs } from '@iomap/vfs';
import { nodeFs, type NodeFs } from '@iomap/vfs/node';
import { check } from './check.js';
import type { Ext2FileSystem } from './fs.js';
import { mkfs } from './mkfs.js';
import { mount } from './mount.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 5 }, tickNs: 1000 });
const MIB = 2 ** 20;

function made(sizeBytes = 32 * MIB): ReturnType<typeof memoryDevice> {
  const memory = memoryDevice({ sizeBytes });
  runSync(mkfs(memory, { blockSize: 1024 }, env));
  return memory;
}

interface World {
  readonly fs: Ext2FileSystem;
  readonly vfs: Vfs;
  readonly node: NodeFs;
}

function mounted(device: BlockDevice): World {
  const fs = runSync(mount(device, { env, pageCacheBytes: 8 * MIB }));
  const vfs = createVfs(fs, { env });
  return { fs, vfs, node: nodeFs(vfs) };
}

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return error instanceof FsError ? error.code : String(error);
  }
  return 'none';
};

/** Answers a turn later; writes that `hold` names (those that touch `pos`, or all) not before `release`. Logs the operations. */
function slowDevice(base: BlockDevice): { device: BlockDevice; log: string[]; hold(pos?: number): void; release(): void } {
  let isHeld = (_bio: Bio): boolean => false;
  let waiting: (() => void)[] = [];
  const log: string[] = [];
  const submit = async (bio: Bio): Promise<IoResult> => {
    log.push(bio.op);
    await new Promise<void>((resolve) => {
      if (bio.op === 'write' && isHeld(bio)) waiting.push(resolve);
      else setImmediate(resolve);
    });
    return base.submit(bio);
  };
  const { name, sizeBytes, sectorSize, readOnly, limits } = base;
  return {
    device: { name, synchronous: false, sizeBytes, sectorSize, readOnly, limits, submit, close: () => undefined },
    log,
    hold: (pos) => {
      isHeld = (bio) => pos === undefined || (bio.pos <= pos && pos < bio.pos + bio.lengthBytes);
    },
    release: () => {
      isHeld = () => false;
      for (const go of waiting) go();
      waiting = [];
    },
  };
}

const turns = async (n = 20): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

async function slowWorld(): Promise<{ slow: ReturnType<typeof slowDevice>; fs: Ext2FileSystem; vfs: Vfs }> {
  const slow = slowDevice(made(4 * MIB));
  const fs = await runAsync(mount(slow.device, { env }));
  return { slow, fs, vfs: createVfs(fs, { env }) };
}

describe('fsync on a device that takes time', () => {
  it('waits for the table block that a sync has in flight before it flushes', async () => {
    const { slow, vfs } = await slowWorld();
    const fd = await runAsync(vfs.open('/a', O_CREAT | O_RDWR));
    await runAsync(vfs.sync());
    await runAsync(vfs.setattr('/a', { mode: 0o600 }, true));
    slow.hold();
    slow.log.length = 0;
    const sync = runAsync(vfs.sync());
    await turns();
    expect(slow.log).toContain('write');
    const fsync = runAsync(vfs.fsync(fd));
    await turns();
    expect(slow.log).not.toContain('flush');
    slow.release();
    await Promise.all([sync, fsync]);
    await runAsync(vfs.close(fd));
    await runAsync(vfs.unmount());
  });
});

describe('fsync of two files of one new directory', () => {
  it('does not pass by the name of the directory that the first has in flight', async () => {
    const { slow, fs, vfs } = await slowWorld();
    await runAsync(vfs.mkdir('/d', 0o777));
    const a = await runAsync(vfs.open('/d/a', O_CREAT | O_RDWR));
    const b = await runAsync(vfs.open('/d/b', O_CREAT | O_RDWR));
    // The block of the root directory, which holds the name of `/d`, takes its time.
    const root = await runAsync(fs.readInode(fs.rootIno));
    slow.hold((root.block[0] ?? 0) * 1024);
    slow.log.length = 0;
    const first = runAsync(vfs.fsync(a));
    await turns();
    const second = runAsync(vfs.fsync(b));
    await turns();
    const log = [...slow.log];
    slow.release();
    await Promise.all([first, second]);
    expect(log).toContain('write');
    expect(log).not.toContain('flush');
    for (const fd of [a, b]) await runAsync(vfs.close(fd));
    await runAsync(vfs.unmount());
  });
});

describe('a bitmap that calls an inode in use free', () => {
  it.each([
    ['create', ({ node }: World) => node.writeFileSync('/new', 'new')],
    ['mkdir', ({ node }: World) => node.mkdirSync('/new')],
    ['symlink', ({ node }: World) => node.symlinkSync('target', '/new')],
  ])('ends a %s before anything changes', (_what, run) => {
    const bytes = new Uint8Array(4 * MIB);
    const memory = memoryDeviceFrom(bytes);
    runSync(mkfs(memory, { blockSize: 1024 }, env));
    const first = mounted(memory);
    first.node.writeFileSync('/victim', 'precious');
    const { ino } = first.node.statSync('/victim');
    const location = first.fs.volume.groups.inodeBitmap[0] ?? 0;
    runSync(first.vfs.unmount());
    const at = location * 1024 + Math.floor((ino - 1) / 8);
    expect((bytes[at] ?? 0) & (2 ** ((ino - 1) % 8))).not.toBe(0);
    bytes[at] = (bytes[at] ?? 0) & ~(2 ** ((ino - 1) % 8));

    const world = mounted(memory);
    const before = bytes.slice();
    expect(codeOf(() => run(world))).toBe('EUCLEAN');
    expect(world.fs.shutdownError).toMatchObject({ code: 'EUCLEAN', detail: { ino } });
    expect(world.node.readFileSync('/victim', 'latin1')).toBe('precious');
    expect(codeOf(() => run(world))).toBe('EIO'); // shut down
    runSync(world.vfs.unmount());
    expect(Buffer.compare(bytes, before)).toBe(0);
  });
});

/** A disk whose free blocks hold a deleted file's 0xaa; big writes of file data fail as `fault` says once `arm` is called. */
function staleWorld(fault: Omit<Fault, 'kind'>): World & { memory: BlockDevice; arm(): void } {
  const memory = made();
  const world = mounted(memory);
  world.node.writeFileSync('/old', new Uint8Array(24 * MIB).fill(0xaa));
  runSync(world.vfs.sync());
  world.node.unlinkSync('/old');
  runSync(world.vfs.unmount());
  const device = faultDevice(memory, {
    faults: [{ kind: 'fail', ops: ['write'], when: (bio) => bio.lengthBytes > 32 * 1024, ...fault }],
  });
  device.paused = true;
  return {
    ...mounted(device),
    memory,
    arm: () => {
      device.paused = false;
    },
  };
}

describe('a write into a hole that fails half-way', () => {
  // Aligned: nothing is written. Not aligned: the first block has gone through the cache. In a tree, and in the inode's own.
  it.each([
    ['inside the file, at once', 3 * MIB, 8 * MIB],
    ['inside the file, after a part', 3 * MIB + 100, 8 * MIB],
    ['from the first block', 0, 8 * MIB],
    ['over the end of the file', 3 * MIB + 100, 3 * MIB + 512 * 1024],
    ['behind the end of the file', 3 * MIB + 100, 1 * MIB],
  ])('%s: leaves no block of a deleted file', (_where, pos, size) => {
    const world = staleWorld({ count: 0 });
    const { node, vfs, memory } = world;
    const fd = node.openSync('/f', 'w+');
    node.ftruncateSync(fd, size);
    world.arm();
    let done = 0;
    const bytes = new Uint8Array(2 * MIB).fill(0x11);
    expect(codeOf(() => {
      while (done < bytes.length) done += runSync(vfs.write(fd, bytes.subarray(done), pos + done));
    })).toBe('EIO');
    node.ftruncateSync(fd, 8 * MIB);
    const expected = new Uint8Array(8 * MIB);
    expected.fill(0x11, pos, pos + done);
    expect(Buffer.compare(node.readFileSync('/f'), expected)).toBe(0);
    node.closeSync(fd);
    runSync(vfs.unmount());
    expect(runSync(check(memory)).findings).toEqual([]);
    const again = mounted(memory);
    expect(Buffer.compare(again.node.readFileSync('/f'), expected)).toBe(0);
    runSync(again.vfs.unmount());
  });
});

describe('a failed writeback', () => {
  it("is told by the sync that meets it and by the file's own fsync, once each", () => {
    const memory = made(4 * MIB);
    const device = faultDevice(memory, { faults: [{ kind: 'fail', ops: ['write'], when: (bio) => bio.segments[0]?.[0] === 0x77 }] });
    const { vfs, node } = mounted(device);
    const fd = runSync(vfs.open('/f', O_CREAT | O_TRUNC | O_RDWR));
    runSync(vfs.write(fd, new Uint8Array(5000).fill(0x77), 0));
    expect(codeOf(() => runSync(vfs.sync()))).toBe('EIO');
    expect(codeOf(() => runSync(vfs.sync()))).toBe('none');
    expect(codeOf(() => runSync(vfs.fsync(fd)))).toBe('EIO');
    expect(codeOf(() => runSync(vfs.fsync(fd)))).toBe('none');
    node.closeSync(fd);
    runSync(vfs.unmount());
    expect(device.hits).toBe(1);
  });
});
