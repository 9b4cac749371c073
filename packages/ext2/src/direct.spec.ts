/** Direct I/O, options of a call, mapped files, atomic overwrites and swap areas on ext2, through the vfs; judged by our check. */
import { memoryDevice, traceDevice, type BlockDevice } from '@iomap/block-device';
import { fixedEnv, FsError, runSync } from '@iomap/io';
import { SimDevice } from '@iomap/io/sim';
import { createVfs, O_CREAT, O_DIRECT, O_DSYNC, O_RDONLY, O_RDWR, type Vfs } from '@iomap/vfs';
import { check } from './check.js';
import { mkfs } from './mkfs.js';
import { mount } from './mount.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 5 }, tickNs: 1000 });
const BLOCK = 1024;
const filled = (len: number, byte: number): Uint8Array => new Uint8Array(len).fill(byte);
const allAre = (bytes: Uint8Array, byte: number): boolean => bytes.every((one) => one === byte);

function made(): ReturnType<typeof memoryDevice> {
  const memory = memoryDevice({ sizeBytes: 8 * 2 ** 20 });
  void memory.submit({ op: 'write', pos: 0, segments: [filled(2 ** 20, 0xa5)], lengthBytes: 2 ** 20 });
  runSync(mkfs(memory, { blockSize: BLOCK }, env));
  return memory;
}

/** Mounts, runs, unmounts, checks. */
function within(device: BlockDevice, run: (vfs: Vfs) => void): void {
  const vfs = createVfs(runSync(mount(device, { env })), { env });
  run(vfs);
  runSync(vfs.unmount());
  expect(runSync(check(device)).findings).toEqual([]);
}

const open = (vfs: Vfs, flags: number): number => runSync(vfs.open('/f', flags, 0o644));
const write = (vfs: Vfs, fd: number, pos: number, bytes: Uint8Array): number => runSync(vfs.write(fd, bytes, pos));
const read = (vfs: Vfs, fd: number, pos: number, len: number): Uint8Array => {
  const bytes = new Uint8Array(len);
  return bytes.subarray(0, runSync(vfs.read(fd, bytes, pos)));
};
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'none';
};

describe('O_DIRECT', () => {
  it('writes and reads past the cache, and is seen through it', () => {
    const device = traceDevice(made());
    within(device, (vfs) => {
      const direct = open(vfs, O_RDWR | O_CREAT | O_DIRECT);
      const plain = open(vfs, O_RDWR);
      const before = device.counters.write.bytes;
      expect(write(vfs, direct, 0, filled(20 * BLOCK, 7))).toBe(20 * BLOCK);
      expect(device.counters.write.bytes - before).toBeGreaterThanOrEqual(20 * BLOCK);
      expect(allAre(read(vfs, plain, 0, 20 * BLOCK), 7)).toBe(true);
      write(vfs, plain, 5 * BLOCK + 3, filled(10, 8));
      expect(read(vfs, direct, 5 * BLOCK, 512)[3]).toBe(8);
      write(vfs, direct, 5 * BLOCK, filled(512, 9));
      expect(read(vfs, plain, 5 * BLOCK, 1)[0]).toBe(9);
      expect(codeOf(() => write(vfs, direct, 3, filled(512, 1)))).toBe('EINVAL');
      expect(codeOf(() => read(vfs, direct, 0, 100))).toBe('EINVAL');
      // A part of a new block, past the end: the rest is zero.
      write(vfs, direct, 30 * BLOCK + 512, filled(512, 3));
      expect(allAre(read(vfs, plain, 20 * BLOCK, 10 * BLOCK + 512), 0)).toBe(true);
      runSync(vfs.close(direct));
      runSync(vfs.close(plain));
    });
  });

  it('with O_DSYNC is durable on return: data, size and map', () => {
    const disk = new SimDevice({ content: made().toBytes() });
    const vfs = createVfs(runSync(mount(disk, { env })), { env });
    const fd = open(vfs, O_RDWR | O_CREAT);
    runSync(vfs.fsync(fd));
    runSync(vfs.sync());
    const direct = open(vfs, O_RDWR | O_DIRECT | O_DSYNC);
    write(vfs, direct, 0, filled(20 * BLOCK, 7));
    write(vfs, direct, 0, filled(4 * BLOCK, 8));
    for (const image of disk.crashImages({ max: 20, seed: 3 })) {
      const again = createVfs(runSync(mount(image, { env, readOnly: true })), { env });
      const at = open(again, O_RDONLY);
      expect(allAre(read(again, at, 0, 4 * BLOCK), 8)).toBe(true);
      expect(allAre(read(again, at, 4 * BLOCK, 20 * BLOCK), 7)).toBe(true);
    }
  });

  it('gives new blocks back that a failed write left unwritten', () => {
    const memory = made();
    let fails = false;
    const device: BlockDevice = {
      ...memory, name: 'failing', sizeBytes: memory.sizeBytes,
      submit: (bio) => (fails && bio.op === 'write' && bio.lengthBytes >= 8 * BLOCK
        ? { ok: false, error: new FsError('EIO') }
        : memory.submit(bio)),
    };
    within(device, (vfs) => {
      const fd = open(vfs, O_RDWR | O_CREAT | O_DIRECT);
      write(vfs, fd, 40 * BLOCK, filled(BLOCK, 1));
      const free = runSync(vfs.statfs('/')).blocksFree;
      fails = true;
      expect(codeOf(() => write(vfs, fd, 0, filled(10 * BLOCK, 2)))).toBe('EIO');
      fails = false;
      expect(runSync(vfs.statfs('/')).blocksFree).toBe(free);
      expect(allAre(read(vfs, fd, 0, 10 * BLOCK), 0)).toBe(true);
      runSync(vfs.close(fd));
    });
  });
});

it('options of a call: no-wait, don\'t-cache, dsync', () => {
  const memory = made();
  const device: BlockDevice = {
    ...memory, name: 'plain', sizeBytes: memory.sizeBytes, limits: { ...memory.limits, atomicWriteBytes: 0 },
    submit: (bio) => memory.submit(bio),
  };
  within(device, (vfs) => {
    let fd = open(vfs, O_RDWR | O_CREAT);
    write(vfs, fd, 0, filled(8 * BLOCK, 7));
    const bytes = new Uint8Array(BLOCK);
    expect(runSync(vfs.pread2(fd, bytes, 0, { nowait: true }))).toBe(BLOCK);
    expect(runSync(vfs.pwrite2(fd, filled(BLOCK, 5), 0, { nowait: true }))).toBe(BLOCK);
    expect(runSync(vfs.pwrite2(fd, filled(100, 6), 100, { dontcache: true, dsync: true }))).toBe(100);
    expect(codeOf(() => runSync(vfs.pwrite2(fd, filled(BLOCK, 5), 0, { atomic: true })))).toBe('EOPNOTSUPP');
    runSync(vfs.fsync(fd));
    runSync(vfs.close(fd));
    runSync(vfs.dropCaches());
    fd = open(vfs, O_RDWR);
    expect(codeOf(() => runSync(vfs.pread2(fd, bytes, 0, { nowait: true })))).toBe('EAGAIN');
    expect(runSync(vfs.pread2(fd, bytes, 0, { dontcache: true }))).toBe(BLOCK);
    expect(bytes[100]).toBe(6);
    runSync(vfs.close(fd));
  });
});

it('atomic overwrites, where the device can and the blocks lie together', () => {
  const disk = new SimDevice({ content: made().toBytes(), atomicWriteBytes: 16 * BLOCK });
  const vfs = createVfs(runSync(mount(disk, { env })), { env });
  const fd = open(vfs, O_RDWR | O_CREAT);
  expect(codeOf(() => runSync(vfs.pwrite2(fd, filled(8 * BLOCK, 1), 0, { atomic: true })))).toBe('EINVAL');
  write(vfs, fd, 0, filled(8 * BLOCK, 1));
  runSync(vfs.sync());
  for (const direct of [false, true]) {
    expect(runSync(vfs.pwrite2(fd, filled(8 * BLOCK, 2), 0, { atomic: true, direct }))).toBe(8 * BLOCK);
    const whole = (): void => {
      for (const image of disk.crashImages({ max: 40, seed: 5, torn: true })) {
        const again = createVfs(runSync(mount(image, { env, readOnly: true })), { env });
        const bytes = read(again, open(again, O_RDONLY), 0, 8 * BLOCK);
        expect(allAre(bytes, 1) || allAre(bytes, 2)).toBe(true);
      }
    };
    if (!direct) runSync(vfs.fsync(fd));
    whole();
    write(vfs, fd, 0, filled(8 * BLOCK, 1));
    runSync(vfs.sync());
  }
});

describe('a mapped file', () => {
  it('is loaded and stored, found by sync, and cut by a truncate', () => {
    const memory = made();
    within(memory, (vfs) => {
      const fd = open(vfs, O_RDWR | O_CREAT);
      write(vfs, fd, 0, filled(4 * BLOCK, 1));
      runSync(vfs.ftruncate(fd, 40 * BLOCK));
      const map = runSync(vfs.mmap(fd));
      runSync(vfs.close(fd));
      const bytes = new Uint8Array(10);
      runSync(vfs.mread(map, 4 * BLOCK - 5, bytes));
      expect([...bytes]).toEqual([1, 1, 1, 1, 1, 0, 0, 0, 0, 0]);
      // A hole gets a block, behind the indirect block.
      runSync(vfs.mwrite(map, 30 * BLOCK + 5, filled(10, 9)));
      expect(codeOf(() => runSync(vfs.mwrite(map, 40 * BLOCK, filled(1, 1))))).toBe('EFAULT');
      runSync(vfs.sync());
      runSync(vfs.mwrite(map, 0, filled(10, 8)));
      runSync(vfs.msync(map));
      runSync(vfs.truncate('/f', 20 * BLOCK));
      expect(codeOf(() => runSync(vfs.mread(map, 30 * BLOCK, bytes)))).toBe('EFAULT');
      runSync(vfs.truncate('/f', 40 * BLOCK));
      runSync(vfs.mread(map, 30 * BLOCK + 5, bytes));
      expect(allAre(bytes, 0)).toBe(true);
      runSync(vfs.munmap(map));
      expect(codeOf(() => runSync(vfs.mread(map, 0, bytes)))).toBe('EBADF');
    });
    within(memory, (vfs) => {
      const fd = open(vfs, O_RDONLY);
      expect(allAre(read(vfs, fd, 0, 10), 8)).toBe(true);
      expect(codeOf(() => runSync(vfs.mmap(fd)))).toBe('EACCES');
      runSync(vfs.close(fd));
    });
  });

  it('keeps an unlinked file alive', () => {
    within(made(), (vfs) => {
      const fd = open(vfs, O_RDWR | O_CREAT);
      write(vfs, fd, 0, filled(BLOCK, 1));
      const map = runSync(vfs.mmap(fd));
      runSync(vfs.close(fd));
      runSync(vfs.unlink('/f'));
      const bytes = new Uint8Array(10);
      runSync(vfs.mread(map, 0, bytes));
      expect(allAre(bytes, 1)).toBe(true);
      runSync(vfs.munmap(map));
    });
  });
});

it('a swap area is whole pages of its blocks; holes are refused', () => {
  within(made(), (vfs) => {
    const fd = open(vfs, O_RDWR | O_CREAT);
    write(vfs, fd, 0, filled(64 * BLOCK, 1));
    const map = runSync(vfs.swapMap(fd));
    expect(map.pageCount).toBeGreaterThan(8);
    for (const extent of map.extents) expect(extent.addr % 4096).toBe(0);
    runSync(vfs.ftruncate(fd, 100 * BLOCK));
    expect(codeOf(() => runSync(vfs.swapMap(fd)))).toBe('EINVAL');
    runSync(vfs.close(fd));
  });
});
